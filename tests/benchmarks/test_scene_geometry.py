"""``showroom benchmark scene_geometry`` on a box of a room."""

from __future__ import annotations

import csv
import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tsdf_scenes import box_depth, view_of

from showroom_ros.benchmarks import scene_geometry_scenes
from showroom_ros.benchmarks.scene_geometry import run
from showroom_ros.benchmarks.scene_geometry_rows import by_scene, read_rows, rows_csv, table_of
from showroom_ros.datasets.prepare.recipe import Item
from showroom_ros.errors import DatasetError, InputError, ShowroomError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at

CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)
HALF = np.array((1.2, 1.0, 0.8))


class Walk:
    """Turns by 2 degrees a frame; frame 50 has no pose."""

    name = "box"

    def __len__(self) -> int:
        return 121

    def __getitem__(self, index: int):
        yaw = np.radians(2 * index)
        pose = look_at((0.1, 0, 0), (0.1 + np.cos(yaw), np.sin(yaw), 0))
        view = view_of(box_depth(CAMERA, pose, -HALF, HALF), pose, CAMERA)
        return dataclasses.replace(view, T_world_camera=None) if index == 50 else view


def two_metres(image, depth, camera):
    return np.full(depth.shape, 2.0, np.float32)


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scene_geometry_scenes, "recordings_of_any_kind", lambda root, split: [Item("box", root)])
    monkeypatch.setattr(scene_geometry_scenes, "open_item", lambda item: Walk())
    return Path("box")


def test_methods_are_judged_on_the_same_pairs(recording: Path, tmp_path: Path) -> None:
    result = run("folder", recording, ["planes", "nearest"], csv_file=tmp_path / "pairs.csv")
    values = {row.name: row.value for row in result.rows}
    assert result.settings["pairs"] == 2  # 0 and 100: frame 50 has no pose
    assert values["mae_m_baseline_planes"] < 0.5 * values["mae_m_baseline_nearest"]
    assert values["mae_m_baseline_planes"] < 0.05
    assert values["mae_m_legacy_baseline_nearest"] == pytest.approx(values["mae_m_baseline_nearest"])
    rows = list(csv.DictReader((tmp_path / "pairs.csv").open()))
    assert [(row["first"], row["second"]) for row in rows if row["method"] == "planes"] == [("0", "10"), ("100", "110")]
    assert result.settings["left_out"] == {"box": ["frames 50 and 60: the view of stamp 0 has no pose"]}
    assert result.settings["scenes"]["box"]["planes"] == pytest.approx(values["mae_m_baseline_planes"])


def test_a_model_of_ones_own_is_named_by_its_function(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my.model", SimpleNamespace(two_metres=two_metres))
    result = run("folder", recording, ["my.model:two_metres"])
    assert 0.2 < result.rows[0].value < 1.5
    assert result.rows[0].name == "mae_m_baseline_two_metres"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("places", None), "expected one of synthetic, scannet, hypersim, folder"),
        (("folder", None), "needs a folder or recording"),
        (("folder", Path("nowhere")), "nowhere"),
        (("synthetic", Path("nowhere")), "synthetic takes no --data and no --split, expected another --dataset"),
        (("synthetic", None, ["no.such:thing"]), "cannot be imported"),
        (("synthetic", None, ["guess"]), "guess"),
    ],
)
def test_bad_input(arguments: tuple, message: str) -> None:
    with pytest.raises((InputError, ShowroomError), match=message):
        run(*arguments)


def row(scene: str, first: int, method: str, mae_m: float, legacy_mae_m: float = 0.1) -> dict:
    return {
        "scene": scene, "first": first, "second": first + 10, "method": method, "mae_m": mae_m,
        "legacy_mae_m": legacy_mae_m, "judged": 5, "judged_with_truth": 3, "covered": 1 / 3,
    }  # fmt: skip


def test_means_are_over_pairs_and_leave_out_what_is_not_known() -> None:
    rows = [row("a", 0, "small", 0.1), row("a", 50, "small", 0.3), row("b", 0, "small", 0.8, 0.4)]
    rows += [row("a", 0, "planes", 0.6), row("b", 0, "planes", float("nan"), 0.0), row("b", 0, "none", float("nan"))]
    table = {one.name: one for one in table_of(rows, ["small", "planes"])}
    assert table["mae_m_ours"].value == pytest.approx(0.4)
    assert table["mae_m_legacy_ours"].value == pytest.approx(0.2)
    assert table["mae_m_baseline_planes"].value == pytest.approx(0.6)
    assert table["mae_m_baseline_planes"].ratio == pytest.approx(0.4 / 0.6)
    assert table["mae_m_legacy_baseline_planes"].value == pytest.approx(0.05)
    assert by_scene(rows)["b"] == {"small": 0.8, "planes": None, "none": None}


def test_csvs_made_before_make_one_table(tmp_path: Path) -> None:
    parts = [[row("a", 0, "small", 0.1)], [row("b", 0, "small", 0.7), row("b", 0, "planes", float("nan"))]]
    files = [tmp_path / f"{number}.csv" for number in range(2)]
    for file, part in zip(files, parts, strict=True):
        file.write_bytes(rows_csv(part))
    result = run(rows=files, csv_file=tmp_path / "all.csv")
    assert {one.name: one.value for one in result.rows}["mae_m_ours"] == pytest.approx(0.4)
    assert (result.settings["pairs"], result.settings["rows"]) == (2, [str(file) for file in files])
    assert (tmp_path / "all.csv").read_bytes() == rows_csv(parts[0] + parts[1])
    assert read_rows(tmp_path / "all.csv")[0] == parts[0][0]  # 1 / 3 and all
    with pytest.raises(InputError, match="--rows computes nothing, expected none of --dataset, --data"):
        run("folder", rows=files)
    for content, message in [
        (files[0].read_bytes(), r"2.csv, line 2: \('a', 0, 10, 'small'\) is there already, from .*0.csv"),
        (b"scene,first\na,1\n", "2.csv: has no column second, method"),
        (files[0].read_bytes().replace(b",10,", b",ten,"), "2.csv, line 2: .*'ten', expected a number"),
        (rows_csv([]), "2.csv: has no rows"),
    ]:
        (tmp_path / "2.csv").write_bytes(content)
        with pytest.raises(DatasetError, match=message):
            run(rows=[*files, tmp_path / "2.csv"])
