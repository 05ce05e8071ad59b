"""The video recipes on tiny data sets in their official layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layout_arkitscenes import write_arkitscenes
from layout_icl_nuim import write_icl_nuim
from layout_scannet import (
    COLOR,
    DEPTH,
    LOST,
    scannet_frames,
    scannet_poses,
    write_scannet_exported,
    write_scannet_sens,
    write_scannet_splits,
)
from made_up_recipe import tree
from textured_room import box_poses, render_room, room_mesh

from showroom_ros.datasets.prepare.posed_video import FusedVideoSettings, VideoSettings
from showroom_ros.datasets.prepare.prepared import Prepared
from showroom_ros.datasets.prepare.recipe import Recipe
from showroom_ros.datasets.prepare.recipes import RECIPES
from showroom_ros.datasets.prepare.run import prepare
from showroom_ros.errors import DatasetError


def recipe(name: str) -> Recipe:
    return next(one for one in RECIPES if one.name == name)


def test_scannet(tmp_path: Path) -> None:
    write_scannet_sens(tmp_path / "root")
    write_scannet_exported(tmp_path / "root", "scene0001_00")
    write_scannet_splits(tmp_path / "root", train=["scene0000_00", "scene0001_00"], val=["scene0001_00"])
    settings = VideoSettings(width=160, height=120)
    summary = prepare(
        recipe("scannet"), tmp_path / "root", tmp_path / "out", settings, split="train", executor="processes"
    )
    assert [(outcome.key, outcome.skipped) for outcome in summary.outcomes] == [
        (f"scans/scene000{number}_00", ("1 frames: no pose",)) for number in (0, 1)
    ]
    poses, frames = scannet_poses(4), scannet_frames(4)
    for name in ("scene0000_00", "scene0001_00"):
        scene = Prepared(tmp_path / "out" / "scans" / name)
        names = [entry["filename_color"] for entry in scene.info["frames"]]
        assert names == [f"color/{number:05d}.jpg" for number in range(4) if number != LOST]
        for index, number in enumerate(number for number in range(4) if number != LOST):
            view = scene[index]
            assert view.camera == DEPTH
            np.testing.assert_allclose(view.T_world_camera, poses[number], atol=1e-6)
            millimetres = np.rint(np.nan_to_num(view.depth) * 1000)
            np.testing.assert_array_equal(millimetres, frames[number][1])
            expected, _ = render_room(DEPTH, box_poses(4)[number])  # the colours the depth camera would see
            difference = np.abs(view.image.astype(float) - expected).mean(-1)
            assert np.median(difference[4:-4, 4:-4]) < 12
        assert len(scene.ground_truth_mesh().vertices) == len(room_mesh().vertices)
        assert scene.tsdf_layer(2)[0].ndim == 3
    summary = prepare(
        recipe("scannet"), tmp_path / "root", tmp_path / "val", settings, split="val", executor="processes"
    )
    assert [outcome.key for outcome in summary.outcomes] == ["scans/scene0001_00"]
    with pytest.raises(DatasetError, match="split 'tain' is unknown, expected one of train, val, test"):
        prepare(recipe("scannet"), tmp_path / "root", tmp_path / "out", split="tain", executor="processes")
    assert COLOR.width > DEPTH.width


def test_depth_alignment_keeps_the_colour_camera(tmp_path: Path) -> None:
    write_scannet_exported(tmp_path / "root")
    settings = VideoSettings(width=0, height=0, alignment="depth", tsdf=False, mesh="none")
    assert prepare(recipe("scannet"), tmp_path / "root", tmp_path / "out", settings, executor="processes").is_complete
    scene = Prepared(tmp_path / "out" / "scans" / "scene0000_00")
    assert scene[0].camera == COLOR
    assert scene.ground_truth_mesh() is None
    assert not list(scene.path.glob("*tsdf*"))


def test_icl_nuim(tmp_path: Path) -> None:
    write_icl_nuim(tmp_path / "root")
    settings = FusedVideoSettings(width=160, height=120, mesh_voxel_m=0.02, max_depth_m=4.0)
    summary = prepare(recipe("icl"), tmp_path / "root", tmp_path / "out", settings, executor="processes")
    assert summary.is_complete
    scene = Prepared(tmp_path / "out" / summary.outcomes[0].key)
    assert scene.info["world_frame"]["up"] == "z"
    for index, entry in enumerate(scene.info["frames"]):
        number = int(entry["filename_color"][6:11])
        pose = box_poses(5)[number]
        # the axes of the room's x and y may be turned: only what does not depend on that is compared
        np.testing.assert_allclose(scene.pose(index)[2, :3], pose[2, :3], atol=1e-5)
        _, depth = render_room(scene.camera(index), pose)
        assert np.median(np.abs(scene.depth(index) - depth)) < 0.003
    mesh = scene.ground_truth_mesh()
    assert len(mesh.vertices) > 500


def test_arkitscenes(tmp_path: Path) -> None:
    write_arkitscenes(tmp_path / "root")
    summary = prepare(
        recipe("arkitscenes"),
        tmp_path / "root",
        tmp_path / "out",
        VideoSettings(width=0, height=0),
        split="Training",
        executor="processes",
        workers=2,
    )
    assert summary.is_complete
    scene = Prepared(tmp_path / "out" / summary.outcomes[0].key)
    assert len(scene) >= 1
    again = prepare(
        recipe("arkitscenes"), tmp_path / "root", tmp_path / "again", VideoSettings(width=0, height=0),
        executor="processes",
    )  # fmt: skip
    assert again.is_complete
    assert tree(tmp_path / "again") == tree(tmp_path / "out")
