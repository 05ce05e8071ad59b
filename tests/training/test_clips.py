"""Clips of posed video: what is cut, mirrored, scaled and displaced still fits together."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from tsdf_scenes import room_views

from showroom_ros.errors import DatasetError
from showroom_ros.training.appearance import as_by_another_camera
from showroom_ros.training.clips import Clips, ClipSettings, cut_out, mirrored, neighbours, scaled_scene, stacked_views
from showroom_ros.training.hints import made_up_hint
from showroom_ros.training.scenes import RecordedScene, open_scenes

SETTINGS = ClipSettings(views=3, width=96, height=64, max_turn_deg=60.0, max_baseline_m=2.0, min_overlap=0.05)


@cache
def views_of_the_room():
    return room_views(20)


class Room:
    """Rendered views of a box room as a ``Sequence``."""

    name = "box room"

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return views_of_the_room()[index]


def reprojection_error(clip) -> float:
    """Median distance in metres between the first view's surface and the second's, where both see it."""
    depth, K, poses = (clip[name].double() for name in ("depth", "K", "T_world_camera"))
    v, u = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in depth.shape[1:]), indexing="ij")
    z = depth[0]
    points = torch.stack([(u - K[0, 0, 2]) / K[0, 0, 0] * z, (v - K[0, 1, 2]) / K[0, 1, 1] * z, z], -1)
    relative = torch.linalg.inv(poses[1]) @ poses[0]
    there = points @ relative[:3, :3].T + relative[:3, 3]
    column = (there[..., 0] / there[..., 2] * K[1, 0, 0] + K[1, 0, 2]).round().nan_to_num(-1).long()
    row = (there[..., 1] / there[..., 2] * K[1, 1, 1] + K[1, 1, 2]).round().nan_to_num(-1).long()
    inside = (column >= 0) & (column < u.shape[1]) & (row >= 0) & (row < u.shape[0]) & (there[..., 2] > 0)
    seen = depth[1][row[inside], column[inside]]
    return float((seen - there[..., 2][inside]).abs().nanmedian())


@pytest.fixture(scope="module")
def clip():
    views = room_views(20)
    return stacked_views([views[3], views[4]])


@pytest.mark.parametrize(
    "change",
    [
        lambda clip: clip,
        mirrored,
        lambda clip: cut_out(clip, 96, 64, np.random.default_rng(1)),
        lambda clip: cut_out(clip, 96, 64, None),
        lambda clip: scaled_scene(clip, 1.3),
        lambda clip: scaled_scene(mirrored(cut_out(clip, 80, 80, np.random.default_rng(2))), 0.8),
    ],
)
def test_changed_clips_still_fit_together(clip, change):
    assert reprojection_error(change(clip)) < 0.02


def test_the_check_sees_what_does_not_fit(clip):
    broken = {**clip, "T_world_camera": scaled_scene(clip, 2.5)["T_world_camera"]}
    assert reprojection_error(broken) > 0.05


def test_clips_depend_on_their_number_alone():
    one, other = (Clips([RecordedScene(Room())], SETTINGS, 3) for _ in range(2))
    other[5]
    for name, value in one[2].items():
        assert torch.equal(value.nan_to_num(-1), other[2][name].nan_to_num(-1))
    assert not torch.equal(one[2]["images"], one[3]["images"])
    assert one[2]["images"].shape == (3, 3, 64, 96)
    assert 0 <= one[2]["images"].min() <= one[2]["images"].max() <= 1


def test_neighbours_see_the_same_from_elsewhere():
    poses = RecordedScene(Room()).poses
    rng = np.random.default_rng(0)
    found = neighbours(poses, 3, SETTINGS, rng)
    assert found is not None
    assert found[0] == 3
    assert len(set(found)) == 3
    still = np.stack([np.eye(4)] * 5)
    assert neighbours(still, 0, SETTINGS, rng) is None
    lost = poses.copy()
    lost[3] = np.nan
    assert neighbours(lost, 3, SETTINGS, rng) is None


def test_a_scene_without_neighbours_is_named():
    with pytest.raises(DatasetError, match="box room"):
        Clips([RecordedScene(Room())], ClipSettings(views=3, width=96, height=64, min_baseline_m=9.0), 0)[0]
    with pytest.raises(DatasetError, match="no scenes"):
        Clips([], SETTINGS, 0)


def test_another_camera_sees_the_same_picture_in_other_colours():
    images = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(images[..., ::8, ::8], size=(40, 40), mode="bilinear")
    for seed in range(5):
        changed = as_by_another_camera(images, np.random.default_rng(seed))
        assert changed.shape == images.shape
        assert 0 <= changed.min() <= changed.max() <= 1
        grey, before = changed.mean(1).flatten(1), images.mean(1).flatten(1)
        likeness = torch.corrcoef(torch.stack([grey[0], before[0]]))[0, 1]
        assert likeness > 0.4
    again = as_by_another_camera(images, np.random.default_rng(4))
    assert torch.equal(changed, again)


def test_hints_are_mostly_right_and_say_where_they_are():
    depth = torch.full((60, 80), 2.0)
    depth[:10] = torch.nan
    for seed in range(10):
        hint, trust = made_up_hint(depth, np.random.default_rng(seed))
        known = torch.isfinite(hint)
        assert not known[:10].any()
        assert (trust[~known] == 0).all()
        assert ((trust[known] > 0) & (trust[known] <= 1)).all()
        assert ((hint[known] - 2).abs() < 0.15).float().mean() > 0.6


def test_scenes_by_what_data_says(tmp_path):
    rooms = open_scenes("synthetic:train/3-5")
    assert [scene.name for scene in rooms] == ["synthetic:train/3", "synthetic:train/4", "synthetic:train/5"]
    assert all(scene.name.startswith("synthetic:val/") for scene in open_scenes("synthetic:train", validation=True))
    assert open_scenes("all:synthetic:train/3-5", validation=True)[0].name == "synthetic:train/3"
    for data in (str(tmp_path / "nothing"), str(tmp_path), "synthetic:train/x", "scannet:" + str(tmp_path)):
        with pytest.raises(DatasetError):
            open_scenes(data)
