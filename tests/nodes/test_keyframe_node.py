"""keyframe_node over real topics: every input it takes, and everything that may be wrong with it."""

import itertools
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_harness
from geometry_msgs.msg import PoseStamped
from ros_harness import CAMERA, COLOR_FRAME, DEPTH_FRAME, START_NS, FakeCamera, Spinner, parameters, picture, wait_until
from sensor_msgs.msg import CompressedImage

from showroom_ros.geometry.camera import Camera
from showroom_ros.nodes.keyframe_node import KeyframeNode
from showroom_ros.ros.conversions import camera_info_message, image_message
from showroom_ros.scene.image_codec import encode_compressed_depth, encode_compressed_image

pytestmark = pytest.mark.ros
NUMBERS = itertools.count()
STEP_NS = 100_000_000
FAST = {"sync__depth_timeout_s": 5.0, "pose__max_wait_s": 1.0}


class Bench:
    """A fake camera and the node under test, spinning."""

    def __init__(self):
        ros_harness.init()
        self.spinner = Spinner()
        self.camera = None
        self.node = None

    def start(self, transport=("raw", "raw"), reliability=None, **settings):
        namespace = f"/test_{next(NUMBERS)}"  # nodes of earlier tests are not heard
        self.camera = FakeCamera(namespace=namespace, transport=transport, reliability=reliability)
        names = {"sync__color_transport": transport[0], "sync__depth_transport": transport[1]}
        overrides = parameters(**{**FAST, **names, **settings})
        self.node = KeyframeNode(namespace=namespace, parameter_overrides=overrides)
        for node in (self.camera.node, self.node):
            self.spinner.executor.add_node(node)
        wait_until(lambda: self.node._is_open, what="node active")
        inputs = [self.camera.color, self.camera.color_info, self.camera.tf, self.camera.tf_static]
        if settings.get("keyframes__use_depth", True):
            inputs.append(self.camera.depth)
        if reliability is None:
            wait_until(lambda: all(p.get_subscription_count() for p in inputs), what="inputs matched")
        wait_until(lambda: self.node._views.get_subscription_count() == 1, what="output matched")
        return self.camera

    def close(self):
        if self.node is not None:
            self.node.shut_down()
        try:
            self.spinner.close()
        finally:
            for node in (self.node, self.camera and self.camera.node):
                if node is not None:
                    node.destroy_node()

    @property
    def views(self):
        return self.camera.views

    def expect(self, count, timeout_s=10.0):
        wait_until(lambda: len(self.views) >= count, timeout_s, f"{count} views (have {len(self.views)})")
        time.sleep(0.05)
        assert len(self.views) == count
        return self.views

    def expect_error(self, *parts):
        def has_come():
            return all(part in self.node.errors.last for part in parts)

        wait_until(has_come, what=f"error with {parts}, last is {self.node.errors.last!r}")
        assert self.views == []

    def send_frame(self, index, x=None, **kwargs):
        """Depth, colour, calibration and pose of frame ``index``, which is ``index`` metres to the right."""
        stamp_ns = START_NS + index * STEP_NS
        self.camera.send_color_info(stamp_ns=stamp_ns)
        self.camera.send_depth(stamp_ns, **kwargs)
        self.camera.send_color(stamp_ns)
        self.camera.send_pose(stamp_ns, float(index) if x is None else x)

    def expect_good_frame_still_works(self, index=50):
        """A good frame after the bad ones becomes a view."""
        self.send_frame(index)
        expected_ns = START_NS + index * STEP_NS
        wait_until(
            lambda: any(view.stamp_ns == expected_ns for view in self.views), what="a good frame after a bad one"
        )


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.close()


def test_registered_raw_frames_become_views_unchanged(bench):
    bench.start()
    depth = np.full((48, 64), 1.5, np.float32)
    depth[10:20] = 0.0
    for index in range(3):
        bench.send_frame(index, depth=depth)
    for index, view in enumerate(bench.expect(3)):
        assert view.stamp_ns == START_NS + index * STEP_NS
        assert view.frame_id == COLOR_FRAME
        assert view.camera == CAMERA
        np.testing.assert_array_equal(view.image, picture(view.stamp_ns))
        np.testing.assert_array_equal(view.depth[20:], 1.5)
        assert np.isnan(view.depth[10:20]).all()
        np.testing.assert_allclose(view.T_world_camera[:3, 3], [index, 0, 0], atol=1e-9)


