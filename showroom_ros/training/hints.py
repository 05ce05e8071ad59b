"""Depth as a map so far would give it: mostly right, with holes, blurred edges, and some surface that is wrong."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F


def made_up_hint(depth: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
    """A hint made of true depth.

    Args:
        depth: float [H, W], metres, NaN unknown.
        rng: what to draw from.

    Returns:
        float [H, W] metres, NaN where the map has no surface, and how far to trust it, float [H, W] in 0..1.
    """
    height, width = depth.shape
    share = rng.uniform(0.3, 1.0)  # of the image that the map knows
    known = _smooth(rng, height, width, 5)
    known = known <= torch.quantile(known.flatten(), float(share))
    bias = _smooth(rng, height, width, 4) * float(rng.uniform(0.0, 0.02))
    wrong = _smooth(rng, height, width, 6)
    wrong = wrong > torch.quantile(wrong.flatten(), 1 - float(rng.uniform(0.0, 0.15)))
    error = torch.where(wrong, float(rng.choice([-1, 1]) * rng.uniform(0.05, 0.25)), bias)
    hint = F.max_pool2d(-depth.nan_to_num(0)[None], 3, 1, 1)[0].neg() if rng.random() < 0.5 else depth
    hint = hint * (1 + error)
    trust = torch.where(wrong, 0.3 + 0.5 * float(rng.random()), 0.5 + 0.5 * float(rng.random()))
    usable = known & (hint > 0)
    return torch.where(usable, hint, torch.nan), torch.where(usable, trust, 0.0)


def _smooth(rng: Generator, height: int, width: int, cells: int) -> Tensor:
    """Smooth noise [H, W] of unit deviation with about so many bumps along each side."""
    coarse = torch.from_numpy(rng.standard_normal((1, 1, cells, cells), np.float32))
    return F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)[0, 0]
