"""The check of poses: right ones pass, and each usual fault is named."""

from __future__ import annotations

import numpy as np
import pytest
from layout_box_room import box_depth

from showroom_ros.datasets.pose_convention import AS_GIVEN, check_poses
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, look_at, pose_from
from showroom_ros.scene.view import SensorFrame

CAMERA = Camera(80, 60, 70.0, 70.0, 39.5, 29.5)
AXES = {
    "OpenCV": np.eye(3),
    "OpenGL": np.diag([1.0, -1, -1]),
    "PyTorch3D": np.diag([-1.0, -1, 1]),
    "mirrored": np.diag([1.0, -1, 1]),
    "body": np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
}
MIRROR = np.diag([1.0, -1, 1, 1])


class Wandering:
    """A camera that moves and turns about all axes in a box room; ``twist`` spoils its poses."""

    name = "wandering"

    def __init__(self, twist=lambda pose: pose, count: int = 12, speed: float = 1.0) -> None:  # type: ignore[no-untyped-def]
        self._twist, self._count, self._speed = twist, count, speed

    def __len__(self) -> int:
        return self._count

    def pose(self, index: int) -> np.ndarray:
        t = self._speed * index
        eye = np.array([1.2 + 0.05 * t, 1.1 - 0.04 * t, 1.0 + 0.03 * np.sin(t)])
        aim = np.array([np.cos(0.11 * t), np.sin(0.11 * t), 0.25 * np.sin(0.4 * t)])
        return look_at(eye, eye + aim) @ pose_from((0, 0, 0), (np.cos(0.05 * t), 0, 0, np.sin(0.05 * t)))

    def frame(self, index: int) -> SensorFrame:
        pose = self.pose(index)
        image = np.zeros((60, 80, 3), np.uint8)
        return SensorFrame(image, CAMERA, box_depth(CAMERA, pose), T_world_camera=self._twist(pose))

    def __getitem__(self, index: int):  # type: ignore[no-untyped-def]
        raise NotImplementedError


def test_right_poses_are_plausible() -> None:
    check = check_poses(Wandering())
    assert (check.verdict, check.best, check.not_excluded) == ("plausible", AS_GIVEN, ())
    assert check.pairs == 6
    # the rest has left the view, or lies at an edge
    assert check.share_as_given == check.share_best > 0.75


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("axes", AXES)
def test_each_fault_is_named(axes: str, inverted: bool) -> None:
    def twist(pose: np.ndarray) -> np.ndarray:
        turned = pose.copy()
        turned[:3, :3] = pose[:3, :3] @ np.linalg.inv(AXES[axes])
        if axes == "mirrored":  # a reflected world makes such poses rigid
            turned = MIRROR @ turned
        return inverse(turned) if inverted else turned

    check = check_poses(Wandering(twist))
    assert check.verdict == ("plausible" if axes == "OpenCV" and not inverted else "implausible")
    assert check.best.startswith("world to camera" if inverted else "camera to world")
    assert axes in check.best
    assert "millimetres" not in check.best
    assert check.share_best > 0.75
    assert check.share_best > check.share_as_given + 0.1 or check.verdict == "plausible"


def test_millimetres_are_noticed() -> None:
    def twist(pose: np.ndarray) -> np.ndarray:
        turned = pose.copy()
        turned[:3, 3] *= 1000
        return turned

    check = check_poses(Wandering(twist))
    assert (check.verdict, check.best) == ("implausible", f"{AS_GIVEN}, translation in millimetres")


def test_depth_of_a_camera_of_its_own() -> None:
    T_color_depth = pose_from((0.1, 0.02, 0.0), (np.cos(0.1), 0, np.sin(0.1), 0))

    class TwoCameras(Wandering):
        def frame(self, index: int) -> SensorFrame:
            pose = self.pose(index)
            depth = box_depth(CAMERA, pose @ T_color_depth)
            color = Camera(40, 30, 30.0, 30.0, 19.5, 14.5)
            return SensorFrame(np.zeros((30, 40, 3), np.uint8), color, depth, CAMERA, T_color_depth, pose)

    assert check_poses(TwoCameras()).verdict == "plausible"


def test_a_camera_at_rest_decides_nothing() -> None:
    assert check_poses(Wandering(speed=0.0)).verdict == "undecided"
    assert check_poses(Wandering(speed=0.0)).pairs == 0


def test_nothing_fits_depth_of_other_frames() -> None:
    rng = np.random.default_rng(0)

    class Shuffled(Wandering):
        def pose(self, index: int) -> np.ndarray:
            return super().pose(int(np.random.default_rng(index).integers(0, 12)))

        def frame(self, index: int) -> SensorFrame:
            frame = super().frame(index)
            noise = rng.uniform(0.5, 9.0, (60, 80)).astype(np.float32)
            return SensorFrame(frame.image, CAMERA, noise, T_world_camera=Wandering.pose(self, index))

    check = check_poses(Shuffled())
    assert (check.verdict, check.share_best < 0.2) == ("undecided", True)


def test_frames_that_cannot_be_read_are_passed_over() -> None:
    class Broken(Wandering):
        def frame(self, index: int) -> SensorFrame:
            if index % 2:
                raise DatasetError(f"{index}.png: cannot be decoded")
            return super().frame(index)

    check = check_poses(Broken())
    assert (check.verdict, 0 < check.pairs < 6) == ("plausible", True)


def test_without_depth_or_poses_there_is_no_verdict() -> None:
    class Unposed(Wandering):
        def frame(self, index: int) -> SensorFrame:
            frame = super().frame(index)
            return SensorFrame(frame.image, CAMERA, frame.depth)

    class Blind(Wandering):
        def frame(self, index: int) -> SensorFrame:
            frame = super().frame(index)
            return SensorFrame(frame.image, CAMERA, np.full((60, 80), np.nan, np.float32), None, None, np.eye(4))

    assert (check_poses(Unposed()), check_poses(Blind())) == (None, None)
    assert check_poses(Wandering(count=1)).verdict == "undecided"
