"""Pointmaps by Depth Anything 3 (Lin et al., 2025), through its own package.

``small`` and ``base`` are Apache 2.0, ``large`` and ``giant`` CC BY-NC 4.0. The package asks for libraries of inference
servers and CUDA that its networks do not use: ``pip install --no-deps depth-anything-3==0.1.1`` and
``pip install 'showroom_ros[depth-anything]'`` is all that is needed here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from showroom_ros.errors import MissingDependencyError, WeightsError
from showroom_ros.networks.public_checkpoints import weights_of
from showroom_ros.networks.safetensors_file import read_safetensors
from showroom_ros.networks.weights import check_state
from showroom_ros.reconstruction.multi_view import Pointmaps

NAMES = ("da3-small", "da3-base", "da3-large", "da3-giant")
"""Of its networks, those that find cameras too."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CONFIG = "config.json"
_PREFIX = "model."


class DepthAnything3Pointmaps:
    """Implements ``multi_view.PointmapNetwork``; its depth has no unit."""

    image_size = 504
    patch = 14
    metric = False
    note = ""

    def __init__(self, network: nn.Module, *, name: str, device: str = "cpu") -> None:
        """Takes a ``DepthAnything3Net`` with a camera decoder."""
        self._network = network.to(device).eval()
        self.name = name
        self._device = torch.device(device)

    @torch.inference_mode()
    def pointmaps(self, images: Sequence[NDArray[np.uint8]]) -> list[Pointmaps]:
        """See ``PointmapNetwork``; smaller images get a rim of their outermost pixels, which is cut off again."""
        height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
        batch = torch.stack([self._input(image, height, width) for image in images])[None]
        said = self._network(batch)
        T_camera_world, K = said["extrinsics"][0].double(), said["intrinsics"][0].double()
        last_row = T_camera_world.new_tensor([0, 0, 0, 1]).expand(len(images), 1, 4)
        T_world_camera = torch.linalg.inv(torch.cat([T_camera_world[:, :3], last_row], 1))
        T_first_camera = torch.linalg.inv(T_world_camera[0]) @ T_world_camera
        result = []
        for number, image in enumerate(images):
            local = _cut(_unprojected(said["depth"][0, number].double(), K[number]), image)
            points = local @ T_first_camera[number, :3, :3].T + T_first_camera[number, :3, 3]
            confidence = _numpy(_cut(said["depth_conf"][0, number], image)).clip(1.0)
            result.append(Pointmaps(_numpy(points), confidence, _numpy(local), confidence))
        return result

    def _input(self, image: NDArray[np.uint8], height: int, width: int) -> Tensor:
        """Normalised float [3, height, width], the image in its middle."""
        colours = torch.from_numpy(np.ascontiguousarray(image)).to(self._device).movedim(-1, 0).float() / 255
        mean, std = (torch.tensor(values, device=self._device)[:, None, None] for values in (_MEAN, _STD))
        top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
        rim = (left, width - image.shape[1] - left, top, height - image.shape[0] - top)
        return F.pad(((colours - mean) / std)[None], rim, mode="replicate")[0]


def is_depth_anything(path: Path) -> bool:
    """Whether a folder holds one of its checkpoints."""
    return path.is_dir() and _model_name(path).startswith("da3")


def load_depth_anything(path: Path, device: str = "cpu") -> DepthAnything3Pointmaps:
    """The network of a folder with ``config.json`` and ``model.safetensors``, as the hub has them.

    Raises:
        WeightsError: broken, tensors missing or unknown, or a network that finds no cameras.
        MissingDependencyError: its package is not installed.
    """
    network = empty_network(_model_name(path))
    file = weights_of(path)
    tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in read_safetensors(file)[0].items()}
    tensors = _with_shared(tensors, network.state_dict())
    check_state(tensors, network.state_dict(), str(file))
    network.load_state_dict(tensors)
    return DepthAnything3Pointmaps(network, name=path.name, device=device)


def empty_network(name: str) -> nn.Module:
    """A network with random weights; ``name`` is one of ``NAMES``.

    Raises:
        WeightsError: another name.
        MissingDependencyError: the package is not installed.
    """
    if name not in NAMES:
        raise WeightsError(f"Depth Anything 3 '{name}': finds no cameras here, expected one of {', '.join(NAMES)}")
    os.environ.setdefault("DA3_LOG_LEVEL", "WARN")  # it prints to stdout
    try:
        from depth_anything_3.cfg import create_object, load_config
        from depth_anything_3.registry import MODEL_REGISTRY
    except ImportError as error:
        raise MissingDependencyError(
            f"'{name}' needs Depth Anything 3: pip install --no-deps depth-anything-3==0.1.1 and "
            f"pip install 'showroom_ros[depth-anything]' ({error})"
        ) from error
    network: nn.Module = create_object(load_config(MODEL_REGISTRY[name]))
    return network


def _model_name(folder: Path) -> str:
    try:
        content: Any = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return ""
    return str(content.get("model_name", "")) if isinstance(content, dict) else ""


def _with_shared(tensors: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with those that share memory in the network under all their names: files hold them under one."""
    owner = {state[name].data_ptr(): name for name in tensors if name in state}
    shared = {name: owner[tensor.data_ptr()] for name, tensor in state.items() if tensor.data_ptr() in owner}
    return {**{name: tensors[other] for name, other in shared.items()}, **tensors}


def _unprojected(depth: Tensor, K: Tensor) -> Tensor:
    """Points [H, W, 3] of depth [H, W]; the corner of the image is (0, 0) of ``K``, the first pixel (0.5, 0.5)."""
    height, width = depth.shape
    v, u = torch.meshgrid(
        torch.arange(height, device=depth.device) + 0.5, torch.arange(width, device=depth.device) + 0.5, indexing="ij"
    )
    return torch.stack([(u - K[0, 2]) / K[0, 0] * depth, (v - K[1, 2]) / K[1, 1] * depth, depth], -1)


def _cut(plane: Tensor, image: NDArray[np.uint8]) -> Tensor:
    top, left = ((plane.shape[axis] - image.shape[axis]) // 2 for axis in (0, 1))
    return plane[top : top + image.shape[0], left : left + image.shape[1]]


def _numpy(plane: Tensor) -> NDArray[np.float32]:
    return plane.float().cpu().numpy()
