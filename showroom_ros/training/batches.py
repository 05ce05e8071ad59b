"""Batches of a training in their order, made by worker processes; the same whatever the number of workers."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from showroom_ros.errors import ShowroomError
from showroom_ros.training.task import Batch, Samples, Task


@dataclass(frozen=True)
class _Failed:
    """A sample that could not be made; errors travel from workers as values, for the message to stay whole."""

    number: int
    error: type[ShowroomError]
    message: str


class _ByNumber(Dataset[Any]):
    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __getitem__(self, number: int) -> Batch | _Failed:
        try:
            return self._samples[number % len(self._samples)]
        except ShowroomError as error:
            return _Failed(number, type(error), str(error))


class _Collate:
    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self, samples: Sequence[Batch | _Failed]) -> Batch | _Failed:
        failed = next((sample for sample in samples if isinstance(sample, _Failed)), None)
        return failed or self._task.collate([sample for sample in samples if not isinstance(sample, _Failed)])


def batches(
    task: Task, samples: Samples, numbers: Iterable[list[int]], device: torch.device, workers: int = 0
) -> Iterator[Batch]:
    """Batches of the given sample numbers, in that order, on ``device``.

    Args:
        task: collates.
        samples: numbers beyond their length begin anew.
        numbers: those of each batch; taken as training goes.
        device: where batches go.
        workers: processes that make samples; 0 = this one.

    Raises:
        ShowroomError: a sample cannot be made; names its number.
    """
    loader = DataLoader(
        _ByNumber(samples),
        batch_sampler=numbers,  # type: ignore[arg-type]  # any iterable of lists will do
        num_workers=workers,
        collate_fn=_Collate(task),
        pin_memory=device.type == "cuda",
        worker_init_fn=_outlive_signals,
    )
    source = iter(loader)
    while (batch := _next(source, workers)) is not None:
        if isinstance(batch, _Failed):
            raise batch.error(f"sample {batch.number}: {batch.message}")
        yield {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def _next(source: Iterator[Batch | _Failed], workers: int) -> Batch | _Failed | None:
    """The next batch, None after the last."""
    try:
        return next(source, None)
    except (RuntimeError, ConnectionError, EOFError, FileNotFoundError) as error:
        # what a worker raised says "Caught ..."; one that dies while its tensors are fetched breaks the connection
        told = "DataLoader worker" in str(error) if isinstance(error, RuntimeError) else "Caught" not in str(error)
        if not workers or not told:
            raise
        raise ShowroomError(
            f"a process that makes samples died, perhaps for lack of memory (then fewer workers will do): {error}"
        ) from error


def _outlive_signals(worker: int) -> None:
    """Ctrl-C reaches workers too; the trainer decides when they end, for the step at hand needs its batch."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
