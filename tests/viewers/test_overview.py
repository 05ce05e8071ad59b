"""The camera that sees the whole map."""

import numpy as np
import pytest

from showroom_ros.viewers.overview import FOV_RAD, axis_from_name, overview_of

UPS = ("+x", "-x", "+y", "-y", "+z", "-z")


@pytest.mark.parametrize("up", UPS)
@pytest.mark.parametrize("size", [(4, 3, 2.5), (0.2, 9, 0.1), (0, 0, 0)])
def test_all_corners_are_in_the_picture(up, size):
    low = np.array([1.0, -2.0, 0.5])
    high = low + size
    view = overview_of(low, high, up)

    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
    towards = view.look_at - view.position
    towards /= np.linalg.norm(towards)
    rays = corners - view.position
    angles = np.arccos(np.clip(rays @ towards / np.linalg.norm(rays, axis=1), -1, 1))
    assert (angles < FOV_RAD / 2 * 1.1).all()
    assert (view.position - view.look_at) @ axis_from_name(up) > 0, "from above"
    np.testing.assert_allclose(view.look_at, (low + high) / 2)


@pytest.mark.parametrize("up", UPS)
def test_it_looks_from_the_side_the_camera_walked(up):
    axis = axis_from_name(up)
    side = np.roll(np.abs(axis), 1)
    path = np.array([2.0 * side, 2.4 * side + 0.5 * axis])
    view = overview_of(-np.ones(3), np.ones(3), up, path)
    assert (view.position - view.look_at) @ side > 0
    assert abs((view.position - view.look_at) @ np.cross(axis, side)) < 1e-9


def test_a_path_around_the_middle_says_nothing():
    angles = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    path = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    low, high = -np.ones(3), np.ones(3)
    np.testing.assert_array_equal(overview_of(low, high, "+z", path).position, overview_of(low, high, "+z").position)
