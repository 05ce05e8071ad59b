"""Pictures show what they claim to."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from known_meshes import plane, room, sphere

from showroom_ros.errors import InputError
from showroom_ros.evaluation.canvas import heat_colors, side_by_side, stacked, text_width
from showroom_ros.evaluation.pictures import (
    error_picture,
    framed,
    inside_picture,
    outside_picture,
    overview_pictures,
    room_axes,
    shaded_render,
    top_picture,
    up_direction,
)
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.render import render_mesh
from showroom_ros.geometry.se3 import look_at, pose_from
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import View

CAMERA = Camera(160, 120, 110.0, 110.0, 79.5, 59.5)
SMALL = {"width": 320, "height": 240}


def view(eye: tuple[float, ...] = (1, 1, 1.2), target: tuple[float, ...] = (4, 2, 1)) -> View:
    mesh, pose = room(), look_at(eye, target)
    image = render_mesh(mesh.vertices, mesh.triangles, CAMERA, pose, mesh.colors).require_rgb()
    return View(image, CAMERA, T_world_camera=pose)


def test_up_and_walls_are_found_in_a_turned_room() -> None:
    quat = np.array([0.9, 0.2, -0.3, 0.25])
    turn = pose_from((5, -2, 1), quat / np.linalg.norm(quat))
    mesh = room()
    turned = replace(mesh, vertices=(mesh.vertices @ turn[:3, :3].T + turn[:3, 3]).astype(np.float32))
    held = [turn @ view(target=target).require_pose() for target in ((4, 2, 0.8), (1, 3, 0.9), (0, 0, 0.7))]
    guess = up_direction(held)
    assert guess @ turn[:3, 2] > 0.9
    axes = room_axes(turned, guess)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert axes[2] @ turn[:3, 2] == pytest.approx(1, abs=1e-6)
    along_walls = np.abs(axes[:2] @ turn[:3, :2])
    np.testing.assert_allclose(np.sort(along_walls.ravel()), [0, 0, 1, 1], atol=1e-6)


@pytest.mark.parametrize("direction", [(0, 0, 1), (1, 0.5, 1), (-1, 2, 0.1)])
def test_the_frame_is_filled_and_nothing_sticks_out(direction: tuple[float, ...]) -> None:
    mesh = sphere(0.8, (3, -7, 2))
    up = (0, 1, 0) if direction == (0, 0, 1) else (0, 0, 1)
    camera, pose = framed(mesh.vertices, direction, up, 200, 150)
    seen = np.isfinite(render_mesh(mesh.vertices, mesh.triangles, camera, pose).depth)
    rows = np.flatnonzero(seen.any(axis=1))
    assert rows[0] > 0
    assert rows[-1] < 149
    assert 0.85 < (rows[-1] - rows[0]) / 150 < 1
    columns = np.flatnonzero(seen.any(axis=0))
    assert (columns[0] + columns[-1]) / 2 == pytest.approx(99.5, abs=3)
    assert (rows[0] + rows[-1]) / 2 == pytest.approx(74.5, abs=3)


def test_stray_points_do_not_shrink_the_picture() -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (20_000, 3)).astype(np.float32)
    strays = np.concatenate([points, np.full((10, 3), 500, np.float32)])
    _, pose = framed(points, (1, 1, 1), (0, 0, 1), 200, 150)
    _, with_strays = framed(strays, (1, 1, 1), (0, 0, 1), 200, 150)
    assert np.linalg.norm(pose[:3, 3] - with_strays[:3, 3]) < 0.2


def test_from_outside_the_near_walls_and_ceiling_are_cut_away() -> None:
    """A red floor below a white ceiling: red must be what is seen."""
    mesh = room()
    mesh.colors[:] = 250
    mesh.colors[mesh.normals[:, 2] > 0.9] = (200, 20, 20)
    axes = room_axes(mesh, (0, 0, 1))
    for picture in (outside_picture(mesh, axes, **SMALL), top_picture(mesh, axes, **SMALL)):
        assert picture.shape == (240, 320, 3)
        assert picture.dtype == np.uint8
        red = (picture[..., 0] > 120) & (picture[..., 1] < 60)
        assert red.mean() > 0.15
    assert red[120, 160]


def test_the_top_view_is_across() -> None:
    """The longer side of the room goes across the picture."""
    backdrop_free = top_picture(room((2.0, 6.0, 2.5)), np.eye(3), **SMALL, style="clay")
    mesh_only = np.ptp(backdrop_free.astype(int), axis=2) > 8
    rows, columns = np.flatnonzero(mesh_only.any(axis=1)), np.flatnonzero(mesh_only.any(axis=0))
    assert np.ptp(columns) > np.ptp(rows)


def test_bare_colours_are_those_of_the_mesh() -> None:
    """Without relief the rendering is the colour itself: it stands beside camera images."""
    mesh, held = room(), view()
    picture = shaded_render(mesh, CAMERA, held.require_pose(), relief=0.0)
    assert np.abs(picture.astype(int) - held.image.astype(int)).mean() < 1.5


def test_inside_picture_has_three_parts() -> None:
    picture = inside_picture(room(), view(), height=120)
    assert picture.shape == (120, 3 * 160 + 2 * 6, 3)
    camera, mesh = picture[:90, :160].astype(int), picture[:90, 166:326].astype(int)
    assert np.abs(camera - mesh).mean() < 3
    assert np.abs(camera - picture[:90, 332:].astype(int)).mean() > 10


def test_errors_have_the_colour_the_bar_gives_them() -> None:
    """Three centimetres off everywhere: all of the surface in the colour at 3/5 of the bar."""
    picture = error_picture(plane(z=0.03, color=(0, 0, 0)), plane(), np.eye(3), **SMALL)
    assert picture.shape[0] > 240
    hue = cv2.cvtColor(picture[120:121, 160:161], cv2.COLOR_RGB2HSV)[0, 0, 0]
    expected = cv2.cvtColor(heat_colors(np.array([0.03]), 0.05)[None], cv2.COLOR_RGB2HSV)[0, 0, 0]
    assert abs(int(hue) - int(expected)) <= 3


def test_overview_without_being_told_what_is_up() -> None:
    pictures = overview_pictures(room(), [view()])
    assert [picture.name for picture in pictures] == ["outside", "outside_clay", "top", "inside_0"]
    for picture in pictures:
        assert picture.image.std() > 10, f"{picture.name} is blank"


def test_heat_colours() -> None:
    colors = heat_colors(np.array([0.0, 0.5, 1.0, 7.0, np.nan]), 1.0).astype(int)
    assert colors[0, 2] > colors[0, 0], "right is blue"
    assert colors[2, 0] > colors[2, 2], "wrong is red"
    np.testing.assert_array_equal(colors[2], colors[3])
    np.testing.assert_array_equal(colors[4], (128, 128, 128))


def test_putting_together() -> None:
    tall, wide = np.zeros((30, 10, 3), np.uint8), np.zeros((10, 30, 3), np.uint8)
    assert side_by_side([tall, tall], 4).shape == (30, 24, 3)
    assert stacked([wide, wide, wide], 4).shape == (38, 30, 3)
    assert text_width("twice twice", 20) > 1.5 * text_width("twice", 20)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="the mesh is empty"):
        outside_picture(Mesh.empty(), np.eye(3))
    with pytest.raises(InputError, match="which way is up from 0 camera poses"):
        up_direction([])
    with pytest.raises(InputError, match="which way is up from 2"):
        up_direction([np.eye(4), np.diag([-1.0, -1, 1, 1])])
