"""Depth registration: fast equals slow, and known answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.registration import register_depth, register_depth_reference
from showroom_ros.geometry.se3 import pose_from

DEPTH_CAMERA = Camera(40, 30, 38.0, 38.5, 19.5, 14.5)
COLOR_CAMERA = Camera(48, 36, 41.0, 40.0, 24.2, 17.1)


def scene(seed: int) -> np.ndarray:
    """A wall with a step and holes."""
    generator = np.random.default_rng(seed)
    depth = np.full((30, 40), 2.0, np.float32) + generator.uniform(0, 0.3, (30, 40)).astype(np.float32)
    depth[8:20, 10:25] = generator.uniform(0.5, 1.5)
    depth[generator.random((30, 40)) < 0.15] = np.nan
    depth[0, :3] = (0, -1, np.inf)
    return depth


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.tuples(*[st.floats(-0.2, 0.2)] * 3), st.tuples(*[st.floats(-0.1, 0.1)] * 3))
def test_fast_equals_reference(seed: int, shift: tuple[float, ...], turn: tuple[float, ...]) -> None:
    quat = np.array([1.0, *turn])
    transform = pose_from(shift, quat / np.linalg.norm(quat))
    depth = scene(seed)
    depth[~np.isfinite(depth)] = np.nan
    fast = register_depth(depth, DEPTH_CAMERA, COLOR_CAMERA, transform)
    slow = register_depth_reference(depth, DEPTH_CAMERA, COLOR_CAMERA, transform)
    assert fast.dtype == np.float32
    assert fast.shape == (36, 48)
    np.testing.assert_allclose(fast, slow, rtol=1e-6)


def test_same_camera_changes_nothing() -> None:
    depth = scene(1)
    expected = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)
    np.testing.assert_allclose(register_depth(depth, DEPTH_CAMERA, DEPTH_CAMERA, np.eye(4)), expected, rtol=1e-6)


def test_a_wall_stays_a_wall_without_holes() -> None:
    """Seen with a longer focal length, the splats of a flat wall must still touch."""
    wall = np.full((30, 40), 2.0, np.float32)
    tele = replace(COLOR_CAMERA, fx=120.0, fy=120.0)
    np.testing.assert_allclose(register_depth(wall, DEPTH_CAMERA, tele, np.eye(4)), 2.0, rtol=1e-6)
    nearer = pose_from((0, 0, -0.5))
    np.testing.assert_allclose(register_depth(wall, DEPTH_CAMERA, tele, nearer), 1.5, rtol=1e-6)


def test_nearest_surface_wins() -> None:
    depth = np.full((30, 40), 3.0, np.float32)
    depth[:, 20] = 1.0
    seen = register_depth(depth, DEPTH_CAMERA, DEPTH_CAMERA, pose_from((-0.2, 0, 0)))
    column = round(20 - 0.2 * 38.0 / 1.0)
    np.testing.assert_allclose(seen[:, column], 1.0, rtol=1e-6)


def test_what_is_behind_the_other_camera_is_not_seen() -> None:
    depth = np.full((30, 40), 1.0, np.float32)
    assert np.isnan(register_depth(depth, DEPTH_CAMERA, COLOR_CAMERA, pose_from((0, 0, -2.0)))).all()


def test_unknown_depth_stays_unknown() -> None:
    depth = np.full((30, 40), np.nan, np.float32)
    assert np.isnan(register_depth(depth, DEPTH_CAMERA, COLOR_CAMERA, np.eye(4))).all()


@pytest.mark.parametrize("function", [register_depth, register_depth_reference])
def test_bad_input(function: object) -> None:
    lens = replace(COLOR_CAMERA, distortion_model="plumb_bob", distortion=(0.1, 0, 0, 0))
    depth = np.ones((30, 40), np.float32)
    with pytest.raises(InputError, match="undistort"):
        function(depth, lens, COLOR_CAMERA, np.eye(4))  # type: ignore[operator]
    with pytest.raises(InputError, match="undistort"):
        function(depth, DEPTH_CAMERA, lens, np.eye(4))  # type: ignore[operator]
    with pytest.raises(InputError, match="depth image is 10x20, its camera_info says 40x30"):
        function(np.ones((20, 10), np.float32), DEPTH_CAMERA, COLOR_CAMERA, np.eye(4))  # type: ignore[operator]
