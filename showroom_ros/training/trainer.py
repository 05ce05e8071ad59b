"""The one trainer of this package: any ``Task``, on a CPU, a GPU, or several by ``torchrun``."""

from __future__ import annotations

import itertools
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from showroom_ros.errors import ShowroomError, WeightsError
from showroom_ros.networks.weights import check_state, load_weights
from showroom_ros.scene.output_file import atomic_output
from showroom_ros.training.batches import batches
from showroom_ros.training.checkpoint import Checkpoint, check_identity, load_checkpoint, save_checkpoint
from showroom_ros.training.device import device_named, memory_advice
from showroom_ros.training.ema import AveragedWeights
from showroom_ros.training.export import card_of, export
from showroom_ros.training.optimization import Optimization
from showroom_ros.training.processes import Processes
from showroom_ros.training.progress import Progress, Silent
from showroom_ros.training.recipe import Recipe, plain_recipe
from showroom_ros.training.schedule import sample_numbers, step_seed
from showroom_ros.training.stopping import StopRequest
from showroom_ros.training.task import Batch, TaskKind
from showroom_ros.training.validation import Validation

_log = logging.getLogger(__name__)

LAST, BEST = "last.pt", "best.pt"
WEIGHTS, LAST_WEIGHTS = "weights.safetensors", "weights_last.safetensors"
RECIPE = "recipe.json"
FILES = (LAST, BEST, WEIGHTS, LAST_WEIGHTS, card_of(WEIGHTS), card_of(LAST_WEIGHTS), RECIPE)
"""What a training leaves behind, besides metrics and pictures."""


@dataclass(frozen=True)
class TrainingResult:
    """What became of a training.

    Attributes:
        steps: done, of all runs together.
        stopped: why it ended before the last step; empty = it did not.
        metrics: of the last validation; empty = none.
        best_loss: lowest validation loss; None = never validated.
    """

    steps: int
    stopped: str
    metrics: dict[str, float]
    best_loss: float | None


