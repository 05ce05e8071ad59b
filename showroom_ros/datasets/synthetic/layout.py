"""Floor plans, and where furniture stands in them.

A plan is a rectilinear polygon (rectangles and L-shapes so far) with doors and windows in its walls.
Furniture is placed one piece at a time by what it is: with its back to a wall, in the middle, in a
corner, on the wall, or on top of another piece; nothing overlaps and doors stay free.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from showroom_ros.datasets.synthetic.piece import Piece

Array = NDArray[np.float64]

WALL_GAP_M = 0.02
_ATTEMPTS = 60


@dataclass(frozen=True)
class Opening:
    """A door or window: ``wall`` index, span ``start_m``..``end_m`` along it and ``low_m``..``high_m`` up."""

    kind: str
    wall: int
    start_m: float
    end_m: float
    low_m: float
    high_m: float


@dataclass(frozen=True, eq=False)
class FloorPlan:
    """A rectilinear room.

    Attributes:
        corners: float64 [N, 2], counter-clockwise; wall i runs from corner i to corner i + 1.
        height_m: of the ceiling.
        openings: doors and windows.
    """

    corners: Array
    height_m: float
    openings: tuple[Opening, ...] = ()

    @property
    def wall_count(self) -> int:
        """Number of walls."""
        return len(self.corners)

    def wall(self, index: int) -> tuple[Array, Array, Array, float]:
        """Start [2], direction [2], normal into the room [2] and length in metres of a wall."""
        start, end = self.corners[index], self.corners[(index + 1) % len(self.corners)]
        length = float(np.linalg.norm(end - start))
        direction = (end - start) / length
        return start, direction, np.array([-direction[1], direction[0]]), length

    def wall_distance(self, points: Array) -> Array:
        """Distance in metres of points [..., 2] to the nearest wall, negative outside the plan."""
        distance = np.full(points.shape[:-1], np.inf)
        inside = np.zeros(points.shape[:-1], bool)
        for i in range(self.wall_count):
            start, direction, _, length = self.wall(i)
            offset = points - start
            along = np.clip(offset @ direction, 0, length)
            distance = np.minimum(distance, np.linalg.norm(offset - along[..., None] * direction, axis=-1))
            end = start + direction * length
            crosses = (start[1] > points[..., 1]) != (end[1] > points[..., 1])
            if start[1] != end[1]:
                inside ^= crosses & (points[..., 0] < start[0])
        return np.where(inside, distance, -distance)


@dataclass(frozen=True, eq=False)
class Placed:
    """A piece where it stands: ``pose`` float64 [4, 4], piece to room; ``footprint`` x0, y0, x1, y1."""

    piece: Piece
    pose: Array
    footprint: tuple[float, float, float, float]

    @property
    def low_m(self) -> float:
        """Height of its lower end above the floor."""
        return float(self.pose[2, 3])

    @property
    def high_m(self) -> float:
        """Height of its upper end above the floor."""
        return self.low_m + self.piece.height


@dataclass(eq=False)
class Arrangement:
    """Furniture placed in a plan so far."""

    plan: FloorPlan
    placed: list[Placed] = field(default_factory=list)

    def against_wall(self, rng: Generator, piece: Piece, corner: bool = False) -> Placed | None:
        """Stands a piece with its back to some wall (in a corner of it), or returns None."""
        for _ in range(_ATTEMPTS):
            wall = int(rng.integers(self.plan.wall_count))
            length = self.plan.wall(wall)[3]
            half = piece.width / 2 + WALL_GAP_M
            if length < 2 * half:
                continue
            along = rng.uniform(half, length - half)
            if corner:
                along = half + 0.04 if rng.random() < 0.5 else length - half - 0.04
            if (placed := self.at_wall(piece, wall, along)) is not None:
                return placed
        return None

    def at_wall(self, piece: Piece, wall: int, along_m: float, height_m: float = 0.0) -> Placed | None:
        """Puts a piece at a place along a wall if it is free there."""
        gap = WALL_GAP_M if height_m == 0 else 0.0
        start, direction, normal, _ = self.plan.wall(wall)
        foot = start + direction * along_m + normal * gap
        return (
            self._add(piece, foot, normal, height_m)
            if self._clear_of_openings(piece, wall, along_m, height_m)
            else None
        )

    def facing(self, piece: Piece, other: Placed, distance_m: float, aside_m: float = 0.0) -> Placed | None:
        """Puts a piece before another one, turned towards it."""
        forward = other.pose[:2, 1]
        side = other.pose[:2, 0]
        back = other.pose[:2, 3] + forward * (other.piece.depth + distance_m + piece.depth) + side * aside_m
        return self._add(piece, back, -forward)

    def beside(self, piece: Piece, other: Placed, gap_m: float = 0.05) -> Placed | None:
        """Puts a piece at one side of another one, backs in line."""
        for sign in (1, -1):
            offset = other.pose[:2, 0] * sign * (other.piece.width / 2 + gap_m + piece.width / 2)
            if (placed := self._add(piece, other.pose[:2, 3] + offset, other.pose[:2, 1])) is not None:
                return placed
        return None

    def free_standing(self, rng: Generator, piece: Piece, margin_m: float) -> Placed | None:
        """Puts a piece somewhere off the walls."""
        low, high = self.plan.corners.min(0), self.plan.corners.max(0)
        for _ in range(_ATTEMPTS):
            forward = np.roll([0.0, float(rng.choice([-1, 1]))], int(rng.integers(2)))
            foot = rng.uniform(low, high)
            if (placed := self._add(piece, foot, forward, wall_gap_m=margin_m)) is not None:
                return placed
        return None

    def on_top(self, rng: Generator, piece: Piece) -> Placed | None:
        """Stands a small piece on a free top of a larger one."""
        bases = [p for p in self.placed if p.piece.top_m is not None]
        for _ in range(_ATTEMPTS if bases else 0):
            base = bases[int(rng.integers(len(bases)))]
            slack_x = base.piece.width / 2 - piece.width / 2 - 0.03
            slack_y = base.piece.depth - piece.depth - 0.06
            if slack_x <= 0 or slack_y <= 0:
                continue
            local = np.array([rng.uniform(-slack_x, slack_x), rng.uniform(0.03, 0.03 + slack_y)])
            foot = base.pose[:2, 3] + base.pose[:2, :2] @ local
            if (
                placed := self._add(piece, foot, base.pose[:2, 1], base.low_m + (base.piece.top_m or 0), on=base)
            ) is not None:
                return placed
        return None

    def _add(
        self,
        piece: Piece,
        foot: Array,
        forward: Array,
        height_m: float = 0.0,
        wall_gap_m: float = -1e-6,
        on: Placed | None = None,
    ) -> Placed | None:
        pose = np.eye(4)
        pose[:2, 1] = forward
        pose[:2, 0] = (forward[1], -forward[0])
        pose[:3, 3] = (*foot, height_m)
        local = np.array([[x, y] for x in (-piece.width / 2, piece.width / 2) for y in (0.0, piece.depth)])
        corners = local @ pose[:2, :2].T + pose[:2, 3]
        placed = Placed(piece, pose, (*corners.min(0), *corners.max(0)))
        if (self.plan.wall_distance(corners) < wall_gap_m).any() or self._blocks_door(placed):
            return None
        if any(_overlap(placed, other) for other in self.placed if other is not on):
            return None
        self.placed.append(placed)
        return placed

    def _clear_of_openings(self, piece: Piece, wall: int, along_m: float, height_m: float) -> bool:
        for opening in self.plan.openings:
            reach = piece.width / 2 + (0.12 if opening.kind == "door" else 0.08)
            over = opening.start_m - reach < along_m < opening.end_m + reach
            if opening.wall == wall and over and height_m + piece.height > opening.low_m - 0.06:
                return False
        return True

    def _blocks_door(self, placed: Placed) -> bool:
        if placed.piece.height < 0.05 or placed.low_m > 0:
            return False
        for door in (o for o in self.plan.openings if o.kind == "door"):
            start, direction, normal, _ = self.plan.wall(door.wall)
            ends = np.stack([start + direction * door.start_m, start + direction * door.end_m + normal * 0.75])
            low, high = ends.min(0), ends.max(0)
            x0, y0, x1, y1 = placed.footprint
            if x0 < high[0] and x1 > low[0] and y0 < high[1] and y1 > low[1]:
                return True
        return False


def _overlap(a: Placed, b: Placed) -> bool:
    if a.low_m >= b.high_m - 1e-6 or b.low_m >= a.high_m - 1e-6:
        return False
    if min(a.piece.height, b.piece.height) < 0.05 and a.low_m == b.low_m:  # a rug lies under things
        return a.piece.category == b.piece.category
    gap = 0.03
    return (
        a.footprint[0] < b.footprint[2] + gap
        and a.footprint[2] > b.footprint[0] - gap
        and a.footprint[1] < b.footprint[3] + gap
        and a.footprint[3] > b.footprint[1] - gap
    )


def make_plan(rng: Generator, shape: str = "rectangle") -> FloorPlan:
    """Draws a floor plan of ``shape`` "rectangle" or "L" with one door and one or two windows."""
    width, depth, height = rng.uniform(3.8, 4.4), rng.uniform(4.6, 5.3), rng.uniform(2.5, 2.7)
    corners = [(0.0, 0.0), (width, 0.0), (width, depth), (0.0, depth)]
    if shape == "L":
        width, depth = width + 0.8, depth + 0.6
        x, y = width * rng.uniform(0.5, 0.6), depth * rng.uniform(0.5, 0.6)
        corners = [(0.0, 0.0), (width, 0.0), (width, y), (x, y), (x, depth), (0.0, depth)]
    plan = FloorPlan(np.array(corners), height)
    openings: list[Opening] = []
    order = [int(i) for i in rng.permutation(plan.wall_count)]
    for wall in order:
        length = plan.wall(wall)[3]
        kind = "door" if not openings else "window"
        wide = rng.uniform(0.85, 0.92) if kind == "door" else rng.uniform(1.2, min(1.8, max(1.21, length - 0.9)))
        if length < wide + 0.6 or len(openings) >= 3:
            continue
        start = rng.uniform(0.25, length - wide - 0.25) if kind == "door" else (length - wide) * rng.uniform(0.35, 0.65)
        low, high = (0.0, 2.05) if kind == "door" else (0.9, min(height - 0.2, 2.25))
        openings.append(Opening(kind, wall, start, start + wide, low, high))
    return FloorPlan(plan.corners, height, tuple(openings))
