"""Volumes of visibility: interpolation, and voxels worked out on demand equal to a whole volume."""

from __future__ import annotations

import numpy as np
import pytest
from known_meshes import room

from showroom_ros.evaluation.refusion import Frame, render_depth
from showroom_ros.evaluation.visible_volume import OcclusionMask, trilinear, visible_volume, with_true_depth
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at

CAMERA = Camera(64, 48, 32.0, 32.0, 31.5, 23.5)


def frames() -> list[Frame]:
    poses = [look_at((1, 1.5, 1.2), target) for target in ((4, 1.5, 1), (2, 3, 1.2))]
    return [Frame(CAMERA, pose, render_depth(room(), CAMERA, pose)) for pose in poses]


def test_asked_for_voxels_equal_the_whole_volume() -> None:
    """The reference builds every voxel of the volume first, one at a time, and interpolates in it."""
    volume = visible_volume(frames(), room(), voxel_size_m=0.25, behind_m=0.3)
    index = np.stack(np.unravel_index(np.arange(np.prod(volume.shape)), volume.shape), axis=1)
    whole = volume.mask.seen_reference(index * volume.voxel_size_m + volume.origin_m).reshape(volume.shape)
    assert 0.1 < whole.mean() < 0.9
    T_grid_world = np.diag([4.0, 4, 4, 1])
    T_grid_world[:3, 3] = -volume.origin_m * 4
    points = np.random.default_rng(0).uniform(-1.5, 5.5, (3000, 3))
    np.testing.assert_allclose(
        volume.visibility(points), OcclusionMask(~whole, T_grid_world).visibility(points), atol=1e-9
    )


def test_trilinear_equals_scipy_and_is_zero_outside() -> None:
    from scipy.ndimage import map_coordinates

    values = np.random.default_rng(1).random((4, 5, 6))
    places = np.random.default_rng(2).uniform(0, 1, (500, 3)) * (3, 4, 5)
    ours = trilinear(places, values.shape, lambda v: values[tuple(v.T)])
    np.testing.assert_allclose(ours, map_coordinates(values, places.T, order=1), atol=1e-12)
    edge = np.array([[3.0, 4, 5], [3.0001, 4, 5], [-1e-4, 0, 0]])
    np.testing.assert_allclose(trilinear(edge, values.shape, lambda v: values[tuple(v.T)]), [values[3, 4, 5], 0, 0])


def test_true_depth_at_another_size() -> None:
    (first, *_) = with_true_depth(frames(), room(), 32, 24)
    assert first.depth is not None
    assert first.depth.shape == (24, 32)
    np.testing.assert_allclose(first.depth[12, 16], 3.0, atol=0.1)


def test_a_grid_of_one_voxel() -> None:
    mask = OcclusionMask(np.zeros((1, 1, 1)), np.eye(4))
    assert mask.visibility(np.array([[0.0, 0, 0], [0.1, 0, 0]])) == pytest.approx([1, 0])
