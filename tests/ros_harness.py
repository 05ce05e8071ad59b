"""Real ROS 2 for tests: a domain of its own, an executor in a thread, and a camera that publishes what it is told.

Importing this sets the environment, so it must come before anything initialises ROS.
"""

from __future__ import annotations

import atexit
import os
import threading
import time

os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import pose_from
from showroom_ros.ros.cdr import read_view
from showroom_ros.ros.conversions import camera_info_message, image_message, pose_message, transform_message
from showroom_ros.ros.dds import configure_dds
from showroom_ros.ros.interfaces import TFMessage
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.ros.qos import tf_qos, tf_static_qos, view_qos
from showroom_ros.ros.runner import DrainingExecutor

configure_dds(os.environ)

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
COLOR_FRAME, DEPTH_FRAME = "camera_color_optical_frame", "camera_depth_optical_frame"
START_NS = 1_700_000_000_000_000_000


def wait_until(condition, timeout_s=10.0, what="condition"):
    """Polls; fails the test when ``condition`` does not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout_s} s"
        time.sleep(0.01)


def parameters(**values):
    """``map__voxel_size_m=0.1`` as a list of ROS parameters."""
    return [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]


class Spinner:
    """Spins nodes in a thread; a callback's exception is kept and raised by ``close``."""

    def __init__(self):
        self.executor = DrainingExecutor(num_threads=4)
        self.errors = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        while not self._stop.is_set():
            try:
                self.executor.spin_once(timeout_sec=0.05)
            except Exception as error:
                self.errors.append(error)

    def close(self):
        self._stop.set()
        self._thread.join(5)
        self.executor.drain(5)
        self.executor.shutdown()
        assert not self.errors, self.errors


class FakeCamera:
    """A node that publishes colour, depth, calibration and poses, and collects views and diagnostics."""

    def __init__(self, name="fake_camera", namespace="", transport=("raw", "raw"), reliability=None):
        self.node = Node(name, namespace=namespace)
        qos = QoSProfile(depth=50, reliability=reliability or ReliabilityPolicy.RELIABLE)
        self.color = self._images("camera/color", transport[0], qos)
        self.depth = self._images("camera/depth", transport[1], qos)
        self.color_info = self.node.create_publisher(CameraInfo, "camera/color/camera_info", qos)
        self.depth_info = None
        self.tf = self.node.create_publisher(TFMessage, "/tf", tf_qos())
        self.tf_static = self.node.create_publisher(TFMessage, "/tf_static", tf_static_qos())
        self.odom = self.node.create_publisher(Odometry, "odom", 50)
        self.pose = self.node.create_publisher(PoseStamped, "pose", 50)
        self.views = []
        self.node.create_subscription(
            ViewMessage, "keyframe_node/view", lambda data: self.views.append(read_view(data)[0]), view_qos(), raw=True
        )
        self.qos = qos

    def _images(self, base, transport, qos):
        suffix, kind = ("", Image) if transport == "raw" else (f"/{transport}", CompressedImage)
        return self.node.create_publisher(kind, f"{base}/image{suffix}", qos)

    def send_pose(self, stamp_ns, x=0.0, parent="odom", child=COLOR_FRAME, *, static=False):
        message = TransformStamped(child_frame_id=child)
        message.header.frame_id, message.header.stamp = parent, stamp(stamp_ns)
        message.transform = transform_message(pose_from([x, 0, 0]))
        (self.tf_static if static else self.tf).publish(TFMessage(transforms=[message]))

    def send_odometry(self, stamp_ns, x=0.0, parent="odom", child="base_link"):
        message = Odometry(child_frame_id=child)
        message.header.frame_id, message.header.stamp = parent, stamp(stamp_ns)
        message.pose.pose = pose_message(pose_from([x, 0, 0]))
        self.odom.publish(message)

    def send_pose_stamped(self, stamp_ns, x=0.0, parent="odom"):
        message = PoseStamped()
        message.header.frame_id, message.header.stamp = parent, stamp(stamp_ns)
        message.pose = pose_message(pose_from([x, 0, 0]))
        self.pose.publish(message)

    def send_color_info(self, camera=CAMERA, stamp_ns=START_NS):
        self.color_info.publish(camera_info_message(camera, COLOR_FRAME, stamp_ns))

    def send_depth_info(self, camera=CAMERA, stamp_ns=START_NS, frame_id=DEPTH_FRAME):
        self.announce_depth_info()
        self.depth_info.publish(camera_info_message(camera, frame_id, stamp_ns))

    def announce_depth_info(self):
        if self.depth_info is None:
            self.depth_info = self.node.create_publisher(CameraInfo, "camera/depth/camera_info", self.qos)

    def send_color(self, stamp_ns, image=None, encoding="rgb8", frame_id=COLOR_FRAME):
        image = picture(stamp_ns) if image is None else image
        self.color.publish(image_message(image, encoding, frame_id, stamp_ns))

    def send_depth(self, stamp_ns, depth=None, encoding="32FC1", frame_id=COLOR_FRAME):
        depth = np.full((48, 64), 2.0, np.float32) if depth is None else depth
        self.depth.publish(image_message(depth, encoding, frame_id, stamp_ns))


def stamp(stamp_ns):
    return Time(sec=int(stamp_ns // 10**9), nanosec=int(stamp_ns % 10**9))


def picture(seed, height=48, width=64):
    """A sharp random image, the same for the same seed."""
    return np.random.default_rng(seed % 2**32).integers(0, 256, (height, width, 3), dtype=np.uint8)


def init():
    if not rclpy.ok():
        rclpy.init()
        atexit.register(rclpy.try_shutdown)
