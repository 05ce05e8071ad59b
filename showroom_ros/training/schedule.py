"""What a step of training is: its phase, learning rate, sample numbers and noise. Functions of its number alone."""

from __future__ import annotations

import math

import numpy as np

from showroom_ros.training.recipe import Recipe


def batch_of(recipe: Recipe, step: int) -> int:
    """Samples of a batch on each process."""
    return recipe.second.batch or recipe.batch if step >= recipe.steps else recipe.batch


def learning_rate(recipe: Recipe, step: int) -> float:
    """Learning rate of a step: linear warm-up, then the schedule of its phase."""
    if step >= recipe.steps:
        return recipe.second.learning_rate * _decay(recipe, step - recipe.steps, recipe.second.steps)
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    return recipe.learning_rate * _decay(recipe, step - recipe.warmup_steps, recipe.steps - recipe.warmup_steps)


def _decay(recipe: Recipe, step: int, steps: int) -> float:
    """1 at the beginning of ``steps``, ``final_fraction`` at their end, or 1 throughout."""
    if recipe.schedule == "constant":
        return 1.0
    done = min(step / max(steps - 1, 1), 1.0)
    left = (1 + math.cos(math.pi * done)) / 2 if recipe.schedule == "cosine" else 1 - done
    return recipe.final_fraction + (1 - recipe.final_fraction) * left


def sample_numbers(recipe: Recipe, step: int, micro: int, rank: int = 0, world: int = 1) -> list[int]:
    """Numbers of the samples of one batch, never the same twice in a training.

    Within a phase: ((step * accumulate + micro) * world + rank) * batch + item. So a training can go on at any step,
    and ``world`` processes take what one process with ``world`` times the batch would.

    Args:
        recipe: of the training.
        step: of the optimizer, from 0.
        micro: number of the batch within the step, below ``recipe.accumulate``.
        rank: of this process.
        world: processes.
    """
    batch = batch_of(recipe, step)
    begin = recipe.steps if step >= recipe.steps else 0  # of the phase
    before = begin * recipe.accumulate * world * recipe.batch
    first = before + (((step - begin) * recipe.accumulate + micro) * world + rank) * batch
    return list(range(first, first + batch))


def step_seed(seed: int, step: int, micro: int = 0, rank: int = 0) -> int:
    """Seed of whatever a batch draws besides its samples (dropout), 63 bits."""
    return int(np.random.SeedSequence([seed, step, micro, rank]).generate_state(1, np.uint64)[0] >> np.uint64(1))
