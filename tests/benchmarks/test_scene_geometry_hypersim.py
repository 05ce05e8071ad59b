"""The pairs of Hypersim against what geometry says of a box room, and their scenes shared out to jobs."""

from __future__ import annotations

import csv
import functools
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import layout_hypersim
import numpy as np
import pytest
from fake_slurm import install_fake_slurm
from layout_hypersim import write_camera_parameters, write_csv, write_hypersim
from textured_room import box_depth

from showroom_ros.benchmarks import scene_geometry_jobs, scene_geometry_scenes
from showroom_ros.benchmarks.scene_geometry import Jobs, run
from showroom_ros.benchmarks.scene_geometry_hypersim import hypersim_items, hypersim_pairs
from showroom_ros.benchmarks.scene_geometry_pair import Pair
from showroom_ros.datasets.hypersim import Hypersim
from showroom_ros.datasets.hypersim_lens import STANDARD_LENS, Lens
from showroom_ros.datasets.prepare.hypersim import RECIPE as PREPARE_HYPERSIM
from showroom_ros.datasets.prepare.hypersim import HypersimSettings
from showroom_ros.datasets.prepare.run import prepare
from showroom_ros.datasets.prepare.submit import Cluster
from showroom_ros.errors import DatasetError, InputError, SettingsError
from showroom_ros.evaluation.completion import rendered_depth
from showroom_ros.geometry.se3 import inverse, look_at, transform_points

LENS = Lens(STANDARD_LENS.camera.scaled(256, 192), np.eye(4))
NUMBERS = (0, 1, 3, 7)
YAWS_DEG = (0, 4, 9, 40)
TAN_30 = np.tan(np.pi / 6)
STANDARD_UV = np.diag([TAN_30, TAN_30 * 0.75, -1.0])
SHOWN: list[np.ndarray] = []


def turning_poses(count: int) -> list[np.ndarray]:
    poses = []
    for degrees in YAWS_DEG[:count]:
        eye, yaw = np.array([0.9 + 0.001 * degrees, 1.2, 1.1]), np.radians(degrees)
        poses.append(look_at(eye, eye + np.array([np.cos(yaw), np.sin(yaw), 0.1])))
    return poses


