"""What the trainer needs to know of a network: its samples, its loss and a picture of what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from showroom_ros.networks.kind import NetworkKind

Batch = dict[str, Tensor]


class Samples(Protocol):
    """Training samples by number; a sample depends on its number alone, whoever asks and in whatever order."""

    data_id: str
    """What they are made of, short and stable: goes into checkpoints and model cards."""

    def __len__(self) -> int:
        """How many there are; training goes on with number 0 after the last."""
        ...

    def __getitem__(self, index: int) -> Batch:
        """Tensors of one sample, without a batch axis, on the CPU."""
        ...


class Task(Protocol):
    """Training of one kind of network; each task module ends with ``TASK = TaskKind(...)``."""

    def samples(self, validation: bool) -> Samples:
        """What to train on, or what to validate on (never the same rooms)."""
        ...

    def collate(self, samples: Sequence[Batch]) -> Batch:
        """Samples as one batch."""
        ...

    def begin(self, network: nn.Module) -> None:
        """Called once with fresh weights: puts trained parts in; weights given by ``--init`` come after that."""
        ...

    def prepare(self, network: nn.Module, step: int) -> None:
        """Called before every step (freeze parts, change phases); must be a function of ``step`` alone."""
        ...

    def loss(self, network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        """Scalars, means over the batch; ``"loss"`` is minimised, the others are reported.

        ``network`` may be wrapped (DDP, compiled): call it, do not reach into it.
        """
        ...

    def picture(self, network: nn.Module, batch: Batch) -> NDArray[np.uint8]:
        """What the network makes of a batch beside the truth, RGB uint8 [H, W, 3]."""
        ...


@dataclass(frozen=True)
class TaskKind:
    """How a task is made.

    Attributes:
        network: the kind of network it trains.
        settings: frozen dataclass: what the recipe's ``task`` section may set.
        make: ``make(settings, data, seed) -> Task``; ``data`` is what ``--data`` says (see ``training.scenes``).
    """

    network: NetworkKind
    settings: type
    make: Any
