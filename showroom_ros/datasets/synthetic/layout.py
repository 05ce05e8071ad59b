"""Where furniture stands in a room.

It is placed one piece at a time by what it is: with its back to a wall, in the middle, in a corner, on
the wall, hanging, or on top of another piece. Nothing overlaps, doors stay free, and one can still walk
from every door to every other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from showroom_ros.datasets.synthetic.floor_plan import Array, FloorPlan, Rectangle
from showroom_ros.datasets.synthetic.piece import Piece

WALL_GAP_M = 0.02
_ATTEMPTS = 60
_CELL_M = 0.1
_PERSON_M = 0.34
"""Half the width of the ways that stay free."""


@dataclass(frozen=True, eq=False)
class Placed:
    """A piece where it stands: ``pose`` float64 [4, 4], piece to room; ``footprint`` x0, y0, x1, y1."""

    piece: Piece
    pose: Array
    footprint: Rectangle

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
    """Furniture placed in a room so far."""

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
            if corner or rng.random() < 0.25:
                along = half + 0.04 if rng.random() < 0.5 else length - half - 0.04
            if piece.corner:
                along = half if piece.corner < 0 else length - half
            if (placed := self.at_wall(piece, wall, along)) is not None:
                return placed
        return None

    def at_wall(self, piece: Piece, wall: int, along_m: float, height_m: float = 0.0) -> Placed | None:
        """Puts a piece at a place along a wall if it is free there."""
        if not self._clear_of_openings(piece, wall, along_m, height_m):
            return None
        gap = WALL_GAP_M if height_m == 0 else 0.0
        start, direction, normal, _ = self.plan.wall(wall)
        return self._add(piece, start + direction * along_m + normal * gap, normal, height_m)

    def facing(self, piece: Piece, other: Placed, distance_m: float, aside_m: float = 0.0) -> Placed | None:
        """Puts a piece before another one, turned towards it."""
        forward, side = other.pose[:2, 1], other.pose[:2, 0]
        back = other.pose[:2, 3] + forward * (other.piece.depth + distance_m + piece.depth) + side * aside_m
        return self._add(piece, back, -forward)

    def around(self, rng: Generator, pieces: list[Piece], table: Placed, gap_m: float = 0.05) -> list[Placed]:
        """Puts chairs at the sides of a table, turned towards it, as many as find room."""
        center = table.pose[:2, 3] + table.pose[:2, 1] * table.piece.depth / 2
        across, forward = table.pose[:2, 0], table.pose[:2, 1]
        half_w, half_d = table.piece.width / 2, table.piece.depth / 2
        spread = half_w / 2 if table.piece.width > 1.15 else 0.0
        seats = [
            (side * forward, half_d, x * across) for side in (1, -1) for x in ((-spread, spread) if spread else (0,))
        ]
        seats += [(side * across, half_w, 0 * across) for side in (1, -1)]
        found = []
        for piece, (outward, reach, aside) in zip(pieces, seats, strict=False):
            back = center + aside + outward * (reach + gap_m + piece.depth)
            angle = rng.normal(0, 0.05)
            toward = -outward * np.cos(angle) + np.array([outward[1], -outward[0]]) * np.sin(angle)
            if (placed := self._add(piece, back, toward)) is not None:
                found.append(placed)
        return found

    def beside(self, piece: Piece, other: Placed, gap_m: float = 0.05) -> Placed | None:
        """Puts a piece at one side of another one, backs in line."""
        for sign in (1, -1):
            offset = other.pose[:2, 0] * sign * (other.piece.width / 2 + gap_m + piece.width / 2)
            if not self._backs_onto_opening(piece, other.pose[:2, 3] + offset):
                placed = self._add(piece, other.pose[:2, 3] + offset, other.pose[:2, 1])
                if placed is not None:
                    return placed
        return None

    def free_standing(self, rng: Generator, piece: Piece, margin_m: float, turned: bool = False) -> Placed | None:
        """Puts a piece somewhere off the walls, ``turned`` by any angle or square to them."""
        for _ in range(_ATTEMPTS):
            angle = rng.uniform(0, 2 * np.pi) if turned else float(rng.integers(4)) * np.pi / 2
            forward = np.round(np.array([np.cos(angle), np.sin(angle)]), 12)
            foot = rng.uniform(self.plan.low, self.plan.high)
            if (placed := self._add(piece, foot, forward, wall_gap_m=margin_m)) is not None:
                return placed
        return None

    def central(self, piece: Piece) -> Placed | None:
        """Puts a piece into the roomiest place, its long side along the longer side of the room."""
        size = self.plan.high - self.plan.low
        forward = np.array([1.0, 0.0]) if (size[1] > size[0]) == (piece.width > piece.depth) else np.array([0.0, 1.0])
        order = np.argsort(-self._wall_distance.ravel(), kind="stable")[:: max(1, self._grid.size // 400)]
        for center in self._grid.reshape(-1, 2)[order[:40]]:
            if (placed := self._add(piece, center - forward * piece.depth / 2, forward, wall_gap_m=0.5)) is not None:
                return placed
        return None

    def hanging(self, piece: Piece, center: Array, top_m: float) -> Placed | None:
        """Hangs a piece with its middle over ``center`` [2] and its upper end at ``top_m``."""
        return self._add(piece, center - np.array([0, piece.depth / 2]), np.array([0.0, 1.0]), top_m - piece.height)

    def on_top(self, rng: Generator, piece: Piece, base: Placed | None = None) -> Placed | None:
        """Stands a small piece on a free top of a larger one (of ``base``)."""
        bases = [base] if base else [p for p in self.placed if p.piece.top_m is not None]
        for _ in range(_ATTEMPTS if bases else 0):
            chosen = bases[int(rng.integers(len(bases)))]
            slack_x = chosen.piece.width / 2 - piece.width / 2 - 0.03
            slack_y = chosen.piece.depth - piece.depth - 0.06
            if slack_x <= 0 or slack_y <= 0 or chosen.piece.top_m is None:
                continue
            local = np.array([rng.uniform(-slack_x, slack_x), rng.uniform(0.03, 0.03 + slack_y)])
            if (
                chosen.piece.round_top
                and np.hypot(local[0], local[1] + (piece.depth - chosen.piece.depth) / 2) > slack_x
            ):
                continue
            foot = chosen.pose[:2, 3] + chosen.pose[:2, :2] @ local
            height = chosen.low_m + chosen.piece.top_m
            if (placed := self._add(piece, foot, chosen.pose[:2, 1], height, on=chosen)) is not None:
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
        low, high = corners.min(0), corners.max(0)
        placed = Placed(piece, pose, (float(low[0]), float(low[1]), float(high[0]), float(high[1])))
        if height_m + piece.height > self.plan.height_m - 0.02 and piece.light is None:
            return None
        if not self._inside(placed.footprint, wall_gap_m) or self._blocks_door(placed):
            return None
        if any(_overlap(placed, other) for other in self.placed if other is not on):
            return None
        if on is None and height_m < 1.8 and piece.category != "rug" and not self._leaves_ways(placed):
            return None
        self.placed.append(placed)
        return placed

    def _inside(self, footprint: Rectangle, gap_m: float) -> bool:
        x0, y0, x1, y1 = footprint
        x, y = np.meshgrid(np.linspace(x0, x1, 5), np.linspace(y0, y1, 5))
        return bool((self.plan.wall_distance(np.stack([x, y], -1)) >= gap_m).all())

    def _clear_of_openings(self, piece: Piece, wall: int, along_m: float, height_m: float) -> bool:
        for opening in self.plan.openings:
            reach = piece.width / 2 + (0.12 if opening.kind != "window" else 0.08)
            over = opening.start_m - reach < along_m < opening.end_m + reach
            if opening.wall == wall and over and height_m + piece.height > opening.low_m - 0.06:
                return False
        return True

    def _backs_onto_opening(self, piece: Piece, foot: Array) -> bool:
        """Whether something put against a wall at ``foot`` would stand before an opening."""
        for opening in self.plan.openings:
            start, direction, normal, _ = self.plan.wall(opening.wall)
            along, off = (foot - start) @ direction, (foot - start) @ normal
            reach = piece.width / 2 + 0.12
            if 0 <= off < 0.2 and opening.start_m - reach < along < opening.end_m + reach:
                return piece.height > opening.low_m - 0.06
        return False

    def _blocks_door(self, placed: Placed) -> bool:
        if placed.piece.category == "rug" or placed.low_m > 2.1:  # a rug may lie before a door
            return False
        x0, y0, x1, y1 = placed.footprint
        for door in (o for o in self.plan.openings if o.kind != "window"):
            start, direction, normal, _ = self.plan.wall(door.wall)
            ends = np.stack([start + direction * door.start_m, start + direction * door.end_m + normal * 0.75])
            low, high = ends.min(0), ends.max(0)
            if x0 < high[0] and x1 > low[0] and y0 < high[1] and y1 > low[1]:
                return True
        return False

    @cached_property
    def _grid(self) -> Array:
        axes = [np.arange(self.plan.low[i] + _CELL_M / 2, self.plan.high[i], _CELL_M) for i in range(2)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), -1)

    @cached_property
    def _wall_distance(self) -> Array:
        return self.plan.wall_distance(self._grid)

    def _leaves_ways(self, placed: Placed) -> bool:
        """Whether one can still walk between all doors, and to most of what stays free."""
        free = self._wall_distance >= _PERSON_M
        for other in (*self.placed, placed):
            if other.high_m > 0.05 and other.low_m < 1.8:
                x0, y0, x1, y1 = other.footprint
                dx = np.maximum(x0 - self._grid[..., 0], self._grid[..., 0] - x1)
                dy = np.maximum(y0 - self._grid[..., 1], self._grid[..., 1] - y1)
                free &= np.maximum(dx, 0) ** 2 + np.maximum(dy, 0) ** 2 >= _PERSON_M**2
        if free.sum() * _CELL_M**2 < 0.5:
            return False
        doors = [o for o in self.plan.openings if o.kind != "window"]
        cells = [self._cell_before(wall, (a + b) / 2) for wall, a, b in ((d.wall, d.start_m, d.end_m) for d in doors)]
        if not all(free[cell] for cell in cells):
            return False
        seed = cells[0] if cells else tuple(np.argwhere(free)[0])
        reached = flooded(free, seed)
        return all(reached[cell] for cell in cells) and reached.sum() > 0.75 * free.sum()

    def _cell_before(self, wall: int, along_m: float) -> tuple[int, int]:
        start, direction, normal, _ = self.plan.wall(wall)
        point = start + direction * along_m + normal * 0.45
        x, y = np.floor((point - self.plan.low) / _CELL_M).astype(int)
        return int(min(x, self._grid.shape[0] - 1)), int(min(y, self._grid.shape[1] - 1))


def flooded(free: NDArray[np.bool_], seed: tuple[int, ...]) -> NDArray[np.bool_]:
    """The part of ``free`` [X, Y] that is joined to a cell by steps along the axes."""
    part = np.zeros_like(free)
    part[seed] = free[seed]
    size = 0
    while (count := int(part.sum())) > size:
        size = count
        for axis in (0, 1):
            for lines in (range(1, free.shape[axis]), range(free.shape[axis] - 2, -1, -1)):
                view, allowed = np.moveaxis(part, axis, 0), np.moveaxis(free, axis, 0)
                step = 1 if lines.step > 0 else -1
                for line in lines:
                    view[line] |= view[line - step] & allowed[line]
    return part


def _overlap(a: Placed, b: Placed) -> bool:
    if a.low_m >= b.high_m - 1e-6 or b.low_m >= a.high_m - 1e-6:
        return False
    if "rug" in (a.piece.category, b.piece.category) and a.low_m == b.low_m:  # a rug lies under things
        return a.piece.category == b.piece.category
    gap = 0.03
    return (
        a.footprint[0] < b.footprint[2] + gap
        and a.footprint[2] > b.footprint[0] - gap
        and a.footprint[1] < b.footprint[3] + gap
        and a.footprint[3] > b.footprint[1] - gap
    )
