"""Training as a file: all that the next step depends on, so that a resumed training equals one never interrupted."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from showroom_ros.errors import WeightsError
from showroom_ros.scene.output_file import atomic_output

FORMAT = 1


@dataclass
class Checkpoint:
    """The state of a training between two steps.

    Noise is no part of it: the generators are seeded anew in every step, by its number.

    Attributes:
        step: steps done.
        network: state dict.
        optimizer: state dict.
        averaged: state dict of the averaged weights; None = not averaged.
        scaler: state dict of the gradient scaler (empty without fp16).
        best_loss: lowest validation loss so far; None = not validated yet.
        best_step: steps done when it was reached.
        metrics: of the last validation.
        seconds: of training so far.
        identity: what must be equal to go on: network, version, preset, optimizer, data id.
        recipe: as ``plain_recipe`` gives it.
    """

    step: int
    network: dict[str, Any]
    optimizer: dict[str, Any]
    averaged: dict[str, Any] | None
    scaler: dict[str, Any]
    best_loss: float | None
    best_step: int
    metrics: dict[str, float]
    seconds: float
    identity: dict[str, Any]
    recipe: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    values = {item.name: getattr(checkpoint, item.name) for item in fields(checkpoint)}
    with atomic_output(path) as file:
        torch.save({"format": FORMAT, **values}, file)


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint, onto the CPU.

    Raises:
        WeightsError: no such file, broken, or no checkpoint of this version.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{path}: cannot be read as a checkpoint, broken or cut short: {reason}") from error
    known = {item.name for item in fields(Checkpoint)}
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT or set(content) != known:
        raise WeightsError(f"{path}: is no checkpoint of this version of the trainer")
    return Checkpoint(**content)


def check_identity(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Whether a training can go on from a checkpoint.

    Raises:
        WeightsError: it is of another network, preset or data; names what differs.
    """
    differing = [name for name in {**expected, **found} if found.get(name) != expected.get(name)]
    if differing:
        texts = [f"{name} is {found.get(name)!r}, expected {expected.get(name)!r}" for name in differing]
        raise WeightsError(f"{path}: belongs to another training: {'; '.join(texts)}")
