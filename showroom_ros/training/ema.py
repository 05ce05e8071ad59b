"""Weights averaged over the last steps of training: less noisy than the last ones (Polyak and Juditsky, 1992)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Exponential moving average of a network's parameters; buffers are the network's latest.

    Attributes:
        network: a copy of the network with the averaged weights, never trained itself.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Begins with the weights of ``network``.

        Args:
            network: being trained.
            decay: how much of the average stays in each step; less in the first ones, (1 + n) / (10 + n) at step n.
        """
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Moves the average towards ``network``, after its step number ``step``."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for average, latest in zip(self.network.parameters(), network.parameters(), strict=True):
            average.lerp_(latest, share)
        for kept, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)

    def state_dict(self) -> dict[str, Tensor]:
        """Of the averaged network."""
        return self.network.state_dict()
