"""``showroom extend`` with a network of pointmaps that knows the truth: what it says, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from multi_view_oracle import Oracle, textured
from tsdf_scenes import CAMERA, box_depth, view_of

from showroom_ros.cli.main import main
from showroom_ros.geometry.se3 import look_at
from showroom_ros.reconstruction import multi_view_torch
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.view import Provenance, View

WORDS = ["--method", "multi_view", "--set", "map.voxel_size_m=0.04", "--set", "map.truncation_m=0.16"]
WORDS += ["--depth-completer", "planes"]
COUNT = 11
"""Photos, one every 24 degrees to the left: a third of the room is missing."""


def level_views() -> list[View]:
    """Predicted without error, from near the middle of a box of a room."""
    views, half = [], np.array((1.4, 1.2, 1.0))
    for angle in np.radians(24.0 * np.arange(COUNT)):
        ahead = np.array([np.cos(angle), np.sin(angle), 0.0])
        pose = look_at(0.1 * ahead, ahead)
        views.append(view_of(box_depth(CAMERA, pose, -half, half), pose))
    return textured(views, 0)


class Metric(Oracle):
    """Its unit is the metre."""

    metric = True

    def pointmaps(self, images):
        self._rng = Steady()
        return super().pointmaps(images)


class Steady:
    """A generator of units that are one."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def __getattr__(self, name):
        return getattr(self._rng, name)

    def uniform(self, low, high, size=None):
        return 1.0 if size is None else self._rng.uniform(low, high, size)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files, and the oracle in the network's place; PNG, so that it knows its images again."""
    views = level_views()
    for number, view in enumerate(views):
        cv2.imwrite(str(tmp_path / f"p{number:02d}.png"), cv2.cvtColor(view.image, cv2.COLOR_RGB2BGR))
    oracle = Metric(views)
    monkeypatch.setattr(multi_view_torch, "load_pointmap_network", lambda *_: oracle)
    return [str(path) for path in sorted(tmp_path.glob("p*.png"))]


def test_the_side_that_is_missing_is_made_up(
    photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "scene.ply"
    assert main(["extend", *photos, "--out", str(out), "--seed", "3", *WORDS]) == 0
    report = json.loads(out.with_suffix(".json").read_text())
    assert report["photos_placed"] == COUNT
    (made,) = report["extended"]
    assert (made["photo"], made["side"]) in (("p00.png", "right"), ("p10.png", "left"))
    assert made["hole_share"] > 0.25
    assert made["pixels_generated"] > 0
    said = capsys.readouterr().out
    assert f"{made['photo']} to the {made['side']}, turned by 30 deg" in said
    assert "nothing" not in said
    mesh = load_mesh(out)
    assert len(mesh.triangles) == report["triangles"]
    assert set(mesh.provenance) == {Provenance.PREDICTED, Provenance.GENERATED}
    assert (mesh.provenance == Provenance.GENERATED).sum() == report["vertices_generated"] > 100
    picture = cv2.imread(str(out.with_name("scene_pictures") / "view_00.png"))
    assert picture.shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("count", "words", "message"),
    [
        (1, [], "there is 1 photo, expected at least 2"),
        (2, ["--decide", "layout"], "there are 2 photos, --decide layout is for exactly 3"),
        (3, ["--decide", "layout", "--views", "2"], "decides once"),
        (3, ["--decide", "layout", "--layout-file", "/nowhere.safetensors"], "/nowhere.safetensors"),
        (3, ["--views", "0"], "--views is 0"),
        (3, ["--turn", "180"], "--turn 180"),
        (3, ["--inpainter", "guess"], "guess"),
        (3, ["--depth-completer", "guess"], "guess"),
        (3, ["synthetic:7"], "synthetic:7: several sources"),
    ],
)
def test_bad_input(
    photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int, words: list[str], message: str
) -> None:
    assert main(["extend", *photos[:count], *words, "--out", str(tmp_path / "o.ply")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o.ply").exists()


def test_what_is_no_folder_of_photos_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extend", str(tmp_path / "nothing"), "--out", str(tmp_path / "o.ply")]) == 1
    assert "nothing: is neither a photo nor a folder of photos" in capsys.readouterr().err


def test_the_layout_network_that_comes_with_the_package_decides(photos: list[str], tmp_path: Path) -> None:
    out = tmp_path / "o.ply"
    assert main(["extend", *photos[:3], "--decide", "layout", "--out", str(out)]) == 0
    report = json.loads(out.with_suffix(".json").read_text())
    assert report["decided_by"] != "surface"
    assert len(report["extended"]) <= 1
    assert load_mesh(out).triangles.size
