"""Distances of a network's grid in the voxels of a map, and their colours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tsdf_scenes import make_engine

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at, rotation_from_quat
from showroom_ros.scene.block_store import HAS_COLOR, TSDF_UNITS, WEIGHT_UNITS
from showroom_ros.scene.painting import paint
from showroom_ros.scene.resampling import DistanceGrid, blocks_in_box, resample, resample_reference
from showroom_ros.scene.view import Provenance, View
from showroom_ros.settings import MapSettings

MAP = MapSettings(voxel_size_m=0.02, truncation_m=0.08)


def sphere_grid(radius: float = 0.3, R=None, unknown_beyond_m: float = 0.12) -> DistanceGrid:
    """A ball of free space outside, around the origin, on a 4 cm grid."""
    low = np.array([-14, -15, -16])
    points = (np.stack(np.meshgrid(*[np.arange(32)] * 3, indexing="ij"), -1) + low) * 0.04
    distance = np.linalg.norm(points, axis=-1) - radius
    distance[np.abs(distance) > unknown_beyond_m] = np.nan
    return DistanceGrid(
        distance.astype(np.float32), np.full(distance.shape, 2.0, np.float32), low, 0.04, np.eye(3) if R is None else R
    )


def all_blocks(grid: DistanceGrid, settings: MapSettings = MAP) -> np.ndarray:
    high = grid.low + np.array(grid.distance_m.shape)
    return blocks_in_box(grid.low, high, grid.voxel_size_m, grid.R_world_grid, settings)


def points_of(position: np.ndarray, settings: MapSettings = MAP) -> np.ndarray:
    n = np.arange(512)
    return (position[:, None] * 8 + np.stack([n % 8, n // 8 % 8, n // 64], 1)) * settings.voxel_size_m


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), axis_aligned=st.booleans())
def test_resampling_equals_the_reference(seed, axis_aligned):
    rng = np.random.default_rng(seed)
    if axis_aligned:
        R = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], (3, 1))
        R = R * np.linalg.det(R)
    else:
        quat = rng.normal(size=4)
        R = rotation_from_quat(quat / np.linalg.norm(quat))
    shape = (9, 8, 7)
    distance = rng.uniform(-0.2, 0.2, shape).astype(np.float32)
    distance[rng.random(shape) < 0.05] = np.nan
    weight = rng.uniform(1, 9, shape).astype(np.float32)
    grid = DistanceGrid(distance, weight, np.array([-4, -3, 2]), 0.04, R)
    voxels = resample(grid, all_blocks(grid), MAP)
    known = voxels.weight >> 2 > 0
    assert known.any()
    points = points_of(voxels.position)
    filled = np.flatnonzero(known.any(1))
    for n, m in zip(rng.choice(filled, 60), rng.integers(0, 512, 60), strict=True):
        expected = resample_reference(grid, points[n, m], MAP.truncation_m)
        assert (expected is not None) == known[n, m]
        if expected is not None:
            assert voxels.tsdf[n, m] / TSDF_UNITS == pytest.approx(expected[0], abs=1e-3)
            assert (voxels.weight[n, m] >> 2) / WEIGHT_UNITS == pytest.approx(expected[1], abs=0.04)
            assert voxels.weight[n, m] & 3 == Provenance.PREDICTED
    for n in np.setdiff1d(np.arange(len(points)), filled)[:3]:
        values = [resample_reference(grid, point, MAP.truncation_m) for point in points[n, ::37]]
        assert all(value is None or abs(value[0]) == 1 for value in values)


@pytest.mark.parametrize("voxel_size_m", [0.01, 0.02, 0.03, 0.04, 0.05])
def test_a_sphere_keeps_its_radius_at_every_voxel_size(voxel_size_m):
    map_settings = MapSettings(voxel_size_m=voxel_size_m, truncation_m=0.1)
    grid = sphere_grid()
    volume = make_engine("numba", map_settings)
    volume.put_predicted(resample(grid, all_blocks(grid, map_settings), map_settings), np.zeros(3))
    mesh = volume.extract_mesh()
    assert len(mesh.triangles) > 300
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 0.3).max() < 0.006
    outward = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    assert (mesh.normals * outward).sum(1).min() > 0.9, "free space is outside"


def test_surface_that_is_not_known_is_not_made_up():
    grid = sphere_grid()
    half = grid.distance_m.copy()
    half[16:] = np.nan  # x >= 0.08
    voxels = resample(grid._replace(distance_m=half), all_blocks(grid), MAP)
    assert points_of(voxels.position)[voxels.weight > 0][:, 0].max() <= 0.04 * (15 - 14) + 1e-6
    nothing = resample(grid._replace(distance_m=np.full_like(half, np.nan)), all_blocks(grid), MAP)
    assert not nothing.weight.any()


def colored_view(eye, color, target=(0, 0, 0), size=(64, 48)) -> View:
    camera = Camera(size[0], size[1], 60.0, 60.0, (size[0] - 1) / 2, (size[1] - 1) / 2)
    image = np.broadcast_to(np.uint8(color), (size[1], size[0], 3)).copy()
    return View(image, camera, T_world_camera=look_at(eye, target))


def painted_mesh(grid: DistanceGrid, views):
    volume = make_engine("numba", MAP)
    volume.put_predicted(paint(resample(grid, all_blocks(grid), MAP), grid, views, MAP), np.zeros(3))
    return volume.extract_mesh()


def test_each_side_has_the_colour_of_the_views_in_front_of_it():
    red, blue = colored_view((1.0, 0, 0), (200, 0, 0)), colored_view((-1.0, 0, 0), (0, 0, 240))
    mesh = painted_mesh(sphere_grid(), [red, blue])
    front = mesh.vertices[:, 0] / 0.3
    assert (mesh.colors[front > 0.7] == (200, 0, 0)).all()
    assert (mesh.colors[front < -0.7] == (0, 0, 240)).all()


def test_the_nearest_views_are_averaged():
    near = [colored_view((1.0 + 0.01 * n, 0, 0), (30 * n, 90, 0)) for n in range(3)]
    mesh = painted_mesh(sphere_grid(), [*near, colored_view((1.5, 0, 0), (255, 255, 255))])
    assert np.abs(mesh.colors[mesh.vertices[:, 0] > 0.24].astype(int) - (30, 90, 0)).max() <= 1


def test_a_texture_lands_where_it_is_seen():
    """Left half of the image red, right half green: the plane between them is y = 0."""
    view = colored_view((1.0, 0, 0), (200, 0, 0))
    view.image[:, 32:] = (0, 200, 0)
    mesh = painted_mesh(sphere_grid(), [view])
    facing, y = mesh.vertices[:, 0] > 0.2, mesh.vertices[:, 1]
    right = np.cross(view.T_world_camera[:3, 2], (0, 0, 1))[1]
    assert (mesh.colors[facing & (y * right > 0.03)] == (0, 200, 0)).all()
    assert (mesh.colors[facing & (y * right < -0.03)] == (200, 0, 0)).all()


def test_a_view_does_not_colour_what_is_behind_something_else():
    """A wall behind a ball, seen from the ball's side in red: the wall right behind keeps the farther view's blue."""
    low = np.array([-15, -15, -15])
    points = (np.stack(np.meshgrid(*[np.arange(31)] * 3, indexing="ij"), -1) + low) * 0.04
    distance = np.minimum(np.linalg.norm(points, axis=-1) - 0.2, points[..., 0] + 0.5)
    grid = DistanceGrid(distance.astype(np.float32), np.ones(distance.shape, np.float32), low, 0.04, np.eye(3))
    red = colored_view((0.9, 0, 0), (200, 0, 0))
    blue = colored_view((0.0, 1.9, 0), (0, 0, 200), target=(-0.5, 0, 0))
    mesh = painted_mesh(grid, [red, blue])
    wall = np.abs(mesh.vertices[:, 0] + 0.5) < 0.02
    behind = wall & (np.linalg.norm(mesh.vertices[:, 1:], axis=1) < 0.2)
    assert behind.sum() > 50
    assert (mesh.colors[behind] == (0, 0, 200)).all()
    beside = wall & (mesh.vertices[:, 1] < -0.5) & (np.abs(mesh.vertices[:, 2]) < 0.1)
    assert (mesh.colors[beside, 0] > 0).all()


def test_what_no_view_sees_has_no_colour_and_sizes_must_agree():
    grid = sphere_grid()
    voxels = resample(grid, all_blocks(grid), MAP)
    away = colored_view((1.0, 0, 0), (9, 9, 9), target=(2.0, 0, 0))
    assert not (paint(voxels, grid, [away], MAP).color & HAS_COLOR).any()
    assert not paint(voxels, grid, [], MAP).color.any()
    with pytest.raises(InputError, match="different sizes"):
        paint(voxels, grid, [away, colored_view((1.0, 0, 0), (9, 9, 9), size=(32, 32))], MAP)
