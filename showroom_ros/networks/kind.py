"""What every network file ends with: its name, its presets and how it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class NetworkKind:
    """A kind of network; each module of ``networks`` that defines one ends with ``KIND = NetworkKind(...)``.

    Attributes:
        name: as checkpoints, recipes and the command line name it.
        version: raised whenever weights made before no longer fit or would mean something else.
        settings: frozen dataclass of everything that shapes the network.
        presets: settings by name (``small``, ``base``...).
        build: the network of some settings, with fresh weights drawn from torch's generator.
    """

    name: str
    version: int
    settings: type
    presets: Mapping[str, Any]
    build: Callable[[Any], nn.Module]