class Trainer:
    """A network in training.

    Whatever a step does depends on its number and on what a ``Checkpoint`` holds, on nothing else.
    """

    def __init__(
        self,
        kind: TaskKind,
        recipe: Recipe,
        out: Path,
        *,
        device: str = "auto",
        processes: Processes | None = None,
        command: str = "",
    ) -> None:
        """A training that has not begun: fresh weights by the recipe's seed.

        Args:
            kind: the task and its network.
            recipe: made by ``make_recipe`` for that kind.
            out: folder of checkpoints, weights, metrics and pictures.
            device: ``auto``, ``cpu`` or ``cuda``.
            processes: this one among those that train together; default: alone.
            command: told in the card of the weights.

        Raises:
            SettingsError: a device that is not there.
            ShowroomError: there is nothing to train on (whatever the task raises).
        """
        self.kind, self.recipe, self.out, self.command = kind, recipe, out, command
        self.processes = processes or Processes()
        self.device = device_named(device, self.processes.local_rank)
        self.task = kind.make(recipe.task, recipe.data, recipe.seed)
        self.samples = self.task.samples(False)
        validates = self.processes.leads and (recipe.validate_every or recipe.picture_every)
        self.validation = Validation(kind, recipe, self.task) if validates else None
        torch.manual_seed(recipe.seed)
        self.network: nn.Module = kind.network.build(recipe.network_settings).to(self.device)
        self.task.begin(self.network)
        self.step = 0
        self.seconds = 0.0
        self.best_loss: float | None = None
        self.best_step = 0
        self.metrics: dict[str, float] = {}
        self._begin()

    def _begin(self) -> None:
        """Optimizer and averages of the network as it is."""
        self.optimization = Optimization(self.network, self.recipe, self.device)
        decay = self.recipe.ema_decay
        self.averaged = AveragedWeights(self.network, decay) if decay else None

    @property
    def evaluated(self) -> nn.Module:
        """The network that is validated and exported: with averaged weights, where they are averaged."""
        return self.averaged.network if self.averaged else self.network

    def initialise(self, path: Path) -> None:
        """Begins with trained weights (fine-tuning).

        Raises:
            WeightsError: they cannot be used, or are of a network with other settings.
        """
        loaded = load_weights(path, self.kind.network)
        if loaded.settings != self.recipe.network_settings:
            raise WeightsError(
                f"{path}: the network's settings are {loaded.settings}, expected {self.recipe.network_settings} of "
                f"preset '{self.recipe.preset}'"
            )
        self.network.load_state_dict(loaded.network.state_dict())
        self._begin()

    def resume(self) -> bool:
        """Goes on from the last checkpoint in ``out``; False = there is none.

        Raises:
            WeightsError: it is broken, or of another network, preset or data.
        """
        path = self.out / LAST
        if not path.exists():
            return False
        checkpoint = load_checkpoint(path)
        check_identity(path, checkpoint.identity, self.identity())
        check_state(checkpoint.network, self.network.state_dict(), str(path))
        self._tell_differences(checkpoint)
        self.network.load_state_dict(checkpoint.network)
        self._begin()
        self.optimization.load_state_dict(checkpoint.optimizer, checkpoint.scaler)
        if self.averaged and checkpoint.averaged is not None:
            self.averaged.network.load_state_dict(checkpoint.averaged)
        self.step, self.seconds = checkpoint.step, checkpoint.seconds
        self.best_loss, self.best_step = checkpoint.best_loss, checkpoint.best_step
        self.metrics = checkpoint.metrics
        return True

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with; see ``Checkpoint``."""
        recipe = plain_recipe(self.recipe)
        return {
            "network": self.kind.network.name,
            "version": self.kind.network.version,
            "preset": recipe["preset"],
            "optimizer": recipe["optimizer"],
            "network settings": recipe["network_settings"],
            "data": self.samples.data_id,
        }

    def _tell_differences(self, checkpoint: Checkpoint) -> None:
        now = plain_recipe(self.recipe)
        for name, value in now.items():
            if checkpoint.recipe.get(name) != value:
                _log.warning("the recipe changed: %s was %s, is %s", name, checkpoint.recipe.get(name), value)

    def train(self, stop: StopRequest | None = None) -> TrainingResult:
        """Trains up to the recipe's last step, or until it is to stop; then and in between writes checkpoints.

        Raises:
            ShowroomError: loss or gradient is not finite, out of memory, samples that cannot be made, or files that
                cannot be written; the last checkpoint stays.
        """
        stop = stop or StopRequest()
        self.processes.join(self.device)
        self.processes.share_first(self.network)
        total = self.recipe.total_steps
        progress = self._progress()
        begun, before = time.monotonic(), self.seconds
        reason = ""
        try:
            with memory_advice(self.recipe), stop.on_signals():
                source = self._batches()
                while self.step < total and not reason:
                    self.train_step(source, progress)
                    self.seconds = before + time.monotonic() - begun
                    if self.processes.any(stop.wanted(), self.device):
                        reason = stop.reason or "another process was asked to stop"
                    self._after_step(progress, ending=bool(reason) or self.step == total)
        finally:
            progress.close()
            self.processes.leave()
        return TrainingResult(self.step, reason, self.metrics, self.best_loss)

    def _progress(self) -> Progress:
        """Prepares the folder, where this process leads."""
        if not self.processes.leads:
            return Silent()
        for name in (LAST, BEST, WEIGHTS, LAST_WEIGHTS):
            for rest in self.out.glob(f".{name}.*.part"):  # of a run that was killed while it wrote
                rest.unlink(missing_ok=True)
        with atomic_output(self.out / RECIPE) as file:
            file.write(json.dumps(plain_recipe(self.recipe), indent=2).encode() + b"\n")
        return Progress(self.out, self.step, self.recipe.total_steps)

    def _batches(self) -> Iterator[Batch]:
        """All batches from the present step on."""
        steps = range(self.step, self.recipe.total_steps)
        places = itertools.product(steps, range(self.recipe.accumulate))
        numbers = (self._numbers(step, micro) for step, micro in places)
        return batches(self.task, self.samples, numbers, self.device, self.recipe.workers)

    def _numbers(self, step: int, micro: int) -> list[int]:
        return sample_numbers(self.recipe, step, micro, self.processes.rank, self.processes.world)

    def train_step(self, source: Iterator[Batch], progress: Progress) -> None:
        """One step of the optimizer: accumulated, averaged over the processes, checked.

        Args:
            source: its ``recipe.accumulate`` batches, and those of the steps to come.
            progress: hears of it.

        Raises:
            ShowroomError: loss or gradient is not finite.
        """
        step, recipe = self.step, self.recipe
        self.network.train()
        self.task.prepare(self.network, step)
        parts: list[dict[str, Tensor]] = []
        for micro in range(recipe.accumulate):
            batch = next(source)
            torch.manual_seed(step_seed(recipe.seed, step, micro, self.processes.rank))
            with self.optimization.autocast():
                part = self.task.loss(self.network, batch, step)
            self.optimization.backward(part["loss"] / recipe.accumulate)
            parts.append({name: value.detach() for name, value in part.items()})
        means = {name: torch.stack([part[name].float() for part in parts]).mean() for name in parts[0]}
        self.processes.average_gradients(self.network.parameters())
        loss = float(self.processes.mean(means["loss"].clone()))
        norm = self.optimization.gradient_norm()
        self._check_finite(loss, norm)
        self.optimization.step(step)
        if self.averaged:
            self.averaged.update(self.network, step)
        self.step = step + 1
        progress.step(self.step)
        if self.step % recipe.log_every == 0 or self.step == recipe.total_steps:
            values = {name: float(self.processes.mean(value.clone())) for name, value in means.items()}
            rate = {"learning_rate": self.optimization.learning_rate, "gradient_norm": norm}
            progress.metrics(self.step, "train", {**values, **rate, "minutes": round(self.seconds / 60, 3)})

    def _check_finite(self, loss: float, norm: float) -> None:
        """Stops where training would only spread NaN; a skipped step of fp16 is none of that."""
        if math.isfinite(loss) and (math.isfinite(norm) or self.optimization.may_skip):
            return
        what = f"loss is {loss}" if not math.isfinite(loss) else f"norm of the gradient is {norm}"
        numbers = [self._numbers(self.step, micro) for micro in range(self.recipe.accumulate)]
        last = self.out / LAST
        kept = f"{last} holds the last good state" if last.exists() else "there is no checkpoint yet"
        raise ShowroomError(
            f"step {self.step}: {what}, samples {', '.join(map(str, itertools.chain(*numbers)))}; {kept}. "
            "Try a lower learning_rate, clip_norm, or amp none"
        )

    def _after_step(self, progress: Progress, *, ending: bool) -> None:
        """Validation, pictures and files after a step; all of them at the end of a run."""
        recipe, step = self.recipe, self.step
        if not self.processes.leads:
            return
        done = step == recipe.total_steps
        if recipe.validate_every and (step % recipe.validate_every == 0 or done):
            self._validate(progress)
        if recipe.picture_every and (step % recipe.picture_every == 0 or done):
            self._picture(progress)
        if ending or step % recipe.checkpoint_every == 0:
            save_checkpoint(self.out / LAST, self._checkpoint())
        if ending:
            self._export(LAST_WEIGHTS)
            if self.best_loss is None:
                self._export(WEIGHTS)

    def _validate(self, progress: Progress) -> None:
        """Validates; the best so far is kept."""
        assert self.validation is not None
        self.metrics = self.validation.means(self.evaluated, self.optimization, self.step, self.device)
        progress.metrics(self.step, "validation", self.metrics)
        loss = self.metrics["loss"]
        if not math.isfinite(loss):
            _log.warning("step %d: validation loss is %s", self.step, loss)
        elif self.best_loss is None or loss < self.best_loss:
            self.best_loss, self.best_step = loss, self.step
            save_checkpoint(self.out / BEST, self._checkpoint())
            self._export(WEIGHTS)

    @torch.no_grad()
    def _picture(self, progress: Progress) -> None:
        assert self.validation is not None
        batch = next(self.validation.batches(self.device))
        with self.optimization.autocast():
            progress.picture(self.step, self.task.picture(self.evaluated.eval(), batch))

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            step=self.step,
            network=self.network.state_dict(),
            optimizer=self.optimization.optimizer.state_dict(),
            averaged=self.averaged.state_dict() if self.averaged else None,
            scaler=self.optimization.scaler.state_dict(),
            best_loss=self.best_loss,
            best_step=self.best_step,
            metrics=self.metrics,
            seconds=self.seconds,
            identity=self.identity(),
            recipe=plain_recipe(self.recipe),
        )

    def _export(self, name: str) -> None:
        """Weights with their card."""
        export(
            self.out / name,
            self.kind.network,
            self.recipe,
            self.evaluated,
            data_id=self.samples.data_id,
            steps=self.step,
            metrics=self.metrics,
            seconds=self.seconds,
            device=self.device,
            processes=self.processes.world,
            command=self.command,
        )
