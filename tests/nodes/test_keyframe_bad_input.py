"""keyframe_node over real topics: everything that may be wrong with what it is sent, and that it goes on after."""

import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_harness
from geometry_msgs.msg import PoseStamped
from keyframe_bench import Bench
from ros_harness import CAMERA, COLOR_FRAME, START_NS, picture, wait_until

from showroom_ros.ros.conversions import camera_info_message, image_message

pytestmark = pytest.mark.ros


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.close()


def bad_color_info(bench, **fields):
    message = camera_info_message(CAMERA, COLOR_FRAME, START_NS)
    for name, value in fields.items():
        setattr(message, name, value)
    bench.camera.color_info.publish(message)
    bench.camera.send_depth(START_NS)
    bench.camera.send_color(START_NS)
    bench.camera.send_pose(START_NS)


def bad_color(bench, **fields):
    message = image_message(picture(1), "rgb8", COLOR_FRAME, START_NS)
    for name, value in fields.items():
        setattr(message, name, value)
    bench.camera.send_color_info()
    bench.camera.color.publish(message)
    bench.camera.send_depth(START_NS)
    bench.camera.send_pose(START_NS)


def bad_pose(bench, rotation):
    message = PoseStamped()
    message.header.frame_id, message.header.stamp = "odom", ros_harness.stamp(START_NS)
    orientation = message.pose.orientation
    orientation.x, orientation.y, orientation.z, orientation.w = rotation
    bench.camera.pose.publish(message)


BAD_INPUTS = {
    "unknown encoding": (lambda b: bad_color(b, encoding="rgb9"), ["color/image", "'rgb9'", "bgr8", "yuv422"]),
    "step": (lambda b: bad_color(b, step=100), ["color/image", "step is 100", "192"]),
    "data length": (lambda b: bad_color(b, data=b"123"), ["color/image", "3 bytes", "9216"]),
    "empty image": (lambda b: bad_color(b, width=0, height=0), ["color/image", "empty"]),
    "image size unlike camera_info": (
        lambda b: bad_color(b, width=32, step=96, data=bytes(96 * 48)),
        ["color/image", "32x48", "64x48"],
    ),
    "no frame_id": (lambda b: b.camera.send_color_info() or _frame(b, frame_id=""), ["color/image", "frame_id"]),
    "K zero": (lambda b: bad_color_info(b, k=[0.0] * 9), ["color/camera_info", "fx is 0.0", "positive"]),
    "K negative": (
        lambda b: bad_color_info(b, k=[-5.0, 0, 3, 0, 5, 3, 0, 0, 1]),
        ["color/camera_info", "fx is -5.0", "positive"],
    ),
    "lens model": (
        lambda b: bad_color_info(b, distortion_model="magic", d=[0.1]),
        ["color/camera_info", "magic", "plumb_bob"],
    ),
    "depth all invalid": (
        lambda b: b.send_frame(0, depth=np.zeros((48, 64), np.float32)),
        ["depth/image", "no pixel", "valid"],
    ),
    "depth in millimetres as metres": (
        lambda b: b.send_frame(0, depth=np.full((48, 64), 2000.0, np.float32)),
        ["depth/image", "2000", "metres"],
    ),
    "depth of another size": (
        lambda b: b.send_frame(0, depth=np.full((24, 32), 2.0, np.float32)),
        ["64x48", "32x24", "camera_info"],
    ),
    "depth encoding": (
        lambda b: b.send_frame(0, depth=np.zeros((48, 64), np.uint8), encoding="mono8"),
        ["depth/image", "mono8", "16UC1", "32FC1"],
    ),
    "stamp zero": (lambda b: b.camera.send_color(0), ["color/image", "stamp is 0"]),
}


def _frame(bench, frame_id):
    bench.camera.send_color(START_NS, frame_id=frame_id)
    bench.camera.send_depth(START_NS)


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_input_is_named_and_survived(bench, name):
    send, parts = BAD_INPUTS[name]
    bench.start()
    send(bench)
    bench.expect_error(*parts)
    assert bench.node.fatal_error is None
    bench.expect_good_frame_still_works()


@pytest.mark.parametrize("rotation", [(0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 2.0), (float("nan"), 0.0, 0.0, 1.0)])
def test_bad_pose_is_named_and_survived(bench, rotation):
    camera = bench.start(pose__source="pose")
    wait_until(lambda: camera.pose.get_subscription_count() == 1)
    bad_pose(bench, rotation)
    bench.expect_error("/pose", "quaternion", "expected 1")
    camera.send_pose_stamped(START_NS)
    camera.send_color_info()
    camera.send_depth(START_NS)
    camera.send_color(START_NS)
    bench.expect(1)


def test_stamps_slightly_out_of_order_are_counted_and_left_out(bench):
    bench.start()
    bench.send_frame(5)
    bench.expect(1)
    bench.send_frame(3)
    wait_until(lambda: bench.node.diagnostic_values()["unpaired"] == 2)
    bench.expect_good_frame_still_works()


def test_garbage_bytes_are_survived(bench):
    camera = bench.start()
    for publisher in (camera.color, camera.depth, camera.color_info):
        publisher.publish(b"\x00\x01\x00\x00" + bytes(20))
    wait_until(lambda: bench.node.errors.count == 3, what="three errors")
    assert "cut short" in bench.node.errors.last or "stamp is 0" in bench.node.errors.last
    bench.expect_good_frame_still_works()
