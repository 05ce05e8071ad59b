"""ScanNet v2 in both official forms: exact values, splits, and what is said of broken scenes."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from layout_scannet import (
    COLOR,
    DEPTH,
    LOST,
    T_ALIGNED_WORLD,
    scannet_poses,
    write_scannet_exported,
    write_scannet_sens,
    write_scannet_splits,
)
from textured_room import ROOM, box_poses, check_view

from showroom_ros.datasets.catalog import dataset_named
from showroom_ros.datasets.open import open_sequence
from showroom_ros.datasets.scannet import ScanNet
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.scene.view import Sequence

DATASET = dataset_named("scannet")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("scannet")
    return {"sens": write_scannet_sens(root), "exported": write_scannet_exported(root, "scene0000_01")}


@pytest.fixture
def scene(scenes: dict[str, Path], tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    source = scenes[request.param]
    return Path(shutil.copytree(source, tmp_path / source.name))


@pytest.mark.parametrize("form", ["sens", "exported"])
def test_frames_have_their_values(scenes: dict[str, Path], form: str) -> None:
    sequence = open_sequence(scenes[form])
    assert isinstance(sequence, ScanNet)
    assert isinstance(sequence, Sequence)
    assert sequence.name == scenes[form].name
    assert (sequence.numbers, sequence.skipped) == ([0, 1, 3], {"no pose": 1, "no depth": 0})
    for index, number in enumerate(sequence.numbers):
        frame = sequence.frame(index)
        assert frame.color_camera.width == COLOR.width
        np.testing.assert_allclose(frame.color_camera.matrix, COLOR.matrix, atol=1e-4)
        np.testing.assert_allclose(frame.depth_camera.matrix, DEPTH.matrix, atol=1e-4)
        assert np.isnan(frame.depth[:3, :5]).all()
        assert frame.depth[60, 80] == np.float32(np.rint(frame.depth[60, 80] * 1000) / 1000)
        np.testing.assert_allclose(frame.T_world_camera, scannet_poses(4)[number], atol=1e-6)
    check_view(sequence[2], T_room_world=T_ALIGNED_WORLD, tol_m=0.02)
    assert sequence[0].depth.shape == (COLOR.height, COLOR.width)


def test_both_forms_are_the_same_recording(scenes: dict[str, Path]) -> None:
    sens, exported = ScanNet(scenes["sens"]), ScanNet(scenes["exported"])
    for index in range(3):
        assert (sens.frame(index).image == exported.frame(index).image).all()
        np.testing.assert_array_equal(sens.frame(index).depth, exported.frame(index).depth)


def test_stamps(scenes: dict[str, Path], tmp_path: Path) -> None:
    assert [ScanNet(scenes["sens"]).frame(i).stamp_ns for i in (0, 2)] == [5_000_000_000, 5_099_999_000]
    numbered = ScanNet(write_scannet_sens(tmp_path, count=2, with_stamps=False))
    assert [numbered.frame(i).stamp_ns for i in (0, 1)] == [1_000_000_000, 1_033_333_333]
    assert ScanNet(scenes["exported"]).frame(2).stamp_ns == 1_100_000_000


@pytest.mark.parametrize("form", ["sens", "exported"])
def test_axes_are_aligned_on_demand(scenes: dict[str, Path], form: str) -> None:
    sequence = ScanNet(scenes[form], align_axes=True)
    np.testing.assert_allclose(sequence.frame(0).T_world_camera, box_poses(1)[0], atol=1e-6)
    check_view(sequence[0], tol_m=0.02)
    mesh = sequence.ground_truth_mesh()
    np.testing.assert_allclose([mesh.vertices.min(0), mesh.vertices.max(0)], [(0, 0, 0), ROOM], atol=1e-5)
    unaligned = ScanNet(scenes[form]).ground_truth_mesh()
    assert np.abs(unaligned.vertices - mesh.vertices).max() > 1


def test_depth_may_be_given_its_place(scenes: dict[str, Path]) -> None:
    pose = np.eye(4)
    pose[0, 3] = 0.01
    assert ScanNet(scenes["sens"], T_color_depth=pose).frame(0).T_color_depth[0, 3] == 0.01


def test_images_made_smaller_have_their_intrinsics_scaled(scene_factory: Path) -> None:
    info = (scene_factory / "scene0000_01.txt").read_text()
    doubled = info.replace(f"colorWidth = {COLOR.width}", f"colorWidth = {2 * COLOR.width}")
    doubled = doubled.replace(f"colorHeight = {COLOR.height}", f"colorHeight = {2 * COLOR.height}")
    (scene_factory / "scene0000_01.txt").write_text(doubled)
    camera = ScanNet(scene_factory).frame(0).color_camera
    assert (camera.width, camera.fx) == (COLOR.width, COLOR.fx / 2)


@pytest.fixture
def scene_factory(scenes: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(scenes["exported"], tmp_path / "scene0000_01"))


def test_splits_and_missing(tmp_path: Path) -> None:
    write_scannet_sens(tmp_path, "scene0707_00", count=1)
    write_scannet_exported(tmp_path, "scene0011_00", count=1)
    write_scannet_exported(tmp_path, "scene0800_00", count=1, parent="scans_test")
    write_scannet_splits(tmp_path, train=["scene0707_00", "scene0011_00", "scene9999_00"], test=["scene0800_00"])
    names = lambda split: [path.name for path in DATASET.scenes(tmp_path, split)]  # noqa: E731
    assert names(None) == ["scene0011_00", "scene0707_00", "scene0800_00"]
    assert names("train") == ["scene0707_00", "scene0011_00"]
    assert DATASET.scenes(tmp_path, "test") == [tmp_path / "scans_test/scene0800_00"]
    with pytest.raises(DatasetError, match="split 'trian' is unknown, expected one of train, val, test"):
        names("trian")
    with pytest.raises(DatasetError, match=r"scannetv2_val.txt: no such file, expected the list"):
        names("val")
    with pytest.raises(DatasetError, match=r"no recording found, looked for scans/sceneXXXX_YY/"):
        DATASET.scenes(tmp_path / "scans_test/scene0800_00/color", None)
    folder = tmp_path / "scans/scene0011_00"
    assert DATASET.scenes(folder, None) == [folder]
    assert DATASET.missing(folder) == []
    (folder / "scene0011_00_vh_clean_2.ply").unlink()
    (folder / "depth/0.png").unlink()
    assert DATASET.missing(folder) == [
        "scene0011_00_vh_clean_2.ply: no such file, the true mesh",
        "depth/: 1 of 1 frames have none",
    ]
    assert ScanNet(tmp_path / "scans/scene0707_00").ground_truth_mesh() is not None


def test_frames_without_depth_are_left_out(scene_factory: Path) -> None:
    (scene_factory / "depth/0.png").unlink()
    (scene_factory / "pose/1.txt").unlink()
    sequence = ScanNet(scene_factory)
    assert (sequence.numbers, sequence.skipped) == ([3], {"no pose": 2, "no depth": 1})
    assert sequence.ground_truth_mesh() is not None
    (scene_factory / "scene0000_01_vh_clean_2.ply").unlink()
    assert sequence.ground_truth_mesh() is None


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def poke(path: Path, offset: int, content: bytes) -> None:
    whole = bytearray(path.read_bytes())
    whole[offset : offset + len(content)] = content
    path.write_bytes(bytes(whole))


HEADER = 4 + 8 + len("StructureSensor")
SENS = "scene0000_00.sens"


@pytest.mark.parametrize("scene", ["sens"], indirect=True)
@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda p: cut(p, 0.6), r"scene0000_00.sens: cut short in frame 2 of 4"),
        (lambda p: cut(p, 0.0005), r"scene0000_00.sens: cut short in header"),
        (lambda p: p.write_bytes(b""), r"scene0000_00.sens: cut short in header: 0 bytes"),
        (lambda p: poke(p, 0, struct.pack("<I", 3)), "is version 3 of the .sens format, expected 4"),
        (lambda p: poke(p, 4, struct.pack("<Q", 2**40)), "no .sens file"),
        (lambda p: poke(p, HEADER + 256 + 4, struct.pack("<i", 2)), "depth compression 2 is not supported"),
        (lambda p: poke(p, HEADER, struct.pack("<f", -1)), "colour camera fx is -1"),
    ],
)
def test_broken_sens_files(scene: Path, break_it, message: str) -> None:
    break_it(scene / SENS)
    with pytest.raises(DatasetError, match=message) as error:
        ScanNet(scene).frame(0)
    assert SENS in str(error.value)


@pytest.mark.parametrize("scene", ["sens"], indirect=True)
def test_a_blob_of_sens_that_cannot_be_decompressed(scene: Path) -> None:
    frame = ScanNet(scene)._source.frames[0]
    poke(scene / SENS, frame.offset + frame.color_bytes, b"\0" * 20)
    with pytest.raises(DatasetError, match=r"scene0000_00.sens, frame 0, depth: cannot be decompressed"):
        ScanNet(scene).frame(0)
    poke(scene / SENS, frame.offset, b"\0" * 20)
    with pytest.raises(DatasetError, match=r"scene0000_00.sens, frame 0, colour: cannot be decoded"):
        ScanNet(scene).frame(0)


@pytest.mark.parametrize("scene", ["exported"], indirect=True)
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("color/0.jpg", None, None),
        ("color/1.jpg", b"\xff\xd8\xff", r"color/1.jpg: cannot be decoded"),
        ("depth/1.png", b"\x89PNG", r"depth/1.png: cannot be decoded as an image \(4 bytes\)"),
        ("pose/1.txt", b"1 0 0 0\n0 1 0 0\n0 0 1 0\n", r"pose/1.txt: has 3 rows, expected 4"),
        ("pose/1.txt", b"1 0 0 0\n0 1 0\n0 0 1 0\n0 0 0 1\n", r"pose/1.txt, line 2: 3 numbers, expected 4"),
        ("pose/1.txt", b"2 0 0 0\n0 2 0 0\n0 0 2 0\n0 0 0 1\n", r"frame 1: pose is no rigid transform"),
        ("intrinsic/intrinsic_color.txt", None, r"intrinsic_color.txt: cannot be read"),
        ("intrinsic/intrinsic_depth.txt", b"0 0 0 0\n0 0 0 0\n0 0 1 0\n0 0 0 1\n", r"intrinsic_depth.txt: camera fx"),
    ],
)
def test_broken_exports(scene: Path, name: str, content: bytes | None, message: str | None) -> None:
    if content is None:
        (scene / name).unlink()
    else:
        (scene / name).write_bytes(content)
    if message is None:  # a frame that was not exported is none
        assert ScanNet(scene).numbers == [1, 3]
        return
    with pytest.raises(DatasetError, match=message):
        ScanNet(scene).frame(1)


def test_impossible_scenes(scene_factory: Path, tmp_path: Path) -> None:
    for pose in (scene_factory / "pose").iterdir():
        np.savetxt(pose, np.full((4, 4), -np.inf))
    with pytest.raises(DatasetError, match="none of 4 frames can be used: no pose 4"):
        ScanNet(scene_factory)
    (scene_factory / "scene0000_01.txt").write_text("sceneType = Bedroom\n")
    with pytest.raises(DatasetError, match=r"scene0000_01.txt: has no axisAlignment"):
        ScanNet(scene_factory, align_axes=True)
    (scene_factory / "scene0000_01.txt").write_text("axisAlignment = 1 2 3\n")
    with pytest.raises(DatasetError, match=r"scene0000_01.txt: axisAlignment: .* expected 16 numbers"):
        ScanNet(scene_factory, align_axes=True)
    with pytest.raises(DatasetError, match=r"has neither a .sens file nor color/N.jpg"):
        ScanNet(tmp_path)
    with pytest.raises(DatasetError, match="not recognised"):
        open_sequence(tmp_path)


def test_a_broken_mesh_is_named(scene_factory: Path) -> None:
    (scene_factory / "scene0000_01_vh_clean_2.ply").write_bytes(b"ply\nformat binary_little_endian 1.0\n")
    with pytest.raises(InputError, match=r"scene0000_01_vh_clean_2.ply: not a PLY file"):
        ScanNet(scene_factory).ground_truth_mesh()


def test_lost_frames_are_really_lost(scenes: dict[str, Path]) -> None:
    for path in scenes.values():
        assert LOST not in ScanNet(path).numbers
