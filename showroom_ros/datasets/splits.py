"""Finding the recordings of a data set below its root folder, and which of them a split names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from showroom_ros.datasets.files import read_text
from showroom_ros.errors import DatasetError


def read_names(path: Path) -> list[str]:
    """One name per line of a text file; empty lines and lines that start with # are none.

    Raises:
        DatasetError: missing, not text, or without a name.
    """
    names = [line.strip() for line in read_text(path).splitlines()]
    names = [name for name in names if name and not name.startswith("#")]
    if not names:
        raise DatasetError(f"{path}: names no scene, expected one a line")
    return names


def first_file(candidates: Iterable[Path], what: str) -> Path:
    """The first of some places where a file may lie.

    Raises:
        DatasetError: it is in none of them; names them all.
    """
    places = list(candidates)
    for place in places:
        if place.is_file():
            return place
    raise DatasetError(f"{places[0]}: no such file, expected {what} here or at {', '.join(map(str, places[1:]))}")


def recordings_below(
    root: Path, folders: Iterable[Path], recognises: Callable[[Path], bool], looked_for: str
) -> list[Path]:
    """Those of ``folders`` that are recordings, in their order; ``[root]`` if the root itself is one.

    Raises:
        DatasetError: no such root, or it holds none; says what was looked for.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder, expected {looked_for} in it")
    if recognises(root):
        return [root]
    found = [folder for folder in folders if recognises(folder)]
    if not found:
        raise DatasetError(f"{root}: no recording found, looked for {looked_for}")
    return found


def subfolders(path: Path) -> list[Path]:
    """Folders in a folder by name; none where there is no such folder."""
    return sorted(item for item in path.iterdir() if item.is_dir()) if path.is_dir() else []
