"""What cameras saw of a room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from known_meshes import plane, room

from showroom_ros.errors import InputError
from showroom_ros.evaluation.mesh import evaluate_mesh
from showroom_ros.evaluation.surface import sample_surface
from showroom_ros.evaluation.visibility import VisibilityMask
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.mesh import Mesh

CAMERA = Camera(160, 120, 100.0, 100.0, 79.5, 59.5)
POSES = [look_at((1, 1.5, 1.2), target) for target in ((4, 1.5, 1), (4, 3, 0), (2, 3, 1.2))]


def hidden_wall() -> Mesh:
    """A room with a screen in it."""
    screen = plane(1.6, cells=8)
    upright = replace(screen, vertices=(screen.vertices[:, [2, 0, 1]] + (2.5, 0.7, 0)).astype(np.float32))
    return Mesh.concatenate([room(), upright])


def test_fast_equals_reference() -> None:
    truth = hidden_wall()
    for min_views in (1, 2):
        mask = VisibilityMask.from_views(
            [(CAMERA, pose) for pose in POSES], truth, max_depth_m=3.2, min_views=min_views
        )
        points = np.concatenate(
            [sample_surface(truth, 1200, 0).points, np.random.default_rng(0).uniform(-1, 5, (600, 3))]
        )
        seen = mask(points)
        np.testing.assert_array_equal(seen, mask.seen_reference(points))
        assert 0.03 < seen.mean() < 0.9


def test_from_the_middle_all_around_everything_is_seen() -> None:
    poses = [look_at((2, 1.5, 1.2), (2 + np.cos(a), 1.5 + np.sin(a), z)) for a in range(7) for z in (0.2, 1.2, 2.2)]
    poses += [look_at((2, 1.5, 1.2), (2.01, 1.5, z)) for z in (-1, 3)]
    mask = VisibilityMask.from_views([(CAMERA, pose) for pose in poses], room())
    assert mask(sample_surface(room(), 20_000, 0).points).mean() > 0.999


def test_one_view_sees_what_geometry_says() -> None:
    """Straight at a wall: its visible rectangle, nothing behind the back, nothing beyond the range."""
    pose = look_at((2, 1.5, 1.25), (4, 1.5, 1.25))
    mask = VisibilityMask.from_views([(CAMERA, pose)], room())
    points = sample_surface(room(), 40_000, 0).points
    seen = mask(points)
    wall = points[:, 0] > 3.999
    half_width, half_height = 79.5 / 100 * 2, 59.5 / 100 * 2
    framed = (np.abs(points[:, 1] - 1.5) < half_width - 0.05) & (np.abs(points[:, 2] - 1.25) < half_height - 0.05)
    assert seen[wall & framed].all()
    assert not seen[points[:, 0] < 2].any()
    near = VisibilityMask.from_views([(CAMERA, pose)], room(), max_depth_m=1.9)
    assert not near(points[wall]).any()
    far = VisibilityMask.from_views([(CAMERA, pose)], room(), min_depth_m=2.1)
    assert not far(points[wall]).any()


def test_a_screen_hides_what_is_behind_it() -> None:
    mask = VisibilityMask.from_views([(CAMERA, look_at((1, 1.5, 0.8), (4, 1.5, 0.8)))], hidden_wall())
    behind, before = np.array([[3.99, 1.5, 0.8]]), np.array([[2.4, 1.5, 0.8]])
    assert not mask(behind)[0]
    assert mask(before)[0]
    margin = replace(mask, margin_m=2.0)
    assert margin(behind)[0]


def test_slanted_surface_is_seen_whole() -> None:
    """The floor at a grazing angle: depth changes by much more than the margin within a pixel."""
    floor = plane(20.0, z=-0.3, cells=4)
    pose = look_at((0.5, 10, 0), (20, 10, 0))
    mask = VisibilityMask.from_views([(CAMERA, pose)], floor, max_depth_m=100, margin_m=1e-3)
    points = np.stack([np.linspace(2, 8, 500), np.full(500, 10.0), np.full(500, -0.3)], axis=1)
    assert mask(points).all()


def test_what_nobody_saw_is_not_missed() -> None:
    mask = VisibilityMask.from_views([(CAMERA, look_at((2, 1.5, 1.25), (4, 1.5, 1.25)))], room())
    seen_part = room()
    centers = seen_part.vertices[seen_part.triangles].mean(axis=1)
    seen_part = replace(seen_part, triangles=seen_part.triangles[centers[:, 0] > 2.2])
    assert evaluate_mesh(seen_part, room(), samples=20_000).recall[0.02] < 0.6
    assert evaluate_mesh(seen_part, room(), samples=20_000, visible=mask).recall[0.02] > 0.999


def test_a_ray_that_hits_nothing_proves_nothing() -> None:
    mask = VisibilityMask.from_views([(CAMERA, look_at((1, 1, 1), (1, 1.001, 9)))], plane())
    assert not mask(np.array([[1.0, 1.0, 3.0]])).any()


def test_bad_input() -> None:
    with pytest.raises(InputError, match="at least one view"):
        VisibilityMask.from_views([], room())
    with pytest.raises(InputError, match="T_world_camera is no rigid transform"):
        VisibilityMask.from_views([(CAMERA, np.diag([2.0, 1, 1, 1]))], room())
    with pytest.raises(InputError, match="1 cameras, 2 poses"):
        VisibilityMask((CAMERA,), (np.eye(4), np.eye(4)), ())
    with pytest.raises(InputError, match=r"depth is \(3, 2\), its camera 160x120"):
        VisibilityMask((CAMERA,), (np.eye(4),), (np.zeros((2, 3), np.float32),))
