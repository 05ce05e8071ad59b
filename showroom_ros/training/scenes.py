"""Recordings to train on, by what ``--data`` says: made-up rooms, a prepared folder, any data set or a bag."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.synthetic.splits import SPLITS, seed_of
from showroom_ros.errors import DatasetError
from showroom_ros.scene.view import Sequence, View

VALIDATION_SHARE = 0.05
ALL = "all:"
"""Before what ``--data`` says: nothing is held back, training and validation use all of it."""
SYNTHETIC_ROOMS = 10_000
"""Rooms of a split that training goes through before it begins anew."""


class Scene(Protocol):
    """A posed recording whose depth is known."""

    name: str

    @property
    def poses(self) -> NDArray[np.float64]:
        """``T_world_camera`` [N, 4, 4] of all frames; rows of frames that cannot be used are NaN."""
        ...

    def view(self, index: int) -> View:
        """A frame with image, registered depth (NaN unknown) and pose."""
        ...


class RecordedScene:
    """A recording on the disk."""

    def __init__(self, sequence: Sequence) -> None:
        """Reads nothing yet."""
        self.sequence = sequence
        self.name = sequence.name

    @cached_property
    def poses(self) -> NDArray[np.float64]:
        """See ``Scene``; reads every frame of recordings that cannot tell a pose without."""
        pose_of = getattr(self.sequence, "pose", None)
        poses = [
            pose_of(index) if pose_of is not None else self.sequence[index].T_world_camera
            for index in range(len(self.sequence))
        ]
        return np.stack([np.full((4, 4), np.nan) if pose is None else pose for pose in poses])

    def view(self, index: int) -> View:
        """See ``Scene``."""
        view = self.sequence[index]
        view.require_depth()
        return view


class SyntheticScene:
    """A made-up room, made when first looked at; the last few are kept."""

    def __init__(self, split: str, number: int, width: int, height: int) -> None:
        """Room ``number`` of a split."""
        self.name = f"synthetic:{split}/{number}"
        self._key = seed_of(split, number), width, height

    @property
    def poses(self) -> NDArray[np.float64]:
        """See ``Scene``."""
        return _varied_recording(*self._key).trajectory

    def view(self, index: int) -> View:
        """See ``Scene``."""
        return _varied_recording(*self._key)[index]


def open_scenes(data: str, *, validation: bool = False, width: int = 320, height: int = 240) -> list[Scene]:
    """Scenes to train on, or those held back to validate on.

    Args:
        data: ``synthetic:train`` (rooms are made as training goes), ``synthetic:FIRST-LAST`` or
            ``synthetic:train/FIRST-LAST`` (so many of them), a folder made by ``showroom prepare`` or of any data
            set, a bag, or ``KIND:PATH`` (``scannet:PATH``, ``bag:PATH``) where the kind is to be checked; after
            ``all:`` nothing is held back.
        validation: the last 5 % of the scenes by name, at least one where there are several; of
            ``synthetic:train`` the validation split. A single recording is both.
        width: of made-up images in pixels.
        height: of made-up images in pixels.

    Raises:
        DatasetError: nothing there that could be trained on.
    """
    keeps_all, data = data.startswith(ALL), data.removeprefix(ALL)
    scheme, separator, rest = data.partition(":")
    if separator and scheme == "synthetic":
        return _synthetic(data, rest, validation and not keeps_all, width, height)
    found: list[Scene] = [RecordedScene(sequence) for sequence in _recordings(data)]
    if len(found) == 1 or keeps_all:
        return found
    held_back = max(1, round(VALIDATION_SHARE * len(found)))
    return found[-held_back:] if validation else found[:-held_back]


def _synthetic(data: str, what: str, validation: bool, width: int, height: int) -> list[Scene]:
    split, _, numbers = what.partition("/")
    if split not in SPLITS:
        split, numbers = "train", what
    if split == "train" and validation:
        split, numbers = "val", "0-7"
    first, _, last = (numbers or f"0-{min(SYNTHETIC_ROOMS, len(SPLITS[split])) - 1}").partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        raise DatasetError(f"{data}: expected made-up rooms such as synthetic:train or synthetic:train/0-99")
    return [SyntheticScene(split, number, width, height) for number in range(int(first), int(last or first) + 1)]


def _recordings(data: str) -> list[Sequence]:
    from showroom_ros.datasets.catalog import DATASETS, dataset_named
    from showroom_ros.datasets.open import dataset_of, open_sequence

    scheme, separator, rest = data.partition(":")
    if separator and scheme in {kind.name for kind in DATASETS}:
        kind, path = dataset_named(scheme), Path(rest)
        paths = [path] if kind.recognises(path) else kind.scenes(path, None)
        return [kind.read(path) for path in paths]
    path = Path(data)
    try:
        dataset_of(path)
    except DatasetError:
        from showroom_ros.datasets.prepare.prepared import Prepared, prepared_scenes

        if not path.is_dir():
            raise
        return [Prepared(scene) for scene in prepared_scenes(path, None)]
    return [open_sequence(path)]


@lru_cache(maxsize=4)
def _varied_recording(seed: int, width: int, height: int):  # type: ignore[no-untyped-def]  # an optional part's type
    from showroom_ros.datasets.synthetic.varied import varied_recording

    return varied_recording(seed, width, height)
