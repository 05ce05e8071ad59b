"""Weights of networks in files: saved with their settings, loaded strictly.

A file is safetensors (never a pickle): the tensors of the state dict, and as strings the network's name and version,
its settings as JSON, and what its trainer tells of it (data id, steps, seed, command, commit...). Loading builds the
network from these settings; a file that is not whole, of another network or version, or holds other tensors than
the network has is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from showroom_ros.errors import InputError, SettingsError, WeightsError
from showroom_ros.networks.kind import NetworkKind
from showroom_ros.networks.manifest import check_sha256, models_folder, named_model, shipped_weights
from showroom_ros.networks.registry import network_kind
from showroom_ros.networks.safetensors_file import read_safetensors, write_safetensors
from showroom_ros.settings import override, to_dict

_HALF_MAX, _LISTED = 65504.0, 3


@dataclass(frozen=True)
class LoadedNetwork:
    """A trained network.

    Attributes:
        network: in eval mode, float32, on the device asked for.
        settings: what it was built from.
        metadata: of the file, strings: ``network``, ``version``, ``preset``, ``settings`` and what its trainer told.
        path: of the file.
    """

    network: nn.Module
    settings: Any
    metadata: dict[str, str]
    path: Path


def save_weights(
    path: str | Path,
    kind: NetworkKind,
    settings: Any,
    state_dict: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
    *,
    half: bool = True,
) -> None:
    """Writes the weights of a network, whole or not at all; the same weights give the same bytes.

    Args:
        path: the file, ``*.safetensors``.
        kind: of the network.
        settings: it was built from.
        state_dict: all its parameters and buffers.
        metadata: what else there is to tell; values that are no strings are written as JSON.
        half: parameters with two or more axes are stored as float16, but for those that do not fit. Biases and
            statistics are small and stay float32.

    Raises:
        WeightsError: a tensor is not finite.
        OutputError: the file cannot be written.
    """
    for name, tensor in state_dict.items():
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{path}: not written: tensor '{name}' holds values that are not finite")
    told = {
        **metadata,
        "network": kind.name,
        "version": str(kind.version),
        "preset": next((name for name, preset in kind.presets.items() if preset == settings), ""),
        "settings": to_dict(settings),
    }
    strings = {name: value if isinstance(value, str) else json.dumps(value) for name, value in sorted(told.items())}
    write_safetensors(path, {name: _stored(tensor, half) for name, tensor in state_dict.items()}, strings)


def load_weights(
    path_or_name: str | Path,
    network: str | NetworkKind,
    device: str = "cpu",
    models: Path | None = None,
) -> LoadedNetwork:
    """The network whose weights a file holds.

    Args:
        path_or_name: a file; or the name of weights that come with the package; empty = their default.
        network: name or kind of the network the file is to be of.
        device: where the network goes, as torch names it.
        models: folder of the manifest; default: ``manifest.models_folder()``.

    Raises:
        WeightsError: no such file, broken, cut short, of another network, version or settings, with missing,
            unexpected, misshapen or non-finite tensors, or not the file the manifest means.
        SettingsError: an unknown network, or a device that is not there.
    """
    kind = network if isinstance(network, NetworkKind) else network_kind(network)
    path = _find(path_or_name, kind, models)
    check_sha256(path, models)
    return read_weights(path, kind, device)


def read_weights(path: str | Path, kind: NetworkKind, device: str = "cpu") -> LoadedNetwork:
    """As ``load_weights``, of a file whatever the manifest says of it.

    Raises:
        WeightsError, SettingsError: as ``load_weights``.
    """
    path = Path(path)
    tensors, metadata = read_safetensors(path)
    settings = _settings_of(path, kind, metadata)
    with torch.random.fork_rng(devices=[]):  # fresh weights are drawn only to be replaced
        try:
            built = kind.build(settings)
        except (ValueError, RuntimeError, InputError) as error:
            raise WeightsError(f"{path}: no '{kind.name}' can be built from its settings: {error}") from error
    check_state(tensors, built.state_dict(), str(path))
    built.load_state_dict(tensors)
    return LoadedNetwork(_on_device(built.eval(), device), settings, metadata, path)


def check_state(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> None:
    """Whether a state dict is one a network can take; precision may differ, nothing else.

    Raises:
        WeightsError: missing or unexpected tensors, another shape or kind of number, values that are not finite.
    """
    if missing := [name for name in expected if name not in found]:
        raise WeightsError(f"{source}: lacks {_listed(missing)} of the {len(expected)} tensors of the network")
    if extra := [name for name in found if name not in expected]:
        raise WeightsError(
            f"{source}: holds {_listed(extra)}, expected only the {len(expected)} tensors of the network"
        )
    for name, tensor in found.items():
        wanted = expected[name]
        if tensor.shape != wanted.shape:
            raise WeightsError(f"{source}: '{name}' is {tuple(tensor.shape)}, expected {tuple(wanted.shape)}")
        if tensor.is_floating_point() != wanted.is_floating_point():
            raise WeightsError(f"{source}: '{name}' is {tensor.dtype}, expected {wanted.dtype}")
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{source}: '{name}' holds values that are not finite")


def _stored(tensor: Tensor, half: bool) -> Tensor:
    if half and tensor.dtype == torch.float32 and tensor.ndim >= 2:
        return tensor.half() if not tensor.numel() or float(tensor.abs().max()) <= _HALF_MAX else tensor
    return tensor


def _find(path_or_name: str | Path, kind: NetworkKind, models: Path | None) -> Path:
    if path_or_name == "":
        return shipped_weights(kind.name, folder=models)
    path = Path(path_or_name)
    # a bare word may be a name of the manifest; anything that looks like a path is one
    if path.exists() or path.suffix == ".safetensors" or len(path.parts) != 1:
        return path
    folder = models or models_folder()
    return folder / named_model(path.name, folder).file


def _settings_of(path: Path, kind: NetworkKind, metadata: Mapping[str, str]) -> Any:
    """Settings the file's network was built from, after checking that it is one of ``kind``."""
    name, version = metadata.get("network"), metadata.get("version")
    if name != kind.name:
        found = f"of the network '{name}'" if name else "not of a network of this package"
        raise WeightsError(f"{path}: weights are {found}, expected '{kind.name}'")
    if version != str(kind.version):
        raise WeightsError(
            f"{path}: weights are of version {version} of '{kind.name}', expected {kind.version}: train again, or use "
            f"the release they were made with"
        )
    try:
        values = json.loads(metadata["settings"])
        if not isinstance(values, dict):
            raise SettingsError(f"{path}: its settings are {values!r:.80}, expected a mapping")
        return override(kind.settings(), values, f"{path}: settings")
    except KeyError as error:
        raise WeightsError(f"{path}: its metadata lacks {error}, expected the settings of '{kind.name}'") from error
    except json.JSONDecodeError as error:
        raise WeightsError(f"{path}: its settings are not JSON: {error}") from error
    except SettingsError as error:
        raise WeightsError(str(error)) from error


def _on_device(network: nn.Module, device: str) -> nn.Module:
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise SettingsError(f"device '{device}': unknown, expected cpu or cuda") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device '{device}': torch {torch.__version__} finds no CUDA device, expected cpu here")
    return network.to(place)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(f"'{name}'" for name in names[:_LISTED]) + more
