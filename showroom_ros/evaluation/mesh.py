"""How close a mesh is to the true one: accuracy, completeness, F-score, normals, colours.

Protocol (after Knapitsch et al. 2017, "Tanks and Temples", and Murez et al. 2020, "Atlas"):

1. ``samples`` points are spread over the area of each mesh with a seed.
2. *Accuracy* and *precision* go from the predicted points to the whole true surface, seen or not: surface
   that was invented where nothing is counts against the prediction.
3. *Completeness* and *recall* go from the true points to the predicted surface. With a visibility mask only
   true points that a camera saw are asked for: what nobody looked at cannot be missed.
4. Distances are exact, from point to triangle, not from sample to sample: identical meshes score 0 m.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.evaluation.plain_values import plain
from showroom_ros.evaluation.point_scores import harmonic_mean
from showroom_ros.evaluation.surface import Surface, sample_surface
from showroom_ros.scene.mesh import Mesh

Visible = Callable[[NDArray[np.float64]], NDArray[np.bool_]]
"""Which of the points [N, 3] a camera saw, bool [N]; a ``VisibilityMask`` is one."""


@dataclass(frozen=True)
class MeshScores:
    """Scores of a mesh; an empty prediction has precision, recall and F-score 0 and the rest NaN.

    Attributes:
        accuracy_m: mean distance of the predicted surface to the true one.
        completeness_m: mean distance of the (visible) true surface to the predicted one.
        chamfer_m: mean of the two.
        precision, recall, f_score: by threshold in metres.
        normal_consistency: mean ``|cos|`` between normals of a point and of its nearest point, both ways.
        color_error: mean absolute RGB difference in [0, 255] of predicted points to their nearest true
            points, among those within the largest threshold.
        predicted_samples: predicted points judged.
        truth_samples: true points judged (the visible ones).
    """

    accuracy_m: float
    completeness_m: float
    chamfer_m: float
    precision: dict[float, float]
    recall: dict[float, float]
    f_score: dict[float, float]
    normal_consistency: float
    color_error: float
    predicted_samples: int
    truth_samples: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: thresholds as strings (``"0.05"``), None for what is not known."""
        return {item.name: plain(getattr(self, item.name)) for item in dataclasses.fields(self)}


def evaluate_mesh(
    predicted: Mesh,
    truth: Mesh,
    thresholds_m: tuple[float, ...] = (0.02, 0.05),
    samples: int = 200_000,
    seed: int = 0,
    visible: Visible | None = None,
    judged: Visible | None = None,
) -> MeshScores:
    """Scores ``predicted`` against ``truth`` by the protocol above.

    Args:
        predicted: mesh to be judged, world frame.
        truth: true mesh in the same frame.
        thresholds_m: distances within which a point counts as right.
        samples: points per mesh.
        seed: of the sampling.
        visible: which true points somebody saw; None = all.
        judged: which predicted points are judged; None = all.

    Raises:
        InputError: the true mesh is empty, or none of it is visible.
    """
    if not len(truth.triangles):
        raise InputError("the true mesh is empty: nothing to score against")
    true_surface, true_samples = Surface(truth), sample_surface(truth, samples, seed)
    true_points, true_normals = true_samples.points, true_samples.normals
    if visible is not None:
        seen = visible(true_points)
        if not seen.any():
            raise InputError(f"none of the {len(seen)} points of the true mesh is visible: wrong poses or frame?")
        true_points, true_normals = true_points[seen], true_normals[seen]
    if not len(predicted.triangles):
        return _nothing_predicted(thresholds_m, len(true_points))

    surface, found = Surface(predicted), sample_surface(predicted, samples, seed + 1)
    kept = slice(None) if judged is None else judged(found.points)
    points, normals = found.points[kept], found.normals[kept]
    if not len(points):
        return _nothing_predicted(thresholds_m, len(true_points))
    to_truth, to_predicted = true_surface.nearest(points), surface.nearest(true_points)
    matched = to_truth.distance_m <= max(thresholds_m)
    color_gap = np.abs(found.colors[kept] - true_surface.colors(to_truth))[matched]
    cosines = (
        np.abs(np.sum(normals * true_surface.normals(to_truth), axis=1)).mean(),
        np.abs(np.sum(true_normals * surface.normals(to_predicted), axis=1)).mean(),
    )
    accuracy, completeness = float(to_truth.distance_m.mean()), float(to_predicted.distance_m.mean())
    precision = {t: float(np.mean(to_truth.distance_m <= t)) for t in thresholds_m}
    recall = {t: float(np.mean(to_predicted.distance_m <= t)) for t in thresholds_m}
    return MeshScores(
        accuracy_m=accuracy,
        completeness_m=completeness,
        chamfer_m=(accuracy + completeness) / 2,
        precision=precision,
        recall=recall,
        f_score={t: harmonic_mean(precision[t], recall[t]) for t in thresholds_m},
        normal_consistency=float(np.mean(cosines)),
        color_error=float(color_gap.mean()) if len(color_gap) else math.nan,
        predicted_samples=len(points),
        truth_samples=len(true_points),
    )


def _nothing_predicted(thresholds_m: tuple[float, ...], truth_samples: int) -> MeshScores:
    zero = dict.fromkeys(thresholds_m, 0.0)
    unknown = math.nan
    return MeshScores(unknown, unknown, unknown, zero, dict(zero), dict(zero), unknown, unknown, 0, truth_samples)
