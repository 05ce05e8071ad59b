"""Compiles what is compiled on first use before the first view arrives."""

from __future__ import annotations

import dataclasses

import numpy as np

from showroom_ros.geometry.camera import Camera
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.scene.view import View
from showroom_ros.settings import Settings


def warm_up(settings: Settings) -> None:
    """Fuses and meshes a small wall in a throw-away map of the same kind, twice: new blocks and known ones."""
    small_map = dataclasses.replace(settings.map, max_bytes=max(settings.map.max_bytes // 8, 8_000_000))
    reconstructor = Reconstructor(dataclasses.replace(settings, map=small_map))
    camera = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
    depth_m = float(np.clip(20 * settings.map.voxel_size_m, settings.map.min_depth_m, settings.map.max_depth_m))
    wall = np.full((48, 64), depth_m, np.float32)
    for stamp_ns in (1, 2):
        reconstructor.process(
            View(np.zeros((48, 64, 3), np.uint8), camera, wall, T_world_camera=np.eye(4), stamp_ns=stamp_ns)
        )
    reconstructor.volume.mesh_blocks()
    reconstructor.volume.extract_mesh()
