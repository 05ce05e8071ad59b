"""NYU Depth v2: the sync convention, lists, the labelled set, and what is said of broken ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from layout_nyu import RAW_NAMES, TEST_NUMBERS, TRAIN_NUMBERS, color, depth_mm, write_nyu
from scipy.io import savemat

from showroom_ros.datasets.nyu import CAMERA, DATASET, NyuFiles, NyuLabelled
from showroom_ros.datasets.open import open_sequence
from showroom_ros.errors import DatasetError
from showroom_ros.scene.view import Sequence

MAT = "nyu_depth_v2_labeled.mat"
TEST_LIST = "nyudepthv2_test_files_with_gt.txt"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nyu(tmp_path_factory.mktemp("nyu"))


@pytest.fixture
def nyu(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(whole, tmp_path / "nyu"))


def metres(frame: int) -> np.ndarray:
    depth = depth_mm(frame).astype(np.float32) / np.float32(1000)
    depth[depth == 0] = np.nan
    return depth


def test_scene_of_the_sync_folder(whole: Path) -> None:
    sequence = open_sequence(whole / "sync" / "kitchen_0028b")
    assert isinstance(sequence, NyuFiles)
    assert isinstance(sequence, Sequence)
    assert (sequence.name, len(sequence), sequence.skipped) == ("kitchen_0028b", 2, {"no depth": 0})
    for index in range(2):
        frame = sequence.frame(index)
        np.testing.assert_array_equal(frame.depth, metres(index))
        assert np.abs(frame.image.astype(int) - color(index)).mean() < 3
        assert (frame.T_world_camera, frame.depth_camera, frame.color_camera) == (None, None, CAMERA)
    assert sequence[1].stamp_ns > sequence[0].stamp_ns > 0


def test_list_of_frames(whole: Path) -> None:
    sequence = open_sequence(whole / TEST_LIST)
    assert (sequence.name, len(sequence)) == ("nyudepthv2_test_files_with_gt", 2)
    np.testing.assert_array_equal(sequence.frame(1).depth, metres(1))
    assert sequence.files[0][0] == whole / "official_splits/test/bathroom/rgb_00045.jpg"


def test_labelled_set_has_its_axes_turned(whole: Path) -> None:
    sequence = NyuLabelled(whole / MAT)
    assert (len(sequence), len(NyuLabelled(whole / MAT, raw_depth=True))) == (5, 5)
    frame = sequence.frame(3)
    np.testing.assert_array_equal(frame.image, color(3))
    filled = metres(3)
    filled[:10, :20] = 0.5
    np.testing.assert_array_equal(frame.depth, filled)
    np.testing.assert_array_equal(NyuLabelled(whole / MAT, raw_depth=True).frame(3).depth, metres(3))
    assert tuple(sequence.texts("rawRgbFilenames")) == RAW_NAMES
    assert sequence.texts("scenes")[2] == "living_room_0013"


def test_official_split_counts_from_one(whole: Path) -> None:
    for split, numbers in (("train", TRAIN_NUMBERS), ("test", TEST_NUMBERS)):
        sequence = open_sequence(whole / MAT / split)
        assert isinstance(sequence, NyuLabelled)
        assert sequence.indices == [number - 1 for number in numbers]
        for index, number in enumerate(numbers):
            np.testing.assert_array_equal(sequence.frame(index).image, color(number - 1))


def test_list_of_raw_names_is_found_in_the_labelled_set(nyu: Path) -> None:
    (nyu / "nyu_eigen_test.txt").write_text(f"{RAW_NAMES[4]}\n{RAW_NAMES[1]}\n")
    sequence = open_sequence(nyu / "nyu_eigen_test.txt")
    assert (sequence.indices, sequence.name) == ([4, 1], "nyu_eigen_test")
    np.testing.assert_array_equal(sequence.frame(0).image, color(4))


@pytest.mark.recorded
def test_eigen_test_list(shared_data: Path, nyu: Path) -> None:
    """The published list has 654 names; two of them are in the tiny set."""
    listed = shared_data / "lists" / "nyu_eigen_test.txt"
    if not listed.is_file():
        pytest.skip(f"no {listed}")
    shutil.copy(listed, nyu)
    with pytest.raises(DatasetError, match=r"651 of 654 names are not in .*nyu_depth_v2_labeled.mat, first"):
        open_sequence(nyu / listed.name)
    with pytest.raises(DatasetError, match=r"names raw colour files, which are read from nyu_depth_v2_labeled.mat"):
        open_sequence(listed)


def test_scenes_and_splits(whole: Path) -> None:
    def names(root: Path, split: str | None) -> list[str]:
        return [path.relative_to(whole).as_posix() for path in DATASET.scenes(root, split)]

    train, test = ["sync/kitchen_0028b", "sync/office_0003"], ["official_splits/test/bathroom"]
    assert names(whole, None) == [*train, *test, MAT]
    assert names(whole, "train") == [*train, f"{MAT}/train"]
    assert names(whole, "test") == [*test, f"{MAT}/test"]
    assert names(whole / "sync", None) == names(whole / "sync", "train") == train
    assert [len(DATASET.read(path)) for path in DATASET.scenes(whole, "test")] == [2, 3]
    with pytest.raises(DatasetError, match="split 'val' is unknown, expected one of train, test"):
        DATASET.scenes(whole, "val")
    with pytest.raises(DatasetError, match=r"no scenes of NYU Depth v2.*looked for .*rgb_NNNNN.jpg"):
        DATASET.scenes(whole / "sync" / "kitchen_0028b", None)


def test_frames_without_depth_are_left_out(nyu: Path) -> None:
    scene = nyu / "sync" / "office_0003"
    (scene / "sync_depth_00045.png").unlink()
    sequence = NyuFiles(scene)
    assert (len(sequence), sequence.skipped) == (1, {"no depth": 1})
    np.testing.assert_array_equal(sequence.frame(0).depth, metres(1))


def test_what_is_missing(nyu: Path) -> None:
    assert DATASET.missing(nyu / TEST_LIST) == []
    (nyu / "official_splits/test/bathroom/sync_depth_00105.png").unlink()
    assert "depth: 1 of 2 are not there" in DATASET.missing(nyu / TEST_LIST)[0]
    (nyu / "splits.mat").unlink()
    assert "the official split is not known" in DATASET.missing(nyu / MAT)[0]


def _cut(path: Path, share: float = 0.5) -> None:
    os.truncate(path, int(path.stat().st_size * share))


SCENE = "sync/kitchen_0028b"
BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "list names absent files": (
        lambda r: (r / TEST_LIST).write_text("/gone/rgb_1.jpg /gone/sync_depth_1.png 518.8\n"),
        TEST_LIST,
        "gone/rgb_1.jpg is not there; looked in",
    ),
    "list names one absent file": (
        lambda r: (r / "official_splits/test/bathroom/rgb_00045.jpg").unlink(),
        TEST_LIST,
        "rgb_00045.jpg: no such file",
    ),
    "ragged list": (
        lambda r: (r / TEST_LIST).write_text("a b 1\n\na b\n"),
        TEST_LIST,
        "files_with_gt.txt, line 3: 2 words in 'a b', expected 3: colour file",
    ),
    "focal length that is none": (
        lambda r: (r / TEST_LIST).write_text("a b c\n"),
        TEST_LIST,
        "frame 1: 'c', expected numbers: focal length",
    ),
    "empty list": (lambda r: (r / TEST_LIST).write_text("\n"), TEST_LIST, "has no lines, expected colour file"),
    "list that is no text": (lambda r: (r / TEST_LIST).write_bytes(b"\xff\xfe\x00"), TEST_LIST, "cannot be read"),
    "colour cut short": (lambda r: _cut(r / SCENE / "rgb_00045.jpg"), SCENE, "rgb_00045.jpg: JPEG without an end"),
    "depth cut short": (lambda r: _cut(r / SCENE / "sync_depth_00045.png"), SCENE, "sync_depth_00045.png: cannot be"),
    "depth of 8 bits": (
        lambda r: cv2.imwrite(str(r / SCENE / "sync_depth_00045.png"), np.ones((480, 640), np.uint8)),
        SCENE,
        "sync_depth_00045.png: is uint8",
    ),
    "colour of another size": (
        lambda r: cv2.imwrite(str(r / SCENE / "rgb_00045.jpg"), np.ones((240, 320, 3), np.uint8)),
        SCENE,
        "rgb_00045.jpg: is 320x240, expected 640x480",
    ),
    "no depth at all": (
        lambda r: [item.unlink() for item in (r / SCENE).glob("sync*")],
        SCENE,
        "none of 2 colour images has a sync_depth",
    ),
    "labelled set cut short": (lambda r: _cut(r / MAT), MAT, "labeled.mat: cut short or not HDF5"),
    "labelled set of another kind": (lambda r: (r / MAT).write_bytes(b"MATLAB 5.0"), MAT, "cut short or not HDF5"),
    "no split file": (lambda r: (r / "splits.mat").unlink(), f"{MAT}/test", "splits.mat: no such file"),
    "split file cut short": (lambda r: _cut(r / "splits.mat", 0.6), f"{MAT}/test", "splits.mat: "),
    "split that counts too far": (
        lambda r: savemat(r / "splits.mat", {"testNdxs": [[6]]}),
        f"{MAT}/test",
        "'testNdxs' names frames 6 to 6 of 5",
    ),
    "split that counts from zero": (
        lambda r: savemat(r / "splits.mat", {"testNdxs": [[0], [1]]}),
        f"{MAT}/test",
        "'testNdxs' names frames 0 to 1 of 5",
    ),
    "split file without the split": (
        lambda r: savemat(r / "splits.mat", {"other": [[1]]}),
        f"{MAT}/test",
        "has no 'testNdxs', found other",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(nyu: Path, case: str) -> None:
    spoil, opened, message = BAD[case]
    spoil(nyu)
    with pytest.raises(DatasetError, match=message):
        DATASET.read(nyu / opened).frame(0)


def test_labelled_set_without_an_array(nyu: Path) -> None:
    import h5py

    with h5py.File(nyu / MAT, "a") as file:
        del file["depths"]
    with pytest.raises(DatasetError, match=r"labeled.mat: has no data set 'depths', found .*images"):
        NyuLabelled(nyu / MAT)
    with h5py.File(nyu / MAT, "a") as file:
        file["depths"] = np.zeros((5, 480, 640), np.float32)
    with pytest.raises(DatasetError, match=r"'depths' has shape \(5, 480, 640\), expected \(5, 640, 480\)"):
        NyuLabelled(nyu / MAT)
