"""Random changes of colour and sharpness, the same for all views of a scene (torchvision's, as VoRTX uses them)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

BRIGHTNESS = CONTRAST = SATURATION = (0.5, 1.5)
HUE_TURNS = 0.05
BLUR_SIGMA_PX = (1.0, 3.0)
"""In images 640 pixels wide; less in proportion in smaller ones."""
CHANGES = 2
"""How many of the five changes every scene gets."""

_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def augmented(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Exactly two of brightness, contrast, saturation, hue and blur, drawn once for all images.

    Args:
        images: float [n, 3, H, W], RGB, 0 to 255.
        rng: draws which and how much.

    Returns:
        Images of the same shape, 0 to 255.
    """
    changes: tuple[Callable[[Tensor, np.random.Generator], Tensor], ...] = (
        _brightness,
        _contrast,
        _saturation,
        _hue,
        _blur,
    )
    for index in rng.permutation(len(changes))[:CHANGES]:
        images = changes[index](images, rng).clamp(0, 255)
    return images


def _brightness(images: Tensor, rng: np.random.Generator) -> Tensor:
    return images * rng.uniform(*BRIGHTNESS)


def _contrast(images: Tensor, rng: np.random.Generator) -> Tensor:
    mean = _grey(images).mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * rng.uniform(*CONTRAST)


def _saturation(images: Tensor, rng: np.random.Generator) -> Tensor:
    grey = _grey(images)
    return grey + (images - grey) * rng.uniform(*SATURATION)


def _hue(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Turns the colour plane about the grey axis."""
    angle = 2 * math.pi * rng.uniform(-HUE_TURNS, HUE_TURNS)
    turn = torch.eye(3)
    turn[1:, 1:] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ, images)


def _blur(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Gaussian over 7 x 7 pixels."""
    sigma = rng.uniform(*BLUR_SIGMA_PX) * images.shape[3] / 640
    kernel = torch.exp(-0.5 * (torch.arange(-3.0, 4.0) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).repeat(3, 1, 1, 1)
    padded = functional.pad(images, (3, 3, 3, 3), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def _grey(images: Tensor) -> Tensor:
    return torch.einsum("i,nihw->nhw", _TO_YIQ[0], images)[:, None]
