"""What the readers of image collections share: lists of file names, and images without depth and pose."""

from __future__ import annotations

from pathlib import Path

from showroom_ros.datasets.files import read_color
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.camera import Camera, assumed_camera
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp")

_CHECKED_FILES = 2000
"""Lists name up to two million files: so many of them, evenly spread, are looked for on disk."""


class ImageFiles:
    """Image files as a ``Sequence`` of unposed views without depth.

    Attributes:
        name: of the collection.
        root: folder the names start from.
        names: of the files.
        intrinsics_known: whether the camera is that of the images; otherwise it is ``assumed_camera``.
        stamps_known: False; stamps are made up, one second apart, so that they rise.
    """

    stamps_known = False

    def __init__(
        self, name: str, root: Path, names: list[str], intrinsics: tuple[float, float, float, float] | None = None
    ) -> None:
        """Names the files; reads none.

        Args:
            name: of the collection.
            root: folder the names start from.
            names: of the files.
            intrinsics: fx, fy, cx, cy in pixels of all images; None = unknown.
        """
        self.name, self.root, self.names = name, root, names
        self.intrinsics_known = intrinsics is not None
        self._intrinsics = intrinsics

    def __len__(self) -> int:
        """Number of images."""
        return len(self.names)

    def __getitem__(self, index: int) -> View:
        """The image as a ``View``."""
        return rectify(self.frame(index))

    def file(self, index: int) -> Path:
        """Where an image is."""
        return self.root / self.names[index]

    def frame(self, index: int) -> SensorFrame:
        """The image with its camera.

        Raises:
            DatasetError: the file is missing or cannot be decoded; names it.
        """
        image = read_color(self.file(index))
        height, width = image.shape[:2]
        camera = assumed_camera(width, height)
        if self._intrinsics is not None:
            camera = Camera(width, height, *self._intrinsics)
        return SensorFrame(image, camera, stamp_ns=stamp_of_index(index, len(self)))


def stamp_of_index(index: int, count: int) -> int:
    """A stamp in ns for images without times: one second apart, the first at one second (0 means unknown).

    Raises:
        IndexError: there is no such image.
    """
    return (1 + range(count)[index]) * 10**9


def read_rows(path: Path, columns: tuple[int, ...], what: str) -> list[list[str]]:
    """The words of each line of a list; empty lines do not count.

    Args:
        path: of the list.
        columns: numbers of words a line may have; all lines have the same.
        what: the columns in words, for error messages.

    Raises:
        DatasetError: missing, empty or not text, or a line of another length; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error
    rows: list[list[str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) not in columns or (rows and len(words) != len(rows[0])):
            wanted = str(len(rows[0])) if rows else " or ".join(map(str, columns))
            raise DatasetError(
                f"{path}, line {number}: {len(words)} words in '{line.strip()[:60]}', expected {wanted}: {what}"
            )
        rows.append(words)
    if not rows:
        raise DatasetError(f"{path}: has no lines, expected {what}")
    return rows


def whole_number(word: str, where: str, what: str) -> int:
    """The integer a word is; raises ``DatasetError`` that starts with ``where`` for anything else."""
    try:
        return int(word)
    except ValueError:
        raise DatasetError(f"{where}: '{word[:40]}', expected {what}, a whole number") from None


def real_numbers(words: list[str], where: str, what: str) -> tuple[float, ...]:
    """The numbers words are; raises ``DatasetError`` that starts with ``where`` for anything else."""
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        raise DatasetError(f"{where}: '{' '.join(words)[:60]}', expected numbers: {what}") from None


def absent_files(files: list[Path], what: str) -> list[str]:
    """At most one line for ``Dataset.missing``: how many of the files (of a sample of long lists) are not there."""
    step = max(1, -(-len(files) // _CHECKED_FILES))
    checked = files[::step]
    absent = [file for file in checked if not file.is_file()]
    if not absent:
        return []
    of = f"{len(checked)}" if step == 1 else f"{len(checked)} looked for (every {step}th)"
    return [f"{what}: {len(absent)} of {of} are not there, the first is {absent[0]}"]
