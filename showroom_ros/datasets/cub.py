"""CUB-200-2011 (Wah et al., Caltech, 2011): photos of 200 kinds of birds with boxes and segmentations.

Folder ``CUB_200_2011``: ``images.txt`` (``id class/file.jpg``), ``image_class_labels.txt``, ``classes.txt``,
``train_test_split.txt`` (``id 1`` = training), ``bounding_boxes.txt`` (``id x y width height``), ``images/``.
The segmentations are an archive of their own: ``segmentations/<class>/<file>.png`` inside the folder or beside it,
grey by how many of five annotators took the pixel for bird.

The two splits open as ``CUB_200_2011/train`` and ``CUB_200_2011/test``.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset, checked_split
from showroom_ros.datasets.image_files import ImageFiles, absent_files, read_rows, real_numbers, whole_number
from showroom_ros.errors import DatasetError

SPLITS = ("train", "test")
MASK_THRESHOLD = 128
"""Grey value from which a pixel is bird: three of five annotators (each adds 51)."""

_LISTS = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt", "classes.txt")


class Cub(ImageFiles):
    """The images of CUB-200-2011, or of one of its splits, in the order of ``images.txt``.

    Attributes:
        path: the folder ``CUB_200_2011``.
        ids: number of each image in the lists of the data set.
        labels: class of each image, 1 to 200 as published.
        classes: name of each class, by its number.
    """

    def __init__(self, path: str | Path, split: str | None = None) -> None:
        """Reads the lists.

        Args:
            path: ``CUB_200_2011`` or the folder it is in.
            split: "train" or "test"; None = all images.

        Raises:
            DatasetError: no such data set, an unknown split, or a list that is ragged, has gaps or doubles.
        """
        self.path, split = _folder_and_split(Path(path), split)
        names = _by_id(self.path / "images.txt", 2, "image id and file name")
        classes = _by_id(self.path / "image_class_labels.txt", 2, "image id and class id", expected=names)
        training = _by_id(self.path / "train_test_split.txt", 2, "image id and 1 (train) or 0 (test)", expected=names)
        boxes = _by_id(self.path / "bounding_boxes.txt", 5, "image id, x, y, width, height", expected=names)
        wanted = {"train": "1", "test": "0"}.get(split or "", "")
        self.ids = [image for image in names if not wanted or training[image][0] == wanted]
        if not self.ids:
            raise DatasetError(f"{self.path / 'train_test_split.txt'}: has no images of split '{split}'")
        super().__init__(
            self.path.name + (f"/{split}" if split else ""), self.path / "images", [names[i][0] for i in self.ids]
        )
        where = str(self.path / "image_class_labels.txt")
        self.labels = [whole_number(classes[i][0], f"{where}, image {i}", "a class id") for i in self.ids]
        self.classes = {i: row[0] for i, row in _by_id(self.path / "classes.txt", 2, "class id and name").items()}
        self._boxes = boxes

    def box(self, index: int) -> tuple[float, float, float, float]:
        """Bounding box of the bird as published: left, top, width, height in pixels."""
        where = f"{self.path / 'bounding_boxes.txt'}, image {self.ids[index]}"
        x, y, width, height = real_numbers(self._boxes[self.ids[index]], where, "x, y, width, height")
        if not (width > 0 and height > 0 and np.isfinite([x, y]).all()):
            raise DatasetError(f"{where}: the box is {width:g}x{height:g}+{x:g}+{y:g}, expected a positive size")
        return x, y, width, height

    def class_name(self, index: int) -> str:
        """Name of the kind of bird, as published (``001.Black_footed_Albatross``).

        Raises:
            DatasetError: ``classes.txt`` lacks it.
        """
        label = self.labels[index]
        if label not in self.classes:
            raise DatasetError(f"{self.path / 'classes.txt'}: has no class {label}, that of {self.names[index]}")
        return self.classes[label]

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Which pixels [H, W] are bird, for at least three of five annotators.

        Raises:
            DatasetError: there is no segmentation of the image, it cannot be decoded, or has another size.
        """
        file = self.mask_file(index)
        if file is None:
            raise DatasetError(
                f"{self.path}: has no segmentations (searched {self.path / 'segmentations'} and "
                f"{self.path.parent / 'segmentations'}): they are an archive of their own"
            )
        if not file.is_file():
            raise DatasetError(f"{file}: no such file, expected the segmentation of {self.file(index)}")
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)  # a few of the published files have colour or alpha
        if grey is None:
            raise DatasetError(f"{file}: cannot be decoded as an image ({file.stat().st_size} bytes)")
        image = self.frame(index).image
        if grey.shape != image.shape[:2]:
            raise DatasetError(
                f"{file}: is {grey.shape[1]}x{grey.shape[0]}, its image is {image.shape[1]}x{image.shape[0]}"
            )
        return np.asarray(grey) >= MASK_THRESHOLD

    def mask_file(self, index: int) -> Path | None:
        """Where the segmentation of an image would be; None without a folder of segmentations."""
        folder = _segmentations(self.path)
        return None if folder is None else folder / Path(self.names[index]).with_suffix(".png")


