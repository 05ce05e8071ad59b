"""``showroom data info``: what is printed, the files it writes, and what is said of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from layout_box_room import write_box_room
from layout_cub import write_cub
from layout_megadepth import write_megadepth
from layout_nyu import write_nyu
from layout_shapenet import AIRPLANE, MODELS, write_shapenet

from showroom_ros.cli.main import main


def test_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_box_room(tmp_path)
    sheet, report = tmp_path / "out" / "sheet.png", tmp_path / "out" / "info.json"
    assert main(["data", "info", str(folder), "--sheet", str(sheet), "--json", str(report), "--tiles", "4"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for expected in (
        f"{folder}: TUM RGB-D",
        "frames 6 in 'rgbd_dataset_freiburg3_box', 6 read for what follows",
        "colour 640x480 camera fx 535.40, fy 539.20, cx 320.10, cy 247.60 px, distortion none",
        "depth 6 frames, 640x480, registered to colour, 100.0 % known, ",
        "poses 6 frames, path 0.10, extent 0.10 x 0.00 x 0.00 m",
        "pose convention plausible (camera to world, OpenCV axes",
        "time 5.00 s, 1.00 Hz on average",
        f"contact sheet: {sheet}",
    ):
        assert expected in text
    picture = cv2.imread(str(sheet))
    assert picture.shape[1] == 3 * (2 * 240 + 2) + 2 * 6
    assert picture.shape[0] > 2 * 180
    written = json.loads(report.read_text())
    assert (written["kind"], written["frames"], written["depth"]["coverage"]) == ("recording", 6, 1.0)
    assert written["pose_check"]["verdict"] == "plausible"


def test_a_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, sheet, report = write_nyu(tmp_path / "nyu"), tmp_path / "sheet.png", tmp_path / "info.json"
    assert main(["data", "info", str(root), "--sheet", str(sheet), "--json", str(report)]) == 0
    text = capsys.readouterr().out
    assert f"{root}: NYU Depth v2" in text
    assert "4: kitchen_0028b, office_0003, bathroom, nyu_depth_v2_labeled.mat" in text
    assert "split train" in text
    assert "one of them:" in text
    assert cv2.imread(str(sheet)).shape[0] > 2 * 180  # four recordings in rows of three
    assert list(json.loads(report.read_text())["recordings"].values()) == ["nyu"] * 4
    assert main(["data", "info", str(root), "--split", "test", "--frames", "1"]) == 0
    assert "2 in split 'test': bathroom, test" in capsys.readouterr().out


def test_a_split_by_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_cub(tmp_path, segmentations="none")
    sheet = tmp_path / "sheet.png"
    assert main(["data", "info", str(folder), "--split", "train", "--sheet", str(sheet)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"{folder}/train: CUB-200-2011" in text
    assert "missing segmentations/: no such folder, inside or beside" in text
    assert "frames 2 in 'CUB_200_2011/train'" in text
    assert "camera assumed, 60 degrees wide (fx" in text
    assert "2 different ones" in text
    assert "depth none poses none pose convention not checked" in text
    assert "time no stamps (made up, a second apart)" in text
    assert sheet.is_file()


def test_relative_scale_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", str(write_megadepth(tmp_path))]) == 0
    assert "units of its own (not metres)" in capsys.readouterr().out


def test_a_recording_that_cannot_be_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_shapenet(tmp_path / "shapenet") / AIRPLANE / MODELS[AIRPLANE][0]
    sheet = tmp_path / "sheet.png"
    assert main(["data", "info", str(model), "--sheet", str(sheet)]) == 1
    text = capsys.readouterr().out
    assert "renders.h5: no such file (showroom prepare shapenet makes it)" in text
    assert f"cannot be opened {model / 'renders.h5'}: no such file" in text
    assert not sheet.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}/gone"], "gone: no such file or folder"),
        (["{}"], "not recognised (notes.txt); looked for: "),
        (["{}/CUB_200_2011", "--split", "val"], "split 'val' is unknown, expected one of train, test"),
        (["synthetic:x"], "synthetic:x"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    if "CUB" in arguments[0]:
        write_cub(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    assert main(["data", "info", *(argument.format(tmp_path) for argument in arguments)]) == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("showroom data: ")
    assert message in errors[0]


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["data", "info", "x", "--frames", "0"])
    assert "0, expected at least 1" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["data"])
