"""Bags that were not made by us: other topic names, poses from odometry, missing partners, ambiguous topics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_recording import COLOR, TinyRecording

from showroom_ros.bags import messages
from showroom_ros.bags.convert import convert
from showroom_ros.bags.message_types import jazzy_types
from showroom_ros.bags.sequence import BagSequence
from showroom_ros.bags.topics import BagTopics
from showroom_ros.bags.writer import BagWriter
from showroom_ros.errors import BagError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import interpolate, inverse, look_at, pose_from
from showroom_ros.scene.depth_codec import millimetres_from_depth
from showroom_ros.scene.view import SensorFrame

SECOND = 10**9
CAMERA = Camera(64, 48, 50.0, 50.0, 32.0, 24.0)
GREY = np.full((48, 64, 3), 90, np.uint8)
T_BASE_CAMERA = pose_from((0.1, 0.0, 0.3), (0.5, -0.5, 0.5, -0.5))


def pose_at(seconds: float) -> np.ndarray:
    return interpolate(look_at((1, 0, 1), (0, 0, 1)), look_at((0, 1, 1.5), (0, 0, 1)), seconds / 10)


class Recorder:
    """Writes a bag by hand."""

    def __init__(self, path: Path) -> None:
        self.writer = BagWriter(path)
        self.topics: set[str] = set()

    def add(self, topic: str, msgtype: str, stamp_ns: int, message: Any) -> None:
        if topic not in self.topics:
            self.writer.add_topic(topic, msgtype)
            self.topics.add(topic)
        self.writer.write(topic, stamp_ns, message)

    def color(self, stamp_ns: int, topic: str = "/cam/rgb/image_raw", frame_id: str = "lens") -> None:
        self.add(topic, messages.IMAGE, stamp_ns, messages.image_message(GREY, "rgb8", frame_id, stamp_ns))

    def info(self, stamp_ns: int, topic: str = "/cam/rgb/camera_info", camera: Camera = CAMERA) -> None:
        self.add(topic, messages.CAMERA_INFO, stamp_ns, messages.camera_info_message(camera, "lens", stamp_ns))

    def depth(self, stamp_ns: int, topic: str = "/cam/depth/image_raw", frame_id: str = "lens") -> None:
        pixels = millimetres_from_depth(np.full((48, 64), stamp_ns / SECOND, np.float32))
        self.add(topic, messages.IMAGE, stamp_ns, messages.image_message(pixels, "16UC1", frame_id, stamp_ns))

    def transform(self, parent: str, child: str, stamp_ns: int, pose: np.ndarray, topic: str = "/tf") -> None:
        message = messages.transforms_message(parent, child, stamp_ns, pose)
        self.add(topic, messages.TRANSFORMS, stamp_ns, message)

    def odometry(self, stamp_ns: int, pose: np.ndarray, topic: str = "/odom") -> None:
        types = jazzy_types().types
        transform = messages.transforms_message("a", "b", 0, pose).transforms[0].transform
        point = transform.translation
        position = types["geometry_msgs/msg/Point"](x=point.x, y=point.y, z=point.z)
        inner = types["geometry_msgs/msg/Pose"](position=position, orientation=transform.rotation)
        zero = types["geometry_msgs/msg/Vector3"](x=0.0, y=0.0, z=0.0)
        twist = types["geometry_msgs/msg/Twist"](linear=zero, angular=zero)
        message = types["nav_msgs/msg/Odometry"](
            header=messages.header("odom", stamp_ns),
            child_frame_id="base",
            pose=types["geometry_msgs/msg/PoseWithCovariance"](pose=inner, covariance=np.zeros(36)),
            twist=types["geometry_msgs/msg/TwistWithCovariance"](twist=twist, covariance=np.zeros(36)),
        )
        self.add(topic, messages.ODOMETRY, stamp_ns, message)

    def pose(self, stamp_ns: int, pose: np.ndarray, topic: str = "/pose") -> None:
        types = jazzy_types().types
        transform = messages.transforms_message("a", "b", 0, pose).transforms[0].transform
        point = transform.translation
        position = types["geometry_msgs/msg/Point"](x=point.x, y=point.y, z=point.z)
        inner = types["geometry_msgs/msg/Pose"](position=position, orientation=transform.rotation)
        message = types["geometry_msgs/msg/PoseStamped"](header=messages.header("map", stamp_ns), pose=inner)
        self.add(topic, messages.POSE, stamp_ns, message)


def test_poses_are_interpolated_along_a_chain_of_transforms(tmp_path: Path) -> None:
    bag = Recorder(tmp_path / "bag")
    bag.transform("base", "lens", SECOND, T_BASE_CAMERA, "/tf_static")
    for tenth in range(10, 31):  # sent 40 ms late: all of it is known when reading a bag
        stamp_ns = tenth * SECOND // 10
        pose = pose_at(tenth / 10) @ inverse(T_BASE_CAMERA)
        message = messages.transforms_message("odom", "base", stamp_ns, pose)
        bag.add("/tf", messages.TRANSFORMS, stamp_ns + 40_000_000, message)
    for stamp_ns in (SECOND, 1_730_000_000, 3 * SECOND, 3_100_000_000):
        bag.color(stamp_ns)
    bag.info(SECOND)
    bag.writer.close()
    found = BagSequence(tmp_path / "bag")
    assert [found.frame(i).stamp_ns for i in range(len(found))] == [SECOND, 1_730_000_000, 3 * SECOND]
    assert found.skipped == {"no pose": 1}
    np.testing.assert_allclose(found.frame(1).T_world_camera, pose_at(1.73), atol=1e-4)
    np.testing.assert_allclose(found.frame(2).T_world_camera, pose_at(3.0), atol=1e-9)
    assert found.frame(0).frame_id == "lens"
    in_base = BagSequence(tmp_path / "bag", world_frame="base")
    np.testing.assert_allclose(in_base.frame(0).T_world_camera, T_BASE_CAMERA, atol=1e-9)


def test_odometry_with_the_mount_from_static_transforms(tmp_path: Path) -> None:
    bag = Recorder(tmp_path / "bag")
    bag.transform("base", "lens", SECOND, T_BASE_CAMERA, "/tf_static")
    for second in range(1, 4):
        bag.odometry(second * SECOND, pose_at(second) @ inverse(T_BASE_CAMERA))
        bag.color(second * SECOND)
    bag.info(SECOND)
    bag.writer.close()
    for topics in (None, BagTopics(pose="/odom")):
        found = BagSequence(tmp_path / "bag", topics)
        assert (found.world_frame, found.topics.pose, len(found)) == ("odom", "/odom", 3)
        np.testing.assert_allclose(found.frame(1).T_world_camera, pose_at(2), atol=1e-9)


def test_pose_topic_is_the_camera_itself(tmp_path: Path) -> None:
    bag = Recorder(tmp_path / "bag")
    for second in range(1, 4):
        bag.pose(second * SECOND, pose_at(second))
        bag.color(second * SECOND)
    bag.info(SECOND)
    bag.writer.close()
    found = BagSequence(tmp_path / "bag")
    assert (found.world_frame, found.topics.pose) == ("map", "/pose")
    np.testing.assert_allclose(found.frame(2).T_world_camera, pose_at(3), atol=1e-9)


def test_depth_partner_is_the_nearest_within_the_slop(tmp_path: Path) -> None:
    bag = Recorder(tmp_path / "bag")
    bag.info(SECOND)
    for milliseconds in (1000, 1033, 1100, 1133):
        bag.color(milliseconds * 10**6)
    for milliseconds in (1031, 1008, 1150, 1300):  # out of order, none near 1100
        bag.depth(milliseconds * 10**6)
    bag.writer.close()
    found = BagSequence(tmp_path / "bag")
    pairs = [(found.frame(i).stamp_ns // 10**6, float(found.frame(i).depth[0, 0])) for i in range(len(found))]
    assert pairs == [(1000, pytest.approx(1.008)), (1033, pytest.approx(1.031)), (1133, pytest.approx(1.150))]
    assert found.skipped == {"no depth": 1}
    assert len(BagSequence(tmp_path / "bag", slop_s=0.005)) == 1
    without_depth = BagSequence(tmp_path / "bag", BagTopics(depth=""))
    assert (len(without_depth), without_depth.frame(0).depth) == (4, None)


def test_images_recorded_at_the_same_instant_are_told_apart(tmp_path: Path) -> None:
    bag = Recorder(tmp_path / "bag")
    bag.info(SECOND)
    for i in range(4):
        image = messages.image_message(GREY + i, "rgb8", "lens", (i + 1) * SECOND)
        bag.add("/cam/rgb/image_raw", messages.IMAGE, SECOND, image)
    bag.writer.close()
    found = BagSequence(tmp_path / "bag")
    assert [int(found.frame(i).image[0, 0, 0]) for i in range(4)] == [90, 91, 92, 93]


def test_ambiguous_topics_are_listed_and_can_be_chosen(tmp_path: Path) -> None:
    bag = Recorder(tmp_path / "bag")
    for side in ("left", "right"):
        bag.color(SECOND, f"/{side}/image_raw")
        bag.info(SECOND, f"/{side}/camera_info")
    bag.writer.close()
    with pytest.raises(BagError, match=r"several topics may be color: /left/image_raw, /right/image_raw"):
        BagSequence(tmp_path / "bag")
    assert BagSequence(tmp_path / "bag", BagTopics(color="/right/image_raw")).topics.color_info == "/right/camera_info"


def test_raw_images_are_preferred_to_their_compressed_copies(tmp_path: Path) -> None:
    convert(TinyRecording(2, registered=True), tmp_path / "raw")
    bag = Recorder(tmp_path / "bag")
    bag.info(SECOND, "/cam/rgb/camera_info")
    bag.color(SECOND)
    compressed = messages.compressed_message("jpeg", b"not decoded", "lens", SECOND)
    bag.add("/cam/rgb/image_raw/compressed", messages.COMPRESSED_IMAGE, SECOND, compressed)
    bag.writer.close()
    assert BagSequence(tmp_path / "bag").topics.color == "/cam/rgb/image_raw"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    bag = Recorder(tmp_path / "images")
    bag.color(SECOND)
    bag.writer.close()
    with pytest.raises(BagError, match=r"no camera_info beside /cam/rgb/image_raw; it has /cam/rgb/image_raw"):
        BagSequence(tmp_path / "images")
    bag = Recorder(tmp_path / "transforms")
    bag.transform("odom", "lens", SECOND, np.eye(4))
    bag.writer.close()
    with pytest.raises(BagError, match=r"no colour images, .*it has /tf"):
        BagSequence(tmp_path / "transforms")
    with pytest.raises(BagError, match="has no topic /rgb"):
        BagSequence(tmp_path / "transforms", BagTopics(color="/rgb"))


def test_transforms_of_another_tree_are_an_error_that_says_so(tmp_path: Path) -> None:
    bag = Recorder(tmp_path / "bag")
    bag.info(SECOND)
    bag.color(SECOND)
    bag.transform("odom", "base", SECOND, np.eye(4))
    bag.writer.close()
    with pytest.raises(BagError, match=r"none of 1 colour images can be used \(1 with no pose\): frame 'lens'"):
        BagSequence(tmp_path / "bag")
    assert BagSequence(tmp_path / "bag", camera_frame="base").frame(0).frame_id == "base"


def test_broken_messages_are_named(tmp_path: Path) -> None:
    bag = Recorder(tmp_path / "bag")
    bag.info(SECOND)
    bag.color(SECOND)
    bad = messages.image_message(GREY, "rgb8", "lens", 2 * SECOND)
    bad.encoding = "rgb9"
    bag.add("/cam/rgb/image_raw", messages.IMAGE, 2 * SECOND, bad)
    bag.writer.close()
    found = BagSequence(tmp_path / "bag")
    assert isinstance(found.frame(0), SensorFrame)
    with pytest.raises(InputError, match=r"/cam/rgb/image_raw: encoding 'rgb9'"):
        found.frame(1)
    bag = Recorder(tmp_path / "uncalibrated")
    bag.color(SECOND)
    info = messages.camera_info_message(CAMERA, "lens", SECOND)
    info.k[:] = 0
    bag.add("/cam/rgb/camera_info", messages.CAMERA_INFO, SECOND, info)
    bag.writer.close()
    with pytest.raises(InputError, match=r"/cam/rgb/camera_info: camera fx is 0"):
        BagSequence(tmp_path / "uncalibrated")


def test_rectified_images_use_p(tmp_path: Path) -> None:
    bag = Recorder(tmp_path / "bag")
    bag.info(SECOND, camera=COLOR)
    bag.color(SECOND)
    bag.writer.close()
    assert BagSequence(tmp_path / "bag").frame(0).color_camera == COLOR
    rectified = BagSequence(tmp_path / "bag", rectified=True).frame(0).color_camera
    assert rectified == COLOR.without_distortion()
