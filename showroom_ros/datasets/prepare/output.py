"""Writes files whose bytes depend on their content alone: no dates, no paths, fixed order."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError, OutputError

MAX_DEPTH_MM = 65535
JPEG_QUALITY = 95


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file into the folder of an item, with the folders it needs.

    Plainly: the whole folder is flushed to disk and becomes visible at once when its item is done.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def write_json(path: Path, content: Any) -> None:
    """JSON with keys in the order given and a line break at the end; numbers must be finite.

    Raises:
        InputError: NaN or infinity, which JSON does not know.
    """
    write_bytes(path, json_bytes(content, str(path)))


def json_bytes(content: Any, name: str = "JSON") -> bytes:
    """What ``write_json`` writes; ``name`` is for its error."""
    try:
        return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
    except ValueError as error:
        raise InputError(f"{name}: cannot be written as JSON: {error}") from error


def write_color(path: Path, image: NDArray[np.uint8]) -> None:
    """uint8 [H, W, 3] RGB as JPEG (quality 95, for ``.jpg``) or PNG (``.png``)."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    _write_image(path, np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR)), options)


def write_depth(path: Path, depth: NDArray[np.float32]) -> None:
    """float32 [H, W] metres (NaN unknown) as a PNG of uint16 millimetres, rounded; 0 = unknown or too far."""
    _write_image(path, millimetres(depth), [])


def write_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    """Bool [H, W] as a PNG of 0 and 255."""
    _write_image(path, mask.astype(np.uint8) * np.uint8(255), [])


def write_plane(path: Path, plane: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Uint8 or uint16 [H, W] as a PNG."""
    _write_image(path, plane, [])


def millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """uint16 [H, W] millimetres of float [H, W] metres, rounded; 0 where unknown, not positive or above 65.535 m."""
    scaled = np.rint(np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float64) * 1000.0)
    return np.where((scaled > 0) & (scaled <= MAX_DEPTH_MM), scaled, 0).astype(np.uint16)


def write_npz(path: Path, *, compressed: bool = True, **arrays: NDArray) -> None:
    """A NumPy archive; its entries are dated 1980 by NumPy, so that the same arrays give the same bytes."""
    save: Any = np.savez_compressed if compressed else np.savez
    content = io.BytesIO()
    save(content, **arrays)
    write_bytes(path, content.getvalue())


def _write_image(path: Path, image: NDArray, options: list[int]) -> None:
    encoded, content = cv2.imencode(path.suffix, image, options)
    if not encoded:
        raise InputError(f"{path}: {image.dtype} {image.shape} cannot be encoded as {path.suffix}")
    write_bytes(path, content.tobytes())
