"""The camera against OpenCV, and its own inverses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera, assumed_camera

SIZE = {"width": 640, "height": 480, "fx": 520.0, "fy": 515.0, "cx": 318.0, "cy": 243.0}
LENSES = {
    "none": Camera(**SIZE),
    "plumb_bob4": Camera(**SIZE, distortion_model="plumb_bob", distortion=(-0.28, 0.07, 1e-3, -2e-3)),
    "plumb_bob5": Camera(**SIZE, distortion_model="plumb_bob", distortion=(0.26, -0.95, -0.005, 0.0026, 1.16)),
    "rational8": Camera(
        **SIZE, distortion_model="rational_polynomial", distortion=(0.6, -2.8, 3e-4, -4e-4, 1.6, 0.5, -2.6, 1.5)
    ),
    "rational12": Camera(
        **SIZE,
        distortion_model="rational_polynomial",
        distortion=(0.1, -0.05, 1e-3, 5e-4, 0.01, 0.08, -0.02, 0.01, 1e-3, -2e-3, 5e-4, 3e-4),
    ),
    "rational14": Camera(
        **SIZE,
        distortion_model="rational_polynomial",
        distortion=(0.1, -0.05, 1e-3, 5e-4, 0.01, 0.08, -0.02, 0.01, 1e-3, -2e-3, 5e-4, 3e-4, 0.0, 0.0),
    ),
    "equidistant": Camera(**SIZE, distortion_model="equidistant", distortion=(0.05, -0.01, 0.004, -0.002)),
}
lens = pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())


def opencv_pixels(camera: Camera, points: np.ndarray) -> np.ndarray:
    zero = np.zeros(3)
    if camera.distortion_model == "equidistant":
        pixels, _ = cv2.fisheye.projectPoints(points[:, None], zero, zero, camera.matrix, np.array(camera.distortion))
    else:
        pixels, _ = cv2.projectPoints(points[:, None], zero, zero, camera.matrix, np.array(camera.distortion))
    return pixels[:, 0]


def points_in_view(camera: Camera) -> np.ndarray:
    generator = np.random.default_rng(3)
    z = generator.uniform(0.3, 6.0, 500)
    u, v = generator.uniform(0, camera.width, 500), generator.uniform(0, camera.height, 500)
    return np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], axis=1)


@lens
def test_projection_agrees_with_opencv(camera: Camera) -> None:
    points = points_in_view(camera)
    pixels, z = camera.project(points)
    np.testing.assert_allclose(pixels, opencv_pixels(camera, points), atol=1e-6)
    np.testing.assert_array_equal(z, points[:, 2])


@lens
def test_rays_project_back_onto_their_pixels(camera: Camera) -> None:
    rays = camera.rays()
    assert rays.shape == (480, 640, 3)
    v, u = np.mgrid[:480, :640]
    known = np.isfinite(rays[..., 0])
    assert known.mean() > 0.99
    pixels, _ = camera.project(rays)
    np.testing.assert_allclose(pixels[known], np.stack([u, v], axis=-1)[known], atol=0.1)
    assert np.median(np.abs(pixels[known] - np.stack([u, v], axis=-1)[known])) < 1e-3


@lens
def test_undistortion_inverts_distortion(camera: Camera) -> None:
    ideal = points_in_view(camera)[:, :2] / points_in_view(camera)[:, 2:]
    ideal = ideal[np.hypot(*ideal.T) < 0.6]
    np.testing.assert_allclose(camera.undistort(camera.distort(ideal)), ideal, atol=1e-4)


@lens
def test_back_projection_inverts_projection(camera: Camera) -> None:
    depth = np.full((480, 640), 2.5, np.float32)
    depth[:10] = np.nan
    points = camera.back_project(depth)
    assert np.isnan(points[:10]).all()
    pixels, z = camera.project(points[10:])
    known = np.isfinite(z)
    np.testing.assert_allclose(z[known], 2.5, rtol=1e-6)
    v, u = np.mgrid[10:480, :640]
    np.testing.assert_allclose(pixels[known], np.stack([u, v], axis=-1)[known], atol=0.1)


@lens
def test_undistort_maps_agree_with_opencv(camera: Camera) -> None:
    if camera.distortion_model == "none":
        return
    map_x, map_y = camera.undistort_maps()
    coefficients, matrix, size = np.array(camera.distortion), camera.matrix, (640, 480)
    if camera.distortion_model == "equidistant":
        peer = cv2.fisheye.initUndistortRectifyMap(matrix, coefficients, np.eye(3), matrix, size, cv2.CV_32FC1)
    else:
        peer = cv2.initUndistortRectifyMap(matrix, coefficients, np.eye(3), matrix, size, cv2.CV_32FC1)
    np.testing.assert_allclose(map_x, peer[0], atol=2e-3)
    np.testing.assert_allclose(map_y, peer[1], atol=2e-3)


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_scaling_keeps_pixel_areas(width: int, height: int) -> None:
    """Image corners (half a pixel outside the outermost centres) stay corners, and back again."""
    camera = Camera(**SIZE)
    small = camera.scaled(width, height)
    for edge_u, edge_v in ((-0.5, -0.5), (639.5, 479.5)):
        x, y = (edge_u - camera.cx) / camera.fx, (edge_v - camera.cy) / camera.fy
        assert x * small.fx + small.cx == pytest.approx(-0.5 if edge_u < 0 else width - 0.5)
        assert y * small.fy + small.cy == pytest.approx(-0.5 if edge_v < 0 else height - 0.5)
    again = small.scaled(camera.width, camera.height)
    np.testing.assert_allclose(again.matrix, camera.matrix, rtol=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 600), st.integers(0, 400))
def test_cropping_moves_the_principal_point(left: int, top: int) -> None:
    camera = Camera(**SIZE)
    part = camera.cropped(left, top, 40, 30)
    point = np.array([0.1, -0.2, 1.5])
    np.testing.assert_allclose(part.project(point)[0] + (left, top), camera.project(point)[0])
    assert (part.width, part.height) == (40, 30)


def test_points_behind_the_camera_have_no_pixel() -> None:
    pixels, z = Camera(**SIZE).project([[0, 0, -1.0], [0, 0, 0], [0, 0, 1]])
    assert np.isnan(pixels[:2]).all()
    np.testing.assert_allclose(pixels[2], (318, 243))
    np.testing.assert_array_equal(z, [-1, 0, 1])


def test_where_the_lens_has_no_inverse_there_is_no_ray() -> None:
    """A barrel lens folds beyond some radius: such pixels see nothing, they do not see nonsense."""
    camera = Camera(**{**SIZE, "fx": 150.0, "fy": 150.0}, distortion_model="plumb_bob", distortion=(-0.4, 0, 0, 0))
    rays = camera.rays()
    known = np.isfinite(rays[..., 0])
    assert not known[0, 0]
    assert known[240, 320]
    v, u = np.mgrid[:480, :640]
    pixels, _ = camera.project(rays)
    np.testing.assert_allclose(pixels[known], np.stack([u, v], axis=-1)[known], atol=0.1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"width": 0}, "camera size is 0x480"),
        ({"height": -1}, "camera size is 640x-1"),
        ({"fx": 0.0}, "camera fx is 0.0, expected a positive number"),
        ({"fy": -5.0}, "camera fy is -5.0"),
        ({"fx": float("nan")}, "camera fx is nan"),
        ({"cx": float("inf")}, "camera cx is inf, expected a finite number"),
        ({"distortion_model": "fish"}, "distortion model 'fish' is unknown, expected one of"),
        ({"distortion_model": "plumb_bob", "distortion": (1.0,)}, "has 1 coefficients, expected 4 or 5"),
        ({"distortion_model": "none", "distortion": (1.0,)}, "has 1 coefficients, expected 0"),
        ({"distortion_model": "equidistant", "distortion": (float("nan"),) * 4}, "not finite"),
        (
            {"distortion_model": "rational_polynomial", "distortion": (0.0,) * 12 + (0.1, 0.0)},
            "tilted sensors are not supported",
        ),
    ],
)
def test_bad_construction(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        Camera(**{**SIZE, **changes})  # type: ignore[arg-type]


def test_bad_use() -> None:
    camera = Camera(**SIZE)
    with pytest.raises(InputError, match="crop 640x480\\+1\\+0 is not inside 640x480"):
        camera.cropped(1, 0, 640, 480)
    with pytest.raises(InputError, match="camera is 640x480"):
        camera.back_project(np.zeros((10, 10)))


def test_assumed_camera_spans_its_field_of_view() -> None:
    camera = assumed_camera(641, 480)
    left, right = ((edge - camera.cx) / camera.fx for edge in (-0.5, 640.5))
    assert np.degrees(np.arctan(right) - np.arctan(left)) == pytest.approx(60.0)
    assert (camera.fx, camera.cx, camera.cy) == (camera.fy, 320.0, 239.5)
    assert assumed_camera(100, 50, horizontal_fov_deg=90.0).fx == pytest.approx(50.0)
    with pytest.raises(InputError, match=r"is 180.0 degrees, expected one in"):
        assumed_camera(640, 480, 180.0)
    with pytest.raises(InputError, match="camera size is 0x480"):
        assumed_camera(0, 480)


def test_a_width_keeps_the_shape_of_the_image_and_eight_rows() -> None:
    camera = Camera(640, 480, 500.0, 510.0, 320.0, 240.0)
    assert camera.of_width(160) == camera.scaled(160, 120)
    assert camera.of_width(640) == camera
    assert Camera(640, 16, 500.0, 500.0, 320.0, 8.0).of_width(64).height == 8
