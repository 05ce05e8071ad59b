"""Finds the recordings below the root of a data set and gives each a name for its output folder."""

from __future__ import annotations

from pathlib import Path

from showroom_ros.datasets.catalog import DATASETS, dataset_named
from showroom_ros.datasets.dataset import Dataset
from showroom_ros.datasets.open import SCHEMES, open_sequence
from showroom_ros.datasets.prepare.recipe import Item
from showroom_ros.errors import DatasetError
from showroom_ros.scene.view import Sequence


def recordings_of(root: Path, split: str | None, dataset: str) -> list[Item]:
    """The recordings of one kind below ``root``, or ``root`` itself if it is one.

    Raises:
        DatasetError: unknown split, or no recording of that kind; says what was looked for.
    """
    kind = dataset_named(dataset)
    found = _recordings(root, split, kind)
    if not found:
        raise DatasetError(f"{root}: no recording of {kind.name} found, looked for {kind.looked_for}")
    return [Item(_key(path, root), path) for path in found]


def recordings_of_any_kind(root: Path, split: str | None) -> list[Item]:
    """The recordings below ``root`` of whatever kind comes first in the catalogue; or those of ``synthetic:SEED``.

    Raises:
        DatasetError: none of any kind, or none has that split.
    """
    if _scheme(root):
        return synthetic_recordings(root, split)
    reasons = []
    for kind in DATASETS:
        try:
            found = _recordings(root, split, kind)
        except DatasetError as error:
            if kind.splits and split in kind.splits:
                reasons.append(str(error))
            continue
        if found:
            return [Item(_key(path, root), path) for path in found]
    looked_for = "; ".join(f"{kind.name} ({kind.looked_for})" for kind in DATASETS)
    wanted = f" of split '{split}'" if split else ""
    raise DatasetError("; ".join([f"{root}: no recording{wanted} found, looked for {looked_for}", *reasons]))


def synthetic_recordings(root: Path, split: str | None) -> list[Item]:
    """The made-up recordings of ``synthetic:SEED``, ``synthetic:FIRST-LAST`` or ``synthetic:train/FIRST-LAST``.

    Raises:
        DatasetError: ``root`` is something else, or a split is asked for.
    """
    from showroom_ros.datasets.synthetic.splits import SPLITS

    scheme, _, seeds = str(root).partition(":")
    part, slash, numbers = seeds.rpartition("/")
    first, _, last = numbers.partition("-")
    last = last or first
    known = scheme in SCHEMES and part in ("", *SPLITS)
    if not known or not (first.isdecimal() and last.isdecimal()) or int(last) < int(first):
        raise DatasetError(f"{root}: expected made-up rooms such as synthetic:7, synthetic:0-23, synthetic:train/0-99")
    if split is not None:
        raise DatasetError(f"{root}: split '{split}' asked for, expected none: the seeds say which rooms")
    rooms = [f"{part}{slash}{number}" for number in range(int(first), int(last) + 1)]
    return [Item(f"{scheme}-{room.replace('/', '-')}", Path(f"{scheme}:{room}")) for room in rooms]


def open_item(item: Item, dataset: str | None = None) -> Sequence:
    """The item's recording, read as the kind that it was found as."""
    return open_sequence(str(item.source)) if dataset is None else dataset_named(dataset).read(item.source)


def _recordings(root: Path, split: str | None, kind: Dataset) -> list[Path]:
    if split is None and kind.recognises(root):
        return [root]
    found = [path for path in kind.scenes(root, split) if kind.recognises(path)]
    if not found and split is None and root.is_dir():
        found = [path for path in sorted(root.iterdir()) if kind.recognises(path)]
    return found


def _scheme(root: Path) -> bool:
    return str(root).partition(":")[0] in SCHEMES and not root.exists()


def _key(path: Path, root: Path) -> str:
    if path != root and path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return path.resolve().name
