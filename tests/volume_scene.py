"""A box room with signed distances fused from its frames, as ``showroom prepare`` would leave it, in memory."""

from __future__ import annotations

import numpy as np
from textured_room import ROOM, render_room

from showroom_ros.datasets.prepare.tsdf_targets import Grid, TsdfTarget
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.view import SensorFrame

CAMERA = Camera(160, 120, 110.0, 110.0, 79.5, 59.5)


class RoomScene:
    """A walk around the middle of the room, looking at its walls and corners."""

    def __init__(self, name: str = "room", frames: int = 12, camera: Camera = CAMERA) -> None:
        self.name, self._camera = name, camera
        angles = np.linspace(0, 2 * np.pi, frames, endpoint=False)
        centre = ROOM / 2 + np.array([0.15, -0.1, 0.1])  # off the room's planes of symmetry
        ahead = np.stack([np.cos(angles), np.sin(angles), np.full(frames, -0.4)], 1)
        self.poses = [look_at(centre + 0.3 * way, centre + 2 * way) for way in ahead]
        self._layer: tuple[np.ndarray, Grid] | None = None

    def __len__(self) -> int:
        return len(self.poses)

    def camera(self, index: int) -> Camera:
        return self._camera

    def pose(self, index: int) -> np.ndarray:
        return self.poses[index]

    def frame(self, index: int) -> SensorFrame:
        image, depth = render_room(self._camera, self.poses[index])
        return SensorFrame(image, self._camera, depth, T_world_camera=self.poses[index], stamp_ns=index)

    def tsdf_layer(self, layer: int) -> tuple[np.ndarray, Grid]:
        assert layer == 0
        if self._layer is None:
            target = TsdfTarget(Grid.covering(np.full(3, -0.3), ROOM + 0.3, 0.04), max_depth_m=10.0)
            for index in range(len(self)):
                frame = self.frame(index)
                target.integrate(frame.depth, self._camera, self.poses[index])
            self._layer = target.stored(), target.grid
        return self._layer
