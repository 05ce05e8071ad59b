"""Official splits of 7-Scenes and TUM, trajectories, and the frames of slambook."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from textured_room import box_poses, check_view, render_room

from showroom_ros.datasets.catalog import dataset_named
from showroom_ros.datasets.open import open_sequence
from showroom_ros.datasets.slambook import CAMERA, SlambookDesk
from showroom_ros.datasets.trajectory import Trajectory
from showroom_ros.datasets.tum import NOMINAL_CAMERA, ROOM_RECORDINGS, Tum
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.se3 import interpolate, quat_from_rotation, quat_xyzw_from_wxyz, transform_points
from showroom_ros.scene.view import Sequence

SEVEN_SCENES, TUM = dataset_named("7scenes"), dataset_named("tum")


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Names alone: two 7-Scenes scenes."""
    for scene, numbers in (("chess", (1, 2, 3)), ("fire", (1, 2))):
        for number in numbers:
            (tmp_path / scene / f"seq-{number:02d}").mkdir(parents=True)
            (tmp_path / scene / f"seq-{number:02d}" / "frame-000000.color.png").touch()
    (tmp_path / "chess/TrainSplit.txt").write_text("sequence3\nsequence1\n")
    (tmp_path / "chess/TestSplit.txt").write_text("sequence2\n")
    (tmp_path / "fire/TrainSplit.txt").write_text("sequence2\r\n")
    return tmp_path


def names(dataset, root: Path, split: str | None) -> list[str]:  # type: ignore[no-untyped-def]
    return [str(path.relative_to(root)) for path in dataset.scenes(root, split)]


