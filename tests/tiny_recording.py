"""Small made-up recordings for the tests of bags and data sets."""

from __future__ import annotations

import cv2
import numpy as np

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at, pose_from
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

COLOR = Camera(64, 48, 50.0, 51.0, 31.0, 24.0, "plumb_bob", (0.1, -0.05, 0.001, -0.002, 0.01))
DEPTH = Camera(40, 30, 36.0, 36.5, 19.5, 14.0)
T_COLOR_DEPTH = pose_from((-0.025, 0.002, 0.001), (0.99995, 0.01, 0.0, 0.0))


class TinyRecording:
    """Frames of smooth noise with all that a ``SensorFrame`` may have; depth in whole millimetres.

    Args:
        count: frames.
        registered: depth shares the colour camera.
        has_depth, has_pose: whether frames have them.
    """

    def __init__(
        self, count: int = 6, *, registered: bool = False, has_depth: bool = True, has_pose: bool = True
    ) -> None:
        self.name = "tiny"
        self._count, self._registered = count, registered
        self._has_depth, self._has_pose = has_depth, has_pose

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> View:
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        rng = np.random.default_rng(index)
        noise = rng.integers(0, 256, (COLOR.height, COLOR.width, 3), np.uint8)
        camera = COLOR if self._registered else DEPTH
        millimetres = rng.integers(0, 5000, (camera.height, camera.width)).astype(np.float32)
        depth = np.where(millimetres > 300, millimetres / np.float32(1000), np.float32(np.nan))
        return SensorFrame(
            image=np.ascontiguousarray(cv2.GaussianBlur(noise, (0, 0), 3)),
            color_camera=COLOR,
            depth=depth if self._has_depth else None,
            depth_camera=DEPTH if self._has_depth and not self._registered else None,
            T_color_depth=T_COLOR_DEPTH if self._has_depth and not self._registered else None,
            T_world_camera=look_at((np.cos(index / 9), np.sin(index / 9), 1.2), (0, 0, 1)) if self._has_pose else None,
            stamp_ns=1_700_000_000_000_000_001 + index * 33_333_333,
        )
