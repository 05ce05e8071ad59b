"""Transforms from topics: the same contract for our buffer and, where it is installed, tf2_ros."""

import importlib.machinery
import importlib.util
import itertools
import sys
import types

import numpy as np
import pytest

pytest.importorskip("rclpy")

import ros_harness
from geometry_msgs.msg import TransformStamped
from ros_harness import START_NS, FakeCamera, Spinner, wait_until

from showroom_ros.errors import TransformError
from showroom_ros.geometry.transform_tree import (
    DisconnectedError,
    MissingFrameError,
    NotYetError,
    TooOldError,
    TransformBuffer,
)
from showroom_ros.ros import tf_listener
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.settings import PoseSettings

pytestmark = pytest.mark.ros
NUMBERS = itertools.count()
S = 10**9


class Listening(ShowroomNode):
    """A node with nothing but transforms."""

    def __init__(self, **options):
        super().__init__("listening", ("pose", "publish"), **options)
        self.updates = 0
        self.transforms = None

    def activate(self):
        self.transforms = tf_listener.make_transform_listener(self, self.settings.pose, self._updated)

    def _updated(self):
        self.updates += 1


@pytest.fixture
def setup():
    ros_harness.init()
    spinner = Spinner()
    namespace = f"/tf_{next(NUMBERS)}"
    camera, node = FakeCamera(namespace=namespace), Listening(namespace=namespace)
    for item in (camera.node, node):
        spinner.executor.add_node(item)
    wait_until(lambda: node.transforms is not None)
    wait_until(lambda: camera.tf.get_subscription_count() and camera.tf_static.get_subscription_count())
    yield camera, node
    node.shut_down()
    spinner.close()
    for item in (camera.node, node):
        item.destroy_node()


def can(node, *lookup):
    try:
        node.transforms.lookup(*lookup)
    except TransformError:
        return False
    return True


def test_contract(setup):
    camera, node = setup
    camera.send_pose(START_NS, 0.5, "base", "camera", static=True)
    camera.send_pose(START_NS, 1.0, "odom", "base")
    camera.send_pose(START_NS + S // 5, 3.0, "odom", "base")
    camera.send_pose(START_NS, 0.0, "map", "island")
    wait_until(lambda: can(node, "map", "island", START_NS) and can(node, "odom", "camera", START_NS + S // 5))
    middle = START_NS + S // 10
    np.testing.assert_allclose(node.transforms.lookup("odom", "camera", middle)[:3, 3], [2.5, 0, 0], atol=1e-9)
    np.testing.assert_allclose(node.transforms.lookup("camera", "odom", middle)[:3, 3], [-2.5, 0, 0], atol=1e-9)
    for lookup, kind in (
        (("odom", "nowhere", middle), MissingFrameError),
        (("odom", "island", START_NS), DisconnectedError),
        (("odom", "camera", START_NS + S), NotYetError),
        (("odom", "camera", START_NS - S), TooOldError),
    ):
        with pytest.raises(kind):
            node.transforms.lookup(*lookup)


def test_broken_transforms_are_reported_and_the_others_of_the_message_kept(setup):
    if importlib.util.find_spec("tf2_ros") is not None:
        pytest.skip("tf2_ros does its own checks")
    camera, node = setup
    broken, good = TransformStamped(child_frame_id="a"), TransformStamped(child_frame_id="b")
    for item in (broken, good):
        item.header.frame_id, item.header.stamp = "odom", ros_harness.stamp(START_NS)
    broken.transform.rotation.w = 3.0
    camera.tf.publish(ros_harness.TFMessage(transforms=[broken, good]))
    wait_until(lambda: can(node, "odom", "b", START_NS))
    assert "odom <- a: quaternion" in node.errors.last
    assert node.updates == 1
    assert not can(node, "odom", "a", START_NS)


class FakeTf2(types.ModuleType):
    """The part of tf2_ros that is used, with its exception tree, in front of our own buffer."""

    class TransformException(Exception):  # noqa: N818
        """Base, as in tf2."""

    class LookupException(TransformException):
        """Unknown frame."""

    class ConnectivityException(TransformException):
        """Two trees."""

    class ExtrapolationException(TransformException):
        """Beyond the history."""

    def __init__(self):
        super().__init__("tf2_ros")
        self.__spec__ = importlib.machinery.ModuleSpec("tf2_ros", None)
        self.failure = None
        outer = self

        class Buffer:
            def __init__(self, cache_time, node):
                self.cleared = False
                assert cache_time.nanoseconds == 30 * S
                assert isinstance(node, ShowroomNode)

            def lookup_transform(self, target, source, time):
                if outer.failure is not None:
                    raise outer.failure
                found = TransformStamped()
                found.transform.translation.x = time.nanoseconds / S
                return found

            def clear(self):
                self.cleared = True

        self.Buffer = Buffer

        class TransformListener:
            def __init__(self, buffer, node, spin_thread):
                assert not spin_thread

            def unregister(self):
                outer.is_listening = False

        self.Buffer, self.TransformListener, self.is_listening = Buffer, TransformListener, True


def test_tf2_is_used_where_it_is_installed_and_its_errors_are_translated(setup, monkeypatch):
    tf2 = FakeTf2()
    monkeypatch.setitem(sys.modules, "tf2_ros", tf2)
    _, node = setup
    transforms = tf_listener.make_transform_listener(node, PoseSettings(), lambda: None)
    assert isinstance(transforms, tf_listener.Tf2Buffer)
    assert transforms.lookup("odom", "camera", 7 * S)[0, 3] == 7.0
    for failure, kind in (
        (tf2.LookupException("no frame"), MissingFrameError),
        (tf2.ConnectivityException("two trees"), DisconnectedError),
        (tf2.ExtrapolationException("Lookup would require extrapolation into the future"), NotYetError),
        (tf2.ExtrapolationException("Lookup would require extrapolation into the past"), TooOldError),
    ):
        tf2.failure = failure
        with pytest.raises(kind, match=str(failure)):
            transforms.lookup("odom", "camera", 0)
    transforms.time_jumped_back(0)
    assert transforms._buffer.cleared
    node.trigger_deactivate()
    assert not tf2.is_listening


def test_ours_is_used_where_tf2_is_not(setup):
    if importlib.util.find_spec("tf2_ros") is not None:
        pytest.skip("tf2_ros is installed here")
    assert isinstance(setup[1].transforms, TransformBuffer)
