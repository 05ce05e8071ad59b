"""MegaDepth v1 and InvSfM's demo_5k: relative depth, cameras, points, and what is said of broken files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layout_invsfm import (
    FOCAL,
    HEIGHT,
    PLANE_Z,
    WIDTH,
    camera_floats,
    depth_bytes,
    depth_of,
    points_of,
    pose_of,
    write_invsfm,
)
from layout_megadepth import depth_units, write_megadepth

from showroom_ros.datasets import invsfm, megadepth
from showroom_ros.datasets.invsfm import InvSfm
from showroom_ros.datasets.megadepth import MegaDepth
from showroom_ros.datasets.open import open_sequence
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.se3 import inverse, transform_points
from showroom_ros.scene.view import Sequence


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_invsfm(tmp_path / "data")


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    return write_megadepth(tmp_path)


def test_megadepth_frames(dense: Path) -> None:
    sequence = open_sequence(dense)
    assert isinstance(sequence, MegaDepth)
    assert isinstance(sequence, Sequence)
    assert (sequence.name, len(sequence), sequence.metric, sequence.intrinsics_known) == (
        "0000/dense0",
        3,
        False,
        False,
    )
    depth = sequence.frame(0).depth
    assert np.isnan(depth[0]).all()
    np.testing.assert_array_equal(depth[1:], depth_units(0)[1:])
    assert (sequence.frame(1).depth, sequence.frame(2).depth) == (None, None)  # ordinal labels only; no file
    np.testing.assert_allclose(MegaDepth(dense, scale=2.0)[0].depth[1:], 2 * depth_units(0)[1:], rtol=1e-6)
    assert megadepth.DATASET.missing(dense)[1].startswith("depth: 1 of 3 images have none")


def test_megadepth_root(dense: Path, tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "MegaDepth_v1", dense.parent, dense):
        assert megadepth.DATASET.scenes(root, None) == [dense]
    with pytest.raises(DatasetError, match="no MegaDepth v1 here; looked for <scene>/dense<N>/imgs"):
        megadepth.DATASET.scenes(dense / "imgs", None)
    with pytest.raises(DatasetError, match="found split 'train' asked for"):
        megadepth.DATASET.scenes(tmp_path, "train")


def test_depth_of_another_size_is_registered(dense: Path) -> None:
    import h5py

    with h5py.File(dense / "depths" / "200_b.h5", "w") as file:
        file["depth"] = np.full((18, 24), 4.0, np.float32)
    frame = MegaDepth(dense).frame(1)
    assert (frame.depth.shape, frame.depth_camera.width) == ((18, 24), 24)
    np.testing.assert_array_equal(MegaDepth(dense)[1].depth, np.full((36, 48), 4.0, np.float32))


def _write_depth(path: Path, values: np.ndarray, name: str = "depth") -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file[name] = values


MEGADEPTH_BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut short": (lambda r: os.truncate(r / "depths/100_a.h5", 3000), "100_a.h5: cut short or not HDF5"),
    "empty": (lambda r: os.truncate(r / "depths/100_a.h5", 0), "100_a.h5: cut short or not HDF5"),
    "no depth in it": (
        lambda r: _write_depth(r / "depths/100_a.h5", np.ones((2, 2)), "z"),
        "100_a.h5: has no data set 'depth', found z",
    ),
    "of three axes": (
        lambda r: _write_depth(r / "depths/100_a.h5", np.ones((2, 2, 1))),
        r"'depth' has shape \(2, 2, 1\), expected \(any, any\)",
    ),
    "far beyond metres": (
        lambda r: _write_depth(r / "depths/100_a.h5", np.full((36, 48), 900.0)),
        "100_a.h5: depth has a median of 900.*scale of its own: set scale",
    ),
    "image gone": (lambda r: os.truncate(r / "imgs/100_a.jpg", 100), "100_a.jpg: cannot be decoded"),
}


@pytest.mark.parametrize("case", MEGADEPTH_BAD)
def test_bad_megadepth(dense: Path, case: str) -> None:
    spoil, message = MEGADEPTH_BAD[case]
    spoil(dense)
    with pytest.raises(DatasetError, match=message):
        MegaDepth(dense).frame(0)


def test_bad_megadepth_folders(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="imgs: no such folder"):
        MegaDepth(tmp_path)
    (tmp_path / "imgs").mkdir()
    with pytest.raises(DatasetError, match="imgs: has no images"):
        MegaDepth(tmp_path)
    with pytest.raises(InputError, match="scale is 0, expected a positive number"):
        MegaDepth(tmp_path, scale=0)


def test_invsfm_frames(data: Path) -> None:
    sequence = open_sequence(data / "anns" / "demo_5k" / "train.txt")
    assert isinstance(sequence, InvSfm)
    assert isinstance(sequence, Sequence)
    assert (sequence.name, len(sequence), sequence.root) == ("demo_5k/train", 2, data)
    for index in range(2):
        frame = sequence.frame(index)
        assert (frame.color_camera.width, frame.color_camera.height) == (WIDTH, HEIGHT)
        assert (frame.color_camera.fx, frame.color_camera.cx) == (
            FOCAL,
            WIDTH / 2 - 0.5,
        )  # COLMAP's start at 0.5
        np.testing.assert_allclose(frame.T_world_camera, pose_of(index), atol=1e-6)
        expected = depth_of(index).astype(np.float32)
        assert np.isnan(frame.depth[:, -1]).all()
        np.testing.assert_array_equal(frame.depth[:, :-1], expected[:, :-1])
        assert abs(int(frame.image[3, 3, 0]) - (50 + 40 * index)) <= 2


def test_invsfm_depth_camera_and_pose_fit_together(data: Path) -> None:
    """Depth lifted with the camera and moved by the pose lies on the plane; the points project onto that depth."""
    sequence = InvSfm(data / "anns/demo_5k/train.txt")
    frame, points = sequence.frame(1), sequence.points(1)
    world = transform_points(frame.T_world_camera, frame.color_camera.back_project(frame.depth))
    np.testing.assert_allclose(world[:, :-1, 2], PLANE_Z, atol=2e-3)
    xyz, rgb, sift = points_of(1)
    np.testing.assert_array_equal(points.xyz, xyz)
    np.testing.assert_array_equal(points.rgb, rgb)
    np.testing.assert_array_equal(points.sift, sift)
    pixels, z = frame.color_camera.project(transform_points(inverse(frame.T_world_camera), points.xyz))
    u, v = np.rint(pixels).astype(int).T
    seen = (u >= 0) & (u < WIDTH - 1) & (v >= 0) & (v < HEIGHT)
    assert seen.sum() > 10
    np.testing.assert_allclose(frame.depth[v[seen], u[seen]], z[seen], atol=0.02)


def test_invsfm_scale_and_missing_depth(data: Path) -> None:
    one, two = InvSfm(data / "anns/demo_5k/val.txt"), InvSfm(data / "anns/demo_5k/val.txt", scale=2.0)
    np.testing.assert_allclose(two[0].depth, 2 * one[0].depth, rtol=1e-6)
    np.testing.assert_allclose(two[0].T_world_camera[:3, 3], 2 * one[0].T_world_camera[:3, 3], rtol=1e-5)
    np.testing.assert_allclose(two.points(0).xyz, 2 * one.points(0).xyz)
    assert InvSfm(data / "anns/demo_5k/test.txt")[0].depth is None


def test_invsfm_root(data: Path) -> None:
    lists = [data / f"anns/demo_5k/{split}.txt" for split in ("train", "val", "test")]
    for root in (data, data.parent, data / "anns", data / "anns" / "demo_5k"):
        assert invsfm.DATASET.scenes(root, None) == lists
        assert invsfm.DATASET.scenes(root, "val") == lists[1:2]
    with pytest.raises(DatasetError, match="split 'dev' is unknown, expected one of train, val, test"):
        invsfm.DATASET.scenes(data, "dev")
    with pytest.raises(DatasetError, match=r"no lists of InvSfM; looked for anns/<set>/\{train,val,test\}.txt"):
        invsfm.DATASET.scenes(data / "demo_5k", None)
    (data / "demo_5k/images/0001.jpg").unlink()
    assert invsfm.DATASET.missing(lists[0])[0].startswith("image: 1 of 2 are not there, the first is")


def _change_camera(data: Path, place: int, value: float) -> None:
    floats = camera_floats(0)
    floats[place] = value
    (data / "demo_5k/cameras/0000.bin").write_bytes(floats.tobytes())


DEPTH, LIST = "demo_5k/depths/0000.bin", "anns/demo_5k/train.txt"
INVSFM_BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "ragged list": (
        lambda r: (r / LIST).write_text("a b c d e f\na b c d e\n"),
        "train.txt, line 2: 5 words in 'a b c d e', expected 6: files of points, colours",
    ),
    "too few columns": (lambda r: (r / LIST).write_text("a b\n"), "line 1: 2 words in 'a b', expected 5 or 6"),
    "absent files": (lambda r: (r / LIST).write_text("a b c d e f\n"), "data/e: no such file"),
    "absent depth": (lambda r: (r / DEPTH).unlink(), "depths/0000.bin: cannot be read: No such file"),
    "depth header lies": (
        lambda r: (r / DEPTH).write_bytes(b"65&48&1&" + depth_of(0).tobytes()),
        "header says 65x48 with 1 channels, expected 1 channel and 6240 bytes of float16, found 6144",
    ),
    "depth cut short": (
        lambda r: os.truncate(r / DEPTH, 700),
        "expected 1 channel and 6144 bytes of float16, found 692",
    ),
    "depth of two channels": (
        lambda r: (r / DEPTH).write_bytes(b"64&24&2&" + depth_of(0).tobytes()),
        "header says 64x24 with 2 channels",
    ),
    "depth without header": (lambda r: (r / DEPTH).write_bytes(b"\0" * 6144), "expected width&height&channels&"),
    "empty depth": (lambda r: (r / DEPTH).write_bytes(b"0&0&1&"), "header says 0x0"),
    "depth in other units": (
        lambda r: (r / DEPTH).write_bytes(depth_bytes(depth_of(0) * np.float16(500))),
        "depths/0000.bin: depth has a median of .* set scale",
    ),
    "camera cut short": (
        lambda r: os.truncate(r / "demo_5k/cameras/0000.bin", 80),
        r"cameras/0000.bin: has 80 bytes, expected 92 \(float32 \(23,\)\)",
    ),
    "camera not finite": (lambda r: _change_camera(r, 18, np.inf), "0000.bin: holds 1 numbers that are not finite"),
    "camera mirrored": (lambda r: _change_camera(r, 9, -9.0), "cameras/0000.bin: R, T is no rigid transform"),
    "focal length 0": (lambda r: _change_camera(r, 0, 0.0), "cameras/0000.bin: camera fx is 0.0"),
    "K transposed": (lambda r: _change_camera(r, 6, 32.0), "cameras/0000.bin: K is .*, expected fx 0 cx"),
    "image of another size": (
        lambda r: _change_camera(r, 22, WIDTH + 1),
        "images/0000.jpg: is 64x48, its camera .*0000.bin is for 65x48",
    ),
    "points cut short": (
        lambda r: os.truncate(r / "demo_5k/points/0000_xyz.bin", 100),
        "0000_xyz.bin: has 100 bytes, expected a multiple of 12",
    ),
    "colours of other points": (
        lambda r: os.truncate(r / "demo_5k/points/0000_rgb.bin", 87),
        "points, colours and descriptors differ in number: .*xyz.bin: 30, .*rgb.bin: 29, .*sift.bin: 30",
    ),
}


@pytest.mark.parametrize("case", INVSFM_BAD)
def test_bad_invsfm(data: Path, case: str) -> None:
    spoil, message = INVSFM_BAD[case]
    spoil(data)
    with pytest.raises(DatasetError, match=message):
        _everything(InvSfm(data / LIST))


def _everything(sequence: InvSfm) -> None:
    sequence.frame(0)
    sequence.points(0)
