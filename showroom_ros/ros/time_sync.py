"""Finding messages of several streams that were taken at the same time, by their stamps.

The approximate rule of ``message_filters`` (its Python version: a set is given out as soon as one of
each stream lies within ``slop``), with bounded queues, counted drops and a reset when time goes back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from showroom_ros.geometry.transform_tree import JUMP_BACK_NS


class ApproximateSync:
    """Matches the messages of ``streams`` streams whose stamps lie within ``slop_ns``.

    Stamps of one stream must not go backwards by less than a time jump; those that do are dropped.

    Attributes:
        dropped: per stream, messages that left without a partner or came out of order.
        jumps: how often time went backwards.
    """

    def __init__(self, streams: int, slop_ns: int, queue_size: int) -> None:
        """Makes empty queues of at most ``queue_size`` messages each."""
        self._queues: list[deque[tuple[int, Any]]] = [deque() for _ in range(streams)]
        self._newest_ns: list[int | None] = [None] * streams
        self._slop_ns, self._queue_size = slop_ns, queue_size
        self.dropped = [0] * streams
        self.jumps = 0

    def add(self, stream: int, stamp_ns: int, message: Any) -> tuple[Any, ...] | None:
        """Takes one message; returns one of each stream if that completes a set.

        The partners are the nearest in time; what is older than they are can find no partner any more
        and is dropped.
        """
        if not self._is_in_order(stream, stamp_ns):
            self.dropped[stream] += 1
            return None
        queue = self._queues[stream]
        queue.append((stamp_ns, message))
        if len(queue) > self._queue_size:
            queue.popleft()
            self.dropped[stream] += 1
        indices = self._partners(stream, stamp_ns)
        return None if indices is None else self._take(indices)

    def take_older(self, stream: int, stamp_ns: int) -> list[Any]:
        """Removes and returns the messages of ``stream`` up to ``stamp_ns``, to be used without partners."""
        queue, taken = self._queues[stream], []
        while queue and queue[0][0] <= stamp_ns:
            taken.append(queue.popleft()[1])
        return taken

    def waiting(self, stream: int) -> int:
        """Messages of ``stream`` that wait for partners."""
        return len(self._queues[stream])

    def clear(self) -> None:
        """Forgets all messages and stamps."""
        for stream, queue in enumerate(self._queues):
            self.dropped[stream] += len(queue)
            queue.clear()
            self._newest_ns[stream] = None

    def _is_in_order(self, stream: int, stamp_ns: int) -> bool:
        newest_ns = self._newest_ns[stream]
        if newest_ns is not None and stamp_ns < newest_ns:
            if newest_ns - stamp_ns < JUMP_BACK_NS:
                return False
            self.jumps += 1
            self._forget_future(stamp_ns)
        self._newest_ns[stream] = stamp_ns
        return True

    def _forget_future(self, stamp_ns: int) -> None:
        """Drops what is of the time before the jump; another stream may have jumped already."""
        for stream, queue in enumerate(self._queues):
            newest_ns = self._newest_ns[stream]
            if newest_ns is not None and newest_ns - stamp_ns >= JUMP_BACK_NS:
                self.dropped[stream] += len(queue)
                queue.clear()
                self._newest_ns[stream] = None

    def _partners(self, stream: int, stamp_ns: int) -> list[int] | None:
        """Index of the nearest message in each queue, or None if one queue has none within the slop."""
        indices = []
        for other, queue in enumerate(self._queues):
            if other == stream:
                indices.append(len(queue) - 1)
                continue
            nearest = min(range(len(queue)), key=lambda i: abs(queue[i][0] - stamp_ns), default=None)
            if nearest is None or abs(queue[nearest][0] - stamp_ns) > self._slop_ns:
                return None
            indices.append(nearest)
        stamps = [queue[index][0] for queue, index in zip(self._queues, indices, strict=True)]
        return indices if max(stamps) - min(stamps) <= self._slop_ns else None

    def _take(self, indices: Sequence[int]) -> tuple[Any, ...]:
        matched = []
        for stream, index in enumerate(indices):
            queue = self._queues[stream]
            for _ in range(index):
                queue.popleft()
            self.dropped[stream] += index
            matched.append(queue.popleft()[1])
        return tuple(matched)
