"""Where geometry comes from, as arguments of subcommands and as a part of their reports."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from showroom_ros.errors import SettingsError, WeightsError
from showroom_ros.settings import Settings, override, setting_infos

NETWORK_OF = {"multi_view": "fast3r"}
"""Networks that are named otherwise than the method that needs them."""


def add_method_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds ``--method``, ``--model-file``, ``--device`` and ``--color-only``, which ``settings_from`` heeds."""
    choices = {info.name: info.choices for info in setting_infos()}
    parser.add_argument(
        "--method",
        choices=choices["reconstruction.method"],
        help="source of geometry: depth of a sensor, or predicted from posed images where no sensor measured",
    )
    parser.add_argument("--model-file", help="weights of the method's network; default: those shipped")
    parser.add_argument("--device", choices=choices["reconstruction.device"], help="where map and network live")
    parser.add_argument("--color-only", action="store_true", help="as if there were no depth sensor")


def with_method(settings: Settings, arguments: argparse.Namespace) -> Settings:
    """``settings`` with what ``add_method_arguments`` added, where the subcommand has these arguments.

    Raises:
        SettingsError: they contradict each other.
    """
    for name in ("method", "model_file", "device"):
        value = getattr(arguments, name, None)
        if value is not None:
            settings = override(settings, {f"reconstruction.{name}": value}, f"--{name.replace('_', '-')}")
    method, model_file = settings.reconstruction.method, getattr(arguments, "model_file", None)
    if model_file and method == "sensor_depth":
        raise SettingsError(f"--model-file is '{model_file}', but method {method} has no network; leave it out")
    if getattr(arguments, "color_only", False):
        if method == "sensor_depth":
            raise SettingsError(f"--color-only: method {method} needs depth, expected --method plane_sweep or another")
        settings = override(settings, {"keyframes.use_depth": False}, "--color-only")
    return settings


def method_report(settings: Settings) -> dict[str, Any]:
    """What a report says of the method: its name, and where it predicts, by which weights and above which confidence.

    Raises:
        WeightsError: the weights cannot be read.
    """
    chosen = settings.reconstruction
    if chosen.method == "sensor_depth":
        return {"method": chosen.method}
    weights = weights_file(settings)
    return {
        "method": chosen.method,
        "weights": None if weights is None else {"file": weights.name, "sha256": _sha256(weights)},
        "min_confidence": chosen.min_confidence,
        "depth_of_a_sensor": settings.keyframes.use_depth,
    }


def weights_file(settings: Settings) -> Path | None:
    """The file of weights that the settings lead to; None where there is no network.

    Raises:
        WeightsError: ``reconstruction.model_file`` is neither a file nor the name of shipped weights or of a public
            checkpoint of the user.
    """
    from showroom_ros.networks.manifest import models_folder, named_model, shipped_weights
    from showroom_ros.networks.public_checkpoints import named_checkpoint, weights_of

    chosen = settings.reconstruction
    if chosen.method == "sensor_depth" or chosen.model_file == "none":
        return None
    if chosen.model_file:
        path = weights_of(named_checkpoint(chosen.model_file) or Path(chosen.model_file))
        is_name = not path.exists() and path.suffix != ".safetensors" and len(path.parts) == 1
        return models_folder() / named_model(path.name, models_folder()).file if is_name else path
    try:
        return shipped_weights(NETWORK_OF.get(chosen.method, chosen.method))
    except WeightsError:
        if chosen.method == "plane_sweep":  # which goes without
            return None
        raise


def _sha256(path: Path) -> str:
    from showroom_ros.networks.manifest import sha256_of

    return sha256_of(path)
