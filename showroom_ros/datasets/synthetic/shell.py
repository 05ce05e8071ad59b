"""The shell of a room: floor, ceiling, walls with recessed doors and windows, skirting, ceiling lamp, curtains."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.random import Generator

from showroom_ros.datasets.synthetic.layout import Array, FloorPlan, Opening
from showroom_ros.datasets.synthetic.lighting import AreaLight
from showroom_ros.datasets.synthetic.palette import Palette
from showroom_ros.datasets.synthetic.solids import Surface, box, cells, curtain, panel, revolved
from showroom_ros.datasets.synthetic.textures import Material

Part = tuple[str, str, list[Surface]]
"""Category, name of its ``room.Layout`` class, surfaces."""

RECESS_M = {"door": 0.05, "window": 0.14}
_UP = np.array([0.0, 0.0, 1.0])


def build_shell(rng: Generator, plan: FloorPlan, palette: Palette) -> tuple[list[Part], list[AreaLight]]:
    """Everything that is built in, and the lights that come with it."""
    parts: list[Part] = [
        ("floor", "floor", [_slab(plan, 0.0, palette.floor)]),
        ("ceiling", "ceiling", [_slab(plan, plan.height_m, palette.ceiling)]),
    ]
    accent = int(rng.integers(plan.wall_count))
    for wall in range(plan.wall_count):
        material = palette.accent_wall if wall == accent else palette.wall
        parts.append(("wall", "wall", [_wall(plan, wall, material)]))
        parts.append(("skirting", "wall", _skirting(plan, wall, palette)))
    lights = []
    for opening in plan.openings:
        pose = _wall_pose(plan, opening)
        make = _door if opening.kind == "door" else _window
        parts.append((opening.kind, "wall", [s.moved(pose) for s in make(opening, palette)]))
        if opening.kind == "window":
            parts += [("curtain", "object", [s.moved(pose) for s in c]) for c in _curtains(rng, plan, opening, palette)]
            lights.append(_daylight(opening, pose))
    center = _lamp_place(plan)
    lamp = revolved([(0.20, -0.09), (0.24, -0.05), (0.24, 0.0)], (*center, plan.height_m), palette.lamp, 28)
    parts.append(("ceiling lamp", "object", lamp))
    lights.append(AreaLight.disc((*center, plan.height_m - 0.12), 0.22, (0, 0, -1), np.array([9.0, 8.2, 7.0])))
    return parts, lights


def _slab(plan: FloorPlan, height: float, material: Material) -> Surface:
    low, high = plan.corners.min(0), plan.corners.max(0)
    us = cells(high[0] - low[0], plan.corners[:, 0] - low[0])
    vs = cells(high[1] - low[1], plan.corners[:, 1] - low[1])
    holes = _outside(plan, us, vs, low)
    if height == 0:
        return panel((*low, 0), (1, 0, 0), (0, 1, 0), us, vs, material, holes)
    flipped = [(us[-1] - u1, v0, us[-1] - u0, v1) for u0, v0, u1, v1 in holes]
    return panel((high[0], low[1], height), (-1, 0, 0), (0, 1, 0), (us[-1] - us)[::-1], vs, material, flipped)


def _outside(plan: FloorPlan, us: Array, vs: Array, low: Array) -> list[tuple[float, float, float, float]]:
    x = np.unique(np.round(plan.corners[:, 0] - low[0], 9))
    y = np.unique(np.round(plan.corners[:, 1] - low[1], 9))
    del us, vs
    blocks = [(x0, y0, x1, y1) for x0, x1 in pairwise(x) for y0, y1 in pairwise(y)]
    middles = np.array([[(x0 + x1) / 2, (y0 + y1) / 2] for x0, y0, x1, y1 in blocks]) + low
    return [block for block, d in zip(blocks, plan.wall_distance(middles), strict=True) if d < 0]


def _wall(plan: FloorPlan, wall: int, material: Material) -> Surface:
    start, direction, _, length = plan.wall(wall)
    holes = [(length - o.end_m, o.low_m, length - o.start_m, o.high_m) for o in plan.openings if o.wall == wall]
    us = cells(length, [u for hole in holes for u in (hole[0], hole[2])])
    vs = cells(plan.height_m, [v for hole in holes for v in (hole[1], hole[3])])
    end = start + direction * length
    return panel((*end, 0), (*-direction, 0), _UP, us, vs, material, holes)


def _wall_pose(plan: FloorPlan, opening: Opening) -> Array:
    """Frame of an opening: x along the wall, y into the room, origin at its lower middle."""
    start, direction, normal, _ = plan.wall(opening.wall)
    pose = np.eye(4)
    pose[:2, 0], pose[:2, 1] = direction, normal
    pose[:2, 3] = start + direction * (opening.start_m + opening.end_m) / 2
    pose[2, 3] = opening.low_m
    return pose


def _skirting(plan: FloorPlan, wall: int, palette: Palette) -> list[Surface]:
    start, direction, normal, length = plan.wall(wall)
    doors = sorted((o.start_m - 0.09, o.end_m + 0.09) for o in plan.openings if o.wall == wall and o.kind == "door")
    stops = [0.0, *(s for door in doors for s in door), length]
    pose = np.eye(4)
    pose[:2, 0], pose[:2, 1], pose[:2, 3] = direction, normal, start
    runs = zip(stops[::2], stops[1::2], strict=True)
    return [s.moved(pose) for a, b in runs if b > a for s in box((a, -0.002, 0), (b, 0.016, 0.09), palette.trim)]


def _recess(width: float, height: float, depth: float, sides: Material, back: Material) -> list[Surface]:
    """Inside of an opening seen from the room: four reveals and the back."""
    w, (us, vs, ds) = width / 2, (cells(width), cells(height), cells(depth))
    x, y = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    return [
        panel((w, -depth, 0), -x, _UP, us, vs, back),
        panel((-w, -depth, 0), y, _UP, ds, vs, sides),
        panel((w, 0, 0), -y, _UP, ds, vs, sides),
        panel((-w, -depth, 0), x, y, us, ds, sides),
        panel((w, -depth, height), -x, y, us, ds, sides),
    ]


def _frame(
    width: float, height: float, y0: float, y1: float, thick: float, material: Material, sill: bool
) -> list[Surface]:
    w = width / 2
    surfaces = box((-w, y0, 0), (-w + thick, y1, height), material) + box((w - thick, y0, 0), (w, y1, height), material)
    surfaces += box((-w + thick, y0, height - thick), (w - thick, y1, height), material)
    return surfaces + (box((-w + thick, y0, 0), (w - thick, y1, thick), material) if sill else [])


def _door(opening: Opening, palette: Palette) -> list[Surface]:
    width, height, depth = opening.end_m - opening.start_m, opening.high_m, RECESS_M["door"]
    surfaces = _recess(width, height, depth, palette.trim, palette.dark_wood)
    surfaces += _frame(width + 0.16, height + 0.08, -0.002, 0.02, 0.08, palette.trim, sill=False)
    w = width / 2 - 0.12
    for low, high in ((0.15, 0.85), (1.0, height - 0.15)):
        surfaces += box((-w, -depth - 0.01, low), (w, -depth + 0.015, high), palette.dark_wood)
    x = -width / 2 + 0.07
    return surfaces + box((x - 0.025, -depth - 0.01, 0.98), (x + 0.10, -depth + 0.05, 1.02), palette.metal)


def _window(opening: Opening, palette: Palette) -> list[Surface]:
    width, height, depth = opening.end_m - opening.start_m, opening.high_m - opening.low_m, RECESS_M["window"]
    pane = Material("window view", palette.outdoors.texture, (width, height), palette.outdoors.emission)
    surfaces = _recess(width, height, depth, palette.trim, pane)
    surfaces += _frame(width, height, -depth - 0.01, -depth + 0.05, 0.06, palette.trim, sill=True)
    surfaces += box((-0.03, -depth - 0.01, 0.06), (0.03, -depth + 0.045, height - 0.06), palette.trim)
    return surfaces + box((-width / 2 - 0.06, -0.01, -0.04), (width / 2 + 0.06, 0.09, -0.0005), palette.trim)


def _curtains(rng: Generator, plan: FloorPlan, opening: Opening, palette: Palette) -> list[list[Surface]]:
    length = plan.wall(opening.wall)[3]
    half = (opening.end_m - opening.start_m) / 2
    low = rng.uniform(-0.30, -0.15)
    top = opening.high_m - opening.low_m + 0.12
    found = []
    for x in (-half - 0.30, half - 0.02):
        along = x + opening.start_m + half
        if along > 0.02 and along + 0.32 < length - 0.02:
            found.append(curtain((x, 0.06, low), 0.32, top - low, palette.curtain))
    rod = -half - 0.34, half + 0.34
    if found and rod[0] + opening.start_m + half > 0 and rod[1] + opening.start_m + half < length:
        found.append(box((rod[0], 0.10, top + 0.001), (rod[1], 0.14, top + 0.041), palette.metal))
    return found


def _daylight(opening: Opening, pose: Array) -> AreaLight:
    width, height = opening.end_m - opening.start_m, opening.high_m - opening.low_m
    center = pose[:3, :3] @ np.array([0, 0.02, height / 2]) + pose[:3, 3]
    power = np.array([7.0, 8.0, 9.5]) * width * height / 2
    return AreaLight.rectangle(center, pose[:3, 0] * width * 0.8, _UP * height * 0.8, pose[:3, 1], power)


def _lamp_place(plan: FloorPlan) -> Array:
    low, high = plan.corners.min(0), plan.corners.max(0)
    x, y = np.meshgrid(np.linspace(low[0], high[0], 41), np.linspace(low[1], high[1], 41))
    points = np.stack([x.ravel(), y.ravel()], -1)
    return points[np.argmax(plan.wall_distance(points))]
