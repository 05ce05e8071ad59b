"""Published checkpoints of ``fast3r`` and those of its training code, brought by their users.

Their code and weights are non-commercial and never come with this package. What is read: the hub's folder
(``config.json``, ``model.safetensors``) or the file alone, and Lightning checkpoints (``state_dict`` with the prefix
``net.``). Nothing in a file is run: pickles are read as weights only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from showroom_ros.errors import InputError, WeightsError
from showroom_ros.networks.fast3r import Fast3r
from showroom_ros.networks.fast3r_settings import Fast3rSettings
from showroom_ros.networks.safetensors_file import read_metadata, read_safetensors
from showroom_ros.networks.transformer import sine_table
from showroom_ros.networks.weights import check_state

_PICKLES = (".ckpt", ".pt", ".pth")
_HEAD_WIDTH = 64
"""Width of each attention head in all published sizes."""
_LIGHTNING_PREFIX = "net."
_LIGHTNING_COUNTERS = ("epoch_fraction", "train_total_samples", "train_total_images")
_ALIAS = re.compile(r"(.*\.scratch)\.layer_rn\.([0-3])\.weight")
"""Second name of ``layer{1..4}_rn.weight``: in memory the published network has 720 names for 712 tensors."""


def is_published(path: Path) -> bool:
    """Whether a path is such a checkpoint rather than weights saved by this package."""
    if path.is_dir() or path.suffix in _PICKLES:
        return True
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    return "network" not in read_metadata(path)


def load_published(path: Path) -> Fast3r:
    """The network of a checkpoint, float32 on the CPU, of the size its tensors have.

    Args:
        path: folder with ``model.safetensors``, that file, or a Lightning checkpoint.

    Raises:
        WeightsError: no such file, broken, a pickle that holds more than tensors, or tensors that are missing,
            unknown or of a wrong shape.
    """
    tensors = without_aliases(_read(path), str(path))
    settings = settings_of(tensors, str(path))
    try:
        with torch.device("meta"):
            network = Fast3r(settings)
    except InputError as error:
        raise WeightsError(f"{path}: its tensors are of no such network: {error}") from error
    check_state(tensors, network.state_dict(), str(path))
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    network.decoder.table = sine_table(settings.view_ids, settings.decoder_width)
    return network.eval()


def settings_of(tensors: Mapping[str, Tensor], source: str) -> Fast3rSettings:
    """The settings a state dict's shapes tell.

    Raises:
        WeightsError: names a tensor without which it is no checkpoint of this network.
    """

    def shape(name: str) -> tuple[int, ...]:
        if name not in tensors:
            raise WeightsError(f"{source}: lacks '{name}', expected a checkpoint of fast3r")
        return tuple(tensors[name].shape)

    head = "downstream_head.dpt"
    width, _, patch, _ = shape("encoder.patch_embed.proj.weight")
    decoder_width = shape("decoder.decoder_embed.weight")[0]
    channels = [shape(f"{head}.scratch.layer{number}_rn.weight")[1] for number in (1, 2, 3, 4)]
    return Fast3rSettings(
        patch=patch,
        encoder_width=width,
        encoder_depth=_count(tensors, "encoder.enc_blocks."),
        encoder_heads=max(1, width // _HEAD_WIDTH),
        decoder_width=decoder_width,
        decoder_depth=_count(tensors, "decoder.dec_blocks."),
        decoder_heads=max(1, decoder_width // _HEAD_WIDTH),
        mlp_ratio=shape("encoder.enc_blocks.0.mlp.fc1.weight")[0] / width,
        head_channels=(channels[0], channels[1], channels[2], channels[3]),
        head_width=shape(f"{head}.scratch.layer1_rn.weight")[0],
        head_last=shape(f"{head}.head.0.weight")[0],
    )


def without_aliases(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Each tensor once: ``layer_rn.0`` is another name of ``layer1_rn`` and must hold the same.

    Raises:
        WeightsError: the two differ.
    """
    result: dict[str, Tensor] = {}
    aliases: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        match = _ALIAS.fullmatch(name)
        (result if match is None else aliases)[
            name if match is None else f"{match[1]}.layer{int(match[2]) + 1}_rn.weight"
        ] = tensor
    for name, tensor in aliases.items():
        if not torch.equal(result.setdefault(name, tensor), tensor):
            raise WeightsError(f"{source}: '{name}' and its second name hold different values")
    return result


def _read(path: Path) -> dict[str, Tensor]:
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise WeightsError(f"{path}: no such file, expected a checkpoint")
    if path.suffix == ".safetensors":
        return dict(read_safetensors(path)[0])
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; none of them has run what the file holds
        raise WeightsError(f"{path}: cannot be read as weights only: {str(error).splitlines()[0]}") from error
    state = content.get("state_dict", content.get("model")) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: holds no state_dict of tensors, expected a Lightning checkpoint")
    if any(name.startswith(_LIGHTNING_PREFIX) for name in state):
        state = {name: tensor for name, tensor in state.items() if name not in _LIGHTNING_COUNTERS}
    return {name.removeprefix(_LIGHTNING_PREFIX): tensor for name, tensor in state.items()}


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in tensors if name.startswith(prefix)})