def test_still_frames_are_no_keyframes(bench):
    bench.start(keyframes__max_interval_s=0.0)
    for index, x in enumerate([0.0, 0.05, 0.09, 0.11, 0.15, 0.22]):
        bench.send_frame(index, x=x)
    views = bench.expect(3)
    np.testing.assert_allclose([view.T_world_camera[0, 3] for view in views], [0.0, 0.11, 0.22], atol=1e-9)
    wait_until(lambda: bench.node.diagnostic_values()["still"] == 3)


def test_compressed_color_and_png_depth_in_millimetres(bench):
    camera = bench.start(("compressed", "compressedDepth"))
    depth = np.full((48, 64), 1.234, np.float32)
    depth[0, 0] = np.nan
    smooth = cv2.GaussianBlur(picture(1), (0, 0), 3)
    for index, codec in enumerate(["png", "rvl"]):
        stamp_ns = START_NS + index * STEP_NS
        camera.send_color_info()
        for publisher, (fmt, data) in (
            (camera.color, encode_compressed_image(smooth, "jpeg")),
            (camera.depth, encode_compressed_depth(depth, codec)),
        ):
            message = CompressedImage(format=fmt, data=data)
            message.header.stamp, message.header.frame_id = ros_harness.stamp(stamp_ns), COLOR_FRAME
            publisher.publish(message)
        camera.send_pose(stamp_ns, float(index))
    for view in bench.expect(2):
        assert np.abs(view.image.astype(int) - smooth).mean() < 3
        np.testing.assert_allclose(view.depth[1:], 1.234, atol=1e-6)
        assert np.isnan(view.depth[0, 0])


@pytest.mark.parametrize(
    ("encoding", "depth"),
    [("16UC1", np.full((48, 64), 2500, np.uint16)), ("32FC1", np.full((48, 64), 2.5, np.float32))],
)
def test_depth_encodings(bench, encoding, depth):
    bench.start()
    bench.send_frame(0, depth=depth, encoding=encoding)
    np.testing.assert_allclose(bench.expect(1)[0].depth, 2.5, rtol=1e-6)


def test_unregistered_depth_is_registered_with_tf_between_the_cameras(bench):
    camera = bench.start()
    depth_camera = Camera(32, 24, 25.0, 25.0, 15.5, 11.5)
    camera.send_depth_info(depth_camera)
    wait_until(lambda: bench.node._cameras._depth.camera() is not None, what="depth camera_info")
    camera.send_pose(START_NS, 0.5, COLOR_FRAME, DEPTH_FRAME, static=True)
    depth = np.full((24, 32), 2.0, np.float32)
    bench.send_frame(0, depth=depth, frame_id=DEPTH_FRAME)
    view = bench.expect(1)[0]
    assert view.depth.shape == (48, 64)
    # 0.5 m at 2 m and f = 50: the left 12.5 columns of colour see nothing
    assert np.isnan(view.depth[:, :11]).all()
    np.testing.assert_allclose(view.depth[2:-2, 16:], 2.0, atol=1e-6)


def test_depth_without_transform_to_color_names_the_frames(bench):
    camera = bench.start()
    camera.send_depth_info()
    wait_until(lambda: bench.node._cameras._depth.camera() is not None, what="depth camera_info")
    bench.send_frame(0, frame_id=DEPTH_FRAME)
    bench.expect_error(DEPTH_FRAME, "is not in /tf")


def test_color_only_views_go_when_depth_is_off(bench):
    camera = bench.start(keyframes__use_depth=False)
    camera.send_color_info()
    camera.send_color(START_NS)
    camera.send_pose(START_NS)
    assert bench.expect(1)[0].depth is None


def test_color_only_views_go_when_no_depth_arrives(bench):
    camera = bench.start(sync__depth_timeout_s=0.3)
    camera.send_color_info()
    for index in range(6):
        camera.send_color(START_NS + index * STEP_NS)
        camera.send_pose(START_NS + index * STEP_NS, float(index))
        time.sleep(0.1)
    assert [view.depth for view in bench.expect(6)] == [None] * 6


def test_odometry_of_the_base_is_carried_to_the_camera(bench):
    camera = bench.start(pose__source="odom")
    wait_until(lambda: camera.odom.get_subscription_count() == 1)
    camera.send_pose(START_NS, 0.25, "base_link", COLOR_FRAME, static=True)
    camera.send_color_info()
    camera.send_depth(START_NS)
    camera.send_color(START_NS)
    camera.send_odometry(START_NS - STEP_NS, 1.0)
    camera.send_odometry(START_NS + STEP_NS, 2.0)
    np.testing.assert_allclose(bench.expect(1)[0].T_world_camera[:3, 3], [1.75, 0, 0], atol=1e-9)


