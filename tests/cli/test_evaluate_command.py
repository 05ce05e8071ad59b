"""``showroom evaluate`` and ``showroom compare`` end to end, and what they say to mistakes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from known_meshes import room

from showroom_ros import __version__
from showroom_ros.cli.main import main
from showroom_ros.cli.results import jobs_of_root
from showroom_ros.datasets import catalog
from showroom_ros.datasets.seven_scenes import T_COLOR_DEPTH
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.render import render_mesh
from showroom_ros.geometry.se3 import inverse, look_at, quat_from_rotation, quat_xyzw_from_wxyz
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.mesh_files import save_mesh

SCENES = ("kitchen", "office")
STAMPS_S = [1 + i / 30 for i in range(12)]
TRUTH = room(cells=100)
PROTOCOLS = ("A", "A-NeuralRecon", "B", "C", "D", "showroom")


def poses() -> list[np.ndarray]:
    """Poses of the colour camera, all around the room."""
    around = np.arange(12) * np.pi / 6
    heights = (0.6, 1.9) * 6
    return [
        look_at((2 - 0.3 * np.cos(a), 1.5 - 0.3 * np.sin(a), 1.25), (2 + np.cos(a), 1.5 + np.sin(a), height))
        for a, height in zip(around, heights, strict=True)
    ]


def write_recording(folder: Path) -> None:
    """A recording in the layout of 7-Scenes: depth in mm and poses of the depth camera."""
    folder.mkdir(parents=True)
    depth_camera = Camera(640, 480, 585.0, 585.0, 320.0, 240.0)
    for i, pose in enumerate(poses()):
        T_world_depth = pose @ T_COLOR_DEPTH
        depth = render_mesh(TRUTH.vertices, TRUTH.triangles, depth_camera, T_world_depth).depth
        cv2.imwrite(str(folder / f"frame-{i:06d}.depth.png"), np.nan_to_num(depth * 1000).round().astype(np.uint16))
        cv2.imwrite(str(folder / f"frame-{i:06d}.color.png"), np.full((480, 640, 3), 120, np.uint8))
        np.savetxt(folder / f"frame-{i:06d}.pose.txt", T_world_depth)


def write_result(folder: Path, mesh: Mesh, offset_m: float = 0.0) -> None:
    folder.mkdir(parents=True)
    save_mesh(folder / "mesh.ply", mesh)
    rows = []
    for stamp_s, pose in zip(STAMPS_S, poses(), strict=True):
        place = pose[:3, 3] + (0, 0, offset_m * (stamp_s > 1.2))
        quat = quat_xyzw_from_wxyz(quat_from_rotation(pose[:3, :3]))
        rows.append(" ".join(f"{number:.9f}" for number in (stamp_s, *place, *quat)))
    (folder / "trajectory.txt").write_text("\n".join(rows) + "\n")


def moved(mesh: Mesh, *by: float) -> Mesh:
    return replace(mesh, vertices=(mesh.vertices + np.array(by)).astype(np.float32))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings, the true mesh, a good and a worse run."""
    base = tmp_path_factory.mktemp("evaluate")
    write_recording(base / "data" / SCENES[0])
    shutil.copytree(base / "data" / SCENES[0], base / "data" / SCENES[1])
    save_mesh(base / "truth.ply", TRUTH)
    for scene, shift in zip(SCENES, (0.0, 0.01), strict=True):
        write_result(base / "good" / scene, moved(TRUTH, shift, 0, 0))
        write_result(base / "worse" / scene, moved(TRUTH, 0.04 + shift, 0.06, 0.06), offset_m=0.1)
    return base


