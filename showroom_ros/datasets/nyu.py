"""NYU Depth v2 (Silberman et al., ECCV 2012): RGB-D frames of 464 indoor scenes, without poses.

Three forms are read:

* a scene folder of the "sync" convention of BTS and ZoeDepth: ``rgb_00045.jpg`` and ``sync_depth_00045.png``
  (uint16 millimetres, 0 unknown), in ``sync/<scene>/`` to train and ``official_splits/test/<scene>/`` to test;
* a list of such files (``nyudepthv2_test_files_with_gt.txt``: ``rgb depth focal``, from the folder the scenes are
  in), or of raw colour files (Eigen's test list), which are found in the labelled set;
* the labelled set ``nyu_depth_v2_labeled.mat`` (HDF5 as MATLAB writes it: axes in reverse order), whose splits,
  by the 1-based ``trainNdxs`` and ``testNdxs`` of ``splits.mat`` beside it, open as ``nyu_depth_v2_labeled.mat/train``
  and ``.../test``.

Colour and depth are undistorted and registered.
"""

from __future__ import annotations

import re
from pathlib import Path

from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset, checked_split
from showroom_ros.datasets.files import read_color, read_depth
from showroom_ros.datasets.image_files import absent_files, read_rows, real_numbers, stamp_of_index
from showroom_ros.datasets.nyu_labelled import CAMERA, LABELLED, SPLITS, SPLITS_FILE, NyuLabelled
from showroom_ros.errors import DatasetError
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, Sequence, View

DEPTH_UNITS_PER_METRE = 1000.0

_COLOR = re.compile(r"rgb_(\d+)\.(?:jpg|png)$")
_LINE = "colour file, depth file and focal length, or the name of a raw colour file"
_ROOTS = ("", "sync", "official_splits/test", "official_splits/train", "test", "train")
"""Where the names of a list may start, from its folder or one of the two above."""


class NyuFiles:
    """A scene folder, or a list of frames, of the sync convention as a ``Sequence``.

    Attributes:
        name: of the folder, or of the list.
        files: colour and depth file of each frame; depth is None where the list says "None".
        skipped: colour images left out, by reason.
        stamps_known: False; stamps are made up, one second apart.
    """

    stamps_known = False

    def __init__(self, path: str | Path) -> None:
        """Lists the frames.

        Args:
            path: scene folder, or text file of lines ``rgb depth [focal]``.

        Raises:
            DatasetError: nothing there, no frames, a ragged list, or a list none of whose files are found.
        """
        self.path = Path(path)
        self.skipped = {"no depth": 0}
        if self.path.is_file():
            self.name, self.files = self.path.stem, _listed_files(self.path)
            return
        self.name = self.path.resolve().name
        pairs = _scene_files(self.path)
        self.files = [(color, depth) for color, depth in pairs if depth is None or depth.is_file()]
        self.skipped["no depth"] = len(pairs) - len(self.files)
        if not self.files:
            raise DatasetError(f"{self.path}: none of {len(pairs)} colour images has a sync_depth_NNNNN.png")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.files)

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View``."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The frame; raises ``DatasetError`` where a file is missing, cannot be read or has another size."""
        color, depth = self.files[index]
        return SensorFrame(
            image=_of_size(read_color(color), color),
            color_camera=CAMERA,
            depth=None if depth is None else _of_size(read_depth(depth, DEPTH_UNITS_PER_METRE), depth),
            stamp_ns=stamp_of_index(index, len(self)),
        )


def looks_like_nyu(path: Path) -> bool:
    """Whether the path is a scene of the sync convention, the labelled set or a split of it, or a list of frames."""
    if path.is_dir():
        names = [item.name for item in path.iterdir()]
        in_sync = any(map(_COLOR.match, names)) and any(name.startswith("sync_depth_") for name in names)
        return in_sync or (LABELLED in names and not {"sync", "official_splits"} & set(names))
    if path.name in SPLITS and path.parent.suffix == ".mat":
        path = path.parent
    return path.name == LABELLED or (path.suffix == ".txt" and path.name.startswith("nyu") and path.is_file())


def read_nyu(path: Path) -> Sequence:
    """Whatever ``looks_like_nyu`` recognises as a ``Sequence``."""
    if path.suffix == ".mat" or path.parent.suffix == ".mat":
        return NyuLabelled(path)
    if (path / LABELLED).is_file():
        return NyuLabelled(path / LABELLED)
    if path.is_file() and len(read_rows(path, (1, 2, 3), _LINE)[0]) == 1:
        return NyuLabelled(_labelled_near(path), raw_names=path)
    return NyuFiles(path)


