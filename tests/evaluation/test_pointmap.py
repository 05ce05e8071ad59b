"""Pointmaps against true points, by hand and against Open3D."""

from __future__ import annotations

import json

import numpy as np
import pytest

from showroom_ros.errors import InputError
from showroom_ros.evaluation.pointmap import estimate_normals, evaluate_pointmaps, most_confident
from showroom_ros.geometry.se3 import rotation_from_quat
from showroom_ros.geometry.similarity import Similarity

FIT = Similarity(0.3, rotation_from_quat((0.6, 0, 0.8, 0)), np.array([4.0, -1, 2]))


def corner(step: float = 0.02) -> np.ndarray:
    """Floor and wall of half a metre, as a pointmap [H, W, 3]."""
    along, across = np.meshgrid(np.arange(0, 0.5, step), np.arange(-0.5, 0.5, step), indexing="ij")
    return np.stack([along, np.maximum(across, 0), np.maximum(-across, 0)], axis=-1)


def test_a_similarity_of_the_truth_is_perfect() -> None:
    scores = evaluate_pointmaps(FIT.apply(corner()), corner())
    assert scores.accuracy_m < 1e-9
    assert scores.completion_median_m < 1e-9
    assert scores.normal_consistency == pytest.approx(1, abs=1e-3)  # at the corner, which of two equally near is open
    assert scores.scale == pytest.approx(1 / 0.3)
    assert scores.points == corner()[..., 0].size


def test_by_hand_unregistered() -> None:
    """Every other column lies 1 cm off the floor's plane: mean 5 mm, median between."""
    flat = corner()[:, :20] * (1, 0, 1)
    raised = flat.copy()
    raised[:, ::4, 1] += 0.01
    scores = evaluate_pointmaps(raised, flat, register=False)
    assert scores.accuracy_m == pytest.approx(0.01 / 4)
    assert scores.accuracy_median_m == 0
    assert scores.completion_m == pytest.approx(0.01 / 4)
    assert scores.scale == 1


def test_only_the_most_confident_register() -> None:
    """Half of the points are garbage, and say so."""
    truth = corner()
    predicted, confidence = FIT.apply(truth), np.ones(truth.shape[:2])
    predicted[:, ::2] += np.random.default_rng(0).normal(0, 1, predicted[:, ::2].shape)
    confidence[:, 1::2] = 2 + np.random.default_rng(1).random(confidence[:, 1::2].shape)
    scores = evaluate_pointmaps(predicted, truth, confidence)
    assert scores.scale == pytest.approx(1 / 0.3)
    assert scores.completion_m == pytest.approx(0.01), "every other column of 2 cm is where it belongs"
    assert evaluate_pointmaps(predicted, truth).scale != pytest.approx(1 / 0.3, rel=0.05)


def test_unknown_true_points_are_left_out() -> None:
    truth = corner()
    truth[3:5] = np.nan
    predicted = FIT.apply(corner())
    predicted[3:5] = 1e6
    assert evaluate_pointmaps(predicted, truth).accuracy_m < 1e-9


def test_weights_are_the_top_share() -> None:
    weights = most_confident(np.arange(100.0))
    assert weights.sum() == 15
    assert weights[85:].all()
    assert most_confident(np.arange(4.0)).all(), "too few to register by"


def test_normals_of_a_plane_and_of_open3d() -> None:
    flat = corner()[:, :20].reshape(-1, 3)
    np.testing.assert_allclose(np.abs(estimate_normals(flat)), np.broadcast_to((0.0, 1, 0), flat.shape), atol=1e-9)
    open3d = pytest.importorskip("open3d")
    points = np.random.default_rng(0).normal(size=(2000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.estimate_normals()
    cosines = np.abs((np.asarray(cloud.normals) * estimate_normals(points)).sum(axis=1))
    assert cosines.min() > 1 - 1e-6


def test_normal_consistency_sees_turned_surface() -> None:
    flat = corner()[:, :20] * (1, 0, 1)
    slope = np.radians(30)
    tilted = flat.copy()
    tilted[..., 1] = np.tan(slope) * (flat[..., 0] - 0.24)
    scores = evaluate_pointmaps(tilted, flat, register=False)
    assert scores.normal_consistency == pytest.approx(np.cos(slope), abs=0.01)
    assert json.loads(json.dumps(scores.to_dict()))["points"] == flat[..., 0].size


@pytest.mark.parametrize(
    ("predicted", "truth", "confidence", "expected"),
    [
        (corner(), corner()[1:], None, "expected both"),
        (corner(), corner(), np.ones(3), "confidence is"),
        (corner() * np.nan, corner(), None, "predicted points are not finite"),
        (corner(), corner() * np.nan, None, "0 pixels have a true point"),
        (corner() * 0, corner(), None, "at one place"),
        (corner(), corner(), np.full(corner().shape[:2], np.nan), "confidences are not finite"),
    ],
)
def test_bad_input(predicted: np.ndarray, truth: np.ndarray, confidence: np.ndarray | None, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        evaluate_pointmaps(predicted, truth, confidence)
    with pytest.raises(InputError, match="normals of 2 points"):
        estimate_normals(np.zeros((2, 3)))
