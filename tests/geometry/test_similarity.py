"""The similarity between point sets."""

from __future__ import annotations

import numpy as np
import pytest

from showroom_ros.errors import InputError
from showroom_ros.geometry.se3 import rotation_from_quat
from showroom_ros.geometry.similarity import Similarity, fit_similarity

TURN = rotation_from_quat(np.array([0.9, 0.1, -0.4, 0.14]) / np.linalg.norm([0.9, 0.1, -0.4, 0.14]))
TRUE = Similarity(2.5, TURN, np.array([1.0, -2.0, 0.5]))
POINTS = np.random.default_rng(0).normal(size=(50, 3))


def test_finds_an_exact_similarity() -> None:
    found = fit_similarity(POINTS, TRUE.apply(POINTS))
    assert found.scale == pytest.approx(2.5, abs=1e-12)
    np.testing.assert_allclose(found.rotation, TURN, atol=1e-12)
    np.testing.assert_allclose(found.translation, TRUE.translation, atol=1e-12)


def test_never_mirrors() -> None:
    found = fit_similarity(POINTS, POINTS * (1, 1, -1))
    assert np.linalg.det(found.rotation) == pytest.approx(1)


def test_is_the_least_squares_optimum() -> None:
    target = TRUE.apply(POINTS) + np.random.default_rng(1).normal(0, 0.3, POINTS.shape)
    weights = np.random.default_rng(2).random(50)

    def cost(s: Similarity) -> float:
        return float(weights @ ((s.apply(POINTS) - target) ** 2).sum(axis=1))

    for with_scale in (True, False):
        best = fit_similarity(POINTS, target, weights, with_scale=with_scale)
        for axis in range(3):
            for step in (-1e-3, 1e-3):
                assert cost(best._replace(translation=best.translation + step * np.eye(3)[axis])) > cost(best)
                small = np.eye(4)[0] + step * np.eye(4)[axis + 1]
                turned = rotation_from_quat(small / np.linalg.norm(small)) @ best.rotation
                shifted = best.translation + best.scale * (best.rotation - turned) @ POINTS.mean(axis=0)
                assert cost(best._replace(rotation=turned, translation=shifted)) > cost(best)
        if with_scale:
            assert min(cost(best._replace(scale=best.scale * f)) for f in (0.999, 1.001)) > cost(best)
        else:
            assert best.scale == 1


def test_zero_weights_leave_points_out() -> None:
    target = TRUE.apply(POINTS)
    target[10:] += 100
    found = fit_similarity(POINTS, target, np.arange(50) < 10)
    assert found.scale == pytest.approx(2.5, abs=1e-9)


def test_points_on_a_line_are_laid_on_their_line() -> None:
    line = np.linspace(0, 1, 9)[:, None] * (1.0, 2.0, 3.0)
    np.testing.assert_allclose(fit_similarity(line, TRUE.apply(line)).apply(line), TRUE.apply(line), atol=1e-9)


def test_poses_move_with_their_centres() -> None:
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, :3, 3] = (1, 2, 3)
    moved = TRUE.apply_to_poses(poses)
    np.testing.assert_allclose(moved[:, :3, 3], TRUE.apply(poses[:, :3, 3]))
    np.testing.assert_allclose(moved[1, :3, :3], TURN)


@pytest.mark.parametrize(
    ("source", "target", "weights", "expected"),
    [
        (POINTS[:2], POINTS[:2], None, "2 points to align, expected at least 3"),
        (POINTS, POINTS, np.arange(50) < 2, "2 points to align"),
        (POINTS, POINTS[:9], None, "expected both"),
        (POINTS, POINTS * np.nan, None, "not finite"),
        (POINTS * 0 + 3, POINTS, None, "at one place"),
        (POINTS, POINTS * 0, None, "target points are at one place"),
        (POINTS, POINTS, -np.ones(50), "none negative"),
    ],
)
def test_bad_input(source: np.ndarray, target: np.ndarray, weights: np.ndarray | None, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        fit_similarity(source, target, weights)
