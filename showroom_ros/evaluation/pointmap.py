"""Pointmaps against true points: accuracy, completion, normal consistency (Wang et al., DUSt3R; Fast3R 2025)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from showroom_ros.errors import InputError
from showroom_ros.geometry.similarity import Similarity, fit_similarity

NEIGHBOURS = 30
"""Points a normal is fitted to, itself included (the default of Open3D's ``estimate_normals``)."""

_CONFIDENT_SHARE = 0.15


@dataclass(frozen=True)
class PointmapScores:
    """Scores of registered pointmaps, in the units of the truth (metres).

    Attributes:
        accuracy_m, accuracy_median_m: mean and median distance of predicted points to the nearest true one.
        completion_m, completion_median_m: of true points to the nearest predicted one.
        normal_consistency: mean of the next two.
        normal_consistency_accuracy: mean ``|cos|`` between a predicted point's normal and its nearest true one's.
        normal_consistency_completion: the same from true to predicted points.
        scale: of the registration.
        points: pixels compared.
    """

    accuracy_m: float
    accuracy_median_m: float
    completion_m: float
    completion_median_m: float
    normal_consistency: float
    normal_consistency_accuracy: float
    normal_consistency_completion: float
    scale: float
    points: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def evaluate_pointmaps(
    predicted: ArrayLike, truth: ArrayLike, confidence: ArrayLike | None = None, *, register: bool = True
) -> PointmapScores:
    """Registers the prediction to the truth by a similarity over corresponding pixels, then scores it.

    Only the most confident 15 % of the pixels are used to register; all pixels with true point are judged.

    Args:
        predicted: [..., 3] points of the pixels of any number of views, one common frame.
        truth: [..., 3] true points of the same pixels; NaN where unknown.
        confidence: [...]; None = all pixels register.
        register: False compares the points as they are.

    Raises:
        InputError: shapes differ, fewer than 3 pixels with true and predicted point, or predictions that are not
            finite where the truth is known.
    """
    x, y = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if x.shape != y.shape or x.shape[-1:] != (3,):
        raise InputError(f"predicted points are {x.shape}, true ones {y.shape}, expected both (..., 3)")
    if confidence is not None and np.shape(confidence) != x.shape[:-1]:
        raise InputError(f"confidence is {np.shape(confidence)}, expected {x.shape[:-1]}")
    known = np.isfinite(y).all(axis=-1)
    x, y = x[known], y[known]
    if not np.isfinite(x).all():
        raise InputError(f"{int((~np.isfinite(x).all(axis=1)).sum())} of {len(x)} predicted points are not finite")
    if len(x) < 3:
        raise InputError(f"{len(x)} pixels have a true point, expected at least 3")
    fit = Similarity(1.0, np.eye(3), np.zeros(3))
    if register:
        weights = None if confidence is None else most_confident(np.asarray(confidence, np.float64)[known])
        fit = fit_similarity(x, y, weights)
        x = fit.apply(x)
    to_truth, nearest_truth = cKDTree(y).query(x)
    to_predicted, nearest_predicted = cKDTree(x).query(y)
    normals_x, normals_y = estimate_normals(x), estimate_normals(y)
    forth = float(np.abs((normals_x * normals_y[nearest_truth]).sum(axis=1)).mean())
    back = float(np.abs((normals_y * normals_x[nearest_predicted]).sum(axis=1)).mean())
    return PointmapScores(
        accuracy_m=float(to_truth.mean()),
        accuracy_median_m=float(np.median(to_truth)),
        completion_m=float(to_predicted.mean()),
        completion_median_m=float(np.median(to_predicted)),
        normal_consistency=(forth + back) / 2,
        normal_consistency_accuracy=forth,
        normal_consistency_completion=back,
        scale=fit.scale,
        points=len(x),
    )


def most_confident(confidence: NDArray[np.float64], share: float = _CONFIDENT_SHARE) -> NDArray[np.float64]:
    """Weights [N]: 1 for confidences from the quantile ``1 - share`` on, else 0; all 1 if fewer than 3 are."""
    if not np.isfinite(confidence).all():
        raise InputError("confidences are not finite")
    chosen = confidence >= np.quantile(confidence, 1 - share)
    return (chosen if chosen.sum() >= 3 else np.ones_like(chosen)).astype(np.float64)


def estimate_normals(points: NDArray[np.float64], neighbours: int = NEIGHBOURS) -> NDArray[np.float64]:
    """Unit normals [N, 3], of either sign: the direction of least spread among the nearest points.

    Args:
        points: [N, 3], N at least 3.
        neighbours: points each normal is fitted to, the point itself included.

    Raises:
        InputError: fewer than 3 points.
    """
    if len(points) < 3:
        raise InputError(f"normals of {len(points)} points, expected at least 3")
    tree = cKDTree(points)
    normals = np.empty((len(points), 3))
    for start in range(0, len(points), 100_000):
        part = slice(start, start + 100_000)
        _, near = tree.query(points[part], min(neighbours, len(points)))
        around = points[near]
        around -= around.mean(axis=1, keepdims=True)
        _, directions = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))
        normals[part] = directions[:, :, 0]
    return normals
