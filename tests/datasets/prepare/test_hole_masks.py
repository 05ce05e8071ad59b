"""Hole masks: where they may lie, how large they are, and edges that are snapped before."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from furnished_room import CAMERA, FurnishedRoom, poses
from hypothesis import given
from hypothesis import strategies as st

from showroom_ros.datasets.prepare.hole_masks import (
    Viewpoint,
    hole_mask,
    keep_mask,
    mask_camera,
    random_viewpoint,
)
from showroom_ros.errors import InputError
from showroom_ros.geometry.disc_splat import radius_px_of_ndc
from showroom_ros.geometry.edges import fill_from_outside, snap_edges
from showroom_ros.geometry.se3 import inverse, transform_points


@pytest.fixture(scope="module")
def relative_depth() -> np.ndarray:
    """Depth of the furnished room over its largest value, float32 [120, 160]."""
    depth = FurnishedRoom(poses(1))[0].require_depth()
    return (depth / depth.max()).astype(np.float32)


def hole_mask_reference(depth: np.ndarray, viewpoint: Viewpoint, radius_ndc: float = 1e-2) -> np.ndarray:
    """Every pixel of the second camera asks every point."""
    camera = mask_camera(depth.shape[1], depth.shape[0])
    points = transform_points(inverse(viewpoint.pose_in_first), camera.back_project(depth).reshape(-1, 3))
    pixels = camera.project(points[np.isfinite(points).all(axis=1) & (points[:, 2] > 0)])[0]
    holes = np.ones(depth.shape, bool)
    for v, u in np.ndindex(depth.shape):
        distance = np.hypot(pixels[:, 0] - u, pixels[:, 1] - v)
        holes[v, u] = not (distance < radius_px_of_ndc(radius_ndc, camera)).any()
    return holes


def test_equals_reference() -> None:
    generator = np.random.default_rng(4)
    depth = cv2.resize(generator.uniform(0.3, 1, (6, 8)).astype(np.float32), (48, 36), interpolation=cv2.INTER_LINEAR)
    depth[5:9, 10:20] = np.nan
    for _ in range(4):
        viewpoint = random_viewpoint(generator)
        holes = hole_mask(depth, viewpoint, radius_ndc=0.05)
        np.testing.assert_array_equal(holes, hole_mask_reference(depth, viewpoint, 0.05))
        assert 0 < holes.mean() < 1


def test_the_same_viewpoint_has_no_holes(relative_depth: np.ndarray) -> None:
    assert not hole_mask(relative_depth, Viewpoint(0, 0, 1), radius_ndc=2e-2).any()
    large = cv2.resize(relative_depth, (640, 480), interpolation=cv2.INTER_NEAREST)
    assert not hole_mask(large, Viewpoint(0, 0, 1)).any()


@pytest.mark.parametrize("azimuth_deg", [-15.0, 15.0])
def test_share_of_holes_at_fifteen_degrees(relative_depth: np.ndarray, azimuth_deg: float) -> None:
    large = cv2.resize(relative_depth, (640, 480), interpolation=cv2.INTER_NEAREST)
    share = hole_mask(snap_edges(large), Viewpoint(azimuth_deg, 0, 1)).mean()
    assert 0.05 <= share <= 0.40


def test_holes_grow_with_the_angle(relative_depth: np.ndarray) -> None:
    large = cv2.resize(relative_depth, (320, 240), interpolation=cv2.INTER_NEAREST)
    shares = [hole_mask(large, Viewpoint(angle, 0, 1)).mean() for angle in (0, 3, 6, 9, 12, 15)]
    assert shares == sorted(shares)


def test_a_plane_has_holes_at_the_border_only() -> None:
    holes = hole_mask(np.full((240, 320), 0.9, np.float32), Viewpoint(4, 0, 1))
    assert 0 < holes.mean() < 0.2
    assert not holes[20:-20, 40:-40].any()


@given(azimuth_deg=st.floats(-4, 4), elevation_deg=st.floats(-4, 4), distance=st.floats(0.95, 1.05))
def test_holes_lie_behind_edges_or_at_the_border(azimuth_deg: float, elevation_deg: float, distance: float) -> None:
    """A card before a wall: what is far from the border and from the card is never a hole."""
    depth = np.full((120, 160), 1.0, np.float32)
    depth[40:80, 60:100] = 0.7
    holes = hole_mask(depth, Viewpoint(azimuth_deg, elevation_deg, distance), radius_ndc=3e-2)
    interior = np.zeros(holes.shape, bool)
    interior[25:-25, 25:-25] = True
    interior[20:100, 40:120] = False
    assert not (holes & interior).any()


def test_hole_beside_a_card_is_on_the_side_that_opens() -> None:
    depth = np.full((240, 320), 1.0, np.float32)
    depth[80:160, 120:200] = 0.6
    right = hole_mask(depth, Viewpoint(6, 0, 1), radius_ndc=2e-2)[100:140]
    left = hole_mask(depth, Viewpoint(-6, 0, 1), radius_ndc=2e-2)[100:140]
    # seen from the right, the near card moves left and bares the wall on its right
    assert right[:, 160:280].any()
    assert not right[:, 40:110].any()
    assert left[:, 40:160].any()
    assert not left[:, 210:280].any()


def test_keep_is_the_rest() -> None:
    holes = np.array([[True, False], [False, False]])
    np.testing.assert_array_equal(keep_mask(holes), [[False, True], [True, True]])


def test_viewpoint_looks_at_the_origin_from_its_distance() -> None:
    pose = Viewpoint(10, -12, 1.1).pose_in_first
    origin = np.array([0, 0, 1.0])
    assert np.linalg.norm(pose[:3, 3] - origin) == pytest.approx(1.1)
    np.testing.assert_allclose(inverse(pose) @ [0, 0, 1, 1], [0, 0, 1.1, 1], atol=1e-12)
    assert pose[0, 3] > 0
    assert pose[1, 3] > 0
    np.testing.assert_allclose(Viewpoint(0, 0, 1).pose_in_first, np.eye(4), atol=1e-12)


def test_viewpoints_are_spread_as_published() -> None:
    generator = np.random.default_rng(0)
    viewpoints = [random_viewpoint(generator) for _ in range(2000)]
    for name, low, high in (("azimuth_deg", -15, 15), ("elevation_deg", -15, 15), ("distance", 0.9, 1.1)):
        values = np.array([getattr(viewpoint, name) for viewpoint in viewpoints])
        margin = 0.01 * (high - low)
        assert low <= values.min() <= low + margin
        assert high - margin <= values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 2 * margin


def test_snapping_pushes_a_sloped_edge_to_the_background() -> None:
    depth = np.full((40, 60), 1.0, np.float32)
    depth[:, :25] = 0.3
    depth[:, 25:30] = np.linspace(0.4, 0.9, 5)
    snapped = snap_edges(depth)
    assert set(np.unique(snapped)) == {np.float32(0.3), np.float32(1.0)}
    np.testing.assert_array_equal(snapped[:, 30:], 1.0)
    np.testing.assert_array_equal(snapped[:, :20], np.float32(0.3))
    edges = np.flatnonzero(np.diff(snapped[20]))
    assert len(edges) == 1
    assert 20 <= edges[0] <= 27


def test_snapping_leaves_slopes_below_the_threshold() -> None:
    ramp = np.tile(np.linspace(0.1, 1.0, 200, dtype=np.float32), (30, 1))
    np.testing.assert_array_equal(snap_edges(ramp), ramp)


def test_snapping_keeps_unknown_unknown_and_flat_flat() -> None:
    depth = np.full((30, 30), 0.5, np.float32)
    np.testing.assert_array_equal(snap_edges(depth), depth)
    depth[:, 20:] = 1.0
    depth[3:6, 3:6] = np.nan
    snapped = snap_edges(depth)
    np.testing.assert_array_equal(np.isnan(snapped), np.isnan(depth))


def fill_reference(depth: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Pixel by pixel, ring by ring."""
    filled, known = depth.copy(), known.copy()
    while not known.all():
        before_values, before_known = filled.copy(), known.copy()
        for v, u in np.argwhere(~before_known):
            beside = [(v - 1, u), (v + 1, u), (v, u - 1), (v, u + 1)]
            if any(0 <= y < len(depth) and 0 <= x < depth.shape[1] and before_known[y, x] for y, x in beside):
                window = slice(max(v - 1, 0), v + 2), slice(max(u - 1, 0), u + 2)
                filled[v, u] = before_values[window][before_known[window]].max()
                known[v, u] = True
    return filled


