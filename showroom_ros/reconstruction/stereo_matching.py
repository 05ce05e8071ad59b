"""Plane-sweep depth without a network: census (Zabih and Woodfill, 1994), semi-global matching (Hirschmueller, 2008).

The baseline networks must beat, and what serves where there are no weights. Costs of several sources are combined
pixel by pixel as the mean of the better half, for the others may be hidden; census heeds the order of grey values
only, so exposure does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse

CENSUS_BITS = 48
"""7x7 pixels but the middle one."""
_UNSEEN = np.float32(0.5)
"""Cost, as a share of the bits, of a hypothesis that no source sees: as good as chance."""
_WORST_MATCH = 0.36
"""Share of the bits that may differ at most where depth is trusted."""
_WINDOW = 9
"""Pixels across in which texture counts."""
_MIN_TOLD = 0.04
"""Share of the bits by which the best hypothesis must match better than a typical one, on average in the window."""


@dataclass(frozen=True)
class MatchingSettings:
    """How images are matched.

    Attributes:
        planes: hypotheses of depth, evenly spaced in inverse depth.
        near_m, far_m: first and last.
        window: pixels across over which costs are averaged before they are gathered.
        small_penalty: cost of a step of one plane between neighbouring pixels, as a share of the census bits.
        large_penalty: cost of any larger step.
        gradient_scale: grey values; where neighbours differ more, the large penalty shrinks.
        min_margin: least share by which the best cost must beat the second best, elsewhere depth is not trusted.
        speckle_px: smaller islands of depth are dropped.
    """

    planes: int = 96
    near_m: float = 0.4
    far_m: float = 7.0
    window: int = 5
    small_penalty: float = 0.1
    large_penalty: float = 2.0
    gradient_scale: float = 30.0
    min_margin: float = 0.02
    speckle_px: int = 60


class Matched(NamedTuple):
    """Depth float32 [H, W] in metres, NaN where nothing can be said, and confidence float32 [H, W] in 0..1."""

    depth: NDArray[np.float32]
    confidence: NDArray[np.float32]


class Source(NamedTuple):
    """Another image: grey uint8 [H, W], its undistorted camera and ``T_world_camera`` [4, 4]."""

    grey: NDArray[np.uint8]
    camera: Camera
    T_world_camera: NDArray[np.float64]


def plane_sweep_depth(reference: Source, sources: list[Source], settings: MatchingSettings | None = None) -> Matched:
    """Depth of the reference image.

    Args:
        reference: the image whose depth is wanted.
        sources: others that see the same; without any nothing is known.
        settings: how to match.
    """
    settings = settings or MatchingSettings()
    shape = reference.grey.shape
    if not sources:
        return Matched(np.full(shape, np.nan, np.float32), np.zeros(shape, np.float32))
    inverse_depth = np.linspace(1 / settings.near_m, 1 / settings.far_m, settings.planes)
    cost = averaged(sweep_cost(reference, sources, inverse_depth), settings.window)
    total = aggregated(cost, reference.grey, settings.small_penalty, settings.large_penalty, settings.gradient_scale)
    place, confidence = best_planes(total, cost, settings.min_margin)
    depth = np.interp(place, np.arange(settings.planes), inverse_depth)
    depth = np.where(confidence > 0, 1.0 / depth, np.nan).astype(np.float32)
    kept = without_speckles(place, confidence > 0, settings.speckle_px)
    return Matched(np.where(kept, depth, np.nan).astype(np.float32), np.where(kept, confidence, 0).astype(np.float32))


def census(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Census transform: which pixels of the 7x7 window are darker than the middle, one bit each, uint64 [H, W]."""
    padded = np.pad(cv2.GaussianBlur(grey, (3, 3), 0.6), 3, mode="edge")
    height, width = grey.shape
    middle = padded[3 : 3 + height, 3 : 3 + width]
    bits = np.zeros((height, width), np.uint64)
    for row in range(7):
        for column in range(7):
            if (row, column) != (3, 3):
                darker = padded[row : row + height, column : column + width] < middle
                bits = (bits << np.uint64(1)) | darker
    return bits


def sweep_cost(reference: Source, sources: list[Source], inverse_depth: NDArray[np.float64]) -> NDArray[np.float32]:
    """Share of census bits that differ, float32 [D, H, W]: per pixel the mean of the better half of the sources."""
    of_reference = census(reference.grey)
    depth = 1.0 / inverse_depth
    rays = reference.camera.rays().reshape(-1, 3)
    costs = np.empty((len(sources), len(depth), *reference.grey.shape), np.float32)
    for cost, source in zip(costs, sources, strict=True):
        T_source_reference = inverse(source.T_world_camera) @ reference.T_world_camera
        start = np.ascontiguousarray((source.camera.matrix @ T_source_reference[:3, :3] @ rays.T).T)
        shift = source.camera.matrix @ T_source_reference[:3, 3]
        _hamming(of_reference, census(source.grey), start, shift, depth, cost)
    return _better_half(costs)


