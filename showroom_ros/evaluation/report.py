"""Reports: ``report.json`` for machines, ``report.html`` for people, pictures beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from showroom_ros.errors import OutputError
from showroom_ros.evaluation.environment import environment
from showroom_ros.evaluation.html_page import html_page
from showroom_ros.evaluation.pictures import Picture
from showroom_ros.evaluation.plain_values import plain
from showroom_ros.scene.output_file import atomic_output


def write_report(
    out_dir: str | Path,
    report: Mapping[str, Any],
    pictures: Iterable[Picture] = (),
    *,
    title: str = "Reconstruction report",
) -> dict[str, Any]:
    """Writes ``report.json``, ``report.html`` and ``pictures/NAME.png`` below ``out_dir``.

    The page needs no other file: its pictures are inside it. Each file is whole or not there.

    Args:
        out_dir: made if absent.
        report: what was measured, nested dictionaries of plain or numpy values. ``settings`` and
            ``environment`` (added if absent) are folded away on the page; any dictionary with ``f_score`` by
            threshold becomes a table.
        pictures: in the order shown.
        title: heading of the page.

    Returns:
        The report as written to JSON.

    Raises:
        OutputError: the folder or a file cannot be written; names it.
    """
    folder = Path(out_dir)
    everything = plain({**report, "environment": report.get("environment") or environment()})
    encoded = []
    for picture in pictures:
        write_bytes(folder / "pictures" / f"{picture.name}.png", encode(picture, ".png"))
        encoded.append((picture.name, picture.caption, encode(picture, ".jpg")))
    write_json(folder / "report.json", everything)
    write_bytes(folder / "report.html", html_page(title, everything, encoded).encode("utf-8"))
    return everything


def write_html(path: str | Path, report: Mapping[str, Any], pictures: Iterable[Picture] = (), *, title: str) -> None:
    """Writes the page alone, as ``write_report`` makes it, its pictures inside.

    Raises:
        OutputError: the file cannot be written.
    """
    encoded = [(picture.name, picture.caption, encode(picture, ".jpg")) for picture in pictures]
    write_bytes(path, html_page(title, plain(report), encoded).encode("utf-8"))


def write_json(path: str | Path, report: Mapping[str, Any]) -> None:
    """Writes ``report`` as JSON with sorted keys, atomically; NaN and infinity become null.

    Raises:
        OutputError: the file cannot be written.
    """
    text = json.dumps(plain(report), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8"))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes a file so that its name shows the old content or the whole new one, never a part.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_output(path) as file:
        file.write(content)


def encode(picture: Picture, ending: str) -> bytes:
    """The picture as a PNG or JPEG file (``ending`` with its dot)."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if ending == ".jpg" else []
    try:
        _, data = cv2.imencode(ending, np.ascontiguousarray(picture.image[..., ::-1]), options)
    except cv2.error as error:
        reason = f"picture '{picture.name}' of {picture.image.shape} cannot be encoded as {ending}"
        raise OutputError(reason) from error
    return data.tobytes()
