"""Birds of CUB-200-2011 for supersizing: 200 square pictures with masks, of all or of chosen classes.

One item, with what ``object_crops`` says; ``train.txt`` and ``val.txt`` beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.cub import DATASET, Cub
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
from showroom_ros.settings import setting


@dataclass(frozen=True)
class CubSettings(CropSettings):
    """Which birds, and how they are cut out."""

    classes: str = setting("", "classes to take, by number or part of the name, with commas; empty = all")
    crop_to: str = setting("box", "the published box, or that of the mask", choices=("box", "mask"))


def find_cub(root: Path, split: str | None) -> list[Item]:
    """One item: the birds of the data set, or of its split."""
    return [Item(f"birds_{split}" if split else "birds", scene) for scene in DATASET.scenes(root, split)]


def prepare_cub(item: Item, out: Path, settings: CubSettings) -> list[str]:
    """The chosen birds.

    Raises:
        DatasetError: the data set cannot be read, a class is unknown, or no bird can be used.
    """
    birds = Cub(item.source)
    wanted = chosen_classes(birds, settings.classes)
    indices = {birds.names[index]: index for index in range(len(birds)) if birds.labels[index] in wanted}
    sources = []
    for name in chosen_names(list(indices), settings):
        index = indices[name]
        sources.append(
            Source(
                name=str(Path(name).with_suffix("").as_posix()),
                read_image=partial(_image_of, birds, index),
                read_mask=partial(birds.mask, index),
                read_box=partial(birds.box, index) if settings.crop_to == "box" else no_box,
                note={"class": birds.class_name(index), "image": name},
            )
        )
    return write_crops(sources, out, settings)


def chosen_classes(birds: Cub, text: str) -> set[int]:
    """Numbers of the classes that a text names.

    Raises:
        DatasetError: one of them is unknown.
    """
    if not text.strip():
        return set(birds.labels)
    found: set[int] = set()
    for word in (part.strip() for part in text.split(",")):
        named = {
            number
            for number, name in birds.classes.items()
            if (word.isdecimal() and int(word) == number) or (not word.isdecimal() and word.lower() in name.lower())
        }
        if not word or not named:
            raise DatasetError(
                f"{birds.path / 'classes.txt'}: has no class '{word}', expected a number or a part of a name such as "
                f"{next(iter(birds.classes.values()), '')}"
            )
        found |= named
    return found


def _image_of(birds: Cub, index: int) -> NDArray[np.uint8]:
    return birds.frame(index).image


RECIPE = Recipe(
    name="cub",
    title="square pictures and masks of the birds of CUB-200-2011",
    find=find_cub,
    prepare=prepare_cub,
    settings=CubSettings,
    combine=combine_crops,
)
