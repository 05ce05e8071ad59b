"""Poses of unposed photos, without learning."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation
from stereo_room import picture

from showroom_ros.errors import InputError, MissingDependencyError, ShowroomError
from showroom_ros.evaluation.relative_pose import evaluate_relative_poses
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at
from showroom_ros.reconstruction import structure_from_motion as module
from showroom_ros.reconstruction.image_matches import features_of, matched_pairs, tracks_of
from showroom_ros.reconstruction.sparse_adjustment import SparseScene, adjusted_sparse
from showroom_ros.reconstruction.structure_from_motion import has_pycolmap, structure_from_motion

CAMERA = Camera(320, 240, 290.0, 290.0, 159.5, 119.5)
needs_pycolmap = pytest.mark.skipif(not has_pycolmap(), reason="pycolmap is not installed")


def around(count: int) -> np.ndarray:
    """A camera that goes round the ball and looks at it."""
    angles = np.linspace(2.4, 3.9, count)
    eyes = [(0.5 + 1.4 * np.cos(a), 0.9 * np.sin(a), 0.2 * np.sin(5 * a)) for a in angles]
    return np.stack([look_at(eye, (0.9, 0.2, -0.3)) for eye in eyes])


POSES = around(5)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [picture(pose, CAMERA).image for pose in POSES]


def scores_of(poses: np.ndarray, truth: np.ndarray):
    return evaluate_relative_poses(poses, truth)


@pytest.mark.parametrize("known", [True, False])
def test_photos_of_a_patterned_room_are_placed(images: list[np.ndarray], known: bool) -> None:
    found = structure_from_motion(images, [CAMERA] * 5 if known else None, engine="opencv")
    assert (found.registered, found.engine) == (5, "opencv")
    assert found.tracks_px < 1
    scores = scores_of(found.T_world_camera, POSES)
    assert scores.rra[5.0] == scores.rta[5.0] == 1
    assert scores.median_rotation_deg < 1
    assert scores.median_translation_deg < 2
    for camera in found.cameras:
        assert (camera.width, camera.height, camera.cx, camera.cy) == (320, 240, 159.5, 119.5)
        assert camera.fx == (290 if known else pytest.approx(290, rel=0.03))
    assert len(found.points) > 100
    again = structure_from_motion(images, [CAMERA] * 5 if known else None, engine="opencv")
    np.testing.assert_array_equal(again.T_world_camera, found.T_world_camera)


def test_points_lie_on_the_surface_once_scaled(images: list[np.ndarray]) -> None:
    from stereo_room import true_depth

    found = structure_from_motion(images, [CAMERA] * 5, engine="opencv")
    local = (found.points - found.T_world_camera[0, :3, 3]) @ found.T_world_camera[0, :3, :3]
    local = local[local[:, 2] > 0]
    pixels, depth = CAMERA.project(local)
    u, v = np.rint(pixels).astype(int).T
    seen = (u >= 0) & (v >= 0) & (u < 320) & (v < 240)
    ratio = true_depth(CAMERA, POSES[0])[v[seen], u[seen]] / depth[seen]
    assert seen.sum() > 80
    assert np.median(abs(ratio / np.median(ratio) - 1)) < 0.01


def test_photos_of_a_made_up_room_are_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from showroom_ros.datasets.synthetic import room as room_module
    from showroom_ros.datasets.synthetic.photo_sets import photo_set
    from showroom_ros.datasets.synthetic.sequence import SyntheticSequence

    monkeypatch.setattr(room_module, "baked_light", lambda room, lights, device: np.ones_like(room.vertices))
    start = SyntheticSequence(5, width=480, height=360, trajectory=np.eye(4)[None])
    poses = photo_set(start.renderer, start.color_camera, 4, (0.5, 0.8), chain=True).poses
    photos = SyntheticSequence(5, width=480, height=360, trajectory=poses, room=start.room)
    views = [photos.ideal(number) for number in range(4)]
    found = structure_from_motion([v.image for v in views], [v.camera for v in views], engine="opencv")
    placed = np.isfinite(found.T_world_camera[:, 0, 0])
    assert found.registered == placed.sum() >= 3
    scores = scores_of(found.T_world_camera[placed], poses[placed])
    assert max(scores.median_rotation_deg, scores.median_translation_deg) < 3


def test_a_photo_of_another_place_stays_unregistered(images: list[np.ndarray]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, images[0].shape, np.uint8)
    found = structure_from_motion([*images[:3], noise], [CAMERA] * 4, engine="opencv")
    assert found.registered == 3
    assert np.isnan(found.T_world_camera[3]).all()
    assert np.isfinite(found.T_world_camera[:3]).all()
    assert scores_of(found.T_world_camera[:3], POSES[:3]).rra[5.0] == 1


@pytest.mark.parametrize("kind", ["plain", "turned in place"])
def test_without_parallax_nothing_is_registered(kind: str) -> None:
    if kind == "plain":
        images = [np.full((240, 320, 3), 90, np.uint8)] * 3
    else:
        aims = [(0.9, y, -0.3) for y in (-0.2, 0.0, 0.2)]
        images = [picture(look_at((-1.0, 0, 0), aim), CAMERA).image for aim in aims]
    found = structure_from_motion(images, [CAMERA] * 3, engine="opencv")
    assert (found.registered, found.points.shape) == (0, (0, 3))
    assert np.isnan(found.T_world_camera).all()
    assert np.isnan(found.tracks_px)


def test_matches_obey_the_true_epipolar_lines(images: list[np.ndarray]) -> None:
    features = [features_of(image) for image in images]
    pairs = matched_pairs(features, 0)
    T = np.linalg.inv(POSES[1]) @ POSES[0]
    inverse_K = np.linalg.inv(CAMERA.matrix)
    F = inverse_K.T @ np.cross(np.eye(3), T[:3, 3]).T @ T[:3, :3] @ inverse_K
    pair = next(p for p in pairs if (p.first, p.second) == (0, 1))
    ones = np.ones((len(pair.features), 1))
    lines = np.hstack([pair.pixels_first, ones]) @ F.T
    away = abs((lines * np.hstack([pair.pixels_second, ones])).sum(1)) / np.hypot(lines[:, 0], lines[:, 1])
    assert len(pair.features) > 50
    assert np.quantile(away, 0.9) < 1.5
    tracks = tracks_of(features, pairs)
    assert (np.diff(tracks.point) >= 0).all()
    assert (np.bincount(tracks.point, minlength=tracks.count) >= 2).all()
    assert len(np.unique(np.stack([tracks.point, tracks.image]), axis=1).T) == len(tracks.point)


def small_scene(group: int) -> tuple[SparseScene, SparseScene]:
    """The truth, whose sightings are exact to 0.3 pixels, and a start away from it."""
    rng = np.random.default_rng(2)
    points = rng.uniform(-1, 1, (16, 3)) + np.array([0.9, 0.2, -0.3])
    poses = np.linalg.inv(POSES[:3])
    view, point = (index.ravel() for index in np.meshgrid(np.arange(3), np.arange(16), indexing="ij"))
    focal, middle = np.full((3, 2), 290.0), np.tile([159.5, 119.5], (3, 1))
    empty = np.zeros((len(view), 2))
    groups = np.full(3, group)
    exact = SparseScene(poses[:, :3, :3], poses[:, :3, 3], focal, middle, groups, points, view, point, empty)
    front = exact.in_camera()[:, 2] > 0.2
    exact = replace(exact, view=view[front], point=point[front], pixel=empty[front])
    exact = replace(exact, pixel=exact.residuals() + rng.normal(0, 0.3, (front.sum(), 2)))
    turned = Rotation.from_rotvec(rng.normal(0, 0.02, (3, 3))).as_matrix() @ exact.R
    start = replace(
        exact,
        R=turned,
        t=exact.t + rng.normal(0, 0.02, (3, 3)),
        points=points + rng.normal(0, 0.02, (16, 3)),
        focal=focal * (1.05 if group >= 0 else 1.0),
    )
    return exact, start


@pytest.mark.parametrize("group", [-1, 0])
def test_adjustment_equals_a_plain_solver(group: int) -> None:
    _, start = small_scene(group)
    found = adjusted_sparse(start, steps=100, least_gain=1e-9)

    def residuals(x: np.ndarray) -> np.ndarray:
        cameras = x[: 18 + (group >= 0)]
        moved = found.moved(cameras, x[len(cameras) :])
        size = np.linalg.norm(moved.residuals(), axis=1)
        huber = np.sqrt(np.where(size <= 1, size**2, 2 * size - 1))
        return np.append(huber, np.log(moved.focal[:1, 0] / start.focal[:1, 0]) / 0.5)

    # From where ours ended, a plain solver finds nothing that is better.
    size = 18 + (group >= 0)
    reference = least_squares(residuals, np.zeros(size + 3 * len(found.points)), x_scale="jac", max_nfev=4)
    assert np.array_equal(found.moved(np.zeros(size), np.zeros(3 * len(found.points))).R, found.R)
    assert reference.cost > 0.995 * 0.5 * (residuals(np.zeros(len(reference.x))) ** 2).sum()
    assert found.errors_px().mean() < 0.5 < 5 < start.errors_px().mean()
    assert (found.focal == start.focal).all() == (group < 0)


def test_points_behind_a_camera_are_infinitely_wrong() -> None:
    exact, _ = small_scene(-1)
    behind = replace(exact, points=exact.points - [50.0, 0, 0])
    assert np.isinf(behind.errors_px()).any()


@needs_pycolmap
def test_pycolmap_places_photos_with_known_intrinsics(images: list[np.ndarray]) -> None:
    found = structure_from_motion(images, [CAMERA] * 5, engine="pycolmap")
    assert found.engine == "pycolmap"
    assert found.registered >= 3  # its runs differ
    placed = np.isfinite(found.T_world_camera[:, 0, 0])
    assert scores_of(found.T_world_camera[placed], POSES[placed]).median_rotation_deg < 3
    assert found.cameras == [CAMERA] * 5
    assert found.tracks_px < 2


@needs_pycolmap
def test_pycolmaps_failure_and_delay_are_told(monkeypatch: pytest.MonkeyPatch, images: list[np.ndarray]) -> None:
    with pytest.raises(ShowroomError, match=r"longer than 0\.01 s"):
        structure_from_motion(images[:2], engine="pycolmap", timeout_s=0.01)
    real = subprocess.run

    def broken(command: list[str], **how):
        return real([command[0], "-c", "raise SystemError('no more memory')"], **how)

    monkeypatch.setattr(module.subprocess, "run", broken)
    with pytest.raises(ShowroomError, match=r"(?s)ended with 1; the end of its log.*no more memory"):
        structure_from_motion(images[:2], engine="pycolmap")


def test_pycolmap_that_is_absent_is_asked_for(monkeypatch: pytest.MonkeyPatch, images: list[np.ndarray]) -> None:
    monkeypatch.setattr(module, "has_pycolmap", lambda: False)
    with pytest.raises(MissingDependencyError, match="pip install"):
        structure_from_motion(images, engine="pycolmap")
    assert structure_from_motion(images[:2], engine="auto").engine == "opencv"


@pytest.mark.parametrize(("count", "expected"), [(2, "opencv"), (31, "pycolmap")])
def test_many_photos_are_left_to_pycolmap(monkeypatch: pytest.MonkeyPatch, count: int, expected: str) -> None:
    monkeypatch.setattr(module, "has_pycolmap", lambda: True)
    monkeypatch.setattr(module, "_by_pycolmap", lambda images, *_: "pycolmap")
    found = structure_from_motion([np.full((24, 32, 3), 90, np.uint8)] * count)
    assert (found if count > 2 else found.engine) == expected


GREY = np.full((240, 320, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("images", "cameras", "options", "reason"),
    [
        ([GREY], None, {}, "1 images, expected at least 2"),
        ([GREY, GREY[:, :, 0]], None, {}, r"image 1 is uint8 \(240, 320\), expected uint8 \(H, W, 3\)"),
        ([GREY, GREY / 255], None, {}, "image 1 is float64"),
        ([GREY, GREY[:0]], None, {}, r"image 1 is uint8 \(0, 320, 3\)"),
        ([GREY, GREY], [CAMERA], {}, "1 cameras and 2 images"),
        ([GREY, GREY[:200]], [CAMERA] * 2, {}, "image 1 is 320x200, its camera 320x240"),
        (
            [GREY, GREY],
            [CAMERA, replace(CAMERA, distortion_model="plumb_bob", distortion=(0.1, 0, 0, 0))],
            {},
            "camera 1 has a lens",
        ),
        ([GREY, GREY], None, {"engine": "magic"}, "engine is 'magic', expected one of auto, pycolmap, opencv"),
        ([GREY, GREY], None, {"seed": -1}, "seed is -1"),
    ],
)
def test_bad_input(images, cameras, options, reason) -> None:
    with pytest.raises(InputError, match=reason):
        structure_from_motion(images, cameras, **{"engine": "opencv", **options})