def sweep_cost_reference(
    reference: Source, sources: list[Source], inverse_depth: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The obvious, slow ``sweep_cost``."""
    bits, height, width = census(reference.grey), *reference.grey.shape
    others = [census(source.grey) for source in sources]
    rays = reference.camera.rays().reshape(height, width, 3)
    result = np.empty((len(inverse_depth), height, width), np.float32)
    for plane, v, u in np.ndindex(result.shape):
        point = np.append(rays[v, u] / inverse_depth[plane], 1.0)
        costs = []
        for source, other in zip(sources, others, strict=True):
            x, y, z = (inverse(source.T_world_camera) @ reference.T_world_camera @ point)[:3]
            if z <= 1e-3:
                continue
            column = int(np.floor(source.camera.fx * x / z + source.camera.cx + 0.5))
            row = int(np.floor(source.camera.fy * y / z + source.camera.cy + 0.5))
            if 0 <= column < other.shape[1] and 0 <= row < other.shape[0]:
                costs.append((int(bits[v, u]) ^ int(other[row, column])).bit_count() / CENSUS_BITS)
        costs.sort()
        result[plane, v, u] = np.mean(costs[: (len(costs) + 1) // 2]) if costs else _UNSEEN
    return result


@numba.njit(cache=True, nogil=True)
def _bit_count(x):  # type: ignore[no-untyped-def]
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)


@numba.njit(cache=True, nogil=True)
def _hamming(bits, other, start, shift, depth, cost):  # type: ignore[no-untyped-def]
    height, width = bits.shape
    rows, columns = other.shape
    for plane in range(len(depth)):
        for v in range(height):
            for u in range(width):
                ray = start[v * width + u]
                z = ray[2] * depth[plane] + shift[2]
                value = np.float32(np.nan)
                if z > 1e-3:
                    column = int(np.floor((ray[0] * depth[plane] + shift[0]) / z + 0.5))
                    row = int(np.floor((ray[1] * depth[plane] + shift[1]) / z + 0.5))
                    if 0 <= column < columns and 0 <= row < rows:
                        value = np.float32(_bit_count(bits[v, u] ^ other[row, column]) / 48.0)
                cost[plane, v, u] = value


@numba.njit(cache=True, nogil=True)
def _better_half(costs):  # type: ignore[no-untyped-def]
    sources, planes, height, width = costs.shape
    result = np.empty((planes, height, width), np.float32)
    seen = np.empty(sources, np.float32)
    for plane in range(planes):
        for v in range(height):
            for u in range(width):
                count = 0
                for n in range(sources):
                    value = costs[n, plane, v, u]
                    if value == value:
                        at = count  # insertion into the sorted list
                        while at > 0 and seen[at - 1] > value:
                            seen[at] = seen[at - 1]
                            at -= 1
                        seen[at] = value
                        count += 1
                half = (count + 1) // 2
                total = np.float32(0)
                for n in range(half):
                    total += seen[n]
                result[plane, v, u] = total / half if half else _UNSEEN
    return result


def averaged(cost: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """Costs [D, H, W], each the mean of those around it that any source sees."""
    result = np.full_like(cost, _UNSEEN)
    for plane, mean in zip(cost, result, strict=True):
        seen = (plane != _UNSEEN).astype(np.float32)
        count, total = (cv2.blur(values, (window, window)) for values in (seen, plane * seen))
        np.divide(total, count, out=mean, where=seen > 0)
    return result


def aggregated(
    cost: NDArray[np.float32], grey: NDArray[np.uint8], small: float, large: float, gradient_scale: float
) -> NDArray[np.float32]:
    """Costs [D, H, W] gathered along eight directions: semi-global matching (Hirschmueller, 2008, eqs. 12-14).

    The penalty of large steps shrinks with the difference of grey values: depth may jump where the image does.
    """
    volume = np.ascontiguousarray(cost.transpose(1, 2, 0))
    total = np.zeros_like(volume)
    for dv, du in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)):
        _gather(
            volume, grey.astype(np.float32), dv, du, np.float32(small), np.float32(large), np.float32(gradient_scale),
            total,
        )  # fmt: skip
    return np.asarray(total / 8, np.float32)


def aggregated_reference(
    cost: NDArray[np.float32], grey: NDArray[np.uint8], small: float, large: float, gradient_scale: float
) -> NDArray[np.float64]:
    """The obvious, slow ``aggregated``; float64 [H, W, D]."""
    planes, height, width = cost.shape
    total = np.zeros((height, width, planes))
    for dv, du in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)):
        path = np.zeros((height, width, planes))
        for v in range(height) if dv >= 0 else reversed(range(height)):
            for u in range(width) if du >= 0 else reversed(range(width)):
                path[v, u] = cost[:, v, u]
                if 0 <= v - dv < height and 0 <= u - du < width:
                    before = path[v - dv, u - du]
                    step = abs(float(grey[v, u]) - float(grey[v - dv, u - du]))
                    jump = max(large / (1 + step / gradient_scale), small)
                    up, down = np.append(before[1:], np.inf), np.insert(before[:-1], 0, np.inf)
                    best = np.minimum.reduce([before, up + small, down + small, np.full(planes, before.min() + jump)])
                    path[v, u] += best - before.min()
        total += path
    return total / 8


@numba.njit(cache=True, nogil=True, fastmath=True)
def _gather(cost, grey, dv, du, small, large, scale, total):  # type: ignore[no-untyped-def]
    height, width, planes = cost.shape
    paths = np.zeros((2, width, planes), np.float32)
    now = np.empty(planes, np.float32)
    for i in range(height):
        v = i if dv >= 0 else height - 1 - i
        row, above = paths[i & 1], paths[(i + 1) & 1]
        for j in range(width):
            u = j if du >= 0 else width - 1 - j
            a, b = v - dv, u - du
            if 0 <= a < height and 0 <= b < width:
                before = row[b] if dv == 0 else above[b]
                jump = max(large / (np.float32(1) + abs(grey[v, u] - grey[a, b]) / scale), small)
                lowest = before[0]
                for d in range(1, planes):
                    lowest = min(lowest, before[d])
                for d in range(planes):
                    best = min(before[d], lowest + jump)
                    if d > 0:
                        best = min(best, before[d - 1] + small)
                    if d < planes - 1:
                        best = min(best, before[d + 1] + small)
                    now[d] = cost[v, u, d] + best - lowest
            else:
                for d in range(planes):
                    now[d] = cost[v, u, d]
            for d in range(planes):
                row[u, d] = now[d]
                total[v, u, d] += now[d]


def best_planes(
    total: NDArray[np.float32], cost: NDArray[np.float32], min_margin: float
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The cheapest hypothesis of each pixel, between planes by a parabola, and how sure it is.

    It must beat the others that any source sees, and the images around the pixel must tell hypotheses apart: plain
    wall matches plain wall at any depth.

    Args:
        total: gathered costs, float32 [H, W, D].
        cost: matching costs, float32 [D, H, W].
        min_margin: see ``MatchingSettings``.

    Returns:
        float64 [H, W], place among the planes, and confidence float32 [H, W] in 0..1, 0 where not to be trusted:
        by which share the best is cheaper than its rivals (Hu and Mordohai's peak ratio, 2012).
    """
    height, width, planes = total.shape
    best = total.argmin(2)
    rows, columns = np.indices((height, width), sparse=True)
    lowest = total[rows, columns, best]
    inside = np.clip(best, 1, planes - 2)
    left, middle, right = (total[rows, columns, inside + step] for step in (-1, 0, 1))
    bend = np.maximum(left - 2 * middle + right, 1e-6)
    place = np.where(best == inside, inside + np.clip(0.5 * (left - right) / bend, -0.5, 0.5), best)
    seen = cost != _UNSEEN
    seen = cost != _UNSEEN
    rivals = (abs(np.arange(planes) - best[..., None]) > 3) & seen.transpose(1, 2, 0)
    second = np.where(rivals, total, np.float32(np.inf)).min(2)
    margin = 1 - np.divide(lowest, second, out=np.ones_like(lowest), where=np.isfinite(second) & (second > 1e-6))
    matched = cost[best, rows, columns]
    typical = np.where(seen, cost, 0).sum(0) / np.maximum(seen.sum(0), 1)
    told = np.asarray(cv2.blur((typical - matched).astype(np.float32), (_WINDOW, _WINDOW)), np.float32)
    trusted = (margin >= min_margin) & (best > 0) & (best < planes - 1) & (matched < _WORST_MATCH) & (told > _MIN_TOLD)
    return place, np.where(trusted, np.maximum(margin, 1e-3), 0).astype(np.float32)


def without_speckles(place: NDArray[np.float64], known: NDArray[np.bool_], smallest_px: int) -> NDArray[np.bool_]:
    """Pixels [H, W] of islands of similar depth with at least so many pixels."""
    steps = np.where(known, np.round(place * 16), -16).astype(np.int16)
    cv2.filterSpeckles(steps, -16, smallest_px, 24)
    return steps >= 0
