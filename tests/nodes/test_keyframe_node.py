"""keyframe_node over real topics: every input it takes, which frames it keeps, poses that come late or never."""

import time

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_harness
from keyframe_bench import STEP_NS, Bench
from ros_harness import CAMERA, COLOR_FRAME, DEPTH_FRAME, START_NS, parameters, picture, wait_until
from sensor_msgs.msg import CompressedImage

from showroom_ros.geometry.camera import Camera
from showroom_ros.scene.image_codec import encode_compressed_depth, encode_compressed_image

pytestmark = pytest.mark.ros


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
