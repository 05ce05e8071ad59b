"""Tiles of the world, which of them a camera sees, and which views are the best for one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showroom_ros.errors import SettingsError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, look_at, pose_from, transform_points
from showroom_ros.reconstruction.tiles import (
    TileGrid,
    grid_rotation,
    has_moved,
    in_view,
    parallax_deg,
    pose_distances,
    spread_views,
)

CAMERA = Camera(64, 48, 60.0, 60.0, 31.5, 23.5)
GRID = TileGrid()


def turned(yaw_deg: float, eye=(0.0, 0.0, 1.0)) -> np.ndarray:
    yaw = np.radians(yaw_deg)
    return look_at(eye, np.add(eye, (np.cos(yaw), np.sin(yaw), 0)))


@pytest.mark.parametrize("up", ["+x", "-x", "+y", "-y", "+z", "-z"])
def test_the_grid_stands_upright(up):
    R = grid_rotation(up)
    assert np.linalg.det(R) == pytest.approx(1)
    assert (np.sort(np.abs(R), axis=0)[:2] == 0).all(), "axes stay axes"
    world_up = np.zeros(3)
    world_up["xyz".index(up[1])] = 1 if up[0] == "+" else -1
    assert (world_up == R @ (0, 0, 1)).all()


def test_z_up_is_left_alone_and_nonsense_is_refused():
    assert (grid_rotation("+z") == np.eye(3)).all()
    for wrong in ("z", "up", "+w", ""):
        with pytest.raises(SettingsError, match=r"reconstruction\.up"):
            grid_rotation(wrong)


@given(st.lists(st.integers(-10_000, 10_000), min_size=3, max_size=3))
def test_every_voxel_is_in_the_one_tile_that_says_so(voxel):
    tile = tuple(GRID.tiles_of(np.array([voxel]))[0].tolist())
    assert (GRID.low(tile) <= voxel).all()
    assert (np.array(voxel) < GRID.low(tile) + GRID.shape).all()


def test_samples_lie_in_their_tile():
    points = GRID.points_m((1, -2, 3)) / GRID.voxel_size_m
    assert set(map(tuple, GRID.tiles_of(np.floor(points).astype(int)).tolist())) == {(1, -2, 3)}
    assert np.allclose(GRID.points_m((1, -2, 3)).mean(0), GRID.centre_m((1, -2, 3)))


@settings(max_examples=10)
@given(st.floats(0, 360), st.floats(-3, 3), st.floats(1, 5))
def test_a_camera_sees_the_tiles_whose_points_are_in_its_frustum(yaw, x, reach):
    pose = turned(yaw, (x, 0.3, 1.0))
    seen = GRID.seen(CAMERA, pose, reach)
    for tile in np.ndindex(6, 6, 4):
        index = (tile[0] - 3, tile[1] - 3, tile[2] - 2)
        local = transform_points(inverse(pose), GRID.points_m(index))
        with np.errstate(divide="ignore", invalid="ignore"):
            u = 60.0 * local[:, 0] / local[:, 2] + 31.5
            v = 60.0 * local[:, 1] / local[:, 2] + 23.5
        inside = (local[:, 2] > 0) & (local[:, 2] <= reach) & (u >= 0) & (u <= 63) & (v >= 0) & (v <= 47)
        assert (index in seen) == (inside.mean() >= 0.02)
        if index in seen:
            assert (seen[index] == inside).all()


def test_nothing_behind_the_camera_is_in_view():
    points = np.array([[1.0, 0, 1], [-1.0, 0, 1], [9.0, 0, 1]])
    assert in_view(points, CAMERA, turned(0), 3.0).tolist() == [True, False, False]


@given(st.floats(0.1, 60))
def test_parallax_of_two_views_is_the_angle_between_them(angle):
    point = np.array([[0.0, 0, 0]])
    eyes = np.array([[2.0, 0, 0], [3 * np.cos(np.radians(angle)), 3 * np.sin(np.radians(angle)), 0]])
    assert parallax_deg(point, eyes, np.ones((1, 2), bool))[0] == pytest.approx(angle, rel=1e-3)
    assert parallax_deg(point, eyes, np.array([[True, False]]))[0] == 0
    assert parallax_deg(point, eyes[:, :] * 0 + eyes[0], np.ones((1, 2), bool))[0] == pytest.approx(0, abs=1e-3)


def test_moving_along_the_line_of_sight_is_no_parallax():
    eyes = np.array([[1.0, 0, 0], [2.0, 0, 0], [3.0, 0, 0]])
    parallax = parallax_deg(np.array([[9.0, 0, 0], [9.0, 3.0, 0]]), eyes, np.ones((2, 3), bool))
    assert parallax[0] < 1e-3
    assert parallax[1] > 2


def test_thinning_is_by_a_tenth_of_a_metre_or_fifteen_degrees():
    still = turned(0)
    assert not has_moved(still, still)
    assert not has_moved(still, turned(14, (0.09, 0, 1)))
    assert has_moved(still, turned(0, (0.1, 0, 1)))
    assert has_moved(still, turned(16))
    apart = pose_distances(np.stack([still, turned(0, (0.2, 0, 1)), turned(30)]))
    assert apart == pytest.approx(np.array([[0, 2, 2], [2, 0, 4], [2, 4, 0]]), abs=1e-4)


def test_views_are_chosen_far_apart_and_by_no_chance():
    clump = [pose_from((0.01 * n, 0, 0)) for n in range(20)]
    far = [pose_from((2.0, 0, 0)), pose_from((0, 2.0, 0)), pose_from((0, 0, 2.0))]
    poses = np.stack([*clump, *far])
    chosen = spread_views(poses, [1.0] * len(poses), 4)
    assert chosen == spread_views(poses, [1.0] * len(poses), 4)
    assert {20, 21, 22} < set(chosen)
    assert chosen == sorted(chosen)
    assert spread_views(poses, [1.0] * len(poses), 99) == list(range(len(poses)))
    shares = [1.0] * 22 + [1e-6]
    assert 22 not in spread_views(poses, shares, 3), "a view that sees next to nothing is no use"
