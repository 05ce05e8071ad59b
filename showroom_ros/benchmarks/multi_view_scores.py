"""What ``showroom benchmark multi_view`` says of one method on one set of photos."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from showroom_ros.benchmarks.multi_view_data import JudgedPhotos, Truth
from showroom_ros.benchmarks.multi_view_methods import Outcome, PredictedView, depth_of
from showroom_ros.errors import InputError
from showroom_ros.evaluation.pointmap import most_confident
from showroom_ros.evaluation.relative_pose import evaluate_relative_poses
from showroom_ros.geometry.se3 import inverse, transform_points
from showroom_ros.geometry.similarity import fit_similarity

_JUDGED_PX = 160
_AGREEING = 0.05
"""Depths that differ by a smaller share agree."""


@dataclass(frozen=True)
class CloudScores:
    """Distances in metres after registration by a similarity, as ``evaluation.pointmap`` has them."""

    accuracy_m: float
    accuracy_median_m: float
    completion_m: float
    completion_median_m: float


def registered_share(outcome: Outcome) -> float:
    """Share of the photos that have a pose."""
    return float(np.isfinite(outcome.T_world_camera).all((1, 2)).mean())


def pose_accuracy(predicted: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Mean average accuracy at 30 degrees over all pairs with a baseline; those without both poses have failed.

    Args:
        predicted: [N, 4, 4]; NaN where there is none.
        truth: [N, 4, 4].
    """
    placed = np.flatnonzero(np.isfinite(predicted).all((1, 2)))
    pairs = evaluate_relative_poses(truth, truth).pairs_with_baseline
    if len(placed) < 2 or not pairs:
        return 0.0
    scores = evaluate_relative_poses(predicted[placed], truth[placed])
    return scores.maa_30 * scores.pairs_with_baseline / pairs if scores.pairs_with_baseline else 0.0


def cloud_scores(outcome: Outcome, truth: list[Truth]) -> CloudScores | None:
    """Accuracy of all predicted points whose true point is known, completion of the true points of all photos.

    As ``evaluate_pointmaps``, but photos that were not placed are missing in the prediction, and completion still
    asks for them. The most confident 15 % of the pixels register.

    Returns:
        None where there are no pointmaps.
    """
    rows = [_compared(view, truth[number]) for number, view in outcome.views.items()]
    if not rows:
        return None
    x, y, confidence = (np.concatenate(part) for part in zip(*rows, strict=True))
    try:
        fit = fit_similarity(x, y, most_confident(confidence))
    except InputError:  # fewer than three, or all at one place
        return None
    x = fit.apply(x)
    everything = np.concatenate([true.points() for true in truth])
    accuracy, _ = cKDTree(everything).query(x)
    completion, _ = cKDTree(x).query(everything)
    means = float(accuracy.mean()), float(np.median(accuracy)), float(completion.mean()), float(np.median(completion))
    return CloudScores(*means)


def scale_ratio(outcome: Outcome, truth: list[Truth]) -> float | None:
    """Median of predicted over true depth; None where nothing is predicted.

    Of sparse points those that fall into a photo count; some may be hidden in it, which the median bears.
    """
    ratios = []
    for number, view in outcome.views.items():
        true_depth = truth[number].depth_at(*view.in_photo())
        ratios.append((depth_of(view.points, outcome.T_world_camera[number]) / true_depth).ravel())
    if outcome.sparse is not None:
        for placed, true in zip(outcome.T_world_camera, truth, strict=True):
            if not np.isfinite(placed).all():
                continue
            pixels, z = true.camera.project(transform_points(inverse(placed), outcome.sparse))
            inside = z > 0
            ratios.append(z[inside] / true.depth_at(*pixels[inside].T))
    all_ratios = np.concatenate(ratios) if ratios else np.zeros(0)
    all_ratios = all_ratios[np.isfinite(all_ratios)]
    return float(np.median(all_ratios)) if len(all_ratios) else None


def consistency(outcome: Outcome) -> float | None:
    """How far the photos' depths agree where no truth is known.

    Points of one photo that fall into another, of all ordered pairs: share whose depth there differs by less than
    5 %. Hidden points count against it, for all methods alike. None where no point falls into another photo.
    """
    agreeing, seen = 0, 0
    for a, b in itertools.permutations(outcome.views, 2):
        of_a, of_b = outcome.views[a], outcome.views[b]
        pose = outcome.T_world_camera[b]
        local = transform_points(inverse(pose), _thinned(of_a.points).reshape(-1, 3))
        local = local[np.isfinite(local).all(1)]
        pixels, z = of_b.camera.project(local)
        depth = depth_of(of_b.points, pose)
        there = Truth(of_b.camera, pose, np.asarray(depth, np.float32))
        ahead = z > 0
        difference = np.abs(z[ahead] / there.depth_at(*pixels[ahead].T) - 1)
        seen += int(np.isfinite(difference).sum())
        agreeing += int((difference < _AGREEING).sum())
    return agreeing / seen if seen else None


def scores_of(photos: JudgedPhotos, outcome: Outcome) -> dict[str, float | None]:
    """All that can be said of photos of which nothing was given."""
    found: dict[str, float | None] = {"registered": registered_share(outcome)}
    if np.isfinite(outcome.reprojection_px):
        found["reprojection_px"] = outcome.reprojection_px
    if not photos.truth:
        return {**found, "consistency": consistency(outcome)}
    found["auc30"] = pose_accuracy(outcome.T_world_camera, photos.poses())
    cloud = cloud_scores(outcome, photos.truth)
    return {**found, **(vars(cloud) if cloud is not None else {})}


def _compared(
    view: PredictedView, truth: Truth
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Predicted points [n, 3], true points [n, 3] and confidences [n] of pixels that have all of them."""
    u, v = view.in_photo()
    x = np.asarray(_thinned(view.points), np.float64).reshape(-1, 3)
    y = truth.points_at(_thinned(u), _thinned(v)).reshape(-1, 3)
    both = np.isfinite(x).all(1) & np.isfinite(y).all(1)
    return x[both], y[both], np.asarray(_thinned(view.confidence), np.float64).ravel()[both]


def _thinned(plane: NDArray[Any]) -> NDArray[Any]:
    """Every n-th pixel of both sides, at most 160 or so a row."""
    step = max(1, plane.shape[1] // _JUDGED_PX)
    return plane[::step, ::step]
