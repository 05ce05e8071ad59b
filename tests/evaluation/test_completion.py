"""The benchmark of extrapolated depth: what is given, what is judged, and both means."""

from __future__ import annotations

import numpy as np
import pytest

from showroom_ros.errors import InputError
from showroom_ros.evaluation.completion import RenderedDepth, bright_enough, pair_score, rendered_depth, strided_pairs
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import pose_from

CAMERA = Camera(320, 240, 280.0, 280.0, 159.5, 119.5)
WALL = np.full((240, 320), 2.0, np.float32)


def test_what_the_first_view_does_not_see_is_judged_and_not_given() -> None:
    moved = pose_from((0.5, 0.0, 0.0))  # 0.5 m to the right: 70 pixels at 2 m
    rendered = rendered_depth(WALL, CAMERA, np.eye(4), CAMERA, moved)
    assert rendered.covered[:, :250].all()
    assert not rendered.covered[:, 252:].any()
    given = np.isfinite(rendered.sparse)
    assert not (given & ~rendered.covered).any()
    assert not given[0].any()  # the rim of the image is a rim
    assert given[1:-1, 1:249].all()
    np.testing.assert_allclose(rendered.sparse[given], 2.0, rtol=0.01)
    score = pair_score(WALL + np.float32(0.3), WALL, rendered)
    assert score.mae_m == pytest.approx(0.3, rel=1e-5)
    assert score.legacy_mae_m == pytest.approx(0.3, rel=1e-5)
    assert score.judged == (~rendered.covered).sum()
    assert score.covered_share == pytest.approx(rendered.covered.mean())


def test_the_published_mean_counts_unknown_pixels_as_right() -> None:
    covered = np.zeros((240, 320), bool)
    covered[:, :160] = True
    truth = WALL.copy()
    truth[:120] = 0.0
    truth[120] = np.nan
    rendered = RenderedDepth(covered, np.where(covered, WALL, np.float32(np.nan)))
    score = pair_score(WALL + np.float32(1), truth, rendered)
    assert score.mae_m == pytest.approx(1.0)
    assert score.legacy_mae_m == pytest.approx(119 / 240)
    assert (score.judged, score.judged_with_truth) == (240 * 160, 119 * 160)


def test_dark_pixels_are_not_judged_on_scannet() -> None:
    image = np.full((240, 320, 3), 200, np.uint8)
    image[:, 280:, 1] = 15
    nothing = RenderedDepth(np.zeros((240, 320), bool), WALL)
    predicted = WALL.copy()
    predicted[:, 280:] = 50.0
    score = pair_score(predicted, WALL, nothing, bright_enough(image))
    assert score.mae_m == 0.0
    assert score.judged == 240 * 280


def test_a_view_that_is_covered_whole_has_no_score() -> None:
    score = pair_score(WALL, WALL, RenderedDepth(np.ones((240, 320), bool), WALL))
    assert np.isnan(score.mae_m)
    assert np.isnan(score.legacy_mae_m)


def test_pairs_of_scannet() -> None:
    assert strided_pairs(121) == [(0, 10), (50, 60), (100, 110)]
    assert strided_pairs(110) == [(0, 10), (50, 60)]
    assert strided_pairs(10) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rendered_depth(WALL[1:], CAMERA, np.eye(4), CAMERA, np.eye(4)), r"depth is \(239, 320\)"),
        (
            lambda: rendered_depth(0 * WALL, CAMERA, np.eye(4), CAMERA, np.eye(4)),
            "no pixel of the first view has depth",
        ),
        (lambda: pair_score(WALL[1:], WALL, RenderedDepth(WALL > 3, WALL)), "expected one size"),
        (lambda: pair_score(WALL * np.nan, WALL, RenderedDepth(WALL > 3, WALL)), "76800 judged pixels"),
    ],
)
def test_bad_input(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
