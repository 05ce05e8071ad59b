"""``describe``: what a path is and holds, over the tiny data sets and the recordings at hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from layout_arkitscenes import write_arkitscenes
from layout_box_room import write_box_room
from layout_cub import write_cub
from layout_hypersim import write_hypersim
from layout_icl_nuim import write_icl_nuim
from layout_invsfm import write_invsfm
from layout_megadepth import write_megadepth
from layout_nyu import write_nyu
from layout_places import write_places
from layout_scannet import write_scannet_exported, write_scannet_sens
from layout_shapenet import AIRPLANE, MODELS, write_renders, write_shapenet

from showroom_ros.datasets.info import RootInfo, describe, find_recordings
from showroom_ros.datasets.pose_convention import AS_GIVEN
from showroom_ros.datasets.recording_info import RecordingInfo
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.se3 import inverse, pose_from, quat_from_rotation, quat_wxyz_from_xyzw, quat_xyzw_from_wxyz


def shapenet(root: Path) -> Path:
    write_shapenet(root)
    return write_renders(root / AIRPLANE / MODELS[AIRPLANE][0] / "renders.h5").parent


WRITERS: dict[str, tuple[Callable[[Path], object], str, int, bool, bool]] = {
    # writer, kind, frames of the first recording, depth, poses
    "scannet .sens": (write_scannet_sens, "scannet", 3, True, True),
    "scannet exported": (write_scannet_exported, "scannet", 3, True, True),
    "icl": (write_icl_nuim, "icl", 4, True, True),
    "arkitscenes": (write_arkitscenes, "arkitscenes", 7, True, True),
    "hypersim": (write_hypersim, "hypersim", 3, True, True),
    "tum": (write_box_room, "tum", 6, True, True),
    "nyu": (write_nyu, "nyu", 2, True, False),
    "megadepth": (write_megadepth, "megadepth", 3, True, False),
    "invsfm": (write_invsfm, "invsfm", 2, True, True),
    "shapenet": (shapenet, "shapenet", 5, False, True),
    "cub": (write_cub, "cub", 4, False, False),
    "places": (write_places, "places", 6, False, False),
}


@pytest.mark.parametrize("case", WRITERS)
def test_tiny_data_sets_are_described(tmp_path: Path, case: str) -> None:
    write, kind, frames, has_depth, has_poses = WRITERS[case]
    write(tmp_path / "root")
    found = describe(tmp_path / "root")
    recording = found.first if isinstance(found, RootInfo) else found
    assert (found.dataset, recording.problem, recording.unreadable) == (kind, "", {})
    assert (recording.frames, recording.frames_read) == (frames, frames)
    assert ((recording.depth is not None), (recording.poses is not None)) == (has_depth, has_poses)
    assert recording.pose_check is None or recording.pose_check.verdict in ("plausible", "undecided")
    assert isinstance(describe(recording.source), RecordingInfo)


def test_a_recording_in_numbers(tmp_path: Path) -> None:
    folder = write_box_room(tmp_path)
    info = describe(folder)
    assert isinstance(info, RecordingInfo)
    assert (info.dataset, info.name, info.sizes) == ("tum", folder.name, {"640x480": 6})
    assert info.intrinsics == (535.4, 539.2, 320.1, 247.6)
    assert info.depth.coverage == 1.0
    assert 0.5 < info.depth.nearest < info.depth.median < info.depth.farthest < 2.5
    assert (info.depth.registered, info.depth.sizes, info.depth.frames) == (True, {"640x480": 6}, 6)
    assert info.poses.path_length == pytest.approx(5 * 0.02, abs=1e-6)
    np.testing.assert_allclose(info.poses.extent, (0.1, 0, 0), atol=1e-6)
    assert (info.duration_s, info.rate_hz, info.stamps_known, info.metric) == (5.0, 1.0, True, True)
    assert (info.pose_check.verdict, info.pose_check.best) == ("plausible", AS_GIVEN)
    assert info.pose_check.not_excluded == (f"{AS_GIVEN}, translation in millimetres",)  # 2 cm a frame say little


def test_fewer_frames_may_be_read(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    info = describe(write_box_room(tmp_path), frames=3, progress=lambda now, total: done.append((now, total)))
    assert (info.frames, info.frames_read, done) == (6, 3, [(1, 3), (2, 3), (3, 3)])
    assert info.poses.path_length == pytest.approx(0.1, abs=1e-6)


def test_frames_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    folder = write_box_room(tmp_path)
    broken = sorted((folder / "depth").iterdir())[2]
    broken.write_bytes(broken.read_bytes()[:500])
    info = describe(folder)
    assert (info.frames, info.frames_read) == (6, 5)
    assert list(info.unreadable) == [f"{broken}: cannot be decoded as an image (500 bytes)"]


def test_wrong_poses_are_said_to_be_wrong(tmp_path: Path) -> None:
    folder = write_box_room(tmp_path)
    lines = [line.split() for line in (folder / "groundtruth.txt").read_text().splitlines()]
    inverted = []
    for stamp, *numbers in lines:
        values = np.array(numbers, float)
        pose = inverse(pose_from(values[:3], quat_wxyz_from_xyzw(values[3:])))
        quat = quat_xyzw_from_wxyz(quat_from_rotation(pose[:3, :3]))
        inverted.append(f"{stamp} " + " ".join(str(v) for v in (*pose[:3, 3], *quat)))
    (folder / "groundtruth.txt").write_text("\n".join(inverted))
    check = describe(folder).pose_check
    assert check.verdict == "implausible"
    assert check.best.startswith("world to camera, OpenCV axes")


def test_a_root_and_its_splits(tmp_path: Path) -> None:
    root = describe(write_nyu(tmp_path))
    assert isinstance(root, RootInfo)
    assert root.splits == {"train": 3, "test": 2}
    assert [Path(path).name for path in root.recordings] == [
        "kitchen_0028b",
        "office_0003",
        "bathroom",
        "nyu_depth_v2_labeled.mat",
    ]
    assert set(root.recordings.values()) == {"nyu"}
    test = describe(tmp_path, "test")
    assert (test.split, list(map(Path, test.recordings))) == (
        "test",
        [tmp_path / "official_splits/test/bathroom", tmp_path / "nyu_depth_v2_labeled.mat/test"],
    )
    with pytest.raises(DatasetError, match="split 'val' is unknown, expected one of train, test"):
        describe(tmp_path, "val")


def test_a_split_by_image_is_one_recording(tmp_path: Path) -> None:
    folder = write_cub(tmp_path)
    info = describe(folder, "test")
    assert (info.source, info.frames, info.sizes) == (str(folder / "test"), 2, {"100x80": 2})
    assert (info.intrinsics_known, info.stamps_known) == (False, False)
    with pytest.raises(DatasetError, match="split 'dev' is unknown"):
        describe(folder, "dev")


def test_relative_scale_and_many_worlds_are_said(tmp_path: Path) -> None:
    info = describe(write_invsfm(tmp_path) / "anns/demo_5k/train.txt")
    assert (info.metric, info.pose_check) == (False, None)
    assert (info.poses.frames, info.poses.path_length, info.poses.extent) == (2, None, None)


def test_what_is_missing_is_said_for_each_recording(tmp_path: Path) -> None:
    shapenet(tmp_path / "root")
    root = describe(tmp_path / "root")
    assert root.first.frames == 5
    assert [Path(path).name for path in root.missing] == [MODELS[AIRPLANE][1], "1a0bc9ab92c915"]
    assert root.splits == {"train": 2, "val": root.splits["val"], "test": 1}
    assert "has no models of split 'val', found" in root.splits["val"]
    unrendered = describe(next(iter(root.missing)))
    assert (unrendered.problem.split(": ")[1], unrendered.missing) == (
        "no such file, expected an HDF5 file",
        ("renders.h5: no such file (showroom prepare shapenet makes it)",),
    )


def test_folders_of_many_kinds_of_recordings(tmp_path: Path) -> None:
    write_box_room(tmp_path)
    write_cub(tmp_path / "birds")
    cv2.imwrite(str(tmp_path / "cover.jpg"), np.zeros((4, 4, 3), np.uint8))  # does not make it a folder of photos
    kind, found = find_recordings(tmp_path)
    assert (kind, [path.name for path in found]) == (None, ["birds", "rgbd_dataset_freiburg3_box"])
    assert describe(tmp_path).recordings[str(tmp_path / "birds")] == "cub"
    with pytest.raises(DatasetError, match="holds recordings of several kinds, which have no split 'train'"):
        describe(tmp_path, "train")
    shutil.rmtree(tmp_path / "birds")
    assert find_recordings(tmp_path)[0].name == "tum"


def test_unknown_paths(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DatasetError, match=r"not recognised \(notes.txt\); looked for: bag .*scannet.*nyu.*photos"):
        describe(tmp_path)
    with pytest.raises(DatasetError, match="gone: no such file or folder, expected a recording or synthetic"):
        describe(tmp_path / "gone")
    with pytest.raises(DatasetError, match="a recording that is made has no splits, found split 'train' asked for"):
        describe("synthetic:3", "train")


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("name", "kind", "frames", "verdict"),
    [
        ("redkitchen", "7scenes", 314, "plausible"),
        ("tum_fr2_desk", "tum", 20, None),
        ("slambook_rgbd", "slambook", 5, "plausible"),
        ("nyu_clip", "photos", 8, None),
        ("showroom_photos", "photos", 3, None),
    ],
)
def test_recordings_at_hand(shared_data: Path, name: str, kind: str, frames: int, verdict: str | None) -> None:
    if not (shared_data / name).is_dir():
        pytest.skip(f"no {shared_data / name}")
    info = describe(shared_data / name, frames=5)
    assert (info.dataset, info.frames, info.problem) == (kind, frames, "")
    assert (info.pose_check and info.pose_check.verdict) == verdict
    assert info.pose_check is None or info.pose_check.not_excluded == ()


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("name", "topic"),
    [("ROS_example.bag", None), ("tf_example", "/tf"), ("tf_example.bag", "/tf"), ("nav2_turtlebot.mcap", "/odom")],
)
def test_bags_at_hand(shared_data: Path, name: str, topic: str | None) -> None:
    """Bags without images cannot be opened as sequences; their topics are named all the same."""
    if not (shared_data / "bags" / name).exists():
        pytest.skip(f"no {shared_data / 'bags' / name}")
    info = describe(shared_data / "bags" / name)
    assert info.dataset == "bag"
    assert info.topics or info.frames
    if topic is not None:
        assert "messages" in info.topics[topic]
        assert "has no colour images" in info.problem
