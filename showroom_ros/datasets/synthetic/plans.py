"""Draws floor plans: the shapes of rooms, which rooms lie beside each other, and where doors and windows are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from showroom_ros.datasets.synthetic.floor_plan import Array, FloorPlan, Home, Opening, Passage, Rectangle
from showroom_ros.errors import InputError

SHAPES = ("rectangle", "L", "T", "U")
_SIZES = {
    "living room": ((3.8, 4.4), (4.6, 5.3)),
    "bedroom": ((3.2, 4.2), (3.8, 4.8)),
    "study": ((3.2, 4.2), (3.8, 5.0)),
    "kitchen": ((2.9, 3.6), (3.4, 4.6)),
    "dining room": ((3.5, 4.3), (3.9, 5.0)),
    "office": ((3.8, 4.8), (4.8, 6.2)),
    "bathroom": ((2.3, 2.9), (2.8, 3.6)),
    "hallway": ((1.9, 2.3), (3.8, 5.2)),
}
"""Width and depth in metres a rectangular room of each kind is drawn from."""

_SMALL = ("bathroom", "hallway", "kitchen")
_ATTEMPTS = 400
_OUTSIDE_M = 0.30
"""Free space needed behind a window or a closed door."""


def make_home(rng: Generator, kinds: list[str], shape: str | None = None) -> Home:
    """Draws a home with a room of each kind; the first one has ``shape``, the others are rectangles.

    Args:
        rng: source of every choice.
        kinds: of the rooms, of ``_SIZES``.
        shape: one of ``SHAPES``; None draws one.
    """
    rooms = [_first_room(rng, kinds[0], shape)]
    passages: list[Passage] = []
    thickness = rng.uniform(0.10, 0.15)
    for kind in kinds[1:]:
        rooms, passage = _extended(rng, rooms, kind, thickness)
        passages.append(passage)
    for number in range(len(rooms)):
        rooms[number] = _with_openings(rng, rooms, number, entrance=number == 0)
    return Home(tuple(rooms), tuple(passages))


def _first_room(rng: Generator, kind: str, shape: str | None) -> FloorPlan:
    drawn = str(rng.choice(SHAPES, p=(0.55, 0.25, 0.1, 0.1)))
    if shape is None:
        shape = "rectangle" if kind in _SMALL else drawn
    (w0, w1), (d0, d1) = _SIZES[kind]
    width, depth = rng.uniform(w0, w1), rng.uniform(d0, d1)
    if shape != "rectangle":
        width, depth = max(width, 3.6) + 0.8, max(depth, 3.8) + 0.6
    corners = _corners(rng, shape, width, depth)
    if rng.random() < 0.5:
        corners = np.stack([-corners[::-1, 0] + corners[:, 0].max(), corners[::-1, 1]], 1)
    return _with_ceiling(rng, FloorPlan(corners, rng.uniform(2.45, 2.75), kind=kind), shape)


def _corners(rng: Generator, shape: str, w: float, d: float) -> Array:
    if shape == "L":
        x, y = w * rng.uniform(0.5, 0.6), d * rng.uniform(0.5, 0.6)
        return np.array([(0, 0), (w, 0), (w, y), (x, y), (x, d), (0, d)], np.float64)
    if shape == "T":
        a, b, y = w * rng.uniform(0.18, 0.26), w * rng.uniform(0.74, 0.82), d * rng.uniform(0.48, 0.56)
        return np.array([(0, 0), (w, 0), (w, y), (b, y), (b, d), (a, d), (a, y), (0, y)], np.float64)
    if shape == "U":
        w += 0.8
        a, b, y = w * rng.uniform(0.38, 0.42), w * rng.uniform(0.58, 0.62), d * rng.uniform(0.55, 0.65)
        return np.array([(0, 0), (w, 0), (w, d), (b, d), (b, y), (a, y), (a, d), (0, d)], np.float64)
    return np.array([(0, 0), (w, 0), (w, d), (0, d)], np.float64)


def _with_ceiling(rng: Generator, plan: FloorPlan, shape: str) -> FloorPlan:
    ceiling = str(rng.choice(("flat", "beams", "coving", "shed", "gable"), p=(0.45, 0.12, 0.25, 0.08, 0.10)))
    if ceiling in ("beams", "shed", "gable") and (shape != "rectangle" or plan.kind in ("bathroom", "hallway")):
        ceiling = "flat"
    rise = rng.uniform(0.6, 1.1) if ceiling in ("shed", "gable") else 0.0
    return replace(plan, ceiling=ceiling, rise_m=rise)


def _extended(rng: Generator, rooms: list[FloorPlan], kind: str, thickness: float) -> tuple[list[FloorPlan], Passage]:
    """Adds a rectangular room behind some wall, with a doorway through it."""
    (w0, w1), (d0, d1) = _SIZES[kind]
    for _ in range(_ATTEMPTS):
        number = 0 if rng.random() < 0.6 else int(rng.integers(len(rooms)))
        plan = rooms[number]
        wall = int(rng.integers(plan.wall_count))
        start, direction, normal, length = plan.wall(wall)
        size = np.array([rng.uniform(w0, w1), rng.uniform(d0, d1)])[:: 1 if rng.random() < 0.5 else -1]
        along = float(size @ np.abs(direction))
        deep = float(size @ np.abs(normal))
        wide = float(rng.choice((rng.uniform(0.9, 1.0), rng.uniform(1.3, 1.6)), p=(0.75, 0.25)))
        offset = rng.uniform(1.5 - along, length - 1.5)
        a, b = max(0.0, offset) + 0.2, min(length, offset + along) - 0.2
        if b - a < wide:
            continue
        near = start + offset * direction - thickness * normal
        far = near + along * direction - deep * normal
        low, high = np.minimum(near, far), np.maximum(near, far)
        if any(_touches((*low, *high), block, 0.95 * thickness) for room in rooms for block in room.blocks):
            continue
        door = rng.uniform(a, b - wide)
        if any(o.wall == wall and door < o.end_m + 0.3 and door + wide > o.start_m - 0.3 for o in plan.openings):
            continue
        corners = np.array([(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])])
        new = _with_ceiling(rng, FloorPlan(corners, rng.uniform(2.45, 2.7), kind=kind), "rectangle")
        return _joined_by_doorway(rooms, number, wall, new, (door, door + wide), thickness, rng.uniform(2.03, 2.15))
    raise InputError(f"no place for a {kind} beside {len(rooms)} other rooms was found in {_ATTEMPTS} attempts")


def _joined_by_doorway(
    rooms: list[FloorPlan],
    number: int,
    wall: int,
    new: FloorPlan,
    span: tuple[float, float],
    thickness: float,
    high: float,
) -> tuple[list[FloorPlan], Passage]:
    plan = rooms[number]
    start, direction, normal, _ = plan.wall(wall)
    here = [start + t * direction for t in span]
    there = [point - thickness * normal for point in here]
    for other in range(4):
        first, along, inward, _ = new.wall(other)
        if inward @ normal < -0.5:
            ends = sorted(float((point - first) @ along) for point in there)
            back = Opening("doorway", other, ends[0], ends[1], 0.0, high)
    new = replace(new, openings=(back,))
    own = replace(plan, openings=(*plan.openings, Opening("doorway", wall, *span, 0.0, high)))
    points = np.array([*here, *there])
    floor = (*points.min(0).tolist(), *points.max(0).tolist())
    passage = Passage((number, len(rooms)), floor, int(abs(normal[1]) > 0.5), high)  # type: ignore[arg-type]
    return [*rooms[:number], own, *rooms[number + 1 :], new], passage


def _with_openings(rng: Generator, rooms: list[FloorPlan], number: int, entrance: bool) -> FloorPlan:
    """Adds a closed door (more than one at times) and the windows."""
    plan = rooms[number]
    doors = int(entrance) + int(rng.random() < (0.9 if plan.kind == "hallway" else 0.25))
    windows = (
        0 if plan.kind == "hallway" else 1 if plan.kind == "bathroom" else int(rng.choice((1, 2, 3), p=(0.2, 0.6, 0.2)))
    )
    openings = list(plan.openings)
    order = [int(i) for i in rng.permutation(plan.wall_count)]
    for kind, count in (("door", doors), ("window", windows)):
        for wall in order * 2:
            if sum(o.kind == kind for o in openings) >= count:
                break
            made = _opening(rng, plan, wall, kind)
            if made is not None and _fits(made, plan, openings) and _outside_is_free(made, rooms, number):
                openings.append(made)
        order = order[1:] + order[:1]
    return replace(plan, openings=tuple(openings))


def _opening(rng: Generator, plan: FloorPlan, wall: int, kind: str) -> Opening | None:
    length = plan.wall(wall)[3]
    if kind == "door":
        wide, low, high = rng.uniform(0.85, 0.92), 0.0, rng.uniform(2.0, 2.08)
    else:
        wide = rng.uniform(0.6, 0.8) if plan.kind == "bathroom" else rng.uniform(1.1, min(2.1, max(1.15, length - 1.0)))
        low = 1.25 if plan.kind == "bathroom" else float(rng.choice((0.9, 0.9, 1.0, 0.45)))
        low = max(low, 1.05) if plan.kind == "kitchen" else low
        high = min(plan.height_m - 0.25, rng.uniform(2.05, 2.25))
    if length < wide + 0.6:
        return None
    start = rng.uniform(0.25, length - wide - 0.25) if kind == "door" else (length - wide) * rng.uniform(0.35, 0.65)
    return Opening(kind, wall, start, start + wide, low, high)


def _fits(made: Opening, plan: FloorPlan, openings: list[Opening]) -> bool:
    """Whether it is clear of other openings, also of those round a corner."""
    length = plan.wall(made.wall)[3]
    before, after = (made.wall - 1) % plan.wall_count, (made.wall + 1) % plan.wall_count
    for other in openings:
        if other.wall == made.wall and made.start_m < other.end_m + 0.4 and made.end_m > other.start_m - 0.4:
            return False
        if made.kind == "door" and other.kind != "window":
            near_end = other.wall == after and other.start_m < 0.5 and made.end_m > length - 0.9
            if near_end or (other.wall == before and made.start_m < 0.5 and other.end_m > plan.wall(before)[3] - 0.9):
                return False
    return True


def _outside_is_free(made: Opening, rooms: list[FloorPlan], number: int) -> bool:
    start, direction, normal, _ = rooms[number].wall(made.wall)
    ends = np.stack(
        [start + made.start_m * direction - 0.01 * normal, start + made.end_m * direction - _OUTSIDE_M * normal]
    )
    low, high = ends.min(0), ends.max(0)
    return not any(_touches((*low, *high), block, 0.0) for room in rooms for block in room.blocks)


def _touches(a: Rectangle, b: Rectangle, gap: float) -> bool:
    return a[0] < b[2] + gap and a[2] > b[0] - gap and a[1] < b[3] + gap and a[3] > b[1] - gap
