"""Square pictures of one thing each, cut out by its mask: what supersizing learns a category from.

The image is multiplied by the mask, cropped to the thing's box, padded to a square, given a black border and resized.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.prepare.output import write_color, write_json, write_mask
from showroom_ros.datasets.prepare.recipe import Item
from showroom_ros.datasets.prepare.sampling import in_random_order, list_file, split_names
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.settings import setting

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""

RECORD = "crops.json"
SIZES = (224, 128)
"""Pixels of the network's input and of its target."""


@dataclass(frozen=True)
class CropSettings:
    """How things are cut out."""

    images: int = setting(200, "pictures, chosen at random but always the same; 0 = all", minimum=0, maximum=10_000_000)
    border_px: int = setting(30, "black border around the square before it is resized", minimum=0, maximum=1000)
    min_mask_px: int = setting(64, "masks of fewer pixels are left out", minimum=1, maximum=10_000_000)
    val_fraction: float = setting(0.1, "share of the pictures in val.txt", minimum=0.0, maximum=0.9)
    seed: int = setting(0, "of the choice and of the lists", minimum=0, maximum=2**31)


@dataclass(frozen=True)
class Source:
    """One picture to be cut: how to read its image (uint8 [H, W, 3]), mask (bool [H, W]) and box (None = the mask's).

    ``note`` goes into the record.
    """

    name: str
    read_image: Callable[[], NDArray[np.uint8]]
    read_mask: Callable[[], NDArray[np.bool_]]
    read_box: Callable[[], Box | None]
    note: dict[str, Any]


def mask_box(mask: NDArray[np.bool_]) -> Box:
    """The smallest box around a mask [H, W].

    Raises:
        InputError: the mask is empty.
    """
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    if not width:
        raise InputError("the mask is empty")
    return float(left), float(top), float(width), float(height)


def square_crop(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], box: Box | None = None, border_px: int = 30
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Masked image [S, S, 3] and mask [S, S] with the box in the middle; S = longer side of the box + two borders.

    Args:
        image: uint8 [H, W, 3], RGB.
        mask: bool [H, W].
        box: part of the image to take, cut off at its borders; None = the box of the mask.
        border_px: black border around the square.

    Raises:
        InputError: another size, an empty mask, or a box that is outside the image or holds nothing of the mask.
    """
    if mask.shape != image.shape[:2]:
        raise InputError(f"mask is {mask.shape[1]}x{mask.shape[0]}, its image is {image.shape[1]}x{image.shape[0]}")
    left, top, width, height = box or mask_box(mask)
    x0, y0 = max(0, int(np.floor(left))), max(0, int(np.floor(top)))
    x1, y1 = min(image.shape[1], int(np.ceil(left + width))), min(image.shape[0], int(np.ceil(top + height)))
    inside = mask[y0:y1, x0:x1]
    if not inside.any():
        raise InputError(f"the box {width:g}x{height:g}+{left:g}+{top:g} holds nothing of the mask")
    size = max(inside.shape) + 2 * border_px
    square_image, square_mask = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.bool_)
    y, x = (size - inside.shape[0]) // 2, (size - inside.shape[1]) // 2
    window = slice(y, y + inside.shape[0]), slice(x, x + inside.shape[1])
    square_mask[window] = inside
    square_image[window] = image[y0:y1, x0:x1] * inside[..., None]
    return square_image, square_mask


def resized_crop(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Both with ``size`` pixels a side; a pixel is in the mask if half of it was, and black otherwise.

    Colours are those of the masked part of a pixel alone, so that outlines do not darken.
    """
    method = cv2.INTER_AREA if size < len(mask) else cv2.INTER_LINEAR
    share = cv2.resize(mask.astype(np.float32), (size, size), interpolation=method)
    color = cv2.resize(image.astype(np.float32) * mask[..., None], (size, size), interpolation=method)
    inside = share >= 0.5
    color = np.where(inside[..., None], color / np.maximum(share, 0.5)[..., None], 0)
    return np.rint(np.clip(color, 0, 255)).astype(np.uint8), inside


def write_crops(sources: Iterable[Source], out: Path, settings: CropSettings) -> list[str]:
    """Writes ``rgb_S/NAME.png`` and ``mask_S/NAME.png`` for S = 224 and 128, and ``crops.json``.

    Returns what was left out, one line each.

    Raises:
        DatasetError: none could be used.
    """
    skipped, record = [], {}
    for source in sources:
        try:
            image, mask = source.read_image(), source.read_mask()
            if mask.sum() < settings.min_mask_px:
                raise InputError(f"the mask has {int(mask.sum())} pixels, expected at least {settings.min_mask_px}")
            box = source.read_box() or mask_box(mask)
            square = square_crop(image, mask, box, settings.border_px)
        except (DatasetError, InputError) as error:
            skipped.append(f"{source.name}: {error}")
            continue
        for size in SIZES:
            color, inside = resized_crop(*square, size)
            write_color(out / f"rgb_{size}" / f"{source.name}.png", color)
            write_mask(out / f"mask_{size}" / f"{source.name}.png", inside)
        record[source.name] = {**source.note, "box": list(box), "square_px": len(square[1])}
    if not record:
        raise DatasetError("no picture can be used" + "".join(f"; {line}" for line in skipped[:3]))
    write_json(out / RECORD, record)
    return skipped


def combine_crops(items: list[Item], out: Path, settings: CropSettings) -> dict[str, bytes]:
    """``train.txt`` and ``val.txt``: ``<item>/<name>`` a line."""
    names = []
    for item in items:
        record = json.loads((out / item.key / RECORD).read_text(encoding="utf-8"))
        names += [f"{item.key}/{name}" for name in record]
    train, val = split_names(names, settings.val_fraction, settings.seed)
    return {"train.txt": list_file(train), "val.txt": list_file(val)}


def chosen_names(names: list[str], settings: CropSettings) -> list[str]:
    """As many of the names as are asked for, sorted."""
    return sorted(in_random_order(names, settings.seed)[: settings.images or None])


def no_box() -> Box | None:
    """``Source.read_box`` of a picture without one."""
    return None
