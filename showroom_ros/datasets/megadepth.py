"""MegaDepth v1 (Li and Snavely, CVPR 2018): internet photos of landmarks with depth from multi-view stereo.

Folder ``MegaDepth_v1/<scene>/dense<N>`` (below ``phoenix/S6/zl548`` in the archive): ``imgs/<name>.jpg`` and
``depths/<name>.h5`` with a data set ``depth``: planar depth in the units of the scene's reconstruction, which are
NOT metres (each ``dense<N>`` has its own scale); 0 is unknown, and images that only have ordinal labels hold -1
and -2. Intrinsics and poses are in another archive (the reconstructions), so the camera is assumed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset
from showroom_ros.datasets.files import read_color
from showroom_ros.datasets.hdf5 import open_hdf5, read_array
from showroom_ros.datasets.image_files import IMAGE_SUFFIXES, stamp_of_index
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import assumed_camera
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

_BELOW = ("", "MegaDepth_v1", "phoenix/S6/zl548/MegaDepth_v1", "MegaDepth_v1/phoenix/S6/zl548/MegaDepth_v1")


class MegaDepth:
    """The images of one reconstruction (``dense<N>``) as a ``Sequence``; depth is None where there is none.

    Attributes:
        path: the folder ``dense<N>``.
        name: "<scene>/dense<N>".
        files: the images, by name.
        metric: False: depth is in units of the reconstruction times ``scale``.
        intrinsics_known, stamps_known: False.
    """

    metric = False
    intrinsics_known = False
    stamps_known = False

    def __init__(self, path: str | Path, *, scale: float = 1.0) -> None:
        """Lists the images.

        Args:
            path: the folder ``dense<N>``.
            scale: metres per unit of the reconstruction, where the caller knows it.

        Raises:
            DatasetError: no such folder, or no images in it.
            InputError: a scale that is not positive.
        """
        self.path, self.scale = Path(path), checked_scale(scale)
        self.name = f"{self.path.resolve().parent.name}/{self.path.resolve().name}"
        folder = self.path / "imgs"
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such folder, expected dense<N> of MegaDepth v1")
        self.files = sorted(item for item in folder.iterdir() if item.suffix.lower() in IMAGE_SUFFIXES)
        if not self.files:
            raise DatasetError(f"{folder}: has no images ({', '.join(IMAGE_SUFFIXES)})")

    def __len__(self) -> int:
        """Number of images."""
        return len(self.files)

    def __getitem__(self, index: int) -> View:
        """The image as a ``View``."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The image with its depth; raises ``DatasetError`` where a file cannot be read."""
        image = read_color(self.files[index])
        height, width = image.shape[:2]
        file = self.depth_file(index)
        depth = read_relative_depth(file, self.scale) if file.is_file() else None
        camera = assumed_camera(width, height)
        depth_camera = None
        if depth is not None and depth.shape != (height, width):
            depth_camera = camera.scaled(depth.shape[1], depth.shape[0])
        stamp_ns = stamp_of_index(index, len(self))
        try:
            return SensorFrame(image, camera, depth, depth_camera, stamp_ns=stamp_ns)
        except InputError as error:
            raise DatasetError(f"{file}: {error} (depth of MegaDepth has a scale of its own: set scale)") from error

    def depth_file(self, index: int) -> Path:
        """Where the depth of an image would be."""
        return self.path / "depths" / f"{self.files[index].stem}.h5"


def read_relative_depth(path: Path, scale: float) -> NDArray[np.float32] | None:
    """Depth float32 [H, W] times ``scale``, NaN unknown; None where the file holds ordinal labels only.

    Raises:
        DatasetError: cut short, no HDF5, or has no two-dimensional ``depth``.
    """
    with open_hdf5(path) as file:
        depth = read_array(file, "depth", (None, None)).astype(np.float32) * np.float32(scale)
    known = np.isfinite(depth) & (depth > 0)
    return np.where(known, depth, np.float32(np.nan)) if known.any() else None


def checked_scale(scale: float) -> float:
    """``scale``; raises ``InputError`` unless it is a positive number."""
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(f"scale is {scale}, expected a positive number of metres per unit")
    return scale


def looks_like_megadepth(path: Path) -> bool:
    """Whether the folder has ``imgs/`` and ``depths/``."""
    return (path / "imgs").is_dir() and (path / "depths").is_dir()


def _scenes(root: Path, split: str | None) -> list[Path]:
    if split is not None:
        raise DatasetError(f"{root}: MegaDepth v1 is read without its splits, found split '{split}' asked for")
    found = [root] if looks_like_megadepth(root) else []
    for below in _BELOW:
        for pattern in ("dense*", "*/dense*"):
            found += [item for item in sorted((root / below).glob(pattern)) if looks_like_megadepth(item)]
    if not found:
        raise DatasetError(f"{root}: no MegaDepth v1 here; looked for <scene>/dense<N>/imgs and .../depths")
    return list(dict.fromkeys(found))


def _missing(path: Path) -> list[str]:
    sequence = MegaDepth(path)
    without = [i for i in range(len(sequence)) if not sequence.depth_file(i).is_file()]
    lines = ["intrinsics and poses: in the archive of the reconstructions, not in this one"]
    if without:
        lines.append(
            f"depth: {len(without)} of {len(sequence)} images have none, first {sequence.depth_file(without[0])}"
        )
    return lines


DATASET = Dataset(
    name="megadepth",
    title="MegaDepth v1 (Li and Snavely, CVPR 2018)",
    looked_for="imgs/*.jpg and depths/*.h5 (<scene>/dense<N>)",
    recognises=looks_like_megadepth,
    read=MegaDepth,
    scenes=_scenes,
    missing=_missing,
)
