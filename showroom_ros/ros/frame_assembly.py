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

    A colour image without a partner is dropped while depth arrives, and goes alone once colour has been
    arriving for ``sync.depth_timeout_s`` without any depth. Only times of arrival count: a worker that is
    late must not take queued depth for missing.
    """

    def __init__(self, settings: SyncSettings, *, use_depth: bool) -> None:
        """Nothing has arrived yet."""
        self._sync = ApproximateSync(2 if use_depth else 1, int(settings.slop_s * 1e9), settings.queue_size)
        self._use_depth, self._timeout_s = use_depth, settings.depth_timeout_s
        self._last_depth_s: float | None = None
        self._newest_s = 0.0

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
        self._newest_s = message.arrived_s
        if message.stream == DEPTH or self._last_depth_s is None:
            self._last_depth_s = message.arrived_s
        matched = self._sync.add(message.stream, message.stamp_ns, message)
        if matched is None:
            return None
        return RawFrame(matched[COLOR], matched[DEPTH] if self._use_depth else None)

    def take_unpaired(self) -> list[RawFrame]:
        """Frames without depth, when there has been none for the time-out."""
        if not self._use_depth or self._last_depth_s is None or self._newest_s - self._last_depth_s < self._timeout_s:
            return []
        return [RawFrame(color, None) for color in self._sync.take_older(COLOR, 2**63)]
