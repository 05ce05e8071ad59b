"""Square pictures of one thing each: by hand, of CUB's birds, and of folders of images with masks."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layout_cub import CLASSES, NAMES, bird, box_of, write_cub
from made_up_recipe import tree

from showroom_ros.datasets.prepare import cub, objects
from showroom_ros.datasets.prepare.cub import CubSettings, find_cub, prepare_cub
from showroom_ros.datasets.prepare.object_crops import CropSettings, mask_box, resized_crop, square_crop
from showroom_ros.datasets.prepare.objects import find_objects, prepare_objects, read_mask
from showroom_ros.datasets.prepare.recipe import Item
from showroom_ros.datasets.prepare.run import prepare
from showroom_ros.errors import DatasetError, InputError

STEMS = [name.removesuffix(".jpg") for name in NAMES]


def test_crop_by_hand() -> None:
    image = np.full((6, 8, 3), 200, np.uint8)
    mask = np.zeros((6, 8), bool)
    mask[1, 2:6] = True
    mask[2, 3] = True
    assert mask_box(mask) == (2, 1, 4, 2)
    square, inside = square_crop(image, mask, border_px=1)
    expected = np.zeros((6, 6), bool)
    expected[2, 1:5] = True
    expected[3, 2] = True
    np.testing.assert_array_equal(inside, expected)
    np.testing.assert_array_equal(square, 200 * expected[..., None].repeat(3, axis=2))


def test_a_box_is_cut_off_at_the_image_and_wider_than_the_mask() -> None:
    image, mask = np.full((10, 10, 3), 9, np.uint8), np.zeros((10, 10), bool)
    mask[:2, :3] = True
    square, inside = square_crop(image, mask, (-2.0, -1.0, 6.4, 9.0), border_px=0)
    assert square.shape == (8, 8, 3)  # rows 0 to 8, columns 0 to 5
    assert inside.sum() == 6
    rows, columns = np.nonzero(inside)
    assert (rows.min(), columns.min()) == (0, 1)


@given(
    top=st.integers(0, 30), left=st.integers(0, 40), height=st.integers(1, 20), width=st.integers(1, 20),
    border_px=st.integers(0, 9), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=40)
def test_nothing_of_the_mask_is_lost(top: int, left: int, height: int, width: int, border_px: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    image = generator.integers(1, 255, (50, 60, 3), dtype=np.uint8)
    mask = np.zeros((50, 60), bool)
    mask[top : top + height, left : left + width] = generator.uniform(size=(height, width)) < 0.7
    mask[top, left] = True
    square, inside = square_crop(image, mask, border_px=border_px)
    assert inside.sum() == mask.sum()
    assert len(square) == max(mask_box(mask)[2:]) + 2 * border_px
    np.testing.assert_array_equal(square[inside], image[mask])
    assert not square[~inside].any()
    if border_px:
        assert not inside[:border_px].any()
        assert not inside[:, -border_px:].any()


@pytest.mark.parametrize("size", [24, 224])
def test_outlines_do_not_darken(size: int) -> None:
    v, u = np.mgrid[:90, :90]
    mask = np.hypot(u - 44.5, v - 44.5) < 30
    image = np.where(mask[..., None], (10, 100, 250), 0).astype(np.uint8)
    color, inside = resized_crop(image, mask, size)
    assert color.shape == (size, size, 3)
    assert inside.mean() == pytest.approx(mask.mean(), rel=0.05)
    assert (color[inside] == (10, 100, 250)).all()
    assert not color[~inside].any()


@pytest.mark.parametrize(
    ("mask", "box", "words"),
    [
        (np.zeros((6, 8), bool), None, "the mask is empty"),
        (np.ones((5, 8), bool), None, "mask is 8x5, its image is 8x6"),
        (np.eye(6, 8, dtype=bool), (6.0, 0.0, 2.0, 2.0), "holds nothing of the mask"),
        (np.ones((6, 8), bool), (20.0, 20.0, 5.0, 5.0), "holds nothing of the mask"),
    ],
)
def test_bad_crops(mask: np.ndarray, box: tuple | None, words: str) -> None:
    with pytest.raises(InputError) as raised:
        square_crop(np.zeros((6, 8, 3), np.uint8), mask, box)
    assert words in str(raised.value)


def birds_of(root: Path, out: Path, split: str | None = None, **changes: object) -> tuple[list[str], dict]:
    (item,) = find_cub(root, split)
    out.mkdir()
    skipped = prepare_cub(item, out, CubSettings(**changes))  # type: ignore[arg-type]
    return skipped, json.loads((out / "crops.json").read_text())


def test_birds(tmp_path: Path) -> None:
    write_cub(tmp_path / "root")
    skipped, record = birds_of(tmp_path / "root", tmp_path / "out")
    assert skipped == []
    assert list(record) == sorted(STEMS)
    for number, stem in enumerate(STEMS):
        width, height = box_of(number)[2:]
        assert record[stem] == {
            "class": CLASSES[number // 2],
            "image": NAMES[number],
            "box": list(box_of(number)),
            "square_px": max(width, height) + 60,
        }
        for size in (224, 128):
            color = cv2.imread(str(tmp_path / f"out/rgb_{size}/{stem}.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
            mask = cv2.imread(str(tmp_path / f"out/mask_{size}/{stem}.png"), cv2.IMREAD_UNCHANGED)
            assert (color.shape, mask.shape, set(np.unique(mask))) == ((size, size, 3), (size, size), {0, 255})
            assert not color[mask == 0].any()
            share = bird(number).sum() / (max(width, height) + 60) ** 2
            assert (mask == 255).mean() == pytest.approx(share, rel=0.02)
            inner = cv2.erode(mask, np.ones((9, 9), np.uint8)) == 255
            assert np.abs(color[inner].astype(int) - (30, 60, 200)).max() <= 12  # the photo is a JPEG
            rows, columns = np.nonzero(mask)
            assert rows.mean() == pytest.approx((size - 1) / 2, abs=1.0)
            assert columns.mean() == pytest.approx((size - 1) / 2, abs=1.0)


def test_birds_of_chosen_classes(tmp_path: Path) -> None:
    write_cub(tmp_path / "root")
    assert list(birds_of(tmp_path / "root", tmp_path / "a", classes="2")[1]) == sorted(STEMS[2:])
    assert list(birds_of(tmp_path / "root", tmp_path / "b", classes="laysan, 1")[1]) == sorted(STEMS)
    assert list(birds_of(tmp_path / "root", tmp_path / "c", classes="footed")[1]) == sorted(STEMS[:2])
    for number, wrong in enumerate(("penguin", "3", "1,,2")):
        with pytest.raises(DatasetError, match=r"classes\.txt: has no class"):
            birds_of(tmp_path / "root", tmp_path / f"wrong{number}", classes=wrong)


def test_so_many_birds_and_always_the_same(tmp_path: Path) -> None:
    write_cub(tmp_path / "root")
    two = list(birds_of(tmp_path / "root", tmp_path / "a", images=2)[1])
    assert len(two) == 2
    assert set(two) < set(birds_of(tmp_path / "root", tmp_path / "b", images=3)[1])
    assert tree(tmp_path / "a") == (birds_of(tmp_path / "root", tmp_path / "c", images=2), tree(tmp_path / "c"))[1]
    assert len(birds_of(tmp_path / "root", tmp_path / "d", images=0)[1]) == 4


def test_birds_cropped_to_their_masks(tmp_path: Path) -> None:
    folder = write_cub(tmp_path / "root")
    lines = (folder / "bounding_boxes.txt").read_text().splitlines()
    (folder / "bounding_boxes.txt").write_text("\n".join([lines[0].split()[0] + " 1 1 90 70", *lines[1:]]))
    wide, tight = (
        birds_of(tmp_path / "root", tmp_path / crop_to, crop_to=crop_to)[1][STEMS[0]] for crop_to in ("box", "mask")
    )
    assert wide["box"] == [1, 1, 90, 70]
    assert tight["box"] == list(box_of(0))


def test_bad_birds_are_reported_and_skipped(tmp_path: Path) -> None:
    folder = write_cub(tmp_path / "root")
    (folder / "segmentations" / f"{STEMS[0]}.png").unlink()
    image = folder / "images" / NAMES[1]
    image.write_bytes(image.read_bytes()[:150])
    cv2.imwrite(str(folder / "segmentations" / f"{STEMS[2]}.png"), np.zeros((90, 120), np.uint8))
    skipped, record = birds_of(tmp_path / "root", tmp_path / "out")
    assert list(record) == [STEMS[3]]
    by_name = {line.split(": ")[0]: line for line in skipped}
    assert list(by_name) == sorted(STEMS[:3])
    assert "no such file, expected the segmentation" in by_name[STEMS[0]]
    assert "cannot be decoded" in by_name[STEMS[1]]
    assert "the mask has 0 pixels, expected at least 64" in by_name[STEMS[2]]


def test_birds_without_segmentations(tmp_path: Path) -> None:
    write_cub(tmp_path / "root", segmentations="none")
    with pytest.raises(DatasetError, match=r"no picture can be used; .*has no segmentations"):
        birds_of(tmp_path / "root", tmp_path / "out")


def test_birds_through_the_runner(tmp_path: Path) -> None:
    root = write_cub(tmp_path / "root").parent
    for name in ("a", "b"):
        summary = prepare(cub.RECIPE, root, tmp_path / name, executor="processes", split="train")
        assert (summary.is_complete, summary.left_out, summary.combined) == (True, 0, ("train.txt", "val.txt"))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    listed = [(tmp_path / "a" / name).read_text().split() for name in ("train.txt", "val.txt")]
    assert [len(names) for names in listed] == [1, 1]
    assert sorted(listed[0] + listed[1]) == sorted(f"birds_train/{stem}" for stem in (STEMS[1], STEMS[2]))


@pytest.fixture
def airplanes(tmp_path: Path) -> Path:
    """Renders in two folders: a square, a bar with alpha as its mask, one without mask and one cut short."""
    root = tmp_path / "airplanes"
    for folder in ("rgb", "masks"):
        (root / folder / "set").mkdir(parents=True)
    image = np.full((40, 60, 3), (20, 40, 60), np.uint8)
    for name in ("square", "bar", "lonely", "cut"):
        cv2.imwrite(str(root / f"rgb/set/{name}.png"), image[..., ::-1])
    square, bar = np.zeros((40, 60), np.uint8), np.zeros((40, 60, 4), np.uint8)
    square[10:30, 20:40] = 1
    bar[5:10, 10:50] = 255
    bar[..., :3] = 255
    cv2.imwrite(str(root / "masks/set/square.png"), square)
    cv2.imwrite(str(root / "masks/set/bar.png"), bar)
    (root / "masks/set/cut.png").write_bytes((root / "masks/set/square.png").read_bytes()[:40])
    return root


def test_folders_of_images_with_masks(airplanes: Path, tmp_path: Path) -> None:
    (item,) = find_objects(airplanes, None)
    (tmp_path / "out").mkdir()
    skipped = prepare_objects(item, tmp_path / "out", CropSettings())
    assert [line.split(": ")[0] for line in skipped] == ["set/cut", "set/lonely"]
    assert "cannot be decoded" in skipped[0]
    assert "has no mask of the same name" in skipped[1]
    record = json.loads((tmp_path / "out/crops.json").read_text())
    assert record["set/square"] == {"image": "rgb/set/square.png", "box": [20, 10, 20, 20], "square_px": 80}
    assert record["set/bar"] == {"image": "rgb/set/bar.png", "box": [10, 5, 40, 5], "square_px": 100}
    mask = cv2.imread(str(tmp_path / "out/mask_128/set/square.png"), cv2.IMREAD_UNCHANGED)
    expected = np.zeros((128, 128), np.uint8)
    expected[48:80, 48:80] = 255
    np.testing.assert_array_equal(mask, expected)
    color = cv2.imread(str(tmp_path / "out/rgb_128/set/square.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert (color[expected > 0] == (20, 40, 60)).all()


def test_masks_beside_their_images(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    mask = np.zeros((30, 30), np.uint8)
    mask[5:20, 5:20] = 255
    for number in range(3):
        cv2.imwrite(str(root / f"plane{number}.png"), np.full((30, 30, 3), 50 + number, np.uint8))
        cv2.imwrite(str(root / f"plane{number}_mask.png"), mask)
    summary = prepare(objects.RECIPE, root, tmp_path / "out", executor="processes")
    assert summary.is_complete
    listed = [(tmp_path / "out" / name).read_text().split() for name in ("train.txt", "val.txt")]
    assert sorted(listed[0] + listed[1]) == [f"objects/plane{number}" for number in range(3)]
    assert len(listed[1]) == 1


def test_sixteen_bit_and_grey_masks(tmp_path: Path) -> None:
    values = np.array([[0, 20000, 40000, 65535]], np.uint16).repeat(2, axis=0)
    cv2.imwrite(str(tmp_path / "m.png"), values)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", tmp_path / "i.png")[0], [False, False, True, True])
    cv2.imwrite(str(tmp_path / "m.png"), np.array([[0, 100, 127, 128, 255]], np.uint8))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", tmp_path / "i.png")[0], [0, 0, 0, 1, 1])


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder, expected images with masks"):
        find_objects(tmp_path / "nothing", None)
    with pytest.raises(DatasetError, match="no images with masks; looked for rgb/, images/"):
        find_objects(tmp_path, None)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4), np.uint8))
    with pytest.raises(DatasetError, match="no images with masks"):
        find_objects(tmp_path, None)
    with pytest.raises(DatasetError, match="has no splits"):
        find_objects(tmp_path, "train")
    (tmp_path / "out").mkdir()
    cv2.imwrite(str(tmp_path / "a_mask.png"), np.zeros((4, 4), np.uint8))
    with pytest.raises(DatasetError, match="no picture can be used; a: the mask has 0 pixels"):
        prepare_objects(Item("objects", tmp_path), tmp_path / "out", CropSettings())
