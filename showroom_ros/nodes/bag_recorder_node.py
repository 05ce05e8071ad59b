#!/usr/bin/env python3
"""Records topics to a bag, where ``ros2 bag record`` does not exist."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

from showroom_ros.bags.writer import BagWriter
from showroom_ros.errors import BagError, MissingDependencyError, ShowroomError
from showroom_ros.nodes.bag_support import message_class, read_parameters, recorded_qos, recorder_qos
from showroom_ros.ros.dds import configure_dds
from showroom_ros.ros.runner import stopped_by_signals

UNINTERESTING = ("/rosout", "/parameter_events")
"""Left out unless they are asked for by name."""

_DISCOVERY_PERIOD_S = 0.1
_POLL_S = 0.05


class BagRecorder:
    """Subscribes to topics as they appear and writes what comes; a context manager that completes the bag.

    Messages are recorded with the time of the node's clock when they arrive. All of it happens on the
    thread that calls ``record``.

    Attributes:
        skipped: topics that cannot be recorded, with the reason.
    """

    def __init__(
        self,
        bag: str | Path,
        topics: Sequence[str] = (),
        *,
        storage: str = "mcap",
        overwrite: bool = False,
        ros_args: Sequence[str] | None = None,
    ) -> None:
        """Opens the bag and starts to listen.

        Args:
            bag: folder of the bag.
            topics: names of topics; none = all but hidden ones and ``UNINTERESTING``.
            storage: ``mcap`` or ``sqlite3``.
            overwrite: replace a bag of that name.
            ros_args: arguments for ROS (``--ros-args -r ...``).

        Raises:
            OutputError: the path is taken, or the bag cannot be written.
        """
        self._writer = BagWriter(bag, storage, overwrite=overwrite)
        configure_dds(os.environ)
        self._context = rclpy.Context()
        rclpy.init(args=list(ros_args or ()), context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("bag_recorder_node", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._wanted = {self._node.resolve_topic_name(topic) for topic in topics}
        self._recorded: set[str] = set()
        self.skipped: dict[str, str] = {}
        self.stop_event = threading.Event()

    def __enter__(self) -> BagRecorder:
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Completes the bag; raises ``BagError`` where nothing came, and then there is no bag."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()
        if kind is not None or not self.message_count:
            self._writer.discard()
        else:
            self._writer.close()
        if kind is None and not self.message_count:
            topics = ", ".join(sorted(self._wanted)) or "any topic"
            raise BagError(f"{self._writer.path}: nothing was recorded, no message came on {topics}")

    @property
    def message_count(self) -> int:
        """Messages recorded so far."""
        return self._writer.message_count

    @property
    def topics(self) -> set[str]:
        """Topics that are listened to."""
        return set(self._recorded)

    def record(self, duration_s: float | None = None) -> None:
        """Records until ``stop``, or for ``duration_s``; raises ``OutputError`` when the disk is full."""
        deadline = time.monotonic() + (float("inf") if duration_s is None else duration_s)
        look_at = 0.0
        while not self.stop_event.is_set() and time.monotonic() < deadline:
            if time.monotonic() >= look_at:
                self._subscribe_to_new_topics()
                look_at = time.monotonic() + _DISCOVERY_PERIOD_S
            self._executor.spin_once(timeout_sec=_POLL_S)

    def stop(self) -> None:
        """Ends ``record`` soon; may be called from any thread."""
        self.stop_event.set()

    def _subscribe_to_new_topics(self) -> None:
        for topic, types in self._node.get_topic_names_and_types():
            if topic in self._recorded or topic in self.skipped or not self._is_wanted(topic):
                continue
            publishers = self._node.get_publishers_info_by_topic(topic)
            if not publishers:
                continue
            profiles = [publisher.qos_profile for publisher in publishers]
            try:
                kind = message_class(types[0])
                self._writer.add_topic(topic, types[0], recorded_qos(profiles))
            except (MissingDependencyError, BagError) as error:
                self.skipped[topic] = str(error)
                self._node.get_logger().warning(f"{topic} is not recorded: {error}")
                continue
            self._subscribe(kind, topic, recorder_qos(profiles))
            self._recorded.add(topic)

    def _subscribe(self, kind: Any, topic: str, qos: QoSProfile) -> None:
        def write(data: bytes) -> None:
            self._writer.write_raw(topic, self._node.get_clock().now().nanoseconds, data)
            # all that waits, at once: an executor's round per message is slow
            handle = subscription.handle
            with handle:
                while (taken := handle.take_message(kind, True)) is not None:
                    self._writer.write_raw(topic, self._node.get_clock().now().nanoseconds, taken[0])

        subscription = self._node.create_subscription(kind, topic, write, qos, raw=True)

    def _is_wanted(self, topic: str) -> bool:
        if self._wanted:
            return topic in self._wanted
        is_hidden = any(part.startswith("_") for part in topic.split("/"))
        return not is_hidden and topic not in UNINTERESTING


def record_bag(bag: str | Path, topics: Sequence[str] = (), *, duration_s: float | None = None, **options: Any) -> int:
    """Records until a signal, or for ``duration_s``; options as ``BagRecorder``. Returns the number of messages."""
    with BagRecorder(bag, topics, **options) as recorder, stopped_by_signals(recorder.stop_event):
        recorder.record(duration_s)
    return recorder.message_count


PARAMETERS: dict[str, Any] = {"bag": "", "topics": [""], "storage": "mcap", "overwrite": False, "duration_s": 0.0}
"""ROS parameters of the node and their defaults; ``duration_s`` 0 means until Ctrl-C."""


def main(args: Sequence[str] | None = None) -> int:
    """Records to the bag that the ROS parameter ``bag`` names."""
    arguments = list(sys.argv if args is None else args)
    try:
        options = read_parameters("bag_recorder_node", PARAMETERS, arguments)
        options["duration_s"] = options["duration_s"] or None
        record_bag(**options, ros_args=arguments)
    except ShowroomError as error:
        get_logger("bag_recorder_node").fatal(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
