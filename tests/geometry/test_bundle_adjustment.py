"""Poses, focal length and lens recovered from made-up sightings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from showroom_ros.geometry.bundle_adjustment import AdjustmentSettings, adjusted
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.feature_tracks import Tracks
from showroom_ros.geometry.se3 import inverse, look_at, transform_points
from showroom_ros.geometry.similarity import fit_similarity

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)


def true_poses(count=12):
    angles = np.linspace(-0.8, 0.8, count)
    eyes = np.stack([np.sin(angles), -2.5 + 0.3 * np.cos(5 * angles), 0.3 * np.sin(3 * angles)], 1)
    return [look_at(eye, np.zeros(3)) for eye in eyes]


def sightings(camera, poses, count=400, noise_px=0.3, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.uniform([-1.2, -0.6, -0.8], [1.2, 0.9, 0.8], (count, 3))
    rows = []
    for number, pose in enumerate(poses):
        pixels, _ = camera.project(transform_points(inverse(pose), points))
        inside = (pixels > 0).all(-1) & (pixels < [camera.width - 1, camera.height - 1]).all(-1)
        rows += [(point, number, *pixels[point]) for point in np.flatnonzero(inside)]
    rows = np.array(sorted(rows))
    pixel = rows[:, 2:] + rng.normal(0, noise_px, (len(rows), 2))
    return Tracks(rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), pixel, count)


def disturbed(poses, shift_m, turn_rad, seed=1):
    rng = np.random.default_rng(seed)
    result = []
    for pose in poses:
        wrong = pose.copy()
        wrong[:3, :3] = pose[:3, :3] @ Rotation.from_rotvec(rng.normal(0, turn_rad, 3)).as_matrix()
        wrong[:3, 3] += rng.normal(0, shift_m, 3)
        result.append(wrong)
    return result


def apart(poses, truth):
    """Mean distance in m of positions, once the frames of both worlds are laid on each other."""
    here, there = (np.array([pose[:3, 3] for pose in of]) for of in (poses, truth))
    fit = fit_similarity(here, there)
    return float(np.linalg.norm(fit.apply(here) - there, axis=1).mean())


def test_wrong_poses_are_corrected():
    truth = true_poses()
    wrong = disturbed(truth, 0.01, np.radians(0.3))
    result = adjusted([CAMERA] * len(truth), wrong, sightings(CAMERA, truth))
    assert result.changed
    assert result.error_after_px < 0.5 < 2 < result.error_before_px
    assert apart(result.poses, truth) < 0.6 * apart(wrong, truth)


@pytest.mark.parametrize(("scale", "k1"), [(0.97, 0.0), (1.02, -0.06), (1.0, 0.05)])
def test_focal_length_and_lens_are_found(scale, k1):
    truth = true_poses()
    real = dataclasses.replace(
        CAMERA, fx=scale * 525, fy=scale * 525, distortion_model="plumb_bob", distortion=(k1, 0.0, 0.0, 0.0)
    )
    result = adjusted([CAMERA] * len(truth), disturbed(truth, 0.002, 0.001), sightings(real, truth))
    assert abs(result.focal_scale - scale) < 0.5 * abs(1 - scale) + 0.003  # most of the way: it is held back
    assert result.k1 == pytest.approx(k1, abs=0.01)
    assert result.cameras[0].fx == pytest.approx(525 * result.focal_scale)
    assert result.cameras[0].distortion[0] == result.k1


def test_what_is_said_to_be_right_stays():
    truth = true_poses()
    real = dataclasses.replace(CAMERA, fx=0.98 * 525, fy=0.98 * 525)
    settings = AdjustmentSettings(focal_sigma=0.0, k1_sigma=0.0)
    result = adjusted([CAMERA] * len(truth), disturbed(truth, 0.01, 0.005), sightings(real, truth), settings)
    assert result.changed
    assert (result.focal_scale, result.k1) == (1.0, 0.0)
    assert result.cameras == [CAMERA] * len(truth)


def test_right_poses_are_given_back_as_they_came():
    truth = true_poses()
    result = adjusted([CAMERA] * len(truth), truth, sightings(CAMERA, truth))
    assert not result.changed
    assert result.error_before_px < 0.5
    for given, back in zip(truth, result.poses, strict=True):
        assert back is given


def test_false_tracks_do_no_harm():
    truth = true_poses()
    wrong = disturbed(truth, 0.01, np.radians(0.3))
    tracks = sightings(CAMERA, truth)
    rng = np.random.default_rng(3)
    pixel = tracks.pixel.copy()
    false = rng.random(tracks.count) < 0.2
    rows = false[tracks.point] & (rng.random(len(pixel)) < 0.5)
    pixel[rows] = rng.uniform(0, 480, (rows.sum(), 2))
    result = adjusted([CAMERA] * len(truth), wrong, dataclasses.replace(tracks, pixel=pixel))
    assert apart(result.poses, truth) < 0.6 * apart(wrong, truth)


def test_the_trajectory_as_a_whole_is_kept():
    truth = true_poses()
    wrong = disturbed(truth, 0.01, np.radians(0.3))
    result = adjusted([CAMERA] * len(truth), wrong, sightings(CAMERA, truth))
    drift = np.mean([a[:3, 3] - b[:3, 3] for a, b in zip(result.poses, truth, strict=True)], axis=0)
    assert np.linalg.norm(drift) < 0.01


@pytest.mark.parametrize("count", [0, 20])
def test_too_few_tracks_change_nothing(count):
    truth = true_poses()
    wrong = disturbed(truth, 0.01, 0.005)
    tracks = sightings(CAMERA, truth, 40).subset(np.arange(40) < count)
    result = adjusted([CAMERA] * len(truth), wrong, tracks)
    assert not result.changed
    assert np.isnan(result.error_before_px)
    assert result.poses == wrong or all(a is b for a, b in zip(result.poses, wrong, strict=True))
