"""Signed distances on a network's grid, resampled to the voxels of a map (numba)."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from showroom_ros.scene.block_store import BLOCK_EDGE, BLOCK_VOXELS, TSDF_UNITS, WEIGHT_UNITS
from showroom_ros.scene.view import Provenance
from showroom_ros.scene.voxels import Voxels
from showroom_ros.settings import MapSettings

_PREDICTED = int(Provenance.PREDICTED)
_SNAP = 1e-4
"""Voxels nearer than this to a grid point, in grid voxels, take its value alone."""


class DistanceGrid(NamedTuple):
    """Signed distances at regular points; point (i, j, k) lies at ``voxel_size_m * R_world_grid @ (low + (i, j, k))``.

    Attributes:
        distance_m: float32 [X, Y, Z], metres, positive in free space, NaN unknown.
        weight: float32 [X, Y, Z], how many observations a value is worth.
        low: int64 [3], index of the first point.
        voxel_size_m: distance between points.
        R_world_grid: float64 [3, 3], rotation from the grid's axes to the world's.
    """

    distance_m: NDArray[np.float32]
    weight: NDArray[np.float32]
    low: NDArray[np.int64]
    voxel_size_m: float
    R_world_grid: NDArray[np.float64]


def blocks_in_box(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    grid_voxel_m: float,
    R_world_grid: NDArray[np.float64],
    settings: MapSettings,
) -> NDArray[np.int32]:
    """Blocks of the map, int32 [N, 3], that reach into a box of a grid given by two corners [3] in grid points."""
    corners = np.array(list(itertools.product(*zip(low, high, strict=True)))) * grid_voxel_m
    in_blocks = corners @ R_world_grid.T / (settings.voxel_size_m * BLOCK_EDGE)
    first = np.floor(in_blocks.min(0) + 1e-6).astype(np.int32)
    last = np.ceil(in_blocks.max(0) - 1e-6).astype(np.int32)
    axes = [np.arange(a, b, dtype=np.int32) for a, b in zip(first, last, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def resample(grid: DistanceGrid, position: NDArray[np.int32], settings: MapSettings) -> Voxels:
    """Voxels of the blocks ``position`` int32 [N, 3], PREDICTED and without colour.

    Distances and weights are interpolated trilinearly; a voxel is known where all grid points around it are. Blocks
    that no surface comes near are left empty.
    """
    count = len(position)
    tsdf, weight = np.zeros((count, BLOCK_VOXELS), np.int16), np.zeros((count, BLOCK_VOXELS), np.uint16)
    per_voxel = grid.R_world_grid.T * (settings.voxel_size_m / grid.voxel_size_m)
    _resample(
        np.ascontiguousarray(position, np.int32), grid.distance_m, grid.weight, grid.low, per_voxel,
        settings.truncation_m, settings.max_weight, tsdf, weight,
    )  # fmt: skip
    return Voxels(position, tsdf, weight, np.zeros((count, BLOCK_VOXELS), np.uint32))


def resample_reference(
    grid: DistanceGrid, point_m: NDArray[np.float64], truncation_m: float
) -> tuple[float, float] | None:
    """Normalised distance and weight at a point [3] of the world, or None: the slow, obvious ``resample``."""
    at = grid.R_world_grid.T @ point_m / grid.voxel_size_m - grid.low
    distance = weight = 0.0
    for corner in itertools.product((0, 1), repeat=3):
        base = np.floor(at + _SNAP)
        share = float(np.prod(np.where(corner, np.maximum(at - base, 0), 1 - np.maximum(at - base, 0))))
        if any(c and a - b <= _SNAP for c, a, b in zip(corner, at, base, strict=True)):
            continue
        index = tuple(int(n) for n in base + corner)
        if any(not 0 <= n < size for n, size in zip(index, grid.distance_m.shape, strict=True)):
            return None
        if np.isnan(grid.distance_m[index]):
            return None
        distance, weight = distance + share * float(grid.distance_m[index]), weight + share * float(grid.weight[index])
    return float(np.clip(distance / truncation_m, -1, 1)), weight


@numba.njit(nogil=True, cache=True, error_model="numpy")
def interpolated(x, y, z, distance, weight):  # type: ignore[no-untyped-def]
    """Distance (NaN unknown) and weight at a point in grid points from the first."""
    i, j, k = int(np.floor(x + _SNAP)), int(np.floor(y + _SNAP)), int(np.floor(z + _SNAP))
    fx, fy, fz = max(x - i, 0.0), max(y - j, 0.0), max(z - k, 0.0)
    ni, nj, nk = 2 if fx > _SNAP else 1, 2 if fy > _SNAP else 1, 2 if fz > _SNAP else 1
    if (
        i < 0
        or j < 0
        or k < 0
        or i + ni > distance.shape[0]
        or j + nj > distance.shape[1]
        or k + nk > distance.shape[2]
    ):
        return np.nan, 0.0
    d, w = 0.0, 0.0
    for a in range(ni):
        sx = fx if a else 1 - fx
        for b in range(nj):
            sy = sx * fy if b else sx * (1 - fy)
            for c in range(nk):
                share = sy * fz if c else sy * (1 - fz)
                d += share * distance[i + a, j + b, k + c]
                w += share * weight[i + a, j + b, k + c]
    return d, w


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _comes_near(x0, y0, z0, per_voxel, distance, truncation):  # type: ignore[no-untyped-def]
    """Whether any grid point around a block whose first voxel is there may know of surface within the band."""
    low, high = np.empty(3), np.empty(3)
    start = (x0, y0, z0)
    for axis in range(3):
        low[axis], high[axis] = start[axis], start[axis]
        for n in range(3):
            step = per_voxel[axis, n] * (BLOCK_EDGE - 1)
            low[axis] += min(step, 0.0)
            high[axis] += max(step, 0.0)
    for i in range(max(0, int(np.floor(low[0]))), min(distance.shape[0], int(np.ceil(high[0])) + 1)):
        for j in range(max(0, int(np.floor(low[1]))), min(distance.shape[1], int(np.ceil(high[1])) + 1)):
            for k in range(max(0, int(np.floor(low[2]))), min(distance.shape[2], int(np.ceil(high[2])) + 1)):
                if abs(distance[i, j, k]) < truncation:
                    return True
    return False


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def _resample(position, distance, weight, low, per_voxel, truncation, max_weight, tsdf, out_weight):  # type: ignore[no-untyped-def]
    for n in numba.prange(len(position)):
        bx, by, bz = position[n, 0] * BLOCK_EDGE, position[n, 1] * BLOCK_EDGE, position[n, 2] * BLOCK_EDGE
        x0 = per_voxel[0, 0] * bx + per_voxel[0, 1] * by + per_voxel[0, 2] * bz - low[0]
        y0 = per_voxel[1, 0] * bx + per_voxel[1, 1] * by + per_voxel[1, 2] * bz - low[1]
        z0 = per_voxel[2, 0] * bx + per_voxel[2, 1] * by + per_voxel[2, 2] * bz - low[2]
        if not _comes_near(x0, y0, z0, per_voxel, distance, truncation):
            continue
        in_band = False
        for m in range(BLOCK_VOXELS):
            i, j, k = m % BLOCK_EDGE, m // BLOCK_EDGE % BLOCK_EDGE, m // (BLOCK_EDGE * BLOCK_EDGE)
            x = x0 + per_voxel[0, 0] * i + per_voxel[0, 1] * j + per_voxel[0, 2] * k
            y = y0 + per_voxel[1, 0] * i + per_voxel[1, 1] * j + per_voxel[1, 2] * k
            z = z0 + per_voxel[2, 0] * i + per_voxel[2, 1] * j + per_voxel[2, 2] * k
            d, w = interpolated(x, y, z, distance, weight)
            units = int(min(w, max_weight) * WEIGHT_UNITS + 0.5)
            if np.isnan(d) or units == 0:
                continue
            in_band |= abs(d) < truncation
            value = int(np.floor(min(max(d / truncation, -1.0), 1.0) * TSDF_UNITS + 0.5))
            tsdf[n, m] = value if value != 0 else 1
            out_weight[n, m] = units << 2 | _PREDICTED
        if not in_band:
            tsdf[n, :] = 0
            out_weight[n, :] = 0
