"""Poses of a recording corrected by its images, and the depth that comes of it."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from stereo_room import picture, sideways, true_depth

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at
from showroom_ros.reconstruction.pose_refinement import refined
from showroom_ros.reconstruction.stereo_matching import Source, plane_sweep_depth

CAMERA = Camera(256, 192, 220.0, 220.0, 127.5, 95.5)


def wrong_views(poses, shift_m=0.008, camera=CAMERA):
    rng = np.random.default_rng(2)
    views = []
    for number, pose in enumerate(poses):
        wrong = pose.copy()
        wrong[:3, 3] += rng.normal(0, shift_m, 3)
        view = picture(pose, CAMERA, stamp_ns=number)
        views.append(dataclasses.replace(view, camera=camera, T_world_camera=wrong))
    return views


def depth_error(views, poses):
    """Median relative error of matched depth of the middle view."""
    grey = [view.image.mean(-1).astype(np.uint8) for view in views]
    sources = [Source(g, view.camera, view.require_pose()) for g, view in zip(grey, views, strict=True)]
    middle = len(views) // 2
    matched = plane_sweep_depth(sources[middle], sources[:middle] + sources[middle + 1 :])
    truth = true_depth(CAMERA, poses[middle])
    known = np.isfinite(matched.depth)
    assert known.mean() > 0.3
    return float(np.median(abs(matched.depth - truth)[known] / truth[known]))


@pytest.fixture(scope="module")
def poses():
    return sideways(8)


def test_depth_becomes_right(poses):
    views = wrong_views(poses)
    better = refined(views)
    assert depth_error(better, poses) < 0.7 * depth_error(views, poses)


def test_stamps_and_sizes_stay(poses):
    views = wrong_views(poses)
    for one, other in zip(views, refined(views), strict=True):
        assert one.stamp_ns == other.stamp_ns
        assert one.image.shape == other.image.shape
        assert not other.camera.is_distorted


def test_a_wrong_focal_length_is_named(caplog):
    turning = []
    for n, angle in enumerate(np.radians(np.linspace(-30, 30, 16))):
        eye = np.array([-0.6, 0.3 * np.sin(2.2 * n), 0.15 * np.cos(1.7 * n)])
        turning.append(look_at(eye, eye + np.array([np.cos(angle), np.sin(angle), -0.1])))
    wrong = dataclasses.replace(CAMERA, fx=242.0, fy=242.0)
    with caplog.at_level(logging.WARNING):
        better = refined(wrong_views(turning, 0.0, wrong))
    assert better[0].camera.fx < 234
    assert "camera_info" in caplog.text


def test_right_poses_stay(poses):
    views = wrong_views(poses, 0.0)
    assert all(one is other for one, other in zip(views, refined(views), strict=True))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_views_are_given_back(poses, count):
    views = wrong_views(poses[:count])
    assert refined(views) == views


def test_views_that_show_nothing_are_given_back(poses):
    views = [dataclasses.replace(view, image=np.full_like(view.image, 80)) for view in wrong_views(poses)]
    assert all(one is other for one, other in zip(views, refined(views), strict=True))
