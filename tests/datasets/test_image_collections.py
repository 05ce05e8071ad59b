"""Places365, CUB-200-2011 and plain folders of photos, and what is said of broken ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from layout_cub import CLASSES, NAMES, SIZES, bird, box_of, write_cub
from layout_places import TRAIN, VAL, photo, write_places

from showroom_ros.datasets import cub, photos, places
from showroom_ros.datasets.catalog import DATASETS
from showroom_ros.datasets.cub import Cub
from showroom_ros.datasets.image_files import absent_files
from showroom_ros.datasets.open import dataset_of, open_sequence
from showroom_ros.datasets.photos import Photos
from showroom_ros.datasets.places import Places
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.camera import Camera, assumed_camera
from showroom_ros.scene.view import Sequence


@pytest.fixture
def bird_folder(tmp_path: Path) -> Path:
    return write_cub(tmp_path)


@pytest.fixture
def places_root(tmp_path: Path) -> Path:
    return write_places(tmp_path / "places")


def test_places_has_what_its_lists_name(places_root: Path) -> None:
    sequence = open_sequence(places_root)
    assert isinstance(sequence, Places)
    assert isinstance(sequence, Sequence)
    assert (len(sequence), sequence.intrinsics_known) == (6, False)
    assert sequence.labels == [0, 1, 2, 2, 0, places.UNLABELLED]
    assert (sequence.category(1), sequence.category(5)) == ("/b/bus_station/indoor", "")
    view = sequence[1]
    np.testing.assert_allclose(view.image[5, 5], photo(1)[5, 5], atol=3)
    assert (view.depth, view.T_world_camera, view.camera) == (None, None, assumed_camera(64, 48))
    assert sequence.file(3) == places_root / "val_256" / VAL[0][0]
    assert [view.stamp_ns for view in (sequence[0], sequence[5], sequence[-1])] == [10**9, 6 * 10**9, 6 * 10**9]
    with pytest.raises(IndexError):
        sequence[6]


def test_places_splits_open_by_their_path(places_root: Path) -> None:
    found = places.DATASET.scenes(places_root, None)
    assert [path.name for path in found] == ["train", "val", "test"]
    assert [len(open_sequence(path)) for path in found] == [3, 2, 1]
    assert dataset_of(found[1]) is places.DATASET
    assert Places(places_root, "val").names == [f"val_256/{name}" for name, _ in VAL]
    with pytest.raises(DatasetError, match="split 'validation' is unknown, expected one of train, val, test"):
        places.DATASET.scenes(places_root, "validation")


def test_places_without_lists_takes_the_folders(tmp_path: Path) -> None:
    root = write_places(tmp_path / "places", "data_large")
    for name in ("places365_train_standard.txt", "places365_val.txt"):
        (root / name).unlink()
    sequence = Places(root, "train")
    assert sequence.names == [f"data_large{name}" for name, _ in TRAIN]
    assert sequence.labels == [label for _, label in TRAIN]
    assert Places(root, "val").labels == [places.UNLABELLED] * 2
    assert Places(root, "train", folder="data_large").labels == sequence.labels
    assert [line.split(":")[0] for line in places.DATASET.missing(root)] == [
        " or ".join(places.LISTS["train"]),
        "places365_val.txt",
    ]


def test_places_in_the_easy_form(tmp_path: Path) -> None:
    root = tmp_path / "places365_standard"
    for name in ("train/airfield/1.jpg", "train/bus_station-indoor/2.jpg", "val/kitchen/3.jpg"):
        (root / name).parent.mkdir(parents=True)
        cv2.imwrite(str(root / name), photo(0))
    assert [len(open_sequence(root / split)) for split in ("train", "val")] == [2, 1]
    shutil.copy(write_places(tmp_path / "other") / places.CATEGORIES, root)
    assert Places(root).labels == [0, 1, 2]
    assert places.DATASET.scenes(root, None) == [root / "train", root / "val"]


def test_missing_images_of_places_are_counted(places_root: Path) -> None:
    assert places.DATASET.missing(places_root) == []
    (places_root / "val_256" / VAL[1][0]).unlink()
    assert places.DATASET.missing(places_root)[0].startswith("images of val: 1 of 2 are not there, the first is")
    assert absent_files([Path(f"/gone/{i}") for i in range(4001)], "x") == [
        "x: 1334 of 1334 looked for (every 3th) are not there, the first is /gone/0"
    ]


def test_cub_boxes_masks_and_classes(bird_folder: Path) -> None:
    sequence = open_sequence(bird_folder)
    assert isinstance(sequence, Cub)
    assert (len(sequence), sequence.ids, sequence.labels) == (4, [1, 2, 3, 4], [1, 1, 2, 2])
    for index, name in enumerate(NAMES):
        assert sequence.box(index) == box_of(index)
        np.testing.assert_array_equal(sequence.mask(index), bird(index))
        x, y, width, height = (int(value) for value in sequence.box(index))
        assert sequence.mask(index)[y : y + height, x : x + width].sum() == bird(index).sum() > 0
        assert sequence.class_name(index) == name.split("/")[0]
        assert sequence[index].image.shape[:2][::-1] == SIZES[index]
    assert set(sequence.classes.values()) == set(CLASSES)


def test_cub_splits(bird_folder: Path) -> None:
    assert [Cub(bird_folder, split).ids for split in ("train", "test")] == [[2, 3], [1, 4]]
    assert cub.DATASET.scenes(bird_folder.parent, "train") == [bird_folder / "train"]
    sequence = open_sequence(bird_folder / "test")
    assert (sequence.name, len(sequence)) == ("CUB_200_2011/test", 2)
    np.testing.assert_array_equal(sequence.mask(1), bird(3))
    assert sequence.box(1) == box_of(3)
    with pytest.raises(DatasetError, match="split 'val' is unknown, expected one of train, test"):
        Cub(bird_folder, "val")


@pytest.mark.parametrize(("where", "lacks"), [("inside", []), ("beside", []), ("none", ["segmentations/"])])
def test_cub_segmentations_lie_inside_or_beside(tmp_path: Path, where: str, lacks: list[str]) -> None:
    folder = write_cub(tmp_path, segmentations=where)
    assert [line.split(":")[0] for line in cub.DATASET.missing(folder)] == lacks
    if where == "none":
        with pytest.raises(DatasetError, match="has no segmentations"):
            Cub(folder).mask(0)
    else:
        assert Cub(folder.parent).mask(2).any()


def test_what_cub_lacks_is_said(bird_folder: Path) -> None:
    (bird_folder / "images" / NAMES[3]).unlink()
    (bird_folder / "segmentations" / NAMES[1]).with_suffix(".png").unlink()
    lines = cub.DATASET.missing(bird_folder)
    assert [line.split(", the first")[0] for line in lines] == [
        "images: 1 of 4 are not there",
        "segmentations: 1 of 4 are not there",
    ]
    (bird_folder / "classes.txt").unlink()
    assert cub.DATASET.missing(bird_folder) == ["classes.txt: no such file"]


def test_photos_are_numbered_as_people_do(tmp_path: Path) -> None:
    for name in ("image_10.jpg", "image_2.jpg", "image_1.JPG", ".hidden.jpg"):
        cv2.imwrite(str(tmp_path / name), photo(0))
    (tmp_path / "notes.txt").write_text("of a room")
    sequence = Photos(tmp_path)
    assert sequence.names == ["image_1.JPG", "image_2.jpg", "image_10.jpg"]
    assert (sequence.intrinsics_known, sequence[0].camera) == (False, assumed_camera(64, 48))
    assert photos.DATASET.missing(tmp_path) == ["intrinsics.txt (fx, fy, cx, cy): the camera is assumed"]
    (tmp_path / "intrinsics.txt").write_text("50\n51\n31.5\n23.5\n")
    assert Photos(tmp_path)[0].camera == Camera(64, 48, 50.0, 51.0, 31.5, 23.5)
    assert (Photos(tmp_path).intrinsics_known, photos.DATASET.missing(tmp_path)) == (True, [])


def test_photos_are_tried_last() -> None:
    assert DATASETS[-1] is photos.DATASET


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("folder", "count", "size", "known"),
    [
        ("showroom_photos", 3, (720, 540), False),
        ("living_room_photos", 13, (1920, 1080), False),
        ("nyu_clip", 8, (640, 480), True),
        ("scannet_clip", 8, (640, 480), True),
    ],
)
def test_recorded_photos(shared_data: Path, folder: str, count: int, size: tuple[int, int], known: bool) -> None:
    if not (shared_data / folder).is_dir():
        pytest.skip(f"no {shared_data / folder}")
    sequence = open_sequence(shared_data / folder)
    assert (len(sequence), sequence.intrinsics_known) == (count, known)
    assert sequence[count - 1].image.shape[:2][::-1] == size
    if folder == "nyu_clip":
        assert sequence[0].camera.fx == pytest.approx(518.8579, abs=1e-4)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


CUB_BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no list of boxes": (lambda r: (r / "bounding_boxes.txt").unlink(), "bounding_boxes.txt: cannot be read"),
    "no images.txt": (lambda r: (r / "images.txt").unlink(), "images.txt: no such file, expected CUB-200-2011"),
    "ragged boxes": (
        lambda r: _replace(r / "bounding_boxes.txt", "\n2 ", "\n2 7.0 "),
        "bounding_boxes.txt, line 2: 6 words",
    ),
    "a box too few": (
        lambda r: (r / "bounding_boxes.txt").write_text("1 1 1 1 1\n"),
        "bounding_boxes.txt: names 1 images, images.txt 4; the first that is in one only is 2",
    ),
    "id twice": (lambda r: _replace(r / "images.txt", "2 001", "1 001"), "images.txt: id 1 occurs more than once"),
    "id that is none": (lambda r: _replace(r / "images.txt", "2 001", "b 001"), "expected an id, a whole number"),
    "box that is none": (lambda r: (r / "bounding_boxes.txt").write_text(
        "".join(f"{i} 1 2 0 4\n" for i in range(1, 5))), "image 1: the box is 0x4"),
    "box of letters": (lambda r: (r / "bounding_boxes.txt").write_text(
        "".join(f"{i} 1 2 a 4\n" for i in range(1, 5))), "image 1: '1 2 a 4', expected numbers: x, y, width, height"),
    "absent image": (lambda r: (r / "images" / NAMES[0]).unlink(), f"{NAMES[0]}: no such file"),
    "image cut short": (lambda r: _cut(r / "images" / NAMES[0]), f"{NAMES[0]}: JPEG without an end, cut short"),
    "absent mask": (
        lambda r: (r / "segmentations" / NAMES[0]).with_suffix(".png").unlink(),
        "0046_18.png: no such file, expected the segmentation of",
    ),
    "mask cut short": (
        lambda r: _cut((r / "segmentations" / NAMES[0]).with_suffix(".png")),
        "0046_18.png: cannot be decoded",
    ),
    "mask of another size": (
        lambda r: cv2.imwrite(str((r / "segmentations" / NAMES[0]).with_suffix(".png")), np.zeros((8, 9), np.uint8)),
        "0046_18.png: is 9x8, its image is 100x80",
    ),
    "class without a name": (lambda r: (r / "classes.txt").write_text("2 x\n"), "classes.txt: has no class 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", CUB_BAD)
def test_bad_cub(bird_folder: Path, case: str) -> None:
    spoil, message = CUB_BAD[case]
    spoil(bird_folder)
    with pytest.raises(DatasetError, match=message):
        _everything(Cub(bird_folder))


def _everything(sequence: Cub) -> None:
    sequence.box(0), sequence.mask(0), sequence.class_name(0), sequence.frame(0)


def test_cub_split_without_images(bird_folder: Path) -> None:
    (bird_folder / "train_test_split.txt").write_text("".join(f"{i} 1\n" for i in range(1, 5)))
    with pytest.raises(DatasetError, match=r"train_test_split.txt: has no images of split 'test'"):
        Cub(bird_folder, "test")


PLACES_BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "ragged list": (
        lambda r: (r / "places365_val.txt").write_text("a.jpg 1\nb.jpg\n"),
        "places365_val.txt, line 2: 1 words in 'b.jpg', expected 2: file and number",
    ),
    "label that is none": (
        lambda r: (r / "places365_val.txt").write_text("a.jpg kitchen\n"),
        "places365_val.txt, 'a.jpg': 'kitchen', expected a category, a whole number",
    ),
    "ragged categories": (lambda r: (r / places.CATEGORIES).write_text("/a\n"), "categories_places365.txt, line 1"),
    "absent image": (lambda r: (r / "val_256" / VAL[0][0]).unlink(), "Places365_val_00000001.jpg: no such file"),
    "image cut short": (lambda r: _cut(r / "val_256" / VAL[0][0]), "00000001.jpg: cannot be decoded as an image"),
    "no image": (lambda r: (r / "val_256" / VAL[0][0]).write_bytes(b""), "00000001.jpg: cannot be decoded .*0 bytes"),
    "no folder": (
        lambda r: shutil.rmtree(r / "val_256"),
        "has no images of Places365; looked for the folders val_256/val_large/val",
    ),
}


@pytest.mark.parametrize("case", PLACES_BAD)
def test_bad_places(places_root: Path, case: str) -> None:
    spoil, message = PLACES_BAD[case]
    spoil(places_root)
    with pytest.raises(DatasetError, match=message):
        Places(places_root, "val").frame(0)


def test_bad_photo_folders(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="gone: no such folder, expected images"):
        Photos(tmp_path / "gone")
    with pytest.raises(DatasetError, match=r"has no images \(.jpg"):
        Photos(tmp_path)
    cv2.imwrite(str(tmp_path / "a.jpg"), photo(0))
    for text, message in (("1 2 3", "3 numbers, expected 4"), ("1 2 3 b", "'1 2 3 b', expected numbers: fx, fy")):
        (tmp_path / "intrinsics.txt").write_text(text)
        with pytest.raises(DatasetError, match=f"intrinsics.txt: {message}"):
            Photos(tmp_path)
    (tmp_path / "intrinsics.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"intrinsics.txt: cannot be read"):
        Photos(tmp_path)