def two_metres(image: np.ndarray, depth: np.ndarray, camera: object) -> np.ndarray:
    SHOWN.append(image)
    return np.full(depth.shape, 2.0, np.float32)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes, that of row 1 with a physical camera, that of row 101 not of the published ones."""
    root = tmp_path_factory.mktemp("hypersim")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout_hypersim, "box_poses", turning_poses)
        write_hypersim(root, "ai_001_001", lens=LENS, numbers=NUMBERS)
        write_hypersim(root, "ai_002_001", ("cam_00", "cam_01"), lens=LENS, numbers=NUMBERS[:3])
        write_hypersim(root, "ai_003_001", lens=LENS, numbers=NUMBERS[:2])
        write_hypersim(root, "ai_009_009", lens=LENS, numbers=NUMBERS[:2])
    names = ["ai_001_001", "ai_003_001", "ai_002_001", *(f"ai_100_{n:03d}" for n in range(97)), "ai_009_009"]
    write_camera_parameters(root, dict.fromkeys(names, STANDARD_UV), LENS.camera)
    path = root / "metadata_camera_parameters.csv"
    header, *rows = csv.reader(path.read_text().splitlines())
    physical = [(*row, row[0] == "ai_003_001") for row in rows]
    write_csv(path, [(*header, "use_camera_physical"), *physical])
    return root


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "hypersim"))


def pairs_of(root: Path, key: str = "ai_001_001/cam_00") -> tuple[dict[tuple[int, int], Pair], list[str]]:
    item = next(item for item in hypersim_items(root, None) if item.key == key)
    left_out: list[str] = []
    return {(pair.first, pair.second): pair for pair in hypersim_pairs(item, left_out)}, left_out


def seen(a: int, b: int) -> np.ndarray:
    """Which pixels of b frame a sees: the room is convex, so all whose point falls into its image."""
    poses = turning_poses(4)
    points = transform_points(poses[b], LENS.camera.back_project(box_depth(LENS.camera, poses[b])))
    pixels, z = LENS.camera.project(transform_points(inverse(poses[a]), points.reshape(-1, 3)))
    inside = (z > 0) & (np.abs(pixels - (127.5, 95.5)) <= (128, 96)).all(1)
    return inside.reshape(192, 256)


def test_pairs_are_those_that_geometry_says(root: Path) -> None:
    pairs, left_out = pairs_of(root)
    shares = {(NUMBERS[a], NUMBERS[b]): seen(a, b).mean() for a in range(4) for b in range(a + 1, 4)}
    assert list(pairs) == [key for key, share in shares.items() if share >= 0.8] == [(0, 1), (0, 3), (1, 3)]
    assert left_out == []
    for key, pair in pairs.items():
        assert pair.rendered.covered.mean() == pytest.approx(shares[key], abs=0.01)
        assert pair.image is not None
        assert pair.image[10, 10].tolist() == [255, 0, 0]  # radiance 3.0, NaN, -1.0: not the tone-mapped picture


def test_pairs_are_those_that_are_prepared(root: Path, tmp_path: Path) -> None:
    prepare(PREPARE_HYPERSIM, root, tmp_path / "out", HypersimSettings(depth="none"), executor="processes")
    rows = list(csv.DictReader((tmp_path / "out/ai_001_001/cam_00/pairs.csv").open()))
    pairs, _ = pairs_of(root)
    assert list(pairs) == [(int(row["frame_id"]), int(row["remaining_frame_id"])) for row in rows]
    for row, pair in zip(rows, pairs.values(), strict=True):
        assert float(row["overlap"]) == pytest.approx(pair.rendered.covered.mean(), abs=0.003)


def test_what_is_rendered_is_the_cloud_with_sixteen_points_a_pixel(root: Path) -> None:
    pairs, _ = pairs_of(root)
    sequence = Hypersim(root / "ai_001_001")
    one, other = sequence[0], sequence[2]
    lifted = rendered_depth(
        one.require_depth(), one.camera, one.require_pose(), other.camera, other.require_pose(), points_per_pixel=16
    )
    rendered = pairs[0, 3].rendered
    assert (rendered.covered != lifted.covered).mean() < 0.002  # depth is unknown through a window, positions are not
    both = np.isfinite(rendered.sparse) & np.isfinite(lifted.sparse)
    assert np.median(np.abs(rendered.sparse - lifted.sparse)[both]) < 0.002
    shutil.rmtree(root / "ai_001_001/images/scene_cam_00_geometry_hdf5")
    with pytest.raises(
        DatasetError, match=r"none of 4 frames can be used; first: frame 0: .*depth_meters.hdf5: no such"
    ):
        pairs_of(root)


def test_a_wall_between_two_frames_is_no_pair(root: Path) -> None:
    path = root / "ai_001_001/images/scene_cam_00_geometry_hdf5/frame.0003.depth_meters.hdf5"
    with h5py.File(path, "r+") as file:
        file["dataset"][...] = file["dataset"][:] + 0.5
    assert list(pairs_of(root)[0]) == [(0, 1)]


def test_positions_that_are_missing_are_lifted_depth(root: Path) -> None:
    before, _ = pairs_of(root)
    (root / "ai_001_001/images/scene_cam_00_geometry_hdf5/frame.0000.position.hdf5").unlink()
    pairs, left_out = pairs_of(root)
    assert left_out == ["position.hdf5 of 1 frames: not there, their depth was lifted instead"]
    assert list(pairs) == list(before)
    assert (pairs[0, 1].rendered.covered != before[0, 1].rendered.covered).mean() < 0.002


def test_errors_and_pictures_that_were_not_released(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my.model", SimpleNamespace(two_metres=two_metres))
    (root / "ai_001_001/images/scene_cam_00_final_hdf5/frame.0001.color.hdf5").unlink()
    result = run("hypersim", root / "ai_001_001", ["my.model:two_metres"], csv_file=root / "rows.csv")
    rows = {(int(row["first"]), int(row["second"])): row for row in csv.DictReader((root / "rows.csv").open())}
    assert list(rows) == [(0, 1), (0, 3), (1, 3)]
    errors = []
    for (first, second), row in rows.items():
        a, b = NUMBERS.index(first), NUMBERS.index(second)
        depth = box_depth(LENS.camera, turning_poses(4)[b])
        expected = np.abs(2 - depth[~seen(a, b)]).mean()
        if second == 1:
            assert (row["mae_m"], row["legacy_mae_m"], row["judged_with_truth"]) == ("nan", "0.0", "0")
            continue
        errors.append(float(row["mae_m"]))
        assert errors[-1] == pytest.approx(expected, rel=0.03)
        share = int(row["judged_with_truth"]) / int(row["judged"])
        assert float(row["legacy_mae_m"]) == pytest.approx(errors[-1] * share, rel=1e-6)
    values = {row.name: row.value for row in result.rows}
    assert values["mae_m_baseline_two_metres"] == pytest.approx(np.mean(errors))
    legacy = [float(row["legacy_mae_m"]) for row in rows.values()]
    assert values["mae_m_legacy_baseline_two_metres"] == pytest.approx(np.mean(legacy))
    assert all(image[10, 10].tolist() == [255, 0, 0] for image in SHOWN)


def test_scenes_are_the_published_ones(root: Path) -> None:
    keys = [item.key for item in hypersim_items(root, None)]
    assert keys == ["ai_001_001/cam_00", "ai_002_001/cam_00", "ai_002_001/cam_01"]
    (root / "metadata_camera_parameters.csv").unlink()
    keys += ["ai_003_001/cam_00", "ai_009_009/cam_00"]
    assert [item.key for item in hypersim_items(root, None)] == keys
    assert [item.key for item in hypersim_items(root / "ai_002_001", None)] == keys[1:3]
    with pytest.raises(DatasetError, match="split 'validation' is unknown, expected one of train, val, test"):
        run("hypersim", root, ["nearest"], split="validation")


METHODS = ["planes", "nearest"]


@pytest.mark.parametrize(("executor", "workers"), [("processes", 1), ("processes", 2), ("local", 2)])
def test_jobs_give_what_one_process_gives(root: Path, tmp_path: Path, executor: str, workers: int) -> None:
    pytest.importorskip("submitit")
    alone = run("hypersim", root, METHODS, csv_file=tmp_path / "alone.csv")
    out = tmp_path / "out"
    shared = run("hypersim", root, METHODS, jobs=Jobs(out, workers, executor))
    assert (out / "rows.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
    assert (shared.rows, shared.settings) == (alone.rows, alone.settings)
    assert shared.settings["pairs"] == 9
    assert sorted(path.parent.relative_to(out).as_posix() for path in out.glob("*/*/rows.csv")) == [
        "ai_001_001/cam_00", "ai_002_001/cam_00", "ai_002_001/cam_01",
    ]  # fmt: skip


def test_finished_scenes_are_not_computed_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = Jobs(tmp_path / "out", executor="processes")
    positions = root / "ai_002_001/_detail/cam_01/camera_keyframe_positions.hdf5"
    whole = positions.read_bytes()
    positions.write_bytes(whole[:100])
    first = run("hypersim", root, METHODS, jobs=jobs)
    assert list(first.settings["failed"]) == ["ai_002_001/cam_01"]
    assert "camera_keyframe_positions.hdf5: cut short or not HDF5" in first.settings["failed"]["ai_002_001/cam_01"]
    assert first.settings["pairs"] == 6
    positions.write_bytes(whole)
    computed: list[str] = []
    scene_rows = scene_geometry_jobs.scene_rows

    def counted(dataset, item, made, device):
        computed.append(item.key)
        return scene_rows(dataset, item, made, device)

    monkeypatch.setattr(scene_geometry_jobs, "scene_rows", counted)
    second = run("hypersim", root, METHODS, jobs=jobs)
    # the files of a scene are known together, so both of its cameras are done anew
    assert computed == ["ai_002_001/cam_00", "ai_002_001/cam_01"]
    assert (second.settings["failed"], second.settings["pairs"]) == ({}, 9)
    assert second.rows == run("hypersim", root, METHODS).rows
    computed.clear()
    assert run("hypersim", root, METHODS, jobs=jobs).rows == second.rows
    assert computed == []
    damaged = tmp_path / "out/ai_001_001/cam_00/rows.csv"
    damaged.write_bytes(damaged.read_bytes().replace(b"0.", b"1."))
    assert run("hypersim", root, METHODS, jobs=jobs).rows == second.rows
    assert computed == ["ai_001_001/cam_00"]
    assert next(iter(run("hypersim", root, ["nearest"], jobs=jobs).rows)).name == "mae_m_baseline_nearest"
    assert len(computed) == 4


def test_slurm_gets_one_job_per_scene(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    log = install_fake_slurm(tmp_path / "bin", monkeypatch)
    cluster = Cluster(partition="rooms", time_min=5, cpus=1, items_per_job=1)
    shared = run("hypersim", root, METHODS, jobs=Jobs(tmp_path / "out", 2, "slurm", cluster))
    assert shared.rows == run("hypersim", root, METHODS).rows
    assert log.read_text() == "2\n"  # an array of three
    assert Jobs(tmp_path).cluster.items_per_job == 1


def test_what_jobs_cannot_do_is_told(root: Path, tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "out", executor="processes")
    for path in root.glob("*/_detail/metadata_scene.csv"):
        path.write_text("parameter_name,parameter_value\nx,1\n")
    with pytest.raises(
        InputError, match=r"no scene could be judged; first: ai_001_001/cam_00: .*meters_per_asset_unit"
    ):
        run("hypersim", root, METHODS, jobs=jobs)
    with pytest.raises(SettingsError, match="unknown depth completer 'guess', expected one of small"):
        run("hypersim", root, ["guess"], jobs=jobs)


def test_made_up_rooms_by_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_geometry_scenes, "_SYNTHETIC_STRIDE", 150)
    monkeypatch.setattr(scene_geometry_scenes, "_made_up", functools.cache(scene_geometry_scenes._made_up))
    alone = run(methods=["nearest"], scenes=1)
    shared = run(methods=["nearest"], scenes=1, jobs=Jobs(tmp_path / "out", executor="processes"))
    assert (shared.rows, shared.settings) == (alone.rows, alone.settings)
    assert list(alone.settings["scenes"]) == ["synthetic-test-0"]
