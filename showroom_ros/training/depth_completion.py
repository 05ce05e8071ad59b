"""Training of ``networks.depth_completion``: true depth from what other cameras or a sensor leave of it.

Engstler et al., "Invisible Stitch" (2024), sections 3.2 and 5.1: holes are those of depth projected from another
view, and a share of samples has no depth at all, so that the image is heeded. Besides, there are the holes of a depth
sensor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from showroom_ros.networks.depth_completion import KIND, Prediction
from showroom_ros.settings import setting
from showroom_ros.training.clips import Clips, ClipSettings
from showroom_ros.training.plane_sweep import slope_error
from showroom_ros.training.scenes import open_scenes
from showroom_ros.training.task import Batch, Samples, TaskKind
from showroom_ros.training.warped_holes import random_camera, seen_through, warped_depth

SILOG_LAMBDA = 0.85
"""Share of the mean error that the scale-invariant loss forgives (Eigen et al., 2014)."""
NEAREST_M, FARTHEST_M = 1e-3, 10.0
"""Range a teacher's depth is scaled into."""
CLIPS = ClipSettings(views=2, max_baseline_m=1.2, max_turn_deg=60.0, min_overlap=0.25, scale_range=1.1)
"""Two views far apart; where nothing is known, metres are told from the image, so the scene keeps about its size."""


@dataclass(frozen=True)
class DepthCompletionTaskSettings:
    """What the recipe's ``task`` section may set."""

    clips: ClipSettings = CLIPS
    empty_share: float = setting(0.25, "samples without any known depth", minimum=0.0, maximum=1.0)
    virtual_share: float = setting(0.25, "of the others: holes of a made-up camera", minimum=0.0, maximum=1.0)
    sensor_share: float = setting(0.2, "of the others: holes of a depth sensor", minimum=0.0, maximum=1.0)
    disc_share: float = setting(0.2, "of these lose discs and nothing else", minimum=0.0, maximum=1.0)
    erosion_share: float = setting(0.7, "of warped samples lose the rim of their known depth", minimum=0.0, maximum=1.0)
    noise: float = setting(0.003, "deviation of known depth, as a share of it, up to", minimum=0.0, maximum=0.2)
    teacher_depth: bool = setting(False, "the scenes' depth is relative, of a teacher: scaled at random")


