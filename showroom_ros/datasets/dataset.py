"""What this package knows of a kind of recording: how to tell it, open it, find its scenes and say what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from showroom_ros.errors import DatasetError
from showroom_ros.scene.view import Sequence


def no_scenes(root: Path, split: str | None) -> list[Path]:
    """``Dataset.scenes`` of a kind that has no root folder with many recordings: the path itself."""
    if split is not None:
        raise DatasetError(f"{root}: has no splits, found split '{split}' asked for")
    return [root]


def nothing_missing(path: Path) -> list[str]:
    """``Dataset.missing`` of a kind whose reader finds every fault when it opens the recording."""
    del path
    return []


@dataclass(frozen=True)
class Dataset:
    """A kind of recording in its official layout; one constant ``DATASET`` per reader module.

    Attributes:
        name: what ``showroom prepare`` and ``--dataset`` call it, e.g. "scannet".
        title: its full name and reference.
        looked_for: the files that tell it, for error messages.
        recognises: whether a path is one recording of this kind; looks at names only.
        read: opens one recording; raises ``DatasetError`` naming the file at fault.
        scenes: the recordings below the root folder of the whole data set that belong to a split
            (None = all), in a fixed order; raises ``DatasetError`` for an unknown split (names the known
            ones) and for a root in which nothing was found (says what was looked for).
        splits: names of the official splits; empty where there are none.
        missing: what of the official layout a recording lacks, one line per file or kind of file.
    """

    name: str
    title: str
    looked_for: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Sequence]
    scenes: Callable[[Path, str | None], list[Path]] = no_scenes
    splits: tuple[str, ...] = ()
    missing: Callable[[Path], list[str]] = nothing_missing


def checked_split(split: str | None, splits: tuple[str, ...], root: Path) -> str | None:
    """``split`` if it is one of ``splits`` or None.

    Raises:
        DatasetError: any other; names the root and the splits there are.
    """
    if split is not None and split not in splits:
        raise DatasetError(f"{root}: split '{split}' is unknown, expected one of {', '.join(splits)}")
    return split
