"""What a network in training makes of samples it does not learn from."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from showroom_ros.errors import DatasetError
from showroom_ros.training.batches import batches
from showroom_ros.training.optimization import Optimization
from showroom_ros.training.recipe import Recipe
from showroom_ros.training.scenes import ALL
from showroom_ros.training.schedule import step_seed
from showroom_ros.training.task import Batch, Task, TaskKind


class Validation:
    """The first samples to validate on, the same every time."""

    def __init__(self, kind: TaskKind, recipe: Recipe, task: Task) -> None:
        """Opens them, so that what is missing is known before training.

        Args:
            kind: makes another task where the recipe names other data to validate on.
            recipe: says which and how many.
            task: trains.

        Raises:
            DatasetError: there are none.
        """
        if recipe.validation_data:
            task = kind.make(recipe.task, ALL + recipe.validation_data.removeprefix(ALL), recipe.seed)
        self._task, self._recipe = task, recipe
        self._samples = task.samples(True)
        if not len(self._samples):
            raise DatasetError(f"{recipe.validation_data or recipe.data}: no samples to validate on")

    def batches(self, device: torch.device) -> Iterator[Batch]:
        """At most ``validation_batches`` of them."""
        size = self._recipe.batch
        count = min(len(self._samples), self._recipe.validation_batches * size)
        numbers = [list(range(first, min(first + size, count))) for first in range(0, count, size)]
        return batches(self._task, self._samples, numbers, device, min(self._recipe.workers, len(numbers)))

    @torch.no_grad()
    def means(
        self, network: nn.Module, optimization: Optimization, step: int, device: torch.device
    ) -> dict[str, float]:
        """Means of the task's losses over the samples, of ``network`` in eval mode after ``step`` steps."""
        network.eval()
        sums: dict[str, float] = {}
        count = 0
        for number, batch in enumerate(self.batches(device)):
            torch.manual_seed(step_seed(self._recipe.seed, 0, number))
            with optimization.autocast():
                parts = self._task.loss(network, batch, step)
            size = len(next(iter(batch.values())))
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + size * float(value)
            count += size
        return {name: value / count for name, value in sums.items()}
