"""What a path is: which data set, how many recordings, what is in them and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from showroom_ros.datasets.catalog import BAG, DATASETS
from showroom_ros.datasets.dataset import Dataset
from showroom_ros.datasets.open import SCHEMES, dataset_of, open_sequence
from showroom_ros.datasets.photos import DATASET as PHOTOS
from showroom_ros.datasets.recording_info import Progress, RecordingInfo, describe_sequence
from showroom_ros.errors import DatasetError, ShowroomError

_CHECKED_SCENES = 50
_TRIED_RECORDINGS = 10


@dataclass(frozen=True)
class RootInfo:
    """A folder with many recordings.

    Attributes:
        source: its path.
        dataset: kind of the recordings ("" where they are of several kinds).
        title: full name of that kind.
        split: that was asked for; None = all.
        splits: recordings by official split; what is wrong where one cannot be told.
        recordings: kind of each by its path, in order.
        missing: what recordings lack, by path; of the first 50 only.
        first: the first recording (of the first 10) that can be opened, or the first.
    """

    source: str
    dataset: str
    title: str
    split: str | None
    splits: dict[str, int | str]
    recordings: dict[str, str]
    missing: dict[str, tuple[str, ...]]
    first: RecordingInfo


def describe(
    source: str | Path, split: str | None = None, *, frames: int = 50, progress: Progress | None = None
) -> RecordingInfo | RootInfo:
    """Says what a path or name is.

    Args:
        source: recording, root folder of a data set, folder of recordings, or ``synthetic:...``.
        split: only the recordings of this split.
        frames: so many frames of a recording, evenly spread, are read.
        progress: called with (frames read, frames to read).

    Raises:
        DatasetError: nothing there, an unknown split, or nothing that is recognised; says what was looked for.
    """
    if str(source).partition(":")[0] in SCHEMES:
        if split is not None:
            raise DatasetError(f"{source}: a recording that is made has no splits, found split '{split}' asked for")
        return describe_sequence(open_sequence(source), str(source), frames=frames, progress=progress)
    dataset, recordings = find_recordings(Path(source), split)
    if len(recordings) == 1 and dataset is not None:
        return _describe_recording(dataset, recordings[0], frames, progress)
    kinds = {path: dataset or dataset_of(path) for path in recordings}
    missing = {str(path): _missing(kinds[path], path) for path in recordings[:_CHECKED_SCENES]}
    return RootInfo(
        source=str(source),
        dataset=dataset.name if dataset else "",
        title=dataset.title if dataset else "Recordings of several kinds",
        split=split,
        splits={} if dataset is None else _count_splits(dataset, Path(source)),
        recordings={str(path): kind.name for path, kind in kinds.items()},
        missing={path: lines for path, lines in missing.items() if lines},
        first=_describe_first(kinds, frames, progress),
    )


def find_recordings(path: Path, split: str | None = None) -> tuple[Dataset | None, list[Path]]:
    """The recordings a path holds, and their kind; None where they are of several kinds.

    A path is one recording, the root of a data set, or a folder of recordings; any folder with an image in it is
    a folder of photos only if it is nothing else.

    Raises:
        DatasetError: as ``describe``.
    """
    try:
        kind = dataset_of(path)
        unknown: DatasetError | None = None
    except DatasetError as error:
        kind, unknown = None, error
    if kind is not None and kind is not PHOTOS:
        return kind, [path] if split is None else kind.scenes(path, split)
    children = sorted(item for item in path.iterdir() if not item.name.startswith(".")) if path.is_dir() else []
    found = {child: dataset_of(child) for child in children if any(one.recognises(child) for one in DATASETS)}
    if len({one.name for one in found.values()} - {PHOTOS.name}) > 1:
        if split is not None:
            raise DatasetError(f"{path}: holds recordings of several kinds, which have no split '{split}'")
        return None, list(found)
    for dataset in DATASETS:
        recordings = _recordings_of(dataset, path)
        if recordings:
            return dataset, recordings if split is None else dataset.scenes(path, split)
    if kind is not None:
        return kind, [path] if split is None else kind.scenes(path, split)
    if not found or split is not None:
        assert unknown is not None
        raise unknown
    return next(iter(found.values())), list(found)


def _describe_recording(dataset: Dataset, path: Path, frames: int, progress: Progress | None) -> RecordingInfo:
    missing = _missing(dataset, path)
    try:
        sequence = dataset.read(path)
    except ShowroomError as error:
        missing = tuple(line for line in missing if line != str(error))
        return RecordingInfo(
            str(path), dataset.name, dataset.title, path.name, missing=missing, problem=str(error), topics=_topics(path)
        )
    try:
        return describe_sequence(
            sequence, str(path), dataset.name, dataset.title, frames=frames, progress=progress, missing=missing
        )
    finally:
        close: Callable[[], None] = getattr(sequence, "close", lambda: None)
        close()


def _describe_first(kinds: dict[Path, Dataset], frames: int, progress: Progress | None) -> RecordingInfo:
    first: RecordingInfo | None = None
    for path, kind in list(kinds.items())[:_TRIED_RECORDINGS]:
        info = _describe_recording(kind, path, frames, progress)
        if not info.problem:
            return info
        first = first or info
    assert first is not None
    return first


def _recordings_of(dataset: Dataset, root: Path) -> list[Path]:
    """Those below a root; [] where it is no root of that kind."""
    try:
        recordings = dataset.scenes(root, None)
    except ShowroomError:
        return []
    return [] if recordings == [root] else recordings


def _count_splits(dataset: Dataset, root: Path) -> dict[str, int | str]:
    counts: dict[str, int | str] = {}
    for split in dataset.splits:
        try:
            counts[split] = len(dataset.scenes(root, split))
        except ShowroomError as error:
            counts[split] = str(error)
    return counts


def _missing(dataset: Dataset, path: Path) -> tuple[str, ...]:
    try:
        return tuple(dataset.missing(path))
    except ShowroomError as error:
        return (str(error),)


def _topics(path: Path) -> dict[str, str]:
    from showroom_ros.bags.reader import BagReader

    try:
        if not BAG.recognises(path):
            return {}
        with BagReader(path) as bag:
            return {name: f"{topic.type}, {topic.count} messages" for name, topic in sorted(bag.topics.items())}
    except ShowroomError:
        return {}
