"""Volumes that say how visible a place was: the masks of protocols C and D."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.evaluation.refusion import Frame, render_depth
from showroom_ros.evaluation.visibility import VisibilityMask
from showroom_ros.geometry.se3 import transform_points
from showroom_ros.scene.mesh import Mesh

_NEAREST_M = 0.01


@dataclass(frozen=True, eq=False)
class OcclusionMask:
    """A voxel grid that says which places were occluded; the official mask of protocol C is one.

    Attributes:
        occluded: [X, Y, Z], 1 (or True) where occluded, 0 where seen.
        T_grid_world: float64 [4, 4], maps world points to voxel indices (centres at whole numbers); it scales.

    Raises:
        InputError: not a grid of values in [0, 1], or a transform that is none.
    """

    occluded: NDArray
    T_grid_world: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Checks shape, values and transform."""
        if self.occluded.ndim != 3 or not self.occluded.size:
            raise InputError(f"an occlusion mask is {self.occluded.shape}, expected a grid (X, Y, Z)")
        low, high = float(self.occluded.min()), float(self.occluded.max())
        if not (low >= 0 and high <= 1):
            raise InputError(f"an occlusion mask holds {low:g} to {high:g}, expected 0 (seen) to 1 (occluded)")
        matrix = np.asarray(self.T_grid_world, np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
            raise InputError(f"the occlusion mask's world-to-grid transform is {matrix.tolist()}, expected [4, 4]")

    def visibility(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """``1 - occluded`` at points [N, 3], trilinear; 0 outside of the grid."""

        def seen(voxels: NDArray[np.int64]) -> NDArray[np.float64]:
            return 1.0 - self.occluded[tuple(voxels.T)].astype(np.float64)

        return trilinear(transform_points(self.T_grid_world, points), self.occluded.shape, seen)


@dataclass(frozen=True, eq=False)
class VisibleVolume:
    """A voxel grid whose voxels are 1 where a camera saw their centre, worked out where it is asked for.

    A centre is seen when it is at most ``margin_m`` of the mask behind the depth there (``VisibilityMask``).

    Attributes:
        mask: depths, cameras and margin.
        origin_m: float64 [3], centre of the first voxel.
        shape: voxels along x, y, z.
        voxel_size_m: edge of a voxel.
    """

    mask: VisibilityMask
    origin_m: NDArray[np.float64]
    shape: tuple[int, int, int]
    voxel_size_m: float

    def visibility(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of seen voxels at points [N, 3], trilinear; 0 outside of the grid."""

        def seen(voxels: NDArray[np.int64]) -> NDArray[np.float64]:
            keys = np.ravel_multi_index(tuple(voxels.T), self.shape)
            once, places = np.unique(keys, return_inverse=True)
            centers = np.stack(np.unravel_index(once, self.shape), axis=1) * self.voxel_size_m + self.origin_m
            return self.mask(centers).astype(np.float64)[places]

        grid = (np.asarray(points, np.float64) - self.origin_m) / self.voxel_size_m
        return trilinear(grid, self.shape, seen)


def visible_volume(
    frames: Sequence[Frame],
    truth: Mesh,
    *,
    voxel_size_m: float,
    behind_m: float,
    margin_m: float = 0.5,
) -> VisibleVolume:
    """The volume around ``truth`` that the frames' depths leave visible.

    Args:
        frames: with depth.
        truth: its bounds grown by ``margin_m`` are those of the volume.
        voxel_size_m: edge of a voxel.
        behind_m: how far behind the depth a place still counts as seen.
        margin_m: see ``truth``.

    Raises:
        InputError: no frames, a frame without depth, an empty true mesh.
    """
    if not len(truth.vertices):
        raise InputError("the true mesh is empty: there is no volume around it")
    if any(frame.depth is None for frame in frames):
        raise InputError("a visible volume is made of depth images, a frame has none")
    low = truth.vertices.min(axis=0).astype(np.float64) - margin_m
    high = truth.vertices.max(axis=0).astype(np.float64) + margin_m
    size = (np.ceil((high - low) / voxel_size_m).astype(int) + 1).tolist()
    mask = VisibilityMask(
        tuple(frame.camera for frame in frames),
        tuple(frame.T_world_camera for frame in frames),
        tuple(frame.depth for frame in frames if frame.depth is not None),
        min_depth_m=_NEAREST_M,
        max_depth_m=np.inf,
        margin_m=behind_m,
    )
    return VisibleVolume(mask, low, (size[0], size[1], size[2]), voxel_size_m)


def with_true_depth(frames: Sequence[Frame], truth: Mesh, width: int, height: int) -> list[Frame]:
    """The frames at another image size, with the depth of the true mesh rendered into them."""
    rendered = []
    for frame in frames:
        camera = frame.camera.scaled(width, height)
        rendered.append(Frame(camera, frame.T_world_camera, render_depth(truth, camera, frame.T_world_camera)))
    return rendered


def trilinear(
    grid: NDArray[np.float64],
    shape: tuple[int, ...],
    value: Callable[[NDArray[np.int64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Interpolates voxel values at places [N, 3] in voxels (centres at whole numbers); 0 outside of the centres.

    Args:
        grid: the places.
        shape: voxels along each axis.
        value: values of voxels int64 [M, 3].
    """
    last = np.array(shape) - 1
    inside = ((grid >= 0) & (grid <= last)).all(axis=1)
    result = np.zeros(len(grid))
    if not inside.any():
        return result
    places = grid[inside]
    base = np.minimum(np.floor(places).astype(np.int64), np.maximum(last - 1, 0))
    share = places - base
    corners = np.array(list(itertools.product((0, 1), repeat=3)), np.int64)
    voxels = np.minimum(base[:, None] + corners, last)
    weights = np.where(corners, share[:, None], 1 - share[:, None]).prod(axis=2)
    result[inside] = (weights * value(voxels.reshape(-1, 3)).reshape(weights.shape)).sum(axis=1)
    return result
