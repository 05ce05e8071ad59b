"""What ``reconstruction_node`` tells of itself: ``~/status``, and its counters in ``/diagnostics``."""

from __future__ import annotations

from collections import Counter, deque
from statistics import median
from typing import Any

from rclpy.node import Node

from showroom_ros.ros.conversions import stamp_from_ns
from showroom_ros.ros.interfaces import Status
from showroom_ros.ros.qos import map_qos
from showroom_ros.scene.mesh import MapUpdate

_COUNTED = ("received", "fused", "without_depth", "time_jumps", "evicted", "blocks", "bytes")
_RECENT = 100


class MapStatus:
    """Counts, times and the last note, and the topic that carries them.

    Attributes:
        counts: by name, since the node was configured.
        is_paused: whether views are ignored.
        stamp_ns: of the newest view dealt with.
        note: why the last view brought no depth, or little of it; "" where all is well.
        estimate_s, integrate_s, mesh_s: recent durations in seconds.
    """

    def __init__(self, node: Node, world_frame: str, max_bytes: int) -> None:
        """Creates the publisher.

        Args:
            node: owns the topic ``~/status``.
            world_frame: frame of the map.
            max_bytes: cap of the map's memory.
        """
        self._node, self._frame, self._max_bytes = node, world_frame, max_bytes
        self._publisher = node.create_publisher(Status, "~/status", map_qos())
        self.counts: Counter[str] = Counter(dict.fromkeys(_COUNTED, 0))
        self.is_paused, self.stamp_ns, self.note = False, 0, ""
        self.estimate_s: deque[float] = deque(maxlen=_RECENT)
        self.integrate_s: deque[float] = deque(maxlen=_RECENT)
        self.mesh_s: deque[float] = deque(maxlen=_RECENT)

    def note_view(self, update: MapUpdate, seconds: float, estimate_s: float) -> None:
        """Takes note of a view that was processed in ``seconds``, of which estimating took ``estimate_s``."""
        self.estimate_s.append(estimate_s)
        self.integrate_s.append(seconds - estimate_s)
        without_depth = bool(update.counters["views_without_depth"])
        self.counts["without_depth" if without_depth else "fused"] += 1
        self.counts["time_jumps"] += int(update.counters["time_jumps"])
        self.counts["evicted"] += int(update.counters["blocks_evicted"])
        self.stamp_ns, self.note = update.stamp_ns, update.note

    def diagnostic_values(self) -> dict[str, Any]:
        """Counters, and the note if there is one, for ``/diagnostics``."""
        return {**self.counts, **({"note": self.note} if self.note else {})}

    def publish(self, *, rejected: int, dropped: int, triangles: int, last_error: str) -> None:
        """Sends ``~/status``; the arguments are what others count."""
        counts = self.counts
        status = Status(
            paused=self.is_paused,
            views_received=counts["received"],
            views_fused=counts["fused"],
            views_without_depth=counts["without_depth"],
            views_rejected=rejected,
            views_dropped=dropped,
            triangles=triangles,
            blocks=counts["blocks"],
            blocks_evicted=counts["evicted"],
            map_bytes=counts["bytes"],
            map_max_bytes=self._max_bytes,
            estimate_ms=_median_ms(self.estimate_s),
            integrate_ms=_median_ms(self.integrate_s),
            mesh_update_ms=_median_ms(self.mesh_s),
            note=self.note,
            last_error=last_error,
        )
        status.header.stamp = stamp_from_ns(self.stamp_ns)
        status.header.frame_id = self._frame
        self._publisher.publish(status)

    def close(self) -> None:
        """Removes the publisher."""
        self._node.destroy_publisher(self._publisher)


def is_dealt_with(status: Status) -> bool:
    """Whether every view received was fused, found to tell no depth, rejected or dropped."""
    done = status.views_fused + status.views_without_depth + status.views_rejected + status.views_dropped
    return bool(done >= status.views_received)


def _median_ms(durations_s: deque[float]) -> float:
    return median(list(durations_s) or [0.0]) * 1e3
