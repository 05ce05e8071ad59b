"""Colours that land where they belong, and the controls that notice when they do not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from known_meshes import room

from showroom_ros.errors import InputError
from showroom_ros.evaluation.color import reprojected_color_error
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.render import render_mesh
from showroom_ros.geometry.se3 import look_at, pose_from
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import View

CAMERA = Camera(160, 120, 110.0, 110.0, 79.5, 59.5)


def views_of(mesh: Mesh) -> list[View]:
    views = []
    for target in ((4, 1.5, 1.2), (2, 3, 1.0)):
        pose = look_at((1.2, 1.0, 1.3), target)
        seen = render_mesh(mesh.vertices, mesh.triangles, CAMERA, pose, mesh.colors)
        views.append(View(seen.require_rgb(), CAMERA, seen.depth, T_world_camera=pose))
    return views


def test_right_colours_in_the_right_place() -> None:
    scores = reprojected_color_error(room(), views_of(room()))
    assert scores.mean_error == 0
    assert scores.best_shift_px == (0, 0)
    assert scores.psnr_db == np.inf
    assert scores.shifted_error > 5, "the control must be worse"
    assert scores.views == 2
    assert scores.coverage == pytest.approx(144 * 104 / (160 * 120))
    assert json.loads(json.dumps(scores.to_dict(), allow_nan=False))["psnr_db"] is None


def test_brightness_is_measured() -> None:
    views = [replace(view, image=view.image + np.uint8(7)) for view in views_of(room())]
    scores = reprojected_color_error(room(), views)
    assert scores.mean_error == pytest.approx(7)
    assert scores.median_error == 7
    assert scores.psnr_db == pytest.approx(20 * np.log10(255 / 7))


def test_a_shifted_image_is_found_out() -> None:
    views = [replace(view, image=np.roll(view.image, (2, -5), axis=(0, 1)), depth=None) for view in views_of(room())]
    scores = reprojected_color_error(room(), views)
    # the image has to be moved back: 5 right, 2 up
    assert scores.best_shift_px == (5, -2)
    assert scores.mean_error > 5


def test_a_wrong_extrinsic_is_found_out() -> None:
    """Colour camera assumed 6 cm beside where it is: about 110 * 0.06 / 2 = 3 pixels at 2 m."""
    right = reprojected_color_error(room(), views_of(room()))
    wrong = reprojected_color_error(room(), views_of(room()), T_color_error=pose_from((0.06, 0, 0)), depth_margin_m=1.0)
    assert wrong.mean_error > right.mean_error + 3
    assert 2 <= abs(wrong.best_shift_px[0]) <= 5
    assert abs(wrong.best_shift_px[1]) <= 1


def test_pixels_where_the_depth_disagrees_are_left_out() -> None:
    views = views_of(room())
    broken = views[0].require_depth().copy()
    broken[:, :80] += 0.5
    scores = reprojected_color_error(room(), [replace(views[0], depth=broken)])
    assert scores.coverage == pytest.approx(72 * 104 / (160 * 120))


def test_bad_input() -> None:
    with pytest.raises(InputError, match="no pixel of the held-back frames shows the mesh"):
        reprojected_color_error(room(), [])
    with pytest.raises(InputError, match="no pixel"):
        reprojected_color_error(Mesh.empty(), views_of(room()))
    with pytest.raises(InputError, match="has no pose"):
        reprojected_color_error(room(), [replace(views_of(room())[0], T_world_camera=None)])
