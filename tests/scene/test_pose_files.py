"""Poses as text."""

from __future__ import annotations

import numpy as np
import pytest

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at, rotation_from_quat
from showroom_ros.scene.pose_files import colmap_text, tum_text

POSE = look_at((1.0, 2.0, 0.5), (3.0, 1.0, 0.0))


def test_tum_lines_give_the_pose_back():
    words = tum_text([(1_500_000_000, POSE)]).splitlines()[1].split()
    assert words[0] == "1.500000000"
    numbers = np.array(words[1:], float)
    np.testing.assert_allclose(numbers[:3], POSE[:3, 3])
    np.testing.assert_allclose(rotation_from_quat(numbers[[6, 3, 4, 5]]), POSE[:3, :3], atol=1e-8)


def test_colmap_text_projects_as_the_camera_does():
    camera = Camera(64, 48, 50.0, 51.0, 31.0, 24.0)
    files = colmap_text(["a.jpg"], [camera], [POSE])
    assert set(files) == {"cameras.txt", "images.txt", "points3D.txt"}
    fx, fy, cx, cy = map(float, files["cameras.txt"].splitlines()[1].split()[4:])
    words = files["images.txt"].splitlines()[2].split()
    quat, translation = np.array(words[1:5], float), np.array(words[5:8], float)
    point = POSE[:3, 3] + POSE[:3, 2] * 2 + POSE[:3, 0] * 0.3
    seen = rotation_from_quat(quat) @ point + translation
    pixel, _ = camera.project(np.linalg.inv(POSE)[:3, :3] @ (point - POSE[:3, 3]))
    assert (fx * seen[0] / seen[2] + cx - 0.5, fy * seen[1] / seen[2] + cy - 0.5) == pytest.approx(tuple(pixel))
    assert files["images.txt"].splitlines()[3] == ""
