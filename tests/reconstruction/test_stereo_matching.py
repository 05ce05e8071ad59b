"""Plane sweep without a network."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from stereo_room import CAMERA, picture, sideways, true_depth

from showroom_ros.geometry.camera import Camera
from showroom_ros.reconstruction.stereo_matching import (
    CENSUS_BITS,
    MatchingSettings,
    Source,
    aggregated,
    aggregated_reference,
    best_planes,
    census,
    plane_sweep_depth,
    sweep_cost,
    sweep_cost_reference,
    without_speckles,
)
from showroom_ros.scene.view import View

SMALL = Camera(24, 16, 20.0, 20.0, 11.5, 7.5)
SETTINGS = MatchingSettings(planes=64, near_m=0.6, far_m=6.0)


def source(view: View) -> Source:
    return Source(cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY), view.camera, view.require_pose())


def share_right(depth: np.ndarray, truth: np.ndarray, within: float = 0.05) -> float:
    known = np.isfinite(depth)
    return float((abs(depth - truth)[known] < within * truth[known]).mean())


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    return [source(picture(pose)) for pose in sideways(6)]


def test_census_counts_darker_neighbours_and_does_not_heed_exposure():
    grey = np.random.default_rng(0).integers(20, 160, (20, 24)).astype(np.uint8)
    bits = census(grey)
    smooth = cv2.GaussianBlur(grey, (3, 3), 0.6)
    for v, u in ((5, 7), (10, 12), (16, 20)):
        window = smooth[v - 3 : v + 4, u - 3 : u + 4]
        assert int(bits[v, u]).bit_count() == (window < smooth[v, u]).sum()
    same = census(np.full((8, 9), 77, np.uint8))
    assert (same == 0).all()
    brighter = census((grey.astype(int) + 90).astype(np.uint8))
    assert np.bitwise_count(bits ^ brighter).mean() < 0.01 * CENSUS_BITS


def test_costs_are_those_of_the_slow_reference():
    views = [source(picture(pose, SMALL)) for pose in sideways(4, 0.15)]
    planes = 1 / np.linspace(0.5, 5.0, 8)
    fast, slow = sweep_cost(views[0], views[1:], planes), sweep_cost_reference(views[0], views[1:], planes)
    assert fast == pytest.approx(slow, abs=1e-6)
    assert np.ptp(fast) > 0.3


def test_a_source_that_sees_nothing_of_the_view_says_nothing():
    views = [source(picture(pose, SMALL)) for pose in sideways(2, 0.15)]
    behind = views[0]._replace(T_world_camera=views[0].T_world_camera @ np.diag([-1.0, 1.0, -1.0, 1.0]))
    planes = 1 / np.linspace(0.8, 4.0, 8)
    assert (sweep_cost(views[0], [behind], planes) == 0.5).all()
    assert (sweep_cost(views[0], [views[1], behind], planes) == sweep_cost(views[0], [views[1]], planes)).all()


def test_gathered_costs_are_those_of_the_slow_reference():
    rng = np.random.default_rng(1)
    cost = rng.random((7, 9, 11)).astype(np.float32)
    grey = rng.integers(0, 256, (9, 11)).astype(np.uint8)
    fast, slow = aggregated(cost, grey, 0.05, 0.3, 12.0), aggregated_reference(cost, grey, 0.05, 0.3, 12.0)
    assert fast == pytest.approx(slow, abs=1e-5)


def test_gathering_carries_depth_over_plain_surface_but_not_across_an_edge_of_the_image():
    cost = np.full((8, 20, 21), 0.5, np.float32)  # no texture: every hypothesis as good as any
    cost[2, :, 3], cost[6, :, 17] = 0.0, 0.0  # but two columns know
    grey = np.where(np.arange(21) < 10, 60, 200).astype(np.uint8) * np.ones((20, 1), np.uint8)
    best = aggregated(cost, grey, 0.03, 0.25, 10.0).argmin(2)
    assert (best[5:-5, :10] == 2).all()
    assert (best[5:-5, 10:] == 6).all()


def test_the_best_plane_is_found_between_planes_and_only_clear_winners_count():
    planes = np.arange(16.0)
    place = np.array([[3.0, 7.3, 11.6, 0.0, 15.0]])
    total = (0.02 * (planes - place[..., None]) ** 2 + 0.1).clip(max=0.45).astype(np.float32)
    flat = np.concatenate([total, np.full((1, 5, 16), 0.45, np.float32)])
    wide = np.repeat(flat, 15, axis=0)  # texture counts in a window of nine pixels
    found, confidence = best_planes(wide, np.ascontiguousarray(wide.transpose(2, 0, 1)), 0.02)
    found, confidence = found[[3, -3]], confidence[[3, -3]]
    assert found[0, :3] == pytest.approx(place[0, :3], abs=1e-3)
    assert (confidence[0, :3] > 0.5).all()
    assert (confidence[0, 3:] == 0).all(), "the first and the last plane stand for everything beyond"
    assert (confidence[1] == 0).all()


def test_small_islands_are_dropped():
    place, known = np.full((20, 20), 5.0), np.zeros((20, 20), bool)
    known[2:12, 2:12], known[15:17, 15:17] = True, True
    place[5:7, 5:7] = 30.0
    kept = without_speckles(place, known, 10)
    assert kept[2:12, 2:12].sum() == 100 - 4
    assert not kept[5:7, 5:7].any()
    assert not kept[15:17, 15:17].any()


def test_depth_of_a_room_is_right_where_it_is_trusted(sources):
    truth = true_depth(CAMERA, sources[2].T_world_camera)
    depth, confidence = plane_sweep_depth(sources[2], [*sources[:2], *sources[3:]], SETTINGS)
    known = np.isfinite(depth)
    assert ((confidence > 0) == known).all()
    assert confidence.max() <= 1
    assert known.mean() > 0.8
    assert share_right(depth, truth) > 0.85
    assert np.median((abs(depth - truth) / truth)[known]) < 0.02
    sure = confidence > 0.8
    assert share_right(depth[sure], truth[sure]) > share_right(depth[~sure], truth[~sure]) + 0.1


def test_moving_exposure_changes_little(sources):
    others = [source(picture(pose, gain=1.5 if n % 2 else 0.7)) for n, pose in enumerate(sideways(6)) if n != 2]
    truth = true_depth(CAMERA, sources[2].T_world_camera)
    depth = plane_sweep_depth(sources[2], others, SETTINGS).depth
    assert np.isfinite(depth).mean() > 0.75
    assert share_right(depth, truth) > 0.83


def test_intrinsics_may_differ_between_views(sources):
    wide = Camera(144, 96, 90.0, 95.0, 70.0, 50.0)
    others = [source(picture(pose, wide)) for pose in sideways(6)[3:]]
    truth = true_depth(CAMERA, sources[2].T_world_camera)
    depth = plane_sweep_depth(sources[2], others, SETTINGS).depth
    assert np.isfinite(depth).mean() > 0.7
    assert share_right(depth, truth) > 0.8


def test_nothing_is_said_without_sources_without_texture_and_without_parallax(sources):
    assert np.isnan(plane_sweep_depth(sources[0], [], SETTINGS).depth).all()
    plain = [dataclasses.replace(picture(pose), image=np.full((96, 128, 3), 90, np.uint8)) for pose in sideways(4)]
    assert np.isnan(plane_sweep_depth(source(plain[0]), [source(view) for view in plain[1:]], SETTINGS).depth).all()
    same = plane_sweep_depth(sources[0], [sources[0], sources[0]], SETTINGS)
    assert np.isfinite(same.depth).mean() < 0.02
    noise = np.random.default_rng(2).integers(0, 256, (96, 128, 3)).astype(np.uint8)
    strange = plane_sweep_depth(source(dataclasses.replace(plain[0], image=noise)), sources[1:], SETTINGS)
    assert np.isfinite(strange.depth).mean() < 0.1
