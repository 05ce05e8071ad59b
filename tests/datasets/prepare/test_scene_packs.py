"""Sets of a few images per scene."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from layout_box_room import CAMERA, box_depth, box_poses, write_box_room
from made_up_recipe import tree

from showroom_ros.datasets.prepare.recipe import Item
from showroom_ros.datasets.prepare.run import prepare
from showroom_ros.datasets.prepare.scene_packs import RECIPE, PackSettings, ScenePack, drawn_sets, prepare_pack
from showroom_ros.errors import DatasetError, InputError

FEW = PackSettings(width=64, height=48, images_per_set=3, sets=4, min_images=6)
NAME = "rgbd_dataset_freiburg3_box"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    write_box_room(folder, 8)
    return folder


def test_sets_span_a_quarter_of_the_scene() -> None:
    sets = drawn_sets(200, 5, 0, np.random.default_rng(0))
    assert sets.shape == (160, 5)
    assert (np.diff(sets, axis=1) == 10).all()
    assert (sets[0].tolist(), sets[-1].tolist()) == ([0, 10, 20, 30, 40], [159, 169, 179, 189, 199])
    drawn = drawn_sets(200, 5, 30, np.random.default_rng(1))
    assert (len(drawn), len(np.unique(drawn[:, 0]))) == (30, 30)
    assert (np.diff(drawn[:, 0]) > 0).all()
    assert (drawn == drawn_sets(200, 5, 30, np.random.default_rng(1))).all()
    assert (drawn != drawn_sets(200, 5, 30, np.random.default_rng(2))).any()
    assert drawn_sets(25, 5, 0, np.random.default_rng(0)).max() == 24
    with pytest.raises(InputError, match="4 frames, expected at least 5 for one set"):
        drawn_sets(4, 5, 0, np.random.default_rng(0))


def test_what_a_pack_holds(root: Path, tmp_path: Path) -> None:
    summary = prepare(RECIPE, root, tmp_path / "out", FEW, executor="processes")
    assert summary.is_complete
    pack = ScenePack(tmp_path / "out" / NAME)
    assert (pack.name, len(pack), pack.sets.shape, pack.intrinsics_known) == (NAME, 4, (4, 3), True)
    camera, poses = CAMERA.scaled(64, 48), box_poses(8)
    for index in range(len(pack)):
        numbers = pack.numbers[pack.sets[index]]
        assert (np.diff(numbers) == 1).all()
        for view, number in zip(pack[index], numbers, strict=True):
            assert view.image.shape == (48, 64, 3)
            assert (view.image == 40 + 10 * number).all()
            assert view.camera.fx == pytest.approx(camera.fx)
            np.testing.assert_allclose(view.T_world_camera, poses[number], atol=1e-9)
            assert np.abs(view.depth - box_depth(camera, poses[number])).max() < 0.05
    prepare(RECIPE, root, tmp_path / "again", FEW, executor="processes", workers=2)
    assert tree(tmp_path / "again") == tree(tmp_path / "out")
    prepare(RECIPE, root, tmp_path / "other", PackSettings(64, 48, 3, 4, 6, seed=1), executor="processes")
    assert tree(tmp_path / "other") != tree(tmp_path / "out")


def test_photos_without_pose_depth_or_intrinsics(tmp_path: Path) -> None:
    for number in range(6):
        path = tmp_path / "root" / "room" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((60, 120, 3), number, np.uint8))
    assert prepare(RECIPE, tmp_path / "root/room", tmp_path / "out", FEW, executor="processes").is_complete
    pack = ScenePack(tmp_path / "out" / "room" / "pack.npz")
    view = pack[0][0]
    assert (view.depth, view.T_world_camera, pack.intrinsics_known) == (None, None, False)
    assert (view.camera.width, view.camera.height) == (64, 48)


def test_unreadable_images_cost_their_sets(tmp_path: Path) -> None:
    folder = write_box_room(tmp_path / "root", 8)
    (folder / "rgb/1311868165.000000.png").write_bytes(b"x")
    (tmp_path / "out").mkdir()
    every = PackSettings(width=64, height=48, images_per_set=3, sets=0, min_images=6)
    lines = prepare_pack(Item(NAME, folder), tmp_path / "out", every)
    assert lines[0].startswith("frame 1: ")
    assert lines[1] == "2 of 6 sets, for want of these frames"
    pack = ScenePack(tmp_path / "out")
    assert pack.numbers.tolist() == [2, 3, 4, 5, 6, 7]
    for file in (folder / "rgb").iterdir():
        file.write_bytes(b"x")
    with pytest.raises(DatasetError, match="none of 6 sets is whole: frame 0: "):
        prepare_pack(Item(NAME, folder), tmp_path / "out", every)


def test_scenes_with_too_few_images(root: Path, tmp_path: Path) -> None:
    summary = prepare(RECIPE, root, tmp_path / "out", executor="processes")
    assert "has 8 images, expected at least 20" in summary.of_state("failed")[0].reason


def test_broken_packs(root: Path, tmp_path: Path) -> None:
    prepare(RECIPE, root, tmp_path / "out", FEW, executor="processes")
    content = (tmp_path / "out" / NAME / "pack.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[:5000])
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    for name in ("cut.npz", "other.npz", "gone.npz"):
        with pytest.raises(DatasetError, match=f"{name}: cannot be read as a scene pack"):
            ScenePack(tmp_path / name)