class DepthCompletionTask:
    """Implements ``training.task.Task``."""

    def __init__(self, settings: DepthCompletionTaskSettings, data: str, seed: int) -> None:
        """Opens no recording yet; arguments as ``TaskKind.make``."""
        self.settings, self.data, self.seed = settings, data, seed

    def samples(self, validation: bool) -> Samples:
        """First views of clips with incomplete depth; for validation the same whenever they are asked for."""
        scenes = open_scenes(self.data, validation=validation)
        return IncompleteDepth(Clips(scenes, self.settings.clips, self.seed, augment=not validation), self.settings)

    def collate(self, samples: Sequence[Batch]) -> Batch:
        """Stacks."""
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def begin(self, network: nn.Module) -> None:
        """All of it begins fresh."""

    def prepare(self, network: nn.Module, step: int) -> None:
        """Nothing changes with the step."""

    def loss(self, network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        """See ``losses``."""
        prediction = network(batch["image"], batch["known_depth"], batch["K"])
        return losses(prediction, batch["depth"], batch["known_depth"], batch["is_metric"])

    def picture(self, network: nn.Module, batch: Batch) -> NDArray[np.uint8]:
        """Rows of image, known depth, predicted depth, true depth and confidence, of up to four samples."""
        with torch.no_grad():
            prediction = network(batch["image"], batch["known_depth"], batch["K"])
        rows = []
        for image, known, depth, truth, confidence in zip(
            batch["image"][:4], batch["known_depth"], prediction.depth, batch["depth"], prediction.confidence,
            strict=False,
        ):  # fmt: skip
            planes = [_shaded(known), _shaded(depth), _shaded(truth), confidence]
            rows.append(torch.cat([image, *(plane.expand(3, -1, -1) for plane in planes)], 2))
        return (torch.cat(rows, 1) * 255).clamp(0, 255).byte().movedim(0, -1).cpu().numpy()


class IncompleteDepth:
    """The first view of clips; implements ``training.task.Samples``.

    A sample holds ``image`` float32 [3, H, W] in 0..1, ``depth`` and ``known_depth`` float32 [H, W] (metres, NaN
    unknown), ``K`` float32 [3, 3] and ``is_metric`` bool [], whether the depth's unit can be told from the image.
    """

    def __init__(self, clips: Clips, settings: DepthCompletionTaskSettings) -> None:
        """Takes the first view of each of ``clips``."""
        self._clips, self._settings = clips, settings
        self.data_id = clips.data_id

    def __len__(self) -> int:
        """As many as there are clips."""
        return len(self._clips)

    def __getitem__(self, index: int) -> Batch:
        """Sample ``index``; raises ``DatasetError`` as ``Clips`` do."""
        clip, s = self._clips[index], self._settings
        rng = np.random.default_rng([self._clips.seed, index, 4])
        depth, K, image = clip["depth"][0], clip["K"][0], clip["images"][0]
        if rng.random() < s.empty_share:
            known = torch.full_like(depth, torch.nan)
        elif (kind := rng.random()) < s.sensor_share:
            discs = rng.random() < s.disc_share
            known = without_discs(depth, rng) if discs else sensor_dropout(depth, image, K, rng)
        else:
            if s.teacher_depth or kind < s.sensor_share + s.virtual_share:
                known = seen_through(depth, K, random_camera(rng, depth))
            else:
                known = warped_depth(clip["depth"], clip["K"], clip["T_world_camera"], 1, 0)
            known = eroded(known) if rng.random() < s.erosion_share else known
        noise = torch.from_numpy(rng.standard_normal(tuple(depth.shape), np.float32))
        known = known * (1 + noise.clamp(-3, 3) * float(rng.uniform(0, s.noise)))
        if s.teacher_depth:
            depth, known = scaled_teacher_depth(depth, known, rng)
        is_metric = torch.tensor(not s.teacher_depth)
        return {"image": image, "depth": depth, "known_depth": known, "K": K, "is_metric": is_metric}


def eroded(depth: Tensor) -> Tensor:
    """Depth [H, W] without the known pixels that have an unknown one left, right, above or below."""
    known = F.pad((depth > 0).float(), (1, 1, 1, 1), value=1.0)
    across, down = torch.minimum(known[1:-1, :-2], known[1:-1, 2:]), torch.minimum(known[:-2, 1:-1], known[2:, 1:-1])
    return torch.where(torch.minimum(across, down) > 0, depth, torch.nan)


def sensor_dropout(depth: Tensor, image: Tensor, K: Tensor, rng: Generator) -> Tensor:
    """What a depth sensor would leave: each of its reasons to fail is there in half of all images.

    Surface seen at a grazing angle, far, dark, near an edge of depth, in the shadow of a stereo pair (a band at the
    left), and in blobs (reflections, glass).

    Args:
        depth: float [H, W], metres, NaN unknown.
        image: float [3, H, W], RGB in 0..1.
        K: float [3, 3], pixels.
        rng: what to draw from.

    Returns:
        float [H, W], metres, NaN unknown.
    """
    height, width = depth.shape
    filled = depth.nan_to_num(0.0)
    log_depth = filled.clamp(min=1e-3).log()
    slope_x = F.pad(log_depth[:, 2:] - log_depth[:, :-2], (1, 1)) / 2 * K[0, 0]
    slope_y = F.pad(log_depth[2:] - log_depth[:-2], (0, 0, 1, 1)) / 2 * K[1, 1]
    cosine = 1 / (1 + slope_x.square() + slope_y.square()).sqrt()
    blobs = torch.from_numpy(rng.standard_normal((1, 1, *rng.integers(3, 9, 2)), np.float32))
    blobs = F.interpolate(blobs, (height, width), mode="bicubic", align_corners=True)[0, 0]
    step = F.max_pool2d(log_depth[None, None], 3, 1, 1) + F.max_pool2d(-log_depth[None, None], 3, 1, 1)
    reach = int(rng.integers(0, 4))
    near_edge = F.max_pool2d((step > 0.05).float(), 2 * reach + 1, 1, reach)[0, 0]
    failures = [
        cosine < rng.uniform(0.03, 0.3),
        filled > rng.uniform(2.0, 8.0),
        image.mean(0) < rng.uniform(0.0, 0.2),
        near_edge > 0,
        (torch.arange(width) < rng.uniform(0, 0.1) * width).expand(height, width),
        blobs > torch.quantile(blobs.flatten(), float(rng.uniform(0.5, 1.0))),
    ]
    for failure in failures:
        if rng.random() < 0.5:
            depth = torch.where(failure, torch.nan, depth)
    return depth


def without_discs(depth: Tensor, rng: Generator) -> Tensor:
    """Depth [H, W] without discs of up to a tenth of the width in radius: in all 5 to 50 % of what is known."""
    height, width = depth.shape
    row, column = torch.arange(height)[:, None], torch.arange(width)
    known = torch.nonzero(depth > 0)
    least = len(known) * (1 - float(rng.uniform(0.05, 0.5)))
    while int((depth > 0).sum()) > least:
        y, x = known[int(rng.integers(len(known)))].tolist()
        radius = width * rng.uniform(0.01, 0.1)
        depth = torch.where((row - y).square() + (column - x).square() <= radius**2, torch.nan, depth)
    return depth


def scaled_teacher_depth(depth: Tensor, known: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
    """Relative depth times a random factor, where some is known, so that the unit is learned from what is known.

    The factor is uniform between those that bring the nearest depth to 1 mm and the farthest to 10 m (Engstler et
    al., 2024, released loader); where nothing is known depth stays as it is.

    Args:
        depth: float [H, W] in 0..1, NaN unknown.
        known: float [H, W], what is given of it, NaN unknown.
        rng: what to draw from.

    Returns:
        Both, times the same factor, in 0.001..10.
    """
    if not bool((known > 0).any()):
        return depth.clamp(min=NEAREST_M), known
    valid = depth[depth >= 0]
    nearest, farthest = float(valid.min()), max(float(valid.max()), NEAREST_M)
    low = NEAREST_M / max(nearest, 0.01 * farthest)  # the nearest may be 0, and its factor infinite
    factor = float(rng.uniform(low, FARTHEST_M / farthest))
    return (depth * factor).clamp(NEAREST_M, FARTHEST_M), (known * factor).clamp(NEAREST_M, FARTHEST_M)


def losses(prediction: Prediction, truth: Tensor, known: Tensor, is_metric: Tensor) -> dict[str, Tensor]:
    """Scale-invariant error, error of log depth in the hole and where depth was known, slopes, and the spread.

    Args:
        prediction: of the network, [B, H, W].
        truth: float [B, H, W], metres, NaN unknown.
        known: float [B, H, W], what the network was given.
        is_metric: bool [B]; where not, and nothing is known, the median of the log error is forgiven.
    """
    valid, given = truth > 0, known > 0
    log_depth = prediction.depth.clamp(min=1e-3).log()
    error = torch.where(valid, log_depth - truth.clamp(min=1e-3).log(), 0.0)
    free = ~is_metric & ~given.flatten(1).any(1)
    median = torch.where(valid, error.detach(), torch.nan).flatten(1).nanmedian(1).values.nan_to_num(0.0)
    error = torch.where(valid, error - torch.where(free, median, 0.0)[:, None, None], 0.0)
    hole = valid & ~given
    to_known = torch.where(given, log_depth - known.clamp(min=1e-3).log(), 0.0).abs().clamp(max=0.3)
    spread = prediction.log_spread
    parts = {
        "silog": silog(error, valid),
        "hole": _mean(error.abs(), hole),
        "known": _mean(to_known, given),
        "slope": torch.stack(
            [slope_error(prediction.depth[:, ::n, ::n], truth[:, ::n, ::n]) for n in (1, 2, 4, 8)]
        ).mean(),
        "spread": _mean(error.detach().abs() * (-spread).exp() + spread, valid),
    }
    total = 0.5 * parts["silog"] + parts["hole"] + 0.5 * parts["known"] + 2 * parts["slope"] + 0.1 * parts["spread"]
    with torch.no_grad():
        some = given.flatten(1).any(1)[:, None, None]
        parts["hole_error_m"] = _mean((prediction.depth - truth).abs().nan_to_num(0.0), hole & some)
        parts["empty_log_error"] = _mean(error.abs(), hole & ~some)
    return {"loss": total, **parts}


def silog(error: Tensor, valid: Tensor) -> Tensor:
    """``sqrt(mean(e^2) - 0.85 mean(e)^2)`` of each sample's log errors [B, H, W], and the mean over the samples."""
    count = valid.flatten(1).sum(1).clamp(min=1)
    values = (error * valid).flatten(1)
    mean, square = values.sum(1) / count, values.square().sum(1) / count
    return (square - SILOG_LAMBDA * mean.square()).clamp(min=1e-8).sqrt().mean()


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)


def _shaded(depth: Tensor) -> Tensor:
    """Inverse depth as a grey between 0 (unknown) and 1 (0.5 m)."""
    return (0.5 / depth.nan_to_num(math.inf).clamp(min=0.5)).sqrt()


TASK = TaskKind(KIND, DepthCompletionTaskSettings, DepthCompletionTask)
