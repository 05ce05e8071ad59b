"""Turns of a camera on the spot, and steps aside."""

from __future__ import annotations

import numpy as np
import pytest

from showroom_ros.completion.camera_paths import circle_poses, path_poses, support_poses, turned, yaws_deg
from showroom_ros.errors import InputError
from showroom_ros.geometry.se3 import inverse, look_at, rotation_angle_deg

POSE = look_at((0.5, -2.0, 1.4), (2.0, 1.0, 0.9))


def test_the_ring_is_the_published_one():
    assert yaws_deg("360") == (0, 25, 50, 75, 100, 125, 150, 175, 200, 225, 250, 272.5, 316.25)
    assert yaws_deg("stage") == (0, 25, -25)
    assert yaws_deg("single") == (0,)


def test_positive_turns_are_to_the_right():
    forward = turned(np.eye(4), 25.0)[:3, 2]
    np.testing.assert_allclose(forward, [np.sin(np.radians(25)), 0, np.cos(np.radians(25))], atol=1e-12)


@pytest.mark.parametrize("mode", ["single", "stage", "360"])
def test_poses_start_at_the_camera_and_look_at_one_point_a_centimetre_away(mode):
    poses = path_poses(POSE, mode)
    np.testing.assert_allclose(poses[0], POSE, atol=1e-12)
    middle = POSE @ [0, 0, 0.01, 1]
    for pose, yaw_deg in zip(poses, yaws_deg(mode), strict=True):
        np.testing.assert_allclose(inverse(pose) @ middle, [0, 0, 0.01, 1], atol=1e-12)
        np.testing.assert_allclose(pose[:3, 1], POSE[:3, 1], atol=1e-12)
        assert rotation_angle_deg(POSE, pose) == pytest.approx(min(abs(yaw_deg), 360 - yaw_deg) if yaw_deg else 0)


def test_support_views_look_at_the_mean_from_its_depth_five_degrees_aside():
    local = np.random.default_rng(0).uniform([-1, -0.5, 1], [1.5, 0.5, 4], (500, 3))
    points = local @ POSE[:3, :3].T + POSE[:3, 3]
    poses = support_poses(POSE, np.vstack([points, [[np.nan] * 3]]))
    middle, depth_m = points.mean(axis=0), local[:, 2].mean()
    line = POSE[:3, 3] - middle
    angles = []
    for pose in poses:
        np.testing.assert_allclose(inverse(pose) @ [*middle, 1], [0, 0, depth_m, 1], atol=1e-9)
        cosine = line @ (pose[:3, 3] - middle) / np.linalg.norm(line) / depth_m
        angles.append(np.degrees(np.arccos(cosine)))
        assert pose[:3, 1] @ POSE[:3, 1] > 0.98
    assert len({tuple(np.round(pose[:3, 3], 6)) for pose in poses}) == 8
    np.testing.assert_allclose(sorted(angles), [5] * 4 + [7.07] * 4, atol=0.1)


def test_circle_is_closed_and_looks_at_one_point():
    poses = circle_poses(POSE, 2.0, 0.1, 8)
    np.testing.assert_allclose(np.mean([pose[:3, 3] for pose in poses], axis=0), POSE[:3, 3], atol=1e-12)
    for pose in poses:
        aim = inverse(pose) @ POSE @ [0, 0, 2.0, 1]
        np.testing.assert_allclose(aim[:2], 0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: yaws_deg("ring"), "'ring' is unknown, expected one of single, stage, 360"),
        (lambda: turned(np.eye(3), 5), "shape (3, 3)"),
        (lambda: turned(np.eye(4), np.nan), "expected finite"),
        (lambda: path_poses(np.eye(4), "stage", -0.1), "radius at least 0"),
        (lambda: support_poses(np.eye(4), np.full((5, 3), np.nan)), "no point is finite"),
        (lambda: support_poses(np.eye(4), [[0, 0, -1.0]]), "before the camera"),
        (lambda: circle_poses(np.eye(4), 1.0, 0.1, 0), "0 frames"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError) as raised:
        call()
    assert words in str(raised.value)