def looks_like_cub(path: Path) -> bool:
    """Whether the folder has CUB's lists, is around one that has, or is a split of one."""
    if path.name in SPLITS and not path.exists():
        path = path.parent
    return any((folder / "images.txt").is_file() and (folder / "bounding_boxes.txt").is_file() for folder in _at(path))


def _scenes(root: Path, split: str | None) -> list[Path]:
    split = checked_split(split, SPLITS, root)
    if not looks_like_cub(root):
        raise DatasetError(f"{root}: no CUB-200-2011 here; looked for {DATASET.looked_for}")
    folder, _ = _folder_and_split(root, None)
    return [folder / split if split else folder]


def _missing(path: Path) -> list[str]:
    folder, _ = _folder_and_split(path, None)
    lines = [f"{name}: no such file" for name in _LISTS if not (folder / name).is_file()]
    if _segmentations(folder) is None:
        lines.append("segmentations/: no such folder, inside or beside")
    if lines and not lines[-1].startswith("segmentations"):
        return lines
    sequence = Cub(path)
    lines += absent_files([sequence.file(i) for i in range(len(sequence))], "images")
    masks = [sequence.mask_file(i) for i in range(len(sequence))]
    return lines + absent_files([file for file in masks if file is not None], "segmentations")


def _at(path: Path) -> tuple[Path, Path]:
    return path, path / "CUB_200_2011"


def _folder_and_split(path: Path, split: str | None) -> tuple[Path, str | None]:
    """The folder of the lists; the split may be the last part of the path."""
    if split is None and path.name in SPLITS and not path.exists():
        path, split = path.parent, path.name
    checked_split(split, SPLITS, path)
    for folder in _at(path):
        if (folder / "images.txt").is_file():
            return folder, split
    raise DatasetError(f"{path / 'images.txt'}: no such file, expected CUB-200-2011")


def _segmentations(path: Path) -> Path | None:
    for folder in (path / "segmentations", path.parent / "segmentations"):
        if folder.is_dir():
            return folder
    return None


def _by_id(path: Path, columns: int, what: str, expected: dict[int, list[str]] | None = None) -> dict[int, list[str]]:
    """The other words of each line by the number it starts with."""
    rows: dict[int, list[str]] = {}
    for words in read_rows(path, (columns,), what):
        number = whole_number(words[0], f"{path}, '{' '.join(words)[:60]}'", "an id")
        if number in rows:
            raise DatasetError(f"{path}: id {number} occurs more than once")
        rows[number] = words[1:]
    if expected is not None and rows.keys() != expected.keys():
        odd = min(rows.keys() ^ expected.keys())
        raise DatasetError(
            f"{path}: names {len(rows)} images, images.txt {len(expected)}; the first that is in one only is {odd}"
        )
    return rows


DATASET = Dataset(
    name="cub",
    title="CUB-200-2011 (Wah et al., Caltech, 2011)",
    looked_for="CUB_200_2011/ with images.txt and bounding_boxes.txt",
    recognises=looks_like_cub,
    read=Cub,
    scenes=_scenes,
    splits=SPLITS,
    missing=_missing,
)
