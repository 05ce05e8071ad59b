"""Depth registration: the depth image of one camera seen from another (REP-118 "registered")."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera


def register_depth(
    depth: NDArray[np.float32], depth_camera: Camera, color_camera: Camera, T_color_depth: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Depth of ``depth_camera`` as ``color_camera`` would measure it, float32 [Hc, Wc] metres.

    Each pixel is splatted over the footprint it has in the other image, nearest surface in front
    (z-buffer); where nothing lands the result is NaN. Both cameras must be free of distortion.

    Args:
        depth: float32 [Hd, Wd], planar depth in metres, NaN unknown.
        depth_camera: undistorted camera of ``depth``.
        color_camera: undistorted target camera.
        T_color_depth: float64 [4, 4], maps depth-camera points to the colour camera.

    Raises:
        InputError: a camera has distortion, or the size of ``depth`` is not its camera's.
    """
    _check(depth, depth_camera, color_camera)
    return _splat(
        np.ascontiguousarray(depth, np.float32),
        np.array([depth_camera.fx, depth_camera.fy, depth_camera.cx, depth_camera.cy]),
        np.array([color_camera.fx, color_camera.fy, color_camera.cx, color_camera.cy]),
        color_camera.height,
        color_camera.width,
        np.ascontiguousarray(T_color_depth, np.float64),
    )


def register_depth_reference(
    depth: NDArray[np.float32], depth_camera: Camera, color_camera: Camera, T_color_depth: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The obvious, slow ``register_depth``: one pixel after the other, in plain Python."""
    _check(depth, depth_camera, color_camera)
    result = np.full((color_camera.height, color_camera.width), np.inf, np.float32)
    half_u, half_v = 0.5 * color_camera.fx / depth_camera.fx, 0.5 * color_camera.fy / depth_camera.fy
    for v, u in np.argwhere(depth > 0):
        z = float(depth[v, u])
        point = np.array([(u - depth_camera.cx) / depth_camera.fx * z, (v - depth_camera.cy) / depth_camera.fy * z, z])
        x, y, zc = T_color_depth[:3, :3] @ point + T_color_depth[:3, 3]
        if zc <= 0:
            continue
        uc, vc = color_camera.fx * x / zc + color_camera.cx, color_camera.fy * y / zc + color_camera.cy
        grow = z / zc
        for row in range(math.ceil(vc - half_v * grow - 1e-6), math.floor(vc + half_v * grow + 1e-6) + 1):
            for column in range(math.ceil(uc - half_u * grow - 1e-6), math.floor(uc + half_u * grow + 1e-6) + 1):
                if 0 <= row < color_camera.height and 0 <= column < color_camera.width:
                    result[row, column] = min(result[row, column], np.float32(zc))
    result[np.isinf(result)] = np.nan
    return result


def _check(depth: NDArray[np.float32], depth_camera: Camera, color_camera: Camera) -> None:
    if depth_camera.is_distorted or color_camera.is_distorted:
        raise InputError("register_depth needs undistorted cameras; undistort both images first")
    if depth.shape != (depth_camera.height, depth_camera.width):
        raise InputError(
            f"depth image is {depth.shape[1]}x{depth.shape[0]}, its camera_info says "
            f"{depth_camera.width}x{depth_camera.height}"
        )


@numba.njit(cache=True, nogil=True)
def _splat(depth, source, target, height, width, transform):  # type: ignore[no-untyped-def]
    result = np.full((height, width), np.inf, np.float32)
    half_u, half_v = 0.5 * target[0] / source[0], 0.5 * target[1] / source[1]
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            z = depth[v, u]
            if not z > 0:
                continue
            px = (u - source[2]) / source[0] * z
            py = (v - source[3]) / source[1] * z
            x = transform[0, 0] * px + transform[0, 1] * py + transform[0, 2] * z + transform[0, 3]
            y = transform[1, 0] * px + transform[1, 1] * py + transform[1, 2] * z + transform[1, 3]
            zc = transform[2, 0] * px + transform[2, 1] * py + transform[2, 2] * z + transform[2, 3]
            if zc <= 0:
                continue
            uc = target[0] * x / zc + target[2]
            vc = target[1] * y / zc + target[3]
            grow = z / zc
            first_row = max(0, math.ceil(vc - half_v * grow - 1e-6))
            last_row = min(height - 1, math.floor(vc + half_v * grow + 1e-6))
            first_column = max(0, math.ceil(uc - half_u * grow - 1e-6))
            last_column = min(width - 1, math.floor(uc + half_u * grow + 1e-6))
            near = np.float32(zc)
            for row in range(first_row, last_row + 1):
                for column in range(first_column, last_column + 1):
                    if near < result[row, column]:
                        result[row, column] = near
    for row in range(height):
        for column in range(width):
            if np.isinf(result[row, column]):
                result[row, column] = np.nan
    return result