def test_seven_scenes_splits(scenes: Path) -> None:
    assert names(SEVEN_SCENES, scenes, None) == [
        *(f"chess/seq-0{number}" for number in (1, 2, 3)),
        *(f"fire/seq-0{number}" for number in (1, 2)),
    ]
    assert names(SEVEN_SCENES, scenes, "train") == ["chess/seq-03", "chess/seq-01", "fire/seq-02"]
    assert names(SEVEN_SCENES, scenes / "chess", "test") == ["seq-02"]
    assert SEVEN_SCENES.scenes(scenes / "fire/seq-01", None) == [scenes / "fire/seq-01"]
    for path, split, message in (
        (scenes, "val", "split 'val' is unknown, expected one of train, test"),
        (scenes / "fire", "test", r"fire/TestSplit.txt: no such file"),
        (scenes / "gone", None, "gone: no such folder"),
        (scenes / "gone", "train", "gone: no such folder"),
    ):
        with pytest.raises(DatasetError, match=message):
            SEVEN_SCENES.scenes(path, split)
    (scenes / "fire/TrainSplit.txt").write_text("second\n")
    with pytest.raises(DatasetError, match=r"fire/TrainSplit.txt: 'second', expected lines such as sequence1"):
        SEVEN_SCENES.scenes(scenes, "train")
    (scenes / "fire/TrainSplit.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"fire/TrainSplit.txt: names no scene"):
        SEVEN_SCENES.scenes(scenes, "train")


def test_tum_recordings(tmp_path: Path) -> None:
    for name in ("freiburg3_cabinet", "freiburg1_desk", "freiburg1_desk2", "freiburg2_desk"):
        folder = tmp_path / f"rgbd_dataset_{name}"
        folder.mkdir()
        (folder / "rgb.txt").touch()
    assert len(set(ROOM_RECORDINGS)) == 13
    assert names(TUM, tmp_path, "vortx13") == [
        f"rgbd_dataset_{name}" for name in ("freiburg1_desk", "freiburg2_desk", "freiburg3_cabinet")
    ]
    assert len(names(TUM, tmp_path, None)) == 4
    assert len(TUM.missing(folder)) == 2
    with pytest.raises(DatasetError, match="split 'train' is unknown, expected one of vortx13"):
        TUM.scenes(tmp_path, "train")
    with pytest.raises(DatasetError, match="no recording found"):
        TUM.scenes(folder / "rgb", "vortx13") if (folder / "rgb").mkdir() is None else None


def test_trajectory() -> None:
    poses = np.array(box_poses(4))
    trajectory = Trajectory([0, 100, 200, 1000], poses)
    np.testing.assert_allclose(trajectory.at(100, 150), poses[1])
    np.testing.assert_allclose(trajectory.at(150, 150), interpolate(poses[1], poses[2], 0.5))
    assert trajectory.at(-1, 150) is None
    assert trajectory.at(1001, 10_000) is None
    assert trajectory.at(600, 150) is None
    np.testing.assert_allclose(trajectory.at(-3, 150, tolerance_ns=3), poses[0])
    np.testing.assert_allclose(trajectory.at(1002, 150, tolerance_ns=3), poses[3])
    assert trajectory.at(-4, 150, tolerance_ns=3) is None
    assert Trajectory([], poses[:0]).at(5, 150, tolerance_ns=9) is None


def test_tum_rows_that_are_not_finite_are_no_poses(tmp_path: Path) -> None:
    folder = tmp_path / "rgbd_dataset_freiburg3_x"
    (folder / "rgb").mkdir(parents=True)
    for stamp in ("1.0", "2.0"):
        cv2.imwrite(str(folder / f"rgb/{stamp}.png"), np.zeros((480, 640, 3), np.uint8))
    (folder / "groundtruth.txt").write_text("1.0 nan 0 0 0 0 0 1\n2.0 1 0 0 0 0 0 1\n")
    sequence = Tum(folder, NOMINAL_CAMERA)
    assert (sequence.stamps_ns, sequence.skipped) == ([2_000_000_000], {"no depth": 0, "no pose": 1})
    assert sequence[0].camera.fx == 525.0


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    for kind in ("color", "depth"):
        (tmp_path / "desk" / kind).mkdir(parents=True)
    rows = []
    for number, pose in enumerate(box_poses(3), 1):
        image, depth = render_room(CAMERA, pose)
        cv2.imwrite(str(tmp_path / f"desk/color/{number}.png"), image[..., ::-1])
        cv2.imwrite(str(tmp_path / f"desk/depth/{number}.pgm"), np.rint(depth.astype(float) * 1000).astype(np.uint16))
        quat = quat_xyzw_from_wxyz(quat_from_rotation(pose[:3, :3]))
        rows.append(" ".join(f"{value:.9f}" for value in (*pose[:3, 3], *quat)))
    (tmp_path / "desk/pose.txt").write_text("\n".join(rows) + "\n")
    return tmp_path / "desk"


def test_slambook_frames(desk: Path) -> None:
    sequence = open_sequence(desk)
    assert isinstance(sequence, SlambookDesk)
    assert isinstance(sequence, Sequence)
    assert sequence.numbers == [1, 2, 3]
    assert sequence.frame(2).stamp_ns == 4_000_000_000
    for index in range(3):
        check_view(sequence[index], color=2)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pose.txt", b"0 0 0 0 0 0 1\n", r"pose.txt: has 1 poses for 3 frames"),
        ("pose.txt", b"0 0 0 0 0 0 1\n0 0 0 0 0\n", r"pose.txt, line 2: 5 numbers, expected 7"),
        ("pose.txt", b"nan 0 0 0 0 0 1\n" * 3, r"pose.txt, frame 1: translation .* is not finite"),
        ("depth/2.pgm", None, r"depth/2.pgm: no such file"),
        ("depth/1.pgm", b"P5\n640 480\n65535\n", r"depth/1.pgm: cannot be decoded"),
        ("color/1.png", b"\x89PNG", r"color/1.png: cannot be decoded"),
    ],
)
def test_broken_slambook(desk: Path, name: str, content: bytes | None, message: str) -> None:
    if content is None:
        (desk / name).unlink()
    else:
        (desk / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        SlambookDesk(desk).frame(0)
    shutil.rmtree(desk / "color")
    with pytest.raises(DatasetError, match=r"has no color/N.png"):
        SlambookDesk(desk)


@pytest.mark.recorded
def test_recorded_desk(shared_data: Path) -> None:
    path = shared_data / "slambook_rgbd"
    if not path.is_dir():
        pytest.skip(f"no recording at {path}")
    sequence = open_sequence(path)
    assert isinstance(sequence, SlambookDesk)
    assert len(sequence) == 5
    # two frames show the same surface where both see it: poses are camera-to-world, depth is in millimetres
    first, second = sequence[3], sequence[4]
    known = np.isfinite(first.depth)
    points = transform_points(first.T_world_camera, first.camera.back_project(first.depth)[known])
    seen = transform_points(np.linalg.inv(second.T_world_camera), points)
    pixels, depths = second.camera.project(seen)
    inside = ((pixels > 0) & (pixels < (639, 479))).all(-1)
    columns, rows = np.rint(pixels[inside]).astype(int).T
    difference = np.abs(second.depth[rows, columns] - depths[inside])
    assert inside.mean() > 0.5
    assert np.nanmedian(difference) < 0.03


@pytest.mark.recorded
def test_recorded_tum(shared_data: Path) -> None:
    path = shared_data / "tum_fr2_desk"
    if not path.is_dir():
        pytest.skip(f"no recording at {path}")
    sequence = open_sequence(path)
    assert isinstance(sequence, Tum)
    assert (len(sequence), sequence.skipped) == (20, {"no depth": 0, "no pose": 0})
    assert TUM.missing(path) == [
        "rgb.txt: no such file, the list of colour images",
        "depth.txt: no such file, the list of depth images",
    ]
