"""Colours of predicted surface, from the views that see it (numba)."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from showroom_ros.errors import InputError
from showroom_ros.geometry.se3 import inverse
from showroom_ros.scene.block_store import BLOCK_EDGE, BLOCK_VOXELS, HAS_COLOR, TSDF_UNITS
from showroom_ros.scene.resampling import DistanceGrid, interpolated
from showroom_ros.scene.view import View
from showroom_ros.scene.voxels import Voxels
from showroom_ros.settings import MapSettings

NEAREST_VIEWS = 3
"""A voxel's colour is the mean over so many views."""
GRAZING = 0.17
"""Cosine to the normal below which a view says nothing of a surface's colour: seen at more than 80 degrees."""
OCCLUDED_M = 0.02
"""A line of sight that passes this deep below another surface ends there."""
NEAR_VOXELS = 1.8
"""Voxels of the map nearer to the surface than this get a colour: the ends of all edges it crosses."""


def paint(voxels: Voxels, grid: DistanceGrid, views: Sequence[View], settings: MapSettings) -> Voxels:
    """``voxels`` with the colours of the views that see the surface near them.

    A voxel takes the colour of the surface point nearest to it: the mean over the nearest few views that look at it
    from the front and have no other surface of the grid before it. Where there is none it has no colour.

    Args:
        voxels: as ``resampling.resample`` gave them.
        grid: the same.
        views: with poses; images of one size.
        settings: the map's.

    Raises:
        InputError: the images have different sizes, or a view has no pose.
    """
    color = np.zeros_like(voxels.color)
    if views:
        sizes = {view.image.shape[:2] for view in views}
        if len(sizes) > 1:
            raise InputError(f"views to colour from have different sizes: {sorted(sizes)}")
        cameras = [view.camera for view in views]
        _paint(
            np.ascontiguousarray(voxels.position, np.int32), voxels.tsdf, voxels.weight, grid.distance_m, grid.low,
            np.ascontiguousarray(grid.R_world_grid), grid.voxel_size_m, settings.voxel_size_m, settings.truncation_m,
            np.stack([view.image for view in views]),
            np.array([[camera.fx, camera.fy, camera.cx, camera.cy] for camera in cameras]),
            np.stack([inverse(view.require_pose()) for view in views]),
            np.stack([view.require_pose()[:3, 3] for view in views]), color,
        )  # fmt: skip
    return voxels._replace(color=color)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _in_grid(x, y, z, R_world_grid, low, grid_m, out):  # type: ignore[no-untyped-def]
    """World metres to grid points from the first, into ``out`` [3]."""
    for axis in range(3):
        rotated = R_world_grid[0, axis] * x + R_world_grid[1, axis] * y + R_world_grid[2, axis] * z
        out[axis] = rotated / grid_m - low[axis]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _normal(at, distance, R_world_grid, normal):  # type: ignore[no-untyped-def]
    """Unit gradient of the distances at grid point ``at`` [3], in the world, into ``normal`` [3]; False: unknown."""
    gradient = np.empty(3)
    for axis in range(3):
        ahead, behind = at.copy(), at.copy()
        ahead[axis] += 0.5
        behind[axis] -= 0.5
        d_ahead, _ = interpolated(ahead[0], ahead[1], ahead[2], distance, distance)
        d_behind, _ = interpolated(behind[0], behind[1], behind[2], distance, distance)
        d_here, _ = interpolated(at[0], at[1], at[2], distance, distance)
        gradient[axis] = (d_here if np.isnan(d_ahead) else d_ahead) - (d_here if np.isnan(d_behind) else d_behind)
    length = np.sqrt((gradient * gradient).sum())
    if not length > 0:
        return False
    for row in range(3):
        normal[row] = (
            R_world_grid[row, 0] * gradient[0] + R_world_grid[row, 1] * gradient[1] + R_world_grid[row, 2] * gradient[2]
        ) / length
    return True


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _is_occluded(point, eye, R_world_grid, low, grid_m, distance):  # type: ignore[no-untyped-def]
    """Whether the way from a surface point [3] to the eye [3] passes below another surface of the grid."""
    length = np.sqrt(((eye - point) ** 2).sum())
    at = np.empty(3)
    for step in range(3, int(length / grid_m)):
        part = step * grid_m / length
        _in_grid(
            point[0] + part * (eye[0] - point[0]), point[1] + part * (eye[1] - point[1]),
            point[2] + part * (eye[2] - point[2]), R_world_grid, low, grid_m, at,
        )  # fmt: skip
        i, j, k = int(np.floor(at[0] + 0.5)), int(np.floor(at[1] + 0.5)), int(np.floor(at[2] + 0.5))
        if i < 0 or j < 0 or k < 0 or i >= distance.shape[0] or j >= distance.shape[1] or k >= distance.shape[2]:
            return False
        if distance[i, j, k] < -OCCLUDED_M:
            return True
    return False


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _project(point, T, K):  # type: ignore[no-untyped-def]
    """Pixel of a world point [3]; -1, -1 behind the camera."""
    x = T[0, 0] * point[0] + T[0, 1] * point[1] + T[0, 2] * point[2] + T[0, 3]
    y = T[1, 0] * point[0] + T[1, 1] * point[1] + T[1, 2] * point[2] + T[1, 3]
    z = T[2, 0] * point[0] + T[2, 1] * point[1] + T[2, 2] * point[2] + T[2, 3]
    if z <= 1e-3:
        return -1.0, -1.0
    return K[0] * x / z + K[2], K[1] * y / z + K[3]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_pixel(image, u, v, rgb):  # type: ignore[no-untyped-def]
    """Adds the bilinearly interpolated colour at a pixel inside of an image [H, W, 3]."""
    column, row = min(int(u), image.shape[1] - 2), min(int(v), image.shape[0] - 2)
    fu, fv = u - column, v - row
    for c in range(3):
        top = image[row, column, c] * (1 - fu) + image[row, column + 1, c] * fu
        bottom = image[row + 1, column, c] * (1 - fu) + image[row + 1, column + 1, c] * fu
        rgb[c] += top * (1 - fv) + bottom * fv


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _color(point, normal, images, K, T_camera_world, eyes, R_world_grid, low, grid_m, distance):  # type: ignore[no-untyped-def]
    """The stored colour of a surface point [3] with a unit normal [3]; 0 where nothing sees it."""
    height, width = images.shape[1], images.shape[2]
    away = np.full(len(images), np.inf)
    for n in range(len(images)):
        to_eye = eyes[n] - point
        length = np.sqrt((to_eye * to_eye).sum())
        u, v = _project(point, T_camera_world[n], K[n])
        if 0 <= u <= width - 1 and 0 <= v <= height - 1 and (to_eye * normal).sum() > GRAZING * length:
            away[n] = length
    rgb, used = np.zeros(3), 0
    for _ in range(len(images)):
        n = int(np.argmin(away))
        if used == NEAREST_VIEWS or not away[n] < np.inf:
            break
        away[n] = np.inf
        if not _is_occluded(point, eyes[n], R_world_grid, low, grid_m, distance):
            u, v = _project(point, T_camera_world[n], K[n])
            _add_pixel(images[n], u, v, rgb)
            used += 1
    if used == 0:
        return 0
    word = HAS_COLOR
    for c in range(3):
        word |= int(rgb[c] / used * 4 + 0.5) << (10 * c)
    return word


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def _paint(  # type: ignore[no-untyped-def]
    position, tsdf, weight, distance, low, R_world_grid, grid_m, voxel_m, truncation, images, K, T_camera_world, eyes,
    color,
):  # fmt: skip
    for n in numba.prange(len(position)):
        point, normal, at = np.empty(3), np.empty(3), np.empty(3)
        for m in range(BLOCK_VOXELS):
            distance_m = tsdf[n, m] / TSDF_UNITS * truncation
            if weight[n, m] == 0 or abs(distance_m) > NEAR_VOXELS * voxel_m:
                continue
            point[0] = (position[n, 0] * BLOCK_EDGE + m % BLOCK_EDGE) * voxel_m
            point[1] = (position[n, 1] * BLOCK_EDGE + m // BLOCK_EDGE % BLOCK_EDGE) * voxel_m
            point[2] = (position[n, 2] * BLOCK_EDGE + m // (BLOCK_EDGE * BLOCK_EDGE)) * voxel_m
            _in_grid(point[0], point[1], point[2], R_world_grid, low, grid_m, at)
            if _normal(at, distance, R_world_grid, normal):
                point -= distance_m * normal
                color[n, m] = _color(
                    point, normal, images, K, T_camera_world, eyes, R_world_grid, low, grid_m, distance
                )
