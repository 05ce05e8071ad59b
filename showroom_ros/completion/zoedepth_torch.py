"""Depth completion by a published ZoeDepth network with five channels, brought by its user.

The network is ZoeDepth-N (Bhat et al., "ZoeDepth", 2023; MIT) whose first convolution sees RGB, known depth and where
depth is known, as trained for "Invisible Stitch" (Engstler et al., 2024). It is built by ``transformers``; the
published names (ZoeDepth on MiDaS on timm's BEiT) are mapped to its. No weights come with this package, and nothing in
a file is run: pickles are read as weights only.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from showroom_ros.completion.backends import check_image_and_depth
from showroom_ros.completion.depth import resized
from showroom_ros.errors import InputError, MissingDependencyError, SettingsError, WeightsError
from showroom_ros.geometry.camera import Camera
from showroom_ros.networks.safetensors_file import read_safetensors
from showroom_ros.networks.weights import check_state

CHANNELS = 5
"""RGB, depth over ``FARTHEST_M``, and 1 where depth is known."""
NEAREST_M, FARTHEST_M = 1e-3, 10.0
"""Depths the network was trained on."""
_LONGEST_PX = 720
"""Images are made smaller first until their longer side is at most this, as the published demo does."""
_ASPECT, _MULTIPLE_PX = 4 / 3, 32
"""The network sees all images as 4:3 (384 x 512), whatever their shape: so it was trained and published."""
_PAD = 3.0
"""Images are padded by this times the root of half their size."""
_NORM_EPS = 1e-6
"""Of timm's BEiT; ``transformers`` takes 1e-12 unless told."""

_CORE = "core.core"
_BLOCK, _POST = rf"{_CORE}.pretrained.model.blocks", rf"{_CORE}.pretrained.act_postprocess"
_PATCHES = f"{_CORE}.pretrained.model.patch_embed.proj.weight"
_RULES: tuple[tuple[str, str], ...] = (
    (r"backbone\.beit\.embeddings\.cls_token", rf"{_CORE}.pretrained.model.cls_token"),
    (r"backbone\.beit\.embeddings\.patch_embeddings\.projection", rf"{_CORE}.pretrained.model.patch_embed.proj"),
    (r"backbone\.beit\.layers\.(\d+)\.lambda_", rf"{_BLOCK}.\1.gamma_"),
    (r"backbone\.beit\.layers\.(\d+)\.attention\.[qkv]_proj\.weight", rf"{_BLOCK}.\1.attn.qkv.weight"),
    (r"backbone\.beit\.layers\.(\d+)\.attention\.([qv])_proj\.bias", rf"{_BLOCK}.\1.attn.\2_bias"),
    (r"backbone\.beit\.layers\.(\d+)\.attention\.o_proj", rf"{_BLOCK}.\1.attn.proj"),
    (r"backbone\.beit\.layers\.(\d+)\.layernorm_before", rf"{_BLOCK}.\1.norm1"),
    (r"backbone\.beit\.layers\.(\d+)\.layernorm_after", rf"{_BLOCK}.\1.norm2"),
    (r"backbone\.beit\.layers\.(\d+)\.mlp", rf"{_BLOCK}.\1.mlp"),
    (r"backbone\.beit\.layers\.(\d+)\.relative_position_bias", rf"{_BLOCK}.\1.attn"),
    (r"neck\.reassemble_stage\.layers\.(\d+)\.projection", rf"{_POST}<\1>.3"),
    (r"neck\.reassemble_stage\.layers\.(\d+)\.resize", rf"{_POST}<\1>.4"),
    (r"neck\.reassemble_stage\.readout_projects\.(\d+)", rf"{_POST}<\1>.0.project"),
    (r"neck\.convs\.(\d+)", rf"{_CORE}.scratch.layer<\1>_rn"),
    (r"neck\.fusion_stage\.layers\.(\d+)\.projection", rf"{_CORE}.scratch.refinenet<-\1>.out_conv"),
    (
        r"neck\.fusion_stage\.layers\.(\d+)\.residual_layer(\d)\.convolution",
        rf"{_CORE}.scratch.refinenet<-\1>.resConfUnit\2.conv",
    ),
    (r"relative_head\.conv1", rf"{_CORE}.scratch.output_conv.0"),
    (r"relative_head\.conv2", rf"{_CORE}.scratch.output_conv.2"),
    (r"relative_head\.conv3", rf"{_CORE}.scratch.output_conv.4"),
    (r"metric_head\.(seed_bin_regressor|seed_projector|(?:projectors|attractors)\.\d)\.conv1", r"\1._net.0"),
    (r"metric_head\.(seed_bin_regressor|seed_projector|(?:projectors|attractors)\.\d)\.conv2", r"\1._net.2"),
    (r"metric_head\.", ""),
)
"""Beginnings of names of ``transformers`` 5.23 and of published names; ``<i>`` counts from 1, ``<-i>`` from 4 down."""
_LEFT_OVER = re.compile(
    rf"{re.escape(_CORE)}\.pretrained\.model\.(fc_norm|head)\..*|.*\.attn\.relative_position_index"
    r"|conditional_log_binomial\.log_binomial_transform\.(k_idx|K_minus_1)"
)
"""Published tensors nothing uses (BEiT's classifier), or that follow from the sizes."""


