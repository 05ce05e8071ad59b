"""Compiles what is compiled on first use before the first view arrives, and has networks run once."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import pose_from
from showroom_ros.reconstruction.estimator import Estimator, make_estimator
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.reconstruction.sensor_depth import SensorDepth
from showroom_ros.scene.view import View
from showroom_ros.scene.volume import Volume
from showroom_ros.settings import Settings

_WALL_M = 1.5
_SHIFT_PX = 12


def warm_up(settings: Settings, estimator: Estimator | None = None) -> None:
    """Fuses and meshes a small wall in a throw-away map of the same kind, twice: new blocks and known ones.

    Where depth is estimated, that is done too, of a textured wall seen from two places.

    Args:
        settings: of the map that is to come.
        estimator: the one that is to be used, reset afterwards; None = what ``reconstruction.method`` names.
    """
    small_map = dataclasses.replace(settings.map, max_bytes=max(settings.map.max_bytes // 8, 8_000_000))
    settings = dataclasses.replace(settings, map=small_map)
    reconstructor = Reconstructor(settings, SensorDepth())
    camera = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
    depth_m = float(np.clip(20 * settings.map.voxel_size_m, settings.map.min_depth_m, settings.map.max_depth_m))
    wall = np.full((48, 64), depth_m, np.float32)
    for stamp_ns in (1, 2):
        reconstructor.process(
            View(np.zeros((48, 64, 3), np.uint8), camera, wall, T_world_camera=np.eye(4), stamp_ns=stamp_ns)
        )
    if settings.reconstruction.method != "sensor_depth":
        _estimate_once(settings, make_estimator(settings) if estimator is None else estimator, reconstructor.volume)
    reconstructor.volume.mesh_blocks()
    reconstructor.volume.extract_mesh()


def _estimate_once(settings: Settings, estimator: Estimator, volume: Volume) -> None:
    reconstructor = Reconstructor(settings, estimator)
    reconstructor.volume = volume
    for view in wall_views(settings.reconstruction.image_width):
        with contextlib.suppress(InputError):  # said again, and heard, of the first real view
            reconstructor.process(view)
    estimator.reset()


def wall_views(width: int) -> list[View]:
    """Images of a wall of noise at 1.5 m, ``width`` pixels wide, from two places beside each other."""
    height = max(48, width * 3 // 4)
    camera = Camera(width, height, float(width), float(width), (width - 1) / 2, (height - 1) / 2)
    grains = np.random.default_rng(0).integers(0, 256, (-(-height // 2), width, 3), np.uint8)
    noise = grains.repeat(2, axis=0).repeat(2, axis=1)[:height]
    step_m = _SHIFT_PX * _WALL_M / camera.fx
    return [
        View(
            np.ascontiguousarray(noise[:, _SHIFT_PX * index : _SHIFT_PX * index + width]),
            camera,
            T_world_camera=pose_from((step_m * index, 0.0, 0.0)),
            stamp_ns=10 + index,
        )
        for index in range(2)
    ]
