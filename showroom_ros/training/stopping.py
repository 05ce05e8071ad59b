"""When a training ends before its last step: Ctrl-C, SIGTERM, or its time is up. The step at hand is finished."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class StopRequest:
    """Whether training is to end.

    Attributes:
        reason: why, as users read it; empty while it goes on.
    """

    def __init__(self, max_minutes: float | None = None) -> None:
        """Asks to stop after ``max_minutes`` from now; None: never by itself."""
        self.reason = ""
        self._deadline_s = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        self._minutes = max_minutes

    def wanted(self) -> bool:
        """Whether somebody asked to stop, or the time is up."""
        if not self.reason and self._deadline_s is not None and time.monotonic() >= self._deadline_s:
            self.reason = f"{self._minutes:g} minutes are over"
        return bool(self.reason)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Takes SIGINT and SIGTERM as requests while the block runs; a second one interrupts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            signal.signal(number, self._asked)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self.reason:
            raise KeyboardInterrupt
        self.reason = signal.Signals(number).name
