"""Keyframes without poses, one after the other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from multi_view_oracle import Oracle, textured
from tsdf_scenes import room_views

from showroom_ros.errors import InputError
from showroom_ros.evaluation.relative_pose import evaluate_relative_poses
from showroom_ros.reconstruction.multi_view_live import MultiView, make_multi_view
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.scene.view import Provenance
from showroom_ros.settings import MapSettings, ReconstructionSettings, Settings, override

SETTINGS = Settings(
    map=MapSettings(voxel_size_m=0.04, truncation_m=0.12, max_depth_m=8.0, max_bytes=200_000_000),
    reconstruction=ReconstructionSettings(method="multi_view", source_views=4),
)


@pytest.fixture(scope="module")
def views():
    return textured([dataclasses.replace(view, stamp_ns=number + 1) for number, view in enumerate(room_views(16))], 0)


def run(views, *, poses, finish=False, noise=0.003):
    reconstructor = Reconstructor(SETTINGS, MultiView(SETTINGS, Oracle(views, noise=noise)))
    if finish:
        reconstructor.leave_to_finish()
    updates = []
    for view in views:
        known = view.T_world_camera if poses else None
        updates.append(reconstructor.process(dataclasses.replace(view, depth=None, T_world_camera=known), mesh=False))
    if finish:
        reconstructor.finish()
    return reconstructor, updates


def test_poses_and_depth_of_keyframes_without_odometry(views):
    _, updates = run(views, poses=False)
    placed = [number for number, update in enumerate(updates) if update.view.T_world_camera is not None]
    assert len(placed) >= len(views) - 1
    found = np.stack([updates[number].view.require_pose() for number in placed])
    truth = np.stack([views[number].require_pose() for number in placed])
    assert evaluate_relative_poses(found, truth).maa_30 > 0.93
    steps = [np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) for poses in (found, truth)]
    scale = steps[0] / steps[1]
    assert scale.std() / scale.mean() < 0.05  # one unit from the first to the last
    assert "arbitrary scale" in updates[3].note


def test_known_poses_stay_and_give_metres(views):
    reconstructor, updates = run(views, poses=True)
    for view, update in zip(views[2:], updates[2:], strict=True):
        np.testing.assert_allclose(update.view.T_world_camera, view.T_world_camera, atol=1e-12)
        ratio = update.view.require_depth() / view.require_depth()
        assert np.nanmedian(ratio) == pytest.approx(1.0, abs=0.02)
    mesh = reconstructor.volume.extract_mesh()
    assert (mesh.provenance == Provenance.PREDICTED).all()
    distance = np.min(abs(abs(mesh.vertices) - np.array((1.2, 1.0, 0.8))), axis=1)
    assert np.quantile(distance, 0.9) < 0.03


def test_at_the_end_everything_is_put_together_anew(views):
    live, _ = run(views, poses=True)
    done, _ = run(views, poses=True, finish=True)
    before, after = live.volume.extract_mesh(), done.volume.extract_mesh()
    assert len(after.vertices) > 0.9 * len(before.vertices)
    distance = np.min(abs(abs(after.vertices) - np.array((1.2, 1.0, 0.8))), axis=1)
    assert np.quantile(distance, 0.9) < 0.03


def test_a_keyframe_that_cannot_be_tied_is_left_out_and_the_next_goes_on(views):
    class Sometimes(Oracle):
        def pointmaps(self, images):
            maps = super().pointmaps(images)
            if self.calls == 5:
                noise = self._rng.standard_normal(maps[-1].points.shape).astype(np.float32)
                maps[-1] = maps[-1]._replace(points=noise)
            return maps

    reconstructor = Reconstructor(SETTINGS, MultiView(SETTINGS, Sometimes(views)))
    updates = [
        reconstructor.process(dataclasses.replace(view, depth=None, T_world_camera=None), mesh=False)
        for view in views[:8]
    ]
    assert updates[4].view.depth is None
    assert "do not hold together" in updates[4].note
    assert all(update.view.depth is not None for update in updates[5:])


def test_without_a_network_there_is_no_way():
    with pytest.raises(InputError, match="multi_view has no way without a network"):
        make_multi_view(override(SETTINGS, {"reconstruction.model_file": "none"}))
