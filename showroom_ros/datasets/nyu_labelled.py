"""The labelled set of NYU Depth v2: ``nyu_depth_v2_labeled.mat``, 1449 frames with filled-in depth.

HDF5 as MATLAB writes it, so that axes come in reverse order: ``images`` uint8 [N, 3, W, H], ``depths`` (filled in) and
``rawDepths`` (as measured) float32 [N, W, H] metres; texts are references to arrays of characters. ``splits.mat``
beside it holds the official split as 1-based numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from showroom_ros.datasets.dataset import checked_split
from showroom_ros.datasets.hdf5 import array_of, open_hdf5, read_array
from showroom_ros.datasets.image_files import read_rows, stamp_of_index
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.camera import Camera
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

CAMERA = Camera(640, 480, 518.85790117450188, 519.46961112127485, 325.58244941119034, 253.73616633400465)
"""Published calibration of the colour camera (``camera_params.m`` of the toolbox)."""

SPLITS = ("train", "test")
LABELLED = "nyu_depth_v2_labeled.mat"
SPLITS_FILE = "splits.mat"


class NyuLabelled:
    """The labelled set, or a part of it, as a ``Sequence``; reads one frame at a time.

    Attributes:
        name: of the file, and of the split.
        indices: place of each frame in the file, from 0.
        stamps_known: False; stamps are made up, one second apart.
    """

    stamps_known = False

    def __init__(
        self, path: str | Path, split: str | None = None, *, raw_names: Path | None = None, raw_depth: bool = False
    ) -> None:
        """Checks the file and chooses the frames.

        Args:
            path: ``nyu_depth_v2_labeled.mat``, or that and the name of a split.
            split: "train" (795 frames) or "test" (654) by ``splits.mat`` beside it; None = all 1449.
            raw_names: list of raw colour files (``kitchen_0004/r-....ppm``) to take, in its order.
            raw_depth: depth as measured, with holes, instead of filled in.

        Raises:
            DatasetError: missing, cut short, lacks an array or has one of another shape; unknown split;
                an index or raw name that is not in it.
            MissingDependencyError: h5py is not installed.
        """
        path = Path(path)
        if split is None and path.name in SPLITS and path.parent.suffix == ".mat":
            path, split = path.parent, path.name
        self.path, self._depth = path, "rawDepths" if raw_depth else "depths"
        checked_split(split, SPLITS, path)
        with open_hdf5(path) as file:
            count = array_of(file, "images", (None, 3, CAMERA.width, CAMERA.height)).shape[0]
            array_of(file, self._depth, (count, CAMERA.width, CAMERA.height))
        self.indices = list(range(count))
        self.name = path.stem
        if split is not None:
            self.indices, self.name = _split_indices(path.with_name(SPLITS_FILE), split, count), f"{path.stem}/{split}"
        elif raw_names is not None:
            self.indices, self.name = _indices_of(raw_names, self.texts("rawRgbFilenames"), path), raw_names.stem

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.indices)

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View``."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The frame; raises ``DatasetError`` where the file is damaged."""
        place = self.indices[index]
        with open_hdf5(self.path) as file:
            image = read_array(file, "images", index=place)
            depth = read_array(file, self._depth, index=place).T.astype(np.float32)
        if image.dtype != np.uint8:
            raise DatasetError(f"{self.path}: 'images' is {image.dtype}, expected uint8")
        depth[~(depth > 0)] = np.nan
        return SensorFrame(
            image=np.ascontiguousarray(image.transpose(2, 1, 0)),
            color_camera=CAMERA,
            depth=np.ascontiguousarray(depth),
            stamp_ns=stamp_of_index(index, len(self)),
        )

    def texts(self, name: str) -> list[str]:
        """A cell array of texts, for all frames of the file: ``scenes``, ``sceneTypes``, ``rawRgbFilenames``...

        Raises:
            DatasetError: there is no such array.
        """
        with open_hdf5(self.path) as file:
            references = read_array(file, name).ravel()
            return ["".join(map(chr, np.asarray(file[reference]).ravel())) for reference in references]


def _split_indices(path: Path, split: str, count: int) -> list[int]:
    """Places from 0 of the 1-based ``trainNdxs`` or ``testNdxs`` of ``splits.mat``."""
    from scipy.io import loadmat

    if not path.is_file():
        raise DatasetError(f"{path}: no such file, expected it beside {LABELLED} to tell its split '{split}'")
    try:
        content = loadmat(path)
    except Exception as error:  # its readers raise whatever went wrong inside
        raise DatasetError(f"{path}: cut short or no MATLAB file: {error}") from error
    name = f"{split}Ndxs"
    if name not in content:
        raise DatasetError(f"{path}: has no '{name}', found {', '.join(key for key in content if key[0] != '_')}")
    places = np.asarray(content[name]).ravel().astype(np.int64) - 1
    if not len(places) or places.min() < 0 or places.max() >= count:
        raise DatasetError(f"{path}: '{name}' names frames {places.min() + 1} to {places.max() + 1} of {count}")
    return [int(place) for place in places]


def _indices_of(path: Path, raw_names: list[str], labelled: Path) -> list[int]:
    places = {name: place for place, name in enumerate(raw_names)}
    wanted = [row[0].lstrip("/") for row in read_rows(path, (1,), "the name of a raw colour file")]
    absent = [name for name in wanted if name not in places]
    if absent:
        raise DatasetError(f"{path}: {len(absent)} of {len(wanted)} names are not in {labelled}, first {absent[0]}")
    return [places[name] for name in wanted]
