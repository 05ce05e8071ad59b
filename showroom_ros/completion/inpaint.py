"""Colour for what no camera saw, by name: a small network of this package, Telea's method, LaMa, or diffusion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.completion.backends import Inpainter, check_image_and_mask
from showroom_ros.errors import SettingsError

NAMES = ("small", "telea", "lama", "diffusers:ID")
"""What ``make_inpainter`` takes; ID is a folder or the name of a model in the cache of Hugging Face."""
TELEA_RADIUS_PX = 5.0
_DIFFUSERS = "diffusers:"

Fill = Callable[[NDArray[np.uint8], NDArray[np.bool_], str, int], NDArray[np.uint8]]
"""Image (zero where not known), known, prompt and seed to an image of the same size; known pixels are not looked at."""


@dataclass
class CheckedInpainter:
    """Implements ``backends.Inpainter`` by a ``Fill``: checks what comes in, keeps what is known.

    Attributes:
        name: for reports.
        fill: what fills; sees zeros, never what happens to be in unknown pixels.
    """

    name: str
    fill: Fill

    def inpaint(
        self, image: NDArray[np.uint8], known: NDArray[np.bool_], *, prompt: str = "", seed: int = 0
    ) -> NDArray[np.uint8]:
        """See ``Inpainter``; a new array, also where everything is known."""
        check_image_and_mask(image, known)
        if known.all():
            return image.copy()
        seen: NDArray[np.uint8] = np.where(known[..., None], image, np.uint8(0))
        filled = self.fill(seen, known, prompt, seed)
        return np.where(known[..., None], image, filled)


def make_inpainter(name: str, *, device: str = "cpu", model_file: str = "") -> Inpainter:
    """The inpainter of a name.

    ``small`` is ``networks.inpainting``. ``telea`` is OpenCV's (Telea, 2004); it needs nothing. ``lama`` is LaMa
    (Suvorov et al., 2022) as a TorchScript file that the user brings, such as ``big-lama.pt``; what code such a file
    holds runs within TorchScript only. ``diffusers:ID`` is whatever pipeline for inpainting a folder or the local
    cache of Hugging Face holds under that name; nothing is downloaded, and only it heeds prompt and seed.

    Args:
        name: one of ``NAMES``.
        device: ``cpu`` or ``cuda``; ``telea`` is always on the CPU.
        model_file: of ``small`` its weights, empty = those that come with the package; of ``lama`` its file.

    Raises:
        SettingsError: unknown name, a device that is not there, a model file too many or too few.
        WeightsError: the model is not there or is not what it should be.
        MissingDependencyError: torch or diffusers is not installed.
    """
    if name == "telea":
        _no_model_file(name, model_file)
        return CheckedInpainter(name, _telea)
    if name not in ("small", "lama") and not name.startswith(_DIFFUSERS):
        raise SettingsError(f"inpainter '{name}': unknown, expected one of {', '.join(NAMES)}")
    from showroom_ros.completion import inpaint_torch

    if name == "small":
        return CheckedInpainter(name, inpaint_torch.NetworkFill(model_file, device))
    if name == "lama":
        if not model_file:
            raise SettingsError("inpainter 'lama': no model file, expected a TorchScript file such as big-lama.pt")
        return CheckedInpainter(name, inpaint_torch.LamaFill(model_file, device))
    _no_model_file(name, model_file)
    model = name.removeprefix(_DIFFUSERS)
    if not model:
        raise SettingsError("inpainter 'diffusers:': no model, expected diffusers:ID with a folder or a cached model")
    return CheckedInpainter(name, inpaint_torch.DiffusersFill(model, device))


def _telea(image: NDArray[np.uint8], known: NDArray[np.bool_], prompt: str, seed: int) -> NDArray[np.uint8]:
    return cv2.inpaint(image, (~known).astype(np.uint8), TELEA_RADIUS_PX, cv2.INPAINT_TELEA).astype(np.uint8)


def _no_model_file(name: str, model_file: str) -> None:
    if model_file:
        raise SettingsError(f"inpainter '{name}': model file '{model_file}', expected none")
