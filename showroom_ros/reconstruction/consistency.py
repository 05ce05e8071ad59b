"""Whether predicted depth agrees with what was predicted of the same surface before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse

TOLERANCE = 0.05
"""Relative difference of depth up to which two views mean the same surface."""


class DepthOfView(NamedTuple):
    """Depth float32 [H, W] in metres, NaN unknown, with its camera and ``T_world_camera`` float64 [4, 4]."""

    depth: NDArray[np.float32]
    camera: Camera
    T_world_camera: NDArray[np.float64]


class Agreement(NamedTuple):
    """What other views say of the depth of each pixel.

    Attributes:
        agree: int32 [H, W], views that have the same surface there.
        compared: int32 [H, W], views that have any surface there.
    """

    agree: NDArray[np.int32]
    compared: NDArray[np.int32]

    @property
    def share(self) -> float:
        """Share of the pixels compared with any view that agree with one; NaN where there are none."""
        anywhere = self.compared > 0
        return float((self.agree[anywhere] > 0).mean()) if anywhere.any() else float("nan")

    def revised(self, confidence: NDArray[np.float32], witnesses: int = 2) -> NDArray[np.float32]:
        """Confidence float32 [H, W] after the comparison.

        ``1 - (1 - c) 0.75^n`` where ``n`` views agree; 0 where none does of the ``witnesses`` or more that look there.
        """
        raised = 1 - (1 - confidence) * np.float32(0.75) ** self.agree
        refuted = (self.compared >= witnesses) & (self.agree == 0)
        return np.where(refuted | (confidence <= 0), 0, raised).astype(np.float32)


def compared_with(view: DepthOfView, others: Iterable[DepthOfView]) -> Agreement:
    """Compares a view's depth with that of others: each pixel's point is looked up where they see it."""
    result = Agreement(np.zeros(view.depth.shape, np.int32), np.zeros(view.depth.shape, np.int32))
    for other in others:
        T_other_view = inverse(other.T_world_camera) @ view.T_world_camera
        _compare(
            view.depth, _intrinsics(view.camera), other.depth, _intrinsics(other.camera), T_other_view, TOLERANCE,
            *result,
        )  # fmt: skip
    return result


def compared_with_reference(view: DepthOfView, others: Iterable[DepthOfView]) -> Agreement:
    """The obvious, slow ``compared_with``."""
    result = Agreement(np.zeros(view.depth.shape, np.int32), np.zeros(view.depth.shape, np.int32))
    points = view.camera.back_project(view.depth)
    for other in others:
        T_other_view = inverse(other.T_world_camera) @ view.T_world_camera
        for v, u in zip(*np.nonzero(view.depth > 0), strict=True):
            pixel, z = other.camera.project(T_other_view[:3, :3] @ points[v, u] + T_other_view[:3, 3])
            if z > 1e-3:
                column, row = np.floor(pixel + 0.5).astype(int)
                if 0 <= row < other.camera.height and 0 <= column < other.camera.width and other.depth[row, column] > 0:
                    result.compared[v, u] += 1
                    result.agree[v, u] += abs(other.depth[row, column] - z) <= TOLERANCE * z
    return result


def _intrinsics(camera: Camera) -> tuple[float, float, float, float]:
    return camera.fx, camera.fy, camera.cx, camera.cy


@numba.njit(cache=True, nogil=True)
def _compare(depth, K, other, K_other, T, tolerance, agree, compared):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    for v in range(height):
        for u in range(width):
            z = depth[v, u]
            if not z > 0:
                continue
            x, y = (u - K[2]) / K[0] * z, (v - K[3]) / K[1] * z
            depth_there = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
            if depth_there <= 1e-3:
                continue
            column = (T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]) / depth_there * K_other[0] + K_other[2]
            row = (T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]) / depth_there * K_other[1] + K_other[3]
            i, j = int(np.floor(row + 0.5)), int(np.floor(column + 0.5))
            if 0 <= i < other.shape[0] and 0 <= j < other.shape[1] and other[i, j] > 0:
                compared[v, u] += 1
                if abs(other[i, j] - depth_there) <= tolerance * depth_there:
                    agree[v, u] += 1
