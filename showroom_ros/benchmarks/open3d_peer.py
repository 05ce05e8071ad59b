"""The peer on CPU: Open3D's tensor ``VoxelBlockGrid`` in its best configuration (8^3 blocks)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from showroom_ros.errors import MissingDependencyError
from showroom_ros.geometry.se3 import inverse
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance, View
from showroom_ros.settings import MapSettings

BLOCK_RESOLUTION = 8
_BLOCK_CAPACITY = 40_000


class Open3dFusion:
    """``VoxelBlockGrid`` with colour, the same voxel size, truncation and depth range as our map."""

    def __init__(self, settings: MapSettings, block_capacity: int = _BLOCK_CAPACITY) -> None:
        """Allocates ``block_capacity`` blocks at once, as Open3D does.

        Raises:
            MissingDependencyError: Open3D is not installed.
        """
        try:
            import open3d as o3d
        except ImportError as error:
            raise MissingDependencyError(
                f"the Open3D peer needs the extra 'peers' (pip install showroom_ros[peers]): {error}"
            ) from error
        self._o3d, self._settings = o3d, settings
        core = o3d.core
        self._grid = o3d.t.geometry.VoxelBlockGrid(
            attr_names=("tsdf", "weight", "color"),
            attr_dtypes=(core.float32, core.float32, core.float32),
            attr_channels=[core.SizeVector([channels]) for channels in (1, 1, 3)],
            voxel_size=settings.voxel_size_m,
            block_resolution=BLOCK_RESOLUTION,
            block_count=block_capacity,
            device=core.Device("CPU:0"),
        )
        self._prepared: Any = None

    @property
    def bytes_per_block(self) -> int:
        """Bytes of one block: TSDF, weight and three colour channels as float32 for each voxel."""
        return BLOCK_RESOLUTION**3 * 5 * 4

    def prepare(self, view: View) -> None:
        """Converts a view to Open3D's types; kept apart so that ``integrate`` times fusion alone."""
        o3d, core = self._o3d, self._o3d.core
        depth = np.nan_to_num(view.require_depth(), nan=0.0)
        depth = np.where(depth < self._settings.min_depth_m, 0.0, depth).astype(np.float32)
        self._prepared = (
            o3d.t.geometry.Image(core.Tensor(depth)),
            o3d.t.geometry.Image(core.Tensor(view.image.astype(np.float32) / 255)),
            core.Tensor(view.camera.matrix),
            core.Tensor(inverse(view.require_pose())),
        )

    def integrate(self) -> None:
        """Fuses the prepared view."""
        depth, color, intrinsics, extrinsics = self._prepared
        far, band = self._settings.max_depth_m, self._settings.truncation_m / self._settings.voxel_size_m
        blocks = self._grid.compute_unique_block_coordinates(depth, intrinsics, extrinsics, 1.0, far, band)
        self._grid.integrate(blocks, depth, color, intrinsics, intrinsics, extrinsics, 1.0, far, band)

    def mesh(self) -> Mesh:
        """The whole mesh; empty where Open3D finds no surface."""
        threshold = self._settings.min_weight - 1e-3  # Open3D wants strictly more
        try:
            found = self._grid.extract_triangle_mesh(weight_threshold=threshold)
        except RuntimeError:  # raised for an empty mesh
            return Mesh.empty()
        vertices = found.vertex.positions.numpy().astype(np.float32)
        return Mesh(
            vertices,
            found.triangle.indices.numpy().astype(np.int32),
            np.clip(np.rint(found.vertex.colors.numpy() * 255), 0, 255).astype(np.uint8),
            found.vertex.normals.numpy().astype(np.float32),
            np.full(len(vertices), Provenance.MEASURED, np.uint8),
        )


def fuse_with_open3d(views: Iterable[View], settings: MapSettings) -> Mesh:
    """The mesh Open3D makes of the same views."""
    fusion = Open3dFusion(settings)
    for view in views:
        fusion.prepare(view)
        fusion.integrate()
    return fusion.mesh()
