"""Reading the files data sets are made of, with errors that name the file."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

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


def decode_color(content: bytes, where: str) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB of the bytes of a JPEG or PNG file.

    Raises:
        DatasetError: not decodable; the message starts with ``where``.
    """
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if image is None:
        raise DatasetError(f"{where}: cannot be decoded as an image ({len(content)} bytes)")
    return np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_labels(path: Path) -> NDArray[np.uint8]:
    """uint8 [H, W] of an 8-bit image with one channel.

    Raises:
        DatasetError: missing, not decodable, or another kind of image.
    """
    values = _read_image(path, cv2.IMREAD_UNCHANGED)
    if values.dtype != np.uint8 or values.ndim != 2:
        raise DatasetError(f"{path}: is {values.dtype} {values.shape}, expected an 8-bit image with one channel")
    return np.asarray(values, np.uint8)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels of an image file; raises ``DatasetError`` where it cannot be decoded."""
    height, width = _read_image(path, cv2.IMREAD_UNCHANGED).shape[:2]
    return width, height


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


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        DatasetError: missing, or no JSON; names the line.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}, line {error.lineno}: no valid JSON: {error.msg}") from error


def read_csv(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, by column name.

    Raises:
        DatasetError: missing, no rows, one of ``columns`` is not in the header, or a ragged row; names the line.
    """
    reader = csv.DictReader(read_text(path).splitlines())
    lacks = [name for name in columns if name not in (reader.fieldnames or ())]
    if lacks:
        raise DatasetError(f"{path}: has no column {', '.join(lacks)}, found {', '.join(reader.fieldnames or ())}")
    rows = list(reader)
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise DatasetError(f"{path}, line {number}: not {len(reader.fieldnames or ())} columns")
    if not rows:
        raise DatasetError(f"{path}: has no rows")
    return rows


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
    content = path.read_bytes()
    if _is_cut_short(content):
        raise DatasetError(f"{path}: JPEG without an end, cut short ({len(content)} bytes)")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    if image is None:
        raise DatasetError(f"{path}: cannot be decoded as an image ({len(content)} bytes)")
    return image


def _is_cut_short(content: bytes) -> bool:
    """Whether a JPEG has no end after its last scan: OpenCV decodes such files, the rest of them grey."""
    return content.startswith(b"\xff\xd8") and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")


def _rows(path: Path, columns: int) -> list[tuple[str, list[str]]]:
    """Where each line is and its words, without comments."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
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


def read_text(path: Path) -> str:
    """The text of a UTF-8 file.

    Raises:
        DatasetError: missing, or not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error
