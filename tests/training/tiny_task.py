"""A task small enough to train in milliseconds: regression with dropout, samples that fail on demand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from showroom_ros.errors import DatasetError
from showroom_ros.networks.kind import NetworkKind
from showroom_ros.settings import setting
from showroom_ros.training.recipe import Recipe, make_recipe
from showroom_ros.training.task import Batch, TaskKind

TASKS = {"tiny": "tiny_task"}


@dataclass(frozen=True)
class TinyShape:
    """What shapes the network."""

    widths: tuple[int, int] = (3, 8)
    dropout: float = 0.2


class TinyNet(nn.Module):
    def __init__(self, shape: TinyShape) -> None:
        super().__init__()
        first, second = shape.widths
        self.layers = nn.Sequential(
            nn.Linear(first, second), nn.ReLU(), nn.Dropout(shape.dropout), nn.Linear(second, 1)
        )
        self.spare = nn.Parameter(torch.ones(2))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, values: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        return self.layers(values)[:, 0]


@dataclass(frozen=True)
class Trouble:
    """Sample numbers at which something goes wrong."""

    nan_at: int = -1
    broken_at: int = -1
    dead_at: int = -1


@dataclass(frozen=True)
class TinySettings:
    trouble: Trouble = field(default_factory=Trouble)
    count: int = setting(1000, "samples", minimum=0)
    delay_s: float = setting(0.0, "that a sample takes", minimum=0.0)
    useless: bool = setting(False, "whether the loss is the same whatever the network does")


class TinySamples:
    def __init__(self, settings: TinySettings, data: str, seed: int) -> None:
        self.settings, self.seed = settings, seed
        self.data_id = f"{data}, seed {seed}"
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.settings.count

    def __getitem__(self, index: int) -> Batch:
        self.asked.append(index)
        time.sleep(self.settings.delay_s)
        trouble = self.settings.trouble
        if index == trouble.broken_at:
            raise DatasetError("room 7 has no door")
        if index == trouble.dead_at:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)
        values = np.random.default_rng([self.seed, index]).normal(size=3)
        target = values @ (1.0, -2.0, 0.5) + (np.nan if index == trouble.nan_at else 0.0)
        return {"values": torch.tensor(values, dtype=torch.float32), "target": torch.tensor(target).float()}


class TinyTask:
    def __init__(self, settings: TinySettings, data: str, seed: int) -> None:
        self.settings, self.data, self.seed = settings, data, seed
        self.prepared: list[int] = []
        self.begun = 0

    def samples(self, validation: bool) -> TinySamples:
        return TinySamples(self.settings, self.data, self.seed + validation)

    def collate(self, samples: Sequence[Batch]) -> Batch:
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def begin(self, network: nn.Module) -> None:
        self.begun += 1

    def prepare(self, network: nn.Module, step: int) -> None:
        self.prepared.append(step)

    def loss(self, network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        error = network(batch["values"]) - batch["target"]
        loss = (error.detach() * 0 + 1).mean() + 0 * error.mean() if self.settings.useless else error.square().mean()
        return {"loss": loss, "absolute": error.abs().mean()}

    def picture(self, network: nn.Module, batch: Batch) -> NDArray[np.uint8]:
        grey = (network(batch["values"]).abs() * 50).clamp(0, 255).byte().cpu().numpy()
        return np.broadcast_to(grey[None, :, None], (4, len(grey), 3)).copy()


PRESETS = {"small": TinyShape(), "wide": TinyShape((3, 16)), "plain": TinyShape(dropout=0.0)}
KIND = NetworkKind("tiny", 1, TinyShape, PRESETS, TinyNet)
TASK = TaskKind(KIND, TinySettings, TinyTask)


def tiny_recipe(**values: object) -> Recipe:
    """A short training; ``values`` as a recipe file would set them, ``_`` in place of a dot doubled."""
    short: dict[str, object] = {
        "data": "numbers",
        "steps": 12,
        "batch": 4,
        "learning_rate": 0.01,
        "validate_every": 4,
        "validation_batches": 2,
        "checkpoint_every": 4,
        "log_every": 2,
    }
    return make_recipe(TASK, {"test": {**short, **{name.replace("__", "."): value for name, value in values.items()}}})
