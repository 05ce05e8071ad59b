"""Depth of posed images as they come: sources, hints, what is kept of sensors, and when nothing is said."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from stereo_room import CAMERA, picture, sideways, true_depth, true_surface

from showroom_ros.errors import InputError, WeightsError
from showroom_ros.evaluation.mesh import evaluate_mesh
from showroom_ros.geometry.se3 import look_at
from showroom_ros.reconstruction.plane_sweep import LearningFreeMatcher, PlaneSweep, make_plane_sweep, resized
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.scene.view import Provenance
from showroom_ros.scene.volume import TsdfVolume
from showroom_ros.settings import Settings, override

SETTINGS = override(
    Settings(),
    {
        "reconstruction.method": "plane_sweep",
        "reconstruction.model_file": "none",
        "reconstruction.image_width": CAMERA.width,
        "map.voxel_size_m": 0.04,
        "map.truncation_m": 0.12,
        "map.max_bytes": 200_000_000,
    },
)
EMPTY = TsdfVolume(SETTINGS.map)


class Oracle:
    """A matcher that knows the truth and notes what it is asked."""

    stride, name, heeds_hints = 16, "the truth", True

    def __init__(self, wrong_by=1.0, confidence=0.7):
        self.wrong_by, self.confidence, self.prepared, self.asked = wrong_by, confidence, 0, []

    def prepare(self, image):
        self.prepared += 1
        return image.shape

    def match(self, reference, sources, hint):
        self.asked.append((reference, sources, hint))
        depth = true_depth(reference.camera, reference.T_world_camera) * np.float32(self.wrong_by)
        return depth, np.full(depth.shape, self.confidence, np.float32)


def walk(count=6, **changes):
    return [dataclasses.replace(picture(pose, stamp_ns=n), **changes) for n, pose in enumerate(sideways(count))]


def estimates(estimator, views, volume=EMPTY):
    return [estimator.estimate(view, volume) for view in views]


def around(count):
    """A camera that walks a round and looks about: turning tells focal lengths, moving sideways does not."""
    poses = []
    for n in range(count):
        a, b = 0.25 * n, 0.25 * n + 0.4 * np.sin(0.9 * n)
        eye = np.array([-0.5 * np.cos(a), -0.5 * np.sin(a), 0.05 * np.sin(2 * n)])
        poses.append(look_at(eye, eye + np.array([np.cos(b), np.sin(b), -0.2 + 0.2 * np.sin(0.7 * n)])))
    return poses


def test_a_room_is_mapped_from_colour_alone_without_a_network():
    views = [*walk(7), *(picture(pose, stamp_ns=7 + n) for n, pose in enumerate(around(7)))]
    reconstructor = Reconstructor(SETTINGS)
    seen = [reconstructor.process(view, mesh=False).view for view in views]
    assert seen[0].depth is None
    for view in seen[3:7]:
        truth, known = true_depth(view.camera, view.T_world_camera), np.isfinite(view.depth)
        error = (abs(view.depth - truth) / truth)[known]
        assert known.mean() > 0.7
        assert error.mean() < 0.06
        assert (view.provenance[known] == Provenance.PREDICTED).all()
        assert (view.provenance[~known] == Provenance.UNKNOWN).all()
        assert (view.confidence[known] >= SETTINGS.reconstruction.min_confidence).all()
    scores = evaluate_mesh(
        reconstructor.volume.extract_mesh(), true_surface([view.T_world_camera for view in views]), samples=20_000
    )
    assert scores.precision[0.05] > 0.75
    assert scores.f_score[0.05] > 0.65


def test_the_first_view_a_single_one_and_a_jump_have_no_depth_and_the_note_says_why():
    estimator = PlaneSweep(SETTINGS, Oracle())
    first, second, away = *walk(2), picture(look_at((-1.1, -0.3, 0.1), (-1.6, -0.3, 0.1)))
    said = estimates(estimator, [first, second, away])
    assert said[0].view is first
    assert "first keyframe" in said[0].note
    assert (said[1].view.depth is not None, said[1].note) == (True, "")
    assert said[2].view.depth is None
    assert "no earlier keyframe" in said[2].note
    estimator.reset()
    assert "first keyframe" in estimator.estimate(second, EMPTY).note


@pytest.mark.parametrize("matcher", [Oracle, LearningFreeMatcher])
def test_a_camera_that_only_turns_gets_no_depth(matcher):
    eye = np.array([-1.0, 0.0, 0.0])
    turning = [look_at(eye, eye + np.array([np.cos(a), np.sin(a), 0.1])) for a in np.linspace(0, 0.6, 5)]
    turning.append(turning[-1])
    for said in estimates(PlaneSweep(SETTINGS, matcher()), [picture(pose) for pose in turning])[1:]:
        assert said.view.depth is None
        assert "only turned" in said.note


def test_straight_forward_motion_tells_depth():
    start = sideways(1)[0]
    poses = [start.copy() for _ in range(5)]
    for n, pose in enumerate(poses):
        pose[:3, 3] += 0.09 * n * start[:3, 2]
    view = estimates(PlaneSweep(SETTINGS, LearningFreeMatcher()), [picture(pose) for pose in poses])[-1].view
    error = abs(view.depth - true_depth(CAMERA, poses[-1])) / true_depth(CAMERA, poses[-1])
    assert np.isfinite(error).mean() > 0.5
    assert np.nanmedian(error) < 0.04


def test_what_a_sensor_measured_stays_and_only_its_holes_are_predicted():
    camera = CAMERA.scaled(200, 150)
    estimator = PlaneSweep(SETTINGS, Oracle(confidence=0.5))
    measured = true_depth(camera, sideways(2)[1]) + np.float32(0.02)
    measured[40:90, 50:120] = np.nan
    views = [picture(pose, camera) for pose in sideways(2)]
    said = estimates(estimator, [views[0], dataclasses.replace(views[1], depth=measured)])[1].view
    hole = np.isnan(measured)
    assert said.camera == camera
    assert said.image is views[1].image
    assert (said.depth[~hole] == measured[~hole]).all()
    assert (said.provenance[~hole] == Provenance.MEASURED).all()
    assert (said.confidence[~hole] == 1).all()
    assert (said.provenance[hole] == Provenance.PREDICTED).all()
    assert (said.confidence[hole] == 0.5).all()
    assert np.median(abs(said.depth - true_depth(camera, sideways(2)[1]))[hole]) < 0.01
    nothing = dataclasses.replace(views[1], depth=np.full_like(measured, np.nan))
    assert (estimator.estimate(nothing, EMPTY).view.provenance == Provenance.PREDICTED).all()
    first = dataclasses.replace(views[0], depth=measured)
    assert PlaneSweep(SETTINGS, Oracle()).estimate(first, EMPTY).view is first, "without sources it is passed on"


def test_features_are_computed_once_and_sources_come_from_before():
    matcher = Oracle()
    views = walk(8)
    estimates(PlaneSweep(override(SETTINGS, {"reconstruction.source_views": 3}), matcher), views)
    assert matcher.prepared == 8
    assert len(matcher.asked) == 7
    for n, (reference, sources, _) in enumerate(matcher.asked):
        assert (reference.T_world_camera == views[n + 1].T_world_camera).all()
        assert 1 <= len(sources) <= 3
        earlier = [view.T_world_camera.tobytes() for view in views[: n + 1]]
        assert all(source.T_world_camera.tobytes() in earlier for source in sources)


def test_depth_of_the_map_is_a_hint_if_wanted():
    views, volume = walk(3), TsdfVolume(SETTINGS.map)
    for view in views:
        depth = true_depth(view.camera, view.T_world_camera)
        volume.integrate(dataclasses.replace(view, depth=depth))
    cases = (("always", volume, True), ("final", volume, False), ("never", volume, False), ("always", EMPTY, False))
    for wanted, where, expected in cases:
        matcher = Oracle()
        settings = override(SETTINGS, {"reconstruction.map_hints": wanted})
        estimates(PlaneSweep(settings, matcher), views, where)
        hint = matcher.asked[-1][2]
        assert (hint is not None) == expected
        if hint is not None:
            known = np.isfinite(hint.depth)
            assert known.mean() > 0.9
            error = abs(hint.depth - true_depth(CAMERA, views[2].T_world_camera))
            assert np.median(error[known]) < 0.02
            at_quarter = np.s_[2::4, 2::4]  # the pixels the network looks at
            assert np.median(error[at_quarter][known[at_quarter]]) < 0.005
            assert (hint.confidence[~known] == 0).all()
            assert 0.3 < hint.confidence[known].min() <= hint.confidence.max() <= 1


def test_depth_less_sure_than_wanted_is_left_out_and_the_limit_may_change():
    estimator = PlaneSweep(SETTINGS, Oracle(confidence=0.5))
    views = walk(3)
    assert np.isfinite(estimates(estimator, views[:2])[1].view.depth).all()
    estimator.apply(override(SETTINGS, {"reconstruction.min_confidence": 0.9}))
    assert np.isnan(estimator.estimate(views[2], EMPTY).view.depth).all()


def test_depth_farther_than_wanted_is_left_out():
    estimator = PlaneSweep(override(SETTINGS, {"reconstruction.predicted_depth_m": 2.0}), Oracle())
    said = estimates(estimator, walk(2))[1].view
    near = true_depth(CAMERA, said.T_world_camera) <= 2.0
    assert 0.1 < near.mean() < 0.9
    assert (np.isfinite(said.depth) == near).all()


def test_depth_that_no_earlier_view_agrees_with_is_left_out():
    matcher = Oracle()
    estimator = PlaneSweep(SETTINGS, matcher)
    views = walk(6)
    before = estimates(estimator, views[:5])[-1].view
    assert np.median(before.confidence) > matcher.confidence, "what others agree with is surer"
    matcher.wrong_by = 1.4
    after = estimator.estimate(views[5], EMPTY).view
    assert np.isfinite(after.depth).mean() < 0.1
    assert (after.provenance[np.isnan(after.depth)] == Provenance.UNKNOWN).all()


def test_a_wrong_focal_length_is_noticed_and_the_map_is_spared():
    def said_of(factor):
        views = [picture(pose) for pose in around(10)]
        wrong = dataclasses.replace(CAMERA, fx=CAMERA.fx * factor, fy=CAMERA.fy * factor)
        views = [dataclasses.replace(view, camera=wrong) for view in views]
        return estimates(PlaneSweep(SETTINGS, LearningFreeMatcher()), views)[-3:]

    def share(said):
        return np.mean([np.isfinite(one.view.depth).mean() for one in said])

    right, wrong = said_of(1.0), said_of(1.35)
    assert {one.note for one in right} == {""}
    assert all("intrinsics and poses" in one.note for one in wrong)
    assert share(wrong) < 0.15 < 0.4 < share(right)


def test_moving_exposure_changes_little():
    steady = estimates(PlaneSweep(SETTINGS, LearningFreeMatcher()), walk(5))[-1].view
    moving = [picture(pose, gain=1.5 if n % 2 else 1.0) for n, pose in enumerate(sideways(5))]
    said = estimates(PlaneSweep(SETTINGS, LearningFreeMatcher()), moving)[-1].view
    both = np.isfinite(said.depth) & np.isfinite(steady.depth)
    assert both.mean() > 0.9 * np.isfinite(steady.depth).mean()
    assert np.median((abs(said.depth - steady.depth) / steady.depth)[both]) < 0.01


def test_cameras_may_change_from_view_to_view():
    matcher = Oracle()
    estimator = PlaneSweep(SETTINGS, matcher)
    zoomed = dataclasses.replace(CAMERA, fx=150.0, fy=150.0)
    small = CAMERA.scaled(96, 64)
    views = [picture(pose, (CAMERA, zoomed, small)[n % 3]) for n, pose in enumerate(sideways(9))]
    for view, said in list(zip(views, estimates(estimator, views), strict=True))[3:]:
        truth = true_depth(said.view.camera, view.T_world_camera)
        assert np.nanmedian(abs(said.view.depth - truth)) < 1e-5
    for reference, sources, _ in matcher.asked:
        assert all(source.content.prepared == reference.content.prepared for source in sources)


@pytest.mark.parametrize(("width", "height"), [(300, 200), (640, 480), (130, 97), (64, 64)])
def test_resized_images_fit_the_stride_and_their_camera_fits_them(width, height):
    view = picture(sideways(1)[0], CAMERA.scaled(width, height))
    camera, image = resized(view, 128, 16)
    assert image.shape == (camera.height, camera.width, 3)
    assert camera.width % 16 == camera.height % 16 == 0
    assert camera.width <= min(width, 128)
    expected = picture(view.require_pose(), camera).image
    assert np.median(abs(image.astype(float) - expected)) < 8
    assert camera.rays()[0, 0, :2] == pytest.approx(
        [(-0.5 - view.camera.cx + 0.5 * width / camera.width) / view.camera.fx,
         (-0.5 - view.camera.cy + 0.5 * height / camera.height) / view.camera.fy]
    )  # fmt: skip


@pytest.mark.parametrize(("wanted", "width", "height"), [(640, 256, 160), (200, 192, 128), (64, 64, 64)])
def test_images_are_enlarged_where_that_is_allowed_and_twice_at_most(wanted, width, height):
    view = picture(sideways(1)[0], CAMERA.scaled(130, 84))
    camera, image = resized(view, wanted, 16, enlarge=2.0)
    assert (camera.width, camera.height) == (width, height)
    expected = picture(view.require_pose(), camera).image
    assert np.median(abs(image.astype(float) - expected)) < 8


def test_images_too_small_and_views_without_pose_are_refused_and_the_next_goes_on():
    estimator = PlaneSweep(SETTINGS, Oracle())
    views = walk(2)
    estimator.estimate(views[0], EMPTY)
    with pytest.raises(InputError, match=r"40x30.*at least 64x64"):
        estimator.estimate(picture(sideways(1)[0], CAMERA.scaled(40, 30)), EMPTY)
    with pytest.raises(InputError, match="pose"):
        estimator.estimate(dataclasses.replace(views[1], T_world_camera=None), EMPTY)
    assert estimator.estimate(views[1], EMPTY).view.depth is not None


def test_without_shipped_weights_it_warns_and_matches_without_a_network(monkeypatch, caplog):
    pytest.importorskip("torch")

    def none_shipped(name):
        raise WeightsError(f"no weights of '{name}' are shipped")

    monkeypatch.setattr("showroom_ros.networks.weights.shipped_weights", none_shipped)
    with caplog.at_level(logging.WARNING):
        estimator = make_plane_sweep(override(SETTINGS, {"reconstruction.model_file": ""}))
    assert "no weights of 'plane_sweep'" in caplog.text
    said = estimates(estimator, walk(2))
    assert said[1].view.depth is not None
    assert "without a network" in said[1].note
    with pytest.raises(WeightsError, match=r"absent\.safetensors"):
        make_plane_sweep(override(SETTINGS, {"reconstruction.model_file": "absent.safetensors"}))


def test_the_network_gives_what_it_gives_by_itself():
    torch = pytest.importorskip("torch")
    from showroom_ros.networks.plane_sweep import PRESETS, PlaneSweepNet
    from showroom_ros.reconstruction.plane_sweep_torch import LearnedMatcher

    torch.manual_seed(0)
    network = PlaneSweepNet(PRESETS["tiny"]).eval()
    changes = {"min_confidence": 0.0, "map_hints": "never", "predicted_depth_m": 50.0}
    settings = override(SETTINGS, {f"reconstruction.{name}": value for name, value in changes.items()})
    views = walk(2)
    said = estimates(PlaneSweep(settings, LearnedMatcher(network)), views)[1].view
    images = torch.from_numpy(np.stack([views[1].image, views[0].image])).movedim(-1, 1)[None].float() / 255
    K = torch.from_numpy(np.stack([CAMERA.matrix] * 2)).float()[None]
    poses = torch.from_numpy(np.stack([views[1].T_world_camera, views[0].T_world_camera])).float()[None]
    with torch.inference_mode():
        alone = network(images, K, poses)[0]
    same = np.isclose(said.depth, alone.depth[0].numpy(), rtol=1e-3)
    assert same.mean() > 0.9, "but where rounding of poses decides between hypotheses"
    assert said.confidence[same] == pytest.approx(alone.confidence[0].numpy()[same], abs=2e-2)
