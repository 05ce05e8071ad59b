"""Training of ``networks.inpainting``: images whose holes are what another camera could not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from showroom_ros.networks.inpainting import KIND, smooth_fill
from showroom_ros.settings import setting
from showroom_ros.training.clips import Clips, ClipSettings
from showroom_ros.training.scenes import open_scenes
from showroom_ros.training.task import Batch, Samples, TaskKind
from showroom_ros.training.warped_holes import random_camera, seen_through, warped_depth

HOLE_SHARE = (0.02, 0.85)
"""Least and largest part of an image to be filled."""
FADE, FADE_STEPS = 0.6, 8
"""An error counts ``1 / (1 + FADE * n)`` at ``2 n`` pixels from what is known, n up to ``FADE_STEPS``: far away nobody
can tell what is there, and errors that cannot be helped would drown the others."""
_COLOUR_FLOOR, _SQUARE_FLOOR = 0.01, 1e-4


def _two_views() -> ClipSettings:
    return ClipSettings(views=2, min_baseline_m=0.1, max_baseline_m=1.5, min_overlap=0.3)


@dataclass(frozen=True)
class InpaintingTaskSettings:
    """What the recipe's ``task`` section may set."""

    clips: ClipSettings = field(default_factory=_two_views)
    view_share: float = setting(0.4, "share of holes that are what the second image did not see", minimum=0.0, maximum=1.0)  # fmt: skip  # noqa: E501
    turn_share: float = setting(0.4, "share of the other holes left by a turn in place", minimum=0.0, maximum=1.0)
    wider_px: int = setting(2, "holes are made wider by up to this", minimum=0, maximum=64)
    log_weight: float = setting(0.5, "of the logarithm of the mean squared error", minimum=0.0)


