"""How a network is trained, as a typed recipe: ``config/recipes/*.yaml``, overridden by the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from showroom_ros.errors import SettingsError
from showroom_ros.networks.registry import preset_settings
from showroom_ros.settings import override, read_yaml, setting, to_dict
from showroom_ros.training.task import TaskKind

PRESET = "small"
"""Trained where neither the recipe nor the command line names another."""


@dataclass(frozen=True)
class SecondPhase:
    """A second part of training, with batch and learning rate of its own and no warm-up."""

    steps: int = setting(0, "optimizer steps after those of the first; 0 = there is no second", minimum=0)
    batch: int = setting(0, "samples of a batch on each process; 0 = as in the first", minimum=0)
    learning_rate: float = setting(1e-4, "at its beginning", minimum=0.0, maximum=10.0)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out of a training, besides the code."""

    network: str = setting("", "kind of network")
    preset: str = setting(PRESET, "its size")
    data: str = setting("synthetic:train", "what to train on, see training.scenes")
    validation_data: str = setting("", "what to validate on, all of it; empty = what `data` holds back")
    steps: int = setting(10_000, "optimizer steps of the first phase", minimum=1)
    batch: int = setting(4, "samples of a batch on each process", minimum=1)
    accumulate: int = setting(1, "batches whose gradients make one step", minimum=1)
    optimizer: str = setting("adamw", "Adam couples weight decay and gradient", choices=("adam", "adamw", "sgd"))
    learning_rate: float = setting(3e-4, "after warm-up", minimum=0.0, maximum=10.0)
    adam_beta2: float = setting(0.999, "of adam and adamw, whose first is 0.9", minimum=0.0, maximum=0.999999)
    weight_decay: float = setting(0.0, "of tensors with two or more axes", minimum=0.0, maximum=10.0)
    warmup_steps: int = setting(0, "steps in which the learning rate rises linearly", minimum=0)
    schedule: str = setting("constant", "how it falls within a phase", choices=("constant", "cosine", "linear"))
    final_fraction: float = setting(0.01, "of the learning rate, left at the end", minimum=0.0, maximum=1.0)
    second: SecondPhase = field(default_factory=SecondPhase)
    ema_decay: float = setting(0.0, "weights are averaged over about 1 / (1 - this) steps; 0 = off", minimum=0.0, maximum=0.999999)  # fmt: skip  # noqa: E501
    clip_norm: float = setting(0.0, "longer gradients are shortened to this; 0 = off", minimum=0.0)
    amp: str = setting("none", "mixed precision", choices=("none", "bf16", "fp16"))
    seed: int = setting(0, "of fresh weights, samples and noise", minimum=0, maximum=2**31 - 1)
    workers: int = setting(0, "processes that make samples; 0 = this one", minimum=0, maximum=1024)
    log_every: int = setting(20, "steps", minimum=1)
    validate_every: int = setting(500, "steps; 0 = never", minimum=0)
    validation_batches: int = setting(16, "at most so many batches each time", minimum=1)
    checkpoint_every: int = setting(500, "steps", minimum=1)
    picture_every: int = setting(0, "steps; 0 = never", minimum=0)
    task: Any = None
    network_settings: Any = None

    @property
    def total_steps(self) -> int:
        """Of both phases."""
        return self.steps + self.second.steps


def read_recipe(path: str | Path) -> dict[str, Any]:
    """What a recipe file (``*.json``, else YAML) sets.

    Raises:
        SettingsError: it cannot be read, or holds no mapping.
        MissingDependencyError: it is YAML and PyYAML is not installed.
    """
    path = Path(path)
    if path.suffix != ".json":
        return read_yaml(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: holds a {type(content).__name__}, expected a mapping of settings")
    return content


def make_recipe(kind: TaskKind, layers: Mapping[str, Mapping[str, Any]]) -> Recipe:
    """Defaults, the preset's network and the task's settings, overridden layer by layer.

    Args:
        kind: the task; ``network`` of every layer, where given, must be its network's.
        layers: source (as errors name it) -> values, nested or dotted; the later wins.

    Raises:
        SettingsError: unknown preset or key, wrong type, value out of range, another network.
    """
    preset = PRESET
    for source, values in layers.items():
        network = values.get("network", kind.network.name)
        if network != kind.network.name:
            raise SettingsError(f"{source}: is for the network '{network}', expected '{kind.network.name}'")
        preset = values.get("preset", preset)
    recipe = Recipe(
        network=kind.network.name,
        preset=preset,
        task=kind.settings(),
        network_settings=preset_settings(kind.network, preset),
    )
    for source, values in layers.items():
        recipe = override(recipe, {name: value for name, value in values.items() if name != "preset"}, source)
    return recipe


def plain_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested plain values; ``read_recipe`` of its JSON gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(to_dict(recipe)))
    return plain