@given(seed=st.integers(0, 500), share=st.floats(0.05, 0.95))
def test_filling_equals_reference(seed: int, share: float) -> None:
    generator = np.random.default_rng(seed)
    depth = generator.uniform(0, 1, (11, 13)).astype(np.float32)
    known = generator.uniform(size=depth.shape) < share
    known[5, 6] = True
    np.testing.assert_array_equal(fill_from_outside(depth, known), fill_reference(depth, known))


NOISE = np.random.default_rng(0).uniform(0, 1, (20, 20)).astype(np.float32)
UNKNOWN = np.full((8, 8), np.nan, np.float32)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hole_mask(UNKNOWN, Viewpoint(1, 1, 1)), "unknown at every pixel"),
        (lambda: hole_mask(np.full((8, 8), 2, np.float32), Viewpoint(1, 1, 1)), "expected 0 to 1"),
        (lambda: hole_mask(np.full((8, 8), -0.5, np.float32), Viewpoint(1, 1, 1)), "expected 0 to 1"),
        (lambda: hole_mask(np.full((8, 8), 0.5, np.float32), Viewpoint(1, 1, 1), CAMERA), "camera is 160x120"),
        (lambda: snap_edges(UNKNOWN), "unknown at every pixel"),
        (lambda: snap_edges(NOISE), "edges of 15/255"),
        (lambda: fill_from_outside(NOISE, np.zeros((20, 20), bool)), "unknown at every pixel"),
    ],
)
def test_bad_input(call, words: str) -> None:
    with pytest.raises(InputError) as raised:
        call()
    assert words in str(raised.value)
