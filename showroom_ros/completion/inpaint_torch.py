"""Inpainting that needs torch: the small network, LaMa as TorchScript, and pipelines of diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from showroom_ros.errors import MissingDependencyError, SettingsError, WeightsError
from showroom_ros.networks.inpainting import smooth_fill
from showroom_ros.networks.weights import load_weights

DIFFUSION_STEPS = 30
DIFFUSION_RIM_PX = 2
"""The hole is made wider for diffusion, which mixes colours across its border (Engstler et al., 2024)."""
MULTIPLE_PX = 8
"""LaMa and the autoencoders of diffusion take sides that are multiples of this."""


class NetworkFill:
    """``networks.inpainting`` as an ``inpaint.Fill``."""

    def __init__(self, model_file: str, device: str) -> None:
        """Weights from a file, or by the manifest where it is empty.

        Raises:
            WeightsError, SettingsError: as ``load_weights``.
        """
        self._network = load_weights(model_file, "inpainting", device).network
        self._device = torch.device(device)

    @torch.inference_mode()
    def __call__(self, image: NDArray[np.uint8], known: NDArray[np.bool_], prompt: str, seed: int) -> NDArray[np.uint8]:
        """See ``inpaint.Fill``."""
        return _as_image(self._network(_colours(image).to(self._device), _plane(known).to(self._device)))


class LamaFill:
    """LaMa as an ``inpaint.Fill``: image [1, 3, H, W] in 0..1 and mask [1, 1, H, W], 1 = hole, to an image in 0..1."""

    def __init__(self, model_file: str, device: str) -> None:
        """Reads a TorchScript file.

        Raises:
            WeightsError: there is none, or it cannot be read.
            SettingsError: the device is not there.
        """
        self._device, self._file = _found(device), model_file
        if not Path(model_file).is_file():
            raise WeightsError(f"{model_file}: no such file, expected LaMa as TorchScript")
        try:
            self._model = torch.jit.load(model_file, map_location=self._device).eval()
        except (RuntimeError, ValueError) as error:
            raise WeightsError(f"{model_file}: not a TorchScript file: {_first_line(error)}") from error

    @torch.inference_mode()
    def __call__(self, image: NDArray[np.uint8], known: NDArray[np.bool_], prompt: str, seed: int) -> NDArray[np.uint8]:
        """See ``inpaint.Fill``; raises ``WeightsError`` where the file holds another kind of model."""
        height, width = known.shape
        colours, hole = _padded(_colours(image)), _padded((~_plane(known)).float())
        try:
            filled = self._model(colours.to(self._device), hole.to(self._device))
        except RuntimeError as error:
            raise WeightsError(f"{self._file}: takes no image and mask as LaMa does: {_first_line(error)}") from error
        if not isinstance(filled, Tensor) or filled.shape != colours.shape:
            found = tuple(filled.shape) if isinstance(filled, Tensor) else type(filled).__name__
            raise WeightsError(f"{self._file}: gave {found}, expected {tuple(colours.shape)} as LaMa does")
        return _as_image(filled[..., :height, :width])


class DiffusersFill:
    """A pipeline of diffusers as an ``inpaint.Fill``."""

    def __init__(self, model: str, device: str) -> None:
        """Opens a folder, or a model of the local cache; downloads nothing.

        Raises:
            MissingDependencyError: diffusers is not installed.
            WeightsError: no such model on this machine, or none that inpaints.
            SettingsError: the device is not there.
        """
        self._device = _found(device)
        try:
            from diffusers import AutoPipelineForInpainting
        except ImportError as error:
            raise MissingDependencyError(
                f"inpainting by diffusers: pip install 'showroom_ros[teachers]' ({error})"
            ) from error
        precision = torch.float16 if self._device.type == "cuda" else torch.float32
        try:
            pipeline = AutoPipelineForInpainting.from_pretrained(model, torch_dtype=precision, local_files_only=True)
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"'{model}': no pipeline for inpainting on this machine ({_first_line(error)}); nothing is downloaded "
                f"here: fetch it with 'hf download {model}', or give its folder"
            ) from error
        self._pipeline: Any = pipeline.to(self._device)
        self._pipeline.set_progress_bar_config(disable=True)

    def __call__(self, image: NDArray[np.uint8], known: NDArray[np.bool_], prompt: str, seed: int) -> NDArray[np.uint8]:
        """See ``inpaint.Fill``."""
        height, width = known.shape
        colours = smooth_fill(_colours(image), _plane(known))  # pipelines may begin with what is in the hole
        side = 2 * DIFFUSION_RIM_PX + 1
        hole = F.max_pool2d((~_plane(known)).float(), side, 1, DIFFUSION_RIM_PX)
        colours, hole = _padded(colours), _padded(hole)
        result = self._pipeline(
            prompt=prompt,
            image=colours,
            mask_image=hole,
            height=colours.shape[-2],
            width=colours.shape[-1],
            num_inference_steps=DIFFUSION_STEPS,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="pt",
        )
        return _as_image(result.images[:1, :, :height, :width])


def _found(device: str) -> torch.device:
    if device not in ("cpu", "cuda"):
        raise SettingsError(f"device '{device}': unknown, expected cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device '{device}': torch {torch.__version__} finds no CUDA device, expected cpu here")
    return torch.device(device)


def _colours(image: NDArray[np.uint8]) -> Tensor:
    """Float [1, 3, H, W] in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(image)).movedim(-1, 0)[None].float() / 255


def _plane(mask: NDArray[np.bool_]) -> Tensor:
    """Bool [1, 1, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(mask))[None, None]


def _padded(planes: Tensor) -> Tensor:
    """Sides are multiples of ``MULTIPLE_PX``; the rim repeats the outermost pixels."""
    height, width = planes.shape[-2:]
    return F.pad(planes, (0, -width % MULTIPLE_PX, 0, -height % MULTIPLE_PX), mode="replicate")


def _as_image(colours: Tensor) -> NDArray[np.uint8]:
    """Uint8 [H, W, 3] of float [1, 3, H, W]; what is not finite becomes black."""
    image = (colours[0].float().nan_to_num(0.0).clamp(0, 1) * 255).round().byte()
    return image.movedim(0, -1).cpu().numpy()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
