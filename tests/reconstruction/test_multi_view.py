"""Photos to cameras and depth, with a network that knows the truth up to noise and a unit of its own."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from multi_view_oracle import Oracle, photos_of, textured
from tsdf_scenes import room_views

from showroom_ros.errors import InputError
from showroom_ros.evaluation.relative_pose import evaluate_relative_poses
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, rotation_angle_deg
from showroom_ros.reconstruction.multi_view import MultiViewSettings, Pointmaps, reconstruct_photos
from showroom_ros.reconstruction.photos import Photo, prepared
from showroom_ros.reconstruction.windows import windows_of
from showroom_ros.scene.view import Provenance


@pytest.fixture(scope="module")
def views():
    return textured([dataclasses.replace(view, stamp_ns=number + 1) for number, view in enumerate(room_views(16))], 0)


NO_GROUPS = MultiViewSettings(check_groups=False)


def errors(result, views):
    """Largest turn (degrees) and shift (metres) of poses relative to the first, after the scale was made right."""
    truth = np.stack([view.require_pose() for view in views])
    found = inverse(result.T_world_camera[0]) @ result.T_world_camera
    truth = inverse(truth[0]) @ truth
    scale = np.linalg.norm(truth[1:, :3, 3]) / np.linalg.norm(found[1:, :3, 3])
    turn = max(rotation_angle_deg(a, b) for a, b in zip(found, truth, strict=True))
    return turn, float(np.linalg.norm(found[:, :3, 3] * scale - truth[:, :3, 3], axis=1).max()), scale


def test_cameras_and_depth_come_out_of_the_pointmaps(views):
    result = reconstruct_photos(photos_of(views), Oracle(views), NO_GROUPS)
    turn, shift, scale = errors(result, views)
    assert turn < 0.5
    assert shift < 0.02
    assert result.scale == "none"
    for view, truth in zip(result.views, views, strict=True):
        assert view.camera.fx == pytest.approx(truth.camera.fx, rel=0.01)
        known = np.isfinite(view.require_depth())
        assert known.mean() > 0.9
        assert np.median(abs(view.require_depth() * scale / truth.require_depth() - 1)[known]) < 0.01
        assert set(np.unique(view.provenance)) <= {Provenance.UNKNOWN, Provenance.PREDICTED}


def test_the_world_is_level(views):
    result = reconstruct_photos(photos_of(views), Oracle(views), NO_GROUPS)
    up = -np.stack([view.require_pose()[:3, 1] for view in result.views]).mean(0)
    assert up[2] / np.linalg.norm(up) > 0.99
    assert np.linalg.norm(result.T_world_camera[0][:3, 3]) < 1e-6


@pytest.mark.parametrize("known", ["pose", "depth"])
def test_what_is_known_gives_metres(views, known):
    kept = photos_of(views, camera=True, **{known: True})
    some = [photo if number % 2 else dataclasses.replace(photo, depth=None, T_world_camera=None)
            for number, photo in enumerate(kept)]  # fmt: skip
    result = reconstruct_photos(some, Oracle(views), NO_GROUPS)
    assert result.scale == {"pose": "poses", "depth": "depth"}[known]
    _, _, scale = errors(result, views)
    assert scale == pytest.approx(1.0, abs=0.01)
    if known == "pose":
        for number, view in enumerate(views):
            wrong = np.linalg.norm(result.T_world_camera[number][:3, 3] - view.require_pose()[:3, 3])
            assert wrong < (1e-9 if number % 2 else 0.03)
    else:
        kinds = [view.provenance for view in result.views]
        assert (kinds[1] == Provenance.MEASURED).mean() > 0.9
        assert not (kinds[0] == Provenance.MEASURED).any()


def test_two_halves_are_merged_and_a_loop_is_closed(views):
    """Windows of their own units: one scale all around."""
    settings = MultiViewSettings(window=6, overlap=3, check_groups=False)
    closed = reconstruct_photos(photos_of(views), Oracle(views, noise=0.01), settings)
    open_ = reconstruct_photos(photos_of(views), Oracle(views, noise=0.01), dataclasses.replace(settings, loops=0))
    assert closed.drift
    assert not open_.drift
    assert max(abs(scale) for scale, _, _ in closed.drift) < 0.05
    truth = np.stack([view.require_pose() for view in views])
    scores = [evaluate_relative_poses(result.T_world_camera, truth) for result in (closed, open_)]
    assert scores[0].maa_30 > 0.95
    scales = []
    for half in (slice(0, 5), slice(11, 16)):
        steps = [
            np.linalg.norm(np.diff(poses[half, :3, 3], axis=0), axis=1) for poses in (closed.T_world_camera, truth)
        ]
        scales.append(steps[0].sum() / steps[1].sum())
    assert scales[0] / scales[1] == pytest.approx(1.0, abs=0.01)
    assert errors(closed, views)[1] <= errors(open_, views)[1] * 1.05


def test_windows_cover_all_and_overlap():
    assert windows_of(range(5), 8, 2) == [[0, 1, 2, 3, 4]]
    windows = windows_of(range(20), 8, 3)
    assert sorted({number for window in windows for number in window}) == list(range(20))
    for one, two in pairwise(windows):
        assert len(set(one) & set(two)) >= 3
    with pytest.raises(InputError, match="overlap is 8"):
        windows_of(range(20), 8, 8)


def test_one_photo_gives_its_depth_and_says_so(views):
    result = reconstruct_photos(photos_of(views[:1]), Oracle(views))
    assert len(result.views) == 1
    assert "one photo" in " ".join(result.notes)


def test_identical_photos_are_left_out(views):
    three = photos_of([views[0], views[1], views[0]])
    result = reconstruct_photos(three, Oracle(views), NO_GROUPS)
    assert result.numbers == [0, 1]
    assert np.isnan(result.T_world_camera[2]).all()
    assert "2.jpg shows the same as 0.jpg" in " ".join(result.notes)


class TwoRooms:
    """Puts photos that have nothing to do with each other side by side."""

    patch, metric, name, note = 8, True, "two rooms", "knows two rooms"

    def __init__(self, first, second):
        self._networks = Oracle(first), Oracle(second)
        self.image_size = first[0].camera.width

    def pointmaps(self, images):
        result = []
        for network in self._networks:
            own = [image for image in images if network._key(image) in network._views]
            result.append(network.pointmaps(own) if own else [])
        return [*result[0], *result[1]]


def test_photos_of_different_rooms_are_not_merged(views):
    one, other = textured(views[:4], 1), textured(views[6:9], 2)
    result = reconstruct_photos(photos_of([*one, *other]), TwoRooms(one, other))
    assert result.groups == [[0, 1, 2, 3], [4, 5, 6]]
    assert result.numbers == [0, 1, 2, 3]
    assert "2 places" in " ".join(result.notes)
    assert "knows two rooms" in result.notes


def test_photos_of_one_room_stay_together(views):
    one = textured(views[:6], 3)
    assert reconstruct_photos(photos_of(one), Oracle(one)).groups == [[0, 1, 2, 3, 4, 5]]


def test_photos_are_cut_to_patches_and_cameras_follow():
    rng = np.random.default_rng(0)
    camera = Camera(301, 203, 250.0, 251.0, 148.0, 103.0)
    photo = Photo(rng.integers(0, 255, (203, 301, 3), np.uint8), camera)
    small = prepared(photo, 128, 16)
    assert small.image.shape == (80, 128, 3)
    assert small.camera is not None
    back = small.photo_camera(small.camera)
    assert (back.fx, back.cx, back.cy) == pytest.approx((camera.fx, camera.cx, camera.cy), abs=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: reconstruct_photos([], None), "no photos"),
        (lambda: Photo(np.zeros((4, 4), np.uint8)), r"photo: image is uint8 \(4, 4\), expected uint8 \(H, W, 3\)"),
        (lambda: Photo(np.zeros((4, 4, 3), np.float32)), "float32"),
        (
            lambda: Photo(np.zeros((4, 4, 3), np.uint8), Camera(5, 4, 4.0, 4.0, 2.0, 2.0), name="a.jpg"),
            "a.jpg: image is 4x4, its camera is 5x4",
        ),
        (lambda: Photo(np.zeros((4, 4, 3), np.uint8), depth=np.ones((4, 4), np.float32)), "depth is"),
        (lambda: prepared(Photo(np.zeros((10, 1000, 3), np.uint8)), 128, 16), "sides of 16 or more"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_photos_that_do_not_hold_together_are_refused(views):
    class Noise(Oracle):
        def pointmaps(self, images):
            noise = [self._rng.standard_normal((*image.shape[:2], 3)).astype(np.float32) for image in images]
            return [Pointmaps(n, np.full(n.shape[:2], 2.0, np.float32), n, np.full(n.shape[:2], 2.0, np.float32))
                    for n in noise]  # fmt: skip

    with pytest.raises(InputError, match="none of the 3 photos could be placed"):
        reconstruct_photos(photos_of(views[:3]), Noise(views), NO_GROUPS)
