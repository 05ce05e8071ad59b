"""Messages to types and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from geometry_msgs.msg import Pose, Transform
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import pose_from
from showroom_ros.ros import conversions as c
from showroom_ros.scene.view import View

pytestmark = pytest.mark.ros
CAMERA = Camera(64, 48, 50.0, 51.0, 30.0, 20.0, "plumb_bob", (0.1, -0.2, 0.001, 0.002, 0.05))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_round_trip(stamp_ns):
    assert c.ns_from_stamp(c.stamp_from_ns(stamp_ns)) == stamp_ns


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_poses_and_transforms_round_trip(seed):
    rng = np.random.default_rng(seed)
    quat = rng.normal(size=4)
    pose = pose_from(rng.normal(size=3), quat / np.linalg.norm(quat))
    np.testing.assert_allclose(c.pose_matrix(c.pose_message(pose), "pose"), pose, atol=1e-12)
    np.testing.assert_allclose(c.transform_matrix(c.transform_message(pose), "tf"), pose, atol=1e-12)


@pytest.mark.parametrize("rotation", [(0, 0, 0, 0), (0, 0, 0, 1.1), (float("nan"), 0, 0, 1)])
def test_bad_rotations_name_the_topic(rotation):
    message = Pose()
    message.orientation.x, message.orientation.y, message.orientation.z, message.orientation.w = map(float, rotation)
    with pytest.raises(InputError, match=r"/my/pose: quaternion.*expected 1"):
        c.pose_matrix(message, "/my/pose")


def test_positions_that_are_not_finite_name_the_topic():
    message = Transform()
    message.translation.x = float("inf")
    with pytest.raises(InputError, match=r"/tf: translation .* not finite"):
        c.transform_matrix(message, "/tf")


@pytest.mark.parametrize("camera", [CAMERA, Camera(6, 4, 5.0, 5.0, 2.0, 2.0)])
def test_camera_info_round_trips(camera):
    assert c.camera_from_message(c.camera_info_message(camera, "cam", 5), "info") == camera


def test_region_binning_and_rectified_images():
    message = c.camera_info_message(CAMERA, "cam", 0)
    message.p = np.array([40.0, 0, 31, 0, 0, 41, 22, 0, 0, 0, 1, 0])
    assert c.camera_from_message(message, "info", rectified=True) == Camera(64, 48, 40.0, 41.0, 31.0, 22.0)
    message.roi = RegionOfInterest(x_offset=10, y_offset=4, width=32, height=40)
    message.binning_x = message.binning_y = 2
    camera = c.camera_from_message(message, "info")
    assert (camera.width, camera.height, camera.fx, camera.fy) == (16, 20, 25.0, 25.5)
    assert (camera.cx, camera.cy) == ((20.0 + 0.5) / 2 - 0.5, (16.0 + 0.5) / 2 - 0.5)


def test_uncalibrated_cameras_name_the_topic():
    with pytest.raises(InputError, match=r"/cam/info: camera fx is 0.0, expected a positive"):
        c.camera_from_message(CameraInfo(width=64, height=48), "/cam/info")


@pytest.mark.parametrize(
    ("encoding", "image"),
    [
        ("rgb8", np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)),
        ("bgr8", np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)),
    ],
)
def test_color_images_round_trip(encoding, image):
    decoded = c.color_from_image(c.image_message(image, encoding, "cam", 1), "image")
    np.testing.assert_array_equal(decoded, image if encoding == "rgb8" else image[..., ::-1])


def test_depth_images_round_trip():
    depth = np.array([[1.5, 0.0], [np.inf, 2.25]], np.float32)
    decoded = c.depth_from_image(c.image_message(depth, "32FC1", "cam", 1), "depth")
    np.testing.assert_array_equal(decoded, np.array([[1.5, np.nan], [np.nan, 2.25]], np.float32))
    millimetres = np.array([[1500, 0], [1, 65535]], np.uint16)
    decoded = c.depth_from_image(c.image_message(millimetres, "16UC1", "cam", 1), "depth")
    np.testing.assert_allclose(decoded, [[1.5, np.nan], [0.001, 65.535]], rtol=1e-6)


def test_a_broken_view_message_names_the_field():
    view = View(np.zeros((4, 6, 3), np.uint8), Camera(6, 4, 5.0, 5.0, 2.0, 2.0), np.ones((4, 6), np.float32))
    message = c.view_message(view, "odom")
    message.depth.step = 3
    with pytest.raises(InputError, match=r"view.depth: step is 3 bytes, expected at least 24"):
        c.view_from_message(message)
    message = c.view_message(view, "odom")
    message.has_pose = True
    message.pose.orientation.w = 0.0
    with pytest.raises(InputError, match=r"view.pose: quaternion"):
        c.view_from_message(message)
