"""Contact sheets: every picture is there, fitted, beside its depth."""

from __future__ import annotations

import numpy as np
import pytest

from showroom_ros.errors import InputError
from showroom_ros.evaluation.canvas import PAPER
from showroom_ros.evaluation.contact_sheet import Tile, contact_sheet


def plain(color: tuple[int, int, int], width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def test_every_tile_is_drawn_in_its_place() -> None:
    colors = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (30, 200, 200)]
    sheet = contact_sheet([Tile(plain(c), str(i)) for i, c in enumerate(colors)], "five", tile_height_px=90)
    assert sheet.dtype == np.uint8
    head = sheet.shape[0] - (2 * 90 + 6)
    assert sheet.shape[1] == 4 * 120 + 3 * 6
    for i, color in enumerate(colors):
        top, left = head + (i // 4) * 96, (i % 4) * 126
        assert sheet[top + 20, left + 100].tolist() == list(color)
    assert sheet[head + 96 + 20, 126 + 100].tolist() == list(PAPER)  # nothing after the fifth


def test_depth_stands_beside_colour_on_one_scale() -> None:
    near, far = np.full((24, 32), 1.0, np.float32), np.full((48, 64), 4.0, np.float32)
    far[:, :32] = np.nan
    tiles = [Tile(plain((9, 9, 9)), "a", near), Tile(plain((9, 9, 9)), "b", far), Tile(plain((9, 9, 9)), "c")]
    sheet = contact_sheet(tiles, "three", tile_height_px=60)
    head, step = sheet.shape[0] - 60, 2 * 80 + 2 + 6
    at_near, unknown, at_far = sheet[head + 20, 82 + 40], sheet[head + 20, step + 82 + 10], sheet[head + 20, step + 150]
    assert unknown.tolist() == [128, 128, 128]
    assert int(at_near[2]) > int(at_near[0])  # blue
    assert int(at_far[0]) > int(at_far[2])  # red
    assert sheet[head + 20, 2 * step + 82 + 40].tolist() == list(PAPER)  # no depth: paper


def test_pictures_of_other_shapes_are_fitted_not_stretched() -> None:
    sheet = contact_sheet([Tile(plain((9, 9, 9)), ""), Tile(plain((250, 0, 0), 30, 90), "")], "", tile_height_px=90)
    red = (sheet == (250, 0, 0)).all(-1)
    columns = np.nonzero(red.any(axis=0))[0]
    assert columns.max() - columns.min() + 1 == 30
    assert contact_sheet([Tile(plain((1, 1, 1)), "x")], "one").shape[1] == 240


def test_nothing_to_draw() -> None:
    with pytest.raises(InputError, match="no frame could be read"):
        contact_sheet([], "empty")
