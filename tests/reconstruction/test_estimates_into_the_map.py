"""What the one verb makes of an estimator's words: depth fused, voxels put in, notes and counters handed out."""

import dataclasses

import numpy as np
import pytest
from stereo_room import picture, sideways, true_depth
from tsdf_scenes import triangle_set

from showroom_ros.errors import InputError
from showroom_ros.reconstruction.estimator import Estimate
from showroom_ros.reconstruction.offline import reconstruct
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.reconstruction.warm_up import wall_views, warm_up
from showroom_ros.scene.view import Provenance
from showroom_ros.settings import Settings, override

SETTINGS = override(Settings(), {"map.voxel_size_m": 0.05, "map.truncation_m": 0.2, "map.mesh_tolerance_m": 0.0})
PREDICTING = override(SETTINGS, {"reconstruction.method": "plane_sweep", "reconstruction.model_file": "none"})
SECOND_NS = 1_000_000_000


class Oracle:
    """Knows the true depth, except of the first view; notes what it is asked."""

    needs_pose = True

    def __init__(self, confidence=0.5):
        self.confidence, self.views, self.resets, self.settings = confidence, [], 0, None

    def estimate(self, view, volume):
        self.views.append(view)
        if len(self.views) == 1:
            return Estimate(view, note="nothing to compare with")
        depth = true_depth(view.camera, view.require_pose())
        planes = {"provenance": np.full(depth.shape, Provenance.PREDICTED, np.uint8)}
        planes["confidence"] = np.full(depth.shape, self.confidence, np.float32)
        return Estimate(dataclasses.replace(view, depth=depth, **planes))

    def reset(self):
        self.views, self.resets = [], self.resets + 1

    def apply(self, settings):
        self.settings = settings


class Hindsight(Oracle):
    """Says what it knows as voxels, and at the end of all views it saw."""

    def estimate(self, view, volume):
        estimate = super().estimate(view, volume)
        if estimate.view.depth is None:
            return estimate
        return Estimate(view, self._voxels([view]))

    def finish(self, volume):
        return self._voxels(self.views) if self.views else None

    def _voxels(self, views):
        known = Oracle()
        reconstructor = Reconstructor(SETTINGS, known)
        known.views.append(None)
        for view in views:
            reconstructor.process(view)
        return reconstructor.volume.voxels()


def views(count=4, step_m=0.12):
    return [picture(pose, stamp_ns=SECOND_NS * (n + 1)) for n, pose in enumerate(sideways(count, step_m))]


class Recording:
    """Posed pictures, with the sensor's depth or without."""

    name = "stereo room"

    def __init__(self, count=4, step_m=0.12, has_depth=False):
        self._views = views(count, step_m)
        if has_depth:
            self._views = [
                dataclasses.replace(view, depth=true_depth(view.camera, view.T_world_camera)) for view in self._views
            ]

    def __len__(self):
        return len(self._views)

    def __getitem__(self, index):
        return self._views[index]


def test_predicted_depth_is_fused_as_predicted_and_handed_out():
    reconstructor, held = Reconstructor(SETTINGS, Oracle()), {}
    for n, view in enumerate(views()):
        update = reconstructor.process(view)
        assert update.stamp_ns == view.stamp_ns
        assert update.counters["views_without_depth"] == (n == 0)
        assert update.note == ("" if n else "nothing to compare with")
        if not n:
            assert update.view is view
            assert (update.blocks, reconstructor.volume.block_count) == ({}, 0)
            continue
        assert update.counters["voxels_updated"] > 1000
        np.testing.assert_array_equal(update.view.depth, true_depth(view.camera, view.T_world_camera))
        assert (update.view.confidence == 0.5).all()
        held.update(update.blocks)
    mesh = reconstructor.volume.extract_mesh()
    assert len(mesh.triangles) > 500
    assert set(mesh.provenance) == {Provenance.PREDICTED}
    assert triangle_set(*held.values()) == triangle_set(mesh)


def test_confidence_is_weight():
    weights = []
    for confidence in (0.25, 1.0):
        reconstructor = Reconstructor(SETTINGS, Oracle(confidence))
        for view in views(2):
            reconstructor.process(view)
        weights.append((reconstructor.volume.voxels().weight >> 2).max())
    assert weights[1] == 4 * weights[0]


def test_predicted_voxels_come_in_and_hindsight_replaces_them():
    reconstructor = Reconstructor(SETTINGS, Hindsight())
    counters = [reconstructor.process(view).counters for view in views()]
    assert [c["views_without_depth"] for c in counters] == [1, 0, 0, 0]
    assert all(c["voxels_predicted"] > 1000 for c in counters[1:])
    before = reconstructor.volume.voxels()
    reconstructor.finish()
    after = reconstructor.volume.voxels()
    expected = Reconstructor(SETTINGS, Hindsight()).volume
    expected.put_predicted(Hindsight()._voxels(views()), np.zeros(3))
    for name, left, right in zip(after._fields, after, expected.voxels(), strict=True):
        assert name == "position" or (left == right).all()
    assert len(before.position) <= len(after.position)
    assert set(reconstructor.volume.extract_mesh().provenance) == {Provenance.PREDICTED}
    Reconstructor(SETTINGS, Oracle()).finish()  # knows nothing more at the end, and that is no error


