"""Places365 as its archives unpack, with a few small photos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

CATEGORIES = ("/a/airfield", "/b/bus_station/indoor", "/k/kitchen")
TRAIN = (("/a/airfield/00000001.jpg", 0), ("/b/bus_station/indoor/00000007.jpg", 1), ("/k/kitchen/00000002.jpg", 2))
VAL = (("Places365_val_00000001.jpg", 2), ("Places365_val_00000002.jpg", 0))
TEST = ("Places365_test_00000001.jpg",)


def photo(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """uint8 [H, W, 3] RGB of one colour that tells the number."""
    return np.full((height, width, 3), (40 * number + 10, 100, 200 - 30 * number), np.uint8)


def write_places(root: Path, train_folder: str = "data_256_standard", size: tuple[int, int] = (64, 48)) -> Path:
    """Lists and images of all three splits; ``photo(k)`` for the k-th of a split. ``size`` is width, height."""
    root.mkdir(parents=True, exist_ok=True)
    for folder, names in (
        (train_folder, [name for name, _ in TRAIN]),
        ("val_256", [name for name, _ in VAL]),
        ("test_256", list(TEST)),
    ):
        for number, name in enumerate(names):
            file = root / folder / name.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), photo(number, *size)[..., ::-1])
    lists = {
        "categories_places365.txt": [f"{name} {number}" for number, name in enumerate(CATEGORIES)],
        "places365_train_standard.txt": [f"{name} {label}" for name, label in TRAIN],
        "places365_val.txt": [f"{name} {label}" for name, label in VAL],
        "places365_test.txt": list(TEST),
    }
    for name, lines in lists.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return root
