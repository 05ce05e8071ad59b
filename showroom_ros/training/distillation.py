"""A network of pointmaps learns from a larger one: pixel by pixel, and by relations (Park et al., CVPR 2019)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showroom_ros.errors import InputError, SettingsError
from showroom_ros.networks.fast3r import KIND, Pointmap
from showroom_ros.networks.weights import load_weights
from showroom_ros.settings import setting
from showroom_ros.training.pointmap_losses import normalised_pair
from showroom_ros.training.relational_losses import cosine, rkd_angle, rkd_distance

TERMS = ("distance", "angle", "cosine", "dense", "confidence")
"""What ``DistillationSettings`` weighs of student and teacher."""


@dataclass(frozen=True)
class DistillationSettings:
    """What the recipe's ``task.distillation`` section may set; ShowRoom has 1, 2, 1, 0, 0 and truth 0."""

    teacher: str = setting("", "file of its weights, or their name in the manifest; empty = no distillation")
    distance: float = setting(0.0, "weight of the distances between samples", minimum=0.0, maximum=1e6)
    angle: float = setting(0.0, "weight of the angles between samples", minimum=0.0, maximum=1e6)
    cosine: float = setting(0.0, "weight of the angle between student and teacher", minimum=0.0, maximum=1e6)
    dense: float = setting(1.0, "weight of the points of both heads, pixel by pixel", minimum=0.0, maximum=1e6)
    confident_share: float = setting(
        0.9, "dense: share of each view's pixels, those the teacher is surest of", minimum=0.01, maximum=1.0
    )
    confidence: float = setting(0.1, "weight of the log confidence of both heads", minimum=0.0, maximum=1e6)
    truth: float = setting(1.0, "weight of the loss of the true points", minimum=0.0, maximum=1e6)


class Teacher:
    """A trained network that is asked and never trained; no part of any state dict."""

    def __init__(self, weights: str) -> None:
        """Reads nothing yet: ``weights`` as ``load_weights`` takes them."""
        self.weights = weights
        self._network: nn.Module | None = None

    def __call__(self, images: Tensor, view_ids: Tensor, dtype: torch.dtype = torch.float32) -> list[Pointmap]:
        """What it makes of images, without a gradient, on their device; arguments as ``Fast3r.forward``.

        Raises:
            WeightsError: its weights cannot be used (the first time), or are of another network.
            InputError: it does not take these images or ids.
        """
        if self._network is None:
            self._network = load_weights(self.weights, KIND).network.eval().requires_grad_(False)
        self._network.to(images.device)
        with torch.no_grad():
            pointmaps: list[Pointmap] = self._network(images, view_ids, dtype=dtype)
        return pointmaps


def check_distillation(settings: DistillationSettings) -> None:
    """Whether there is anything to learn.

    Raises:
        SettingsError: a teacher, but every weight is 0.
    """
    if settings.teacher and not any(getattr(settings, name) for name in (*TERMS, "truth")):
        raise SettingsError(
            f"distillation: teacher is '{settings.teacher}' and all weights are 0, "
            f"expected one of {', '.join(TERMS)}, truth above 0"
        )


