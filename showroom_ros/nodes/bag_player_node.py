#!/usr/bin/env python3
"""Plays a bag over real topics, as ``ros2 bag play --clock`` does."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import InvalidTopicNameException
from rclpy.logging import get_logger
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from showroom_ros.bags.messages import COMPRESSED_IMAGE, IMAGE, stamp_and_frame
from showroom_ros.bags.playback import BagClock, ReadAhead
from showroom_ros.bags.reader import BagMessage, BagReader
from showroom_ros.errors import BagError, InputError, MissingDependencyError, ShowroomError
from showroom_ros.nodes.bag_support import message_class, player_qos, read_parameters
from showroom_ros.ros.conversions import stamp_from_ns
from showroom_ros.ros.dds import configure_dds
from showroom_ros.ros.runner import stopped_by_signals

CLOCK_TOPIC = "/clock"
_SETTLE_S = 2.0
_DISCOVERY_S = 0.2
_POLL_S = 0.02
_ACKNOWLEDGE_S = 5.0


class BagPlayer:
    """Publishes the messages of a bag when they are due; a context manager.

    Types that are not installed are left out with a warning. Topics that are kept for late joiners (static
    transforms) are published from the start of the bag even when playing begins later.

    Attributes:
        skipped: topics left out, with the reason.
        published: messages published so far, by topic.
    """

    def __init__(
        self,
        bag: str | Path,
        *,
        rate: float = 1.0,
        loop: bool = False,
        start_s: float = 0.0,
        duration_s: float | None = None,
        topics: Sequence[str] | None = None,
        wait_for_subscribers_s: float = 0.0,
        clock_rate_hz: float = 100.0,
        progress: Callable[[int, int], None] | None = None,
        ros_args: Sequence[str] | None = None,
    ) -> None:
        """Opens the bag and advertises its topics.

        Args:
            bag: anything ``BagReader`` reads.
            rate: speed relative to the recording.
            loop: start again at the end; the clock then jumps back.
            start_s: skip this much of the bag.
            duration_s: play only this much.
            topics: only these; None or empty = all.
            wait_for_subscribers_s: before playing, wait at most this long for subscribers to be there.
            clock_rate_hz: how often ``/clock`` is sent; 0 = never.
            progress: called with (messages played, about how many in all).
            ros_args: arguments for ROS (``--ros-args -r ...``).

        Raises:
            BagError: no bag, damaged, a topic is not in it, nothing after ``start_s``, or no topic can be played.
            InputError: a rate or time out of range.
        """
        self._path, self._rate, self._loop = Path(bag), rate, loop
        self._wait_s, self._clock_rate_hz, self._progress = wait_for_subscribers_s, clock_rate_hz, progress
        for name, value in (("start_s", start_s), ("duration_s", duration_s), ("clock_rate_hz", clock_rate_hz)):
            if value is not None and not value >= 0:
                raise InputError(f"{name} is {value}, expected 0 or more")
        with BagReader(bag) as reader:
            chosen = list(topics or reader.topics)
            reader.require(chosen)
            self._infos = {topic: reader.topics[topic] for topic in chosen if topic != CLOCK_TOPIC}
            self._first_ns, self._start_ns = reader.start_ns, reader.start_ns + round(start_s * 1e9)
            self._stop_ns = reader.end_ns + 1
            length_s, messages = reader.duration_s, sum(info.count for info in self._infos.values())
        if duration_s is not None:
            self._stop_ns = min(self._stop_ns, self._start_ns + round(duration_s * 1e9))
        if self._start_ns >= self._stop_ns:
            raise BagError(f"{bag}: nothing to play from {start_s} s on, the bag is {length_s:.3f} s long")
        played_s = (self._stop_ns - self._start_ns) / 1e9
        self._done, self._total = 0, max(round(messages * min(played_s / max(length_s, 1e-9), 1.0)), 1)
        self._clock = BagClock(self._start_ns, time.monotonic_ns(), rate)
        self._next_tick_ns = 0
        self.stop_event = threading.Event()
        self.skipped: dict[str, str] = {}
        self.published: dict[str, int] = defaultdict(int)
        self._image_times: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._advertise(ros_args)

    def __enter__(self) -> BagPlayer:
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Takes the topics back."""
        self._node.destroy_node()
        self._context.try_shutdown()

    def play(self) -> None:
        """Plays to the end, or until ``stop``; raises ``BagError`` where the bag is damaged."""
        self._wait_for_subscribers()
        topics = list(self._publishers)
        with ReadAhead(self._path, topics, self._start_ns, self._stop_ns, loop=self._loop) as messages:
            for message in messages:
                if message is None:
                    self._begin_pass()
                elif self._wait_until(message.stamp_ns):
                    self._publish(message)
                    self._done += 1
                    self._report()
                else:
                    break
        self._report(done=True)
        deadline = time.monotonic() + _ACKNOWLEDGE_S
        for publisher in self._publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=max(deadline - time.monotonic(), 0.01)))

    def pause(self) -> None:
        """Lets bag time stand still; ``/clock`` goes on with the same time."""
        self._clock.pause(time.monotonic_ns())

    def resume(self) -> None:
        """Goes on where ``pause`` stopped."""
        self._clock.resume(time.monotonic_ns())

    def stop(self) -> None:
        """Ends ``play`` soon; may be called from any thread."""
        self.stop_event.set()

    def image_times(self, topic: str) -> list[tuple[int, int]]:
        """``(stamp_ns, wall_ns)`` of the images of ``topic``: header stamp, and ``time.time_ns()`` when published."""
        return self._image_times[topic]

    def _advertise(self, ros_args: Sequence[str] | None) -> None:
        configure_dds(os.environ)
        self._context = rclpy.Context()
        rclpy.init(args=list(ros_args or ()), context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("bag_player_node", context=self._context)
        self._publishers: dict[str, Publisher] = {}
        for topic, info in self._infos.items():
            try:
                kind = message_class(info.type)
                self._publishers[topic] = self._node.create_publisher(kind, topic, player_qos(topic, info.qos))
            except (MissingDependencyError, InvalidTopicNameException) as error:
                self.skipped[topic] = str(error)
                self._node.get_logger().warning(f"{topic} is not played: {error}")
        self._clock_publisher = self._node.create_publisher(Clock, CLOCK_TOPIC, 10) if self._clock_rate_hz else None
        if not self._publishers:
            self.__exit__(None, None, None)
            raise BagError(f"{self._path}: no topic can be played: {self.skipped}")

    def _wait_for_subscribers(self) -> None:
        """Until every topic has a subscriber, or some have and no more come."""
        deadline = time.monotonic() + self._wait_s
        last, since = 0, time.monotonic()
        while time.monotonic() < deadline and not self.stop_event.wait(_POLL_S):
            counts = [publisher.get_subscription_count() for publisher in self._publishers.values()]
            if sum(counts) != last:
                last, since = sum(counts), time.monotonic()
            if all(counts) or (last and time.monotonic() - since > _SETTLE_S):
                time.sleep(_DISCOVERY_S)  # the other side may learn of the match a little later
                return
        if self._wait_s and not last:
            self._node.get_logger().warning(f"nobody subscribed within {self._wait_s:g} s; playing anyway")

    def _begin_pass(self) -> None:
        self._publish_latched()
        self._clock.jump(self._start_ns, time.monotonic_ns())
        self._next_tick_ns = 0
        self._done = 0

    def _publish_latched(self) -> None:
        """What late joiners would have got of the time before the start."""
        is_latched = {
            topic
            for topic, publisher in self._publishers.items()
            if publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        }
        if self._start_ns > self._first_ns and is_latched:
            with BagReader(self._path) as bag:
                for message in bag.raw_messages(is_latched, None, self._start_ns):
                    self._publish(message)

    def _publish(self, message: BagMessage) -> None:
        topic, data = message.topic, bytes(message.message)
        if self._infos[topic].type in (IMAGE, COMPRESSED_IMAGE):
            self._image_times[topic].append((stamp_and_frame(data)[0], time.time_ns()))
        self._publishers[topic].publish(data)
        self.published[topic] += 1

    def _wait_until(self, bag_ns: int) -> bool:
        """Sends ``/clock`` until it is ``bag_ns``; False when stopped."""
        while not self.stop_event.is_set():
            now_ns = time.monotonic_ns()
            if now_ns >= self._next_tick_ns and self._clock_publisher is not None:
                time_ns = min(self._clock.bag_ns(now_ns), max(bag_ns, self._start_ns))
                self._clock_publisher.publish(Clock(clock=stamp_from_ns(time_ns)))
                self._next_tick_ns = max(self._next_tick_ns, now_ns - _tick_ns(self._clock_rate_hz))
                self._next_tick_ns += _tick_ns(self._clock_rate_hz)
            due_ns = now_ns + round(_POLL_S * 1e9) if self._clock.is_paused else self._clock.wall_ns(bag_ns)
            if due_ns <= now_ns:
                return True
            wake_ns = min(due_ns, self._next_tick_ns) if self._clock_publisher is not None else due_ns
            self.stop_event.wait(max(wake_ns - time.monotonic_ns(), 0) / 1e9)
        return False

    def _report(self, *, done: bool = False) -> None:
        if self._progress is not None:
            self._progress(self._total if done else min(self._done, self._total - 1), self._total)


def _tick_ns(rate_hz: float) -> int:
    return round(1e9 / rate_hz)


def play_bag(bag: str | Path, **options: Any) -> None:
    """Plays ``bag`` until its end or a signal; options as ``BagPlayer``."""
    with BagPlayer(bag, **options) as player, stopped_by_signals(player.stop_event):
        player.play()


PARAMETERS: dict[str, Any] = {
    "bag": "",
    "rate": 1.0,
    "loop": False,
    "start_s": 0.0,
    "duration_s": 0.0,
    "topics": [""],
    "wait_for_subscribers_s": 0.0,
    "clock_rate_hz": 100.0,
}
"""ROS parameters of the node and their defaults; ``duration_s`` 0 means to the end."""


def main(args: Sequence[str] | None = None) -> int:
    """Plays the bag that the ROS parameter ``bag`` names."""
    arguments = list(sys.argv if args is None else args)
    try:
        options = read_parameters("bag_player_node", PARAMETERS, arguments)
        options["duration_s"] = options["duration_s"] or None
        play_bag(**options, ros_args=arguments)
    except ShowroomError as error:
        get_logger("bag_player_node").fatal(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
