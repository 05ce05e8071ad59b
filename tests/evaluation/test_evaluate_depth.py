"""Depth scores with answers known by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from showroom_ros.errors import InputError
from showroom_ros.evaluation.depth import evaluate_depth, evaluate_rendered_depth


def test_by_hand() -> None:
    truth = np.array([[1.0, 2.0, 4.0, np.nan]], np.float32)
    scores = evaluate_depth(np.array([[1.04, 2.16, 3.0, 1.0]], np.float32), truth)
    assert scores.abs_rel == pytest.approx((0.04 + 0.08 + 0.25) / 3, rel=1e-5)
    assert scores.abs_diff == pytest.approx((0.04 + 0.16 + 1.0) / 3, rel=1e-5)
    assert scores.sq_rel == pytest.approx((0.04**2 + 0.16**2 / 2 + 0.25) / 3, rel=1e-5)
    assert scores.rmse == pytest.approx(math.sqrt((0.04**2 + 0.16**2 + 1.0) / 3), rel=1e-5)
    assert (scores.delta_1_05, scores.delta_1_1, scores.delta_1_25) == pytest.approx((1 / 3, 2 / 3, 2 / 3))
    assert (scores.coverage, scores.pixels) == (1.0, 3)
    logs = np.log(np.array([1.04, 1.08, 0.75]))
    assert scores.log_rmse == pytest.approx(math.sqrt((logs**2).mean()), rel=1e-5)
    assert (scores.delta_1_25_2, scores.delta_1_25_3, scores.complete) == (1, 1, 1)


def test_too_far_and_too_near_are_equally_wrong_for_delta() -> None:
    truth = np.full((2, 2), 2.0, np.float32)
    for predicted in (truth * 1.2, truth / 1.2):
        assert evaluate_depth(predicted, truth).delta_1_25 == 1
        assert evaluate_depth(predicted, truth).delta_1_1 == 0


def test_holes_count_in_coverage_only() -> None:
    truth = np.full((4, 4), 3.0, np.float32)
    predicted = truth.copy()
    predicted[0] = (np.nan, 0, -1, np.inf)
    scores = evaluate_depth(predicted, truth)
    assert (scores.coverage, scores.abs_diff, scores.pixels) == (0.75, 0.0, 12)


def test_mask_and_limits_choose_the_pixels() -> None:
    truth = np.array([[0.05, 1.0, 2.0, 20.0]], np.float32)
    assert evaluate_depth(truth, truth).pixels == 2
    assert evaluate_depth(truth, truth, max_depth_m=30, min_depth_m=0.01).pixels == 4
    assert evaluate_depth(truth + 1, truth, np.array([[0, 1, 0, 0]], bool)).abs_diff == pytest.approx(1)


def test_nothing_predicted() -> None:
    scores = evaluate_depth(np.full((2, 2), np.nan, np.float32), np.ones((2, 2), np.float32))
    assert (scores.coverage, scores.pixels) == (0, 0)
    assert math.isnan(scores.abs_rel)
    assert json.loads(json.dumps(scores.to_dict(), allow_nan=False))["rmse"] is None


@pytest.mark.parametrize(
    ("predicted", "truth", "mask", "expected"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), None, "shapes must be equal"),
        (np.ones((2, 3)), np.ones((2, 3)), np.ones((3, 3), bool), "shapes must be equal"),
        (np.ones((2, 3)), np.full((2, 3), np.nan), None, "no pixel has a true depth between 0.1 and 10 m"),
        (np.ones((2, 3)), np.full((2, 3), 2000.0), None, "no pixel has a true depth"),
        (np.ones((2, 3)), np.ones((2, 3)), np.zeros((2, 3), bool), "no pixel has a true depth"),
    ],
)
def test_bad_input(predicted: np.ndarray, truth: np.ndarray, mask: np.ndarray | None, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        evaluate_depth(predicted, truth, mask)


def test_wider_deltas_by_hand() -> None:
    truth = np.full((1, 4), 2.0, np.float32)
    scores = evaluate_depth(truth * np.array([1.24, 1.5, 1.9, 2.0], np.float32), truth)
    assert (scores.delta_1_25, scores.delta_1_25_2, scores.delta_1_25_3) == (0.25, 0.5, 0.75)


def test_rendered_depth_counts_as_the_2d_protocol_does() -> None:
    """True depth of exactly 10 m does not count, 5 cm does; complete is of all pixels, known or not."""
    truth = np.array([[0.05, 2.0, 10.0, np.nan, 0.0, 3.0]], np.float32)
    predicted = np.array([[0.05, 2.2, 1.0, 1.0, np.nan, np.nan]], np.float32)
    scores = evaluate_rendered_depth(predicted, truth)
    assert scores is not None
    assert scores.pixels == 2
    assert scores.abs_diff == pytest.approx(0.1, rel=1e-5)
    assert scores.complete == pytest.approx(4 / 6)
    assert scores.coverage == pytest.approx(2 / 3)
    assert evaluate_rendered_depth(predicted, np.full((1, 6), 12.0, np.float32)) is None
    with pytest.raises(InputError, match="shapes must be equal"):
        evaluate_rendered_depth(predicted, truth.T)
