"""The first thing to do with a new network or data set: can it learn one batch by heart?"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import torch

from showroom_ros.errors import ShowroomError
from showroom_ros.training.batches import batches
from showroom_ros.training.device import memory_advice
from showroom_ros.training.progress import Silent
from showroom_ros.training.recipe import Recipe
from showroom_ros.training.schedule import sample_numbers
from showroom_ros.training.task import Batch, TaskKind
from showroom_ros.training.trainer import Trainer


def overfit(
    kind: TaskKind, recipe: Recipe, steps: int, *, device: str = "auto", init: Path | None = None
) -> tuple[float, float]:
    """Trains on the first batch alone, at a constant learning rate; writes nothing.

    Args:
        kind: the task.
        recipe: of it.
        steps: of the optimizer.
        device: ``auto``, ``cpu`` or ``cuda``.
        init: weights to begin with.

    Returns:
        The loss before and after.

    Raises:
        ShowroomError: it did not fall, or whatever training raises.
    """
    plain = replace(recipe, accumulate=1, warmup_steps=0, schedule="constant", ema_decay=0.0)
    plain = replace(plain, steps=max(steps, recipe.steps), validate_every=0, picture_every=0)
    trainer = Trainer(kind, plain, Path(), device=device)
    if init is not None:
        trainer.initialise(init)
    with memory_advice(recipe):
        batch = next(batches(trainer.task, trainer.samples, [sample_numbers(plain, 0, 0)], trainer.device))
        before = _loss(trainer, batch)
        for _ in range(steps):
            trainer.train_step(itertools.repeat(batch), Silent())
        after = _loss(trainer, batch)
    if not after < before:
        raise ShowroomError(
            f"one batch, {steps} steps: the loss was {before:.6g} and is {after:.6g}, expected it to fall: look at "
            f"learning_rate ({recipe.learning_rate:g}), the task's loss and its targets"
        )
    return before, after


@torch.no_grad()
def _loss(trainer: Trainer, batch: Batch) -> float:
    """The loss as training computes it, always with the same noise."""
    trainer.network.train()
    trainer.task.prepare(trainer.network, 0)
    torch.manual_seed(trainer.recipe.seed)
    with trainer.optimization.autocast():
        return float(trainer.task.loss(trainer.network, batch, 0)["loss"])
