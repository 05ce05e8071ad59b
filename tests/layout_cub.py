"""CUB-200-2011: a few birds, ellipses in one colour on another, with boxes and the annotators' masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

CLASSES = ("001.Black_footed_Albatross", "002.Laysan_Albatross")
NAMES = (
    f"{CLASSES[0]}/Black_Footed_Albatross_0046_18.jpg",
    f"{CLASSES[0]}/Black_Footed_Albatross_0009_34.jpg",
    f"{CLASSES[1]}/Laysan_Albatross_0082_524.jpg",
    f"{CLASSES[1]}/Laysan_Albatross_0044_784.jpg",
)
TRAINING = (0, 1, 1, 0)
SIZES = ((100, 80), (80, 100), (120, 90), (100, 80))
"""Width and height of each image."""


def bird(number: int) -> np.ndarray:
    """Bool [H, W]: the pixels that at least three annotators took for bird."""
    width, height = SIZES[number]
    v, u = np.mgrid[:height, :width]
    return ((u - width / 2) / 25) ** 2 + ((v - height / 2) / 15) ** 2 <= 1


def box_of(number: int) -> tuple[float, float, float, float]:
    """Left, top, width, height of the bird."""
    rows, columns = np.nonzero(bird(number))
    left, top = columns.min(), rows.min()
    return float(left), float(top), float(columns.max() - left + 1), float(rows.max() - top + 1)


def write_cub(root: Path, *, segmentations: str = "inside") -> Path:
    """``CUB_200_2011`` below ``root``; ``segmentations``: "inside" it, "beside" it, or "none". Returns its folder."""
    folder = root / "CUB_200_2011"
    grey = {"inside": folder, "beside": root}.get(segmentations)
    for number, name in enumerate(NAMES):
        inside = bird(number)
        image = np.where(inside[..., None], (30, 60, 200), (120, 180, 90)).astype(np.uint8)
        _write_image(folder / "images" / name, image[..., ::-1])
        if grey is not None:
            votes = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3))) * 102  # two of five see a wider bird
            votes[inside] = 153 + 51 * (number % 3)
            _write_image(grey / "segmentations" / Path(name).with_suffix(".png"), votes)
    boxes = [" ".join(f"{value:.1f}" for value in box_of(number)) for number in range(len(NAMES))]
    _write_list(folder / "images.txt", NAMES)
    _write_list(folder / "image_class_labels.txt", [CLASSES.index(name.split("/")[0]) + 1 for name in NAMES])
    _write_list(folder / "train_test_split.txt", TRAINING)
    _write_list(folder / "bounding_boxes.txt", boxes)
    _write_list(folder / "classes.txt", CLASSES)
    return folder


def _write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def _write_list(path: Path, values: object) -> None:
    path.write_text("".join(f"{number} {value}\n" for number, value in enumerate(values, 1)))  # type: ignore[arg-type]
