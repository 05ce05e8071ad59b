"""Focal length, pose and normals from pointmaps made with a known camera."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.pointmap import camera_pose, confident, fitted_focal, point_normals
from showroom_ros.geometry.se3 import look_at, rotation_angle_deg, transform_points

CAMERA = Camera(128, 96, 110.0, 110.0, 63.5, 47.5)
POSE = look_at([1, 2, 1.5], [4, -1, 1])
v, u = np.mgrid[:96, :128]
LOCAL = CAMERA.back_project(2 + 0.5 * np.sin(u / 15) * np.cos(v / 12) + (u > 80))
WORLD = transform_points(POSE, LOCAL)
ONES = np.ones((96, 128))


def disturbed(points: np.ndarray, share: float, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """A ``share`` of the pixels is moved by about a metre, all by ``noise``."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(points.shape[:2]) < share
    return points + rng.normal(0, noise, points.shape) + wrong[..., None] * rng.normal(0, 1, points.shape)


def test_confident_takes_the_highest_share() -> None:
    confidence = np.random.default_rng(0).permutation(1200).reshape(30, 40).astype(np.float32)
    np.testing.assert_array_equal(confident(confidence, 0.15), confidence >= 1200 - 180)
    confidence[0, 0] = np.nan
    valid = np.arange(40) < 20
    mask = confident(confidence, 0.5, np.broadcast_to(valid, (30, 40)))
    assert not mask[0, 0]
    assert not mask[:, 20:].any()
    assert mask.sum() == 300
    assert confidence[mask].min() > np.nanmax(confidence[:, :20][~mask[:, :20]])


def test_confident_is_never_a_few_of_many_equals() -> None:
    assert confident(np.full((9, 9), 2.0), 0.15).all()
    few_high = np.ones((10, 10))
    few_high[0, :5] = 9
    assert confident(few_high, 0.15).all()
    assert confident(few_high, 0.05).sum() == 5
    assert confident(np.arange(8.0).reshape(2, 4), 0.1).sum() == 3
    assert not confident(np.full((4, 4), np.nan)).any()


def test_focal_of_exact_points_is_exact() -> None:
    assert fitted_focal(LOCAL) == pytest.approx(110, abs=1e-9)
    assert fitted_focal((7 * LOCAL).astype(np.float32)) == pytest.approx(110, abs=1e-4)
    cut = LOCAL[10:, 20:].copy()
    cut[:3] = np.nan
    cut[3, 4] *= -1
    assert fitted_focal(cut, principal=(43.5, 37.5)) == pytest.approx(110, abs=1e-9)


def test_focal_is_that_of_a_slow_scan() -> None:
    points = disturbed(LOCAL, 0.2, 0.03)
    usable = points[..., 2] > 0
    flat = points[usable][:, :2] / points[usable][:, 2:]
    pixel = np.stack([u, v], -1)[usable] - [63.5, 47.5]
    scan = np.arange(95, 115, 0.05)
    costs = [np.linalg.norm(pixel - focal * flat, axis=1).sum() for focal in scan]
    assert fitted_focal(points) == pytest.approx(scan[np.argmin(costs)], abs=0.05)


def test_focal_withstands_outliers_that_least_squares_does_not() -> None:
    points = disturbed(LOCAL, 0.2)
    assert fitted_focal(points) == pytest.approx(110, abs=0.01)
    assert fitted_focal(points, iterations=0) < 80


def test_focal_leaves_out_the_least_sure_tenth() -> None:
    points, confidence = disturbed(LOCAL, 0, 0.03), ONES.copy()
    points[:9, :, :2] *= 3
    confidence[:9] = 0.5
    without = points.copy()
    without[:9] = np.nan
    assert fitted_focal(points, confidence) == fitted_focal(without)
    assert abs(fitted_focal(points) - fitted_focal(without)) > 0.5


def test_pose_of_exact_points_is_exact() -> None:
    fit = camera_pose(WORLD, None, CAMERA)
    assert fit is not None
    np.testing.assert_allclose(fit.T_world_camera, POSE, atol=1e-8)
    assert fit.inliers == fit.used == 2000
    assert fit.error_px < 1e-6


def test_pose_scales_and_moves_with_its_points() -> None:
    far = 1e4
    fit = camera_pose(1e-3 * WORLD + far, None, CAMERA)
    assert fit is not None
    np.testing.assert_allclose(fit.T_world_camera[:3, 3], 1e-3 * POSE[:3, 3] + far, atol=1e-7)
    np.testing.assert_allclose(fit.T_world_camera[:3, :3], POSE[:3, :3], atol=1e-4)


def test_pose_withstands_outliers_and_noise() -> None:
    fit = camera_pose(disturbed(WORLD, 0.4, 0.01), ONES, CAMERA, reprojection_px=8)
    assert fit is not None
    assert rotation_angle_deg(fit.T_world_camera, POSE) < 0.3
    assert np.linalg.norm(fit.T_world_camera[:3, 3] - POSE[:3, 3]) < 0.02
    assert 0.5 < fit.inliers / fit.used < 0.75


