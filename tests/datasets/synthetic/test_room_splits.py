from __future__ import annotations

import pytest
import torch

from showroom_ros.datasets.synthetic.interiors import KINDS
from showroom_ros.datasets.synthetic.preview import contact_sheet_views, tiled
from showroom_ros.datasets.synthetic.room import Layout
from showroom_ros.datasets.synthetic.room_layout import LayoutClass, layout_classes, wall_side
from showroom_ros.datasets.synthetic.splits import SPLITS, seed_of, settings_of, split_of
from showroom_ros.errors import InputError


def test_splits_are_apart_and_seeds_know_theirs() -> None:
    assert (seed_of("test", 3), seed_of("val", 0), seed_of("train", 0)) == (3, 1000, 2000)
    assert (SPLITS["test"][-1], SPLITS["val"][-1], SPLITS["train"][-1]) == (999, 1999, 2**31 - 1)
    for name, seeds in SPLITS.items():
        for index in (0, 1, len(seeds) - 1):
            assert split_of(seed_of(name, index)) == name


def test_settings_of_a_seed_are_fixed_and_cover_every_kind() -> None:
    assert settings_of(5) == settings_of(5)
    drawn = [settings_of(seed) for seed in SPLITS["test"][:64]]
    assert {s.kind for s in drawn} == set(KINDS)
    assert {s.rooms for s in drawn} == {1, 2, 3}
    assert len({s.clutter for s in drawn}) > 20


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: seed_of("dev", 0), "split 'dev' is unknown, expected one of test, val, train"),
        (lambda: seed_of("test", 1000), "room 1000 of split 'test' does not exist, expected 0 to 999"),
        (lambda: seed_of("val", -1), "room -1 of split 'val'"),
        (lambda: split_of(-1), "seed is -1"),
        (lambda: settings_of(2**31), "seed is 2147483648"),
    ],
)
def test_bad_splits_and_seeds_are_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_walls_are_told_apart_by_where_they_face() -> None:
    normals = torch.tensor(
        [[0, 0, -1.0], [1, 0, -0.1], [-1, 0, -0.1], [0.5, 0, -0.6], [0.7, 0, -0.6], [-0.7, 0.1, 0.2]]
    )
    assert wall_side(normals).tolist() == [1, 2, 3, 1, 2, 3]
    assert wall_side(normals).dtype == torch.uint8


def test_layout_classes_of_a_picture() -> None:
    layout = torch.tensor([[int(x) for x in (Layout.OBJECT, Layout.FLOOR, Layout.CEILING, Layout.WALL)]])
    normals = torch.full((1, 4, 3), float("nan"))
    normals[0, 3] = torch.tensor([1.0, 0, 0])
    expected = [LayoutClass.NONE, LayoutClass.FLOOR, LayoutClass.CEILING, LayoutClass.LEFT_WALL]
    assert layout_classes(layout.to(torch.uint8), normals).tolist() == [[int(x) for x in expected]]


def test_contact_sheet_shows_rooms() -> None:
    views = contact_sheet_views([6, 15], width=96, height=72)
    assert [title.split(":")[0] for title, _ in views] == ["6", "15"]
    for title, picture in views:
        assert picture.shape == (72, 96, 3)
        assert 60 < picture.mean() < 215, title
        assert picture.std() > 20, title
    assert tiled(views, columns=1, gap_px=4).shape == (148, 96, 3)
