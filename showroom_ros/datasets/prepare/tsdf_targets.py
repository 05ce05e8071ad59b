"""Ground-truth signed distances for networks that predict them: dense, with free and unseen space told apart.

Volumes that allocate blocks near surfaces only cannot tell "seen to be free" from "never seen" away from them;
these are dense (Murez et al., Atlas, ECCV 2020; the sign is that of VoRTX, Stier et al., 3DV 2021): -1 seen to be
free, through 0 at the surface, +1 behind it or never seen. The unit is the truncation distance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, transform_points

TRUNCATION_VOXELS = 3.0
MAX_DEPTH_M = 3.0
VOXEL_SIZES_M = (0.04, 0.08, 0.16)
"""Of layers 0, 1, 2."""
MAX_BOUNDS_FRAMES = 200
SATURATED = 0.999
"""Distances at least this large are not of the surface band."""

UNSEEN, SURFACE, FREE = 0, 1, 2
"""Classes of voxels: inner, surface, outer."""

DepthFrame = tuple[NDArray[np.float32], Camera, NDArray[np.float64]]
"""Planar depth float32 [H, W] metres (NaN unknown), its undistorted camera, ``T_world_camera`` [4, 4]."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a layer are: voxel (i, j, k) has its centre at ``origin + voxel_size_m * (i, j, k)``.

    Attributes:
        origin: float64 [3], metres, world frame.
        voxel_size_m: edge of a voxel.
        shape: voxels along x, y, z.
    """

    origin: NDArray[np.float64]
    voxel_size_m: float
    shape: tuple[int, int, int]

    @staticmethod
    def covering(low: NDArray[np.float64], high: NDArray[np.float64], voxel_size_m: float) -> Grid:
        """The grid that starts at ``low`` [3] and reaches ``high`` [3]."""
        counts = np.ceil((high - low) / voxel_size_m).astype(int) + 1
        return Grid(np.asarray(low, np.float64), voxel_size_m, (int(counts[0]), int(counts[1]), int(counts[2])))

    @property
    def truncation_m(self) -> float:
        """Distance at which the stored value reaches 1."""
        return TRUNCATION_VOXELS * self.voxel_size_m


def frusta_bounds(
    frames: Iterable[DepthFrame], max_depth_m: float = MAX_DEPTH_M
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners [3] of the box around all viewing frusta, each cut at its frame's greatest depth within the limit.

    Raises:
        InputError: no frame has any depth within ``max_depth_m``.
    """
    corners = []
    for depth, camera, T_world_camera in frames:
        within = depth[depth <= max_depth_m]
        if within.size:
            corners.append(transform_points(T_world_camera, _frustum(camera, float(within.max()))))
    if not corners:
        raise InputError(f"no frame has depth within {max_depth_m:g} m")
    points = np.concatenate(corners)
    return points.min(0), points.max(0)


