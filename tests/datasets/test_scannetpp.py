"""ScanNet++: fisheye photos of the DSLR and the iPhone's RGB-D, their conventions for poses, and broken scenes."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from layout_scannetpp import (
    DEPTH_HEIGHT,
    DEPTH_WIDTH,
    FISHEYE,
    LOST,
    PHONE,
    PHONE_COLMAP,
    UNDISTORTED,
    write_scannetpp,
    write_scannetpp_iphone,
    write_scannetpp_splits,
)
from textured_room import ROOM, box_depth, box_poses, check_view

from showroom_ros.datasets.catalog import dataset_named
from showroom_ros.datasets.depth_bin import DepthBin
from showroom_ros.datasets.open import open_sequence
from showroom_ros.datasets.scannetpp import ScanNetPP
from showroom_ros.datasets.scannetpp_iphone import ScanNetPPiPhone
from showroom_ros.datasets.video import VideoFrames
from showroom_ros.errors import DatasetError
from showroom_ros.scene.view import Sequence

DSLR, PHONES = dataset_named("scannetpp"), dataset_named("scannetpp_iphone")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scannetpp")
    write_scannetpp(root)
    return write_scannetpp_iphone(root)


@pytest.fixture
def scene(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "data" / recorded.name))


def same_camera(found, expected) -> bool:  # type: ignore[no-untyped-def]
    assert (found.width, found.height, found.distortion_model) == (
        expected.width,
        expected.height,
        expected.distortion_model,
    )
    np.testing.assert_allclose(found.matrix, expected.matrix, atol=1e-9)
    np.testing.assert_allclose(found.distortion, expected.distortion, atol=1e-12)
    return True


def test_dslr_frames(recorded: Path) -> None:
    sequence = open_sequence(recorded)
    assert isinstance(sequence, ScanNetPP)
    assert isinstance(sequence, Sequence)
    assert (sequence.name, len(sequence), sequence.skipped) == ("00dd871005", 3, {"no image": 0})
    assert [sequence.image_name(i) for i in range(3)] == ["DSC01752.JPG", "DSC01753.JPG", "DSC01754.JPG"]
    for index, pose in enumerate(box_poses(3)):
        frame = sequence.frame(index)
        assert same_camera(frame.color_camera, FISHEYE)
        np.testing.assert_allclose(frame.T_world_camera, pose, atol=1e-9)
        view = sequence[index]
        assert view.depth is None
        check_view(view, box_depth(view.camera, pose), color=4)
    assert sequence.frame(2).stamp_ns == sequence.frame(-1).stamp_ns == 3_000_000_000
    np.testing.assert_allclose(sequence.ground_truth_mesh().vertices.max(0), ROOM, atol=1e-6)


def test_nerfstudio_and_colmap_agree(scene: Path) -> None:
    from_colmap = ScanNetPP(scene / "dslr")
    frames = [from_colmap.frame(i) for i in range(3)]
    shutil.rmtree(scene / "dslr" / "colmap")
    from_nerfstudio = ScanNetPP(scene)
    for index, frame in enumerate(frames):
        other = from_nerfstudio.frame(index)
        assert (other.image == frame.image).all()
        assert same_camera(other.color_camera, frame.color_camera)
        np.testing.assert_allclose(other.T_world_camera, frame.T_world_camera, atol=1e-9)


def test_undistorted_images(scene: Path) -> None:
    sequence = ScanNetPP(scene, undistorted=True)
    assert same_camera(sequence.frame(0).color_camera, UNDISTORTED)
    view = sequence[1]
    check_view(view, box_depth(view.camera, box_poses(2)[1]), color=4)
    shutil.rmtree(scene / "dslr" / "resized_images")
    assert ScanNetPP(scene).frame(0).color_camera.distortion_model == "none"


def test_parts_of_novel_view_synthesis(scene: Path) -> None:
    assert [len(ScanNetPP(scene, part=part)) for part in ("train", "test")] == [2, 1]
    with pytest.raises(DatasetError, match=r"train_test_lists.json: split 'val' is unknown, expected one of train"):
        ScanNetPP(scene, part="val")
    (scene / "dslr/resized_images/DSC01753.JPG").unlink()
    assert ScanNetPP(scene).skipped == {"no image": 1}


@pytest.mark.parametrize("form", ["png", "zlib", "lz4", "stream"])
def test_iphone_frames(tmp_path: Path, form: str) -> None:
    sequence = open_sequence(write_scannetpp_iphone(tmp_path, depth=form) / "iphone")
    assert isinstance(sequence, ScanNetPPiPhone)
    assert isinstance(sequence, Sequence)
    assert sequence.name == "00dd871005_iphone"
    assert (sequence.numbers, sequence.skipped) == ([0, 1, 2, 4], {"no image": 0, "no depth": 0, "no pose": 1})
    poses = box_poses(5)
    for index in (3, 0, 1):  # back and on again
        frame = sequence.frame(index)
        assert frame.depth.shape == (DEPTH_HEIGHT, DEPTH_WIDTH)
        assert np.isnan(frame.depth[:2, :9]).all()
        expected = box_depth(PHONE.scaled(DEPTH_WIDTH, DEPTH_HEIGHT), poses[sequence.numbers[index]])
        assert np.abs(frame.depth - expected)[2:].max() < 0.00051
        assert same_camera(frame.color_camera, PHONE)
        assert same_camera(frame.depth_camera, PHONE.scaled(DEPTH_WIDTH, DEPTH_HEIGHT))
        np.testing.assert_allclose(frame.T_world_camera, poses[sequence.numbers[index]], atol=1e-9)
    assert sequence.frame(3).stamp_ns == 1_000_000_000 + round(4e9 / 60)
    check_view(sequence[1], tol_m=0.02)


def test_iphone_video(tmp_path: Path, recorded: Path) -> None:
    video = ScanNetPPiPhone(write_scannetpp_iphone(tmp_path, color="rgb.mp4"))
    images = ScanNetPPiPhone(recorded)
    for index in (2, 0, 3, 3):
        difference = np.abs(video.frame(index).image.astype(int) - images.frame(index).image)
        other = np.abs(video.frame(index).image.astype(int) - images.frame((index + 1) % 4).image)
        assert difference.mean() < 3 < other.mean()
    frames = video._images
    assert isinstance(frames, VideoFrames)
    assert frames.count == 5
    assert (pickle.loads(pickle.dumps(frames))[2] == frames[2]).all()


def test_iphone_frames_of_colmap(tmp_path: Path) -> None:
    scene = write_scannetpp_iphone(tmp_path, count=3, model=True)
    sequence = ScanNetPPiPhone(scene)
    assert (sequence.numbers, sequence.skipped["no pose"]) == ([0, 2], 1)
    assert same_camera(sequence.frame(1).color_camera, PHONE_COLMAP)
    np.testing.assert_allclose(sequence.frame(1).T_world_camera, box_poses(3)[2], atol=1e-9)
    check_view(sequence[1], tol_m=0.02)  # the depth has the lens of the image
    assert ScanNetPPiPhone(scene, use_colmap=False).numbers == [0, 1, 2]


def test_depth_bin_is_read_by_workers(tmp_path: Path) -> None:
    depths = DepthBin(write_scannetpp_iphone(tmp_path, depth="stream") / "iphone/depth.bin")
    third = depths[2]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(depths))[2], third)
    np.testing.assert_array_equal(depths[2], third)


def test_splits_and_missing(tmp_path: Path, recorded: Path) -> None:
    shutil.copytree(recorded, tmp_path / "data" / "b")
    shutil.copytree(recorded / "dslr", tmp_path / "data" / "a" / "dslr")
    write_scannetpp_splits(tmp_path, train=["b", "a"], val=["c"])
    assert DSLR.scenes(tmp_path, None) == [tmp_path / "data/a/dslr", tmp_path / "data/b/dslr"]
    assert DSLR.scenes(tmp_path, "train") == [tmp_path / "data/b/dslr", tmp_path / "data/a/dslr"]
    assert PHONES.scenes(tmp_path, "train") == [tmp_path / "data/b/iphone"]
    with pytest.raises(DatasetError, match="no recording found, looked for data/<id>/dslr/"):
        DSLR.scenes(tmp_path, "val")
    with pytest.raises(DatasetError, match=r"nvs_sem_test.txt: no such file, expected the list .*nvs_test.txt"):
        DSLR.scenes(tmp_path, "test")
    with pytest.raises(DatasetError, match="split 'training' is unknown"):
        PHONES.scenes(tmp_path, "training")
    assert DSLR.missing(tmp_path / "data/b") == []
    assert [line.split(":")[0] for line in DSLR.missing(tmp_path / "data/a/dslr")] == ["mesh_aligned_0.05.ply"]
    assert [line.split(":")[0] for line in PHONES.missing(tmp_path / "data/b")] == ["colmap"]


def test_iphone_frames_that_lack_something(scene: Path) -> None:
    (scene / "iphone/rgb/frame_000001.jpg").unlink()
    (scene / "iphone/depth/frame_000002.png").unlink()
    sequence = ScanNetPPiPhone(scene)
    assert sequence.numbers == [0, 4]
    assert sequence.skipped == {"no image": 1, "no depth": 1, "no pose": 1}
    shutil.rmtree(scene / "iphone/depth")
    assert ScanNetPPiPhone(scene)[1].depth is None
    assert LOST not in ScanNetPPiPhone(scene).numbers


IMAGES, CAMERAS = "dslr/colmap/images.txt", "dslr/colmap/cameras.txt"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (CAMERAS, None, r"cameras.txt: cannot be read"),
        (CAMERAS, b"# nothing\n", r"cameras.txt: has no cameras"),
        (
            CAMERAS,
            b"1 THIN_PRISM_FISHEYE 4 4 1 2\n",
            r"cameras.txt, line 1: camera model 'THIN_PRISM_FISHEYE' is",
        ),
        (CAMERAS, b"1 PINHOLE 4 4 1 2 3\n", r"cameras.txt, line 1: 3 parameters, camera model PINHOLE has 4"),
        (CAMERAS, b"one PINHOLE\n", r"cameras.txt, line 1: 'one PINHOLE', expected id, model"),
        (CAMERAS, b"2 PINHOLE 292 196 100 100 146 98\n", r"DSC01752.JPG has camera 1, cameras.txt has none"),
        (IMAGES, b"1 1 0 0 0 0 0 0 1\n\n", r"images.txt, line 1: .* expected id, qw"),
        (IMAGES, b"1 0 0 0 0 0 0 0 1 a.jpg\n\n", r"images.txt, line 1: quaternion .* norm 0"),
        (IMAGES, b"1 nan 0 0 0 0 0 0 1 a.jpg\n\n", r"images.txt, line 1: quaternion"),
        (IMAGES, b"1 1 0 0 0 0 0 0 1 gone.jpg\n\n", r"none of 1 frames can be used: no image 1"),
        (IMAGES, b"\n", r"images.txt: has no images"),
        ("dslr/resized_images/DSC01752.JPG", b"\xff\xd8", r"DSC01752.JPG: cannot be decoded"),
    ],
)
def test_broken_dslr(scene: Path, name: str, content: bytes | None, message: str) -> None:
    if content is None:
        (scene / name).unlink()
    else:
        (scene / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        ScanNetPP(scene).frame(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camera_model": "ORTHO"}, "camera model 'ORTHO' is unknown"),
        ({"fl_x": None}, "expected the transforms of nerfstudio"),
        ({"frames": [{"file_path": "a.jpg"}]}, "has no field 'transform_matrix'"),
        ({"frames": [{"file_path": "a.jpg", "transform_matrix": [[1, 2], [3]]}]}, "expected the transforms"),
        ({"frames": [{"file_path": "a.jpg", "transform_matrix": np.zeros((4, 4)).tolist()}]}, "last row"),
        ({"frames": [], "test_frames": []}, "none of 0 frames can be used"),
    ],
)
def test_broken_transforms(scene: Path, change: dict, message: str) -> None:
    shutil.rmtree(scene / "dslr/colmap")
    path = scene / "dslr/nerfstudio/transforms.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DatasetError, match=message):
        ScanNetPP(scene)
    path.write_text('{"frames": [')
    with pytest.raises(DatasetError, match=r"transforms.json, line 1: no valid JSON"):
        ScanNetPP(scene)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pose_intrinsic_imu.json", b"[]", r"pose_intrinsic_imu.json: expected an object"),
        ("pose_intrinsic_imu.json", b'{"image_7": {}}', r"pose_intrinsic_imu.json: 'image_7', expected frame_NNNNNN"),
        ("pose_intrinsic_imu.json", b'{"frame_000000": {"aligned_pose": [1]}}', r"frame 0: 'intrinsic'"),
        ("rgb/frame_000000.jpg", b"\xff\xd8", r"frame_000000.jpg: cannot be decoded"),
        ("depth/frame_000000.png", b"\x89PNG", r"frame_000000.png: cannot be decoded"),
        ("rgb/frame_zero.jpg", b"", r"frame_zero.jpg: 'frame_zero', expected frame_NNNNNN"),
    ],
)
def test_broken_iphone(scene: Path, name: str, content: bytes, message: str) -> None:
    (scene / "iphone" / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        ScanNetPPiPhone(scene).frame(0)


@pytest.mark.parametrize("form", ["zlib", "lz4", "stream"])
def test_depth_bin_cut_short(tmp_path: Path, form: str) -> None:
    scene = write_scannetpp_iphone(tmp_path, depth=form)
    path = scene / "iphone/depth.bin"
    path.write_bytes(path.read_bytes()[: int(0.9 * path.stat().st_size)])
    with pytest.raises(DatasetError, match=r"depth.bin"):
        ScanNetPPiPhone(scene).frame(3)
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(DatasetError, match=r"depth.bin: neither sizes and blobs nor one deflate stream \(100 bytes\)"):
        ScanNetPPiPhone(scene)


def test_video_cut_short(tmp_path: Path) -> None:
    scene = write_scannetpp_iphone(tmp_path, color="rgb.mp4")
    frames = VideoFrames(scene / "iphone/rgb.mp4")
    with pytest.raises(DatasetError, match=r"rgb.mp4: ends after 5 frames, expected frame 5"):
        frames[5]
    (scene / "iphone/rgb.mp4").write_bytes(b"no video")
    with pytest.raises(DatasetError, match=r"rgb.mp4: cannot be decoded as a video \(8 bytes\)"):
        ScanNetPPiPhone(scene)
    (scene / "iphone/rgb.mp4").unlink()
    with pytest.raises(DatasetError, match=r"has neither rgb/frame_NNNNNN.jpg nor rgb.mp4 nor rgb.mkv"):
        ScanNetPPiPhone(scene)
