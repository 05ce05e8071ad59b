"""Contact sheets: many small pictures on one page, colour beside depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.evaluation.canvas import PAPER, Image, draw_text, heat_colors, labelled, side_by_side, stacked

_GAP_PX = 6
_TITLE_PX = 22


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture of the sheet.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        label: written into its corner.
        depth: float32 [Hd, Wd], NaN unknown (drawn grey); or None.
    """

    image: Image
    label: str
    depth: NDArray[np.float32] | None = None


def contact_sheet(tiles: Sequence[Tile], title: str, *, columns: int = 0, tile_height_px: int = 180) -> Image:
    """Draws all tiles in rows below a title; depth from blue (near) to red, on one scale for the whole sheet.

    Args:
        tiles: in reading order.
        title: of the page; the range of depth is added.
        columns: tiles in a row; 0 = three with depth, four without.
        tile_height_px: height of each picture; its width follows the first tile, others are fitted in.

    Raises:
        InputError: there are no tiles.
    """
    if not tiles:
        raise InputError("there is nothing to draw: no frame could be read")
    height, width = tiles[0].image.shape[:2]
    size = (max(1, round(width * tile_height_px / height)), tile_height_px)
    depths = [tile.depth[::4, ::4].ravel() for tile in tiles if tile.depth is not None]
    values = np.concatenate(depths) if depths else np.zeros(0, np.float32)
    values = values[np.isfinite(values)]
    farthest = float(np.percentile(values, 98)) if len(values) else 1.0
    in_row = columns or (3 if depths else 4)
    pictures = [_drawn(tile, size, farthest, with_depth=bool(depths)) for tile in tiles]
    blank = np.full_like(pictures[0], PAPER)
    pictures += [blank] * (-len(pictures) % min(in_row, len(pictures)))
    in_row = min(in_row, len(pictures))
    rows = [side_by_side(pictures[start : start + in_row], _GAP_PX) for start in range(0, len(pictures), in_row)]
    page = stacked(rows, _GAP_PX)
    head = np.full((2 * _TITLE_PX, page.shape[1], 3), PAPER, np.uint8)
    text = f"{title}; depth from blue (0) to red ({farthest:.3g})" if len(values) else title
    draw_text(head, text, _GAP_PX, int(1.4 * _TITLE_PX), _TITLE_PX)
    return np.concatenate([head, page], axis=0)


def _drawn(tile: Tile, size: tuple[int, int], farthest: float, *, with_depth: bool) -> Image:
    picture = labelled(_fitted(tile.image, size, cv2.INTER_AREA), tile.label)
    if not with_depth:
        return picture
    depth = np.full((size[1], size[0], 3), PAPER, np.uint8)
    if tile.depth is not None:
        colors = heat_colors(tile.depth.astype(np.float64).ravel(), farthest).reshape(*tile.depth.shape, 3)
        depth = _fitted(colors, size, cv2.INTER_NEAREST)
    return side_by_side([picture, depth], 2)


def _fitted(image: Image, size: tuple[int, int], interpolation: int) -> Image:
    """The image as large as fits into width and height, in the middle of paper."""
    scale = min(size[0] / image.shape[1], size[1] / image.shape[0])
    inner = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = cv2.resize(image, inner, interpolation=interpolation)
    result = np.full((size[1], size[0], 3), PAPER, np.uint8)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    result[top : top + inner[1], left : left + inner[0]] = small
    return result
