"""Losses of how samples of a batch lie to each other (Park et al., Relational Knowledge Distillation, CVPR 2019)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from showroom_ros.errors import InputError

_COINCIDENT = 1e-12
"""Squared distance up to which two embeddings count as one: it has no direction, and no gradient."""


def rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Difference of the distances between samples, each over their mean (Park et al., eq. 5 and 6).

    Invariant to motions and to the scale of either batch. The smooth L1 distance is the mean over all N x N pairs,
    those of a sample with itself included; the mean distance is that of the others. A batch of one has no distances:
    its loss is 0.

    Args:
        student: float [N, D], embeddings of a batch.
        teacher: float [N, D], of the same batch; gets no gradient.

    Raises:
        InputError: the shapes differ or are not [N, D].
    """
    _check(student, teacher)
    return F.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher.detach()))


def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Difference of the cosines of the angles between samples (Park et al., eq. 8 and 9).

    Invariant to motions and to the scale of either batch. The smooth L1 distance is the mean over all N^3 triples,
    those with a sample twice included; memory is that of N^3 numbers. Batches of one and of two have no angles: their
    loss is 0.

    Args:
        student: float [N, D], embeddings of a batch.
        teacher: float [N, D], of the same batch; gets no gradient.

    Raises:
        InputError: the shapes differ or are not [N, D].
    """
    _check(student, teacher)
    return F.smooth_l1_loss(_angle_cosines(student), _angle_cosines(teacher.detach()))


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the mean cosine between the two embeddings of a sample; 1 for an embedding of length 0.

    Args:
        student: float [N, D].
        teacher: float [N, D], gets no gradient.

    Raises:
        InputError: the shapes differ or are not [N, D].
    """
    _check(student, teacher)
    return 1 - (_unit(student) * _unit(teacher.detach())).sum(-1).mean()


def _relative_distances(x: Tensor) -> Tensor:
    """Distances [N, N] of embeddings [N, D] over the mean of those between different samples."""
    squared = (x[None] - x[:, None]).square().sum(-1)
    apart = squared > _COINCIDENT
    distance = torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), 0.0)
    mean = distance.sum() / max(len(x) * (len(x) - 1), 1)
    return distance / mean.clamp(min=_COINCIDENT**0.5)


def _angle_cosines(x: Tensor) -> Tensor:
    """Cosines [N, N, N] of the angles j-i-k, at ``[i, j, k]``, of embeddings [N, D]."""
    direction = _unit(x[None] - x[:, None])
    return direction @ direction.transpose(1, 2)


def _unit(x: Tensor) -> Tensor:
    """Vectors [..., D] of length 1; those of length 0 stay, without a gradient."""
    squared = x.square().sum(-1, keepdim=True)
    long = squared > _COINCIDENT
    return torch.where(long, x / torch.where(long, squared, 1.0).sqrt(), 0.0)


def _check(student: Tensor, teacher: Tensor) -> None:
    if student.ndim != 2 or not student.numel() or student.shape != teacher.shape:
        raise InputError(
            f"embeddings of student and teacher are {tuple(student.shape)} and {tuple(teacher.shape)}, "
            "expected both (N, D)"
        )