class InpaintingTask:
    """Implements ``training.task.Task``."""

    def __init__(self, settings: InpaintingTaskSettings, data: str, seed: int) -> None:
        """Opens no recording yet; arguments as ``TaskKind.make``."""
        self.settings, self.data, self.seed = settings, data, seed

    def samples(self, validation: bool) -> Samples:
        """Images with holes; those for validation are the same whenever they are asked for."""
        scenes = open_scenes(self.data, validation=validation)
        return ImagesWithHoles(Clips(scenes, self.settings.clips, self.seed, augment=not validation), self.settings)

    def collate(self, samples: Sequence[Batch]) -> Batch:
        """Stacks."""
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def begin(self, network: nn.Module) -> None:
        """All of it begins fresh."""

    def prepare(self, network: nn.Module, step: int) -> None:
        """Nothing changes with the step."""

    def loss(self, network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        """See ``losses``; and the ratio of signal to noise in holes, also that of the smooth fill."""
        truth, known = batch["image"], batch["known"]
        filled = network(truth * known, known).float()
        fill = smooth_fill(truth, known)
        parts = losses(filled, truth, fill, ~known)
        total = parts["ratio"] + self.settings.log_weight * parts["log_ratio"]
        with torch.no_grad():
            parts["psnr_db"] = hole_psnr_db(filled, truth, ~known)
            parts["smooth_psnr_db"] = hole_psnr_db(fill, truth, ~known)
        return {"loss": total, **parts}

    def picture(self, network: nn.Module, batch: Batch) -> NDArray[np.uint8]:
        """Rows of what is known, the smooth fill, the network's and the truth, of up to four samples."""
        truth, known = batch["image"][:4], batch["known"][:4]
        with torch.no_grad():
            filled = network(truth * known, known).float()
        columns = torch.cat([truth * known, smooth_fill(truth, known), filled, truth], 3)
        return (torch.cat(list(columns), 1) * 255).clamp(0, 255).byte().movedim(0, -1).cpu().numpy()


class ImagesWithHoles:
    """Samples ``image`` float32 [3, H, W], RGB in 0..1, and ``known`` bool [1, H, W]; made of clips."""

    def __init__(self, clips: Clips, settings: InpaintingTaskSettings) -> None:
        """Takes the first image of each of ``clips``."""
        self._clips, self._settings = clips, settings
        self.data_id = clips.data_id

    def __len__(self) -> int:
        """As many as there are clips."""
        return len(self._clips)

    def __getitem__(self, index: int) -> Batch:
        """The first image of clip ``index``, with a hole."""
        clip = self._clips[index]
        known = made_up_known(clip, self._settings, np.random.default_rng([self._clips.seed, index, 4]))
        return {"image": clip["images"][0], "known": known[None]}


def made_up_known(clip: Batch, settings: InpaintingTaskSettings, rng: Generator) -> Tensor:
    """Which pixels of a clip's first image its second saw, or a camera beside the first could have seen.

    Args:
        clip: of two views (``training.clips``).
        settings: how often which.
        rng: what to draw from.

    Returns:
        bool [H, W].
    """
    depth, K = clip["depth"], clip["K"]
    for attempt in range(8):
        if attempt == 0 and rng.random() < settings.view_share:
            warped = warped_depth(depth, K, clip["T_world_camera"], 1, 0)
        else:
            turn_share = 1.0 if attempt == 7 else settings.turn_share
            warped = seen_through(depth[0], K[0], random_camera(rng, depth[0], turn_share=turn_share))
        hole = (~(warped > 0)).float()
        wider = int(rng.integers(settings.wider_px + 1))
        hole = F.max_pool2d(hole[None, None], 2 * wider + 1, 1, wider)[0, 0]
        if HOLE_SHARE[0] <= float(hole.mean()) <= HOLE_SHARE[1]:
            return hole < 0.5
    known = torch.ones(depth.shape[1:], dtype=torch.bool)  # no depth to speak of: half of the image
    known[:, known.shape[1] // 2 :] = False
    return known


def losses(filled: Tensor, truth: Tensor, fill: Tensor, hole: Tensor) -> dict[str, Tensor]:
    """Errors in each image's hole as a share of those of the smooth fill, so that easy images count as hard ones do.

    Args:
        filled: float [B, 3, H, W], ``truth`` outside of ``hole``.
        truth: float [B, 3, H, W].
        fill: float [B, 3, H, W], of ``smooth_fill``.
        hole: bool [B, 1, H, W].

    Returns:
        Means over images: ``ratio`` of the absolute errors, which count by ``weights``, and ``log_ratio`` of the mean
        squared ones, which count alike.
    """
    weight = weights(hole)
    colour, square = _errors(filled - truth, hole, weight)
    with torch.no_grad():
        fill_colour, fill_square = _errors(fill - truth, hole, weight)
    ratio = (colour / (fill_colour + _COLOUR_FLOOR)).mean()
    log_ratio = ((square + _SQUARE_FLOOR) / (fill_square + _SQUARE_FLOOR)).log().mean()
    return {"ratio": ratio, "log_ratio": log_ratio}


def weights(hole: Tensor) -> Tensor:
    """What an error at each pixel counts, float [B, 1, H, W]; 0 where not in ``hole``, see ``FADE``."""
    reached = 1 - F.max_pool2d(hole.float(), 2, ceil_mode=True)
    falls = torch.ones_like(reached)
    for _ in range(FADE_STEPS):
        reached = F.max_pool2d(reached, 3, 1, 1)
        falls = falls + FADE * (1 - reached)
    return F.interpolate(1 / falls, scale_factor=2)[..., : hole.shape[-2], : hole.shape[-1]] * hole


def hole_psnr_db(filled: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """Peak signal to noise in the hole of each image, [B, 1, H, W], then the mean over images; 100 dB at most."""
    error = ((filled.clamp(0, 1) - truth) ** 2 * hole).flatten(1).sum(1)
    return -10 * (error / (3 * hole.flatten(1).sum(1).clamp(min=1))).clamp(min=1e-10).log10().mean()


def _errors(difference: Tensor, hole: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Of each image [B]: absolute error, also of means over squares of 2, 4 and 8 pixels, and mean squared error."""
    square = (difference.square() * hole).flatten(1).sum(1) / (3 * hole.flatten(1).sum(1).clamp(min=1))
    area = 3 * weight.flatten(1).sum(1).clamp(min=1e-6)
    difference = difference * weight
    colour = difference.abs().flatten(1).sum(1)
    for size in (2, 4, 8):
        difference = F.avg_pool2d(difference, 2, ceil_mode=True)
        colour = colour + difference.abs().flatten(1).sum(1) * size**2
    return colour / (4 * area), square


TASK = TaskKind(KIND, InpaintingTaskSettings, InpaintingTask)
