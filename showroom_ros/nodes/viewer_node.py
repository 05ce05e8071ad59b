#!/usr/bin/env python3
"""The map as a page in the browser: subscribes like RViz would, and shows what comes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from nav_msgs.msg import Path
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import MarkerArray

from showroom_ros.ros.cdr import read_view
from showroom_ros.ros.cloud_reader import read_cloud
from showroom_ros.ros.conversions import ns_from_stamp
from showroom_ros.ros.diagnostics import InputMonitor
from showroom_ros.ros.interfaces import Status
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.ros.marker_reader import MarkerBlocks, read_marker_array
from showroom_ros.ros.qos import map_qos, mesh_qos, view_qos
from showroom_ros.ros.runner import run_node
from showroom_ros.settings import ViewerSettings
from showroom_ros.viewers.base import NullViewer, Viewer
from showroom_ros.viewers.browser import BrowserViewer

GROUPS = ("viewer", "publish")
_POINTS_CHECK_S = 0.5

ViewerFactory = Callable[[ViewerSettings, Callable[[BaseException], None]], Viewer]


class ViewerNode(ShowroomNode):
    """Callbacks read a message and hand it to the viewer, which draws on a thread of its own."""

    def __init__(self, make_viewer: ViewerFactory = BrowserViewer, **node_options: Any) -> None:
        """Declares parameters; the page is served from configure on."""
        super().__init__("viewer_node", GROUPS, **node_options)
        self._make_viewer = make_viewer
        self._viewer: Viewer = NullViewer()
        self._points: InputMonitor | None = None

    def configure(self) -> None:
        """Serves the page."""
        self._viewer = self._make_viewer(self.settings.viewer, self.fail)
        self.get_logger().info(f"the map is shown at {getattr(self._viewer, 'url', 'no page')}")

    def activate(self) -> None:
        """Opens the inputs."""
        self._blocks = MarkerBlocks()
        self._input(MarkerArray, "reconstruction_node/mesh", self._on_mesh, mesh_qos())
        self._input(Path, "reconstruction_node/path", self._on_path, map_qos(), raw=False)
        self._input(Status, "reconstruction_node/status", self._on_status, map_qos(), raw=False)
        self._keyframes = self._input(ViewMessage, "keyframe_node/view", self._on_view, view_qos())
        self._points_timer = self.create_timer(_POINTS_CHECK_S, self._check_points, clock=self.steady_clock)

    def deactivate(self) -> None:
        """Stops asking for the cloud; the page keeps showing what came."""
        self.destroy_timer(self._points_timer)
        self._points = None

    def cleanup(self) -> None:
        """Closes the page."""
        self._viewer.close()
        self._viewer = NullViewer()

    def _input(
        self, kind: type, topic: str, callback: Callable[[Any], int | None], qos: QoSProfile, *, raw: bool = True
    ) -> InputMonitor:
        return self.create_input(kind, topic, callback, qos, raw=raw, is_required=False)

    def _check_points(self) -> None:
        """Subscribes to the cloud only while somebody looks at it, so that nobody makes it for nothing."""
        if self._viewer.wants_points and self._points is None:
            self._points = self._input(PointCloud2, "reconstruction_node/points", self._on_points, map_qos(), raw=False)
        elif self._points is not None and not self._viewer.wants_points:
            self.close_input(self._points)
            self._points = None

    def _on_mesh(self, data: bytes) -> int | None:
        markers = read_marker_array(data, "mesh")
        blocks, removed = self._blocks.apply(markers)
        self._viewer.update_blocks(blocks, removed)
        return markers[-1].stamp_ns if markers else None

    def _on_points(self, message: PointCloud2) -> int:
        self._viewer.update_points(*read_cloud(message, "points"))
        return ns_from_stamp(message.header.stamp)

    def _on_path(self, message: Path) -> int:
        positions = [pose.pose.position for pose in message.poses]
        self._viewer.update_path(np.array([(p.x, p.y, p.z) for p in positions]).reshape(-1, 3))
        return ns_from_stamp(message.header.stamp)

    def _on_view(self, data: bytes) -> int:
        view, _ = read_view(data, "view")
        self._viewer.update_camera(view)
        return view.stamp_ns

    def _on_status(self, message: Status) -> int:
        self._viewer.update_status(status_table(message, self._keyframes.rate_hz))
        return ns_from_stamp(message.header.stamp)


def status_table(status: Status, keyframes_hz: float) -> Mapping[str, str]:
    """The figures the page shows, in order."""
    table = {
        "Keyframes": f"{status.views_fused:,} ({keyframes_hz:.1f} per s)",
        "Triangles": f"{status.triangles:,}",
        "Blocks": f"{status.blocks:,}",
        "Map memory": f"{status.map_bytes / 1e6:.0f} of {status.map_max_bytes / 1e6:,.0f} MB",
        "Fuse, mesh": f"{status.integrate_ms:.1f}, {status.mesh_update_ms:.1f} ms",
        "Dropped": f"{status.views_dropped:,}",
    }
    if status.estimate_ms >= 1:
        table["Estimate depth"] = f"{status.estimate_ms:.0f} ms"
    if status.views_without_depth:
        table["Without depth"] = f"{status.views_without_depth:,}"
    if status.note:
        table["Note"] = status.note
    if status.views_rejected:
        table["Rejected"] = f"{status.views_rejected:,}"
    if status.blocks_evicted:
        table["Blocks evicted"] = f"{status.blocks_evicted:,}"
    if status.paused:
        table["State"] = "paused"
    if status.last_error:
        table["Last error"] = status.last_error
    return table


def main() -> int:
    """Runs the node."""
    return run_node(ViewerNode)


if __name__ == "__main__":
    sys.exit(main())
