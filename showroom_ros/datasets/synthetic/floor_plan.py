"""What a home is before anything stands in it: rooms with openings in their walls, and doorways between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rectangle = tuple[float, float, float, float]
"""x0, y0, x1, y1 in metres."""

CEILINGS = ("flat", "beams", "coving", "shed", "gable")


@dataclass(frozen=True)
class Opening:
    """A door, window or doorway: ``wall`` index, span ``start_m``..``end_m`` along it, ``low_m``..``high_m`` up.

    Doors are closed; a doorway leads into another room.
    """

    kind: str
    wall: int
    start_m: float
    end_m: float
    low_m: float
    high_m: float


@dataclass(frozen=True, eq=False)
class FloorPlan:
    """One rectilinear room.

    Attributes:
        corners: float64 [N, 2], counter-clockwise; wall i runs from corner i to corner i + 1.
        height_m: of the ceiling where it is lowest.
        openings: doors, windows and doorways.
        kind: what the room is for, one of ``interiors.KINDS``.
        ceiling: one of ``CEILINGS``; "shed" and "gable" are sloped and need a rectangle.
        rise_m: how much higher a sloped ceiling is at its highest.
    """

    corners: Array
    height_m: float
    openings: tuple[Opening, ...] = ()
    kind: str = "living room"
    ceiling: str = "flat"
    rise_m: float = 0.0

    @property
    def wall_count(self) -> int:
        """Number of walls."""
        return len(self.corners)

    @property
    def low(self) -> Array:
        """Smallest x and y, [2]."""
        return self.corners.min(0)

    @property
    def high(self) -> Array:
        """Largest x and y, [2]."""
        return self.corners.max(0)

    def wall(self, index: int) -> tuple[Array, Array, Array, float]:
        """Start [2], direction [2], normal into the room [2] and length in metres of a wall."""
        start, end = self.corners[index], self.corners[(index + 1) % len(self.corners)]
        length = float(np.linalg.norm(end - start))
        direction = (end - start) / length
        return start, direction, np.array([-direction[1], direction[0]]), length

    @cached_property
    def blocks(self) -> list[Rectangle]:
        """Rectangles that fill the room."""
        return [block for block, inside in self.grid_blocks() if inside]

    def grid_blocks(self) -> list[tuple[Rectangle, bool]]:
        """The rectangles between all lines through corners, and whether each belongs to the room."""
        x, y = (np.unique(np.round(self.corners[:, axis], 9)) for axis in (0, 1))
        found = [(float(x0), float(y0), float(x1), float(y1)) for x0, x1 in pairwise(x) for y0, y1 in pairwise(y)]
        middles = np.array([[(x0 + x1) / 2, (y0 + y1) / 2] for x0, y0, x1, y1 in found])
        return list(zip(found, self.contains(middles).tolist(), strict=True))

    @property
    def area_m2(self) -> float:
        """Area of the floor."""
        return sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in self.blocks)

    def contains(self, points: Array) -> NDArray[np.bool_]:
        """Whether points [..., 2] lie inside."""
        inside = np.zeros(points.shape[:-1], bool)
        for start, end in zip(self.corners, np.roll(self.corners, -1, 0), strict=True):
            if start[1] != end[1]:
                crosses = (start[1] > points[..., 1]) != (end[1] > points[..., 1])
                inside ^= crosses & (points[..., 0] < start[0])
        return inside

    def wall_distance(self, points: Array) -> Array:
        """Distance in metres of points [..., 2] to the nearest wall, negative outside the room."""
        segments = np.stack([self.corners, np.roll(self.corners, -1, 0)], 1)
        return np.where(self.contains(points), 1.0, -1.0) * segment_distance(segments, points)

    def ceiling_at(self, points: Array) -> Array:
        """Height in metres of the ceiling above points [..., 2]."""
        if self.ceiling not in ("shed", "gable"):
            return np.full(points.shape[:-1], self.height_m)
        size = self.high - self.low
        across = int(np.argmin(size))
        share = np.clip((points[..., across] - self.low[across]) / size[across], 0, 1)
        return self.height_m + self.rise_m * (share if self.ceiling == "shed" else 1 - np.abs(2 * share - 1))

    @property
    def ridge(self) -> tuple[int, float] | None:
        """Axis and place of the line where a gable's two slopes meet."""
        if self.ceiling != "gable":
            return None
        across = int(np.argmin(self.high - self.low))
        return across, float((self.low[across] + self.high[across]) / 2)


@dataclass(frozen=True, eq=False)
class Passage:
    """An open doorway: the rectangle of floor inside the wall between two rooms.

    Attributes:
        rooms: indices of the two rooms.
        floor: x0, y0, x1, y1 of the floor in the wall.
        across: axis along which one walks through, 0 = x.
        high_m: height of the lintel.
    """

    rooms: tuple[int, int]
    floor: Rectangle
    across: int
    high_m: float


@dataclass(frozen=True, eq=False)
class Home:
    """Rooms joined by open doorways; a single room is a home of one."""

    rooms: tuple[FloorPlan, ...]
    passages: tuple[Passage, ...] = ()

    @cached_property
    def corners(self) -> Array:
        """Corners of all rooms, float64 [N, 2]."""
        return np.concatenate([room.corners for room in self.rooms])

    @property
    def height_m(self) -> float:
        """Height of the highest ceiling."""
        return max(room.height_m + room.rise_m for room in self.rooms)

    @cached_property
    def _segments(self) -> Array:
        """What stops a person: walls less their doorways, and the reveals of the doorways, [S, 2, 2]."""
        segments = []
        for room in self.rooms:
            for wall in range(room.wall_count):
                start, direction, _, length = room.wall(wall)
                doorways = [(o.start_m, o.end_m) for o in room.openings if o.wall == wall and o.kind == "doorway"]
                stops = [0.0, *(stop for span in sorted(doorways) for stop in span), length]
                segments += [
                    (start + a * direction, start + b * direction) for a, b in zip(stops[::2], stops[1::2], strict=True)
                ]
        for passage in self.passages:
            low, high = np.array(passage.floor[:2]), np.array(passage.floor[2:])
            along = 1 - passage.across
            for side in (low[along], high[along]):
                ends = np.stack([low, high])
                ends[:, along] = side
                segments.append((ends[0], ends[1]))
        return np.array(segments)

    def contains(self, points: Array) -> NDArray[np.bool_]:
        """Whether points [..., 2] lie in a room or a doorway."""
        inside = np.zeros(points.shape[:-1], bool)
        for room in self.rooms:
            inside |= room.contains(points)
        for x0, y0, x1, y1 in (passage.floor for passage in self.passages):
            x, y = points[..., 0], points[..., 1]
            inside |= (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        return inside

    def wall_distance(self, points: Array) -> Array:
        """Distance in metres of points [..., 2] to the nearest wall or doorpost, negative outside."""
        return np.where(self.contains(points), 1.0, -1.0) * segment_distance(self._segments, points)


def segment_distance(segments: Array, points: Array) -> Array:
    """Distance of points [..., 2] to the nearest of segments [S, 2, 2]."""
    distance = np.full(points.shape[:-1], np.inf)
    for start, end in segments:
        length = float(np.linalg.norm(end - start))
        direction = (end - start) / max(length, 1e-12)
        offset = points - start
        along = np.clip(offset @ direction, 0, length)
        distance = np.minimum(distance, np.linalg.norm(offset - along[..., None] * direction, axis=-1))
    return distance
