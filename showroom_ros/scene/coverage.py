"""Where cameras have looked: space seen to be free, at a coarser grain than the map.

The map holds voxels near surface only. What a robot needs to know of the rest is whether anybody looked there: a cell
is free once a whole cell lies in front of what some view measured or predicted. It stays so: what was seen to be free
is never filled by surface that nobody saw.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.se3 import inverse
from showroom_ros.scene.view import Provenance, View

EDGE = 16
"""Cells along the edge of a block."""
_LIMIT = 1 << 20
_HALF_DIAGONAL = 0.87
"""Of a cell, in its edges."""
_NEAREST_M = 0.05

Block = tuple[int, int, int]


class Coverage:
    """Cells of a world that is seen piece by piece; what is not free was not seen, or is surface.

    Attributes:
        cell_m: edge of a cell in metres.
        max_depth_m: nothing farther counts.
    """

    def __init__(self, cell_m: float = 0.1, max_depth_m: float = 5.0) -> None:
        """Nothing was seen yet.

        Raises:
            InputError: sizes that are not positive.
        """
        if not (cell_m > 0 and max_depth_m > cell_m):
            raise InputError(f"cell_m is {cell_m}, max_depth_m {max_depth_m}, expected 0 < cell_m < max_depth_m")
        self.cell_m, self.max_depth_m = cell_m, max_depth_m
        self._free: dict[Block, NDArray[np.bool_]] = {}

    def observe(self, view: View) -> int:
        """Notes what a posed view with depth sees to be free; returns how many cells are new.

        GENERATED depth says nothing, nor does a pixel without depth.

        Raises:
            InputError: no pose or no depth, or farther from the origin than can be addressed.
        """
        pose, depth = view.require_pose(), view.require_depth()
        if view.provenance is not None:
            depth = np.where(view.provenance == Provenance.GENERATED, np.float32(np.nan), depth)
        camera = view.camera
        T_camera_world = inverse(pose)
        nearest = _least_around(np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0)))
        new = 0
        for block in self._blocks_in_reach(view):
            cells = self._free.get(block)
            cells = np.zeros((EDGE, EDGE, EDGE), np.bool_) if cells is None else cells
            found = _carve(
                cells, np.array(block, np.int64) * EDGE, self.cell_m, T_camera_world,
                np.array([camera.fx, camera.fy, camera.cx, camera.cy]), nearest, self.max_depth_m,
            )  # fmt: skip
            if found:
                self._free[block] = cells
                new += found
        return new

    def is_free(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Which points [..., 3] (metres, world) lie in cells that were seen to be free, bool [...]; not finite: no."""
        points_ = np.asarray(points, np.float64)
        if points_.ndim < 1 or points_.shape[-1] != 3:
            raise InputError(f"points are {points_.shape}, expected (..., 3)")
        flat = points_.reshape(-1, 3)
        result = np.zeros(len(flat), np.bool_)
        known = np.isfinite(flat).all(1) & (np.abs(np.nan_to_num(flat)).max(1, initial=0) < _LIMIT * self.cell_m)
        cell = np.floor(flat[known] / self.cell_m).astype(np.int64)
        block, inside = cell // EDGE, cell % EDGE
        _, first, inverse_ = np.unique(packed(block), return_index=True, return_inverse=True)
        values = np.zeros(len(cell), np.bool_)
        for number, (x, y, z) in enumerate(block[first].tolist()):
            cells = self._free.get((x, y, z))
            if cells is not None:
                rows = inverse_ == number
                values[rows] = cells[tuple(inside[rows].T)]
        result[known] = values
        return result.reshape(points_.shape[:-1])

    def free_cells(self) -> NDArray[np.float64]:
        """Centres of all free cells, float64 [N, 3], metres; in the order of their position."""
        found = [
            (np.argwhere(cells) + np.array(block) * EDGE + 0.5) * self.cell_m
            for block, cells in sorted(self._free.items())
        ]
        return np.concatenate(found) if found else np.zeros((0, 3))

    def clear(self) -> None:
        """Forgets everything."""
        self._free.clear()

    def _blocks_in_reach(self, view: View) -> list[Block]:
        """Blocks the view's frustum may touch."""
        camera, pose = view.camera, view.require_pose()
        corners = np.array([[0, 0], [camera.width, 0], [0, camera.height], [camera.width, camera.height]], float) - 0.5
        rays = np.column_stack(
            [(corners[:, 0] - camera.cx) / camera.fx, (corners[:, 1] - camera.cy) / camera.fy, np.ones(4)]
        )
        ends = np.vstack([np.zeros(3), rays * self.max_depth_m]) @ pose[:3, :3].T + pose[:3, 3]
        if np.abs(ends).max() >= _LIMIT * self.cell_m:
            raise InputError(
                f"the view of stamp {view.stamp_ns} reaches {np.abs(ends).max():.0f} m from the origin, expected "
                f"below {_LIMIT * self.cell_m:.0f}"
            )
        size = EDGE * self.cell_m
        low, high = np.floor(ends.min(0) / size).astype(int), np.floor(ends.max(0) / size).astype(int)
        grid = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True)), indexing="ij"), -1)
        blocks = grid.reshape(-1, 3)
        centres = ((blocks + 0.5) * size - pose[:3, 3]) @ pose[:3, :3]
        radius = _HALF_DIAGONAL * size
        # a sphere around a block is outside a plane of the frustum whose inner side it does not reach
        inside = (centres[:, 2] > -radius) & (centres[:, 2] < self.max_depth_m + radius)
        for axis, (low_ray, high_ray) in enumerate(((rays[0, 0], rays[3, 0]), (rays[0, 1], rays[3, 1]))):
            inside &= centres[:, axis] - low_ray * centres[:, 2] > -radius * np.hypot(1, low_ray)
            inside &= high_ray * centres[:, 2] - centres[:, axis] > -radius * np.hypot(1, high_ray)
        return [(x, y, z) for x, y, z in blocks[inside].tolist()]


