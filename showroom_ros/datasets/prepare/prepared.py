"""Reads what ``posed_video`` prepared: one scene as a ``Sequence``, its mesh and its signed distances.

Folder of one scene: ``info.json``, ``color/NNNNN.jpg``, ``depth/NNNNN.png`` (uint16 millimetres, 0 unknown,
registered to colour), ``mesh.ply`` and ``full_tsdf_layer{0,1,2}.npz`` with ``tsdf_info.json`` where wanted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset, checked_split
from showroom_ros.datasets.files import read_color, read_depth
from showroom_ros.datasets.prepare.tsdf_targets import Grid
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import checked_pose
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

INFO = "info.json"
TSDF_INFO = "tsdf_info.json"
DEPTH_UNITS_PER_METRE = 1000.0


class Prepared:
    """One prepared scene as a ``Sequence``.

    Attributes:
        name: of the scene.
        path: its folder.
        info: content of ``info.json``.
    """

    def __init__(self, path: str | Path) -> None:
        """Reads ``info.json``.

        Raises:
            DatasetError: it is missing, broken, or lists no frames.
        """
        self.path = Path(path)
        self.info = _read_json(self.path / INFO)
        try:
            self.name = str(self.info["scene"])
            self._size = int(self.info["width"]), int(self.info["height"])
            self._frames = list(self.info["frames"])
            self._camera = self._camera_of(self.info["intrinsics"])
        except (LookupError, TypeError, ValueError, InputError) as error:
            raise DatasetError(f"{self.path / INFO}: is not that of a prepared scene: {error!r}") from error
        if not self._frames:
            raise DatasetError(f"{self.path / INFO}: lists no frames")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View``."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The frame; its depth is registered to its colour image.

        Raises:
            DatasetError: a file cannot be read, or the frame's entry is broken.
        """
        entry = self._frames[index]
        try:
            return SensorFrame(
                image=read_color(self.path / entry["filename_color"]),
                color_camera=self.camera(index),
                depth=read_depth(self.path / entry["filename_depth"], DEPTH_UNITS_PER_METRE),
                T_world_camera=self.pose(index),
                stamp_ns=int(entry["stamp_ns"]),
            )
        except (LookupError, TypeError, ValueError, InputError) as error:
            raise DatasetError(f"{self.path / INFO}: frame {index} is broken: {error!r}") from error

    def camera(self, index: int) -> Camera:
        """Intrinsics of a frame."""
        own = self._frames[index].get("intrinsics")
        return self._camera if own is None else self._camera_of(own)

    def pose(self, index: int) -> NDArray[np.float64]:
        """``T_world_camera`` [4, 4] of a frame."""
        return checked_pose(self._frames[index]["pose"])

    def depth(self, index: int) -> NDArray[np.float32]:
        """Planar depth of a frame, float32 [H, W] metres, NaN unknown; does not read the colour image."""
        return read_depth(self.path / self._frames[index]["filename_depth"], DEPTH_UNITS_PER_METRE)

    def ground_truth_mesh(self) -> Mesh | None:
        """The true mesh in the world frame of the poses; None if the scene has none."""
        name = self.info.get("gt_mesh")
        return None if name is None else load_mesh(self.path / name)

    def tsdf_layer(self, layer: int) -> tuple[NDArray[np.float32], Grid]:
        """Signed distances of layer 0, 1 or 2 (4, 8, 16 cm), float32 [X, Y, Z], and where their voxels are.

        Raises:
            DatasetError: the scene was prepared without them, or their file is broken.
        """
        info = _read_json(self.path / TSDF_INFO)
        path = self.path / f"full_tsdf_layer{layer}.npz"
        try:
            with np.load(path) as archive:
                values = archive["arr_0"]
            grid = Grid(np.array(info["vol_origin"], np.float64), float(info["voxel_sizes_m"][layer]), values.shape)
        except Exception as error:  # zipfile, zlib and numpy raise what they like on a broken archive
            raise DatasetError(f"{path}: cannot be read as a TSDF layer: {error}") from error
        return values, grid

    def _camera_of(self, matrix: list[list[float]]) -> Camera:
        return Camera(*self._size, matrix[0][0], matrix[1][1], matrix[0][2], matrix[1][2])


def looks_prepared(path: Path) -> bool:
    """Whether the folder has ``info.json`` and ``color/``."""
    return (path / INFO).is_file() and (path / "color").is_dir()


def prepared_scenes(root: Path, split: str | None) -> list[Path]:
    """All prepared scenes below an output folder of ``showroom prepare``, by name."""
    checked_split(split, (), root)
    found = sorted(path.parent for path in root.rglob(INFO) if looks_prepared(path.parent))
    if not found:
        raise DatasetError(f"{root}: no prepared scene found, looked for info.json and color/ in its folders")
    return found


def missing_of(path: Path) -> list[str]:
    """Images that ``info.json`` lists and that are not there."""
    entries = _read_json(path / INFO).get("frames", [])
    names = [entry[kind] for entry in entries for kind in ("filename_color", "filename_depth")]
    return [f"{name}: no such file" for name in names if not (path / name).is_file()]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: holds a {type(content).__name__}, expected an object")
    return content


DATASET = Dataset(
    name="prepared",
    title="posed RGB-D video made by showroom prepare",
    looked_for="info.json and color/",
    recognises=looks_prepared,
    read=Prepared,
    scenes=prepared_scenes,
    missing=missing_of,
)
