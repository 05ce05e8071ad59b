"""The nearest triangle to a point, exactly: a tree of bounding boxes over triangles in Morton order.

The tree is implicit (Karras 2012, with a complete binary tree instead of radix nodes): triangles sorted
along a Morton curve fill the leaves, node ``i`` bounds nodes ``2 i`` and ``2 i + 1``, the root is 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

_LEAF = 4
"""Triangles per leaf."""


class Nearest(NamedTuple):
    """For each query point the nearest point of a surface.

    Attributes:
        distance_m: float64 [N].
        triangle: int64 [N].
        weights: float64 [N, 3], barycentric coordinates on that triangle.
    """

    distance_m: NDArray[np.float64]
    triangle: NDArray[np.int64]
    weights: NDArray[np.float64]


class TriangleTree:
    """Answers nearest-triangle queries; ``corners`` float64 [T, 3, 3], T at least 1, finite."""

    def __init__(self, corners: NDArray[np.float64]) -> None:
        """Sorts the triangles and bounds them, level by level."""
        self._corners = np.ascontiguousarray(corners, np.float64)
        self._order = np.argsort(_morton_codes(corners.mean(axis=1)), kind="stable")
        leaves = 1 << max(0, -(-len(corners) // _LEAF) - 1).bit_length()
        self._low, self._high = np.full((2 * leaves, 3), np.inf), np.full((2 * leaves, 3), -np.inf)
        starts = np.arange(0, len(corners), _LEAF)
        filled = slice(leaves, leaves + len(starts))
        self._low[filled] = np.minimum.reduceat(corners.min(axis=1)[self._order], starts)
        self._high[filled] = np.maximum.reduceat(corners.max(axis=1)[self._order], starts)
        while leaves > 1:
            leaves //= 2
            children = slice(2 * leaves, 4 * leaves)
            self._low[leaves : 2 * leaves] = self._low[children].reshape(-1, 2, 3).min(axis=1)
            self._high[leaves : 2 * leaves] = self._high[children].reshape(-1, 2, 3).max(axis=1)

    def nearest(self, points: NDArray[np.float64]) -> Nearest:
        """Nearest point on the triangles for each of ``points`` [N, 3]."""
        points = np.ascontiguousarray(points, np.float64)
        return Nearest(*_search(points, self._corners, self._order, self._low, self._high))


def nearest_reference(points: NDArray[np.float64], corners: NDArray[np.float64]) -> Nearest:
    """The obvious, slow ``TriangleTree(corners).nearest(points)``: every point against every triangle."""
    best = Nearest(np.full(len(points), np.inf), np.zeros(len(points), np.int64), np.zeros((len(points), 3)))
    weights = np.empty(3)
    for n, point in enumerate(np.asarray(points, np.float64)):
        for t, corner in enumerate(np.asarray(corners, np.float64)):
            _closest_weights(point, corner, weights)
            distance = float(np.linalg.norm(weights @ corner - point))
            if distance < best.distance_m[n]:
                best.distance_m[n], best.triangle[n], best.weights[n] = distance, t, weights
    return best


def _morton_codes(points: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Position of points [N, 3] along a space-filling curve: 16 bits of each coordinate interleaved."""
    low = points.min(axis=0)
    extent = max(float((points.max(axis=0) - low).max()), 1e-12)
    cells = ((points - low) / extent * 65535).astype(np.uint64)
    codes = np.zeros(len(points), np.uint64)
    for bit in range(16):
        for axis in range(3):
            codes |= ((cells[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(3 * bit + axis)
    return codes


@numba.njit(cache=True, nogil=True, parallel=True)
def _search(points, corners, order, low, high):  # type: ignore[no-untyped-def]
    count, leaves = points.shape[0], low.shape[0] // 2
    distance, triangle, weights = np.full(count, np.inf), np.zeros(count, np.int64), np.zeros((count, 3))
    for n in numba.prange(count):
        point = points[n]
        trial, stack, gaps = np.empty(3), np.empty(64, np.int64), np.empty(64)
        best, depth = np.inf, 1
        stack[0], gaps[0] = 1, 0.0
        while depth > 0:
            depth -= 1
            node = stack[depth]
            if gaps[depth] >= best:
                continue
            if node >= leaves:
                first = (node - leaves) * _LEAF
                for place in range(first, min(first + _LEAF, order.shape[0])):
                    t = order[place]
                    squared = _closest_weights(point, corners[t], trial)
                    if squared < best:
                        best = squared
                        triangle[n] = t
                        weights[n, 0], weights[n, 1], weights[n, 2] = trial[0], trial[1], trial[2]
                continue
            near, far = 2 * node, 2 * node + 1
            near_gap, far_gap = _box_gap(point, low[near], high[near]), _box_gap(point, low[far], high[far])
            if far_gap < near_gap:
                near, far, near_gap, far_gap = far, near, far_gap, near_gap
            if far_gap < best:
                stack[depth], gaps[depth] = far, far_gap
                depth += 1
            if near_gap < best:
                stack[depth], gaps[depth] = near, near_gap
                depth += 1
        distance[n] = np.sqrt(best)
    return distance, triangle, weights


@numba.njit(cache=True, nogil=True)
def _box_gap(point, low, high):  # type: ignore[no-untyped-def]
    """Squared distance of a point to a box; infinite for an empty one."""
    squared = 0.0
    for d in range(3):
        gap = max(low[d] - point[d], point[d] - high[d], 0.0)
        squared += gap * gap
    return squared


@numba.njit(cache=True, nogil=True)
def _closest_weights(point, corner, weights):  # type: ignore[no-untyped-def]
    """Barycentric coordinates of the closest point and its squared distance (Ericson 2004, 5.1.5)."""
    d1 = d2 = d3 = d4 = d5 = d6 = 0.0
    for d in range(3):
        ab, ac = corner[1, d] - corner[0, d], corner[2, d] - corner[0, d]
        d1 += ab * (point[d] - corner[0, d])
        d2 += ac * (point[d] - corner[0, d])
        d3 += ab * (point[d] - corner[1, d])
        d4 += ac * (point[d] - corner[1, d])
        d5 += ab * (point[d] - corner[2, d])
        d6 += ac * (point[d] - corner[2, d])
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    if d1 <= 0 and d2 <= 0:
        v, w = 0.0, 0.0
    elif d3 >= 0 and d4 <= d3:
        v, w = 1.0, 0.0
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        v, w = d1 / (d1 - d3), 0.0
    elif d6 >= 0 and d5 <= d6:
        v, w = 0.0, 1.0
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        v, w = 0.0, d2 / (d2 - d6)
    elif va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        v = 1.0 - w
    elif va + vb + vc > 0:
        v, w = vb / (va + vb + vc), vc / (va + vb + vc)
    else:  # a sliver without an area, as far as numbers tell
        v, w = 0.0, 0.0
    weights[0], weights[1], weights[2] = 1.0 - v - w, v, w
    squared = 0.0
    for d in range(3):
        squared += (weights[0] * corner[0, d] + v * corner[1, d] + w * corner[2, d] - point[d]) ** 2
    return squared
