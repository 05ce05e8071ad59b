"""Everything ``reconstruction_node`` sends of its map: mesh, cloud, views with their depth, path."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from showroom_ros.ros.cdr import (
    DeleteAllMarkers,
    camera_info_bytes,
    image_bytes,
    marker_array_bytes,
    point_cloud2_bytes,
    view_bytes,
)
from showroom_ros.ros.conversions import pose_message, stamp_from_ns
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.ros.map_messages import MarkerBook, marker_messages
from showroom_ros.ros.qos import map_qos, mesh_qos, output_qos, view_qos
from showroom_ros.scene.mesh import BlockIndex, MapUpdate, Mesh
from showroom_ros.scene.view import Provenance, View
from showroom_ros.settings import PublishSettings

_UNACKED_MESSAGES = 16
"""Mesh messages sent before waiting for reliable subscribers, so that none outruns their history."""


def visible_provenances(settings: PublishSettings) -> frozenset[Provenance]:
    """The kinds of surface the settings show."""
    shown = {
        Provenance.MEASURED: settings.measured,
        Provenance.PREDICTED: settings.predicted,
        Provenance.GENERATED: settings.generated,
    }
    return frozenset(provenance for provenance, is_shown in shown.items() if is_shown)


class MapPublisher:
    """Publishers below the node's name; nothing is made for topics nobody subscribes to.

    All methods are for the thread that owns the map.
    """

    def __init__(self, node: Node, settings: PublishSettings, world_frame: str) -> None:
        """Creates the publishers.

        Args:
            node: owns the topics ``~/mesh``, ``~/points``, ``~/view``, ``~/depth/...`` and ``~/path``.
            settings: what is sent.
            world_frame: frame of the map.
        """
        self._node, self._frame = node, world_frame
        self.settings = settings
        self._book = MarkerBook(visible_provenances(settings))
        self._mesh = node.create_publisher(MarkerArray, "~/mesh", mesh_qos())
        self._points = node.create_publisher(PointCloud2, "~/points", map_qos())
        self._depth = node.create_publisher(Image, "~/depth/image", output_qos())
        self._depth_info = node.create_publisher(CameraInfo, "~/depth/camera_info", output_qos())
        self._confidence = node.create_publisher(Image, "~/depth/confidence", output_qos())
        self._view = node.create_publisher(ViewMessage, "~/view", view_qos())
        self._path = node.create_publisher(Path, "~/path", map_qos())
        self._poses: list[PoseStamped] = []
        self._blocks: dict[BlockIndex, Mesh] = {}
        self._mesh_subscribers = self._sent_poses = 0
        self.bytes_published = 0

    @property
    def triangles(self) -> int:
        """How many triangles subscribers show."""
        return self._book.triangles

    @property
    def wants_mesh(self) -> bool:
        """Whether somebody would see the mesh."""
        return self.settings.mesh and self._mesh.get_subscription_count() > 0

    @property
    def wants_points(self) -> bool:
        """Whether somebody would see the cloud."""
        return self.settings.points and self._points.get_subscription_count() > 0

    def subscriber_joined(self) -> bool:
        """Whether the mesh has gained subscribers since the last call: they need the whole map."""
        before, self._mesh_subscribers = self._mesh_subscribers, self._mesh.get_subscription_count()
        return self.settings.mesh and self._mesh_subscribers > before

    def apply_settings(self, settings: PublishSettings) -> bool:
        """Takes over live settings; returns whether the whole map must be sent again."""
        self.settings = settings
        visible = visible_provenances(settings)
        changed = visible != self._book.visible
        self._book.visible = visible
        return changed

    def publish_update(self, update: MapUpdate) -> None:
        """Remembers changed and removed blocks, and sends them if somebody watches."""
        self.remember(update)
        if self.wants_mesh:
            self._send_blocks(update)

    def remember(self, update: MapUpdate) -> None:
        """Takes over changed and removed blocks without sending them."""
        for index in update.removed:
            self._blocks.pop(index, None)
        self._blocks.update(update.blocks)

    def _send_blocks(self, update: MapUpdate) -> None:
        markers = self._book.markers(update.blocks, update.removed)
        for sent, message in enumerate(marker_messages(markers, self._frame, update.stamp_ns), start=1):
            self._send(self._mesh, message)
            if sent % _UNACKED_MESSAGES == 0:
                self._mesh.wait_for_all_acked()

    def publish_whole(self, stamp_ns: int) -> int:
        """Replaces what every subscriber shows by the whole map as last updated; returns its blocks."""
        self._clear_subscribers(stamp_ns)
        self._send_blocks(MapUpdate(stamp_ns, self._blocks))
        return len(self._blocks)

    def reset(self, stamp_ns: int) -> None:
        """Forgets blocks and path, and tells every subscriber that the map is empty."""
        self._blocks, self._poses = {}, []
        self._clear_subscribers(stamp_ns)

    def _clear_subscribers(self, stamp_ns: int) -> None:
        self._book.clear()
        self._send(self._mesh, marker_array_bytes([DeleteAllMarkers()], self._frame, stamp_ns))

    def publish_points(self, stamp_ns: int) -> None:
        """Sends the vertices of all blocks as a cloud with colour and provenance."""
        mesh = Mesh.concatenate(self._blocks.values())
        shown = np.isin(mesh.provenance, [int(value) for value in self._book.visible])
        self._send(
            self._points,
            point_cloud2_bytes(mesh.vertices[shown], mesh.colors[shown], mesh.provenance[shown], self._frame, stamp_ns),
        )

    def publish_view(self, view: View) -> None:
        """Sends the view as it was fused, its depth and confidence, and remembers its pose for the path.

        Whoever watches depth gets the calibration of it with each image: predicted depth may be of another size
        than the camera's images.
        """
        if view.T_world_camera is not None:
            pose = PoseStamped(pose=pose_message(view.T_world_camera))
            pose.header.frame_id, pose.header.stamp = self._frame, stamp_from_ns(view.stamp_ns)
            self._poses.append(pose)
        if self.settings.depth and view.depth is not None and self._depth.get_subscription_count():
            self._send(self._depth, image_bytes(view.depth, "32FC1", view.frame_id, view.stamp_ns))
        if self.settings.depth and view.depth is not None and self._depth_info.get_subscription_count():
            self._send(self._depth_info, camera_info_bytes(view.camera, view.frame_id, view.stamp_ns))
        if self.settings.depth and view.confidence is not None and self._confidence.get_subscription_count():
            self._send(self._confidence, image_bytes(view.confidence, "32FC1", view.frame_id, view.stamp_ns))
        if self.settings.depth and self._view.get_subscription_count():
            self._send(self._view, view_bytes(view, self._frame))

    def publish_path(self) -> None:
        """Sends the path if it has grown."""
        if len(self._poses) != self._sent_poses and self._path.get_subscription_count():
            path = Path(poses=self._poses)
            path.header.frame_id = self._frame
            path.header.stamp = self._poses[-1].header.stamp if self._poses else path.header.stamp
            self._path.publish(path)
            self._sent_poses = len(self._poses)

    def close(self) -> None:
        """Removes the publishers."""
        depth = (self._depth, self._depth_info, self._confidence, self._view)
        for publisher in (self._mesh, self._points, *depth, self._path):
            self._node.destroy_publisher(publisher)

    def _send(self, publisher: Publisher, message: Any) -> None:
        publisher.publish(message)
        self.bytes_published += len(message)
