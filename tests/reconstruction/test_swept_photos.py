"""Photos placed by their features, then swept."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from stereo_room import picture, sideways, true_depth

from showroom_ros.errors import InputError
from showroom_ros.evaluation.relative_pose import evaluate_relative_poses
from showroom_ros.geometry.camera import Camera
from showroom_ros.reconstruction.photos import Photo
from showroom_ros.reconstruction.plane_sweep import LearningFreeMatcher, PlaneSweep
from showroom_ros.reconstruction.swept_photos import sweep_photos
from showroom_ros.settings import ReconstructionSettings, Settings

CAMERA = Camera(320, 240, 280.0, 280.0, 159.5, 119.5)
SETTINGS = Settings(
    reconstruction=ReconstructionSettings(method="plane_sweep", final_image_width=160, map_hints="never")
)


@pytest.fixture(scope="module")
def views():
    return [picture(pose, CAMERA, stamp_ns=number + 1) for number, pose in enumerate(sideways(6, 0.15))]


def photos_of(views, **known):
    return [
        Photo(v.image, v.camera, v.T_world_camera if known.get("poses") else None, name=f"{n}.jpg")
        for n, v in enumerate(views)
    ]


def swept(photos):
    return sweep_photos(photos, PlaneSweep(SETTINGS, LearningFreeMatcher()), engine="opencv")


def test_photos_become_views_with_depth_up_to_scale(views):
    result = swept(photos_of(views))
    assert result.numbers == list(range(6))
    assert result.scale == "none"
    truth = np.stack([view.require_pose() for view in views])
    scores = evaluate_relative_poses(result.T_world_camera, truth)
    assert scores.maa_30 > 0.9
    steps = [np.linalg.norm(poses[5, :3, 3] - poses[0, :3, 3]) for poses in (result.T_world_camera, truth)]
    for view, real in zip(result.views, views, strict=True):
        depth = view.require_depth()
        known = np.isfinite(depth)
        assert known.mean() > 0.3
        error = abs(depth / (steps[0] / steps[1]) / true_depth(view.camera, real.require_pose()) - 1)
        assert np.median(error[known]) < 0.03


def test_known_poses_give_metres(views):
    known = photos_of(views, poses=True)
    known[2] = dataclasses.replace(known[2], T_world_camera=None)
    result = swept(known)
    assert result.scale == "poses"
    np.testing.assert_allclose(result.T_world_camera[2][:3, 3], views[2].require_pose()[:3, 3], atol=0.02)
    view = result.views[2]
    ratio = view.require_depth() / true_depth(view.camera, views[2].require_pose())
    assert np.nanmedian(ratio) == pytest.approx(1.0, abs=0.03)


def test_photos_that_nothing_ties_together_are_refused(views):
    rng = np.random.default_rng(0)
    noise = [Photo(rng.integers(0, 255, (120, 160, 3), np.uint8)) for _ in range(3)]
    with pytest.raises(InputError, match="fewer than two of the 3 photos"):
        swept(noise)
    with pytest.raises(InputError, match="1 different photos"):
        swept(photos_of([views[0], views[0]]))
