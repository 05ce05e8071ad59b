"""Photos as cameras and telephones save them: turned by EXIF, HEIC, and with a focal length in 35 mm terms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.files import read_color
from showroom_ros.errors import DatasetError, MissingDependencyError
from showroom_ros.geometry.camera import Camera

HEIC_SUFFIXES = (".heic", ".heif")
MOST_PIXELS = 200_000_000
_FOCAL_35MM, _EXIF_IFD = 0xA405, 0x8769


def read_photo(path: Path) -> tuple[NDArray[np.uint8], Camera | None]:
    """An image as it is meant to be looked at, and its camera if the file tells the focal length.

    Grey, 16-bit and transparent images become plain RGB. The focal length is EXIF's for 35 mm film (36 mm wide), the
    axis goes through the middle; nothing is known of the lens.

    Args:
        path: of a file OpenCV reads, or HEIC.

    Returns:
        uint8 [H, W, 3] RGB, and a pinhole or None.

    Raises:
        DatasetError: missing, not decodable, cut short, or larger than ``MOST_PIXELS``.
        MissingDependencyError: HEIC without pillow-heif.
    """
    image = _read_heic(path) if path.suffix.lower() in HEIC_SUFFIXES else read_color(path)
    height, width = image.shape[:2]
    if height * width > MOST_PIXELS:
        raise DatasetError(f"{path}: {width}x{height} pixels, expected at most {MOST_PIXELS / 1e6:g} million")
    focal_mm = _focal_35mm(path)
    if focal_mm is None:
        return image, None
    focal = focal_mm / 36.0 * max(width, height)
    return image, Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def _read_heic(path: Path) -> NDArray[np.uint8]:
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingDependencyError(f"{path}: HEIC needs pillow-heif: pip install showroom_ros[photos]") from error
    try:
        content = pillow_heif.open_heif(path, convert_hdr_to_8bit=True)
        return np.ascontiguousarray(np.asarray(content.to_pillow().convert("RGB")), np.uint8)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise DatasetError(f"{path}: cannot be decoded as HEIC: {error}") from error


def _focal_35mm(path: Path) -> float | None:
    """``FocalLengthIn35mmFilm`` in millimetres; None where it is not told, or Pillow is not installed."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        return None
    try:
        with Image.open(path) as file:
            told = file.getexif().get_ifd(_EXIF_IFD).get(_FOCAL_35MM)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return None
    try:
        focal_mm = float(told) if told is not None else 0.0
    except (TypeError, ValueError):
        return None
    return focal_mm if 5.0 < focal_mm < 500.0 else None
