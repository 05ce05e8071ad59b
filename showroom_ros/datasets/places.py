"""Places365 (Zhou et al., TPAMI 2017): photos of 365 kinds of places, without depth and pose.

Root folder, as the archives unpack: ``data_256_standard/`` (or ``data_256/``, ``data_large_standard/``,
``data_large/``) ``<letter>/<category>/<file>.jpg`` to train on, ``val_256/`` or ``val_large/``, ``test_256/`` or
``test_large/``; beside them ``places365_train_standard.txt`` (``/a/airfield/00000001.jpg 0``), ``places365_val.txt``
(``Places365_val_00000001.jpg 165``), ``places365_test.txt`` and ``categories_places365.txt`` (``/a/airfield 0``).
The easy form with ``train/<category>/`` and ``val/<category>/`` is read too. Without a list the folders say what
there is. The splits open as ``ROOT/train``, ``ROOT/val`` and ``ROOT/test``.
"""

from __future__ import annotations

from pathlib import Path

from showroom_ros.datasets.dataset import Dataset, checked_split
from showroom_ros.datasets.image_files import ImageFiles, absent_files, read_rows, whole_number
from showroom_ros.errors import DatasetError

FOLDERS = {
    "train": ("data_256_standard", "data_256", "data_large_standard", "data_large", "train"),
    "val": ("val_256", "val_large", "val"),
    "test": ("test_256", "test_large", "test"),
}
"""Where the images of a split may be; the first that is there counts."""

LISTS = {
    "train": ("places365_train_standard.txt", "places365_train_challenge.txt", "places365_train.txt"),
    "val": ("places365_val.txt",),
    "test": ("places365_test.txt",),
}
CATEGORIES = "categories_places365.txt"
SPLITS = tuple(FOLDERS)
UNLABELLED = -1

_OWN_FOLDERS = ("data_256_standard", "data_large_standard", "val_256", "test_256")


class Places(ImageFiles):
    """The images of Places365 that a root folder has, or those of one split.

    Attributes:
        path: the root folder.
        labels: number of each image's category; -1 where it is not published (test) or not known.
        categories: names by number (``/a/airfield``), from ``categories_places365.txt``; {} without it.
    """

    def __init__(self, path: str | Path, split: str | None = None, folder: str | None = None) -> None:
        """Reads the lists, or the folders where there are none.

        Args:
            path: the root folder, or ``ROOT/SPLIT``.
            split: "train", "val" or "test"; None = all there are.
            folder: name of the folder with the images of the split ("data_large"); None = the first of ``FOLDERS``.

        Raises:
            DatasetError: no such folder, an unknown split, a ragged list, or no images.
        """
        self.path, split = _root_and_split(Path(path), split)
        self.categories = _read_categories(self.path / CATEGORIES)
        self.labels: list[int] = []
        names: list[str] = []
        for part in [split] if split else SPLITS:
            images = _folder(self.path, part, folder)
            if images is None:
                continue
            for name, label in _listed(self.path, part) or _found(images, self.categories):
                names.append(f"{images.name}/{name}")
                self.labels.append(label)
        if not names:
            wanted = ", ".join(folder or "/".join(FOLDERS[part]) for part in ([split] if split else SPLITS))
            raise DatasetError(f"{self.path}: has no images of Places365; looked for the folders {wanted}")
        super().__init__(self.path.name + (f"/{split}" if split else ""), self.path, names)

    def category(self, index: int) -> str:
        """Name of the image's category (``/a/airfield``); "" where it is not known."""
        return self.categories.get(self.labels[index], "")


def looks_like_places(path: Path) -> bool:
    """Whether the folder has lists or folders named as Places365 does, or is a split of such a folder."""
    if path.name in SPLITS and _is_root(path.parent):
        return True
    return _is_root(path)


def _is_root(path: Path) -> bool:
    if any((path / name).is_file() for names in LISTS.values() for name in names) or (path / CATEGORIES).is_file():
        return True
    return any((path / name).is_dir() for name in _OWN_FOLDERS) or (
        path.name.startswith("places365") and (path / "train").is_dir()
    )


def _scenes(root: Path, split: str | None) -> list[Path]:
    checked_split(split, SPLITS, root)
    if not looks_like_places(root):
        raise DatasetError(f"{root}: no Places365 here; looked for {DATASET.looked_for}")
    path, own = _root_and_split(root, None)
    wanted = split or own
    found = [part for part in SPLITS if wanted in (None, part) and _folder(path, part, None) is not None]
    if not found:
        names = ", ".join("/".join(FOLDERS[part]) for part in SPLITS if wanted in (None, part))
        raise DatasetError(f"{path}: has no images of Places365; looked for the folders {names}")
    return [path / part for part in found]


def _missing(path: Path) -> list[str]:
    root, split = _root_and_split(path, None)
    lines = [] if (root / CATEGORIES).is_file() else [f"{CATEGORIES}: no such file"]
    for part in [split] if split else SPLITS:
        if _folder(root, part, None) is None:
            lines.append(f"{' or '.join(f'{name}/' for name in FOLDERS[part])}: no such folder ({part})")
            continue
        if not any((root / name).is_file() for name in LISTS[part]):
            lines.append(f"{' or '.join(LISTS[part])}: no such file")
        sequence = Places(root, part)
        lines += absent_files([sequence.file(i) for i in range(len(sequence))], f"images of {part}")
    return lines


def _root_and_split(path: Path, split: str | None) -> tuple[Path, str | None]:
    if split is None and path.name in SPLITS and _is_root(path.parent):
        path, split = path.parent, path.name
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder, expected Places365")
    return path, checked_split(split, SPLITS, path)


def _folder(root: Path, split: str, name: str | None) -> Path | None:
    """The folder with the images of a split; None where there is none."""
    return next((root / n for n in ((name,) if name else FOLDERS[split]) if (root / n).is_dir()), None)


def _listed(root: Path, split: str) -> list[tuple[str, int]]:
    """``(file, label)`` of a split's list; [] where there is none."""
    path = next((root / name for name in LISTS[split] if (root / name).is_file()), None)
    if path is None:
        return []
    items = []
    for words in read_rows(path, (1, 2), "file and number of its category"):
        label = whole_number(words[1], f"{path}, '{words[0]}'", "a category") if len(words) == 2 else UNLABELLED
        items.append((words[0].lstrip("/"), label))
    return items


def _found(folder: Path, categories: dict[int, str]) -> list[tuple[str, int]]:
    """``(file, label)`` of all images below a folder; labels where the file's folder is a category's."""
    numbers = {name.strip("/"): number for number, name in categories.items()}
    numbers |= {name.split("/", 1)[-1].replace("/", "-"): number for name, number in list(numbers.items())}
    items = sorted(str(file.relative_to(folder).as_posix()) for file in folder.rglob("*.jpg"))
    return [(name, numbers.get(name.rpartition("/")[0], UNLABELLED)) for name in items]


def _read_categories(path: Path) -> dict[int, str]:
    if not path.is_file():
        return {}
    rows = read_rows(path, (2,), "category and its number")
    return {whole_number(number, f"{path}, '{name}'", "a category"): name for name, number in rows}


DATASET = Dataset(
    name="places",
    title="Places365 (Zhou et al., TPAMI 2017)",
    looked_for=f"places365_*.txt, {CATEGORIES}, data_256_standard/ or val_256/",
    recognises=looks_like_places,
    read=Places,
    scenes=_scenes,
    splits=SPLITS,
    missing=_missing,
)