def test_what_a_sensor_measured_is_not_touched_by_voxels():
    recording = Recording(has_depth=True)
    alone, both = Reconstructor(SETTINGS), Reconstructor(SETTINGS)
    for view in recording:
        alone.process(view)
        both.process(view)
    shifted = Hindsight()._voxels(views())
    both.volume.put_predicted(shifted._replace(tsdf=(shifted.tsdf // 2).astype(np.int16)), np.zeros(3))
    measured, after = alone.volume.voxels(), both.volume.voxels()
    measured = measured.rows((measured.weight >> 2 > 0).any(1))  # blocks that hold nothing may go
    rows = {tuple(position): n for n, position in enumerate(after.position)}
    after = after.rows(np.array([rows[tuple(position)] for position in measured.position]))
    known = measured.weight >> 2 > 0
    for left, right in zip(measured[1:], after[1:], strict=True):
        assert (left[known] == right[known]).all()


def test_stamps_that_go_back_reset_the_estimator_not_the_map():
    estimator = Oracle()
    reconstructor = Reconstructor(SETTINGS, estimator)
    notes = [reconstructor.process(view).note for view in views()]
    blocks = reconstructor.volume.block_count
    loop = [reconstructor.process(view) for view in views()]
    assert notes == ["nothing to compare with", "", "", ""]
    assert estimator.resets == 1
    assert [update.counters["time_jumps"] for update in loop] == [1, 0, 0, 0]
    assert loop[0].note.startswith("stamps went back from 4.000 s to 1.000 s")
    assert loop[0].note.endswith("nothing to compare with")
    assert not any(update.note for update in loop[1:])
    assert reconstructor.volume.block_count == blocks
    reconstructor.reset()
    assert estimator.resets == 2
    assert "went back" not in reconstructor.process(views()[0]).note, "after a reset time begins anew"


def test_an_unposed_view_is_refused_by_name_of_the_method():
    estimator = Oracle()
    reconstructor = Reconstructor(PREDICTING, estimator)
    view = dataclasses.replace(views(1)[0], T_world_camera=None)
    with pytest.raises(InputError, match=r"1000000000 has no pose, .*'plane_sweep' needs pose.source tf, odom or pose"):
        reconstructor.process(view)
    assert estimator.views == []


def test_live_settings_reach_the_estimator_if_the_map_takes_them():
    estimator = Oracle()
    reconstructor = Reconstructor(SETTINGS, estimator)
    surer = override(SETTINGS, {"reconstruction.min_confidence": 0.7})
    reconstructor.settings = surer
    assert estimator.settings is surer
    with pytest.raises(Exception, match="voxel_size_m"):
        reconstructor.settings = override(surer, {"map.voxel_size_m": 0.1})
    assert estimator.settings is surer


def test_warming_up_has_the_estimator_look_at_two_views_and_forget_them():
    estimator = Oracle()
    warm_up(PREDICTING, estimator)
    assert (estimator.views, estimator.resets) == ([], 1)
    seen = wall_views(320)
    assert [view.image.shape for view in seen] == [(240, 320, 3)] * 2
    shift_m = np.linalg.norm(seen[1].T_world_camera[:3, 3] - seen[0].T_world_camera[:3, 3])
    pixels = round(shift_m * seen[0].camera.fx / 1.5)
    np.testing.assert_array_equal(seen[1].image[:, :-pixels], seen[0].image[:, pixels:])
    warm_up(PREDICTING)  # the method's own


def test_a_recording_is_estimated_by_keyframes():
    estimator = Oracle()
    result = reconstruct(Recording(12, 0.04), PREDICTING, estimator=estimator)
    assert 3 <= len(result.used) <= 6
    assert result.without_depth == {0: "nothing to compare with"}
    assert result.note == ""
    assert len(result.poses) == 12
    everything = reconstruct(Recording(12, 0.04), PREDICTING, keyframes_only=False, estimator=Oracle())
    assert len(everything.used) == 12


def test_without_depth_the_sensor_is_not_looked_at():
    estimator = Oracle()
    colour_alone = override(PREDICTING, {"keyframes.use_depth": False})
    reconstruct(Recording(has_depth=True), colour_alone, estimator=estimator)
    assert all(view.depth is None for view in estimator.views)
    estimator = Oracle()
    reconstruct(Recording(has_depth=True), PREDICTING, estimator=estimator)
    assert all(view.depth is not None for view in estimator.views)


def test_hindsight_ends_a_recording():
    result = reconstruct(Recording(), PREDICTING, estimator=Hindsight())
    expected = Reconstructor(SETTINGS, Hindsight()).volume
    expected.put_predicted(Hindsight()._voxels(views()), np.zeros(3))
    assert triangle_set(result.mesh) == triangle_set(expected.extract_mesh())


def test_a_recording_that_tells_nothing_says_why():
    with pytest.raises(InputError, match="stereo room: none of its 1 frames could be used: nothing to"):
        reconstruct(Recording(1), PREDICTING, estimator=Oracle())
    with pytest.raises(InputError, match=r"none of its 3 frames could be used: .*has no depth"):
        reconstruct(Recording(3), SETTINGS)
