"""Poses of unordered photos, judged by all pairs of them (Wang et al., PoseDiffusion, ICCV 2023; Fast3R)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.errors import InputError
from showroom_ros.evaluation.plain_values import plain
from showroom_ros.evaluation.trajectory import rotation_angles_deg
from showroom_ros.geometry.se3 import checked_pose

THRESHOLDS_DEG = (5.0, 15.0, 30.0)
_BINS = 31


@dataclass(frozen=True)
class RelativePoseScores:
    """Scores over all pairs of views; NaN where no pair counts.

    Attributes:
        rra: share of pairs whose relative rotation is off by less than the threshold in degrees.
        rta: the same for the direction of the relative translation, whose sign does not count; pairs without
            a true baseline are left out.
        auc: area under the share of pairs whose larger error is below t, for t from 0 to the threshold, over the
            threshold: mean of ``max(0, 1 - error / threshold)``; same pairs as ``rta``.
        maa_30: mean of the cumulative histogram of the larger error, 31 bins from 0 to 30 degrees.
        median_rotation_deg, median_translation_deg: of the two errors.
        pairs: pairs of views.
        pairs_with_baseline: those whose true cameras are apart.
    """

    rra: dict[float, float]
    rta: dict[float, float]
    auc: dict[float, float]
    maa_30: float
    median_rotation_deg: float
    median_translation_deg: float
    pairs: int
    pairs_with_baseline: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; None for NaN."""
        values: dict[str, Any] = plain(asdict(self))
        return values


def evaluate_relative_poses(
    predicted: ArrayLike,
    truth: ArrayLike,
    thresholds_deg: tuple[float, ...] = THRESHOLDS_DEG,
    *,
    least_baseline: float = 1e-6,
) -> RelativePoseScores:
    """Compares the relative pose of every pair of views.

    The angle between translations is ``acos |cos|``, at most 90 degrees: their sign does not count, nor their
    length. Where the true cameras of a pair are at one place it has no direction and the pair counts for the
    rotation only; where only the predicted ones are, the error is 90 degrees.

    Args:
        predicted: [N, 4, 4], ``T_world_camera`` of the views in any frame and scale.
        truth: [N, 4, 4], the true ones, in the same order.
        thresholds_deg: of the scores.
        least_baseline: cameras nearer than this share of the largest distance between cameras are at one place.

    Raises:
        InputError: shapes differ, fewer than 2 views, or a pose that is none.
    """
    mine, theirs = _checked(predicted, "predicted"), _checked(truth, "true")
    if len(mine) != len(theirs) or len(mine) < 2:
        raise InputError(f"{len(mine)} predicted and {len(theirs)} true poses, expected as many, at least 2")
    first, second = np.triu_indices(len(mine), 1)
    rotation_deg = rotation_angles_deg(np.swapaxes(_turns(theirs, first, second), 1, 2) @ _turns(mine, first, second))
    t_mine, t_theirs = _baselines(mine, first, second), _baselines(theirs, first, second)
    moved, has_baseline = (_is_apart(t, least_baseline) for t in (t_mine, t_theirs))
    lengths = np.linalg.norm(t_mine, axis=1) * np.linalg.norm(t_theirs, axis=1)
    cosine = np.abs((t_mine * t_theirs).sum(axis=1)) / np.where(lengths > 0, lengths, 1.0)
    sine = np.linalg.norm(np.cross(t_mine, t_theirs), axis=1) / np.where(lengths > 0, lengths, 1.0)
    translation_deg = np.where(moved, np.degrees(np.arctan2(sine, cosine)), 90.0)[has_baseline]
    larger_deg = np.maximum(rotation_deg[has_baseline], translation_deg)
    return RelativePoseScores(
        rra={t: float(np.mean(rotation_deg < t)) for t in thresholds_deg},
        rta={t: _mean(translation_deg < t) for t in thresholds_deg},
        auc={t: _mean(np.maximum(0.0, 1 - larger_deg / t)) for t in thresholds_deg},
        maa_30=mean_average_accuracy(larger_deg),
        median_rotation_deg=float(np.median(rotation_deg)),
        median_translation_deg=float(np.median(translation_deg)) if len(translation_deg) else math.nan,
        pairs=len(first),
        pairs_with_baseline=int(has_baseline.sum()),
    )


def mean_average_accuracy(errors_deg: NDArray[np.float64]) -> float:
    """mAA(30): mean of the cumulative histogram of errors [N] in 31 equal bins from 0 to 30; NaN for none."""
    if not len(errors_deg):
        return math.nan
    counts, _ = np.histogram(errors_deg, _BINS, (0.0, 30.0))
    return float(np.mean(np.cumsum(counts / len(errors_deg))))


def _checked(poses: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(poses, np.float64)
    if array.ndim != 3 or array.shape[1:] != (4, 4):
        raise InputError(f"{name} poses are {array.shape}, expected (N, 4, 4)")
    return np.array([checked_pose(pose, f"{name} pose {i}") for i, pose in enumerate(array)]).reshape(-1, 4, 4)


def _turns(poses: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rotation of ``T_first_second`` of each pair, [P, 3, 3]."""
    return np.swapaxes(poses[first, :3, :3], 1, 2) @ poses[second, :3, :3]


def _baselines(poses: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Translation of ``T_first_second`` of each pair, [P, 3]."""
    return np.einsum("nji,nj->ni", poses[first, :3, :3], poses[second, :3, 3] - poses[first, :3, 3])


def _is_apart(baselines: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    lengths = np.linalg.norm(baselines, axis=1)
    return lengths > least * max(float(lengths.max()), 1e-12)


def _mean(values: NDArray) -> float:
    return float(np.mean(values)) if len(values) else math.nan
