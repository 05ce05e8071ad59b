"""viewer_node over real topics, with a viewer that writes down what it is told."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("showroom_ros.msg")

import rclpy
import ros_harness  # noqa: F401, sets the domain
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rclpy.node import Node
from ros_harness import CAMERA, Spinner, parameters, picture, wait_until
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import MarkerArray

from showroom_ros.geometry.se3 import pose_from
from showroom_ros.nodes.viewer_node import ViewerNode, status_table
from showroom_ros.ros.cdr import marker_array_bytes, point_cloud2_bytes, view_bytes
from showroom_ros.ros.interfaces import Status
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.ros.map_messages import MarkerBook
from showroom_ros.ros.map_publisher import MapPublisher
from showroom_ros.ros.qos import map_qos, view_qos
from showroom_ros.scene.mesh import MapUpdate, Mesh
from showroom_ros.scene.view import Provenance, View
from showroom_ros.settings import PublishSettings
from showroom_ros.viewers.base import NullViewer

pytestmark = pytest.mark.ros


class RecordingViewer(NullViewer):
    """What a page would show now."""

    url = "http://nowhere"

    def __init__(self):
        self.wants_points = False
        self.blocks, self.points, self.view, self.path, self.status = {}, None, None, None, None
        self.is_closed = False

    def update_blocks(self, blocks, removed=()):
        for key in removed:
            self.blocks.pop(key, None)
        self.blocks.update(blocks)

    def update_points(self, points, colors, provenance):
        self.points = points, colors, provenance

    def update_camera(self, view):
        self.view = view

    def update_path(self, positions):
        self.path = positions

    def update_status(self, status):
        self.status = status

    def close(self):
        self.is_closed = True


NAMESPACES = (f"viewer_test_{i}" for i in itertools.count())
"""A fresh one per test: discovery remembers the nodes of the test before for a while."""


@pytest.fixture
def graph():
    """The node, its viewer, and a node that publishes the map."""
    rclpy.init()
    spinner, viewer, namespace = Spinner(), RecordingViewer(), next(NAMESPACES)
    options = {"parameter_overrides": parameters(viewer__port=9123), "namespace": namespace}
    node = ViewerNode(lambda settings, on_fatal: viewer, **options)
    source = Node("reconstruction_node", namespace=namespace)
    try:
        for item in (node, source):
            spinner.executor.add_node(item)
        wait_until(lambda: source.count_subscribers("reconstruction_node/mesh"), what="subscription")
        yield node, viewer, source
        node.shut_down()
        assert viewer.is_closed
        assert node.fatal_error is None
    finally:
        spinner.close()
        node.destroy_node()
        source.destroy_node()
        rclpy.shutdown()


def patch(shift=0.0, provenance=Provenance.MEASURED) -> Mesh:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32) + np.float32(shift)
    normals = np.tile(np.float32([0, 0, 1]), (4, 1))
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]], np.uint8)
    return Mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]], np.int32), colors, normals, np.full(4, provenance, np.uint8))


def test_the_mesh_follows_the_publisher(graph):
    _, viewer, source = graph
    publisher = MapPublisher(source, PublishSettings(), "odom")
    wait_until(lambda: publisher.wants_mesh, what="match")

    publisher.publish_update(MapUpdate(1, {(0, 0, 0): patch(), (1, 0, 0): patch(1.0, Provenance.PREDICTED)}))
    wait_until(lambda: len(viewer.blocks) == 2, what="two blocks")
    assert {key[0] for key in viewer.blocks} == {"measured", "predicted"}
    (measured,) = [mesh for key, mesh in viewer.blocks.items() if key[0] == "measured"]
    expected = patch()
    np.testing.assert_array_equal(measured.vertices[measured.triangles], expected.vertices[expected.triangles])
    np.testing.assert_array_equal(measured.colors[measured.triangles], expected.colors[expected.triangles])
    assert set(measured.provenance) == {Provenance.MEASURED}

    publisher.publish_update(MapUpdate(2, {(0, 0, 0): patch(0.0, Provenance.PREDICTED)}, removed=((1, 0, 0),)))
    wait_until(lambda: {key[0] for key in viewer.blocks} == {"predicted"} and len(viewer.blocks) == 1, what="change")
    publisher.reset(3)
    wait_until(lambda: not viewer.blocks, what="empty map")
    publisher.close()


def test_cloud_is_subscribed_to_while_it_is_wanted(graph):
    _, viewer, source = graph
    publisher = source.create_publisher(PointCloud2, "~/points", map_qos())
    points = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    colors, provenance = np.full((50, 3), 7, np.uint8), np.full(50, Provenance.GENERATED, np.uint8)
    publisher.publish(point_cloud2_bytes(points, colors, provenance, "odom", 1))
    assert publisher.get_subscription_count() == 0

    viewer.wants_points = True
    wait_until(lambda: viewer.points is not None, what="cloud, kept for late joiners")
    for ours, theirs in zip((points, colors, provenance), viewer.points, strict=True):
        np.testing.assert_array_equal(ours, theirs)

    viewer.wants_points = False
    wait_until(lambda: publisher.get_subscription_count() == 0, what="end of the subscription")


def test_path_status_and_keyframe_arrive(graph):
    _, viewer, source = graph
    path = Path(poses=[PoseStamped() for _ in range(3)])
    for i, pose in enumerate(path.poses):
        pose.pose.position.x = float(i)
    source.create_publisher(Path, "~/path", map_qos()).publish(path)
    source.create_publisher(Status, "~/status", map_qos()).publish(Status(triangles=1234567, blocks=12))
    views = source.create_publisher(ViewMessage, "keyframe_node/view", view_qos())
    wait_until(lambda: views.get_subscription_count(), what="match")
    view = View(picture(1), CAMERA, T_world_camera=pose_from([1.0, 2.0, 3.0]), stamp_ns=5)
    views.publish(view_bytes(view, "odom"))

    wait_until(lambda: None not in (viewer.view, viewer.status) and viewer.path is not None, what="all three")
    np.testing.assert_array_equal(viewer.path, [[0, 0, 0], [1, 0, 0], [2, 0, 0]])
    assert viewer.status["Triangles"] == "1,234,567"
    np.testing.assert_array_equal(viewer.view.image, view.image)
    np.testing.assert_allclose(viewer.view.T_world_camera, view.T_world_camera)


def test_bad_messages_are_reported_and_survived(graph):
    node, viewer, source = graph
    meshes = source.create_publisher(MarkerArray, "~/mesh", map_qos())
    wait_until(lambda: meshes.get_subscription_count(), what="match")
    good = marker_array_bytes(list(MarkerBook().markers({(0, 0, 0): patch()})), "odom", 1)
    meshes.publish(good.replace(b"\x0b\x00\x00\x00\x00\x00\x00\x00", b"\x01\x00\x00\x00\x00\x00\x00\x00", 1))
    wait_until(lambda: node.errors.count == 1, what="report")
    assert "has type 1" in node.errors.last
    meshes.publish(good)
    wait_until(lambda: viewer.blocks, what="the next message")


def test_settings_reach_the_viewer():
    rclpy.init()
    given = []
    node = ViewerNode(
        lambda settings, on_fatal: given.append(settings) or RecordingViewer(),
        parameter_overrides=parameters(viewer__port=9123, viewer__host="0.0.0.0", autostart=False),
        namespace=next(NAMESPACES),
    )
    node.trigger_configure()
    assert (given[0].port, given[0].host) == (9123, "0.0.0.0")
    node.shut_down()
    node.destroy_node()
    rclpy.shutdown()


def test_status_mentions_only_what_happened():
    quiet = status_table(Status(views_fused=10, map_bytes=31_000_000, map_max_bytes=2_000_000_000), 9.84)
    assert quiet["Keyframes"] == "10 (9.8 per s)"
    assert quiet["Map memory"] == "31 of 2,000 MB"
    assert not {"Rejected", "Blocks evicted", "State", "Last error"} & set(quiet)
    loud = status_table(Status(views_rejected=2, blocks_evicted=3, paused=True, last_error="no pose"), 0.0)
    assert [loud[name] for name in ("Rejected", "Blocks evicted", "State")] == ["2", "3", "paused"]
    assert loud["Last error"] == "no pose"
