"""What all readers do with the frames they found: leave out the unusable ones, stamp and check the others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from showroom_ros.errors import DatasetError, InputError
from showroom_ros.scene.view import SensorFrame

FIRST_STAMP_NS = 1_000_000_000
"""Stamp of frame number 0 of a data set without times; a stamp of 0 means unknown."""


def stamp_ns_of_number(number: int, rate_hz: float) -> int:
    """Stamp in ns of a frame of a data set that numbers its frames and has no times."""
    return FIRST_STAMP_NS + round(number * 1e9 / rate_hz)


def sensor_frame(where: Path, **fields: Any) -> SensorFrame:
    """``SensorFrame(**fields)``; what it objects to is a ``DatasetError`` that starts with ``where``."""
    try:
        return SensorFrame(**fields)
    except InputError as error:
        raise DatasetError(f"{where}: {error}") from error


def checked_frame_count(path: Path, kept: int, found: int, skipped: dict[str, int]) -> None:
    """Raises ``DatasetError`` where no frame is left; says why each was left out."""
    if not kept:
        reasons = ", ".join(f"{reason} {count}" for reason, count in skipped.items() if count)
        raise DatasetError(f"{path}: none of {found} frames can be used" + (f": {reasons}" if reasons else ""))


def numbered(files: Iterable[Path]) -> dict[int, Path]:
    """Files by the number their name is (``17.jpg``, ``00017.png``), in order; other files are not in it."""
    return dict(sorted((int(file.stem), file) for file in files if file.stem.isdecimal()))
