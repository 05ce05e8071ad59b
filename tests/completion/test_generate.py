"""A scene from one image, with backends that know the truth, or almost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from showroom_ros.completion.camera_paths import path_poses, turned
from showroom_ros.completion.generate import generate_scene, turntable
from showroom_ros.completion.holes import partial_view_of_points
from showroom_ros.datasets.synthetic.preview import good_pose
from showroom_ros.datasets.synthetic.renderer import Renderer
from showroom_ros.datasets.synthetic.room import make_room
from showroom_ros.datasets.synthetic.sensor import develop
from showroom_ros.errors import InputError
from showroom_ros.evaluation.triangle_tree import TriangleTree
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import transform_points
from showroom_ros.scene.view import Provenance

CAMERA = Camera(192, 144, 192.0, 192.0, 95.5, 71.5)


class Truth:
    """Pictures and depth of a made-up room, in the frame of one of its cameras."""

    def __init__(self, seed: int) -> None:
        self.room = make_room(seed)
        self.renderer = Renderer(self.room)
        self.pose = good_pose(self.room, self.renderer)

    def look(self, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen = self.renderer.render(CAMERA, self.pose @ pose)
        return develop(seen.radiance * self.room.exposure).numpy(), seen.depth.numpy()

    def off_surface_m(self, points: np.ndarray) -> np.ndarray:
        tree = TriangleTree(self.room.vertices[self.room.triangles].astype(float))
        return tree.nearest(transform_points(self.pose, points)).distance_m


class Oracle:
    """Inpainter and depth completer that follow a path; new depth may be wrong by a factor per view."""

    name, needs_depth = "oracle", False

    def __init__(self, truth: Truth, mode: str, factors: dict[int, float] | None = None) -> None:
        self.views = [truth.look(pose) for pose in path_poses(np.eye(4), mode)]
        self.factors, self.n, self.seeds = factors or {}, 0, []

    def inpaint(self, image, known, *, prompt="", seed=0):
        self.n, self.seeds = self.n + 1, [*self.seeds, (prompt, seed)]
        return np.where(known[..., None], image, self.views[self.n][0])

    def complete(self, image, depth, camera):
        new = self.views[self.n][1] * np.float32(self.factors.get(self.n, 1.0))
        return np.where(np.isfinite(depth), depth, new)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth(1003)


@pytest.fixture(scope="module")
def ring(truth):
    oracle, reports = Oracle(truth, "360"), []
    image = oracle.views[0][0]
    scene = generate_scene(
        image, CAMERA, oracle, oracle, mode="360", prompt="a room", seed=5, progress=lambda *now: reports.append(now)
    )
    return scene, oracle, reports


def test_a_turn_with_perfect_backends_is_the_room(truth, ring):
    scene, *_ = ring
    off_m = truth.off_surface_m(scene.points[::7])
    assert np.median(off_m) < 0.005
    assert np.quantile(off_m, 0.95) < 0.03
    assert scene.closing_error_m < 0.02
    for yaw_deg in (12.5, 110.0, 295.0, 338.0):
        pose = turned(np.eye(4), yaw_deg)
        partial = partial_view_of_points(scene.points, scene.colors, scene.provenance, CAMERA, pose)
        error_m = np.abs(partial.view.require_depth() - truth.look(pose)[1])[partial.known]
        middle = partial.known[15:-15]  # above and below, corners of turned images see more than the ring
        assert middle.mean() > 0.98
        assert np.median(error_m) < 0.02


def test_the_image_is_predicted_and_all_else_generated(ring):
    scene, oracle, reports = ring
    pixels = CAMERA.width * CAMERA.height
    assert (scene.provenance[:pixels] == Provenance.PREDICTED).all()
    assert (scene.provenance[pixels:] == Provenance.GENERATED).all()
    np.testing.assert_array_equal(scene.colors[:pixels], oracle.views[0][0].reshape(-1, 3))
    assert oracle.seeds == [("a room", 5 + n) for n in range(1, 13)]
    assert reports == [(n, 13) for n in range(1, 14)]
    start, end = scene.steps[1]
    generated = [int((view.provenance == Provenance.GENERATED).sum()) for view in scene.views]
    assert generated[:2] == [0, end - start]
    assert generated[5] == pixels  # what is drawn from generated points stays generated


def test_points_never_change_once_they_are_there(truth, ring):
    """The ring starts with the views of the stage: the same points, and each view adds its own only."""
    scene, *_ = ring
    oracle = Oracle(truth, "stage")
    stage = generate_scene(oracle.views[0][0], CAMERA, oracle, oracle, mode="stage", seed=5)
    assert stage.closing_error_m is None
    assert stage.steps[:2] == scene.steps[:2]
    same = stage.steps[1][1]
    np.testing.assert_array_equal(stage.points[:same], scene.points[:same])
    assert [start for start, _ in scene.steps[1:]] == [end for _, end in scene.steps[:-1]]
    assert scene.steps[0][0] == 0
    assert scene.steps[-1][1] == len(scene.points) == len(scene.colors) == len(scene.provenance)
    for view, (start, end) in zip(scene.views, scene.steps, strict=True):
        local = CAMERA.back_project(view.require_depth()).reshape(-1, 3)
        lifted = transform_points(view.require_pose(), local).astype(np.float32)
        assert set(map(bytes, scene.points[start:end])) <= set(map(bytes, lifted))
        assert 0 < end - start <= len(lifted)


@pytest.mark.parametrize("factor", [0.6, 1.04, 1.5])
def test_a_completer_of_another_scale_is_pulled_to_what_is_known(truth, factor):
    oracle = Oracle(truth, "stage", {1: factor, 2: factor})
    scene = generate_scene(oracle.views[0][0], CAMERA, oracle, oracle, mode="stage")
    off_m = truth.off_surface_m(scene.points[CAMERA.width * CAMERA.height :: 3])
    assert np.median(off_m) < 0.02


def test_the_closing_error_is_that_of_the_last_views(truth):
    """Depth of the second half is bent: 8 % too far at its far side only, which no rim shows before the ring closes."""
    oracle = Oracle(truth, "360")
    bend = np.linspace(1.0, 1.08, CAMERA.width, dtype=np.float32)
    oracle.views[8:] = [(image, depth * bend) for image, depth in oracle.views[8:]]
    scene = generate_scene(oracle.views[0][0], CAMERA, oracle, oracle, mode="360")
    assert scene.closing_error_m > 0.08


def test_measured_depth_stays_measured(truth):
    oracle = Oracle(truth, "stage")
    image, depth = oracle.views[0]
    sensor = depth.copy()
    sensor[:, :60] = np.nan
    scene = generate_scene(image, CAMERA, oracle, oracle, mode="stage", first_depth=sensor)
    kinds = scene.provenance[: image[..., 0].size].reshape(image.shape[:2])
    assert (kinds[:, :60] == Provenance.PREDICTED).all()
    assert (kinds[:, 60:] == Provenance.MEASURED).all()
    np.testing.assert_array_equal(scene.views[0].require_depth()[:, 60:], sensor[:, 60:])
    assert [set(np.unique(view.provenance)) for view in scene.views] == [{1, 2}, {1, 3}, {1, 2, 3}]


class Plain:
    """Grey where nothing is known, depth 2 m."""

    name, needs_depth = "plain", False

    def inpaint(self, image, known, *, prompt="", seed=0):
        return np.where(known[..., None], image, np.uint8(128))

    def complete(self, image, depth, camera):
        return np.where(np.isfinite(depth), depth, np.float32(2))


def test_without_a_camera_the_focal_length_is_the_width_of_the_cropped_image():
    image = np.random.default_rng(0).integers(0, 255, (50, 69, 3)).astype(np.uint8)
    scene = generate_scene(image, None, Plain(), Plain(), mode="single")
    assert scene.views[0].camera == Camera(64, 48, 64.0, 64.0, 31.5, 23.5)
    np.testing.assert_array_equal(scene.views[0].image, image[1:49, 2:66])
    assert scene.steps == ((0, 64 * 48),)


def test_support_views_fill_what_an_edge_hides():
    camera = Camera(96, 72, 96.0, 96.0, 47.5, 35.5)
    depth = np.full((72, 96), 2.0, np.float32)
    depth[20:52, 30:66] = 1.0
    image = np.repeat(np.where(depth < 1.5, 250, 90).astype(np.uint8)[..., None], 3, axis=2)
    scenes = [
        generate_scene(image, camera, Plain(), Plain(), mode="single", support_views=on, first_depth=depth)
        for on in (False, True)
    ]
    assert 2 < len(scenes[1].views) <= 9
    pixels = depth.size
    np.testing.assert_array_equal(scenes[1].points[:pixels], scenes[0].points)
    aside = np.eye(4)
    aside[0, 3] = 0.08
    known = [
        partial_view_of_points(s.points, s.colors, s.provenance, camera, aside).known[22:50, 20:76] for s in scenes
    ]
    assert known[0].mean() < 0.97
    assert known[1].mean() > 0.99


def test_turntable_draws_every_frame(ring):
    scene, *_ = ring
    frames = turntable(scene, 3, radius_m=0.05)
    assert [frame.shape for frame in frames] == [(144, 192, 3)] * 3
    assert all((frame > 0).any(-1).mean() > 0.9 for frame in frames)
    assert np.abs(frames[0].astype(int) - frames[1]).mean() > 1


class Liar(Plain):
    """Changes known depth."""

    def complete(self, image, depth, camera):
        return np.full(depth.shape, 2, np.float32)


class Blind(Plain):
    """Gives no depth at all."""

    def complete(self, image, depth, camera):
        return depth


IMAGE = np.zeros((48, 64, 3), np.uint8)
NARROW = Camera(64, 48, 200.0, 200.0, 31.5, 23.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": np.zeros((48, 64), np.uint8)}, "the image is (48, 64)"),
        ({"image": np.zeros((8, 64, 3), np.uint8)}, "at least 16 pixels"),
        ({"image": np.zeros((64, 192, 3), np.uint8), "camera": None}, "192x64, taken for a panorama"),
        ({"image": IMAGE.astype(float)}, "float64"),
        ({"camera": CAMERA}, "its camera_info says 192x144"),
        ({"mode": "ring"}, "'ring' is unknown"),
        ({"camera": NARROW}, "path 'stage' turns by up to 25"),
        ({"camera": replace(NARROW, distortion_model="equidistant", distortion=(0, 0, 0, 0))}, "undistort"),
        ({"first_depth": np.ones((48, 64))}, "first_depth is float64"),
        ({"completer": Liar(), "first_depth": np.ones((48, 64), np.float32)}, "'plain' changed known depth"),
        ({"completer": Blind()}, "3072 of 3072 pixels have no positive depth"),
    ],
)
def test_bad_input(change, words):
    given = {"image": IMAGE, "camera": None, "inpainter": Plain(), "completer": Plain()}
    with pytest.raises(InputError) as raised:
        generate_scene(**(given | change))
    assert words in str(raised.value)
