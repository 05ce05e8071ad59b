"""Training of ``networks.plane_sweep``: clips of posed video with depth, with and without a hint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from showroom_ros.networks.plane_sweep import KIND, Prediction
from showroom_ros.settings import setting
from showroom_ros.training.clips import Clips, ClipSettings
from showroom_ros.training.hints import made_up_hint
from showroom_ros.training.scenes import open_scenes
from showroom_ros.training.task import Batch, Samples, TaskKind

CORRECT = 0.04
"""Relative error up to which a depth counts as right, for the confidence."""


@dataclass(frozen=True)
class PlaneSweepTaskSettings:
    """What the recipe's ``task`` section may set."""

    clips: ClipSettings = field(default_factory=ClipSettings)
    references: int = setting(2, "images of a clip whose depth is predicted", minimum=1, maximum=16)
    hint_share: float = setting(0.5, "share of samples that come with a hint", minimum=0.0, maximum=1.0)


class PlaneSweepTask:
    """Implements ``training.task.Task``."""

    def __init__(self, settings: PlaneSweepTaskSettings, data: str, seed: int) -> None:
        """Opens no recording yet; arguments as ``TaskKind.make``."""
        self.settings, self.data, self.seed = settings, data, seed

    def samples(self, validation: bool) -> Samples:
        """Clips with hints; those for validation are the same whenever they are asked for."""
        return HintedClips(
            Clips(
                open_scenes(self.data, validation=validation), self.settings.clips, self.seed, augment=not validation
            ),
            self.settings,
        )

    def collate(self, samples: Sequence[Batch]) -> Batch:
        """Stacks."""
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def begin(self, network: nn.Module) -> None:
        """All of it begins fresh."""

    def prepare(self, network: nn.Module, step: int) -> None:
        """Nothing changes with the step."""

    def loss(self, network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        """See ``losses``; the mean over the references."""
        numbers = tuple(range(self.settings.references))
        predictions = network(
            batch["images"], batch["K"], batch["T_world_camera"], numbers, batch["hint"], batch["hint_confidence"]
        )
        parts = [losses(prediction, batch["depth"][:, number]) for number, prediction in enumerate(predictions)]
        return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}

    def picture(self, network: nn.Module, batch: Batch) -> NDArray[np.uint8]:
        """Rows of image, true depth, predicted depth and confidence, of up to four samples."""
        with torch.no_grad():
            prediction = network(
                batch["images"], batch["K"], batch["T_world_camera"], (0,), batch["hint"], batch["hint_confidence"]
            )[0]
        rows = []
        for image, truth, depth, confidence in zip(
            batch["images"][:4, 0], batch["depth"][:4, 0], prediction.depth, prediction.confidence, strict=False
        ):
            planes = [_shaded(truth), _shaded(depth), confidence]
            rows.append(torch.cat([image, *(plane.expand(3, -1, -1) for plane in planes)], 2))
        return (torch.cat(rows, 1) * 255).clamp(0, 255).byte().movedim(0, -1).cpu().numpy()


class HintedClips:
    """Clips with ``hint`` [R, H, W] (metres, NaN none) and ``hint_confidence`` [R, H, W] for their references."""

    def __init__(self, clips: Clips, settings: PlaneSweepTaskSettings) -> None:
        """Adds to ``clips``."""
        self._clips, self._settings = clips, settings
        self.data_id = clips.data_id

    def __len__(self) -> int:
        """As many as there are clips."""
        return len(self._clips)

    def __getitem__(self, index: int) -> Batch:
        """Clip ``index`` with its hints."""
        clip = self._clips[index]
        rng = np.random.default_rng([self._clips.seed, index, 3])
        truth = clip["depth"][: self._settings.references]
        hint, confidence = torch.full_like(truth, torch.nan), torch.zeros_like(truth)
        for row, depth in enumerate(truth):
            if rng.random() < self._settings.hint_share:
                hint[row], confidence[row] = made_up_hint(depth, rng)
        return {**clip, "hint": hint, "hint_confidence": confidence}