def free_cells_reference(view: View, centres: NDArray[np.float64], cell_m: float, max_depth_m: float) -> NDArray:
    """Which cells around ``centres`` [N, 3] a view sees to be free, bool [N]: the obvious, slow ``observe``."""
    camera, depth = view.camera, view.require_depth()
    T_camera_world = inverse(view.require_pose())
    result = np.zeros(len(centres), np.bool_)
    for number, centre in enumerate(centres):
        x, y, z = T_camera_world[:3, :3] @ centre + T_camera_world[:3, 3]
        if z < _NEAREST_M or z + _HALF_DIAGONAL * cell_m > max_depth_m:
            continue
        u, v = (int(np.floor(k)) for k in (camera.fx * x / z + camera.cx + 0.5, camera.fy * y / z + camera.cy + 0.5))
        if not (1 <= u < camera.width - 1 and 1 <= v < camera.height - 1):
            continue
        around = depth[v - 1 : v + 2, u - 1 : u + 2]
        generated = view.provenance is not None and bool(
            (view.provenance[v - 1 : v + 2, u - 1 : u + 2] == Provenance.GENERATED).any()
        )
        seen = bool((np.isfinite(around) & (around > 0)).all()) and not generated
        result[number] = seen and z + _HALF_DIAGONAL * cell_m < float(around.min())
    return result


def _least_around(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """The least depth of the 3x3 pixels around each; 0 at the border of the image and beside unknown pixels (0)."""
    padded = np.pad(depth, 1)
    height, width = depth.shape
    return np.minimum.reduce([padded[i : i + height, j : j + width] for i in range(3) for j in range(3)])


def packed(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each cell [N, 3] of coordinates below 2^20 either way, int64 [N]; sorted as the cells are."""
    x, y, z = (cells + _LIMIT).T
    return np.asarray((x << 42) | (y << 21) | z)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _carve(cells, first, cell_m, T_camera_world, intrinsics, nearest, far):  # type: ignore[no-untyped-def]
    """Marks the free cells of a block; returns how many are new."""
    height, width = nearest.shape
    fx, fy, cx, cy = intrinsics
    margin = _HALF_DIAGONAL * cell_m
    new = 0
    for i in range(EDGE):
        for j in range(EDGE):
            for k in range(EDGE):
                if cells[i, j, k]:
                    continue
                px = (first[0] + i + 0.5) * cell_m
                py = (first[1] + j + 0.5) * cell_m
                pz = (first[2] + k + 0.5) * cell_m
                z = T_camera_world[2, 0] * px + T_camera_world[2, 1] * py + T_camera_world[2, 2] * pz
                z += T_camera_world[2, 3]
                if z < _NEAREST_M or z + margin > far:
                    continue
                x = T_camera_world[0, 0] * px + T_camera_world[0, 1] * py + T_camera_world[0, 2] * pz
                y = T_camera_world[1, 0] * px + T_camera_world[1, 1] * py + T_camera_world[1, 2] * pz
                u = np.floor(fx * (x + T_camera_world[0, 3]) / z + cx + 0.5)
                v = np.floor(fy * (y + T_camera_world[1, 3]) / z + cy + 0.5)
                if 0 <= u < width and 0 <= v < height and z + margin < nearest[int(v), int(u)]:
                    cells[i, j, k] = True
                    new += 1
    return new
