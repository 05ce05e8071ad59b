#!/usr/bin/env python3
"""Images in, keyframes out: finds each frame's pose, picks the ones worth keeping, undistorts and registers them."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from showroom_ros.errors import ShowroomError, TransformError
from showroom_ros.geometry.transform_tree import TransformBuffer, may_come
from showroom_ros.ros.camera_inputs import CameraInputs
from showroom_ros.ros.cdr import view_bytes
from showroom_ros.ros.frame_assembly import FrameAssembler, RawFrame
from showroom_ros.ros.image_stream import StreamMessage
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.ros.pose_source import make_pose_source
from showroom_ros.ros.qos import view_qos
from showroom_ros.ros.runner import run_node
from showroom_ros.ros.tf_listener import make_transform_listener
from showroom_ros.ros.worker import Worker
from showroom_ros.scene.keyframes import KeyframeSelector
from showroom_ros.scene.rectification import rectify, rectify_example
from showroom_ros.settings import Settings

GROUPS = ("pose", "sync", "keyframes", "publish")
_RETRY_S = 0.1


class KeyframeNode(ShowroomNode):
    """Callbacks only queue serialised messages; one worker does the rest, and only for frames that moved."""

    def __init__(self, **node_options: Any) -> None:
        """Declares parameters."""
        super().__init__("keyframe_node", GROUPS, **node_options)
        self._counts: Counter[str] = Counter()
        self._waiting: deque[RawFrame] = deque()
        self._selector = KeyframeSelector(self.settings.keyframes)
        self._is_open = False

    def configure(self) -> None:
        """Compiles what is compiled on first use, and offers the output."""
        rectify_example()
        self._views = self.create_publisher(ViewMessage, "~/view", view_qos())

    def activate(self) -> None:
        """Opens the inputs and starts the worker."""
        sync, use_depth = self.settings.sync, self.settings.keyframes.use_depth
        self._selector = KeyframeSelector(self.settings.keyframes)
        self._assembler = FrameAssembler(sync, use_depth=use_depth)
        self._worker: Worker[StreamMessage] = Worker(
            self._take,
            queue_size=2 * sync.queue_size,
            on_error=self.report,
            on_fatal=self.fail,
            on_wake=self._advance,
            name="keyframes",
        )
        wake = self._worker.wake
        self._transforms = make_transform_listener(self, self.settings.pose, wake)
        self._poses = make_pose_source(self, self.settings.pose, self._transforms, wake)
        self._cameras = CameraInputs(self, self.settings, self._transforms, self._worker.submit)
        self._worker.start()
        self._is_open = True
        self._retry = self.create_timer(_RETRY_S, wake, clock=self.steady_clock)

    def deactivate(self) -> None:
        """Stops the worker; frames that wait are forgotten."""
        self._is_open = False
        self.destroy_timer(self._retry)
        self._worker.stop()
        self._waiting.clear()

    def cleanup(self) -> None:
        """Withdraws the output."""
        self.destroy_publisher(self._views)

    def on_settings(self, old: Settings, new: Settings) -> None:
        """Takes over live settings."""
        if not self._is_open:
            return
        self._selector.settings = new.keyframes
        self._poses.set_max_gap(new.pose.max_gap_s)
        if isinstance(self._transforms, TransformBuffer):
            self._transforms.set_max_gap(new.pose.max_gap_s)

    def diagnostic_values(self) -> Mapping[str, Any]:
        """Counters for ``/diagnostics``."""
        if not self._is_open:
            return {}
        return {
            **{
                name: self._counts[name]
                for name in ("frames", "keyframes", "still", "blurred", "rejected", "timed_out")
            },
            "waiting_for_pose": len(self._waiting),
            "dropped": self._worker.dropped + self._counts["overflow"],
            "unpaired": self._assembler.dropped,
            "time_jumps": self._assembler.jumps,
        }

    def _take(self, message: StreamMessage) -> None:
        jumps = self._assembler.jumps
        frame = self._assembler.add(message)
        if self._assembler.jumps > jumps:
            self._jump_back(message.stamp_ns)
        if frame is not None:
            self._queue(frame)
        self._advance()

    def _queue(self, frame: RawFrame) -> None:
        self._counts["frames"] += 1
        self._waiting.append(frame)
        if len(self._waiting) > self.settings.sync.queue_size:
            self._waiting.popleft()
            self._counts["overflow"] += 1

    def _jump_back(self, stamp_ns: int) -> None:
        self.get_logger().warning(f"image stamps went back to {stamp_ns / 1e9:.3f} s: starting anew")
        self._waiting.clear()
        self._selector.reset()
        self._poses.time_jumped_back(stamp_ns)

    def _advance(self) -> None:
        """Works off the frames whose pose has come."""
        for frame in self._assembler.take_unpaired():
            self._queue(frame)
        while self._waiting:
            frame = self._waiting[0]
            try:
                self._counts[self._process(frame)] += 1
            except TransformError as error:
                if may_come(error) and time.monotonic() - frame.arrived_s < self.settings.pose.max_wait_s:
                    return
                self._counts["timed_out"] += 1
                self.report(error)
            except ShowroomError as error:
                self._counts["rejected"] += 1
                self.report(error)
            self._waiting.popleft()

    def _process(self, frame: RawFrame) -> str:
        """Publishes the frame if it is a keyframe; returns what became of it."""
        stamp_ns = frame.color.stamp_ns
        pose = self._poses.pose(self._cameras.camera_frame(frame), stamp_ns)
        decision = self._selector.consider(pose, stamp_ns)
        if decision.is_keyframe:
            sensor_frame = self._cameras.decode(frame, pose)
            decision = self._selector.select(sensor_frame.image, pose, stamp_ns)
        if not decision.is_keyframe:
            return decision.reason
        self._views.publish(view_bytes(rectify(sensor_frame), self.settings.pose.world_frame))
        return "keyframes"


def main() -> int:
    """Runs the node."""
    return run_node(KeyframeNode)


if __name__ == "__main__":
    sys.exit(main())