def test_pose_reads_only_the_most_confident() -> None:
    points, sure = WORLD.copy(), np.zeros((96, 128), bool)
    sure[20:50, 30:100] = True
    points[~sure] = np.nan
    points[~sure & (u % 2 == 0)] = 3.0
    fit = camera_pose(points, np.where(sure, 5.0, 1.0), CAMERA)
    assert fit is not None
    np.testing.assert_allclose(fit.T_world_camera, POSE, atol=1e-6)
    assert fit.used < sure.sum()


def test_reprojection_limit_is_that_of_an_image_512_wide() -> None:
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, (96, 128))
    off = 3 / 110 * LOCAL[..., 2] * (np.random.default_rng(1).random((96, 128)) < 0.3)  # seen 3 pixels off
    points = transform_points(POSE, LOCAL + np.stack([off * np.cos(angle), off * np.sin(angle), 0 * off], -1))
    strict, loose = (camera_pose(points, None, CAMERA, reprojection_px=px) for px in (4 * 2.5, 4 * 3.5))
    assert strict is not None
    assert loose is not None
    assert strict.inliers / strict.used == pytest.approx(0.7, abs=0.04)
    assert loose.inliers > 0.97 * loose.used
    assert loose.error_px == pytest.approx(3 * np.sqrt(0.3), rel=0.1)


def test_pose_is_repeatable_and_leaves_the_generators_alone() -> None:
    points = disturbed(WORLD, 0.3, 0.01)
    cv2.setRNGSeed(5)
    expected = cv2.randu(np.zeros(4), 0.0, 1.0)
    cv2.setRNGSeed(5)
    first = camera_pose(points, ONES, CAMERA, seed=3)
    np.testing.assert_array_equal(cv2.randu(np.zeros(4), 0.0, 1.0), expected)
    second = camera_pose(points, ONES, CAMERA, seed=3)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.T_world_camera, second.T_world_camera)


@pytest.mark.parametrize(
    "points",
    [
        np.full_like(WORLD, np.nan),
        np.full_like(WORLD, 2.0),
        np.where((v * 128 + u < 11)[..., None], WORLD, np.nan),
        np.random.default_rng(0).normal(size=WORLD.shape),
    ],
    ids=["nothing", "one place", "eleven points", "noise"],
)
def test_no_pose_is_better_than_a_wrong_one(points: np.ndarray) -> None:
    assert camera_pose(points, None, CAMERA) is None


def test_normals_of_a_plane() -> None:
    normal = np.array([0.3, -0.2, -0.9]) / np.linalg.norm([0.3, -0.2, -0.9])
    rays = CAMERA.rays()
    found = point_normals(rays * (-2 / (rays @ normal))[..., None])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.broadcast_to(normal, found.shape), atol=1e-5)


def test_normals_of_a_sphere_end_at_its_outline() -> None:
    rays, middle, radius = CAMERA.rays(), np.array([0.1, 0.0, 4.0]), 1.0
    along, square = rays @ middle, (rays**2).sum(-1)
    root = along**2 - square * (middle @ middle - radius**2)
    hit = root > 0
    depth = np.where(hit, (along - np.sqrt(np.maximum(root, 0))) / square, 8.0)
    points = rays * depth[..., None]
    found = point_normals(points)
    assert ((found * points).sum(-1)[np.isfinite(found[..., 0])] < 0).all()
    true = (points - middle) / radius
    facing = hit & ((true * rays).sum(-1) / np.sqrt(square) < -0.5)
    cosine = (found * true).sum(-1)[facing]
    assert np.degrees(np.arccos(cosine.min())) < 2
    np.testing.assert_allclose(found[~hit][np.isfinite(found[~hit][:, 0])] @ [0, 0, 1], -1, atol=1e-5)


def test_normals_need_a_neighbour_each_way() -> None:
    points = CAMERA.rays() * 2
    points[:, 1] = np.nan  # column 0 is cut off: no neighbour in its rows
    points[50, 60] *= 2  # a pixel alone in depth
    points[20, 30] *= -1
    found = np.isfinite(point_normals(points)).all(-1)
    expected = np.ones((96, 128), bool)
    expected[:, :2] = expected[50, 60] = expected[20, 30] = False
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(point_normals(points, jump=2.0)[50, 60]).all()


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: confident(ONES, 0.0), "share of confident pixels is 0"),
        (lambda: confident(ONES, 0.5, np.ones((3, 3), bool)), "valid pixels are"),
        (lambda: fitted_focal(LOCAL[0]), r"expected \(H, W, 3\)"),
        (lambda: fitted_focal(LOCAL, ONES[1:]), "confidence is"),
        (lambda: fitted_focal(-LOCAL), "0 points to fit a focal length to, expected at least 16"),
        (lambda: fitted_focal(LOCAL[:3, :5]), "15 points"),
        (lambda: fitted_focal(LOCAL * (0, 0, 1)), "on the optical axis"),
        (lambda: fitted_focal(LOCAL * (-1, -1, 1)), "focal length of -110"),
        (lambda: camera_pose(WORLD[1:], None, CAMERA), "points are 128x95, camera is 128x96"),
        (lambda: camera_pose(WORLD, ONES[1:], CAMERA), "confidence is"),
        (
            lambda: camera_pose(WORLD, None, Camera(128, 96, 1, 1, 0, 0, "plumb_bob", (0.1, 0, 0, 0))),
            "without distortion",
        ),
        (lambda: point_normals(WORLD[0]), r"expected \(H, W, 3\)"),
    ],
)
def test_bad_input(call, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        call()
