"""What is known of a view, from points and from a mesh."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from furnished_room import CAMERA, furnished_room, poses
from known_meshes import plane

from showroom_ros.completion.camera_paths import turned
from showroom_ros.completion.holes import (
    conditioning_depth,
    nearest_points,
    nearest_points_reference,
    partial_view_of_mesh,
    partial_view_of_points,
)
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.render import render_mesh
from showroom_ros.geometry.se3 import look_at, pose_from, transform_points
from showroom_ros.scene.view import Provenance

POSE = poses(1)[0]
ROOM = furnished_room()


def seen(pose, camera=CAMERA):
    """Exact colour and depth."""
    rendered = render_mesh(ROOM.vertices, ROOM.triangles, camera, pose, ROOM.colors)
    return rendered.require_rgb(), rendered.depth


def cloud(camera=CAMERA):
    """The pixels of the first pose as points."""
    image, depth = seen(POSE, camera)
    points = transform_points(POSE, camera.back_project(depth)).reshape(-1, 3)
    return points, image.reshape(-1, 3), np.full(len(points), Provenance.PREDICTED, np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_nearest_points_equal_reference(seed):
    generator = np.random.default_rng(seed)
    camera = Camera(17, 13, 15.0, 16.0, 8.2, 5.9)
    points = generator.uniform([-1, -1, -0.5], [1, 1, 3], (300, 3)).round(2)
    points[5] = np.nan
    points = np.vstack([points, points[:40] + generator.normal(0, 0.003, (40, 3))])
    pose = pose_from([0.1, 0, -0.2], [1, 0, 0, 0])
    found = nearest_points(points, camera, pose)
    np.testing.assert_array_equal(found, nearest_points_reference(points, camera, pose))
    assert (found >= 0).mean() > 0.5


def test_from_where_the_points_come_all_is_known_and_exact():
    partial = partial_view_of_points(*cloud(), CAMERA, POSE)
    image, depth = seen(POSE)
    assert partial.known.all()
    assert partial.behind_share == 0
    np.testing.assert_allclose(partial.view.depth, depth, atol=1e-5)
    np.testing.assert_array_equal(partial.view.image, image)
    assert (partial.provenance == Provenance.PREDICTED).all()


def test_turned_what_was_seen_is_known_and_the_rest_is_not():
    pose = turned(POSE, 20.0)
    partial = partial_view_of_points(*cloud(), CAMERA, pose)
    _, depth = seen(pose)
    rays = CAMERA.rays() @ pose[:3, :3].T @ POSE[:3, :3]
    u = CAMERA.fx * rays[..., 0] / rays[..., 2] + CAMERA.cx
    v = CAMERA.fy * rays[..., 1] / rays[..., 2] + CAMERA.cy
    within = np.minimum(np.minimum(u, CAMERA.width - 1 - u), np.minimum(v, CAMERA.height - 1 - v))
    assert partial.known[within > 4].mean() > 0.99
    assert not partial.known[within < -2].any()
    error = np.abs(partial.view.require_depth() - depth)[partial.known]
    assert np.median(error) < 0.01
    assert np.quantile(error, 0.95) < 0.05
    assert np.isnan(partial.view.require_depth()[~partial.known]).all()
    assert not partial.view.image[~partial.known].any()
    assert not partial.provenance[~partial.known].any()


def test_cracks_are_closed_and_a_real_hole_stays():
    """A card before a wall, from nearer, so that points spread to 1.3 pixels; right of the card nothing was seen."""
    camera = Camera(160, 120, 160.0, 160.0, 79.5, 59.5)
    depth = np.full((120, 160), 2.0)
    depth[30:90, 50:110] = 1.0
    points = camera.back_project(depth).reshape(-1, 3)
    colors = np.repeat(np.where(depth < 1.5, 250, 100).astype(np.uint8).reshape(-1, 1), 3, axis=1)
    pose = pose_from([0.2, 0, 0.25])
    partial = partial_view_of_points(points, colors, np.ones(len(points), np.uint8), camera, pose)
    u, v = np.meshgrid(np.arange(160), np.arange(120))
    edge = 160 * ((109 - 79.5) / 160 - 0.2) / 0.75 + 79.5, 160 * ((110 - 79.5) / 80 - 0.2) / 1.75 + 79.5
    inside = (abs(v - 59.5) < 35) & (u > edge[0] + 3) & (u < edge[1] - 3)
    assert inside.sum() > 100
    assert not partial.known[inside].any()
    card = (abs(v - 59.5) < 36) & (u < edge[0] - 4) & (u > 5)
    assert partial.known[card].all()
    assert (partial.view.image[card] == 250).all()
    wall = (v < 12) & (u < 140)
    assert partial.known[wall].all()
    np.testing.assert_allclose(partial.view.require_depth()[wall], 1.75, atol=1e-6)


def test_conditioning_leaves_the_rim_out():
    partial = partial_view_of_points(*cloud(), CAMERA, turned(POSE, 20.0))
    given = np.isfinite(conditioning_depth(partial))
    for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        inner = given[1:-1, 1:-1]
        assert np.roll(partial.known, shift, axis)[1:-1, 1:-1][inner].all()
    assert 0 < (partial.known & ~given).sum() < 0.1 * given.sum()


def test_mesh_is_known_where_its_front_is_seen():
    partial = partial_view_of_mesh(ROOM, CAMERA, POSE)
    image, depth = seen(POSE)
    assert partial.known.all()
    np.testing.assert_array_equal(partial.view.depth, depth)
    np.testing.assert_array_equal(partial.view.image, image)
    outside = partial_view_of_mesh(ROOM, CAMERA, look_at((-2.0, 1.5, 1.2), (2.0, 1.5, 1.2)))
    assert outside.behind_share > 0.5
    assert not (outside.behind & outside.known).any()
    assert np.isnan(outside.view.require_depth()[outside.behind]).all()


def test_a_triangle_is_as_sure_as_its_least_sure_corner():
    mesh = plane(cells=1)
    mesh = replace(mesh, provenance=np.array([1, 1, 1, 3], np.uint8))
    partial = partial_view_of_mesh(mesh, CAMERA, look_at((0.02, 0, 2.0), (0, 0, 0.0)))
    kinds = {tuple(sorted(mesh.provenance[triangle])): None for triangle in mesh.triangles}
    expected = {max(kind) for kind in kinds}
    assert set(np.unique(partial.provenance[partial.known])) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"points": np.zeros((5, 2))}, "points are (5, 2)"),
        ({"colors": np.zeros((4, 3), np.uint8)}, "colours (4, 3)"),
        ({"provenance": np.zeros(4, np.uint8)}, "provenance (4,)"),
        ({"camera": replace(CAMERA, distortion_model="plumb_bob", distortion=(0.1, 0, 0, 0))}, "undistorted"),
        ({"T_world_camera": np.zeros((4, 4))}, "T_world_camera"),
    ],
)
def test_bad_input(change, words):
    given = {
        "points": np.ones((5, 3)),
        "colors": np.zeros((5, 3), np.uint8),
        "provenance": np.zeros(5, np.uint8),
        "camera": CAMERA,
        "T_world_camera": np.eye(4),
    }
    with pytest.raises(InputError) as raised:
        partial_view_of_points(**(given | change))
    assert words in str(raised.value)
