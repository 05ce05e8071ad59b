"""Laying one set on another where a part of it is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from showroom_ros.errors import InputError
from showroom_ros.geometry.alignment import local_to_global, robust_similarity, scale_and_pose_to, scale_to_depth
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at, rotation_angle_deg, rotation_from_quat
from showroom_ros.geometry.similarity import Similarity, fit_similarity

TURN = rotation_from_quat(np.array([0.9, 0.1, -0.4, 0.14]) / np.linalg.norm([0.9, 0.1, -0.4, 0.14]))
TRUE = Similarity(2.5, TURN, np.array([1.0, -2.0, 0.5]))
POINTS = np.random.default_rng(0).normal(size=(400, 3))
POSES = np.stack([look_at([x, 0.1 * x**2, 1], [3, 5, 0.8 + 0.1 * x]) for x in range(8)])
LINE = np.stack([look_at([x, 0, 1], [x, 5, 0.8 + 0.1 * x]) for x in range(6)])


def off(found: Similarity, true: Similarity = TRUE) -> tuple[float, float, float]:
    """Relative error of the scale, angle in degrees, distance where the points are."""
    turns = [np.eye(4), np.eye(4)]
    turns[0][:3, :3], turns[1][:3, :3] = found.rotation, true.rotation
    shift = float(np.linalg.norm(found.apply(POINTS) - true.apply(POINTS), axis=1).mean())
    return abs(found.scale / true.scale - 1), rotation_angle_deg(*turns), shift


def back(poses: np.ndarray, true: Similarity = TRUE) -> np.ndarray:
    """Poses that ``true`` lays on ``poses``."""
    rotation = true.rotation.T
    return Similarity(1 / true.scale, rotation, -rotation @ true.translation / true.scale).apply_to_poses(poses)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_outliers_do_not_count(share: float) -> None:
    rng = np.random.default_rng(1)
    wrong = rng.random(400) < share
    target = TRUE.apply(POINTS) + wrong[:, None] * rng.normal(0, 5, (400, 3)) + wrong[:, None] * 4
    found = robust_similarity(POINTS, target)
    assert max(off(found.similarity)) < 1e-6
    assert found.inlier_share == pytest.approx(1 - wrong.mean(), abs=0.01)
    assert found.rms < 0.05


def test_without_outliers_it_is_as_good_as_least_squares() -> None:
    target = TRUE.apply(POINTS) + np.random.default_rng(1).normal(0, 0.05, POINTS.shape)
    found, plain = robust_similarity(POINTS, target), fit_similarity(POINTS, target)
    assert off(found.similarity)[2] < 1.5 * off(plain)[2]
    assert found.rms == pytest.approx(0.05 * np.sqrt(3), rel=0.1)
    assert found.inlier_share > 0.98


def test_a_smaller_scale_is_no_way_out_and_a_fixed_one_stays() -> None:
    rng = np.random.default_rng(2)
    target = TRUE.apply(POINTS)
    target[:160] = rng.normal(0, 0.01, (160, 3)) + target[0]  # a clump that a tiny scale would fit
    assert robust_similarity(POINTS, target).similarity.scale == pytest.approx(2.5, rel=1e-6)
    rigid = Similarity(1.0, TRUE.rotation, TRUE.translation)
    found = robust_similarity(POINTS, 1.01 * rigid.apply(POINTS), with_scale=False).similarity
    assert found.scale == 1
    assert off(found, rigid)[1] < 0.1


def test_points_of_no_weight_count_nowhere() -> None:
    target, weights = TRUE.apply(POINTS), np.ones(400)
    target[100:] = POINTS[100:]  # more agree on another similarity
    assert robust_similarity(POINTS, target).similarity.scale == pytest.approx(1)
    weights[100:] = 0
    found = robust_similarity(POINTS, target, weights)
    assert found.similarity.scale == pytest.approx(2.5)
    assert found.inlier_share == 1


def test_a_point_counts_by_its_weight() -> None:
    target = TRUE.apply(POINTS) + (np.arange(400) < 200)[:, None] * 0.1  # within the tolerance
    plain = robust_similarity(POINTS, target, np.full(400, 7.0)).similarity
    light = robust_similarity(POINTS, target, np.where(np.arange(400) < 200, 0.02, 1.0)).similarity
    assert off(light)[2] < 0.01 < 0.05 < off(plain)[2]


def test_is_repeatable() -> None:
    target = TRUE.apply(POINTS) + np.random.default_rng(1).normal(0, 0.3, POINTS.shape)
    first, second = (robust_similarity(POINTS, target, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.similarity.rotation, second.similarity.rotation)


def test_local_points_are_laid_on_the_global_ones_by_the_sure_pixels() -> None:
    rng = np.random.default_rng(3)
    v, u = np.mgrid[:48, :64]
    local = Camera(64, 48, 60, 60, 31.5, 23.5).back_project(2 + 0.5 * np.sin(u / 9) * np.cos(v / 7))
    points = (TRUE.apply(local) + rng.normal(0, 1, local.shape)).astype(np.float32)
    confidence = rng.random((48, 64)) + 1
    sure = confidence >= np.quantile(confidence, 0.84)
    points[sure] = TRUE.apply(local[sure])
    points[0, 0] = np.nan
    found = local_to_global(local, points, confidence)
    assert max(off(found.similarity)) < 1e-5
    assert found.inlier_share == 1
    assert local_to_global(local, points, confidence, share=1.0).inlier_share < 0.5


def test_scale_is_the_weighted_median_of_the_ratios() -> None:
    rng = np.random.default_rng(4)
    predicted = rng.uniform(0.5, 2, (20, 30)).astype(np.float32)
    depth = 3 * predicted
    depth[:8] *= 5
    depth[8, :9], predicted[8, 9:12] = np.nan, 0
    assert scale_to_depth(predicted, depth) == pytest.approx(3, rel=1e-5)
    confidence = np.where(np.arange(20)[:, None] < 8, 9.0, 1.0) * np.ones((20, 30))
    assert scale_to_depth(predicted, depth, confidence) == pytest.approx(15, rel=1e-5)
    # whole weights are the same as so many copies, and the order of the two depths turns the factor over
    noisy, whole = depth * rng.lognormal(0, 0.2, depth.shape), rng.integers(1, 4, depth.shape)
    copies = [np.repeat(a.ravel(), whole.ravel())[None] for a in (predicted, noisy)]
    assert scale_to_depth(predicted, noisy, whole) == pytest.approx(scale_to_depth(*copies))
    assert scale_to_depth(noisy, predicted, whole) * scale_to_depth(predicted, noisy, whole) == pytest.approx(1)


def test_scale_needs_fifty_pixels() -> None:
    depth = np.full((7, 8), np.nan)
    depth.ravel()[:50] = 2
    assert scale_to_depth(np.ones((7, 8)), depth) == pytest.approx(2)
    depth[0, 0] = np.nan
    assert scale_to_depth(np.ones((7, 8)), depth) is None
    assert scale_to_depth(np.ones((9, 9)), np.ones((9, 9)), np.zeros((9, 9))) is None


@pytest.mark.parametrize("poses", [POSES, LINE, POSES[:2], LINE[:3]], ids=["curve", "line", "two", "three of a line"])
def test_poses_are_laid_on_poses_exactly(poses: np.ndarray) -> None:
    found = scale_and_pose_to(back(poses), poses)
    assert found is not None
    assert max(off(found.similarity)) < 1e-6
    assert found.inlier_share == 1
    assert found.rms < 1e-9


def test_wrong_poses_and_missing_ones_do_not_count() -> None:
    predicted = back(LINE)
    predicted[1, :3, 3] += 3
    predicted[4, :3, :3] = predicted[4, :3, :3] @ TURN
    predicted[5] = np.nan
    found = scale_and_pose_to(predicted, LINE)
    assert found is not None
    assert max(off(found.similarity)) < 1e-6
    assert found.inlier_share == pytest.approx(3 / 5)


def test_noise_of_centres_on_a_line_leaves_no_turn_about_it_open() -> None:
    rng = np.random.default_rng(5)
    predicted = back(LINE)
    predicted[:, :3, 3] += rng.normal(0, 0.01, (6, 3))
    found = scale_and_pose_to(predicted, LINE)
    assert found is not None
    assert off(found.similarity)[0] < 0.03
    assert off(found.similarity)[1] < 1
    about = fit_similarity(predicted[:, :3, 3], LINE[:, :3, 3])
    assert off(about)[1] > 5  # centres alone


def test_cameras_that_never_moved_tell_no_scale() -> None:
    still = LINE.copy()
    still[:, :3, 3] = LINE[0, :3, 3]
    assert scale_and_pose_to(back(LINE), still) is None
    assert scale_and_pose_to(still, LINE) is None
    assert scale_and_pose_to(LINE[:1], LINE[:1]) is None
    assert scale_and_pose_to(np.zeros((0, 4, 4)), np.zeros((0, 4, 4))) is None
    assert scale_and_pose_to(np.full((5, 4, 4), np.nan), LINE[:5]) is None
    assert scale_and_pose_to(back(LINE), LINE, min_baseline=10) is None


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: robust_similarity(POINTS[:2], POINTS[:2]), "2 points to align"),
        (lambda: robust_similarity(POINTS, POINTS * np.nan), "not finite"),
        (lambda: robust_similarity(POINTS, POINTS, -np.ones(400)), "none negative"),
        (lambda: robust_similarity(POINTS, POINTS * (np.arange(400) < 100)[:, None]), "half of the 400 target"),
        (lambda: robust_similarity(POINTS[:5], POINTS[5:10], tolerance=1e-6), "of 5 points agree"),
        (lambda: local_to_global(np.ones((4, 5, 3)), np.ones((4, 5, 3)), np.ones((5, 4))), "pointmaps are"),
        (lambda: local_to_global(np.full((4, 5, 3), np.nan), np.ones((4, 5, 3)), np.ones((4, 5))), "0 points to align"),
        (lambda: scale_to_depth(np.ones((4, 5)), np.ones((5, 4))), "expected the same"),
        (lambda: scale_and_pose_to(LINE, LINE[:3]), r"expected both \(N, 4, 4\)"),
        (lambda: scale_and_pose_to(LINE[0], LINE[0]), r"expected both \(N, 4, 4\)"),
    ],
)
def test_bad_input(call, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        call()
