"""How much memory something takes."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

_PERIOD_S = 0.02


class PeakMemory:
    """Samples the memory of this process while the block runs."""

    def __init__(self, device: str) -> None:
        """Of the process, and of the GPU where ``device`` is one."""
        self._cuda = device.startswith("cuda")
        self._process, self._done = psutil.Process(), threading.Event()
        self._before = self._peak = 0
        self.device_mib: float | None = None

    @property
    def grown_mib(self) -> float:
        """Peak above what the process had before."""
        return (self._peak - self._before) / 2**20

    def __enter__(self) -> PeakMemory:
        """Starts."""
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()
        self._before = self._peak = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends."""
        self._done.set()
        self._thread.join()
        self._look()
        if self._cuda:
            import torch

            self.device_mib = torch.cuda.max_memory_allocated() / 2**20

    def _look(self) -> None:
        self._peak = max(self._peak, self._process.memory_info().rss)

    def _sample(self) -> None:
        while not self._done.wait(_PERIOD_S):
            self._look()
