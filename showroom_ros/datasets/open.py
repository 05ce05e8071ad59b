"""Opens a recording by its path or name, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from showroom_ros.datasets.catalog import DATASETS
from showroom_ros.datasets.dataset import Dataset
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.scene.view import Sequence


def _open_synthetic(what: str) -> Sequence:
    """``SEED``: the demo's living room of a seed; ``SPLIT/INDEX``: a room of the public split."""
    from showroom_ros.datasets.synthetic.sequence import SyntheticSequence
    from showroom_ros.datasets.synthetic.splits import SPLITS, seed_of, settings_of

    split, separator, index = what.partition("/")
    if not (index if separator else what).isdecimal():
        raise DatasetError(
            f"synthetic:{what}: expected a seed, a whole number such as synthetic:7, or a room of a split "
            f"such as synthetic:test/3 ({', '.join(SPLITS)})"
        )
    if not separator:
        return SyntheticSequence(int(what))
    try:
        seed = seed_of(split, int(index))
    except InputError as error:
        raise DatasetError(f"synthetic:{what}: {error}") from error
    return SyntheticSequence(seed, settings=settings_of(seed), name=f"synthetic:{what}")


SCHEMES: dict[str, Callable[[str], Sequence]] = {"synthetic": _open_synthetic}
"""Sequences that are made rather than read: ``synthetic:3`` is given to the opener of ``synthetic``."""


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
    return dataset_of(path).read(path)


def dataset_of(path: Path) -> Dataset:
    """The kind of recording a path is.

    A split of a data set that is split by image opens as ``PATH/SPLIT`` though there is no such file.

    Raises:
        DatasetError: nothing there, or nothing that is recognised; says what was looked for where.
    """
    if not path.exists():
        for dataset in DATASETS:
            if dataset.splits and dataset.recognises(path):
                return dataset
        known = "".join(f" or {name}:..." for name in sorted(SCHEMES))
        raise DatasetError(f"{path}: no such file or folder, expected a recording{known}")
    for dataset in DATASETS:
        if dataset.recognises(path):
            return dataset
    content = ", ".join(sorted(item.name for item in path.iterdir())[:5]) if path.is_dir() else "a file"
    looked_for = "; ".join(f"{dataset.name} ({dataset.looked_for})" for dataset in DATASETS)
    raise DatasetError(f"{path}: not recognised ({content or 'empty folder'}); looked for: {looked_for}")
