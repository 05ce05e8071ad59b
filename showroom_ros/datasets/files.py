"""Reading the files data sets are made of, with errors that name the file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.se3 import checked_pose


def read_color(path: Path) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB of an image file.

    Raises:
        DatasetError: missing or not decodable.
    """
    image = _read_image(path, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_depth(path: Path, units_per_metre: float, invalid: tuple[int, ...] = (0,)) -> NDArray[np.float32]:
    """float32 [H, W] metres of a 16-bit image, NaN where its value is one of ``invalid``.

    Raises:
        DatasetError: missing, not decodable, or not 16-bit with one channel.
    """
    values = _read_image(path, cv2.IMREAD_UNCHANGED)
    if values.dtype != np.uint16 or values.ndim != 2:
        raise DatasetError(f"{path}: is {values.dtype} {values.shape}, expected a 16-bit image with one channel")
    depth = values.astype(np.float32) / np.float32(units_per_metre)
    depth[np.isin(values, invalid)] = np.nan
    return depth


def read_pose(path: Path) -> NDArray[np.float64]:
    """[4, 4] of a text file with four rows of four numbers, its rotation made exactly orthonormal.

    Raises:
        DatasetError: missing, not 16 numbers, or no rigid transform.
    """
    table = read_table(path, 4)
    try:
        return checked_pose(table)
    except InputError as error:
        raise DatasetError(f"{path}: {error}") from error


def read_table(path: Path, columns: int) -> NDArray[np.float64]:
    """float64 [N, columns] of a text file; lines that start with # are comments.

    Raises:
        DatasetError: missing, empty, not numbers, or rows of another length; names the line.
    """
    return np.array([_numbers(words, columns, where) for where, words in _rows(path, columns)], np.float64)


def read_stamped_table(path: Path, columns: int) -> tuple[list[int], NDArray[np.float64]]:
    """Stamps in ns and the other numbers [N, columns - 1] of a text file that starts with seconds, in order of time.

    Raises:
        DatasetError: as ``read_table``.
    """
    rows = []
    for where, words in _rows(path, columns):
        rows.append((stamp_ns_from_text(words[0], where), _numbers(words, columns, where)[1:]))
    rows.sort(key=lambda row: row[0])
    return [stamp_ns for stamp_ns, _ in rows], np.array([numbers for _, numbers in rows], np.float64)


def read_file_list(path: Path) -> list[tuple[int, str]]:
    """``(stamp in ns, file name)`` per line of a TUM list (``timestamp filename``), in order of time.

    Raises:
        DatasetError: missing, empty, or a line that is no stamp and name.
    """
    items = []
    for where, words in _rows(path, 2):
        if len(words) != 2:
            raise DatasetError(f"{where}: '{' '.join(words)[:60]}', expected a stamp and a file name")
        items.append((stamp_ns_from_text(words[0], where), words[1]))
    return sorted(items)


def stamp_ns_from_text(text: str, where: str) -> int:
    """Nanoseconds of decimal seconds, exact (a float64 loses the last digits of an epoch).

    Raises:
        DatasetError: not a number; the message starts with ``where``.
    """
    seconds, _, fraction = text.partition(".")
    if not seconds.isdigit() or (fraction and not fraction.isdigit()):
        raise DatasetError(f"{where}: '{text}', expected seconds such as 1311868164.363181")
    return int(seconds) * 10**9 + int((fraction + "0" * 9)[:9])


def _read_image(path: Path, flags: int) -> NDArray:
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    image = cv2.imread(str(path), flags)
    if image is None:
        raise DatasetError(f"{path}: cannot be decoded as an image ({path.stat().st_size} bytes)")
    return image


def _rows(path: Path, columns: int) -> list[tuple[str, list[str]]]:
    """Where each line is and its words, without comments."""
    rows = []
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        words = line.replace(",", " ").split()
        if words and not words[0].startswith("#"):
            rows.append((f"{path}, line {number}", words))
    if not rows:
        raise DatasetError(f"{path}: has no rows, expected {columns} columns")
    return rows


def _numbers(words: list[str], columns: int, where: str) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise DatasetError(f"{where}: '{' '.join(words)[:60]}', expected {columns} numbers") from None
    if len(numbers) != columns:
        raise DatasetError(f"{where}: {len(numbers)} numbers, expected {columns}")
    return numbers


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error
