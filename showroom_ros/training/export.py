"""Trained weights with the card that says where they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from showroom_ros import __version__
from showroom_ros.installation import commit, cpu_name, usable_cores
from showroom_ros.networks.kind import NetworkKind
from showroom_ros.networks.weights import save_weights
from showroom_ros.scene.output_file import atomic_output
from showroom_ros.training.recipe import Recipe, plain_recipe


def card_of(weights: str) -> str:
    """Name of the card of a file of weights: ``card.json`` of ``weights.safetensors``."""
    return weights.replace("weights", "card").replace(".safetensors", ".json")


def export(
    path: Path,
    kind: NetworkKind,
    recipe: Recipe,
    network: nn.Module,
    *,
    data_id: str,
    steps: int,
    metrics: dict[str, float],
    seconds: float,
    device: torch.device,
    processes: int,
    command: str,
) -> None:
    """Writes weights to ``path`` and their card beside it.

    Args:
        path: of the weights; the card's name is ``card_of`` theirs.
        kind: of the network.
        recipe: it was trained by.
        network: its weights are written.
        data_id: of the training samples.
        steps: of the optimizer.
        metrics: of the last validation.
        seconds: of training.
        device: it was trained on.
        processes: that trained.
        command: that was typed.

    Raises:
        WeightsError: weights that are not finite.
        OutputError: the files cannot be written.
    """
    plain = plain_recipe(recipe)
    card: dict[str, Any] = {
        "network": kind.name,
        "version": kind.version,
        "preset": recipe.preset,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "data_id": data_id,
        "steps": steps,
        "seed": recipe.seed,
        "metrics": metrics,
        "recipe": plain,
        "command": command,
        "hours": round(seconds / 3600, 3),
        "processes": processes,
        "hardware": hardware(device),
        "package": __version__,
        "commit": commit() or "",
        "torch": torch.__version__,
    }
    told = {name: card[name] for name in ("data_id", "steps", "seed", "metrics", "command", "package", "commit")}
    told["task"] = plain["task"]  # what images it is used to
    save_weights(path, kind, recipe.network_settings, network.state_dict(), told)
    with atomic_output(path.with_name(card_of(path.name))) as file:
        file.write(json.dumps(card, indent=2).encode() + b"\n")


def hardware(device: torch.device) -> dict[str, Any]:
    """What trained: the GPU or the processor, and the cores this process may use."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return {"device": name, "cores": usable_cores()}
