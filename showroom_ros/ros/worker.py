"""One thread that does all work on one thing (a map, a set of waiting frames), fed by a bounded queue.

Callbacks only ``submit``; services ``call``. Everything runs in the order it came, but for calls that go
ahead of what waits; nothing else needs a lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import Any, Generic, TypeVar, cast

from showroom_ros.errors import ShowroomError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Worker(Generic[Item]):
    """Runs ``handle(item)`` on its own thread; the oldest item is dropped when the queue is full.

    Attributes:
        received: items submitted.
        dropped: items dropped because the queue was full.
        failed: items whose handler raised a ``ShowroomError``.
    """

    def __init__(
        self,
        handle: Callable[[Item], None],
        *,
        queue_size: int,
        on_error: Callable[[ShowroomError], None],
        on_fatal: Callable[[BaseException], None],
        on_wake: Callable[[], None] | None = None,
        name: str = "worker",
    ) -> None:
        """Prepares the worker; ``start`` starts it.

        Args:
            handle: does the work of one item.
            queue_size: items that may wait.
            on_error: gets what a user can cause or cure; the worker goes on.
            on_fatal: gets anything else; the worker has stopped then.
            on_wake: runs once after ``wake``, however often that was called meanwhile.
            name: of the thread.
        """
        self._handle, self._on_error, self._on_fatal, self._on_wake = handle, on_error, on_fatal, on_wake
        self._queue_size = queue_size
        self._tasks: deque[tuple[str, Any]] = deque()
        self._ahead: deque[tuple[str, Any]] = deque()
        self._items_waiting = 0
        self._condition = threading.Condition()
        self._is_awake = False
        self._is_busy = False
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.received = self.dropped = self.failed = 0

    @property
    def waiting(self) -> int:
        """Items in the queue."""
        return self._items_waiting

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def submit(self, item: Item) -> None:
        """Queues ``item``; drops the oldest one when the queue is full."""
        with self._condition:
            if self._is_stopping:
                return
            self.received += 1
            if self._items_waiting >= self._queue_size:
                self._drop_oldest_item()
            self._tasks.append(("item", item))
            self._items_waiting += 1
            self._condition.notify()

    def call(self, function: Callable[[], Result], timeout_s: float | None = None, *, ahead: bool = False) -> Result:
        """Runs ``function`` after everything queued before it and returns its result (or raises its error).

        With ``ahead`` it runs as soon as the item at work is done, before all items that wait.

        Calls are never dropped. Must not be used on the worker's own thread.

        Raises:
            ShowroomError: the worker is stopped, or did not get to it within ``timeout_s``.
        """
        future: Future[Result] = Future()
        with self._condition:
            if self._is_stopping:
                raise ShowroomError(f"{self._thread.name} is stopped")
            (self._ahead if ahead else self._tasks).append(("call", (function, future)))
            self._condition.notify()
        try:
            return future.result(timeout_s)
        except FutureTimeoutError as error:
            if not future.cancel():
                return future.result()
            raise ShowroomError(f"{self._thread.name} was busy for longer than {timeout_s} s") from error

    def wake(self) -> None:
        """Lets ``on_wake`` run when the queue is empty, once for any number of calls."""
        with self._condition:
            self._is_awake = True
            self._condition.notify()

    def clear(self) -> None:
        """Forgets the waiting items (not calls); they count as dropped."""
        with self._condition:
            while self._items_waiting:
                self._drop_oldest_item()

    def wait_idle(self, timeout_s: float = 10.0) -> bool:
        """Waits until nothing is queued or running; returns whether that came true."""
        with self._condition:
            return self._condition.wait_for(
                lambda: not self._ahead and not self._tasks and not self._is_busy, timeout_s
            )

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Finishes the running item, forgets the rest, fails waiting calls; returns whether the thread ended."""
        with self._condition:
            self._is_stopping = True
            tasks = [*self._ahead, *self._tasks]
            self._ahead.clear()
            self._tasks.clear()
            self._items_waiting = 0
            self._condition.notify_all()
        for kind, task in tasks:
            if kind == "call" and task[1].set_running_or_notify_cancel():
                task[1].set_exception(ShowroomError(f"{self._thread.name} is stopped"))
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _drop_oldest_item(self) -> None:
        index = next(i for i, (kind, _) in enumerate(self._tasks) if kind == "item")
        del self._tasks[index]
        self._items_waiting -= 1
        self.dropped += 1

    def _run(self) -> None:
        try:
            while self._run_next():
                pass
        except BaseException as error:  # handed on: this thread has nobody above it
            self.stop()
            self._on_fatal(error)

    def _run_next(self) -> bool:
        with self._condition:
            self._is_busy = False
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._ahead or self._tasks or self._is_awake or self._is_stopping)
            if self._is_stopping:
                return False
            self._is_busy = True
            queue = self._ahead or self._tasks
            kind, task = queue.popleft() if queue else ("wake", None)
            self._items_waiting -= kind == "item"
            is_awake = self._is_awake and not self._ahead and not self._tasks
            self._is_awake = self._is_awake and not is_awake
        if kind == "call":
            self._run_call(*cast(tuple, task))
        elif kind == "item":
            self._guarded(partial(self._handle, cast(Item, task)))
        if is_awake and self._on_wake is not None:
            self._guarded(self._on_wake)
        return True

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except ShowroomError as error:
            self.failed += 1
            self._on_error(error)

    def _run_call(self, function: Callable[[], Result], future: Future[Result]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(function())
        except ShowroomError as error:
            future.set_exception(error)
        except BaseException as error:
            future.set_exception(ShowroomError(f"internal error: {error!r}"))
            raise
