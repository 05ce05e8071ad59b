"""Relative poses of photos, by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from showroom_ros.errors import InputError
from showroom_ros.evaluation.relative_pose import evaluate_relative_poses, mean_average_accuracy
from showroom_ros.geometry.se3 import pose_from
from showroom_ros.geometry.similarity import Similarity


def turned(degrees: float, place: tuple[float, float, float] = (0, 0, 0), axis: int = 2) -> np.ndarray:
    half = np.radians(degrees) / 2
    return pose_from(place, (np.cos(half), *(np.sin(half) * np.eye(3)[axis])))


TRUTH = np.array([turned(0), turned(0, (1, 0, 0)), turned(0, (0, 1, 0))])


def test_the_frame_the_scale_and_the_sign_do_not_count() -> None:
    moved = Similarity(7.0, turned(70, axis=1)[:3, :3], np.array([1.0, 2, 3])).apply_to_poses(TRUTH)
    backwards = TRUTH.copy()
    backwards[:, :3, 3] *= -1
    for predicted in (TRUTH, moved, backwards):
        scores = evaluate_relative_poses(predicted, TRUTH)
        assert scores.rra == scores.rta == {5.0: 1.0, 15.0: 1.0, 30.0: 1.0}
        assert scores.maa_30 == 1
        assert scores.auc[5.0] == pytest.approx(1)
        assert (scores.pairs, scores.pairs_with_baseline) == (3, 3)


def test_one_camera_turned_by_hand() -> None:
    """Camera 2 is turned by 10 degrees about z, in place: two of three pairs are off by 10 degrees.

    The translation of pair (i, 2) is seen from camera i, which is right, so its direction is right.
    """
    predicted = TRUTH.copy()
    predicted[2] = turned(10, (0, 1, 0))
    scores = evaluate_relative_poses(predicted, TRUTH)
    assert scores.rra == {5.0: pytest.approx(1 / 3), 15.0: 1.0, 30.0: 1.0}
    assert scores.rta[5.0] == 1
    assert scores.auc[15.0] == pytest.approx((1 + 2 * (1 - 10 / 15)) / 3)
    assert scores.auc[5.0] == pytest.approx(1 / 3)
    # bins are 30 / 31 degrees wide: the error of 10 falls into bin 10, so 21 of the 31 sums hold everything
    assert scores.maa_30 == pytest.approx((10 * (1 / 3) + 21) / 31)
    assert scores.median_rotation_deg == pytest.approx(10)


def test_direction_of_the_baseline_by_hand() -> None:
    predicted = TRUTH[:2].copy()
    predicted[1, :3, 3] = (np.cos(np.radians(20)), np.sin(np.radians(20)), 0)
    scores = evaluate_relative_poses(predicted, TRUTH[:2])
    assert scores.median_translation_deg == pytest.approx(20)
    assert scores.rta == {5.0: 0.0, 15.0: 0.0, 30.0: 1.0}
    predicted[1, :3, 3] = (np.cos(np.radians(160)), np.sin(np.radians(160)), 0)
    assert evaluate_relative_poses(predicted, TRUTH[:2]).median_translation_deg == pytest.approx(20)


def test_cameras_at_one_place() -> None:
    """Without a true baseline only the rotation is judged; without a predicted one the direction is 90 degrees off."""
    still = np.array([turned(0), turned(40), turned(0, (1, 0, 0))])
    scores = evaluate_relative_poses(still, still)
    assert (scores.pairs, scores.pairs_with_baseline) == (3, 2)
    assert scores.rta[5.0] == scores.rra[5.0] == 1
    collapsed = still.copy()
    collapsed[:, :3, 3] = 0
    scores = evaluate_relative_poses(collapsed, still)
    assert scores.rra[5.0] == 1
    assert scores.rta[30.0] == 0
    assert scores.median_translation_deg == 90
    nowhere = evaluate_relative_poses(still[:2], still[:2])
    assert math.isnan(nowhere.maa_30)
    assert json.loads(json.dumps(nowhere.to_dict(), allow_nan=False))["rta"]["5"] is None


@pytest.mark.parametrize(
    ("errors", "expected"), [([0.0], 1.0), ([31.0], 0.0), ([30.0], 1 / 31), ([0.0, 31.0], 0.5), ([15.0], 16 / 31)]
)
def test_mean_average_accuracy(errors: list[float], expected: float) -> None:
    assert mean_average_accuracy(np.array(errors)) == pytest.approx(expected)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="3 predicted and 2 true poses"):
        evaluate_relative_poses(TRUTH, TRUTH[:2])
    with pytest.raises(InputError, match="at least 2"):
        evaluate_relative_poses(TRUTH[:1], TRUTH[:1])
    with pytest.raises(InputError, match=r"predicted poses are \(4, 4\)"):
        evaluate_relative_poses(TRUTH[0], TRUTH)
    broken = TRUTH.copy()
    broken[1, 0, 3] = np.nan
    with pytest.raises(InputError, match="predicted pose 1 is not finite"):
        evaluate_relative_poses(broken, TRUTH)
