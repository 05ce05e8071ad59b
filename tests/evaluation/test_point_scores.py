"""Thinning by voxels and scores of point sets, against values known by hand and Open3D."""

from __future__ import annotations

import numpy as np
import pytest

from showroom_ros.errors import InputError
from showroom_ros.evaluation.point_scores import nearest_distances_m, score_points, voxel_down_sample

THREE = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])


def test_thinning_by_hand() -> None:
    points = np.array([[0.0, 0, 0], [0.009, 0, 0], [0.011, 0, 0], [0.05, 0, 0]])
    np.testing.assert_allclose(voxel_down_sample(points, 0.02), [[0.0045, 0, 0], [0.011, 0, 0], [0.05, 0, 0]])
    assert voxel_down_sample(np.zeros((0, 3)), 0.02).shape == (0, 3)


def test_thinning_equals_open3d() -> None:
    open3d = pytest.importorskip("open3d")
    points = np.random.default_rng(0).uniform(-3, 4, (20_000, 3)) * (1, 0.5, 0.01)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    theirs = np.asarray(cloud.voxel_down_sample(0.05).points)
    ours = voxel_down_sample(points, 0.05)
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)], atol=1e-12)


def test_scores_by_hand() -> None:
    scores = score_points(THREE + np.array([0, 0.03, 0]), THREE[:2], 0.05, inclusive=False)
    assert scores.accuracy_m == pytest.approx((0.03 + 0.03 + np.hypot(1, 0.03)) / 3)
    assert scores.completeness_m == pytest.approx(0.03)
    assert (scores.precision, scores.recall) == pytest.approx((2 / 3, 1))
    assert scores.f_score == pytest.approx(0.8)


def test_a_point_at_exactly_the_threshold() -> None:
    """A and B are strict, C and D inclusive; both sides of 5 cm are told apart."""
    for offset, strict, inclusive in ((0.05, 0, 1), (np.nextafter(0.05, 0), 1, 1), (np.nextafter(0.05, 1), 0, 0)):
        moved = np.array([[0.0, 0, offset]])
        assert np.linalg.norm(moved) == offset
        for expected, is_inclusive in ((strict, False), (inclusive, True)):
            scores = score_points(moved, THREE[:1], 0.05, inclusive=is_inclusive)
            assert (scores.precision, scores.recall, scores.f_score) == (expected, expected, expected)


def test_clipping_limits_the_means_only() -> None:
    scores = score_points(THREE + np.array([0, 7, 0]), THREE, 0.05, inclusive=True, max_distance_m=1.0)
    assert scores == (1.0, 1.0, 0.0, 0.0, 0.0)
    assert score_points(THREE + np.array([0, 7, 0]), THREE, 0.05, inclusive=True).accuracy_m == 7


def test_completeness_may_search_more_than_is_judged() -> None:
    scores = score_points(THREE[:1], THREE, 0.05, inclusive=True, searched=THREE)
    assert (scores.precision, scores.recall) == (1, 1)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="0 predicted and 3 true points"):
        score_points(THREE[:0], THREE, 0.05, inclusive=True)
    with pytest.raises(InputError, match="voxel size is 0"):
        voxel_down_sample(THREE, 0)
    with pytest.raises(InputError, match="not finite"):
        voxel_down_sample(THREE * np.nan, 0.1)


def test_nearest_points_equal_a_k_d_tree() -> None:
    """Near and far points, clusters, and points at one place."""
    from scipy.spatial import cKDTree

    random = np.random.default_rng(3)
    others = np.concatenate([random.normal(size=(3000, 3)) * (1, 1, 0.01), np.zeros((50, 3)), [[9.0, 9, 9]]])
    points = np.concatenate([others[::7], random.uniform(-10, 10, (500, 3))])
    np.testing.assert_allclose(nearest_distances_m(points, others), cKDTree(others).query(points)[0], atol=1e-12)
    np.testing.assert_allclose(nearest_distances_m(points[:5], others[:1]), cKDTree(others[:1]).query(points[:5])[0])