@pytest.fixture
def two_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set whose scenes are the folders below its root."""

    def scenes(root: Path, split: str | None) -> list[Path]:
        if split not in (None, "test"):
            raise DatasetError(f"{root}: split '{split}' is unknown")
        return sorted(path for path in root.iterdir() if path.is_dir())

    kind = replace(catalog.dataset_named("7scenes"), name="tiny", scenes=scenes)
    for module in ("catalog", "open"):
        monkeypatch.setattr(f"showroom_ros.datasets.{module}.DATASETS", (kind,))
    monkeypatch.setattr("showroom_ros.cli.results.DATASETS", (kind,))


def evaluate(place: Path, results: list[str], *more: str) -> int:
    truth = ["--truth", str(place / "truth.ply")]
    few = ["--samples", "20000"]
    return main(["evaluate", *(str(place / result) for result in results), *truth, *few, *more])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_from_end_to_end(
    place: Path, tmp_path: Path, protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sequence = ["--sequence", str(place / "data" / "kitchen"), "--every", "2"]
    assert evaluate(place, ["good/kitchen"], *sequence, "--protocol", protocol, "--json", str(tmp_path / "r.json")) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["protocol"]["name"] == protocol
    (row,) = report["scenes"]
    assert row["protocol"] == protocol
    if protocol == "A":
        assert row["precision"]["0.05"] < 0.7
    else:
        assert row["precision"]["0.05"] == 1
        assert row["accuracy_m"] < 0.015  # vertices of the true mesh are 2.5 to 4 cm apart
    assert row["depth"]["abs_rel"] < 0.002
    assert row["depth"]["truth"] == "sensor"
    assert row["depth"]["frames"] == row["frames"]["used"] == 6
    assert row["trajectory"]["ate_m"]["rmse"] < 1e-6
    assert report["environment"]["version"]
    assert report["settings"]["every"] == 2
    printed = capsys.readouterr().out
    assert f"Protocol {protocol} (" in printed
    assert "kitchen" in printed


def test_the_page_has_table_pictures_protocol_and_settings(place: Path, tmp_path: Path) -> None:
    sequence = ["--sequence", str(place / "data" / "kitchen"), "--every", "6", "--align", "off"]
    assert evaluate(place, ["good/kitchen"], *sequence, "--protocol", "C", "--html", str(tmp_path / "r.html")) == 0
    page = (tmp_path / "r.html").read_text()
    assert page.count("<img") == 6, "outside twice, above, two from inside, errors"
    for wanted in ("Protocol C", "Bozic et al.", "kitchen", "from depth", "&quot;every&quot;: 6", __version__):
        assert wanted in page.replace('"', "&quot;"), wanted


def test_a_whole_data_set(place: Path, tmp_path: Path, two_scenes: None) -> None:
    results = tmp_path / "results"
    shutil.copytree(place / "good" / "kitchen", results / "kitchen")
    more = ["--root", str(place / "data"), "--split", "test", "--protocol", "C", "--every", "4", "--depth", "off"]
    assert main(["evaluate", str(results), *more, "--truth", str(place / "truth.ply"),
                 "--json", str(tmp_path / "r.json")]) == 0  # fmt: skip
    report = json.loads((tmp_path / "r.json").read_text())
    kitchen, office = report["scenes"]
    assert (kitchen["scene"], office["scene"]) == SCENES
    assert (office["precision"]["0.05"], office["recall"]["0.05"], office["accuracy_m"]) == (1, 0, 1)
    assert office["note"] == "nothing was predicted"
    assert report["mean"]["f_score"]["0.05"] == pytest.approx(kitchen["f_score"]["0.05"] / 2)
    assert report["summary"]["scenes_missing"] == 1


def test_compare_two_runs(place: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    for run in ("good", "worse"):
        sequences = [word for scene in SCENES for word in ("--sequence", str(place / "data" / scene))]
        results = [f"{run}/{scene}" for scene in SCENES]
        assert evaluate(place, results, *sequences, "--protocol", "showroom", "--every", "4", "--align", "none",
                        "--json", str(tmp_path / f"{run}.json")) == 0  # fmt: skip
    capsys.readouterr()
    files = [str(tmp_path / f"{run}.json") for run in ("good", "worse")]
    assert main(["compare", *files, "--json", str(tmp_path / "c.json")]) == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "c.json").read_text())["differences"]}
    assert rows["accuracy_m"]["difference"] > 0.03
    assert rows["trajectory.ate_m.max"]["difference"] == pytest.approx(0.1, abs=1e-6)
    assert rows["trajectory.ate_m.max"]["better"] is False
    printed = capsys.readouterr().out
    assert "* worse" in printed
    assert "results: " in printed
    assert "2 scenes" in printed


def test_repeats_give_one_scene_its_noise(place: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    files = []
    for seed in ("0", "10"):
        files.append(str(tmp_path / f"{seed}.json"))
        assert evaluate(place, ["worse/kitchen"], "--sequence", str(place / "data" / "kitchen"), "--protocol", "D",
                        "--every", "6", "--depth", "off", "--align", "off", "--seed", seed, "--repeats", "3",
                        "--json", files[-1]) == 0  # fmt: skip
    assert len(json.loads(Path(files[0]).read_text())["scenes"][0]["repeats"]) == 3
    assert main(["compare", *files, "--json", str(tmp_path / "c.json")]) == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "c.json").read_text())["differences"]}
    assert rows["accuracy_m"]["noise"] > 0
    assert rows["accuracy_m"]["beyond_noise"] is False, "the same mesh, other samples"
    assert ["settings.seed", 0, 10] in json.loads((tmp_path / "c.json").read_text())["settings"]


def test_official_mask_of_protocol_c(place: Path, tmp_path: Path) -> None:
    """Everything beyond x = 2 is occluded; world2grid.txt lies beside the mask."""
    grid = np.zeros((60, 50, 45), np.uint8)
    grid[25:] = 1  # voxels of 10 cm from -0.5 m on
    np.save(tmp_path / "kitchen.npy", grid)
    T_grid_world = np.diag([10.0, 10, 10, 1])
    T_grid_world[:3, 3] = 5
    np.savetxt(tmp_path / "world2grid.txt", T_grid_world)
    assert evaluate(place, ["good/kitchen"], "--sequence", str(place / "data" / "kitchen"), "--protocol", "C",
                    "--occlusion", str(tmp_path / "{scene}.npy"), "--every", "6", "--depth", "off", "--align", "off",
                    "--json", str(tmp_path / "r.json")) == 0  # fmt: skip
    (row,) = json.loads((tmp_path / "r.json").read_text())["scenes"]
    assert row["visibility"] == "official"
    assert 0.3 < row["predicted_points"] / 20_000 < 0.55


def _write_bad_files(place: Path, folder: Path) -> None:
    (folder / "bad.ply").write_text("ply nonsense")
    (folder / "list.json").write_text("[1]")
    (folder / "other.json").write_text('{"name": "x"}')
    (folder / "broken.json").write_text("{")
    (folder / "nothing").mkdir()
    np.save(folder / "mask.npy", np.zeros((3, 3)))
    save_mesh(folder / "empty.ply", Mesh.empty())
    for name, change in (("late", 1000.0), ("nan", np.nan), ("short", 0.0)):
        shutil.copytree(place / "good" / "kitchen", folder / name)
        rows = np.loadtxt(folder / name / "trajectory.txt")
        rows[:, 0] += change if name == "late" else 0.0
        rows[3, 2] += change if name == "nan" else 0.0
        with (folder / name / "trajectory.txt").open("w") as file:
            for row in rows[: 2 if name == "short" else None]:
                file.write(" ".join(f"{number:.9f}" for number in row) + "\n")
    shutil.copytree(place / "good" / "kitchen", folder / "ragged")
    with (folder / "ragged" / "trajectory.txt").open("a") as file:
        file.write("2.0 1 2 3\n")


KITCHEN = ["--sequence", "{place}/data/kitchen", "--every", "6", "--samples", "1000"]
TRUE = ["--truth", "{place}/truth.ply"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["{place}/good/nowhere", *KITCHEN, *TRUE], "nowhere: no such file or folder"),
        (["{tmp}/nothing", *KITCHEN, *TRUE], "nothing: holds no result, looked for mesh.ply"),
        (["{tmp}/bad.ply", *KITCHEN, *TRUE], "bad.ply: "),
        (["{place}/good/kitchen", *KITCHEN], "kitchen has no true mesh, give one with --truth FILE"),
        (["{place}/good/kitchen", *KITCHEN, "--truth", "{tmp}/no.ply"], "no.ply: no such file"),
        (["{place}/good/kitchen", *KITCHEN, "--truth", "{tmp}/empty.ply"], "the true mesh is empty"),
        (["{place}/good/kitchen", "--sequence", "{tmp}/none", *TRUE], "none: no such file or folder"),
        (["{tmp}/late", *KITCHEN, *TRUE], "late/trajectory.txt: the trajectories do not overlap in time"),
        (["{tmp}/nan", *KITCHEN, *TRUE], "nan/trajectory.txt: pose at 1.1"),
        (["{tmp}/short", *KITCHEN, *TRUE], "short/trajectory.txt: 1 poses have a true partner"),
        (["{tmp}/ragged", *KITCHEN, *TRUE], "trajectory.txt, line 13: 4 numbers, expected 8"),
        (["{place}/good/kitchen", *KITCHEN, *TRUE, "--every", "0"], "--every is 0"),
        (["{place}/good/kitchen", *KITCHEN, *TRUE, "--repeats", "0"], "--repeats is 0"),
        (["{place}/good/kitchen", *KITCHEN, *TRUE, "--samples", "0"], "--samples is 0"),
        (["{place}/good/kitchen", *KITCHEN, *TRUE, "--seed", "-1"], "--seed is -1"),
        (["{place}/good/kitchen"] * 3 + KITCHEN * 2 + TRUE, "3 results and 2 sequences"),
        (["{place}/good/kitchen", *KITCHEN, *TRUE, "--protocol", "C", "--occlusion", "{tmp}/no.npy"], "no.npy: cannot"),
        (["{place}/good/kitchen", *KITCHEN, *TRUE, "--protocol", "C", "--occlusion", "{tmp}/mask.npy"], "world2grid"),
        (["{place}/good", "--root", "{tmp}/nothing"], "not the root of a data set"),
        (["{place}/good", "--root", "{tmp}", "--dataset", "cub99"], "data set 'cub99' is unknown"),
        (["{place}/good", "{place}/worse", "--root", "{tmp}"], "2 results with --root"),
        (["{place}/good/kitchen/mesh.ply", "--root", "{place}/data", "--dataset", "7scenes"], "no such folder"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    _write_bad_files(place, tmp_path)
    assert main(["evaluate", *(item.format(place=place, tmp=tmp_path) for item in arguments)]) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("showroom evaluate:")
    assert expected in message


def test_an_empty_mesh_is_scored_and_named(place: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    save_mesh(tmp_path / "empty.ply", Mesh.empty())
    for protocol in ("showroom", "D"):
        code = main(["evaluate", str(tmp_path / "empty.ply"), "--sequence", str(place / "data" / "kitchen"), "--every",
                     "6", "--truth", str(place / "truth.ply"), "--protocol", protocol])  # fmt: skip
        assert code == 0
        assert "the predicted mesh is empty" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("no.json", "other.json"), "no.json: cannot be read"),
        (("broken.json", "other.json"), "broken.json: is not JSON"),
        (("list.json", "other.json"), "list.json: holds a list"),
        (("other.json", "other.json"), "other.json: not a report of showroom"),
    ],
)
def test_compare_names_the_file_at_fault(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], names: tuple[str, str], expected: str
) -> None:
    _write_bad_files(place, tmp_path)
    assert main(["compare", *(str(tmp_path / name) for name in names)]) == 1
    assert expected in capsys.readouterr().err


def test_results_without_any_scene_are_an_error(place: Path, tmp_path: Path, two_scenes: None) -> None:
    with pytest.raises(InputError, match="holds no result of the 2 scenes, looked for folders such as kitchen, office"):
        jobs_of_root(tmp_path, place / "data", None, None)


def test_frames_that_cannot_be_read_are_counted(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "data" / "kitchen", tmp_path / "kitchen")
    (tmp_path / "kitchen" / "frame-000006.depth.png").write_bytes(b"no image")
    assert evaluate(place, ["good/kitchen"], "--sequence", str(tmp_path / "kitchen"), "--every", "3", "--protocol", "B",
                    "--json", str(tmp_path / "r.json")) == 0  # fmt: skip
    frames = json.loads((tmp_path / "r.json").read_text())["scenes"][0]["frames"]
    assert (frames["used"], frames["left_out"]) == (3, 1)
    assert "frame 6: " in frames["first_reason"]
    assert "frame-000006.depth.png" in frames["first_reason"]


def test_poses_of_the_tiny_recording_are_those_of_the_colour_camera(place: Path) -> None:
    from showroom_ros.datasets.open import open_sequence

    view = open_sequence(place / "data" / "kitchen")[2]
    np.testing.assert_allclose(inverse(view.require_pose()) @ poses()[2], np.eye(4), atol=1e-9)
