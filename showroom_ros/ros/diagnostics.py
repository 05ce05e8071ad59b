"""``/diagnostics``: why nothing arrives, in words. Missing publishers, QoS that does not match, rates, age, drops."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

from showroom_ros.errors import ShowroomError

STALE_AFTER_S = 5.0
_LOG_INTERVAL_S = 5.0
_RATE_WINDOW = 50
_NUMBER = re.compile(r"\d+")


class InputMonitor:
    """What is known of one input topic.

    Attributes:
        topic: resolved name.
        received: messages so far.
        is_required: whether its silence is an error.
    """

    def __init__(self, node: Node, topic: str, qos: QoSProfile, *, is_required: bool = True) -> None:
        """``topic`` is the resolved name, ``qos`` what the subscription requests."""
        self._node, self._qos = node, qos
        self._lock = threading.Lock()
        self._arrivals_s: deque[float] = deque(maxlen=_RATE_WINDOW)
        self._stamp_ns: int | None = None
        self.topic, self.is_required = topic, is_required
        self.received = 0

    def note(self, stamp_ns: int | None = None) -> None:
        """One message arrived."""
        with self._lock:
            self.received += 1
            self._arrivals_s.append(time.monotonic())
            self._stamp_ns = self._stamp_ns if stamp_ns is None else stamp_ns

    @property
    def silent_s(self) -> float:
        """Seconds since the last message; infinite before the first."""
        with self._lock:
            return time.monotonic() - self._arrivals_s[-1] if self._arrivals_s else float("inf")

    @property
    def rate_hz(self) -> float:
        """Messages per second over the last few seconds."""
        now_s = time.monotonic()
        with self._lock:
            recent = [arrival for arrival in self._arrivals_s if now_s - arrival < STALE_AFTER_S]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0

    def status(self) -> DiagnosticStatus:
        """One line of the diagnostics, with the reason where the topic is silent."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        mismatches = [text for info in publishers if (text := self._mismatch(info.qos_profile))]
        values: dict[str, Any] = {
            "topic": self.topic,
            "publishers": len(publishers),
            "received": self.received,
            "rate_hz": f"{self.rate_hz:.1f}",
            "requested_qos": describe_qos(self._qos),
            "offered_qos": "; ".join(sorted({describe_qos(info.qos_profile) for info in publishers})),
        }
        if self._stamp_ns is not None:
            values["stamp_age_s"] = f"{(self._node.get_clock().now().nanoseconds - self._stamp_ns) / 1e9:.3f}"
        level, message = self._verdict(len(publishers), mismatches)
        return make_status(f"{self._node.get_name()}: input {self.topic}", level, message, values)

    def _verdict(self, publishers: int, mismatches: list[str]) -> tuple[bytes, str]:
        silent = DiagnosticStatus.ERROR if self.is_required else DiagnosticStatus.OK
        if mismatches:
            return DiagnosticStatus.ERROR, f"QoS of {self.topic} does not match: {mismatches[0]}"
        if publishers == 0:
            return silent, f"nobody publishes {self.topic}"
        if self.received == 0:
            return silent, f"nothing has arrived on {self.topic} from {publishers} publisher(s)"
        if self.silent_s > STALE_AFTER_S:
            return DiagnosticStatus.WARN, f"nothing has arrived on {self.topic} for {self.silent_s:.0f} s"
        return DiagnosticStatus.OK, f"{self.rate_hz:.1f} Hz"

    def _mismatch(self, offered: QoSProfile) -> str:
        compatibility, _ = qos_check_compatible(offered, self._qos)
        if compatibility != QoSCompatibility.ERROR:
            return ""
        return (
            f"offered {describe_qos(offered)}, requested {describe_qos(self._qos)}; set the parameter "
            f"qos_overrides.{self.topic}.subscription.reliability (or .durability)"
        )


class ErrorLog:
    """Logs errors, each kind at once and then seldom, and remembers the last one."""

    def __init__(self, node: Node) -> None:
        """Logs with the node's logger."""
        self._node = node
        self._lock = threading.Lock()
        self._logged_s: dict[str, float] = {}
        self.count = 0
        self.last = ""

    def report(self, error: ShowroomError) -> None:
        """Counts ``error``; logs it unless one with the same beginning was logged a moment ago."""
        text = str(error)
        with self._lock:
            self.count += 1
            self.last = text
        if self._is_new(text):
            self._node.get_logger().warning(text)

    def note(self, text: str) -> None:
        """Logs what is worth knowing but no error, unless the like of it was logged a moment ago."""
        if self._is_new(text):
            self._node.get_logger().info(text)

    def _is_new(self, text: str) -> bool:
        kind = _NUMBER.sub("", text.split(":")[0])
        now_s = time.monotonic()
        with self._lock:
            if now_s - self._logged_s.get(kind, -float("inf")) < _LOG_INTERVAL_S:
                return False
            if len(self._logged_s) > 100:
                self._logged_s.clear()
            self._logged_s[kind] = now_s
        return True


class Diagnostics:
    """Publishes the state of a node's inputs and counters at a fixed rate."""

    def __init__(self, node: Node, rate_hz: float, values: Callable[[], Mapping[str, Any]], errors: ErrorLog) -> None:
        """``values`` gives the node's own counters each time."""
        self._node, self._values, self._errors = node, values, errors
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._errors_reported = 0
        self._timer = node.create_timer(1.0 / rate_hz, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.inputs: list[InputMonitor] = []

    def publish(self) -> None:
        """Sends one array."""
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status = [monitor.status() for monitor in self.inputs]
        message.status.append(self._node_status())
        self._publisher.publish(message)

    def close(self) -> None:
        """Stops publishing."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def _node_status(self) -> DiagnosticStatus:
        new_errors = self._errors.count - self._errors_reported
        self._errors_reported = self._errors.count
        values = {**self._values(), "errors": self._errors.count, "memory_bytes": resident_bytes()}
        if self._errors.last:
            values["last_error"] = self._errors.last
        level = DiagnosticStatus.WARN if new_errors else DiagnosticStatus.OK
        return make_status(
            f"{self._node.get_name()}: state", level, self._errors.last if new_errors else "running", values
        )


def make_status(name: str, level: bytes, message: str, values: Mapping[str, Any]) -> DiagnosticStatus:
    """A status with its values as text."""
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, values=pairs)


def describe_qos(profile: QoSProfile) -> str:
    """Reliability and durability, in words."""
    return f"{profile.reliability.name} {profile.durability.name}".lower().replace("_", " ")


def resident_bytes() -> int:
    """Memory of this process in bytes; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError, ValueError):
        return 0