def _scenes(root: Path, split: str | None) -> list[Path]:
    checked_split(split, SPLITS, root)
    below = {"train": ("sync", "official_splits/train"), "test": ("official_splits/test",)}
    folders = [root / name for part in SPLITS if split in (None, part) for name in below[part]]
    if split is None or root.name == {"train": "sync", "test": "test"}[split]:
        folders.append(root)
    found = []
    for folder in folders:
        children = sorted(folder.iterdir()) if folder.is_dir() else []
        found += [item for item in children if item.is_dir() and item.name != "sync" and looks_like_nyu(item)]
    for labelled in (root / LABELLED, root / "labeled" / LABELLED):
        if labelled.is_file():
            found.append(labelled / split if split else labelled)
    if not found:
        raise DatasetError(
            f"{root}: no scenes of NYU Depth v2{f' in split {split!r}' if split else ''}; looked for "
            f"{', '.join(str(folder.relative_to(root) / '*' / 'rgb_NNNNN.jpg') for folder in folders)} and {LABELLED}"
        )
    return found


def _missing(path: Path) -> list[str]:
    sequence = read_nyu(path)
    if isinstance(sequence, NyuLabelled):
        splits = sequence.path.with_name(SPLITS_FILE)
        return [] if splits.is_file() else [f"{splits.name}: no such file; the official split is not known"]
    lines = absent_files([color for color, _ in sequence.files], "colour") if isinstance(sequence, NyuFiles) else []
    depths = [depth for _, depth in sequence.files if depth is not None] if isinstance(sequence, NyuFiles) else []
    return lines + absent_files(depths, "depth")


def _of_size(plane: NDArray, path: Path) -> NDArray:
    if plane.shape[:2] != (CAMERA.height, CAMERA.width):
        raise DatasetError(f"{path}: is {plane.shape[1]}x{plane.shape[0]}, expected {CAMERA.width}x{CAMERA.height}")
    return plane


def _scene_files(path: Path) -> list[tuple[Path, Path | None]]:
    if not path.is_dir():
        raise DatasetError(f"{path}: no such file or folder, expected a scene or a list of NYU Depth v2")
    matches = [_COLOR.match(item.name) for item in path.iterdir()]
    frames = sorted((int(match.group(1)), match.group(1), match.string) for match in matches if match)
    if not frames:
        raise DatasetError(f"{path}: has no rgb_NNNNN.jpg, expected a scene of NYU Depth v2")
    return [(path / color, path / f"sync_depth_{digits}.png") for _, digits, color in frames]


def _listed_files(path: Path) -> list[tuple[Path, Path | None]]:
    rows = read_rows(path, (2, 3), _LINE)
    for number, row in enumerate(rows, 1):
        real_numbers(row[2:], f"{path}, frame {number}", "focal length")
    names = [(row[0].lstrip("/"), row[1].lstrip("/")) for row in rows]
    above = [path.resolve().parent, *path.resolve().parent.parents][:3]
    roots = [folder / name for folder in above for name in _ROOTS]
    root = next((root for root in roots if any((root / color).is_file() for color, _ in names[:20])), None)
    if root is None:
        raise DatasetError(f"{path}: {names[0][0]} is not there; looked in {', '.join(map(str, roots))}")
    return [(root / color, None if depth == "None" else root / depth) for color, depth in names]


def _labelled_near(path: Path) -> Path:
    above = [path.resolve().parent, *path.resolve().parent.parents][:3]
    found = next((folder / LABELLED for folder in above if (folder / LABELLED).is_file()), None)
    if found is None:
        raise DatasetError(
            f"{path}: names raw colour files, which are read from {LABELLED}; looked for it in "
            f"{', '.join(map(str, above))}"
        )
    return found


DATASET = Dataset(
    name="nyu",
    title="NYU Depth v2 (Silberman et al., ECCV 2012)",
    looked_for=f"rgb_NNNNN.jpg and sync_depth_NNNNN.png, {LABELLED}, or a list nyu*.txt",
    recognises=looks_like_nyu,
    read=read_nyu,
    scenes=_scenes,
    splits=SPLITS,
    missing=_missing,
)
