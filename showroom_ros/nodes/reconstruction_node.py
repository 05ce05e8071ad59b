#!/usr/bin/env python3
"""Views in, map out: fuses keyframes and publishes what changed."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rclpy.clock import Clock, ClockType

from showroom_ros.errors import InputError
from showroom_ros.nodes.complete_scene import SceneCompletion
from showroom_ros.nodes.map_files import MapFiles
from showroom_ros.nodes.reconstruct_images import ReconstructImagesAction
from showroom_ros.nodes.timed_estimator import TimedEstimator
from showroom_ros.reconstruction.estimator import make_estimator
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.reconstruction.warm_up import warm_up
from showroom_ros.ros.cdr import read_view, stamp_and_frame
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.ros.map_publisher import MapPublisher
from showroom_ros.ros.map_status import MapStatus
from showroom_ros.ros.qos import view_qos
from showroom_ros.ros.runner import run_node
from showroom_ros.ros.services import TIMEOUT_S, WorkerServices
from showroom_ros.ros.worker import Worker
from showroom_ros.scene.view import View
from showroom_ros.settings import Settings

GROUPS = ("pose", "map", "reconstruction", "publish", "output", "completion")
_HOUSEKEEPING_S = 0.2
_MAX_UNMESHED_VIEWS = 4
"""While views queue up, only every so many are meshed."""


class ReconstructionNode(ShowroomNode):
    """Owns the map. Everything that touches it runs on one worker: views in the order they came, services between."""

    def __init__(self, **node_options: Any) -> None:
        """Declares parameters; the map is made on configure."""
        super().__init__("reconstruction_node", GROUPS, **node_options)

    def configure(self) -> None:
        """Loads the method's network, makes the map, compiles its kernels, offers topics and services."""
        settings = self.settings
        self._estimator = TimedEstimator(make_estimator(settings))
        self._reconstructor = Reconstructor(settings, self._estimator)
        warm_up(settings, self._estimator)
        self._unmeshed_views, self._points_due = 0, 0.0
        self._map = MapPublisher(self, settings.publish, settings.pose.world_frame)
        self._status = MapStatus(self, settings.pose.world_frame, settings.map.max_bytes)
        self._worker: Worker[bytes] = Worker(
            self._process,
            queue_size=settings.reconstruction.queue_size,
            on_error=self.report,
            on_fatal=self.fail,
            on_wake=self._keep_house,
            name="reconstruction",
        )
        self._worker.start()
        self._offer_services(MapFiles(self._reconstructor, settings.output))
        self._action = ReconstructImagesAction(
            self, lambda: self.settings, lambda: not self._reconstructor.volume.block_count, self._fuse_photos
        )
        self._completion: SceneCompletion | None = None
        if settings.completion.mode != "off":
            self._completion = SceneCompletion(self, self._worker, self._reconstructor, self._fuse_generated)
        # ROS time stands still when a bag ends; housekeeping must not
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._map_timers = [
            self.create_timer(_HOUSEKEEPING_S, self._worker.wake, clock=steady),
            self.create_timer(1.0 / settings.publish.status_rate_hz, self._publish_status, clock=steady),
        ]

    def _offer_services(self, files: MapFiles) -> None:
        def load_map(file_path: str) -> str:
            answer = files.load_map(file_path)
            if self._completion is not None:
                self._completion.reset()  # what was seen of the old map says nothing of this one
            self._publish_whole_map()
            return answer

        self._map_services = WorkerServices(
            self,
            self._worker,
            {
                "reset": self._reset,
                "pause": lambda: self._set_paused(True),
                "resume": lambda: self._set_paused(False),
                "publish_map": self._publish_whole_map,
            },
            {
                "save_mesh": lambda path: files.save_mesh(path) + self._still_waiting(),
                "save_map": lambda path: files.save_map(path) + self._still_waiting(),
                "load_map": load_map,
            },
        )

    def activate(self) -> None:
        """Opens the input."""
        self.create_input(ViewMessage, "keyframe_node/view", self._on_view, view_qos())
        if self._completion is not None:
            completed = self._completion.on_completed
            self.create_input(ViewMessage, "depth_completion_node/view", completed, view_qos(), is_required=False)

    def cleanup(self) -> None:
        """Frees the map."""
        if self._completion is not None:
            self._completion.close()
        self._worker.stop()
        for timer in self._map_timers:
            self.destroy_timer(timer)
        self._action.close()
        self._map_services.close()
        self._status.close()
        self._map.close()
        del self._reconstructor, self._estimator

    def on_settings(self, old: Settings, new: Settings) -> None:
        """Hands live settings to the map's thread."""
        if hasattr(self, "_worker"):
            self._worker.call(lambda: self._apply(new), timeout_s=TIMEOUT_S, ahead=True)

    def diagnostic_values(self) -> Mapping[str, Any]:
        """Counters for ``/diagnostics``."""
        return {**self._status.diagnostic_values(), "dropped": self._worker.dropped, "waiting": self._worker.waiting}

    def _on_view(self, data: bytes) -> int:
        stamp_ns, _ = stamp_and_frame(data, "view")
        self._status.counts["received"] += 1
        if not self._status.is_paused:
            self._worker.submit(data)
        return stamp_ns

    def _process(self, data: bytes) -> None:
        """Estimates and fuses one view, and publishes what it changed."""
        view, world_frame = read_view(data, "view")
        if view.T_world_camera is not None and world_frame != self.settings.pose.world_frame:
            raise InputError(
                f"view: its pose is given in '{world_frame}', "
                f"this map is in '{self.settings.pose.world_frame}' (pose.world_frame)"
            )
        start = time.perf_counter()
        update = self._reconstructor.process(view, mesh=False)
        self._status.note_view(update, time.perf_counter() - start, self._estimator.last_s)
        if update.note:
            self.errors.note(update.note)
        if self._completion is not None and update.view is not None:
            self._completion.note(update.view)
        self._unmeshed_views += 1
        if not self._worker.waiting or self._unmeshed_views >= _MAX_UNMESHED_VIEWS:
            self._publish_changes()
        self._map.publish_view(update.view or view)

    def _fuse_photos(self, views: Sequence[View]) -> str:
        """On the map's thread, between views."""

        def put() -> str:
            for view in views:
                self._map.publish_view(self._reconstructor.put(view).view or view)
            self._unmeshed_views += len(views)
            self._publish_changes()
            return f"{len(views)} images fused"

        return self._worker.call(put, timeout_s=TIMEOUT_S, ahead=True)

    def _fuse_generated(self, view: View) -> None:
        """On the map's thread."""
        self._reconstructor.put(view)
        self._unmeshed_views += 1
        self._publish_changes()

    def _publish_changes(self) -> None:
        if self._map.subscriber_joined():
            self._publish_whole_map()
        elif self._unmeshed_views and (self._map.wants_mesh or self._map.wants_points):
            start = time.perf_counter()
            update = self._reconstructor.mesh_update()
            self._status.mesh_s.append(time.perf_counter() - start)
            self._map.publish_update(update)
            self._unmeshed_views = 0

    def _publish_whole_map(self) -> str:
        self._map.remember(self._reconstructor.mesh_update())
        self._unmeshed_views = 0
        return f"{self._map.publish_whole(self._status.stamp_ns)} blocks"

    def _keep_house(self) -> None:
        """What is due although no view came."""
        self._publish_changes()
        volume = self._reconstructor.volume
        self._status.counts["blocks"], self._status.counts["bytes"] = volume.block_count, volume.memory_bytes
        rate_hz = self.settings.publish.points_rate_hz
        now = time.monotonic()
        if rate_hz > 0 and now >= self._points_due:
            self._points_due = now + 1.0 / rate_hz
            self._map.publish_path()
            if self._map.wants_points:
                self._map.publish_points(self._status.stamp_ns)

    def _publish_status(self) -> None:
        worker = self._worker
        self._status.publish(
            rejected=worker.failed,
            dropped=worker.dropped,
            triangles=self._map.triangles,
            last_error=self.errors.last,
        )

    def _apply(self, settings: Settings) -> None:
        self._reconstructor.settings = settings
        if self._map.apply_settings(settings.publish):
            self._publish_whole_map()

    def _reset(self) -> str:
        self._worker.clear()
        self._reconstructor.reset()
        if self._completion is not None:
            self._completion.reset()
        self._reconstructor.mesh_update()  # what it reports as removed is removed by the reset below
        self._map.reset(self._status.stamp_ns)
        return "the map is empty"

    def _set_paused(self, is_paused: bool) -> str:
        self._status.is_paused = is_paused
        return ("paused" if is_paused else "resumed") + self._still_waiting()

    def _still_waiting(self) -> str:
        """What an answer between views adds: how many came before it and are not in the map yet."""
        return f"; {self._worker.waiting} views received before are still to be fused" if self._worker.waiting else ""


def main() -> int:
    """Runs the node."""
    return run_node(ReconstructionNode)


if __name__ == "__main__":
    sys.exit(main())
