"""Colour and depth images of one instant, put together; colour alone where there is no depth."""

from __future__ import annotations

from dataclasses import dataclass

from showroom_ros.ros.image_stream import StreamMessage
from showroom_ros.ros.time_sync import ApproximateSync
from showroom_ros.settings import SyncSettings

COLOR, DEPTH = 0, 1


@dataclass(frozen=True, eq=False)
class RawFrame:
    """Serialised images that belong together."""

    color: StreamMessage
    depth: StreamMessage | None

    @property
    def arrived_s(self) -> float:
        """Monotonic time at which the frame was complete."""
        return self.color.arrived_s if self.depth is None else max(self.color.arrived_s, self.depth.arrived_s)


class FrameAssembler:
    """Pairs the two streams by stamp.

    A colour image without a partner is dropped while depth arrives, and goes alone once depth has
    been silent for ``sync.depth_timeout_s``.
    """

    def __init__(self, settings: SyncSettings, *, use_depth: bool, now_s: float) -> None:
        """``now_s`` is the monotonic time from which depth is waited for."""
        self._sync = ApproximateSync(2 if use_depth else 1, int(settings.slop_s * 1e9), settings.queue_size)
        self._use_depth, self._timeout_s = use_depth, settings.depth_timeout_s
        self._last_depth_s = now_s

    @property
    def jumps(self) -> int:
        """How often stamps went back by more than a second."""
        return self._sync.jumps

    @property
    def dropped(self) -> int:
        """Images that found no partner or came out of order."""
        return sum(self._sync.dropped)

    def add(self, message: StreamMessage) -> RawFrame | None:
        """Takes one image; returns the frame it completes."""
        if message.stream == DEPTH:
            self._last_depth_s = message.arrived_s
        matched = self._sync.add(message.stream, message.stamp_ns, message)
        if matched is None:
            return None
        return RawFrame(matched[COLOR], matched[DEPTH] if self._use_depth else None)

    def take_unpaired(self, now_s: float) -> list[RawFrame]:
        """Frames without depth, when there has been none for the time-out."""
        if not self._use_depth or now_s - self._last_depth_s < self._timeout_s:
            return []
        return [RawFrame(color, None) for color in self._sync.take_older(COLOR, 2**63)]
