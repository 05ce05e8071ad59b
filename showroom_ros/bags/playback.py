"""The parts of a bag player that need no ROS: time, and messages read ahead of it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType

from showroom_ros.bags.reader import BagMessage, BagReader
from showroom_ros.errors import BagError, InputError

_POLL_S = 0.1


class BagClock:
    """Which time it is in the bag, as a function of the time on the wall.

    An absolute schedule: delays of single messages do not add up. All times are int ns; wall times are
    given by the caller.
    """

    def __init__(self, bag_ns: int, wall_ns: int, rate: float = 1.0) -> None:
        """Bag time ``bag_ns`` is at wall time ``wall_ns`` and runs ``rate`` times as fast.

        Raises:
            InputError: the rate is not positive.
        """
        if not 0 < rate < float("inf"):
            raise InputError(f"rate is {rate}, expected a positive number")
        self._rate = rate
        self._paused_ns: int | None = None
        self.jump(bag_ns, wall_ns)

    @property
    def is_paused(self) -> bool:
        """Whether bag time stands still."""
        return self._paused_ns is not None

    def jump(self, bag_ns: int, wall_ns: int) -> None:
        """From ``wall_ns`` on, time goes on at ``bag_ns``."""
        self._bag_ns, self._wall_ns = bag_ns, wall_ns
        if self._paused_ns is not None:
            self._paused_ns = wall_ns

    def bag_ns(self, wall_ns: int) -> int:
        """Bag time at ``wall_ns``."""
        now_ns = wall_ns if self._paused_ns is None else self._paused_ns
        return self._bag_ns + round((now_ns - self._wall_ns) * self._rate)

    def wall_ns(self, bag_ns: int) -> int:
        """When it will be ``bag_ns``, unless time is paused or jumps."""
        return self._wall_ns + round((bag_ns - self._bag_ns) / self._rate)

    def pause(self, wall_ns: int) -> None:
        """Stops bag time."""
        if self._paused_ns is None:
            self._paused_ns = wall_ns

    def resume(self, wall_ns: int) -> None:
        """Lets bag time go on where it stopped."""
        if self._paused_ns is not None:
            self._wall_ns += wall_ns - self._paused_ns
            self._paused_ns = None


class ReadAhead:
    """Reads the messages of a bag in a thread, a bounded number ahead; a context manager and iterable."""

    def __init__(
        self,
        path: Path,
        topics: Collection[str],
        start_ns: int,
        stop_ns: int | None,
        *,
        loop: bool = False,
        capacity: int = 128,
    ) -> None:
        """Reads ``topics`` recorded from ``start_ns`` to before ``stop_ns``; at most ``capacity`` messages wait.

        Args:
            path: the bag.
            topics: names of topics in it.
            start_ns: first time that is read.
            stop_ns: first time that is not read any more; None = to the end.
            loop: start again at the end, for ever.
            capacity: messages that may wait.
        """
        self._path, self._topics, self._start_ns, self._stop_ns = path, list(topics), start_ns, stop_ns
        self._loop = loop
        self._queue: queue.Queue[BagMessage | BagError | _End | None] = queue.Queue(capacity)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bag_reader", daemon=True)

    def __enter__(self) -> ReadAhead:
        """Starts reading."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops reading."""
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[BagMessage | None]:
        """The messages in order of recording; before the first of every pass comes None.

        Raises:
            BagError: the bag is damaged.
        """
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                return
            if isinstance(item, BagError):
                raise item
            yield item

    def _run(self) -> None:
        try:
            with BagReader(self._path) as bag:
                while self._read_pass(bag) and self._loop:
                    pass
            self._put(_End())
        except BagError as error:
            self._put(error)

    def _read_pass(self, bag: BagReader) -> bool:
        """Returns whether there was anything to read and nobody stopped it."""
        is_first = True
        for message in bag.raw_messages(self._topics, self._start_ns, self._stop_ns):
            if is_first and not self._put(None):
                return False
            if not self._put(message):
                return False
            is_first = False
        return not is_first

    def _put(self, item: BagMessage | BagError | _End | None) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
                return True
            except queue.Full:
                continue
        return False


class _End:
    """Nothing follows."""