class TsdfTarget:
    """One layer while frames are fused into it.

    Attributes:
        grid: where its voxels are.
        max_depth_m: farther depth counts as unknown.
        mean: float32 [X, Y, Z], mean of the observed truncated distances: 1 free ... 0 surface ... -1 behind.
        weight: float32 [X, Y, Z], how many frames observed the voxel.
    """

    def __init__(self, grid: Grid, max_depth_m: float = MAX_DEPTH_M) -> None:
        """Starts with nothing observed."""
        self.grid = grid
        self.max_depth_m = max_depth_m
        self.mean = np.ones(grid.shape, np.float32)
        self.weight = np.zeros(grid.shape, np.float32)

    def integrate(self, depth: NDArray[np.float32], camera: Camera, T_world_camera: NDArray[np.float64]) -> None:
        """Fuses one frame, with weight 1.

        Every voxel centre is projected and takes the pixel it falls into (rounded). It is observed if that pixel
        has a depth and the centre is no farther behind it than the truncation; what is observed is
        min(1, (depth - z) / truncation).

        Args:
            depth: float32 [H, W], planar, metres; NaN or 0 unknown.
            camera: its undistorted camera.
            T_world_camera: float64 [4, 4].

        Raises:
            InputError: depth is not of the camera's size, or the camera has distortion.
        """
        _check(depth, camera)
        T_camera_world = inverse(T_world_camera)
        low, high = self._reach(camera, T_world_camera)
        _integrate(
            self.mean,
            self.weight,
            np.ascontiguousarray(depth, np.float32),
            np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
            T_camera_world[:3, :3].copy(),
            T_camera_world[:3, 3].copy(),
            self.grid.origin,
            self.grid.voxel_size_m,
            self.grid.truncation_m,
            self.max_depth_m,
            low,
            high,
        )

    def stored(self) -> NDArray[np.float32]:
        """The layer in the stored convention, float32 [X, Y, Z]: -1 free, 0 surface, +1 behind or unseen."""
        return stored_convention(self.mean, self.weight)

    def _reach(
        self, camera: Camera, T_world_camera: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last + 1 voxel [3] of the box around all that the frame may observe."""
        farthest = self.max_depth_m + self.grid.truncation_m
        corners = transform_points(T_world_camera, _frustum(camera, farthest))
        voxels = (corners - self.grid.origin) / self.grid.voxel_size_m
        low = np.floor(voxels.min(0)).astype(np.int64)
        high = np.ceil(voxels.max(0)).astype(np.int64) + 1
        return np.clip(low, 0, self.grid.shape), np.clip(high, 0, self.grid.shape)


def stored_convention(mean: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fused distances as they are stored.

    Values below 1 are negated, observed voxels that ended at exactly 1 become -1, unobserved ones stay +1.

    Args:
        mean: float32 [X, Y, Z]: 1 free ... 0 surface ... -1 behind.
        weight: float32 [X, Y, Z], 0 where unobserved.
    """
    return np.where(weight > 0, -mean, np.float32(1.0)).astype(np.float32)


def class_labels(fine: NDArray[np.float32], levels: int = 3) -> list[NDArray[np.uint8]]:
    """Classes per level, finest first, uint8: 0 unseen or behind, 1 surface, 2 free.

    Every coarser level is every second voxel of the finer one, with surface wherever the finer level has surface in
    the 3x3x3 voxels around (all of it, so that a coarse surface voxel always has its fine surface inside).

    Args:
        fine: float32 [X, Y, Z] in the stored convention.
        levels: how many; 3 for 4, 8, 16 cm.
    """
    surface = np.abs(fine) < SATURATED
    labels = np.where(fine <= -SATURATED, FREE, UNSEEN).astype(np.uint8)
    labels[surface] = SURFACE
    result = [labels]
    for _ in range(levels - 1):
        surface = binary_dilation(surface, np.ones((3, 3, 3), bool))[::2, ::2, ::2]
        labels = labels[::2, ::2, ::2].copy()
        labels[surface] = SURFACE
        result.append(labels)
    return result


def integrate_reference(
    mean: NDArray[np.float32],
    weight: NDArray[np.float32],
    grid: Grid,
    frame: DepthFrame,
    max_depth_m: float = MAX_DEPTH_M,
) -> None:
    """The obvious, slow ``TsdfTarget.integrate``: one voxel after the other, in plain Python; changes its arrays."""
    depth, camera, T_world_camera = frame
    T_camera_world = inverse(T_world_camera)
    for index in np.ndindex(*grid.shape):
        point = T_camera_world[:3, :3] @ (grid.origin + grid.voxel_size_m * np.array(index)) + T_camera_world[:3, 3]
        if point[2] <= 0:
            continue
        column = int(np.floor(camera.fx * point[0] / point[2] + camera.cx + 0.5))
        row = int(np.floor(camera.fy * point[1] / point[2] + camera.cy + 0.5))
        if not (0 <= column < camera.width and 0 <= row < camera.height):
            continue
        measured = float(depth[row, column])
        if not 0 < measured <= max_depth_m:
            continue
        behind = measured - point[2]
        if behind < -grid.truncation_m:
            continue
        distance = min(1.0, behind / grid.truncation_m)
        mean[index] = (mean[index] * weight[index] + distance) / (weight[index] + 1)
        weight[index] += 1


def fused_layers(
    frames: Sequence[DepthFrame] | Iterable[DepthFrame],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    voxel_sizes_m: tuple[float, ...] = VOXEL_SIZES_M,
    max_depth_m: float = MAX_DEPTH_M,
) -> list[TsdfTarget]:
    """All layers between two corners [3], fused from all frames in one pass."""
    layers = [TsdfTarget(Grid.covering(low, high, size), max_depth_m) for size in voxel_sizes_m]
    for frame in frames:
        for layer in layers:
            layer.integrate(*frame)
    return layers


def _frustum(camera: Camera, depth_m: float) -> NDArray[np.float64]:
    """The camera's centre and the four outer corners of its image at a depth, [5, 3], camera frame."""
    left, right = (-0.5 - camera.cx) / camera.fx, (camera.width - 0.5 - camera.cx) / camera.fx
    top, bottom = (-0.5 - camera.cy) / camera.fy, (camera.height - 0.5 - camera.cy) / camera.fy
    rays = [(0.0, 0.0, 0.0), (left, top, 1.0), (right, top, 1.0), (right, bottom, 1.0), (left, bottom, 1.0)]
    return np.array(rays) * depth_m


def _check(depth: NDArray[np.float32], camera: Camera) -> None:
    if depth.shape != (camera.height, camera.width):
        raise InputError(f"depth is {depth.shape[::-1]}, its camera {camera.width}x{camera.height}")
    if camera.is_distorted:
        raise InputError("the depth camera has lens distortion; undistort first")


@numba.njit(cache=True, nogil=True)
def _integrate(  # type: ignore[no-untyped-def]
    mean, weight, depth, intrinsics, rotation, translation, origin, voxel_size, truncation, max_depth, low, high
):
    fx, fy, cx, cy = intrinsics
    height, width = depth.shape
    for i in range(low[0], high[0]):
        x = origin[0] + voxel_size * i
        for j in range(low[1], high[1]):
            y = origin[1] + voxel_size * j
            for k in range(low[2], high[2]):
                z = origin[2] + voxel_size * k
                pz = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z + translation[2]
                if pz <= 0:
                    continue
                px = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z + translation[0]
                column = int(np.floor(fx * px / pz + cx + 0.5))
                if column < 0 or column >= width:
                    continue
                py = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z + translation[1]
                row = int(np.floor(fy * py / pz + cy + 0.5))
                if row < 0 or row >= height:
                    continue
                measured = np.float64(depth[row, column])
                if not (measured > 0 and measured <= max_depth):
                    continue
                behind = measured - pz
                if behind < -truncation:
                    continue
                distance = np.float32(min(1.0, behind / truncation))
                seen = weight[i, j, k]
                mean[i, j, k] = (mean[i, j, k] * seen + distance) / (seen + np.float32(1.0))
                weight[i, j, k] = seen + np.float32(1.0)
