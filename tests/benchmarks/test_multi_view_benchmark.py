"""The table of methods that place unposed photos."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from stereo_room import picture, true_depth

pytest.importorskip("torch")

from showroom_ros.benchmarks import multi_view, multi_view_data
from showroom_ros.benchmarks.multi_view_data import JudgedPhotos, Truth, photo_folder, recorded_photos, synthetic_scenes
from showroom_ros.benchmarks.multi_view_methods import METHODS, Classical, Outcome, PredictedView, Student, network_ms
from showroom_ros.benchmarks.multi_view_scores import (
    cloud_scores,
    consistency,
    pose_accuracy,
    registered_share,
    scale_ratio,
    scores_of,
)
from showroom_ros.datasets.synthetic import room as room_module
from showroom_ros.errors import DatasetError, ShowroomError, WeightsError
from showroom_ros.evaluation.benchmark import write_benchmark
from showroom_ros.evaluation.pointmap import evaluate_pointmaps
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at, transform_points
from showroom_ros.geometry.similarity import Similarity
from showroom_ros.reconstruction.multi_view import Pointmaps

CAMERA = Camera(320, 240, 290.0, 290.0, 159.5, 119.5)
HALF_TURN = Similarity(0.5, np.diag([-1.0, -1.0, 1.0]), np.array([1.0, 2.0, 3.0]))


def poses_around(count: int) -> list[np.ndarray]:
    angles = np.linspace(2.4, 3.9, count)
    eyes = [(0.5 + 1.4 * np.cos(a), 0.9 * np.sin(a), 0.2 * np.sin(5 * a)) for a in angles]
    return [look_at(eye, (0.9, 0.2, -0.3)) for eye in eyes]


POSES = poses_around(5)


def made_photos(data: str = "room") -> JudgedPhotos:
    truth = [Truth(CAMERA, pose, true_depth(CAMERA, pose)) for pose in POSES]
    return JudgedPhotos(data, data, [picture(pose, CAMERA).image for pose in POSES], truth)


@pytest.fixture(scope="module")
def photos() -> JudgedPhotos:
    return made_photos()


class Oracle:
    """Knows everything, but lives in another world and scale, and loses photos."""

    kinds = ("free", "intrinsics", "poses")

    def __init__(self, truth: list[Truth], lost: tuple[int, ...] = (), world: Similarity = HALF_TURN) -> None:
        self.truth, self.lost, self.world, self.about = truth, lost, world, {"oracle": True}
        self.given: list[tuple[bool, bool]] = []

    def __call__(self, photos) -> Outcome:
        self.given.append((photos[0].camera is not None, photos[0].T_world_camera is not None))
        scaled = self.world if not self.given[-1][1] else Similarity(1.0, np.eye(3), np.zeros(3))
        count = len(photos)
        poses = scaled.apply_to_poses([true.T_world_camera for true in self.truth[:count]])
        poses[list(self.lost)] = np.nan
        views = {}
        for number, true in enumerate(self.truth[:count]):
            if number not in self.lost:
                small = true.camera.scaled(80, 60).cropped(8, 4, 64, 48)
                blank = PredictedView(np.zeros((48, 64, 3)), np.ones((48, 64)), small, true.camera)
                points = scaled.apply(true.points_at(*blank.in_photo()))
                views[number] = blank._replace(points=points)
        return Outcome(poses, views)


def test_an_oracle_scores_full(photos: JudgedPhotos) -> None:
    outcome = Oracle(photos.truth)(photos.photos())
    scores = scores_of(photos, outcome)
    assert scores["registered"] == 1
    assert scores["auc30"] == pytest.approx(1)
    assert scores["accuracy_m"] < 0.03  # the truth is asked for on another grid of pixels
    assert scores["accuracy_median_m"] <= scores["accuracy_m"]
    assert scores["completion_m"] < 0.15  # the prediction does not see the photos' edges
    assert scale_ratio(outcome, photos.truth) == pytest.approx(0.5, rel=1e-3)
    assert consistency(outcome) > 0.6


def test_photos_that_are_lost_count_as_failures(photos: JudgedPhotos) -> None:
    whole, part = Oracle(photos.truth)(photos.photos()), Oracle(photos.truth, lost=(0, 4))(photos.photos())
    assert registered_share(part) == pytest.approx(3 / 5)
    assert pose_accuracy(part.T_world_camera, photos.poses()) == pytest.approx(3 / 10)
    lost, kept = cloud_scores(part, photos.truth), cloud_scores(whole, photos.truth)
    assert lost is not None
    assert kept is not None
    assert lost.completion_m > 1.3 * kept.completion_m
    assert lost.accuracy_m < 0.03
    nothing = Oracle(photos.truth, lost=(0, 1, 2, 3, 4))(photos.photos())
    assert scores_of(photos, nothing) == {"registered": 0, "auc30": 0}
    assert scale_ratio(nothing, photos.truth) is None
    assert pose_accuracy(Oracle(photos.truth, lost=(0, 1, 2, 3))(photos.photos()).T_world_camera, photos.poses()) == 0


def test_clouds_score_as_the_published_protocol_has_it() -> None:
    rng = np.random.default_rng(3)
    camera = Camera(32, 24, 30.0, 30.0, 15.5, 11.5)
    truth = [Truth(camera, pose, true_depth(camera, pose)) for pose in POSES[:2]]
    views, points, confidences = {}, [], []
    for number, true in enumerate(truth):
        v, u = np.mgrid[:24, :32].astype(float)
        points.append(true.points_at(u, v))
        confidences.append(rng.random((24, 32)))
        noisy = HALF_TURN.apply(points[-1] + rng.normal(0, 0.05, (24, 32, 3)))
        views[number] = PredictedView(noisy, confidences[-1], camera, camera)
    found = cloud_scores(Outcome(np.stack(POSES[:2]), views), truth)
    predicted = np.stack([view.points for view in views.values()])
    expected = evaluate_pointmaps(predicted, np.stack(points), np.stack(confidences))
    assert found is not None
    assert found.accuracy_m == pytest.approx(expected.accuracy_m)
    assert found.completion_m == pytest.approx(expected.completion_m)
    assert found.accuracy_median_m == pytest.approx(expected.accuracy_median_m)
    assert found.completion_median_m == pytest.approx(expected.completion_median_m)


def test_wrong_depth_is_inconsistent(photos: JudgedPhotos) -> None:
    outcome = Oracle(photos.truth)(photos.photos())
    center = outcome.T_world_camera[0, :3, 3]
    wrong = outcome.views[0]._replace(points=center + 1.3 * (outcome.views[0].points - center))
    right = consistency(replace(outcome, views={n: outcome.views[n] for n in (0, 1)}))
    assert consistency(replace(outcome, views={0: wrong, 1: outcome.views[1]})) < 0.2 < 0.6 < right
    assert consistency(replace(outcome, views={0: wrong})) is None


def test_structure_from_motion_is_a_method(photos: JudgedPhotos) -> None:
    method = Classical("opencv")
    free = scores_of(photos, method(photos.photos()))
    assert free["registered"] == 1
    assert free["auc30"] > 0.9
    assert free["reprojection_px"] < 1
    assert "accuracy_m" not in free
    posed = method(photos.photos("poses"))
    assert scale_ratio(posed, photos.truth) == pytest.approx(1, abs=0.02)
    assert np.linalg.norm(posed.T_world_camera[:, :3, 3] - photos.poses()[:, :3, 3], axis=1).max() < 0.05
    assert method.about == {"engine": "opencv", "used": [f"opencv {cv2.__version__}"]}


class FlatNetwork:
    """Says that every pixel is 2 away, straight ahead of the first camera."""

    image_size, patch, metric, name, note = 64, 16, True, "flat", ""

    def pointmaps(self, images):
        found = []
        for image in images:
            height, width = image.shape[:2]
            camera = Camera(width, height, 58.0, 58.0, (width - 1) / 2, (height - 1) / 2)
            points = camera.back_project(np.full((height, width), 2.0)).astype(np.float32)
            sure = np.full((height, width), 4.0, np.float32)
            found.append(Pointmaps(points, sure, points, sure))
        return found


def test_a_network_is_a_method(photos: JudgedPhotos) -> None:
    method = Student(FlatNetwork())
    outcome = method(photos.photos())
    assert registered_share(outcome) > 0
    number, view = next(iter(outcome.views.items()))
    local = transform_points(np.linalg.inv(outcome.T_world_camera[number]), view.points)
    np.testing.assert_allclose(local[..., 2], 2, rtol=1e-3)
    u, v = view.in_photo()
    np.testing.assert_allclose([u.mean(), v.mean()], [159.5, 119.5], atol=0.5)
    assert u.min() == pytest.approx((0 + 0.5) * 5 - 0.5)
    assert len(network_ms(FlatNetwork(), 2, 3)) == 3


class Recording:
    """Colour, depth and poses at 30 Hz; every third frame has no pose."""

    def __len__(self) -> int:
        return 61

    def __getitem__(self, index: int):
        pose = POSES[index // 20 % 5]
        view = replace(picture(pose, CAMERA, stamp_ns=self.frame(index).stamp_ns), depth=true_depth(CAMERA, pose))
        return view if index % 3 == 0 else replace(view, T_world_camera=None)

    def frame(self, index: int):
        return picture(POSES[0], CAMERA.scaled(32, 24), stamp_ns=10**9 + round(index * 1e9 / 30))


def test_frames_of_a_recording_are_spaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(multi_view_data, "open_sequence", lambda path: Recording())
    found = recorded_photos(tmp_path / "kitchen", 20)
    assert found.data == "kitchen"
    np.testing.assert_allclose(found.poses(), POSES[:4], atol=1e-9)  # frames 0, 21, 42, 60
    assert len(recorded_photos(tmp_path / "kitchen", 2).images) == 2
    with pytest.raises(DatasetError, match="has 1 frames"):
        recorded_photos(tmp_path, 5, spacing_s=100.0)


def test_made_up_rooms_have_exact_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "baked_light", lambda room, lights, device: np.ones_like(room.vertices))
    (found,) = synthetic_scenes(1, 2, (64, 48))
    assert (found.data, found.name, len(found.images)) == ("synthetic", "synthetic:test/0", 2)
    a, b = found.truth
    points = a.points()
    pixels, z = b.camera.project(transform_points(np.linalg.inv(b.T_world_camera), points))
    ratio = (b.depth_at(*pixels.T) / z)[z > 0]
    assert np.mean(np.abs(ratio[np.isfinite(ratio)] - 1) < 0.05) > 0.5
    assert list(synthetic_scenes(0, 2)) == []


def test_rows_have_the_agreed_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    photos, recorded = made_photos("synthetic"), made_photos("kitchen")
    oracles: list[Oracle] = []

    def oracle(value: str, device: str) -> Oracle:
        oracles.append(Oracle(photos.truth))
        return oracles[-1]

    def nothing_shipped(value: str, device: str):
        raise WeightsError("no weights of 'fast3r' are shipped")

    monkeypatch.setitem(METHODS, "oracle", oracle)
    monkeypatch.setitem(METHODS, "student", nothing_shipped)
    monkeypatch.setattr(multi_view, "synthetic_scenes", lambda scenes, count, device: iter([photos] * scenes))
    monkeypatch.setattr(multi_view, "recorded_photos", lambda path, count: recorded.first(3))
    (tmp_path / "showroom_photos").mkdir()
    for number in (0, 1):
        cv2.imwrite(str(tmp_path / "showroom_photos" / f"{number}.png"), photos.images[number])
    said: list[str] = []
    result = multi_view.run(tmp_path / "kitchen", ["student", "oracle", "classical=opencv"], 1, (5, 3), say=said.append)
    names = [row.name for row in result.rows]
    for key in ("synthetic_3", "synthetic_5", "kitchen_3"):
        for method in ("oracle", "classical"):
            assert {f"{start}_{key}_{method}" for start in ("auc30", "registered", "ms")} <= set(names)
            assert f"scale_error_{key}_{method}_poses" in names
        for start in ("accuracy", "accuracy_median", "completion", "completion_median"):
            assert f"{start}_{key}_oracle" in names
            assert f"{start}_{key}_classical" not in names
        assert f"scale_error_{key}_oracle_intrinsics" in names
        assert f"scale_error_{key}_classical_free" not in names
        assert f"reprojection_{key}_classical" in names
    assert {"registered_showroom_photos_oracle", "consistency_showroom_photos_oracle"} <= set(names)
    assert "ms_showroom_photos_classical" in names
    assert not [name for name in names if "student" in name or "kitchen_5" in name]
    assert names[0].startswith("auc30_")
    assert all(math.isfinite(row.value) for row in result.rows)
    values = {row.name: row.value for row in result.rows}
    assert values["scale_error_synthetic_5_oracle_free"] == pytest.approx(0.5, rel=1e-3)
    assert values["scale_error_synthetic_5_oracle_poses"] == pytest.approx(0, abs=1e-3)
    assert oracles[0].given[:3] == [(False, False), (True, False), (True, True)]
    assert result.settings["missing"] == {
        "student": "no weights of 'fast3r' are shipped",
        "kitchen_5": "kitchen has 3 such frames",
        "ms_student_5views_cpu": "no weights of 'fast3r' are shipped",
    }
    assert result.settings["methods"]["classical"]["used"] == [f"opencv {cv2.__version__}"]
    assert said[0] == "synthetic, 3 photos: oracle"
    write_benchmark(tmp_path / "table.json", result.benchmark, result.settings, result.rows)
    assert len(json.loads((tmp_path / "table.json").read_text())["settings"]["sets"]) == 4


def test_the_networks_latency_has_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(METHODS, "student", lambda value, device: Student(FlatNetwork()))
    monkeypatch.setattr(multi_view, "recorded_photos", lambda path, count: made_photos("kitchen").first(2))
    result = multi_view.run(tmp_path, ["student"], 0, (2,))
    row = next(row for row in result.rows if row.name == "ms_student_5views_cpu")
    assert len(row.repeats) == 5
    assert min(row.repeats) <= row.value <= max(row.repeats)
    assert {row.name for row in result.rows} >= {"auc30_kitchen_2_student", "scale_error_kitchen_2_student_poses"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"methods": ["magic"]}, "method 'magic' is unknown, expected one of student, classical, swept"),
        ({"methods": ["classical=magic"]}, "engine of 'classical' is 'magic', expected one of auto, pycolmap, opencv"),
        ({"scenes": -1}, "scenes is -1"),
        ({"views": (1, 5)}, r"views \[1, 5\], expected 0 or more and numbers from 2 on"),
        ({"views": ()}, r"views \[\]"),
        ({"scenes": 0}, "nothing to run on: 0 made-up rooms, there is no /nowhere"),
        ({"recording": Path("/nowhere"), "scenes": 0}, "/nowhere"),
    ],
)
def test_bad_arguments(monkeypatch: pytest.MonkeyPatch, arguments: dict, reason: str) -> None:
    monkeypatch.setattr(multi_view, "RECORDING", Path("/nowhere"))
    with pytest.raises(ShowroomError, match=reason):
        multi_view.run(**{"methods": ["classical=opencv"], **arguments})


def test_a_folder_without_images_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no images"):
        photo_folder(tmp_path)
