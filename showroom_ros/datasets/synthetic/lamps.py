"""Ceiling lamps: domes, pendants, rows of spots and tubes, each with the light it gives."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from showroom_ros.datasets.synthetic.floor_plan import Array, FloorPlan
from showroom_ros.datasets.synthetic.lighting import AreaLight
from showroom_ros.datasets.synthetic.openings import Part
from showroom_ros.datasets.synthetic.palette import Palette
from showroom_ros.datasets.synthetic.solids import Surface, box, revolved

_POWER_PER_M2 = 0.48
_DOWN = (0.0, 0.0, -1.0)


def ceiling_lamps(rng: Generator, plan: FloorPlan, palette: Palette) -> tuple[list[Part], list[AreaLight]]:
    """The lamps of one room, one kind for all; long or angled rooms get two places."""
    kinds = ("tube", "spots", "dome") if plan.kind in ("office", "kitchen") else ("dome", "pendant", "spots")
    kind = str(rng.choice(kinds))
    if plan.rise_m:
        kind = "pendant"
    places = lamp_places(plan)
    power = _POWER_PER_M2 * plan.area_m2 / len(places) * palette.mood.lamps * np.array(palette.mood.lamp_color)
    make = {"dome": _dome, "pendant": _pendant, "spots": _spots, "tube": _tube}[kind]
    parts: list[Part] = []
    lights: list[AreaLight] = []
    for place in places:
        surfaces, shining = make(place, float(plan.ceiling_at(place)), power, palette, _beam_m(plan))
        parts.append(("ceiling lamp", "object", surfaces))
        lights += shining
    return parts, lights


def lamp_places(plan: FloorPlan) -> list[Array]:
    """One or two roomy places [2] under the ceiling, the roomiest first."""
    x, y = (np.linspace(plan.low[i], plan.high[i], 41) for i in (0, 1))
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    distance = plan.wall_distance(points)
    first = points[
        int(np.argmax(np.round(distance, 6) - 1e-4 * np.linalg.norm(points - (plan.low + plan.high) / 2, axis=1)))
    ]
    if plan.area_m2 < 18 and plan.wall_count == 4 and max(plan.high - plan.low) < 4.4:
        return [first]
    far = np.linalg.norm(points - first, axis=1)
    size = plan.high - plan.low
    if plan.wall_count == 4:
        long = int(np.argmax(size))
        if size[long] < 4.4:
            return [first]
        middle = (plan.low + plan.high) / 2
        step = np.eye(2)[long] * size[long] / 4
        return [middle - step, middle + step]
    second = points[int(np.argmax(np.where(far > 1.8, distance, 0)))]
    return [first, second]


def _beam_m(plan: FloorPlan) -> float:
    return 0.16 if plan.ceiling == "beams" else 0.0


def _dome(
    place: Array, top: float, power: Array, palette: Palette, beam: float
) -> tuple[list[Surface], list[AreaLight]]:
    profile = (
        [(0.20, -0.09 - beam), (0.24, -0.05 - beam), (0.24, 0.0)]
        if beam
        else [(0.20, -0.09), (0.24, -0.05), (0.24, 0.0)]
    )
    lamp = revolved(profile, (*place, top), palette.lamp, 28)
    return lamp, [AreaLight.disc((*place, top - 0.12 - beam), 0.22, _DOWN, power)]


def _pendant(
    place: Array, top: float, power: Array, palette: Palette, beam: float
) -> tuple[list[Surface], list[AreaLight]]:
    del beam
    low = max(2.02, top - 0.75)
    cord = revolved([(0.018, low + 0.24 - top), (0.018, 0.0)], (*place, top), palette.metal, 8)
    shade = revolved([(0.21, low - top), (0.10, low + 0.24 - top)], (*place, top), palette.shade, 24)
    return cord + shade, [
        AreaLight.disc((*place, low - 0.03), 0.16, _DOWN, power * 0.7),
        AreaLight.disc((*place, low + 0.3), 0.1, (0.0, 0.0, 1.0), power * 0.3),
    ]


def _spots(
    place: Array, top: float, power: Array, palette: Palette, beam: float
) -> tuple[list[Surface], list[AreaLight]]:
    x, y = place
    surfaces = box((x - 0.45, y - 0.03, top - 0.04 - beam), (x + 0.45, y + 0.03, top), palette.trim)
    for aside in (-0.35, 0.0, 0.35):
        center = (x + aside, y, top - 0.04 - beam)
        surfaces += revolved([(0.055, -0.10), (0.055, 0.0)], center, palette.lamp, 16)
    return surfaces, [AreaLight.rectangle((*place, top - 0.17 - beam), (0.8, 0, 0), (0, 0.06, 0), _DOWN, power)]


def _tube(
    place: Array, top: float, power: Array, palette: Palette, beam: float
) -> tuple[list[Surface], list[AreaLight]]:
    x, y = place
    surfaces = box((x - 0.62, y - 0.10, top - 0.03 - beam), (x + 0.62, y + 0.10, top), palette.trim)
    surfaces += box((x - 0.60, y - 0.08, top - 0.07 - beam), (x + 0.60, y + 0.08, top - 0.03 - beam), palette.lamp)
    return surfaces, [AreaLight.rectangle((*place, top - 0.1 - beam), (1.1, 0, 0), (0, 0.12, 0), _DOWN, power)]
