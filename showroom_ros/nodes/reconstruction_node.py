#!/usr/bin/env python3
"""Views in, map out: fuses keyframes and publishes what changed."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any

from rclpy.clock import Clock, ClockType

from showroom_ros.errors import InputError
from showroom_ros.reconstruction.outputs import make_parent, resolve_output
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.reconstruction.warm_up import warm_up
from showroom_ros.ros.cdr import read_view, stamp_and_frame
from showroom_ros.ros.conversions import stamp_from_ns
from showroom_ros.ros.interfaces import Status
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.ros.map_publisher import MapPublisher
from showroom_ros.ros.qos import map_qos, view_qos
from showroom_ros.ros.runner import run_node
from showroom_ros.ros.services import TIMEOUT_S, WorkerServices
from showroom_ros.ros.worker import Worker
from showroom_ros.scene.mesh_files import save_mesh
from showroom_ros.settings import Settings

GROUPS = ("pose", "map", "reconstruction", "publish", "output")
_HOUSEKEEPING_S = 0.2
_MAX_UNMESHED_VIEWS = 4
"""While views queue up, only every so many are meshed."""


class ReconstructionNode(ShowroomNode):
    """Owns the map. Everything that touches it runs on one worker, in the order it came."""

    def __init__(self, **node_options: Any) -> None:
        """Declares parameters; the map is made on configure."""
        super().__init__("reconstruction_node", GROUPS, **node_options)
        self._is_paused = False
        self._stamp_ns = 0
        self._unmeshed_views = 0
        self._points_due = 0.0
        self._integrate_s: deque[float] = deque(maxlen=100)
        self._mesh_s: deque[float] = deque(maxlen=100)
        self._counters: dict[str, int] = {}

    def configure(self) -> None:
        """Makes the map, compiles its kernels, offers topics and services."""
        self._reconstructor = Reconstructor(self.settings)
        warm_up(self.settings)
        self._counters = dict.fromkeys(("received", "fused", "evicted", "blocks", "bytes"), 0)
        self._map = MapPublisher(self, self.settings.publish, self.settings.pose.world_frame)
        self._status = self.create_publisher(Status, "~/status", map_qos())
        self._worker: Worker[bytes] = Worker(
            self._process,
            queue_size=self.settings.reconstruction.queue_size,
            on_error=self.report,
            on_fatal=self.fail,
            on_wake=self._keep_house,
            name="reconstruction",
        )
        self._worker.start()
        self._map_services = WorkerServices(
            self,
            self._worker,
            {
                "reset": self._reset,
                "pause": lambda: self._set_paused(True),
                "resume": lambda: self._set_paused(False),
                "publish_map": self._publish_whole_map,
            },
            {"save_mesh": self._save_mesh, "save_map": self._save_map, "load_map": self._load_map},
        )
        # ROS time stands still when a bag ends; housekeeping must not
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._map_timers = [
            self.create_timer(_HOUSEKEEPING_S, self._worker.wake, clock=steady),
            self.create_timer(1.0 / self.settings.publish.status_rate_hz, self._publish_status, clock=steady),
        ]

    def activate(self) -> None:
        """Opens the input."""
        self.create_input(ViewMessage, "keyframe_node/view", self._on_view, view_qos())

    def cleanup(self) -> None:
        """Frees the map."""
        self._worker.stop()
        for timer in self._map_timers:
            self.destroy_timer(timer)
        self._map_services.close()
        self.destroy_publisher(self._status)
        self._map.close()
        del self._reconstructor

    def on_settings(self, old: Settings, new: Settings) -> None:
        """Hands live settings to the map's thread."""
        if hasattr(self, "_worker"):
            self._worker.call(lambda: self._apply(new), timeout_s=TIMEOUT_S)

    def diagnostic_values(self) -> Mapping[str, Any]:
        """Counters for ``/diagnostics``."""
        return {**self._counters, "dropped": self._worker.dropped, "waiting": self._worker.waiting}

    def _on_view(self, data: bytes) -> int:
        stamp_ns, _ = stamp_and_frame(data, "view")
        self._counters["received"] += 1
        self._worker.submit(data)
        return stamp_ns

    def _process(self, data: bytes) -> None:
        """Fuses one view and publishes what it changed."""
        view, world_frame = read_view(data, "view")
        if self._is_paused:
            return
        if view.T_world_camera is not None and world_frame != self.settings.pose.world_frame:
            raise InputError(
                f"view: its pose is given in '{world_frame}', "
                f"this map is in '{self.settings.pose.world_frame}' (pose.world_frame)"
            )
        start = time.perf_counter()
        update = self._reconstructor.process(view, mesh=False)
        self._integrate_s.append(time.perf_counter() - start)
        self._counters["fused"] += 1
        self._counters["evicted"] += int(update.counters.get("blocks_evicted", 0))
        self._stamp_ns = view.stamp_ns
        self._unmeshed_views += 1
        if not self._worker.waiting or self._unmeshed_views >= _MAX_UNMESHED_VIEWS:
            self._publish_changes()
        self._map.publish_view(view)

    def _publish_changes(self) -> None:
        if self._map.subscriber_joined():
            self._publish_whole_map()
        elif self._unmeshed_views and (self._map.wants_mesh or self._map.wants_points):
            start = time.perf_counter()
            update = self._reconstructor.mesh_update()
            self._mesh_s.append(time.perf_counter() - start)
            self._map.publish_update(update)
            self._unmeshed_views = 0

    def _publish_whole_map(self) -> str:
        self._map.remember(self._reconstructor.mesh_update())
        self._unmeshed_views = 0
        return f"{self._map.publish_whole(self._stamp_ns)} blocks"

    def _keep_house(self) -> None:
        """What is due although no view came."""
        self._publish_changes()
        volume = self._reconstructor.volume
        self._counters.update(blocks=volume.block_count, bytes=volume.memory_bytes)
        rate_hz = self.settings.publish.points_rate_hz
        now = time.monotonic()
        if rate_hz > 0 and now >= self._points_due:
            self._points_due = now + 1.0 / rate_hz
            self._map.publish_path()
            if self._map.wants_points:
                self._map.publish_points(self._stamp_ns)

    def _publish_status(self) -> None:
        counters = self._counters
        status = Status(
            paused=self._is_paused,
            views_received=counters["received"],
            views_fused=counters["fused"],
            views_rejected=self._worker.failed,
            views_dropped=self._worker.dropped,
            triangles=self._map.triangles,
            blocks=counters["blocks"],
            blocks_evicted=counters["evicted"],
            map_bytes=counters["bytes"],
            map_max_bytes=self.settings.map.max_bytes,
            integrate_ms=median(self._integrate_s or [0.0]) * 1e3,
            mesh_update_ms=median(self._mesh_s or [0.0]) * 1e3,
            last_error=self.errors.last,
        )
        status.header.stamp = stamp_from_ns(self._stamp_ns)
        status.header.frame_id = self.settings.pose.world_frame
        self._status.publish(status)

    def _apply(self, settings: Settings) -> None:
        self._reconstructor.settings = settings
        if self._map.apply_settings(settings.publish):
            self._publish_whole_map()

    def _reset(self) -> str:
        self._worker.clear()
        self._reconstructor.reset()
        self._reconstructor.mesh_update()  # what it reports as removed is removed by the reset below
        self._map.reset(self._stamp_ns)
        return "the map is empty"

    def _set_paused(self, is_paused: bool) -> str:
        self._is_paused = is_paused
        return "paused" if is_paused else "resumed"

    def _save_mesh(self, file_path: str) -> str:
        path = make_parent(resolve_output(file_path, self.settings.output))
        mesh = self._reconstructor.volume.extract_mesh()
        save_mesh(path, mesh)
        return f"{len(mesh.triangles)} triangles written to {path}"

    def _save_map(self, file_path: str) -> str:
        path = make_parent(resolve_output(file_path, self.settings.output))
        self._reconstructor.save_map(path)
        return f"{self._reconstructor.volume.block_count} blocks written to {path}"

    def _load_map(self, file_path: str) -> str:
        path = resolve_output(file_path, self.settings.output)
        self._reconstructor.load_map(path)
        self._publish_whole_map()
        return f"{self._reconstructor.volume.block_count} blocks read from {path}"


def main() -> int:
    """Runs the node."""
    return run_node(ReconstructionNode)


if __name__ == "__main__":
    sys.exit(main())
