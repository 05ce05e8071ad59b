"""Points as discs: the fast path equals the slow one, and both equal what is worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.disc_splat import (
    coverage_bound,
    covered_pixels,
    radius_px_of_ndc,
    splat_discs,
    splat_discs_reference,
)
from showroom_ros.geometry.se3 import look_at

CAMERA = Camera(32, 24, 30.0, 31.0, 15.5, 11.5)
FORWARD = np.eye(4)


def cloud(seed: int, count: int = 300) -> np.ndarray:
    generator = np.random.default_rng(seed)
    points = generator.uniform((-1.5, -1.5, -0.5), (1.5, 1.5, 3.0), (count, 3))
    points[::17] = np.nan
    return points


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000),
    radius_px=st.floats(0.3, 6.0),
    points_per_pixel=st.integers(1, 12),
    eye=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(-3.0, -1.0)),
)
def test_equals_reference(seed: int, radius_px: float, points_per_pixel: int, eye: tuple[float, float, float]) -> None:
    points, pose = cloud(seed), look_at(eye, (0, 0, 1), up=(0, -1, 0))
    fast = splat_discs(points, CAMERA, pose, radius_px, points_per_pixel)
    slow = splat_discs_reference(points, CAMERA, pose, radius_px, points_per_pixel)
    np.testing.assert_array_equal(fast.covered, slow.covered)
    np.testing.assert_allclose(fast.depth, slow.depth, rtol=1e-6)
    np.testing.assert_array_equal(covered_pixels(points, CAMERA, pose, radius_px), slow.covered)


@given(seed=st.integers(0, 1000), radius_px=st.floats(0.3, 12.0), shift=st.floats(-2.0, 2.0))
def test_bound_is_never_below_the_coverage(seed: int, radius_px: float, shift: float) -> None:
    points = cloud(seed, 40) + np.array([shift, 0, 0])
    covered = covered_pixels(points, CAMERA, FORWARD, radius_px).mean()
    assert coverage_bound(points, CAMERA, FORWARD, radius_px) >= covered


def test_bound_is_small_where_the_cloud_is_beside_the_image() -> None:
    points = np.random.default_rng(0).uniform((4, -1, 1), (6, 1, 2), (500, 3))
    assert coverage_bound(points, CAMERA, FORWARD, 2.0) == 0.0


def test_one_point_covers_the_open_disc_around_it() -> None:
    point = np.array([[0.5 / 30 * 2, 0.5 / 31 * 2, 2.0]])  # projects to (16, 12)
    seen = splat_discs(point, CAMERA, FORWARD, 2.0)
    v, u = np.mgrid[:24, :32]
    np.testing.assert_array_equal(seen.covered, np.hypot(u - 16, v - 12) < 2 - 1e-9)
    assert seen.depth[12, 16] == pytest.approx(2.0, rel=1e-6)
    assert seen.depth[12, 17] == pytest.approx(2.0 * (1 - 1 / 4), rel=1e-6)  # weights are not normalised
    assert np.isnan(seen.depth[12, 18])


def test_points_are_blended_from_front_to_back() -> None:
    z = np.array([3.0, 2.0, 4.0])
    points = np.stack([((np.array([17.0, 17.0, 16.0]) - 15.5) / 30) * z, (0.5 / 31) * z, z], axis=1)
    seen = splat_discs(points, CAMERA, FORWARD, 2.0)
    # at (16, 12): the point at 2 m weighs 3/4, that at 3 m 3/4 of the rest, that at 4 m all of what is left
    assert seen.depth[12, 16] == pytest.approx(0.75 * 2 + 0.25 * 0.75 * 3 + 0.25 * 0.25 * 4, rel=1e-6)
    nearest = splat_discs(points, CAMERA, FORWARD, 2.0, points_per_pixel=1)
    assert nearest.depth[12, 16] == pytest.approx(0.75 * 2, rel=1e-6)


def test_radius_in_device_coordinates_is_of_the_shorter_side() -> None:
    assert radius_px_of_ndc(1e-2, Camera(640, 480, 500, 500, 319.5, 239.5)) == pytest.approx(2.4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"points": np.zeros((4, 2))}, "expected (..., 3)"),
        ({"points": np.zeros(3)}, "expected (..., 3)"),
        ({"radius_px": 0.0}, "radius_px is 0"),
        ({"radius_px": float("nan")}, "radius_px is nan"),
        ({"points_per_pixel": 0}, "points_per_pixel is 0"),
        ({"camera": Camera(8, 8, 5, 5, 4, 4, "plumb_bob", (0.1, 0, 0, 0))}, "undistorted"),
    ],
)
def test_bad_input(arguments: dict, words: str) -> None:
    given = {"points": np.zeros((1, 3)), "camera": CAMERA, "T_world_camera": FORWARD, "radius_px": 1.0, **arguments}
    with pytest.raises(InputError) as raised:
        splat_discs(**given)
    assert words in str(raised.value)
