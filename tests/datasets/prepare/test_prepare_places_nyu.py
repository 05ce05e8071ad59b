"""Hole masks of Places365, and depth and masks of NYU Depth v2, from data sets in their official layout."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import layout_nyu
import numpy as np
import pytest
from layout_nyu import TEST_SCENES, TRAIN_SCENES, write_nyu_labelled, write_nyu_sync
from layout_places import write_places
from made_up_recipe import tree

from showroom_ros.datasets.nyu_labelled import CAMERA
from showroom_ros.datasets.prepare import nyu, places
from showroom_ros.datasets.prepare.hole_masks import Viewpoint, hole_mask
from showroom_ros.datasets.prepare.nyu import NyuSettings, find_nyu, prepare_nyu
from showroom_ros.datasets.prepare.places import PlacesSettings, find_places, prepare_places
from showroom_ros.datasets.prepare.recipe import Item
from showroom_ros.datasets.prepare.run import prepare
from showroom_ros.errors import DatasetError, InputError, SettingsError
from showroom_ros.geometry.edges import snap_edges


class StepTeacher:
    """The left half is near; images whose red is over 200 are too much for it."""

    name, sha256 = "step", "0" * 64

    def predict(self, image: np.ndarray, sensor_depth: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
        if image[..., 0].max() > 200:
            raise InputError("too red")
        depth = np.ones(image.shape[:2], np.float32)
        depth[:, : image.shape[1] // 2] = 0.5
        return depth


@pytest.fixture
def step_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (places, nyu):
        monkeypatch.setattr(module, "teacher_of", lambda settings: StepTeacher())


def prepared(function, item: Item, out: Path, settings: object) -> list[str]:
    out.mkdir(parents=True)
    return function(item, out, settings)


def test_items_of_places(tmp_path: Path) -> None:
    root = write_places(tmp_path)
    assert [item.key for item in find_places(root, None)] == [
        "train/a/airfield/00000",
        "train/b/bus_station/indoor/00000",
        "train/k/kitchen/00000",
        "val/00000",
        "test/00000",
    ]
    assert find_places(root, "val") == [Item("val/00000", root / "val_256")]


def test_items_of_places_are_of_a_hundred_images(tmp_path: Path) -> None:
    root = write_places(tmp_path)
    for number in range(3, 203):
        (root / "val_256" / f"Places365_val_{number:08d}.jpg").write_bytes(b"")
    assert [item.key for item in find_places(root, "val")] == ["val/00000", "val/00001", "val/00002"]


def test_masks_of_places(tmp_path: Path, step_teacher: None) -> None:
    item = find_places(write_places(tmp_path / "root", size=(160, 120)), "val")[0]
    assert prepared(prepare_places, item, tmp_path / "out", PlacesSettings(seed=3)) == []
    record = json.loads((tmp_path / "out/masks.json").read_text())
    assert (record["teacher"], record["teacher_sha256"]) == ("step", "0" * 64)
    assert list(record["masks"]) == ["Places365_val_00000001", "Places365_val_00000002"]
    viewpoints = []
    for name, values in record["masks"].items():
        written = cv2.imread(str(tmp_path / f"out/{name}.png"), cv2.IMREAD_UNCHANGED)
        assert (written.dtype, set(np.unique(written))) == (np.uint8, {0, 255})
        viewpoint = Viewpoint(values["azimuth_deg"], values["elevation_deg"], values["distance"])
        depth = StepTeacher().predict(np.zeros((120, 160, 3), np.uint8))
        np.testing.assert_array_equal(written == 255, hole_mask(snap_edges(depth), viewpoint))
        assert values["hole_share"] == pytest.approx((written == 255).mean(), abs=1e-6)
        viewpoints.append(viewpoint)
    assert viewpoints[0] != viewpoints[1]


def test_viewpoints_of_places_depend_on_names_and_seed_alone(tmp_path: Path, step_teacher: None) -> None:
    root = write_places(tmp_path / "root")
    item = find_places(root, "val")[0]
    first = {}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        prepared(prepare_places, item, tmp_path / name, PlacesSettings(seed=seed))
        first[name] = tree(tmp_path / name)
    assert first["a"] == first["b"]
    assert first["a"] != first["c"]
    (root / "val_256/Places365_val_00000001.jpg").unlink()
    prepared(prepare_places, item, tmp_path / "d", PlacesSettings(seed=3))
    assert tree(tmp_path / "d")["Places365_val_00000002.png"] == first["a"]["Places365_val_00000002.png"]


def test_bad_photos_are_reported_and_skipped(tmp_path: Path, step_teacher: None) -> None:
    root = write_places(tmp_path / "root")
    folder = root / "val_256"
    (folder / "Places365_val_00000003.jpg").write_bytes((folder / "Places365_val_00000001.jpg").read_bytes()[:200])
    cv2.imwrite(str(folder / "Places365_val_00000004.jpg"), np.full((48, 64, 3), (0, 0, 250), np.uint8))
    skipped = prepared(prepare_places, find_places(root, "val")[0], tmp_path / "out", PlacesSettings())
    assert [line.rpartition("/")[2].split(":")[0] for line in skipped] == [
        "Places365_val_00000003.jpg",
        "Places365_val_00000004.jpg",
    ]
    assert "cannot be decoded" in skipped[0]
    assert "too red" in skipped[1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "Places365_val_00000001.png",
        "Places365_val_00000002.png",
        "masks.json",
    ]


def test_places_without_a_usable_photo(tmp_path: Path, step_teacher: None) -> None:
    root = write_places(tmp_path / "root")
    for path in (root / "test_256").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"none of 1 images can be used; first: .*cannot be decoded"):
        prepared(prepare_places, find_places(root, "test")[0], tmp_path / "out", PlacesSettings())


def test_places_needs_a_teacher(tmp_path: Path) -> None:
    item = find_places(write_places(tmp_path / "root"), "val")[0]
    with pytest.raises(SettingsError, match="none is named: expected --teacher marigold"):
        prepared(prepare_places, item, tmp_path / "out", PlacesSettings())
    with pytest.raises(DatasetError, match="no measured depth, which is all that the teacher 'sensor' knows"):
        prepared(prepare_places, item, tmp_path / "sensor", PlacesSettings(teacher="sensor"))
    with pytest.raises(SettingsError, match="none is named"):
        prepare(places.RECIPE, tmp_path / "root", tmp_path / "unmade", executor="processes")
    assert not (tmp_path / "unmade").exists()


def test_items_of_nyu(tmp_path: Path) -> None:
    root = write_nyu_sync(tmp_path)
    train, test = [f"sync/{name}" for name in TRAIN_SCENES], [f"official_splits/test/{name}" for name in TEST_SCENES]
    assert [item.key for item in find_nyu(root, "train")] == train
    assert [item.key for item in find_nyu(root, "test")] == test
    assert [item.key for item in find_nyu(root, None)] == train + test
    assert [item.key for item in find_nyu(write_nyu_labelled(tmp_path / "mat").parent, "test")] == [
        "nyu_depth_v2_labeled/test"
    ]


def test_depth_and_masks_of_nyu(tmp_path: Path) -> None:
    item = find_nyu(write_nyu_sync(tmp_path / "root"), "train")[0]
    assert prepared(prepare_nyu, item, tmp_path / "out", NyuSettings()) == []
    record = json.loads((tmp_path / "out/frames.json").read_text())
    assert (record["teacher"], list(record["frames"])) == ("sensor", ["rgb_00045", "rgb_00105"])
    for frame, (name, values) in enumerate(record["frames"].items()):
        depth = cv2.imread(str(tmp_path / f"out/{name}_depth.png"), cv2.IMREAD_UNCHANGED)
        holes = cv2.imread(str(tmp_path / f"out/{name}_holes.png"), cv2.IMREAD_UNCHANGED)
        measured = layout_nyu.depth_mm(frame)[8:472, 8:632].astype(np.float32) / np.float32(1000)
        known = measured > 0
        assert (depth.shape, depth.dtype) == ((480, 640), np.uint16)
        np.testing.assert_array_equal(depth[8:472, 8:632][known], np.rint(measured / measured.max() * 65535)[known])
        assert depth[8:472, 8:632].min() > 0  # unknown corner was filled
        frame_pixels = np.ones((480, 640), bool)
        frame_pixels[8:472, 8:632] = False
        assert not depth[frame_pixels].any()
        assert (holes[frame_pixels] == 255).all()
        relative = np.where(known, measured / measured.max(), np.float32(np.nan))
        viewpoint = Viewpoint(values["azimuth_deg"], values["elevation_deg"], values["distance"])
        expected = hole_mask(relative, viewpoint, CAMERA.cropped(8, 8, 624, 464))
        np.testing.assert_array_equal(holes[8:472, 8:632] == 255, expected)


def test_teacher_of_nyu_sees_the_images_without_their_frame(tmp_path: Path, step_teacher: None) -> None:
    item = find_nyu(write_nyu_sync(tmp_path / "root", frames=1), "test")[0]
    with pytest.raises(DatasetError, match="none of its 1 frames can be used; first: rgb_00045: too red"):
        prepared(prepare_nyu, item, tmp_path / "out", NyuSettings())


def test_bad_frames_of_nyu_are_reported_and_skipped(tmp_path: Path) -> None:
    root = write_nyu_sync(tmp_path / "root", frames=4)
    scene = root / "sync" / TRAIN_SCENES[0]
    cv2.imwrite(str(scene / "sync_depth_00045.png"), np.zeros((480, 640), np.uint16))
    color = scene / "rgb_00105.jpg"
    color.write_bytes(color.read_bytes()[:300])
    cv2.imwrite(str(scene / "sync_depth_00165.png"), np.ones((48, 64), np.uint16))
    skipped = prepared(prepare_nyu, find_nyu(root, "train")[0], tmp_path / "out", NyuSettings())
    assert [line.split(":")[0] for line in skipped] == ["rgb_00045", "rgb_00105", "rgb_00165"]
    assert "unknown at every pixel" in skipped[0]
    assert "rgb_00105.jpg" in skipped[1]
    assert "expected 640x480" in skipped[2]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "frames.json",
        "rgb_00225_depth.png",
        "rgb_00225_holes.png",
    ]


def test_nyu_through_the_runner(tmp_path: Path) -> None:
    root = write_nyu_sync(tmp_path / "root", frames=3)
    for name in ("a", "b"):
        summary = prepare(nyu.RECIPE, root, tmp_path / name, NyuSettings(every=2), executor="processes")
        assert (summary.is_complete, summary.left_out, summary.combined) == (True, 0, ("test.txt", "train.txt"))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert (tmp_path / "a/train.txt").read_text().split() == [
        f"sync/{scene}/rgb_{number}" for scene in TRAIN_SCENES for number in ("00045", "00165")
    ]
    assert (tmp_path / "a/test.txt").read_text().split() == [
        f"official_splits/test/{TEST_SCENES[0]}/rgb_{number}" for number in ("00045", "00165")
    ]


def test_labelled_nyu(tmp_path: Path) -> None:
    root = write_nyu_labelled(tmp_path / "root").parent
    summary = prepare(nyu.RECIPE, root, tmp_path / "out", split="train", executor="processes")
    assert summary.is_complete
    assert (tmp_path / "out/train.txt").read_text().split() == [
        f"nyu_depth_v2_labeled/train/{number:06d}" for number in range(2)
    ]
