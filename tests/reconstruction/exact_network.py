"""A stand-in for the volumetric network that knows the scene: exact distances out of the same interface."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at
from showroom_ros.networks.ioar import STRIDES, TSDF_GAIN, VOXEL_SIZES_M, IoarNet, LevelState
from showroom_ros.networks.view_fusion import FusedViews, ViewFeatures, back_projected, projections
from showroom_ros.scene.view import View

TRUNCATION_M = 0.12
Distance = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Signed distances [P] in metres of points [P, 3] of the network's frame; positive in free space."""


class ExactNetwork:
    """``networks.ioar.IoarNet`` with the truth for weights.

    Attributes:
        runs: voxels per call of ``run_level``, with its level.
        views: numbers of views per call of ``fuse_views``.
    """

    def __init__(self, distance: Distance, sees_all: bool = False) -> None:
        """``sees_all``: every view counts as seeing every voxel."""
        self._distance = distance
        self._sees_all = sees_all
        self.runs: list[tuple[int, int]] = []
        self.views: list[int] = []

    def view_features(self, images: Tensor, K: Tensor, T_world_camera: Tensor) -> ViewFeatures:
        sizes = [(images.shape[2] // stride, images.shape[3] // stride) for stride in STRIDES]
        maps = tuple(torch.zeros(len(images), 1, height, width) for height, width in sizes)
        return ViewFeatures(maps, tuple(projections(K, T_world_camera, stride) for stride in STRIDES))

    def fuse_views(self, level: int, points_m: Tensor, features: ViewFeatures) -> FusedViews:
        valid = back_projected(points_m, features.maps[level], features.projections[level]).valid
        self.views.append(features.views)
        return FusedViews(points_m, valid | self._sees_all, torch.full(valid.shape, 3.0))

    def run_level(self, level: int, coordinates: Tensor, fused: Tensor, parent: LevelState | None) -> LevelState:
        self.runs.append((level, len(coordinates)))
        assert parent is None or torch.equal(parent.coordinates, coordinates)
        distance = torch.as_tensor(self._distance(fused.double().numpy()))
        logit = torch.atanh((-distance / TRUNCATION_M).clamp(-1, 1) / TSDF_GAIN)
        near = distance.abs() < TRUNCATION_M + 2 * VOXEL_SIZES_M[level]
        classes = torch.stack([torch.zeros_like(distance), near * 20.0 - 10, torch.zeros_like(distance)], 1)
        return LevelState(coordinates, fused, fused, logit, classes)

    def subdivide(self, state: LevelState) -> tuple[Tensor, LevelState]:
        return IoarNet.subdivide(None, state)  # type: ignore[arg-type]

    def tsdf(self, state: LevelState) -> Tensor:
        return IoarNet.tsdf(state)


ROOM_LOW, ROOM_HIGH = np.array([-1.1, -0.9, -0.3]), np.array([1.3, 1.1, 1.4])
BALL, BALL_RADIUS_M = np.array([0.6, 0.3, 0.2]), 0.3


def room_distance(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A box of a room with a ball in it, across several tiles."""
    walls = np.minimum(points - ROOM_LOW, ROOM_HIGH - points)
    outside = np.linalg.norm(np.minimum(walls, 0), axis=1)
    inside = np.where(outside > 0, -outside, walls.min(1))
    return np.minimum(inside, np.linalg.norm(points - BALL, axis=1) - BALL_RADIUS_M)


CAMERA = Camera(96, 80, 42.0, 42.0, 47.5, 39.5)


def walk(count: int = 40, camera: Camera = CAMERA, seed: int = 0) -> list[View]:
    """A round through the room, looking outwards and around."""
    views = []
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (camera.height, camera.width, 3)).astype(np.uint8)
    for n in range(count):
        angle = 2 * np.pi * n / count
        eye = np.array([0.1 + 0.7 * np.cos(angle), 0.1 - 0.6 * np.sin(angle), 0.8 + 0.2 * np.sin(3 * angle)])
        yaw, pitch = angle * 3 + 1.0, 0.6 * np.sin(5 * angle)
        pose = look_at(eye, eye + np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)]))
        views.append(View(image, camera, T_world_camera=pose, stamp_ns=n * 10**8))
    return views
