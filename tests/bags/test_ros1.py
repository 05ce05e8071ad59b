"""ROS 1 bags with images, as the TUM RGB-D benchmark distributes them, and types that changed since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag1 import Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from showroom_ros.bags import messages
from showroom_ros.bags.reader import BagReader
from showroom_ros.bags.sequence import BagSequence
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at

NOETIC = get_typestore(Stores.ROS1_NOETIC)
OLD_TRANSFORMS = "tf/msg/tfMessage"  # what the bags of TUM hold
NOETIC.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", OLD_TRANSFORMS))
SECOND = 10**9
CAMERA = Camera(8, 6, 10.0, 11.0, 3.5, 2.5, "plumb_bob", (0.1, 0.2, 0.3, 0.4, 0.5))
POSE = look_at((1, 2, 1.5), (0, 0, 1))


def old(message: Any) -> Any:
    """The ROS 1 counterpart of a ROS 2 message object: upper case calibration, numbered headers."""
    if isinstance(message, list):
        return [old(item) for item in message]
    if not hasattr(message, "__msgtype__"):
        return message
    fields = {name: old(value) for name, value in vars(message).items() if name != "__msgtype__"}
    if message.__msgtype__ == "std_msgs/msg/Header":
        fields["seq"] = 7
    if message.__msgtype__ == messages.CAMERA_INFO:
        fields = {name.upper() if name in "dkrp" else name: value for name, value in fields.items()}
    return NOETIC.types[old_type(message)](**fields)


def old_type(message: Any) -> str:
    return OLD_TRANSFORMS if message.__msgtype__ == messages.TRANSFORMS else message.__msgtype__


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    path = tmp_path / "rgbd.bag"
    image = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
    depth = np.full((6, 8), 1.25, np.float32)
    written = {
        "/tf": messages.transforms_message("/world", "/lens", SECOND, POSE),
        "camera/rgb/image_color": messages.image_message(image[..., ::-1], "bgr8", "/lens", SECOND),
        "/camera/rgb/camera_info": messages.camera_info_message(CAMERA, "/lens", SECOND),
        "/camera/depth/image": messages.image_message(depth, "32FC1", "/lens", SECOND + 5_000_000),
        "/camera/depth/camera_info": messages.camera_info_message(CAMERA, "/lens", SECOND + 5_000_000),
    }
    with Writer(path) as writer:
        for topic, message in written.items():
            kind = old_type(message)
            connection = writer.add_connection(topic, kind, typestore=NOETIC)
            writer.write(connection, SECOND, NOETIC.serialize_ros1(old(message), kind))
        kind = "sensor_msgs/msg/Range"
        header = NOETIC.types["std_msgs/msg/Header"](
            seq=1, stamp=NOETIC.types["builtin_interfaces/msg/Time"](sec=3, nanosec=4), frame_id="sonar"
        )
        sonar = NOETIC.types[kind](
            header=header, radiation_type=0, field_of_view=0.5, min_range=0.25, max_range=4.0, range=1.5
        )
        latched = writer.add_connection("/sonar", kind, typestore=NOETIC, latching=1)
        writer.write(latched, SECOND, NOETIC.serialize_ros1(sonar, kind))
    return path


def test_frames_of_a_ros1_recording(bag: Path) -> None:
    sequence = BagSequence(bag)
    assert (len(sequence), sequence.world_frame) == (1, "world")
    frame = sequence.frame(0)
    np.testing.assert_array_equal(frame.image, np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8))
    assert frame.depth is not None
    assert np.unique(frame.depth).tolist() == [1.25]
    assert frame.color_camera == frame.depth_camera == CAMERA
    assert frame.T_color_depth is None
    np.testing.assert_allclose(np.asarray(frame.T_world_camera), POSE, atol=1e-9)


def test_fields_that_ros2_added_get_their_default(bag: Path) -> None:
    with BagReader(bag) as reader:
        sonar = next(reader.messages(["/sonar"])).message
        assert reader.topics["/sonar"].qos[0].durability.name == "TRANSIENT_LOCAL"
    assert (sonar.header.frame_id, sonar.max_range, sonar.range, sonar.variance) == ("sonar", 4.0, 1.5, 0.0)
    assert (sonar.header.stamp.sec, sonar.header.stamp.nanosec) == (3, 4)