class ZoeDepthCompleter:
    """Completes depth by a ZoeDepth network of five channels; implements ``completion.backends.DepthCompleter``.

    Depth that is known sets the scale: nothing is aligned afterwards. Without any the scale is the network's own
    guess.
    """

    needs_depth = False

    def __init__(
        self, path: str | Path, device: str = "cpu", *, padded_and_flipped: bool = True, scaling: float = 1.0
    ) -> None:
        """Loads the network; nothing is downloaded.

        Args:
            path: a published checkpoint (``*.pt``, or the same tensors as ``*.safetensors``), or a folder saved by
                ``transformers``.
            device: where it runs, as torch names it.
            padded_and_flipped: pad the image and take the mean over it and its mirror image, as the published scene
                pipeline does; its benchmark does neither.
            scaling: metres are divided by this before the network sees them, and its depths multiplied by it; made
                larger where known depth would exceed the ``FARTHEST_M`` it was trained on. The pipeline has 0.5 for
                all views but the first, the benchmark 1.

        Raises:
            MissingDependencyError: ``transformers`` is not installed, or another version than this was written for.
            WeightsError: the path is missing, broken or of another network.
            SettingsError: the device is not there, or the scaling is not positive.
        """
        if not (math.isfinite(scaling) and scaling > 0):
            raise SettingsError(f"scaling is {scaling}, expected above 0")
        self.name = f"zoedepth:{Path(path).name}"
        network = load_zoedepth(path)
        try:
            self._network: Any = network.to(device)
        except (RuntimeError, AssertionError) as error:  # what torch raises without a driver, and built without one
            raise SettingsError(f"device '{device}': not there: {str(error).splitlines()[0]}") from error
        self._device, self._augmented, self._scaling = torch.device(device), padded_and_flipped, scaling
        self._size = network_size(self._network.config.backbone_config)

    def complete(self, image: NDArray[np.uint8], depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
        """See ``DepthCompleter``."""
        check_image_and_depth(image, depth, camera, needs_depth=False)
        known = np.isfinite(depth)
        if known.all():
            return depth.copy()
        return np.where(known, depth, self.predict(image, depth))

    @torch.no_grad()  # inference mode would spoil tables that transformers keeps for the process
    def predict(self, image: NDArray[np.uint8], depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network says of all pixels, known ones too.

        Args:
            image: uint8 [H, W, 3], RGB.
            depth: float32 [H, W], metres, NaN unknown.

        Returns:
            Depth float32 [H, W] in metres, at least ``NEAREST_M``.

        Raises:
            InputError: the network's depth is not finite.
        """
        height, width = depth.shape
        shrink = min(1.0, _LONGEST_PX / max(height, width))
        if shrink < 1:
            size = max(1, round(width * shrink)), max(1, round(height * shrink))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            depth = np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)
        known = np.isfinite(depth)
        scaling = max(self._scaling, float(np.max(depth, where=known, initial=0)) / FARTHEST_M)
        planes = np.zeros((1, CHANNELS, *depth.shape), np.float32)
        planes[0, :3] = np.moveaxis(image, -1, 0) / np.float32(255)
        planes[0, 3] = np.where(known, depth, 0) / (scaling * FARTHEST_M)
        planes[0, 4] = known
        metres: NDArray[Any] = scaling * self._depth(torch.from_numpy(planes).to(self._device))[0, 0].cpu().numpy()
        if not np.isfinite(metres).all():
            raise InputError(f"{self.name}: the network's depth of a {width}x{height} image is not finite")
        if shrink < 1:
            metres = resized(metres, width, height)
        return np.maximum(metres, np.float32(NEAREST_M))

    def _depth(self, planes: Tensor) -> Tensor:
        """Depth [1, 1, H, W] over the scaling, of planes [1, 5, H, W]."""
        if not self._augmented:
            return functional.interpolate(self._ask(planes), planes.shape[-2:], mode="bilinear", align_corners=True)
        return (self._of_padded(planes) + self._of_padded(planes.flip(3)).flip(3)) / 2

    def _of_padded(self, planes: Tensor) -> Tensor:
        """As ``_depth``, of the image with its mirrored rim around it; nothing is known there."""
        height, width = planes.shape[-2:]
        rows, columns = (min(int(math.sqrt(size / 2) * _PAD), size - 1) for size in (height, width))
        sides = (columns, columns, rows, rows)
        rim = torch.cat([functional.pad(planes[:, :3], sides, mode="reflect"), functional.pad(planes[:, 3:], sides)], 1)
        depth = functional.interpolate(self._ask(rim), rim.shape[-2:], mode="bicubic", align_corners=False)
        return depth[..., rows : rows + height, columns : columns + width]

    def _ask(self, planes: Tensor) -> Tensor:
        """The network's depth [1, 1, h, w] at its own size; planes are resized, known and unknown alike."""
        seen = functional.interpolate(planes, self._size, mode="bilinear", align_corners=True)
        seen = torch.cat([seen[:, :3] * 2 - 1, seen[:, 3:]], 1)
        return self._network(pixel_values=seen).predicted_depth[:, None]


def load_zoedepth(path: str | Path) -> Any:
    """The ``ZoeDepthForDepthEstimation`` of five channels from a file or folder, float32 on the CPU, in eval mode.

    Raises:
        MissingDependencyError, WeightsError: as ``ZoeDepthCompleter``.
    """
    if find_spec("transformers") is None:
        raise MissingDependencyError(
            f"the depth completer 'zoedepth:{path}' needs the package transformers: "
            "pip install 'showroom_ros[teachers]'"
        )
    path = Path(path)
    network = _load_folder(path) if path.is_dir() else _load_published(path)
    return network.float().eval()


def network_size(backbone: Any) -> tuple[int, int]:
    """Rows and columns of what a network sees, from the configuration of its backbone; 384 and 512 of the published."""
    size = backbone.image_size
    rows = size if isinstance(size, int) else size[0]
    return rows, max(_MULTIPLE_PX, round(rows * _ASPECT / _MULTIPLE_PX) * _MULTIPLE_PX)


def published_name(name: str) -> tuple[str, int | None]:
    """Name in published checkpoints of a parameter of ``transformers``, and which third of that tensor it is.

    Raises:
        MissingDependencyError: no such parameter in the version of ``transformers`` this was written for.
    """
    for pattern, published in _RULES:
        match = re.match(pattern, name)
        if match is None:
            continue
        counted = match.expand(published) + name[match.end() :]
        counted = re.sub(r"<-(\d+)>", lambda found: str(4 - int(found[1])), counted)
        counted = re.sub(r"<(\d+)>", lambda found: str(1 + int(found[1])), counted)
        third = re.search(r"attention\.([qkv])_proj\.weight$", name)
        return counted, "qkv".index(third[1]) if third else None
    raise MissingDependencyError(
        f"this transformers calls a parameter of ZoeDepth '{name}', expected the names of 5.23: "
        "pip install 'showroom_ros[teachers]'"
    )


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of ``transformers`` under published names; queries, keys and values become one tensor."""
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        published, third = published_name(name)
        if third is None:
            result[published] = tensor
        elif third == 0:
            keys, values = (state[name.replace("q_proj", other)] for other in ("k_proj", "v_proj"))
            result[published] = torch.cat([tensor, keys, values])
    return result


def _load_published(path: Path) -> Any:
    from transformers import ZoeDepthForDepthEstimation

    tensors = {name: tensor for name, tensor in _read(path).items() if not _LEFT_OVER.fullmatch(name)}
    config = _config_of(tensors, str(path))
    try:
        with torch.device("meta"):  # nothing is drawn that would be replaced
            network: Any = ZoeDepthForDepthEstimation(config)
    except Exception as error:  # whatever its layers raise of sizes that do not fit
        raise WeightsError(f"{path}: its tensors are of no such network: {error}") from error
    names = network.state_dict()
    check_state(tensors, to_published(names), str(path))
    state = {}
    for name in names:
        published, third = published_name(name)
        tensor = tensors[published].float()
        state[name] = tensor if third is None else tensor.chunk(3)[third].contiguous()
    network.load_state_dict(state, assign=True)
    binomial = network.metric_head.conditional_log_binomial
    transform = binomial.log_binomial_transform
    binomial.log_binomial_transform = type(transform)(transform.k, act=transform.act)  # its buffers come in no file
    return network


def _load_folder(folder: Path) -> Any:
    from transformers import ZoeDepthConfig, ZoeDepthForDepthEstimation

    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder}: holds no config.json of transformers: {error!r}") from error
    if kind != "zoedepth":
        raise WeightsError(f"{folder}: holds a '{kind}', expected 'zoedepth' of {CHANNELS} channels")
    try:
        config: Any = ZoeDepthConfig.from_pretrained(folder, local_files_only=True)
        channels = config.backbone_config.num_channels
    except Exception as error:  # whatever a broken configuration raises
        raise WeightsError(f"{folder}: config.json is of no ZoeDepth network: {error}") from error
    _check_channels(channels, str(folder))
    try:
        network, told = ZoeDepthForDepthEstimation.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # whatever its loader raises: missing files, other sizes, versions
        raise WeightsError(f"{folder}: cannot be loaded as a ZoeDepth network: {error}") from error
    for word, names in (("lacks", told["missing_keys"]), ("holds unexpected", told["unexpected_keys"])):
        if names:
            raise WeightsError(f"{folder}: {word} '{min(names)}' ({len(names)} such tensors)")
    return network


def _read(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, by published names."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file, expected a ZoeDepth checkpoint or a folder saved by transformers")
    if path.suffix == ".safetensors":
        content: Any = read_safetensors(path)[0]
    else:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds; none of them has run what the file holds
            why = (str(error) or type(error).__name__).splitlines()[0]
            raise WeightsError(f"{path}: cannot be read as weights only: {why}") from error
    if isinstance(content, dict):
        content = content.get("model", content.get("state_dict", content))
    if not isinstance(content, dict) or not content or not all(isinstance(one, Tensor) for one in content.values()):
        raise WeightsError(f"{path}: holds no state dict of tensors, expected a ZoeDepth checkpoint")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def _config_of(tensors: Mapping[str, Tensor], source: str) -> Any:
    """The ``ZoeDepthConfig`` a state dict's shapes tell; the rest is as published for ZoeDepth-N."""
    from transformers import BeitConfig, ZoeDepthConfig

    def shape(name: str, axes: int) -> tuple[int, ...]:
        if name not in tensors:
            raise WeightsError(f"{source}: lacks '{name}', expected a ZoeDepth checkpoint")
        found = tuple(tensors[name].shape)
        if len(found) != axes:
            raise WeightsError(f"{source}: '{name}' is {found}, expected {axes} axes")
        return found

    width, channels, patch, _ = shape(_PATCHES, 4)
    _check_channels(channels, source)
    block = _BLOCK
    depth = len({name[len(block) + 1 :].split(".")[0] for name in tensors if name.startswith(f"{block}.")})
    distances, heads = shape(f"{block}.0.attn.relative_position_bias_table", 2)
    window = (math.isqrt(max(0, distances - 3)) + 1) // 2
    if not depth or depth % 4 or (2 * window - 1) ** 2 + 3 != distances:
        raise WeightsError(
            f"{source}: {depth} blocks of {distances} relative positions, expected a multiple of 4 and "
            "the square of an odd number plus 3"
        )
    bins = shape("seed_bin_regressor._net.2.weight", 4)[0]
    try:
        backbone = BeitConfig(
            image_size=window * patch,
            patch_size=patch,
            num_channels=channels,
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            intermediate_size=shape(f"{block}.0.mlp.fc1.weight", 2)[0],
            layer_norm_eps=_NORM_EPS,
            use_relative_position_bias=True,
            reshape_hidden_states=False,
            out_features=[f"stage{depth * quarter // 4}" for quarter in (1, 2, 3, 4)],
        )
        return ZoeDepthConfig(
            backbone_config=backbone,
            neck_hidden_sizes=[shape(f"{_POST}{number}.3.weight", 4)[0] for number in (1, 2, 3, 4)],
            fusion_hidden_size=shape(f"{_CORE}.scratch.layer1_rn.weight", 4)[0],
            bottleneck_features=shape("conv2.weight", 4)[0],
            num_relative_features=shape(f"{_CORE}.scratch.output_conv.2.weight", 4)[0],
            bin_embedding_dim=shape("seed_projector._net.2.weight", 4)[0],
            bin_configurations=[{"n_bins": bins, "min_depth": NEAREST_M, "max_depth": FARTHEST_M}],
        )
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{source}: its tensors are of no such network: {error}") from error


def _check_channels(channels: int, source: str) -> None:
    """Raises ``WeightsError`` unless a network sees known depth."""
    if channels != CHANNELS:
        raise WeightsError(
            f"{source}: its network sees {channels} channels, expected {CHANNELS}: RGB, depth, and where it is known; "
            "for a network that sees RGB alone take 'transformers:FOLDER'"
        )
