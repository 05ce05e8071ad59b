"""A network small enough to break in every way, of its own kind."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from showroom_ros.networks.kind import NetworkKind


@dataclass(frozen=True)
class TinySettings:
    """Widths of the layers, and a few settings of other types."""

    widths: tuple[int, ...] = (4, 3)
    scales: tuple[float, float] = (1.0, 2.0)
    activation: str = "relu"
    bias: bool = True
    gain: float = 1.0


class TinyNet(nn.Module):
    """Linear layers with batch normalisation between them."""

    def __init__(self, settings: TinySettings) -> None:
        super().__init__()
        if min(settings.widths) < 1:
            raise ValueError(f"widths are {settings.widths}, expected at least 1")
        first, second = settings.widths
        self.layers = nn.Sequential(nn.Linear(2, first), nn.BatchNorm1d(first), nn.Linear(first, second))
        self.gain = settings.gain

    def forward(self, values: Tensor) -> Tensor:
        return self.gain * self.layers(values)


PRESETS = {"small": TinySettings(), "wide": TinySettings(widths=(16, 8))}
KIND = NetworkKind("tiny", 2, TinySettings, PRESETS, TinyNet)


def trained(settings: TinySettings, seed: int = 0) -> TinyNet:
    """A network whose weights and statistics are not the initial ones."""
    torch.manual_seed(seed)
    network = TinyNet(settings)
    network(torch.randn(32, 2))
    return network.eval()