def test_pose_topic_is_the_cameras_pose_and_interpolated(bench):
    camera = bench.start(pose__source="pose")
    wait_until(lambda: camera.pose.get_subscription_count() == 1)
    camera.send_color_info()
    camera.send_depth(START_NS)
    camera.send_color(START_NS)
    camera.send_pose_stamped(START_NS - STEP_NS, 0.0)
    camera.send_pose_stamped(START_NS + 3 * STEP_NS, 4.0)
    np.testing.assert_allclose(bench.expect(1)[0].T_world_camera[:3, 3], [1, 0, 0], atol=1e-9)


def test_without_poses_a_new_picture_is_a_keyframe(bench):
    camera = bench.start(pose__source="none", keyframes__use_depth=False, keyframes__max_interval_s=0.0)
    camera.send_color_info()
    for index, seed in enumerate([1, 1, 1, 2, 2]):
        camera.send_color(START_NS + index * STEP_NS, picture(seed))
    views = bench.expect(2)
    assert [view.T_world_camera for view in views] == [None, None]
    assert [view.stamp_ns - START_NS for view in views] == [0, 3 * STEP_NS]


def test_frames_wait_for_late_transforms_and_keep_their_order(bench):
    camera = bench.start()
    camera.send_color_info()
    for index in range(3):
        camera.send_depth(START_NS + index * STEP_NS)
        camera.send_color(START_NS + index * STEP_NS)
    wait_until(lambda: bench.node.diagnostic_values()["waiting_for_pose"] == 3)
    assert bench.views == []
    for index in range(3):
        camera.send_pose(START_NS + index * STEP_NS, float(index))
    assert [view.stamp_ns for view in bench.expect(3)] == [START_NS + index * STEP_NS for index in range(3)]
    assert bench.node.errors.count == 0


def test_missing_transform_drops_the_frame_and_names_the_frame(bench):
    camera = bench.start()
    camera.send_color_info()
    camera.send_depth(START_NS)
    camera.send_color(START_NS)
    bench.expect_error("is not in /tf", "odom")
    assert bench.node.diagnostic_values()["timed_out"] == 1
    bench.expect_good_frame_still_works()


def test_transform_from_another_tree_names_both(bench):
    camera = bench.start()
    camera.send_pose(START_NS, 0.0, "odom", "base_link")
    camera.send_pose(START_NS, 0.0, "other_root", COLOR_FRAME)
    camera.send_color_info()
    camera.send_depth(START_NS)
    camera.send_color(START_NS)
    bench.expect_error("odom", COLOR_FRAME, "different trees", "other_root")
    bench.expect_good_frame_still_works()


def test_frames_before_the_first_transform_are_dropped_at_once(bench):
    camera = bench.start()
    camera.send_pose(START_NS)
    wait_until(lambda: bench.node._transforms.frames())
    camera.send_color_info()
    camera.send_depth(START_NS - STEP_NS)
    camera.send_color(START_NS - STEP_NS)
    bench.expect_error("before the oldest")
    bench.expect_good_frame_still_works(1)


def test_looping_bag_starts_anew(bench):
    bench.start()
    for loop in range(2):
        for index in range(0, 30, 10):
            bench.send_frame(index)
        views = bench.expect(3 * loop + 3)
    assert [view.stamp_ns for view in views[:3]] == [view.stamp_ns for view in views[3:]]
    assert bench.node.diagnostic_values()["time_jumps"] == 1


def test_calibration_that_changes_is_taken_over(bench):
    camera = bench.start()
    bench.send_frame(0)
    bench.expect(1)
    other = Camera(64, 48, 60.0, 61.0, 30.0, 20.0)
    camera.send_color_info(other)
    wait_until(lambda: bench.node._cameras._color.camera() == other)
    stamp_ns = START_NS + STEP_NS
    camera.send_depth(stamp_ns)
    camera.send_color(stamp_ns)
    camera.send_pose(stamp_ns, 1.0)
    assert bench.expect(2)[1].camera == other


def test_live_parameters_change_the_selection_and_bad_ones_are_refused(bench):
    bench.start(keyframes__max_interval_s=0.0)
    bench.send_frame(0, x=0.0)
    bench.expect(1)
    result = bench.node.set_parameters(parameters(keyframes__min_translation_m=-1.0))[0]
    assert not result.successful
    result = bench.node.set_parameters(parameters(sync__slop_s=0.5))[0]
    assert not result.successful
    assert bench.node.set_parameters(parameters(keyframes__min_translation_m=0.01))[0].successful
    bench.send_frame(1, x=0.02)
    bench.expect(2)
    assert bench.node.settings.keyframes.min_translation_m == 0.01


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
