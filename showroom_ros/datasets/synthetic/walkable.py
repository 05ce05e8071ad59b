"""Where a person with a camera can stand in a room, and the shortest ways between such places."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.synthetic.floor_plan import Home
from showroom_ros.datasets.synthetic.layout import Placed, flooded
from showroom_ros.errors import InputError

Array = NDArray[np.float64]

_CELL_M = 0.1
_STEPS = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dx, dy) != (0, 0)]


class WalkableSpace:
    """Cells of the floor at least ``clearance_m`` from walls and furniture, the largest connected part."""

    def __init__(self, plan: Home, furniture: tuple[Placed, ...], clearance_m: float) -> None:
        """Measures the clearance of every cell.

        Raises:
            InputError: nobody can stand anywhere in this room.
        """
        self.plan = plan
        solid = [p for p in furniture if p.high_m > 0.1 and p.low_m < 1.8]
        self._boxes = np.array([p.footprint for p in solid]).reshape(-1, 4)
        low, high = plan.corners.min(0), plan.corners.max(0)
        axes = [np.arange(low[i] + _CELL_M / 2, high[i], _CELL_M) for i in range(2)]
        self._grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
        self.free = self._largest_part(self.clearance(self._grid) >= clearance_m)
        if not self.free.any():
            raise InputError(f"the room has no free floor with {clearance_m} m of clearance")
        self._cells = np.argwhere(self.free)

    def clearance(self, points: Array) -> Array:
        """Distance in metres of points [..., 2] to the nearest wall or furniture; negative inside."""
        distance = self.plan.wall_distance(points)
        for x0, y0, x1, y1 in self._boxes:
            dx = np.maximum(x0 - points[..., 0], points[..., 0] - x1)
            dy = np.maximum(y0 - points[..., 1], points[..., 1] - y1)
            outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
            distance = np.minimum(distance, np.where(outside > 0, outside, np.maximum(dx, dy)))
        return distance

    def spread(self, count: int) -> Array:
        """Places [count, 2] spread over the free floor (farthest-point sampling from the roomiest one)."""
        points = self._grid[self.free]
        chosen = [int(np.argmax(self.clearance(points)))]
        distance = np.linalg.norm(points - points[chosen[0]], axis=1)
        while len(chosen) < min(count, len(points)):
            chosen.append(int(np.argmax(distance)))
            distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        return points[chosen]

    def ways_from(self, place: Array) -> tuple[Array, dict[tuple[int, int], tuple[int, int]]]:
        """Walking distance to every cell in metres and each cell's predecessor (Dijkstra, 1959)."""
        start = self._cell(place)
        distance = np.full(self.free.shape, np.inf)
        distance[start] = 0
        previous: dict[tuple[int, int], tuple[int, int]] = {}
        queue = [(0.0, start)]
        while queue:
            cost, cell = heapq.heappop(queue)
            if cost > distance[cell]:
                continue
            for dx, dy in _STEPS:
                x, y = cell[0] + dx, cell[1] + dy
                if not (0 <= x < self.free.shape[0] and 0 <= y < self.free.shape[1] and self.free[x, y]):
                    continue
                step = cost + _CELL_M * float(np.hypot(dx, dy))
                if step < distance[x, y] - 1e-12:
                    distance[x, y] = step
                    previous[x, y] = cell
                    heapq.heappush(queue, (step, (x, y)))
        return distance, previous

    def way(self, previous: dict[tuple[int, int], tuple[int, int]], start: Array, end: Array) -> Array:
        """Points [N, 2] from ``start`` to ``end``, given the predecessors from ``start``."""
        cell, points = self._cell(end), [end]
        while cell in previous:
            cell = previous[cell]
            points.append(self._grid[cell])
        return np.array([start, *points[::-1][1:]]) if len(points) > 1 else np.array([start, end])

    def distance_at(self, distance: Array, place: Array) -> float:
        """Walking distance to ``place`` out of the result of ``ways_from``."""
        return float(distance[self._cell(place)])

    def _cell(self, place: Array) -> tuple[int, int]:
        nearest = np.argmin(np.linalg.norm(self._grid[self.free] - place, axis=1))
        x, y = self._cells[nearest]
        return int(x), int(y)

    @staticmethod
    def _largest_part(free: NDArray[np.bool_]) -> NDArray[np.bool_]:
        best, left = np.zeros_like(free), free.copy()
        while left.any():
            part = flooded(left, tuple(np.argwhere(left)[0]))
            best = part if part.sum() > best.sum() else best
            left &= ~part
        return best
