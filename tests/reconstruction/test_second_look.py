"""A recording looked at again at its end."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from stereo_room import picture, sideways
from tsdf_scenes import room_views

from showroom_ros.geometry.camera import Camera
from showroom_ros.reconstruction.plane_sweep import PlaneSweep
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.scene.view import Provenance
from showroom_ros.scene.volume import make_volume
from showroom_ros.settings import MapSettings, ReconstructionSettings, Settings, override

SETTINGS = Settings(
    map=MapSettings(voxel_size_m=0.04, truncation_m=0.12, max_depth_m=4.0, max_bytes=200_000_000),
    reconstruction=ReconstructionSettings(method="plane_sweep", image_width=160, final_image_width=160),
)


def _key(pose) -> tuple[float, ...]:
    return tuple(np.round(pose, 6).ravel().tolist())


class Oracle:
    """A matcher that knows the truth; without sources after the keyframe, or without a hint, it is a little off."""

    stride, name = 8, "oracle"

    def __init__(self, views, heeds_hints=False, error=0.0):
        self.heeds_hints, self.error, self.hinted, self.calls = heeds_hints, error, 0, 0
        self._depths = {_key(view.require_pose()): view.require_depth() for view in views}

    def prepare(self, image):
        return None

    def match(self, reference, sources, hint):
        self.calls += 1
        self.hinted += hint is not None
        depth = self._depths[_key(reference.T_world_camera)] * (1.0 if hint is not None else 1.0 + self.error)
        return depth.astype(np.float32), np.full(depth.shape, 0.9, np.float32)


@pytest.fixture(scope="module")
def views():
    return [dataclasses.replace(view, stamp_ns=number + 1) for number, view in enumerate(room_views(16))]


def run(views, matcher, *, keep=True, measured=()):
    reconstructor = Reconstructor(SETTINGS, PlaneSweep(SETTINGS, matcher))
    if keep:
        reconstructor.leave_to_finish()
    for number, view in enumerate(views):
        reconstructor.process(view if number in measured else dataclasses.replace(view, depth=None), mesh=False)
    before = reconstructor.volume.voxels()
    reconstructor.finish()
    return reconstructor, before


def distances(mesh, half=(1.2, 1.0, 0.8)):
    return np.min(abs(abs(mesh.vertices) - np.array(half)), axis=1)


def test_the_first_keyframe_counts_too_once_all_are_known(views):
    matcher = Oracle(views)
    reconstructor, _ = run(views, matcher)
    mesh = reconstructor.volume.extract_mesh()
    assert matcher.calls > len(views)
    assert (mesh.provenance == Provenance.PREDICTED).all()
    assert np.quantile(distances(mesh), 0.95) < 0.02


def test_the_map_of_the_first_pass_helps_the_second(views):
    blind, helped = Oracle(views, error=0.03), Oracle(views, heeds_hints=True, error=0.03)
    without, with_hints = (run(views, matcher)[0].volume.extract_mesh() for matcher in (blind, helped))
    assert blind.hinted == 0
    assert helped.hinted >= 0.8 * len(views)  # some have no sources
    assert np.median(distances(with_hints)) < 0.5 * np.median(distances(without))


def test_nothing_older_stays_and_what_was_measured_does(views):
    far = Oracle(views, heeds_hints=True, error=0.25)
    reconstructor, before = run(views, far, measured=(2, 3))
    after = reconstructor.volume.voxels()
    rows = {tuple(position): row for row, position in enumerate(after.position.tolist())}
    measured = 0
    for row, position in enumerate(before.position.tolist()):
        kept = ((before.weight[row] & 3) == Provenance.MEASURED) & (before.weight[row] >> 2 > 0)
        if kept.any():
            now = rows[tuple(position)]
            np.testing.assert_array_equal(after.tsdf[now][kept], before.tsdf[row][kept])
            np.testing.assert_array_equal(after.weight[now][kept], before.weight[row][kept])
            measured += int(kept.sum())
    assert measured > 1000
    mesh = reconstructor.volume.extract_mesh()
    predicted = mesh.provenance == Provenance.PREDICTED
    assert predicted.any()
    assert (distances(mesh)[predicted] < 0.06).mean() > 0.97


def test_keyframes_are_only_kept_when_asked(views):
    matcher = Oracle(views)
    reconstructor, before = run(views, matcher, keep=False)
    assert matcher.calls < len(views)
    for one, other in zip(before, reconstructor.volume.voxels(), strict=True):
        np.testing.assert_array_equal(one, other)


class Witness:
    """A matcher that says nothing, and remembers what it was asked."""

    stride, name, heeds_hints = 16, "witness", False

    def __init__(self):
        self.asked = []

    def prepare(self, image):
        return None

    def match(self, reference, sources, hint):
        self.asked.append(reference)
        return np.full(reference.content.image.shape[:2], np.nan, np.float32), np.zeros(
            reference.content.image.shape[:2], np.float32
        )


@pytest.mark.parametrize("refine", [True, False])
def test_at_the_end_poses_are_corrected_and_images_larger(refine):
    settings = override(SETTINGS, {"reconstruction.refine_poses": refine, "reconstruction.final_image_width": 240})
    camera = Camera(256, 192, 220.0, 220.0, 127.5, 95.5)
    rng, witness = np.random.default_rng(0), Witness()
    estimator = PlaneSweep(settings, witness)
    estimator.leave_to_finish()
    given = []
    for number, pose in enumerate(sideways(7)):
        view = picture(pose, camera, stamp_ns=number)
        given.append(pose.copy())
        given[-1][:3, 3] += rng.normal(0, 0.01, 3)
        estimator.estimate(dataclasses.replace(view, T_world_camera=given[-1]), make_volume(settings.map))
    live = len(witness.asked)
    assert estimator.finish(make_volume(settings.map)) is not None
    final = witness.asked[live:]
    assert {keyframe.camera.width for keyframe in witness.asked[:live]} == {160}
    assert {keyframe.camera.width for keyframe in final} == {240}
    moved = [np.linalg.norm(k.T_world_camera - pose) for k, pose in zip(final, given, strict=True)]
    assert min(moved) > 1e-4 if refine else max(moved) < 1e-9
