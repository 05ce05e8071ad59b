"""Any folder of images: photos of a room, or a clip whose frames were saved as files.

``intrinsics.txt`` beside them, if there, holds fx, fy, cx and cy in pixels of all of them.
"""

from __future__ import annotations

import re
from pathlib import Path

from showroom_ros.datasets.dataset import Dataset
from showroom_ros.datasets.image_files import IMAGE_SUFFIXES, ImageFiles, real_numbers
from showroom_ros.errors import DatasetError


class Photos(ImageFiles):
    """The images of a folder, ordered as a person would number them (2 before 10).

    Attributes:
        path: the folder.
    """

    def __init__(self, path: str | Path) -> None:
        """Lists the images.

        Raises:
            DatasetError: no such folder, no images in it, or ``intrinsics.txt`` does not hold four numbers.
        """
        self.path = Path(path)
        if not self.path.is_dir():
            raise DatasetError(f"{self.path}: no such folder, expected images")
        names = sorted((item.name for item in self.path.iterdir() if _is_image(item)), key=_in_order)
        if not names:
            raise DatasetError(f"{self.path}: has no images ({', '.join(IMAGE_SUFFIXES)})")
        super().__init__(self.path.resolve().name, self.path, names, _read_intrinsics(self.path / "intrinsics.txt"))


def looks_like_photos(path: Path) -> bool:
    """Whether the path is a folder with an image in it."""
    return path.is_dir() and any(_is_image(item) for item in path.iterdir())


def _missing(path: Path) -> list[str]:
    return [] if (path / "intrinsics.txt").is_file() else ["intrinsics.txt (fx, fy, cx, cy): the camera is assumed"]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _in_order(name: str) -> list[tuple[int, str]]:
    """Digits compare as numbers, everything else as text."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _read_intrinsics(path: Path) -> tuple[float, float, float, float] | None:
    if not path.is_file():
        return None
    try:
        words = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error
    numbers = real_numbers(words, str(path), "fx, fy, cx, cy")
    if len(numbers) != 4:
        raise DatasetError(f"{path}: {len(numbers)} numbers, expected 4: fx, fy, cx, cy")
    return numbers[0], numbers[1], numbers[2], numbers[3]


DATASET = Dataset(
    name="photos",
    title="A folder of images",
    looked_for=f"images ({', '.join(IMAGE_SUFFIXES)})",
    recognises=looks_like_photos,
    read=Photos,
    missing=_missing,
)
