"""Drawing on pictures: text, labels, colour bars, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Color = tuple[int, int, int]

INK: Color = (38, 40, 44)
PAPER: Color = (250, 250, 249)

_BLUE = 24
"""First entry used of OpenCV's turbo map: those before it are nearly black."""


def draw_text(image: Image, text: str, left: int, baseline: int, height_px: int, color: Color = INK) -> None:
    """Writes ``text`` into ``image`` uint8 [H, W, 3], its baseline starting at (left, baseline)."""
    if hasattr(cv2, "FontFace"):
        cv2.putText(image, text, (left, baseline), color, cv2.FontFace("sans"), height_px, 450)
    else:  # OpenCV 4 has stroke fonts only
        plain = text.encode("ascii", "replace").decode()
        cv2.putText(image, plain, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, height_px / 32, color, 1, cv2.LINE_AA)


def text_width(text: str, height_px: int) -> int:
    """Width of ``text`` in pixels."""
    if hasattr(cv2, "FontFace"):
        _, _, width, _ = cv2.getTextSize((10_000, 100), text, (0, 0), cv2.FontFace("sans"), height_px, 450)
        return int(width)
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, height_px / 32, 1)[0][0])


def labelled(image: Image, label: str) -> Image:
    """A copy of ``image`` with ``label`` on a dark plate in its lower left corner."""
    result = image.copy()
    size = max(14, image.shape[0] // 26)
    width, height = text_width(label, size) + size, int(1.7 * size)
    plate = result[-height:, :width]
    plate[:] = (plate * 0.35).astype(np.uint8)
    draw_text(result, label, size // 2, image.shape[0] - int(0.52 * size), size, (255, 255, 255))
    return result


def side_by_side(images: Sequence[Image], gap_px: int = 6) -> Image:
    """Images of one height in a row."""
    gap = np.full((images[0].shape[0], gap_px, 3), PAPER, np.uint8)
    parts = [part for image in images for part in (gap, image)]
    return np.concatenate(parts[1:], axis=1)


def stacked(images: Sequence[Image], gap_px: int = 6) -> Image:
    """Images of one width below each other."""
    gap = np.full((gap_px, images[0].shape[1], 3), PAPER, np.uint8)
    parts = [part for image in images for part in (gap, image)]
    return np.concatenate(parts[1:], axis=0)


def heat_colors(values: NDArray[np.float64], largest: float) -> Image:
    """RGB [N, 3] of values [N]: from blue (0) through green to red (``largest`` and more); grey for NaN."""
    scaled = np.clip(_BLUE + np.nan_to_num(values) / largest * (255 - _BLUE), _BLUE, 255).astype(np.uint8)
    colors = np.array(cv2.applyColorMap(scaled.reshape(-1, 1), cv2.COLORMAP_TURBO)[:, 0, ::-1], np.uint8)
    colors[~np.isfinite(values)] = (128, 128, 128)
    return colors


def with_color_bar(image: Image, title: str, ticks: Sequence[tuple[float, str]]) -> Image:
    """``image`` above a horizontal bar of ``heat_colors``; ticks are (place in [0, 1], text)."""
    height, width = image.shape[:2]
    size = max(14, height // 40)
    footer = np.full((5 * size, width, 3), PAPER, np.uint8)
    left, right = width // 2, width - 2 * size
    ramp = heat_colors(np.linspace(0, 1, right - left), 1.0)
    footer[size : 2 * size, left:right] = ramp
    draw_text(footer, title, 2 * size, int(1.9 * size), size)
    for place, text in ticks:
        x = left + round(place * (right - left - 1))
        footer[2 * size : int(2.4 * size), max(left, x - 1) : min(right, x + 1)] = INK
        start = min(max(x - text_width(text, size) // 2, 0), width - text_width(text, size) - 2)
        draw_text(footer, text, start, int(3.7 * size), size)
    return np.concatenate([image, footer], axis=0)
