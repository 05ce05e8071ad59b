"""7-Scenes and TUM folders, made up and real, and what is said of broken ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_recording import TinyRecording

from showroom_ros.bags.convert import convert
from showroom_ros.datasets import open as opening
from showroom_ros.datasets.catalog import DATASETS, dataset_named
from showroom_ros.datasets.files import read_table, stamp_ns_from_text
from showroom_ros.datasets.open import open_sequence
from showroom_ros.datasets.seven_scenes import SevenScenes
from showroom_ros.datasets.tum import CAMERAS, Tum
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.se3 import interpolate, inverse, pose_from, quat_from_rotation, quat_xyzw_from_wxyz
from showroom_ros.scene.view import Sequence

COLOR = np.full((480, 640, 3), (10, 20, 200), np.uint8)  # BGR
POSE = pose_from((1, 2, 3), (0.8, 0.6, 0, 0))
STARTS = (1311868164.363181, 1311868164.399026, 1311868164.430940)


@pytest.fixture
def seven_scenes(tmp_path: Path) -> Path:
    folder = tmp_path / "seq-01"
    folder.mkdir()
    for number in (0, 1, 4):
        cv2.imwrite(str(folder / f"frame-{number:06d}.color.png"), COLOR)
        depth = np.full((480, 640), 1000 + number, np.uint16)
        depth[0, :2] = (0, 65535)
        cv2.imwrite(str(folder / f"frame-{number:06d}.depth.png"), depth)
        np.savetxt(folder / f"frame-{number:06d}.pose.txt", POSE)
    return folder


@pytest.fixture
def tum(tmp_path: Path) -> Path:
    folder = tmp_path / "rgbd_dataset_freiburg1_xyz"
    (folder / "rgb").mkdir(parents=True)
    (folder / "depth").mkdir()
    rgb, depths, poses = ["# color images"], ["# depth maps"], ["# timestamp tx ty tz qx qy qz qw"]
    for i, stamp in enumerate(STARTS):
        cv2.imwrite(str(folder / "rgb" / f"{stamp:.6f}.png"), COLOR)
        rgb.append(f"{stamp:.6f} rgb/{stamp:.6f}.png")
        late = stamp + (0.015 if i < 2 else 0.03)  # the last has no partner within 20 ms
        cv2.imwrite(str(folder / "depth" / f"{late:.6f}.png"), np.full((480, 640), 5000 * (i + 1), np.uint16))
        depths.append(f"{late:.6f} depth/{late:.6f}.png")
    for i in range(-2, 5):
        pose = moved(i * 0.05)
        xyzw = quat_xyzw_from_wxyz(quat_from_rotation(pose[:3, :3]))
        poses.append(f"{STARTS[0] + i * 0.05:.4f} " + " ".join(f"{v:.8f}" for v in (*pose[:3, 3], *xyzw)))
    for name, lines in (("rgb.txt", rgb), ("depth.txt", depths), ("groundtruth.txt", poses)):
        (folder / name).write_text("\n".join(lines))
    return folder


def moved(seconds: float) -> np.ndarray:
    return interpolate(POSE, pose_from((2, 2, 3), (0.6, 0.8, 0, 0)), seconds + 0.2)


def test_seven_scenes_frames(seven_scenes: Path) -> None:
    sequence = SevenScenes(seven_scenes)
    assert isinstance(sequence, Sequence)
    assert (sequence.name, sequence.numbers, len(sequence)) == ("seq-01", [0, 1, 4], 3)
    frame = sequence.frame(2)
    assert frame.stamp_ns - sequence.frame(0).stamp_ns == 133_333_333
    assert sequence.frame(0).stamp_ns > 0
    assert frame.image[5, 5].tolist() == [200, 20, 10]
    assert np.isnan(frame.depth[0, :2]).all()
    assert frame.depth[9, 9] == np.float32(1.004)
    # the pose file is the depth camera's
    np.testing.assert_allclose(frame.T_world_camera @ frame.T_color_depth, POSE, atol=1e-9)
    assert frame.T_color_depth[0, 3] == -0.025
    assert sequence[2].depth.shape == (480, 640)


@pytest.mark.recorded
def test_redkitchen(redkitchen: Path) -> None:
    sequence = open_sequence(redkitchen)
    assert isinstance(sequence, SevenScenes)
    assert (len(sequence), sequence.numbers[119:122], sequence.numbers[-1]) == (314, [119, 120, 123], 699)
    frame = sequence.frame(0)
    known = np.isfinite(frame.depth)
    assert 0.7 < known.mean() < 1.0
    assert 0.4 < np.nanmin(frame.depth) < np.nanmax(frame.depth) < 10
    view = sequence[0]
    # the colour camera sees more (525 to 585 px): registered depth fills that much less of its image
    assert np.isfinite(view.depth).mean() == pytest.approx((525 / 585) ** 2 * known.mean(), rel=0.05)
    assert np.linalg.norm((inverse(frame.T_world_camera) @ sequence.frame(1).T_world_camera)[:3, 3]) < 0.05


@pytest.mark.recorded
def test_calibration_of_redkitchen(redkitchen: Path) -> None:
    from showroom_ros.datasets.calibration import calibrate_depth_to_color

    result = calibrate_depth_to_color(SevenScenes(redkitchen), step=16)
    assert result["offset_x_m"] == pytest.approx(-0.025, abs=0.008)
    assert result["focal_px"] == pytest.approx(525, abs=6)
    assert result["difference_after"] < 0.95 * result["difference_before"]


def test_calibration_needs_views_of_the_same_surface(seven_scenes: Path) -> None:
    from showroom_ros.datasets.calibration import calibrate_depth_to_color

    with pytest.raises(DatasetError, match="0 pairs of frames see the same surface"):
        calibrate_depth_to_color(SevenScenes(seven_scenes), step=1)


def test_tum_frames(tum: Path) -> None:
    sequence = open_sequence(tum)
    assert isinstance(sequence, Tum)
    assert sequence.skipped == {"no depth": 1, "no pose": 0}
    assert sequence.stamps_ns == [1311868164363181000, 1311868164399026000]
    frame = sequence.frame(1)
    assert frame.color_camera == CAMERAS["freiburg1"]
    assert float(frame.depth[3, 3]) == 2.0
    np.testing.assert_allclose(frame.T_world_camera, moved(STARTS[1] - STARTS[0]), atol=2e-3)
    assert not sequence[1].camera.is_distorted


def test_tum_without_depth_or_trajectory(tum: Path) -> None:
    (tum / "depth.txt").unlink()
    shutil.rmtree(tum / "depth")
    sequence = Tum(tum)
    assert (len(sequence), sequence.frame(0).depth) == (3, None)
    (tum / "groundtruth.txt").unlink()
    assert Tum(tum).frame(2).T_world_camera is None


def test_tum_frames_outside_the_trajectory_are_left_out(tum: Path) -> None:
    lines = (tum / "groundtruth.txt").read_text().splitlines()
    (tum / "groundtruth.txt").write_text("\n".join(lines[:4]))  # ends with the first image
    sequence = Tum(tum)
    assert (len(sequence), sequence.skipped) == (1, {"no depth": 1, "no pose": 1})


@pytest.mark.recorded
def test_tum_fr2_desk(shared_data: Path) -> None:
    folder = shared_data / "tum_fr2_desk"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    sequence = open_sequence(folder)
    assert len(sequence) == 20
    frame = sequence.frame(0)
    assert frame.stamp_ns == 1311868169163498000
    assert frame.color_camera == CAMERAS["freiburg2"]
    assert frame.depth is None
    steps = [sequence.frame(i).T_world_camera[:3, 3] for i in range(20)]
    assert 0 < max(np.linalg.norm(np.diff(steps, axis=0), axis=1)) < 0.1


def test_stamps_are_exact() -> None:
    assert stamp_ns_from_text("1311868164.363181", "x") == 1311868164363181000
    assert stamp_ns_from_text("7", "x") == 7_000_000_000
    for text in ("", "-1.0", "1.x", "abc"):
        with pytest.raises(DatasetError, match=r"rgb\.txt, line 3: "):
            stamp_ns_from_text(text, "rgb.txt, line 3")


def break_file(path: Path, content: str | bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("frame-000001.pose.txt", None, "frame-000001.pose.txt: no such file, expected beside frame-000001.color.png"),
        ("frame-000001.depth.png", None, "frame-000001.depth.png: no such file"),
        ("frame-000001.pose.txt", "1 2\n3 4\n", "line 1: 2 numbers, expected 4"),
        ("frame-000001.pose.txt", "a b c d\n", "line 1: 'a b c d', expected 4 numbers"),
        ("frame-000001.pose.txt", "1 0 0 0\n" * 4, "frame-000001.pose.txt: pose has last row"),
        ("frame-000001.pose.txt", "nan 0 0 0\n" * 4, "is not finite"),
        ("frame-000001.pose.txt", "", "has no rows"),
        ("frame-000001.depth.png", b"", "frame-000001.depth.png: cannot be decoded as an image"),
        ("frame-000001.color.png", b"abc", "frame-000001.color.png: cannot be decoded as an image"),
    ],
)
def test_broken_seven_scenes(seven_scenes: Path, name: str, content: str | bytes | None, message: str) -> None:
    break_file(seven_scenes / name, content)
    with pytest.raises(DatasetError, match=message):
        SevenScenes(seven_scenes).frame(1)


def test_depth_must_have_16_bits(seven_scenes: Path) -> None:
    cv2.imwrite(str(seven_scenes / "frame-000001.depth.png"), COLOR)
    with pytest.raises(DatasetError, match=r"is uint8 \(480, 640, 3\), expected a 16-bit image"):
        SevenScenes(seven_scenes).frame(1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rgb.txt", "1.0 a.png extra\n", "rgb.txt, line 1: '1.0 a.png extra', expected a stamp and a file name"),
        ("rgb.txt", "# nothing\n", "rgb.txt: has no rows"),
        ("rgb.txt", "12.5 rgb/gone.png\n", r"none of 1 colour images can be used: .*'no depth': 1"),
        ("groundtruth.txt", "1 2 3\n", "groundtruth.txt, line 1: 3 numbers, expected 8"),
        ("groundtruth.txt", "1311868164.363181 0 0 0 0 0 0 0\n", r"groundtruth.txt: quaternion .* norm 0"),
        ("groundtruth.txt", "1 0 0 0 0 0 0 1\n", r"none of 3 colour images can be used"),
    ],
)
def test_broken_tum(tum: Path, name: str, content: str, message: str) -> None:
    break_file(tum / name, content)
    with pytest.raises(DatasetError, match=message):
        Tum(tum).frame(0)


def test_tum_camera_must_be_known(tum: Path) -> None:
    other = tum.rename(tum.with_name("my_desk"))
    with pytest.raises(DatasetError, match="camera cannot be told from the folder's name"):
        Tum(other)
    assert Tum(other, CAMERAS["freiburg3"]).frame(0).color_camera == CAMERAS["freiburg3"]


def test_open_sequence(seven_scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert(TinyRecording(2), tmp_path / "bag")
    assert open_sequence(tmp_path / "bag").name == "bag"
    assert open_sequence(str(seven_scenes)).name == "seq-01"
    for path, message in (
        (tmp_path / "gone", "gone: no such file or folder"),
        (tmp_path, r"not recognised \(bag, seq-01\); looked for: bag \(metadata.yaml.*7scenes.*tum \(rgb.txt"),
    ):
        with pytest.raises(DatasetError, match=message):
            open_sequence(path)
    monkeypatch.setattr(opening, "SCHEMES", {"made": lambda rest: TinyRecording(int(rest))})
    assert len(open_sequence("made:5")) == 5
    with pytest.raises(DatasetError, match=r"expected a recording or made:\.\.\."):
        open_sequence("unknown:5")


def test_kinds_are_known_by_name() -> None:
    assert [dataset_named(dataset.name) for dataset in DATASETS] == list(DATASETS)
    with pytest.raises(DatasetError, match=r"data set 'kitti' is unknown, expected one of bag, .*7scenes"):
        dataset_named("kitti")


def test_scene_folder_names_its_sequences(seven_scenes: Path) -> None:
    with pytest.raises(DatasetError, match="open one of its sequences: seq-01"):
        SevenScenes(seven_scenes.parent)


def test_unreadable_text(tmp_path: Path) -> None:
    (tmp_path / "table").write_bytes(b"\xff\xfe\x00")
    for name in ("table", "gone"):
        with pytest.raises(DatasetError, match=f"{name}: cannot be read"):
            read_table(tmp_path / name, 3)
