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

from showroom_ros.benchmarks import scene_geometry
from showroom_ros.benchmarks.scene_geometry import run
from showroom_ros.errors import InputError, ShowroomError
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
    monkeypatch.setattr(scene_geometry, "open_sequence", lambda _: Walk())
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
    assert result.settings["scenes"]["box"]["planes"] == pytest.approx(values["mae_m_baseline_planes"])


def test_a_model_of_ones_own_is_named_by_its_function(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my.model", SimpleNamespace(two_metres=two_metres))
    result = run("folder", recording, ["my.model:two_metres"])
    assert 0.2 < result.rows[0].value < 1.5
    assert result.rows[0].name == "mae_m_baseline_two_metres"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("places", None), "expected one of synthetic, scannet, folder"),
        (("folder", None), "needs a folder or recording"),
        (("folder", Path("nowhere")), "nowhere"),
        (("synthetic", None, ["no.such:thing"]), "cannot be imported"),
        (("synthetic", None, ["guess"]), "guess"),
    ],
)
def test_bad_input(arguments: tuple, message: str) -> None:
    with pytest.raises((InputError, ShowroomError), match=message):
        run(*arguments)
