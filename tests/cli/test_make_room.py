from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from showroom_ros.cli.main import main
from showroom_ros.datasets.open import open_sequence
from showroom_ros.datasets.synthetic import room as room_module
from showroom_ros.datasets.synthetic.room import RoomSettings, make_room
from showroom_ros.datasets.synthetic.sequence import SyntheticSequence
from showroom_ros.datasets.tum_writer import write_tum
from showroom_ros.errors import DatasetError, InputError, OutputError
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.view import View


@pytest.fixture(autouse=True)
def lit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Light takes most of a room's time, and nothing here depends on it."""
    monkeypatch.setattr(room_module, "baked_light", lambda room, lights, device: np.ones_like(room.vertices))


@pytest.fixture(scope="module")
def walk() -> SyntheticSequence:
    return SyntheticSequence(
        5, frames=4, width=64, height=48, room=make_room(5, RoomSettings(clutter=0)), noisy=False, registered=True
    )


def test_a_written_folder_reads_as_it_was(walk: SyntheticSequence, tmp_path: Path) -> None:
    write_tum(walk, tmp_path / "rec")
    found = open_sequence(tmp_path / "rec")
    assert len(found) == 4
    for index in range(4):
        one, two = found[index], walk[index]
        assert one.camera == two.camera
        assert one.stamp_ns == two.stamp_ns
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_allclose(one.require_depth(), two.require_depth(), atol=1.01e-4)
        np.testing.assert_allclose(one.require_pose(), two.require_pose(), atol=1e-8)
    with pytest.raises(OutputError, match="is there already"):
        write_tum(walk, tmp_path / "rec")
    write_tum(walk, tmp_path / "rec", overwrite=True)
    assert [item.name for item in tmp_path.iterdir()] == ["rec"]


class Broken:
    name = "broken"

    def __init__(self, walk: SyntheticSequence) -> None:
        self.walk = walk

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> View:
        view = self.walk[index]
        return View(view.image, view.camera, view.depth, T_world_camera=None if index else view.T_world_camera)


def test_nothing_is_left_of_a_folder_that_fails(walk: SyntheticSequence, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no pose"):
        write_tum(Broken(walk), tmp_path / "rec")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_bad_calibration_names_its_file(walk: SyntheticSequence, tmp_path: Path) -> None:
    write_tum(walk, tmp_path / "rec")
    (tmp_path / "rec" / "calibration.txt").write_text("64 48 0 50 31 23\n")
    with pytest.raises(DatasetError, match=r"calibration.txt: camera fx is 0"):
        open_sequence(tmp_path / "rec")


def test_make_room_writes_mesh_description_and_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--seed", "3", "--kind", "bedroom", "--frames", "3", "--size", "64x48"]
    assert main(["make-room", *arguments, "--ideal", "--out", str(tmp_path / "a")]) == 0
    assert "3 frames" in capsys.readouterr().out
    described = json.loads((tmp_path / "a" / "room.json").read_text())
    assert described["seed"] == 3
    assert described["settings"]["kind"] == "bedroom"
    assert described["categories"]["floor"] >= 1
    sequence = open_sequence(tmp_path / "a" / "recording")
    assert len(sequence) == 3
    mesh = load_mesh(tmp_path / "a" / "mesh.ply")
    made = make_room(3, RoomSettings(kind="bedroom"))
    np.testing.assert_allclose(mesh.vertices.min(0), made.vertices.min(0), atol=1e-5)
    np.testing.assert_allclose(mesh.vertices.max(0), made.vertices.max(0), atol=1e-5)
    assert main(["make-room", *arguments, "--ideal", "--out", str(tmp_path / "a")]) == 1
    assert "is there already" in capsys.readouterr().err
    assert main(["make-room", *arguments, "--format", "bag", "--out", str(tmp_path / "b")]) == 0
    bag = open_sequence(tmp_path / "b" / "recording")
    assert len(bag) == 3
    assert bag[0].image.shape == (48, 64, 3)


def test_sheet_of_a_split(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    arguments = ["--split", "val", "--index", "4", "--sheet", str(sheet), "--sheet-rooms", "1", "--size", "120x90"]
    assert main(["make-room", *arguments]) == 0
    picture = cv2.imread(str(sheet))
    assert picture.shape[:2] == (90, 4 * 120 + 3 * 6)
    assert picture[:, :120].std() > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--out is missing"),
        (["--out", "x"], "expected either --seed N, or --split NAME and --index N"),
        (["--out", "x", "--seed", "1", "--split", "test", "--index", "1"], "expected either --seed"),
        (["--out", "x", "--split", "dev", "--index", "1"], "split 'dev' is unknown"),
        (["--out", "x", "--split", "test", "--index", "1", "--rooms", "2"], "--rooms and --kind go with --seed"),
        (["--out", "x", "--seed", "1", "--size", "64"], "--size '64', expected WxH"),
        (["--out", "x", "--seed", "1", "--kind", "cave"], "room kind 'cave' is unknown"),
        (["--out", "x", "--seed", "-1"], "room seed is -1"),
        (["--out", "x", "--seed", "1", "--assets", "/nowhere"], "/nowhere"),
        (["--sheet", "x.png", "--sheet-rooms", "0"], "--sheet-rooms is 0"),
    ],
)
def test_bad_arguments(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["make-room", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