def losses(prediction: Prediction, truth: Tensor) -> dict[str, Tensor]:
    """Cross-entropy of both volumes, absolute error of log depth at all levels, its slope, and the confidence.

    Args:
        prediction: of the network.
        truth: float [B, H, W], metres, NaN unknown.
    """
    eighth, quarter = truth[:, 4::8, 4::8], truth[:, 2::4, 2::4]
    before, after, fine, final = prediction.levels
    parts = {
        "coarse_planes": plane_cross_entropy(prediction.coarse_logits, prediction.coarse_planes, eighth),
        "fine_planes": plane_cross_entropy(prediction.fine_logits, prediction.fine_planes, quarter),
        "coarse_depth": 3 * log_error(after, eighth) + log_error(before, eighth),
        "fine_depth": log_error(fine, quarter) + 6 * log_error(final, quarter),
        "depth": 6 * log_error(prediction.depth, truth),
        "slope": torch.stack([3 * slope_error(final[:, ::n, ::n], quarter[:, ::n, ::n]) for n in (1, 2, 4)]).sum(),
        "confidence": confidence_loss(prediction.confidence_logits, final, quarter),
    }
    total = 0.5 * parts["coarse_planes"] + 0.3 * parts["fine_planes"] + 0.5 * parts["confidence"]
    total = total + parts["coarse_depth"] + parts["fine_depth"] + parts["depth"] + parts["slope"]
    with torch.no_grad():
        known = truth > 0
        relative = ((prediction.depth - truth).abs() / truth)[known]
        parts["abs_rel"] = relative.mean()
        parts["within_5_percent"] = (relative < 0.05).float().mean()
    return {"loss": total, **parts}


def log_error(depth: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of log depth where the truth [B, h, w] is known; beyond 0.5 it counts half."""
    error = (depth.clamp(min=1e-3).log() - truth.clamp(min=1e-3).log()).abs()[truth > 0]
    return torch.where(error < 0.5, error, 0.25 + 0.5 * error).mean()


def slope_error(depth: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the slopes of log depth, where both neighbours of the truth are known."""
    difference = depth.clamp(min=1e-3).log() - truth.clamp(min=1e-3).log()
    steps = [(difference[:, :, 1:] - difference[:, :, :-1]).abs(), (difference[:, 1:] - difference[:, :-1]).abs()]
    return torch.stack([step[step.isfinite()].clamp(max=0.3).mean() for step in steps]).mean()


def plane_cross_entropy(logits: Tensor, log_planes: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of hypotheses [B, D, h, w]; the truth [B, h, w] is shared by its two neighbours among them.

    Truth that is not known or beyond the hypotheses says nothing.
    """
    step = log_planes[:, 1] - log_planes[:, 0]
    place = (truth.clamp(min=1e-3).log() - log_planes[:, 0]) / step
    known = (truth > 0) & (place >= 0) & (place <= logits.shape[1] - 1)
    place = torch.where(known, place, 0.0)
    low = place.floor().clamp(max=logits.shape[1] - 2)
    share = place - low
    chance = logits.log_softmax(1)
    at_low = chance.gather(1, low.long()[:, None])[:, 0]
    at_high = chance.gather(1, low.long()[:, None] + 1)[:, 0]
    return -((1 - share) * at_low + share * at_high)[known].sum() / known.sum().clamp(min=1)


def confidence_loss(logits: Tensor, depth: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy of being right within ``CORRECT``; the depth itself gets no gradient from it."""
    known = truth > 0
    right = ((depth.detach() - truth).abs() < CORRECT * truth).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits[known], right[known])


def _shaded(depth: Tensor) -> Tensor:
    """Inverse depth as a grey between 0 (unknown) and 1 (0.5 m)."""
    return (0.5 / depth.nan_to_num(torch.inf).clamp(min=0.5)).sqrt()


TASK = TaskKind(KIND, PlaneSweepTaskSettings, PlaneSweepTask)
