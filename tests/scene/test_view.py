"""Views and sensor frames check what they are made of."""

from __future__ import annotations

import numpy as np
import pytest

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance, SensorFrame, Sequence, View

CAMERA = Camera(8, 6, 10.0, 10.0, 3.5, 2.5)
DEPTH_CAMERA = Camera(4, 3, 5.0, 5.0, 1.5, 1.0)
IMAGE = np.zeros((6, 8, 3), np.uint8)
DEPTH = np.full((6, 8), 2.0, np.float32)


def test_a_view_of_everything() -> None:
    view = View(
        IMAGE, CAMERA, DEPTH, np.full((6, 8), Provenance.PREDICTED, np.uint8), np.ones((6, 8), np.float32), np.eye(4)
    )
    assert view.require_depth() is DEPTH
    np.testing.assert_array_equal(view.require_pose(), np.eye(4))


def test_poses_are_made_orthonormal() -> None:
    drifted = np.eye(4)
    drifted[0, 1] = 4e-4
    pose = View(IMAGE, CAMERA, T_world_camera=drifted).require_pose()
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)


def test_measured_beats_predicted_beats_generated() -> None:
    assert Provenance.MEASURED < Provenance.PREDICTED < Provenance.GENERATED


def test_all_unknown_depth_is_allowed() -> None:
    View(IMAGE, CAMERA, np.full((6, 8), np.nan, np.float32))
    View(IMAGE, CAMERA, np.zeros((6, 8), np.float32))


def test_what_is_missing_is_named() -> None:
    view = View(IMAGE, CAMERA, stamp_ns=7)
    with pytest.raises(InputError, match="stamp 7 has no depth"):
        view.require_depth()
    with pytest.raises(InputError, match="stamp 7 has no pose"):
        view.require_pose()


BAD_POSE = np.diag([1.0, 1, -1, 1])
LENS = Camera(8, 6, 10.0, 10.0, 3.5, 2.5, "plumb_bob", (0.1, 0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"image": IMAGE.astype(np.float32)}, r"image is float32 \(6, 8, 3\), expected uint8 \(H, W, 3\)"),
        ({"image": IMAGE[..., 0]}, r"image is uint8 \(6, 8\)"),
        ({"image": np.zeros((6, 8, 4), np.uint8)}, r"image is uint8 \(6, 8, 4\)"),
        ({"image": None}, "image is NoneType"),
        ({"image": np.zeros((0, 0, 3), np.uint8)}, "image is 0x0, its camera_info says 8x6"),
        ({"image": np.zeros((8, 6, 3), np.uint8)}, "image is 6x8, its camera_info says 8x6"),
        ({"camera": LENS}, "lens distortion; undistort"),
        ({"depth": DEPTH.astype(np.float64)}, r"depth is float64 \(6, 8\), expected float32 \(H, W\)"),
        ({"depth": DEPTH.tolist()}, "depth is list"),
        ({"depth": DEPTH[:3]}, "depth is 8x3, its camera_info says 8x6"),
        ({"depth": DEPTH * 1000}, "depth has a median of 2000, expected metres .* millimetres"),
        ({"provenance": DEPTH}, "provenance is float32"),
        ({"confidence": np.zeros((6, 8), np.uint8)}, "confidence is uint8"),
        ({"T_world_camera": np.eye(3)}, "T_world_camera has shape"),
        ({"T_world_camera": np.full((4, 4), np.nan)}, "T_world_camera is not finite"),
        ({"T_world_camera": BAD_POSE}, "T_world_camera is no rigid transform"),
    ],
)
def test_bad_views(arguments: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        View(**{"image": IMAGE, "camera": CAMERA, **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"image": np.zeros((6, 9, 3), np.uint8)}, "colour image is 9x6, its camera_info says 8x6"),
        ({"depth": np.ones((3, 4), np.float32)}, "8x6 and depth 4x3: different sizes need a camera_info"),
        (
            {"depth": np.ones((3, 5), np.float32), "depth_camera": DEPTH_CAMERA},
            "depth image is 5x3, its camera_info says 4x3",
        ),
        ({"depth": np.full((6, 8), 1500, np.float32)}, "is it in millimetres"),
        ({"depth": np.ones((6, 8), np.uint16)}, "depth image is uint16"),
        ({"T_color_depth": BAD_POSE}, "T_color_depth is no rigid transform"),
        ({"T_world_camera": np.zeros((4, 4))}, "T_world_camera has last row"),
    ],
)
def test_bad_sensor_frames(arguments: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        SensorFrame(**{"image": IMAGE, "color_camera": CAMERA, **arguments})  # type: ignore[arg-type]


def test_a_sensor_frame_of_two_cameras() -> None:
    frame = SensorFrame(IMAGE, LENS, np.ones((3, 4), np.float32), DEPTH_CAMERA, np.eye(4), np.eye(4))
    assert frame.depth_camera is DEPTH_CAMERA


def test_sequences_are_known_by_what_they_offer() -> None:
    class Recording:
        name = "r"

        def __len__(self) -> int:
            return 0

        def __getitem__(self, index: int) -> View:
            raise IndexError(index)

        def frame(self, index: int) -> SensorFrame:
            raise IndexError(index)

    assert isinstance(Recording(), Sequence)
    assert not isinstance([], Sequence)


def test_meshes_concatenate() -> None:
    part = Mesh(
        np.eye(3, dtype=np.float32),
        np.array([[0, 1, 2]], np.int32),
        np.zeros((3, 3), np.uint8),
        np.ones((3, 3), np.float32),
        np.array([1, 2, 3], np.uint8),
    )
    both = Mesh.concatenate([part, Mesh.empty(), part])
    np.testing.assert_array_equal(both.triangles, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(both.vertices[both.triangles[1]], part.vertices)
    np.testing.assert_array_equal(both.provenance, [1, 2, 3, 1, 2, 3])
    assert both.triangles.dtype == np.int32
    assert len(Mesh.concatenate([]).vertices) == 0
