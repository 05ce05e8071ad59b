"""From a loss to changed weights: optimizer, learning rate, mixed precision, clipping."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from showroom_ros.errors import ShowroomError
from showroom_ros.training.recipe import Recipe
from showroom_ros.training.schedule import learning_rate

_SKIPPED_IN_A_ROW = 100
"""So many steps without a finite gradient are no search for the scale any more."""


class Optimization:
    """The optimizer of a recipe.

    Attributes:
        learning_rate: of the last step.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, device: torch.device) -> None:
        """For all parameters; those that are frozen have no gradient and stay.

        Args:
            network: on ``device``.
            recipe: names optimizer, schedule, clipping, precision.
            device: where it computes.
        """
        self._network, self._recipe, self._device = network, recipe, device
        self.optimizer = _optimizer(network, recipe)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.amp == "fp16")
        self.learning_rate = 0.0
        self._skipped = 0

    @property
    def may_skip(self) -> bool:
        """Whether a gradient that is not finite means a step is skipped and the loss scaled down."""
        return self.scaler.is_enabled()

    def autocast(self) -> torch.autocast:
        """The context in which losses are computed."""
        dtype = torch.float16 if self._recipe.amp == "fp16" else torch.bfloat16
        return torch.autocast(self._device.type, dtype=dtype, enabled=self._recipe.amp != "none")

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of ``loss``.

        Raises:
            ShowroomError: the loss depends on no parameter.
        """
        if not loss.requires_grad:
            raise ShowroomError("the loss depends on no parameter of the network, nothing can be learned")
        self.scaler.scale(loss).backward()

    def gradient_norm(self) -> float:
        """Euclidean norm of the gradient, which is then clipped; to be called once before ``step``."""
        self.scaler.unscale_(self.optimizer)
        limit = self._recipe.clip_norm or math.inf
        return float(nn.utils.clip_grad_norm_(self._network.parameters(), limit))

    def step(self, number: int) -> None:
        """Changes the weights by the gradient, and forgets it.

        Raises:
            ShowroomError: fp16 found no scale at which gradients are finite.
        """
        self.learning_rate = learning_rate(self._recipe, number)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        before = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self._skipped = self._skipped + 1 if self.scaler.get_scale() < before else 0
        if self._skipped >= _SKIPPED_IN_A_ROW:
            raise ShowroomError(f"step {number}: no finite gradient in {self._skipped} steps of fp16; try amp bf16")
        self.optimizer.zero_grad(set_to_none=True)

    def load_state_dict(self, optimizer: dict[str, Any], scaler: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self.optimizer.load_state_dict(optimizer)
        if scaler and self.scaler.is_enabled():
            self.scaler.load_state_dict(scaler)


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Weight decay is for matrices and kernels, not for biases and norms."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[recipe.optimizer](groups, lr=recipe.learning_rate, betas=(0.9, recipe.adam_beta2))
