"""Images as another camera in other light would have taken them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F


def as_by_another_camera(images: Tensor, rng: Generator) -> Tensor:
    """Changes colours for all images alike, and exposure, white balance, blur and noise of each.

    Args:
        images: float [V, 3, H, W], RGB in 0..1.
        rng: what to draw from.

    Returns:
        The same shape and range.
    """
    images = images**2.2  # light adds up linearly
    images = torch.einsum("ij,vjhw->vihw", _color_mix(rng), images).clamp(0, None)
    images = images * float(np.exp(rng.normal(0, 0.35)))
    gains = np.exp(rng.normal(0, 0.12, (len(images), 1, 1, 1)) + rng.normal(0, 0.03, (len(images), 3, 1, 1)))
    images = images * torch.from_numpy(gains).float()
    images = torch.stack([_blurred(image, rng) for image in images])
    noise = torch.from_numpy(rng.standard_normal(images.shape, np.float32))
    shot, read = 10 ** rng.uniform(-4.0, -2.2), 10 ** rng.uniform(-5.0, -3.2)
    images = images + noise * (shot * images.clamp(0, 1) + read).sqrt()
    gamma = float(np.exp(rng.normal(0, 0.15))) / 2.2
    images = images.clamp(0, 1) ** gamma
    contrast = float(rng.uniform(0.75, 1.2))
    return ((images - 0.5) * contrast + 0.5 + float(rng.normal(0, 0.04))).clamp(0, 1)


def _color_mix(rng: Generator) -> Tensor:
    """Matrix [3, 3] between the identity and grey, with channels tinted, sometimes exchanged."""
    grey = np.full((3, 3), 1 / 3)
    saturation = rng.uniform(0.2, 1.3) if rng.random() < 0.9 else 0.0
    mix = saturation * np.eye(3) + (1 - saturation) * grey
    if rng.random() < 0.2:
        mix = mix[rng.permutation(3)]
    return torch.from_numpy(mix * np.exp(rng.normal(0, 0.12, (3, 1)))).float()


def _blurred(image: Tensor, rng: Generator) -> Tensor:
    """Half of all images are out of focus or were moved by up to two pixels."""
    choice = rng.random()
    if choice < 0.5:
        return image
    if choice < 0.8:
        sigma = float(rng.uniform(0.3, 1.0))
        taps = torch.exp(-(torch.arange(-2.0, 3.0) ** 2) / (2 * sigma**2))
        kernel = torch.outer(taps, taps)
    else:
        kernel = torch.zeros(5, 5)
        angle, reach = rng.uniform(0, np.pi), rng.uniform(0.5, 2.0)
        for step in np.linspace(-reach, reach, 9):
            kernel[round(2 + step * np.sin(angle)), round(2 + step * np.cos(angle))] += 1
    kernel = (kernel / kernel.sum()).expand(3, 1, 5, 5)
    return F.conv2d(F.pad(image[None], (2, 2, 2, 2), mode="reflect"), kernel, groups=3)[0]
