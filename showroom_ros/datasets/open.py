"""Opens a recording by its path or name, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from showroom_ros.bags.reader import looks_like_bag
from showroom_ros.bags.sequence import BagSequence
from showroom_ros.datasets.seven_scenes import SevenScenes, looks_like_seven_scenes
from showroom_ros.datasets.tum import Tum, looks_like_tum
from showroom_ros.errors import DatasetError
from showroom_ros.scene.view import Sequence

Opener = Callable[[str], Sequence]

FOLDER_READERS: dict[str, tuple[Callable[[Path], bool], Callable[[Path], Sequence]]] = {
    "bag (rosbag2 folder, .mcap, .db3, ROS 1 .bag)": (looks_like_bag, BagSequence),
    "7-Scenes sequence (frame-NNNNNN.color.png or .jpg)": (looks_like_seven_scenes, SevenScenes),
    "TUM RGB-D recording (rgb.txt, or rgb/ and groundtruth.txt)": (looks_like_tum, Tum),
}
"""What a path may be: description, test, reader. Readers of other parts are added with ``register_reader``."""


def _open_synthetic(seed: str) -> Sequence:
    from showroom_ros.datasets.synthetic.sequence import SyntheticSequence

    if not seed.isdecimal():
        raise DatasetError(f"synthetic:{seed}: expected a seed, a whole number such as synthetic:7")
    return SyntheticSequence(int(seed))


SCHEMES: dict[str, Opener] = {"synthetic": _open_synthetic}
"""Sequences that are made rather than read: ``synthetic:3`` is given to the opener of ``synthetic``."""


def register_reader(description: str, recognises: Callable[[Path], bool], read: Callable[[Path], Sequence]) -> None:
    """Adds a kind of recording: ``recognises`` says whether a path is one, ``read`` opens it."""
    FOLDER_READERS[description] = (recognises, read)


def register_scheme(scheme: str, opener: Opener) -> None:
    """Adds a name: ``open_sequence("<scheme>:<rest>")`` calls ``opener("<rest>")``."""
    SCHEMES[scheme] = opener


def open_sequence(source: str | Path) -> Sequence:
    """The ``Sequence`` of a path or of ``scheme:rest``.

    Raises:
        DatasetError: nothing there, or nothing that is recognised; says what was looked for where.
        ShowroomError: what the reader raises for a broken recording.
    """
    scheme, separator, rest = str(source).partition(":")
    if separator and scheme in SCHEMES:
        return SCHEMES[scheme](rest)
    path = Path(source)
    if not path.exists():
        known = "".join(f" or {name}:..." for name in sorted(SCHEMES))
        raise DatasetError(f"{path}: no such file or folder, expected a recording{known}")
    for recognises, read in FOLDER_READERS.values():
        if recognises(path):
            return read(path)
    content = ", ".join(sorted(item.name for item in path.iterdir())[:5]) if path.is_dir() else "a file"
    raise DatasetError(f"{path}: not recognised ({content or 'empty folder'}); looked for: {'; '.join(FOLDER_READERS)}")
