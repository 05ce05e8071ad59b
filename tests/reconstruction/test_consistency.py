"""Depth that other views confirm or refute."""

from __future__ import annotations

import numpy as np
import pytest
from stereo_room import CAMERA, sideways, true_depth

from showroom_ros.geometry.camera import Camera
from showroom_ros.reconstruction.consistency import Agreement, DepthOfView, compared_with, compared_with_reference

SMALL = Camera(32, 24, 27.5, 27.5, 15.5, 11.5)
WIDE = Camera(40, 24, 25.0, 26.0, 20.0, 11.0)


def views(camera: Camera, count: int) -> list[DepthOfView]:
    return [DepthOfView(true_depth(camera, pose), camera, pose) for pose in sideways(count)]


def test_true_depth_of_several_cameras_agrees():
    agreement = compared_with(views(CAMERA, 1)[0], [*views(CAMERA, 4)[1:], *views(WIDE, 2)])
    assert agreement.share > 0.98
    assert agreement.compared.max() == 5
    assert (agreement.agree <= agreement.compared).all()
    assert (agreement.agree == agreement.compared).mean() > 0.9, "but behind the ball"


def test_equals_the_slow_reference():
    rng = np.random.default_rng(3)
    noisy = [
        view._replace(depth=(view.depth * rng.uniform(0.93, 1.08, view.depth.shape)).astype(np.float32))
        for view in (*views(SMALL, 4), *views(WIDE, 2))
    ]
    for view in noisy:
        view.depth[rng.random(view.depth.shape) < 0.2] = np.nan
    fast, slow = compared_with(noisy[0], noisy[1:]), compared_with_reference(noisy[0], noisy[1:])
    assert (fast.compared == slow.compared).mean() > 0.999
    assert (fast.agree == slow.agree).mean() > 0.999
    assert 0.1 < fast.share < 0.99


def test_wrong_depth_is_refuted_by_two_witnesses_and_one_is_enough_where_asked_for():
    own, *others = views(CAMERA, 4)
    wrong = own._replace(depth=own.depth.copy())
    wrong.depth[:, :64] *= 1.3
    sure = np.full(own.depth.shape, 0.6, np.float32)
    two, one = compared_with(wrong, others), compared_with(wrong, others[:1])
    inside = np.s_[20:-20, 20:50]
    assert (two.revised(sure)[inside] == 0).mean() > 0.95
    assert (one.revised(sure)[inside] >= 0.6).all()
    assert (one.revised(sure, witnesses=1)[inside] == 0).mean() > 0.95
    assert np.median(two.revised(sure)[20:-20, 70:100]) == pytest.approx(1 - 0.4 * 0.75**3)


def test_confidence_rises_with_every_view_that_agrees_and_nothing_comes_of_nothing():
    agree = np.array([[0, 0, 1, 2, 9]], np.int32)
    agreement = Agreement(agree, np.maximum(agree, np.array([[0, 1, 1, 5, 9]], np.int32)))
    revised = agreement.revised(np.full((1, 5), 0.2, np.float32))
    assert revised[0, 0] == revised[0, 1] == pytest.approx(0.2)
    assert (np.diff(revised[0, 1:]) > 0).all()
    assert revised.max() < 1
    assert (agreement.revised(np.zeros((1, 5), np.float32)) == 0).all()


def test_without_others_or_without_overlap_nothing_is_said():
    own = views(CAMERA, 1)[0]
    away = own._replace(T_world_camera=own.T_world_camera @ np.diag([-1.0, 1.0, -1.0, 1.0]))
    for others in ([], [away], [own._replace(depth=np.full_like(own.depth, np.nan))]):
        agreement = compared_with(own, others)
        assert np.isnan(agreement.share)
        assert (agreement.compared == 0).all()
