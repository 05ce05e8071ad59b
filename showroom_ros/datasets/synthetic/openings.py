"""What fills the openings in walls: closed doors, windows with their curtains and blinds, open doorways."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from showroom_ros.datasets.synthetic.floor_plan import Array, FloorPlan, Opening, Passage
from showroom_ros.datasets.synthetic.lighting import AreaLight
from showroom_ros.datasets.synthetic.palette import Palette
from showroom_ros.datasets.synthetic.solids import Surface, box, cells, curtain, panel
from showroom_ros.datasets.synthetic.textures import Material

Part = tuple[str, str, list[Surface]]
"""Category, name of its ``room.Layout`` class, surfaces."""

RECESS_M = {"door": 0.05, "window": 0.14}
_UP = np.array([0.0, 0.0, 1.0])


def wall_pose(plan: FloorPlan, wall: int, along_m: float, height_m: float) -> Array:
    """Frame [4, 4] of a place on a wall: x along the wall, y into the room."""
    start, direction, normal, _ = plan.wall(wall)
    pose = np.eye(4)
    pose[:2, 0], pose[:2, 1] = direction, normal
    pose[:2, 3] = start + direction * along_m
    pose[2, 3] = height_m
    return pose


def _pose(plan: FloorPlan, opening: Opening) -> Array:
    return wall_pose(plan, opening.wall, (opening.start_m + opening.end_m) / 2, opening.low_m)


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


def door(plan: FloorPlan, opening: Opening, palette: Palette) -> Part:
    """A closed panelled door in its frame; white in some rooms, wood in others."""
    width, height, depth = opening.end_m - opening.start_m, opening.high_m, RECESS_M["door"]
    leaf = palette.dark_wood if palette.home.seed % 3 else palette.trim
    surfaces = _recess(width, height, depth, palette.trim, leaf)
    surfaces += _frame(width + 0.16, height + 0.08, -0.002, 0.02, 0.08, palette.trim, sill=False)
    surfaces += _leaf_panels(width, height, -depth, leaf)
    x = -width / 2 + 0.07
    surfaces += box((x - 0.025, -depth - 0.01, 0.98), (x + 0.10, -depth + 0.05, 1.02), palette.metal)
    pose = _pose(plan, opening)
    return "door", "wall", [s.moved(pose) for s in surfaces]


def _leaf_panels(width: float, height: float, face: float, material: Material) -> list[Surface]:
    w = width / 2 - 0.12
    spans = ((0.15, 0.85), (1.0, height - 0.15))
    return [s for low, high in spans for s in box((-w, face - 0.01, low), (w, face + 0.015, high), material)]


def window(rng: Generator, plan: FloorPlan, opening: Opening, palette: Palette) -> list[Part]:
    """A window of one to three lights, with bars or without, and curtains, a blind or nothing before it."""
    width, height, depth = opening.end_m - opening.start_m, opening.high_m - opening.low_m, RECESS_M["window"]
    pane = Material("window view", palette.outdoors.texture, (width, height), palette.outdoors.emission)
    frame = palette.trim if palette.home.seed % 4 else palette.dark_wood
    surfaces = _recess(width, height, depth, palette.trim, pane)
    surfaces += _frame(width, height, -depth - 0.01, -depth + 0.05, 0.06, frame, sill=True)
    lights = int(rng.integers(1, 2 + int(width > 1.0) + int(width > 1.6)))
    for i in range(1, lights):
        x = -width / 2 + i * width / lights
        surfaces += box((x - 0.03, -depth - 0.01, 0.06), (x + 0.03, -depth + 0.045, height - 0.06), frame)
    if rng.random() < 0.35:
        for i in range(lights):
            a, b = (-width / 2 + (i + share) * width / lights for share in (0, 1))
            z = height * (0.68 if rng.random() < 0.5 else 0.5)
            surfaces += box((a + 0.031, -depth - 0.01, z - 0.02), (b - 0.031, -depth + 0.03, z + 0.02), frame)
    if opening.low_m > 0.3:
        surfaces += box((-width / 2 - 0.06, -0.01, -0.04), (width / 2 + 0.06, 0.09, -0.0005), palette.trim)
    pose = _pose(plan, opening)
    parts: list[Part] = [("window", "wall", [s.moved(pose) for s in surfaces])]
    pick = rng.random()
    if plan.kind in ("bathroom", "kitchen", "office") or pick < 0.25:
        if pick < 0.6:
            parts.append(("blind", "object", [s.moved(pose) for s in _blind(rng, width, height, palette)]))
    elif pick < 0.9:
        parts += [("curtain", "object", [s.moved(pose) for s in c]) for c in _curtains(rng, plan, opening, palette)]
    return parts


def _blind(rng: Generator, width: float, height: float, palette: Palette) -> list[Surface]:
    drop = height * rng.uniform(0.15, 0.5)
    surfaces = box((-width / 2 + 0.01, -0.07, height - 0.07), (width / 2 - 0.01, -0.01, height - 0.001), palette.trim)
    cloth = box((-width / 2 + 0.03, -0.05, height - drop), (width / 2 - 0.03, -0.03, height - 0.07), palette.curtain)
    return surfaces + cloth


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


def daylight(plan: FloorPlan, opening: Opening, palette: Palette) -> AreaLight:
    """What comes in through a window."""
    pose = _pose(plan, opening)
    width, height = opening.end_m - opening.start_m, opening.high_m - opening.low_m
    center = pose[:3, :3] @ np.array([0, 0.02, height / 2]) + pose[:3, 3]
    power = np.array(palette.mood.daylight) * width * height
    return AreaLight.rectangle(center, pose[:3, 0] * width * 0.8, _UP * height * 0.8, pose[:3, 1], power)


def doorway(rng: Generator, passage: Passage, palette: Palette) -> list[Part]:
    """Sill, reveals and lintel between two rooms, with a moulding on both sides."""
    x0, y0, x1, y1 = passage.floor
    across = passage.across
    size = (x1 - x0, y1 - y0)
    deep, wide, high = size[across], size[1 - across], passage.high_m
    pose = np.eye(4)
    if across == 0:  # frame with x along the wall and y through it
        pose[:2, 0], pose[:2, 1] = (0, 1), (-1, 0)
    pose[:2, 3] = (x0 + x1) / 2, (y0 + y1) / 2
    lining = palette.trim if rng.random() < 0.7 else palette.dark_wood
    us, vs, ds = cells(wide), cells(high), cells(deep)
    x, y, w, d = np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), wide / 2, deep / 2
    sides = [
        panel((-w, -d, 0), y, _UP, ds, vs, lining),
        panel((w, d, 0), -y, _UP, ds, vs, lining),
        panel((w, -d, high), -x, y, us, ds, lining),
    ]
    for sign in (1, -1):
        turn = np.diag([sign, sign, 1.0, 1.0])
        turn[:3, 3] = (0, sign * d, 0)
        sides += [s.moved(turn) for s in _frame(wide + 0.16, high + 0.08, -0.002, 0.018, 0.08, lining, sill=False)]
    sill = [panel((-w, -d, 0), x, y, us, ds, palette.dark_wood)]
    sill += box((-w + 0.001, -d - 0.01, -0.002), (w - 0.001, d + 0.01, 0.012), palette.dark_wood)
    return [
        ("doorway", "wall", [s.moved(pose) for s in sides]),
        ("sill", "floor", [s.moved(pose) for s in sill]),
    ]
