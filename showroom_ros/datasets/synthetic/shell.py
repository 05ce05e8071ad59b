"""The shell of a home: floors, ceilings, walls with recessed doors and windows, doorways, skirting, lamps."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from showroom_ros.datasets.synthetic import ceilings, openings
from showroom_ros.datasets.synthetic.floor_plan import FloorPlan, Home
from showroom_ros.datasets.synthetic.lamps import ceiling_lamps
from showroom_ros.datasets.synthetic.lighting import AreaLight
from showroom_ros.datasets.synthetic.openings import Part
from showroom_ros.datasets.synthetic.palette import Palette
from showroom_ros.datasets.synthetic.solids import Surface, box, cells, panel
from showroom_ros.datasets.synthetic.textures import Material

_UP = np.array([0.0, 0.0, 1.0])


def build_shell(
    rng: Generator, home: Home, palette: Palette, lampless: frozenset[int] = frozenset()
) -> tuple[list[Part], list[AreaLight]]:
    """Everything that is built in, and the lights that come with it.

    Args:
        rng: source of every choice.
        home: rooms and doorways.
        palette: of the home; each room takes ``palette.room(number)``.
        lampless: rooms that have a lamp among their furniture already.
    """
    parts: list[Part] = []
    lights: list[AreaLight] = []
    for number, plan in enumerate(home.rooms):
        found, shining = _room(rng, plan, palette.room(number), number not in lampless)
        parts += found
        lights += shining
    for passage in home.passages:
        parts += openings.doorway(rng, passage, palette)
    return parts, lights


def _room(rng: Generator, plan: FloorPlan, palette: Palette, lamp: bool) -> tuple[list[Part], list[AreaLight]]:
    tiled = rng.random() < {"bathroom": 1.0, "kitchen": 0.7, "hallway": 0.6}.get(plan.kind, 0.0)
    floor = palette.floor_tiles if tiled else palette.floor
    parts: list[Part] = [("floor", "floor", [_floor(plan, floor)])]
    parts += ceilings.ceiling(plan, palette)
    for wall, material in enumerate(_wall_materials(rng, plan, palette)):
        parts.append(("wall", "wall", [_wall(plan, wall, material)]))
        if material is not palette.wall_tiles:
            parts.append(("skirting", "wall", _board(plan, wall, palette.trim, 0.09, 0.016)))
    if rng.random() < 0.2 and plan.kind in ("living room", "dining room", "bedroom", "hallway"):
        for wall in range(plan.wall_count):
            if all(o.wall != wall or o.kind != "window" or o.low_m > 0.86 for o in plan.openings):
                parts.append(("wainscot", "wall", _board(plan, wall, palette.panelling, 0.82, 0.012, 0.0905)))
                parts.append(("wainscot", "wall", _board(plan, wall, palette.trim, 0.03, 0.016, 0.8205)))
    lights = []
    for opening in plan.openings:
        if opening.kind == "door":
            parts.append(openings.door(plan, opening, palette))
        elif opening.kind == "window":
            parts += openings.window(rng, plan, opening, palette)
            lights.append(openings.daylight(plan, opening, palette))
    if lamp:
        lamps, shining = ceiling_lamps(rng, plan, palette)
        parts += lamps
        lights += shining
    return parts, lights


def _wall_materials(rng: Generator, plan: FloorPlan, palette: Palette) -> list[Material]:
    if plan.kind == "bathroom":
        return [palette.wall_tiles] * plan.wall_count
    materials = [palette.wall] * plan.wall_count
    accent = int(rng.integers(plan.wall_count))
    if rng.random() < 0.65:
        materials[accent] = palette.accent_wall
    return materials


def _floor(plan: FloorPlan, material: Material) -> Surface:
    us = cells(plan.high[0] - plan.low[0], plan.corners[:, 0] - plan.low[0])
    vs = cells(plan.high[1] - plan.low[1], plan.corners[:, 1] - plan.low[1])
    x, y = plan.low
    holes = [(x0 - x, y0 - y, x1 - x, y1 - y) for (x0, y0, x1, y1), inside in plan.grid_blocks() if not inside]
    return panel((x, y, 0), (1, 0, 0), (0, 1, 0), us, vs, material, holes)


def _wall(plan: FloorPlan, wall: int, material: Material) -> Surface:
    start, direction, _, length = plan.wall(wall)
    top = plan.height_m + plan.rise_m
    holes = [(length - o.end_m, o.low_m, length - o.start_m, o.high_m) for o in plan.openings if o.wall == wall]
    breaks = [u for hole in holes for u in (hole[0], hole[2])]
    end = start + direction * length
    if plan.ridge is not None and abs(direction[plan.ridge[0]]) > 0.5:
        breaks.append(abs(plan.ridge[1] - end[plan.ridge[0]]))
    fixed = plan.height_m - ceilings.SLOPE_FROM_M
    vs = cells(top, [v for hole in holes for v in (hole[1], hole[3])] + ([fixed] if plan.rise_m else []))
    surface = panel((*end, 0), (*-direction, 0), _UP, cells(length, breaks), vs, material, holes)
    return ceilings.sloped(plan, surface)


def _board(
    plan: FloorPlan, wall: int, material: Material, height: float, thick: float, low: float = 0.0
) -> list[Surface]:
    """Boards along a wall between its doors."""
    start, direction, normal, length = plan.wall(wall)
    doors = [o for o in plan.openings if o.wall == wall and o.kind != "window"]
    gaps = sorted((o.start_m - 0.09, o.end_m + 0.09) for o in doors)
    stops = [0.0, *(s for gap in gaps for s in gap), length]
    pose = np.eye(4)
    pose[:2, 0], pose[:2, 1], pose[:2, 3] = direction, normal, start
    runs = zip(stops[::2], stops[1::2], strict=True)
    return [
        s.moved(pose) for a, b in runs if b > a for s in box((a, -0.002, low), (b, thick, low + height), material, True)
    ]
