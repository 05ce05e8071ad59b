"""The table of methods that make meshes of colour and poses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stereo_room import CAMERA, picture, sideways, true_surface
from stereo_room import true_depth as room_depth

pytest.importorskip("torch")

from showroom_ros.benchmarks import posed_rgb, posed_rgb_data
from showroom_ros.benchmarks.peak_memory import PeakMemory
from showroom_ros.benchmarks.plane_sweep_latency import latencies_ms, latency_ms
from showroom_ros.benchmarks.posed_rgb_data import JudgedScene, Views, recorded_scene, synthetic_scene, up_axis
from showroom_ros.benchmarks.posed_rgb_run import (
    METHODS,
    Watched,
    WatchedToTheEnd,
    depth_scores,
    run_method,
)
from showroom_ros.datasets.synthetic import room as room_module
from showroom_ros.errors import DatasetError, InputError, ShowroomError, WeightsError
from showroom_ros.evaluation.benchmark import write_benchmark
from showroom_ros.evaluation.refusion import Frame, render_depth
from showroom_ros.networks.plane_sweep import KIND
from showroom_ros.networks.weights import save_weights
from showroom_ros.reconstruction.estimator import Estimate, Patient, WholeScene
from showroom_ros.scene.view import Provenance
from showroom_ros.scene.volume import TsdfVolume
from showroom_ros.settings import KeyframeSettings, MapSettings, Settings

POSES = sideways(9)
SETTINGS = Settings(
    keyframes=KeyframeSettings(min_translation_m=0.05, min_sharpness=0.0),
    map=MapSettings(voxel_size_m=0.04, truncation_m=0.12, max_bytes=200_000_000),
)


def recording() -> Views:
    views = [
        replace(picture(pose, stamp_ns=number * 100_000_000), depth=room_depth(CAMERA, pose))
        for number, pose in enumerate(POSES)
    ]
    return Views("room", views)


@pytest.fixture(scope="module")
def scene() -> JudgedScene:
    views = [picture(pose, stamp_ns=number * 100_000_000) for number, pose in enumerate(POSES)]
    depths = {view.stamp_ns: room_depth(CAMERA, view.require_pose()) for view in views}
    frames = [Frame(CAMERA, view.require_pose(), depths[view.stamp_ns]) for view in views]
    return JudgedScene("room", "room", views, depths, true_surface(POSES), frames, "+z")


def untrained(path: Path) -> Path:
    network = KIND.build(KIND.presets["tiny"])
    save_weights(path, KIND, KIND.presets["tiny"], network.state_dict(), {})
    return path


def test_a_method_is_judged(scene: JudgedScene) -> None:
    scores = run_method(METHODS["learning_free"], scene, SETTINGS)
    assert scores.headline.protocol == "C"
    assert scores.refused.protocol == "B"
    assert scores.headline.f_score[0.05] > 0.6
    assert scores.headline.precision[0.05] > 0.8
    assert scores.depth["abs_rel"] < 0.05
    assert scores.depth["delta_1_05"] > 0.8
    assert scores.mesh_depth["delta_1_1"] > 0.8
    assert (scores.keyframes, scores.estimated) == (9, 8)  # the first has nothing to be compared with
    assert 0.3 < scores.depth["complete"] <= 8 / 9
    assert scores.ms_keyframe > 0
    assert scores.growth > 0
    assert scores.memory_mib >= 0
    assert scores.device_memory_mib is None


def test_nothing_reconstructed_scores_zero(scene: JudgedScene) -> None:
    still = [replace(view, T_world_camera=POSES[0]) for view in scene.keyframes]
    scores = run_method(METHODS["learning_free"], replace(scene, keyframes=still), SETTINGS)
    assert (scores.headline.f_score[0.05], scores.refused.f_score[0.05], scores.estimated) == (0, 0, 0)
    assert scores.headline.note == "the predicted mesh is empty"
    assert "no earlier keyframe sees the same from elsewhere" in scores.note
    assert scores.depth == {}


def test_rows_have_the_agreed_names_and_missing_weights_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(posed_rgb_data, "open_sequence", lambda path: recording())

    def nothing_shipped(network: str) -> Path:
        raise WeightsError(f"no weights of '{network}' are shipped")

    monkeypatch.setattr("showroom_ros.networks.manifest.shipped_weights", nothing_shipped)
    weights = untrained(tmp_path / "made.safetensors")
    said: list[str] = []
    result = posed_rgb.run(
        tmp_path / "kitchen", ["learning_free", f"plane_sweep_hints={weights}", "plane_sweep", "ioar"], 0,
        settings=SETTINGS, latency_presets=(), say=said.append,
    )  # fmt: skip
    names = [row.name for row in result.rows]
    assert names[:6] == [
        "f5_kitchen_learning_free", "f5_kitchen_plane_sweep_hints",
        "f5b_kitchen_learning_free", "f5b_kitchen_plane_sweep_hints",
        "f5live_kitchen_learning_free", "f5live_kitchen_plane_sweep_hints",
    ]  # fmt: skip
    for start in (
        "accuracy", "completeness", "precision", "recall", "absrel", "delta105", "delta110", "share", "mesh_absrel",
        "mesh_delta105", "ms_estimate", "growth", "ms_offline", "memory",
    ):  # fmt: skip
        assert f"{start}_kitchen_learning_free" in names
    assert all(math.isfinite(row.value) for row in result.rows)
    assert not [name for name in names if name.endswith("ioar") or name.endswith("plane_sweep")]
    assert result.settings["missing"] == {
        "plane_sweep": "no weights of 'plane_sweep' are shipped",
        "ioar": "no weights of 'ioar' are shipped",
    }
    assert said == [f"{tmp_path / 'kitchen'}: learning_free", f"{tmp_path / 'kitchen'}: plane_sweep_hints"]
    write_benchmark(tmp_path / "table.json", result.benchmark, result.settings, result.rows)
    written = json.loads((tmp_path / "table.json").read_text())
    assert list(written["settings"]["scenes"][0]["scores"]) == ["learning_free", "plane_sweep_hints"]


def test_hints_and_weights_are_the_methods_own(tmp_path: Path) -> None:
    weights = str(untrained(tmp_path / "made.safetensors"))
    settings = {name: method.settings(SETTINGS, weights, "-y").reconstruction for name, method in METHODS.items()}
    assert {name: (s.method, s.map_hints, s.model_file) for name, s in settings.items()} == {
        "learning_free": ("plane_sweep", "never", "none"),
        "plane_sweep": ("plane_sweep", "never", weights),
        "plane_sweep_hints": ("plane_sweep", "always", weights),
        "ioar": ("ioar", "never", weights),
    }
    assert {s.up for s in settings.values()} == {"-y"}


def test_a_recording_is_judged_by_its_own_depth(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(posed_rgb_data, "open_sequence", lambda path: recording())
    found = recorded_scene(tmp_path, SETTINGS.keyframes, SETTINGS.map)
    assert all(view.depth is None for view in found.keyframes)
    assert set(found.true_depths) == {view.stamp_ns for view in found.keyframes}
    assert len(found.frames) == len(POSES)
    assert len(found.truth.triangles) == len(true_surface(POSES).triangles)
    assert found.up == "+z"
    blind = [replace(view, depth=None) for view in (recording()[0], recording()[1])]
    monkeypatch.setattr(posed_rgb_data, "open_sequence", lambda path: Views("blind", blind))
    with pytest.raises(DatasetError, match="none of its 2 frames has colour, depth and pose"):
        recorded_scene(tmp_path, SETTINGS.keyframes, SETTINGS.map)


def test_a_made_up_room_is_judged_by_exact_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "baked_light", lambda room, lights, device: np.ones_like(room.vertices))
    found = synthetic_scene(0, KeyframeSettings(), MapSettings(voxel_size_m=0.04, truncation_m=0.12), (64, 48), 4)
    assert (found.data, found.name, len(found.keyframes)) == ("synthetic", "synthetic:test/0", 4)
    assert all(view.depth is None and view.image.std() > 5 for view in found.keyframes)
    frame, true_depth = found.frames[0], found.true_depths[found.keyframes[0].stamp_ns]
    np.testing.assert_array_equal(frame.depth, true_depth)
    scores = depth_scores(render_depth(found.truth, frame.camera, frame.T_world_camera), true_depth)
    assert scores is not None
    assert scores["delta_1_05"] > 0.9


def test_scenes_are_single_rooms_of_the_test_split() -> None:
    assert posed_rgb_data.synthetic_scenes(3) == [0, 2, 4]
    with pytest.raises(DatasetError, match="5000 were asked for"):
        posed_rgb_data.synthetic_scenes(5000)


def test_depth_of_another_size_is_compared_with_the_nearest_pixels() -> None:
    truth = np.full((8, 12), 2.0, np.float32)
    truth[:, 6:] = np.nan
    assert depth_scores(np.full((4, 6), 2.0, np.float32), truth) == {
        "abs_rel": 0.0, "delta_1_05": 1.0, "delta_1_1": 1.0, "complete": 1.0,
    }  # fmt: skip
    assert depth_scores(np.ones((4, 6), np.float32), np.full((8, 12), np.nan, np.float32)) is None


def test_up_is_the_axis_images_point_up_to() -> None:
    turned = np.eye(4)
    turned[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    assert up_axis(np.stack([np.eye(4), turned])) == "-y"
    assert up_axis(np.stack(POSES)) == "+z"


class AtTheEnd:
    """Says nothing of a view unless it is asked to be live; at the end it predicts nothing more."""

    needs_pose = True

    def __init__(self, true_depths: dict[int, np.ndarray]) -> None:
        self.true_depths, self.patient, self.finished = true_depths, False, False

    def estimate(self, view, volume):
        return Estimate(view if self.patient else replace(view, depth=self.true_depths[view.stamp_ns]))

    def reset(self) -> None: ...

    def leave_to_finish(self) -> None:
        self.patient = True

    def finish(self, volume):
        self.finished = True
        donor = TsdfVolume(volume.settings)
        for pose, depth in zip(POSES, self.true_depths.values(), strict=True):
            provenance = np.full(depth.shape, Provenance.PREDICTED, np.uint8)
            donor.integrate(replace(picture(pose), depth=depth, provenance=provenance))
        return donor.voxels()


def test_watching_changes_nothing(scene: JudgedScene) -> None:
    inner = AtTheEnd(scene.true_depths)
    watched = WatchedToTheEnd(inner, scene.true_depths)
    assert isinstance(watched, WholeScene)
    assert isinstance(watched, Patient)
    assert not isinstance(Watched(inner, {}), WholeScene | Patient)
    estimate = watched.estimate(scene.keyframes[2], TsdfVolume(SETTINGS.map))
    assert estimate.view.image is scene.keyframes[2].image
    assert (len(watched.times_ms), watched.depth_rows[0]["abs_rel"]) == (1, 0.0)
    watched.leave_to_finish()
    assert watched.finish(TsdfVolume(SETTINGS.map)) is not None
    assert (inner.patient, inner.finished) == (True, True)


def test_what_is_left_to_the_end_is_run_live_too(scene: JudgedScene, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[AtTheEnd] = []

    def make(settings: Settings) -> AtTheEnd:
        made.append(AtTheEnd(scene.true_depths))
        return made[-1]

    monkeypatch.setattr("showroom_ros.benchmarks.posed_rgb_run.make_estimator", make)
    scores = run_method(METHODS["learning_free"], scene, SETTINGS)
    assert [(one.patient, one.finished) for one in made] == [(True, True), (False, False)]
    assert scores.headline.f_score[0.05] > 0.95
    assert scores.live.f_score[0.05] > 0.95
    assert (scores.estimated, scores.depth["abs_rel"]) == (9, 0.0)


def test_memory_is_that_of_the_block() -> None:
    with PeakMemory("cpu") as memory:
        held = np.ones(64 * 2**17)
        held += 1
    assert 55 < memory.grown_mib < 300


def test_latency_needs_a_preset_with_a_size() -> None:
    assert latency_ms("tiny", 64, 48, "cpu", sources=2) > 0
    with pytest.raises(InputError, match="preset 'tiny' has no size"):
        latencies_ms(["tiny"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"methods": ["magic"]}, "method 'magic' is unknown, expected one of learning_free, plane_sweep"),
        ({"methods": ["learning_free=x.safetensors"]}, "has no network to give the weights x.safetensors to"),
        ({"scenes": -1}, "scenes is -1"),
        ({"scenes": 0}, "nothing to run on: 0 made-up rooms, there is no"),
        ({"recording": Path("/nowhere"), "scenes": 0}, "/nowhere"),
        ({"methods": ["plane_sweep=/no/such.safetensors"], "recording": Path("room"), "scenes": 0}, "such.safetensors"),
    ],
)
def test_bad_arguments(monkeypatch: pytest.MonkeyPatch, arguments: dict, reason: str) -> None:
    monkeypatch.setattr(posed_rgb, "RECORDING", Path("/nowhere/at/all"))
    if arguments.get("recording") == Path("room"):
        monkeypatch.setattr(posed_rgb_data, "open_sequence", lambda path: recording())
    with pytest.raises(ShowroomError, match=reason):
        posed_rgb.run(**{"settings": SETTINGS, "latency_presets": (), **arguments})