def distillation_losses(
    student: Sequence[Pointmap], teacher: Sequence[Pointmap], settings: DistillationSettings, *, metric: bool = False
) -> dict[str, Tensor]:
    """What the student is to learn of the teacher: ``distillation`` and its parts, ``teacher_...``, before weighing.

    Parts whose weight is 0 are left out. The loss of the truth is none of them.

    Args:
        student: of V views.
        teacher: of the same views with the same ids; gets no gradient.
        settings: weights.
        metric: the dense part compares scales too, see ``normalised_pair``.

    Raises:
        InputError: other views, or one sample alone to learn relations from (where the student learns at all).
    """
    _check_views(student, teacher)
    relations = settings.distance or settings.angle
    if relations and len(student[0].points) < 2 and student[0].points.requires_grad:
        raise InputError(
            f"a batch of {len(student[0].points)}: distances and angles are between samples, expected at least 2 "
            "(batch), or distance and angle 0"
        )
    relation = view_centres(student), view_centres(teacher)
    terms: dict[str, Callable[[], Tensor]] = {
        "distance": lambda: rkd_distance(*relation),
        "angle": lambda: rkd_angle(*relation),
        "cosine": lambda: cosine(*relation),
        "dense": lambda: dense_loss(student, teacher, settings.confident_share, metric=metric),
        "confidence": lambda: confidence_loss(student, teacher),
    }
    weights = {name: getattr(settings, name) for name in TERMS if getattr(settings, name)}
    parts = {name: terms[name]() for name in weights}
    total = relation[0].new_zeros(())
    for name, weight in weights.items():
        total = total + weight * parts[name]
    return {**{f"teacher_{name}": part for name, part in parts.items()}, "distillation": total}


def view_centres(pointmaps: Sequence[Pointmap]) -> Tensor:
    """ShowRoom's features of a sample, float [B, 3 V]: the mean of each view's points in the first camera's frame."""
    return torch.cat([pointmap.points.mean((1, 2)) for pointmap in pointmaps], 1)


def dense_loss(
    student: Sequence[Pointmap], teacher: Sequence[Pointmap], confident_share: float, *, metric: bool
) -> Tensor:
    """Smooth L1 distance of the normalised points, where the teacher is sure; mean of both heads.

    Args:
        student: of V views of one size.
        teacher: of the same views; gets no gradient.
        confident_share: of the pixels of each view, those with the teacher's highest confidence.
        metric: as in ``normalised_pair``.
    """
    heads = []
    for points, confidence, per_view in (("points", "confidence", False), ("local_points", "local_confidence", True)):
        truth = _stacked(teacher, points).detach()
        sure = _stacked(teacher, confidence).detach()
        valid = most_confident(sure, confident_share) & truth.isfinite().all(-1)
        guess, truth = normalised_pair(_stacked(student, points), truth, valid, per_view=per_view, metric=metric)
        error = F.smooth_l1_loss(guess, truth, reduction="none").mean(-1)
        heads.append(torch.where(valid, error, 0.0).sum() / valid.sum().clamp(min=1))
    return torch.stack(heads).mean()


def most_confident(confidence: Tensor, share: float) -> Tensor:
    """Whether a pixel is among the ``share`` of its view with the highest confidence; bool, as float [B, V, H, W].

    As many pixels as the share, rounded, at least one; more where several are as confident as the last of them.
    """
    flat = confidence.flatten(-2)
    kept = min(max(1, round(share * flat.shape[-1])), flat.shape[-1])
    least = flat.kthvalue(flat.shape[-1] - kept + 1, dim=-1).values
    return confidence >= least[..., None, None]


def confidence_loss(student: Sequence[Pointmap], teacher: Sequence[Pointmap]) -> Tensor:
    """Smooth L1 distance of the log confidences of all pixels; mean of both heads."""
    heads = [
        F.smooth_l1_loss(_stacked(student, name).log(), _stacked(teacher, name).detach().log())
        for name in ("confidence", "local_confidence")
    ]
    return torch.stack(heads).mean()


def _stacked(pointmaps: Sequence[Pointmap], name: str) -> Tensor:
    """A field of V pointmaps as [B, V, ...]."""
    return torch.stack([getattr(pointmap, name) for pointmap in pointmaps], 1)


def _check_views(student: Sequence[Pointmap], teacher: Sequence[Pointmap]) -> None:
    shapes = [[tuple(pointmap.points.shape) for pointmap in pointmaps] for pointmaps in (student, teacher)]
    if not student or shapes[0] != shapes[1]:
        raise InputError(f"points of the student are {shapes[0]}, of the teacher {shapes[1]}, expected the same views")
