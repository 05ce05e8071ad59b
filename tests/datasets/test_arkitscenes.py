"""ARKitScenes: poses between those of 10 Hz, confidence, both releases, and what is said of broken videos."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from layout_arkitscenes import CAMERA, write_arkitscenes
from textured_room import ROOM, box_poses, check_view

from showroom_ros.datasets.arkitscenes import ArkitScenes
from showroom_ros.datasets.catalog import dataset_named
from showroom_ros.datasets.open import open_sequence
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.se3 import interpolate
from showroom_ros.scene.view import Sequence

DATASET = dataset_named("arkitscenes")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arkitscenes(tmp_path_factory.mktemp("arkit"))


@pytest.fixture
def video(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / recorded.name))


def test_frames(recorded: Path) -> None:
    sequence = open_sequence(recorded)
    assert isinstance(sequence, ArkitScenes)
    assert isinstance(sequence, Sequence)
    assert sequence.name == "41254425"
    assert sequence.skipped == {"no depth": 0, "no intrinsics": 0, "no pose": 1}  # the first, before the trajectory
    assert sequence.stamps_ns == [3_219_400_000_000 + 50_000_000 * i for i in range(7)]
    poses = box_poses(4)
    np.testing.assert_allclose(sequence.frame(2).T_world_camera, poses[1], atol=1e-9)
    # the trajectory is 0.3 ms late: the pose between two lies a little before their middle
    np.testing.assert_allclose(sequence.frame(3).T_world_camera, interpolate(poses[1], poses[2], 0.497), atol=1e-8)
    for index in range(7):
        view = sequence[index]
        assert view.camera == CAMERA
        assert np.isnan(view.depth[:2, :7]).all()
        check_view(view, color=2, tol_m=0.003)


def test_confidence(recorded: Path) -> None:
    sequence = ArkitScenes(recorded, min_confidence=1)
    assert np.unique(sequence.confidence(0)).tolist() == [0, 1, 2]
    depth = sequence.frame(0).depth
    assert np.isnan(depth[:, :64]).all()
    assert np.isfinite(depth[2:, 64:]).all()
    assert np.isnan(ArkitScenes(recorded, min_confidence=2).frame(0).depth[:, :128]).all()


def test_the_3dod_release(tmp_path: Path, recorded: Path) -> None:
    sequence = open_sequence(write_arkitscenes(tmp_path, release="3dod"))
    assert (sequence.name, len(sequence)) == ("41254425", 7)
    assert (sequence.frame(3).image == ArkitScenes(recorded).frame(3).image).all()
    np.testing.assert_allclose(sequence.ground_truth_mesh().vertices.max(0), ROOM, atol=1e-6)
    inner = tmp_path / "Training/41254425/41254425_frames"
    assert ArkitScenes(inner).name == "41254425"
    assert ArkitScenes(inner).ground_truth_mesh() is not None


def test_scenes_and_missing(tmp_path: Path) -> None:
    for release, split, name in (("raw", "Training", "1"), ("raw", "Validation", "3"), ("3dod", "Training", "2")):
        folder = tmp_path / release / split / name
        (folder / "lowres_wide").mkdir(parents=True)
        (folder / "lowres_wide.traj").touch()
    names = lambda split: [path.name for path in DATASET.scenes(tmp_path, split)]  # noqa: E731
    assert names("Training") == ["1", "2"]
    assert names("Validation") == ["3"]
    assert names(None) == ["1", "2", "3"]
    with pytest.raises(DatasetError, match="split 'train' is unknown, expected one of Training, Validation"):
        names("train")
    with pytest.raises(DatasetError, match=r"no recording found, looked for Training/<id>/"):
        DATASET.scenes(tmp_path / "raw" / "Training" / "1" / "lowres_wide", None)
    assert [line.split(":")[0] for line in DATASET.missing(tmp_path / "raw/Training/1")] == [
        "lowres_depth",
        "confidence",
        "lowres_wide_intrinsics",
        "1_3dod_mesh.ply",
    ]


def test_what_frames_lack_is_counted(video: Path) -> None:
    (video / "lowres_depth/41254425_3219.450.png").unlink()
    (video / "lowres_wide_intrinsics/41254425_3219.400.pincam").unlink()
    rows = (video / "lowres_wide.traj").read_text().splitlines()
    rows[3] = " ".join([rows[3].split()[0], *["nan"] * 6])
    (video / "lowres_wide.traj").write_text("\n".join(rows))
    sequence = ArkitScenes(video)
    assert sequence.skipped == {"no depth": 1, "no intrinsics": 1, "no pose": 3}
    assert len(sequence) == 3


def test_gaps_are_not_bridged(video: Path) -> None:
    rows = (video / "lowres_wide.traj").read_text().splitlines()
    (video / "lowres_wide.traj").write_text("\n".join([rows[0], rows[3]]))
    assert len(ArkitScenes(video, max_gap_s=0.2)) == 2
    assert len(ArkitScenes(video, max_gap_s=0.31)) == 7


def test_without_depth_views_have_none(video: Path) -> None:
    shutil.rmtree(video / "lowres_depth")
    assert ArkitScenes(video)[0].depth is None


NAME = "41254425_3219.400"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("lowres_wide.traj", None, r"lowres_wide.traj: cannot be read"),
        ("lowres_wide.traj", b"3219.4 0 0 0 1 2 3\n3219.5 0 0 0\n", r"lowres_wide.traj, line 2: 4 numbers, expected 7"),
        ("lowres_wide.traj", b"1.5 0 0 0 1 2 3\n", r"none of 8 frames can be used: no pose 8"),
        ("lowres_wide.traj", b"then 0 0 0 1 2 3\n", r"lowres_wide.traj, line 1: 'then', expected seconds"),
        (f"lowres_wide_intrinsics/{NAME}.pincam", b"256 192 0 0 1 1\n", r"3219.400.pincam: camera fx is 0"),
        (f"lowres_wide_intrinsics/{NAME}.pincam", b"256 192\n", r"3219.400.pincam, line 1: 2 numbers, expected 6"),
        (f"lowres_wide_intrinsics/{NAME}.pincam", b"64 48 50 50 32 24\n", rf"{NAME}.png: colour image is 256x192"),
        (f"lowres_wide/{NAME}.png", b"\x89PNG", r"3219.400.png: cannot be decoded"),
        (f"lowres_depth/{NAME}.png", b"\x89PNG", r"lowres_depth/.*3219.400.png: cannot be decoded"),
        (f"confidence/{NAME}.png", None, r"confidence/.*3219.400.png: no such file"),
        ("lowres_wide/41254425_now.png", b"", r"41254425_now.png: 'now', expected seconds"),
    ],
)
def test_broken_videos(video: Path, name: str, content: bytes | None, message: str) -> None:
    if content is None:
        (video / name).unlink()
    else:
        (video / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        ArkitScenes(video, min_confidence=1).frame(0)


def test_confidence_of_another_size_is_refused(video: Path) -> None:
    cv2.imwrite(str(video / f"confidence/{NAME}.png"), np.zeros((4, 6), np.uint8))
    with pytest.raises(DatasetError, match=r"is \(256, 192\), its confidence is \(6, 4\)"):
        ArkitScenes(video, min_confidence=1).frame(0)


def test_no_video(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no lowres_wide/<id>_<seconds>.png"):
        ArkitScenes(tmp_path)
