"""Any folder of images with masks (renders of airplanes, say) for supersizing: square pictures, cut to the masks.

The folder has ``rgb/`` (or ``images/``) and ``mask/`` (or ``masks/``) with the same names, or ``NAME.png`` with
``NAME_mask.png``. One item, with what ``object_crops`` says; ``train.txt`` and ``val.txt`` beside it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.files import read_color
from showroom_ros.datasets.image_files import IMAGE_SUFFIXES
from showroom_ros.datasets.prepare.object_crops import (
    CropSettings,
    Source,
    chosen_names,
    combine_crops,
    no_box,
    write_crops,
)
from showroom_ros.datasets.prepare.recipe import Item, Recipe
from showroom_ros.errors import DatasetError

_IMAGE_FOLDERS = ("rgb", "images", "image")
_MASK_FOLDERS = ("mask", "masks", "segmentations")
_MASK_ENDING = "_mask"
_MASK_THRESHOLD = 128


def find_objects(root: Path, split: str | None) -> list[Item]:
    """One item: the folder."""
    if split is not None:
        raise DatasetError(f"{root}: has no splits, found split '{split}' asked for")
    if not pairs_of(root):
        raise DatasetError(
            f"{root}: no images with masks; looked for {'/, '.join(_IMAGE_FOLDERS)}/ beside "
            f"{'/, '.join(_MASK_FOLDERS)}/, and for NAME.png with NAME{_MASK_ENDING}.png"
        )
    return [Item("objects", root)]


def prepare_objects(item: Item, out: Path, settings: CropSettings) -> list[str]:
    """The chosen pictures of a folder; images without a mask are reported.

    Raises:
        DatasetError: none can be used.
    """
    pairs = pairs_of(item.source)
    sources = [
        Source(
            name=name,
            read_image=partial(read_color, pairs[name][0]),
            read_mask=partial(read_mask, pairs[name][1], pairs[name][0]),
            read_box=no_box,
            note={"image": pairs[name][0].relative_to(item.source).as_posix()},
        )
        for name in chosen_names(list(pairs), settings)
    ]
    return write_crops(sources, out, settings)


def pairs_of(root: Path) -> dict[str, tuple[Path, Path | None]]:
    """Image and mask (None where there is none) by name."""
    images = next((root / name for name in _IMAGE_FOLDERS if (root / name).is_dir()), None)
    masks = next((root / name for name in _MASK_FOLDERS if (root / name).is_dir()), None)
    if images is not None and masks is not None:
        by_name = _images_by_name(masks)
        return {name: (path, by_name.get(name)) for name, path in _images_by_name(images).items()}
    files = _images_by_name(root)
    if not any(name.endswith(_MASK_ENDING) for name in files):
        return {}
    names = [name for name in files if not name.endswith(_MASK_ENDING)]
    return {name: (files[name], files.get(name + _MASK_ENDING)) for name in names}


def read_mask(path: Path | None, image: Path) -> NDArray[np.bool_]:
    """Bool [H, W] of a mask: its alpha channel if it has one that varies, else its grey, half or more.

    Raises:
        DatasetError: there is none, or it cannot be decoded.
    """
    if path is None:
        raise DatasetError(f"{image}: has no mask of the same name")
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if values is None:
        raise DatasetError(f"{path}: missing, or cannot be decoded as an image")
    if values.ndim == 3:
        alpha = values[..., 3] if values.shape[2] == 4 and np.ptp(values[..., 3]) else None
        values = alpha if alpha is not None else values[..., :3].max(axis=2)
    if values.dtype == np.uint16:
        values = (values // 257).astype(np.uint8)
    return np.asarray(values >= (1 if values.max() <= 1 else _MASK_THRESHOLD))


def _images_by_name(folder: Path) -> dict[str, Path]:
    """Image files below a folder by path without suffix, sorted."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder, expected images with masks")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in files}


RECIPE = Recipe(
    name="objects",
    title="square pictures and masks from a folder of images with masks",
    find=find_objects,
    prepare=prepare_objects,
    settings=CropSettings,
    combine=combine_crops,
)
