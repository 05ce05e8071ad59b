"""ShapeNet Core v1 and v2 (Chang et al., 2015): textured models of things, and our renders of them.

Models: ``<synset>/<model>/model.obj`` (v1) or ``<synset>/<model>/models/model_normalized.obj`` (v2), y up, each
within a cube of about one unit (NOT metres); ``all.csv`` (``id,synsetId,subSynsetId,modelId,split``) holds the
official split. Four synsets are used here.

Renders of a model (``showroom prepare shapenet``): ``<synset>/<model>/renders.h5``, or the group
``/<synset>/<model>`` of one HDF5 file for all, which opens as ``FILE.h5/<synset>/<model>``: ``rgb`` uint8
[N, H, W, 3], ``mask`` uint8 [N, H, W], ``K`` [3, 3], ``world_T_cam`` [N, 4, 4], ``azimuth``, ``elevation`` (degrees),
``distance`` [N], and the attribute ``convention`` that says which way the camera's axes point.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset, checked_split
from showroom_ros.datasets.files import read_csv
from showroom_ros.datasets.frames import sensor_frame
from showroom_ros.datasets.hdf5 import array_of, open_hdf5, read_array
from showroom_ros.datasets.image_files import stamp_of_index
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

if TYPE_CHECKING:
    import h5py

SYNSETS = {"02691156": "airplane", "02747177": "ashcan", "02958343": "car", "03642806": "laptop"}
"""The categories used here, by WordNet offset."""

SPLITS = ("train", "val", "test")
SPLIT_FILE = "all.csv"
RENDERS = "renders.h5"
MESHES = ("models/model_normalized.obj", "model.obj")
"""Where the mesh of a model is: v2, v1."""

CAMERA_AXES = {"opencv": (1.0, 1.0, 1.0), "opengl": (1.0, -1.0, -1.0), "pytorch3d": (-1.0, -1.0, 1.0)}
"""Signs that turn each convention's x, y, z into ours: right, down, forward."""

_SUFFIXES = (".h5", ".hdf5")


class ShapeNetModels:
    """The models of one synset, or of those of its split, by name.

    Attributes:
        root: the folder of the synsets.
        synset: WordNet offset ("02958343").
        ids: names of the models.
    """

    def __init__(self, root: str | Path, synset: str, split: str | None = None) -> None:
        """Lists the models.

        Args:
            root: the folder of the synsets.
            synset: WordNet offset; any folder of the root.
            split: "train", "val" or "test" by ``all.csv`` of the root; None = all.

        Raises:
            DatasetError: no such folder, no models in it, unknown split, or no ``all.csv`` to tell it.
        """
        self.root, self.synset = Path(root), synset
        folder = self.root / synset
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such folder, expected models of ShapeNet")
        self.ids = sorted(item.name for item in folder.iterdir() if mesh_file(item) is not None)
        if not self.ids:
            raise DatasetError(f"{folder}: has no models; looked for <model>/{' or <model>/'.join(MESHES)}")
        if checked_split(split, SPLITS, self.root) is not None:
            wanted = models_of_split(self.root, split or "")
            self.ids = [name for name in self.ids if (synset, name) in wanted]
            if not self.ids:
                raise DatasetError(f"{self.root / SPLIT_FILE}: none of the models of {folder} is in split '{split}'")

    def __len__(self) -> int:
        """Number of models."""
        return len(self.ids)

    def path(self, index: int) -> Path:
        """The mesh file of a model."""
        found = mesh_file(self.root / self.synset / self.ids[index])
        if found is None:
            raise DatasetError(f"{self.root / self.synset / self.ids[index]}: has no {' or '.join(MESHES)}")
        return found

    def mesh(self, index: int) -> Mesh:
        """A model in its own frame (y up), its textures and materials as colours of the vertices.

        Raises:
            DatasetError: the file cannot be read, or holds no triangles; names it.
        """
        file = self.path(index)
        try:
            mesh = load_mesh(file)
        except InputError as error:
            raise DatasetError(str(error)) from error
        if not len(mesh.triangles):
            raise DatasetError(f"{file}: holds no triangles")
        return mesh


class ShapeNetRenders:
    """The renders of one model as a ``Sequence`` of posed views without depth; the world is the model's frame.

    Attributes:
        path: file, and group in it.
        name: "<synset>/<model>".
        camera: of all views.
        azimuth_deg, elevation_deg, distance: float32 [N], where the camera stood.
        convention: what the file says of its poses.
        metric: False: a model is about one unit large.
        stamps_known: False; stamps are made up, one second apart.
    """

    metric = False
    stamps_known = False

    def __init__(self, path: str | Path) -> None:
        """Reads everything but the pixels.

        Args:
            path: folder of a model, ``renders.h5``, or ``FILE.h5/<synset>/<model>``.

        Raises:
            DatasetError: missing, cut short, lacks an array or has one of another shape, or poses of a
                convention that is not known.
            MissingDependencyError: h5py is not installed.
        """
        self.path = Path(path)
        self._file, self._group = _file_and_group(self.path)
        parts = self._group.split("/") if self._group else list(self._file.absolute().parent.parts)
        self.name = "/".join(parts[-2:])
        with open_hdf5(self._file) as file:
            group = self._open_group(file)
            count, height, width, _ = array_of(group, "rgb", (None, None, None, 3)).shape
            array_of(group, "mask", (count, height, width))
            K = read_array(group, "K", (3, 3)).astype(np.float64)
            poses = read_array(group, "world_T_cam", (count, 4, 4)).astype(np.float64)
            angles = [read_array(group, name, (count,)) for name in ("azimuth", "elevation", "distance")]
            self.convention = str(group.attrs.get("convention", file.attrs.get("convention", "")))
        self.azimuth_deg, self.elevation_deg, self.distance = (values.astype(np.float32) for values in angles)
        self._poses = poses @ np.diag([*_axes_of(self.convention, self.path), 1.0])
        try:
            fx, fy, cx, cy = (float(K[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
            self.camera = Camera(width, height, fx, fy, cx, cy)
        except InputError as error:
            raise DatasetError(f"{self.path}: K: {error}") from error

    def __len__(self) -> int:
        """Number of views."""
        return len(self._poses)

    def __getitem__(self, index: int) -> View:
        """The render as a ``View``."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The render with its camera and pose; raises ``DatasetError`` where the file is damaged."""
        stamp_ns = stamp_of_index(index, len(self))
        return sensor_frame(
            self.path,
            image=self._plane("rgb", index),
            color_camera=self.camera,
            T_world_camera=self._poses[index],
            stamp_ns=stamp_ns,
        )

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Which pixels [H, W] show the model."""
        return self._plane("mask", index) > 0

    def _plane(self, name: str, index: int) -> NDArray:
        with open_hdf5(self._file) as file:
            plane = read_array(self._open_group(file), name, index=range(len(self))[index])
        if plane.dtype != np.uint8:
            raise DatasetError(f"{self.path}: '{name}' is {plane.dtype}, expected uint8")
        return plane

    def _open_group(self, file: h5py.File) -> h5py.Group:
        if not self._group:
            return file
        if self._group not in file:
            raise DatasetError(f"{self._file}: has no group '{self._group}', found {', '.join(sorted(file)[:12])}")
        return file[self._group]


def mesh_file(folder: Path) -> Path | None:
    """The mesh in the folder of a model; None where there is none."""
    return next((folder / name for name in MESHES if (folder / name).is_file()), None)


def models_of_split(root: Path, split: str) -> set[tuple[str, str]]:
    """``(synset, model)`` of a split by ``all.csv`` of the root.

    Raises:
        DatasetError: there is no such file, a row is ragged, or it knows no such split.
    """
    path = root / SPLIT_FILE
    rows = read_csv(path, ("synsetId", "modelId", "split"))
    found = {(row["synsetId"].zfill(8), row["modelId"]) for row in rows if row["split"] == split}
    if not found:
        known = ", ".join(sorted({row["split"] for row in rows}))
        raise DatasetError(f"{path}: has no models of split '{split}', found {known}")
    return found


def looks_like_shapenet(path: Path) -> bool:
    """Whether the path is the folder of a model (mesh or renders), or renders in an HDF5 file."""
    if path.is_dir():
        return (path / RENDERS).is_file() or mesh_file(path) is not None
    inside = next((parent for parent in path.parents if parent.suffix in _SUFFIXES), None)
    return path.name == RENDERS or (inside is not None and inside.is_file())


def _scenes(root: Path, split: str | None) -> list[Path]:
    checked_split(split, SPLITS, root)
    if root.suffix in _SUFFIXES:
        found = _groups(root)
        root = root.parent
    else:
        synsets = sorted(item for item in root.iterdir() if item.is_dir()) if root.is_dir() else []
        known = [item for item in synsets if item.name.isdecimal() and len(item.name) == 8]
        found = [item for synset in known for item in sorted(synset.iterdir()) if looks_like_shapenet(item)]
    if split is not None and found:
        wanted = models_of_split(root, split)
        found = [item for item in found if (item.parent.name, item.name) in wanted]
    if not found:
        raise DatasetError(
            f"{root}: no models of ShapeNet{f' in split {split!r}' if split else ''}; looked for "
            f"<synset>/<model>/ with {', '.join((*MESHES, RENDERS))}"
        )
    return found


def _groups(path: Path) -> list[Path]:
    """The groups ``/<synset>/<model>`` of a file that are renders."""
    with open_hdf5(path) as file:
        synsets = [name for name in sorted(file) if hasattr(file[name], "keys")]
        groups = [f"{synset}/{model}" for synset in synsets for model in sorted(file[synset])]
        return [path / group for group in groups if f"{group}/world_T_cam" in file]


def _missing(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    lines = [] if mesh_file(path) else [f"{' or '.join(MESHES)}: no such file"]
    if not (path / RENDERS).is_file():
        lines.append(f"{RENDERS}: no such file (showroom prepare shapenet makes it)")
    return lines


def _file_and_group(path: Path) -> tuple[Path, str]:
    if path.is_dir():
        return path / RENDERS, ""
    for parent in (path, *path.parents):
        if parent.suffix in _SUFFIXES:
            group = path.relative_to(parent).as_posix()
            return parent, "" if group == "." else group
    raise DatasetError(f"{path}: no such file or folder, expected a model of ShapeNet or {RENDERS}")


def _axes_of(convention: str, path: Path) -> tuple[float, float, float]:
    named = [name for name in CAMERA_AXES if name in convention.lower().split(":")[0]]
    if len(named) != 1:
        raise DatasetError(f"{path}: convention is '{convention}', expected it to name one of {', '.join(CAMERA_AXES)}")
    return CAMERA_AXES[named[0]]


DATASET = Dataset(
    name="shapenet",
    title="ShapeNet Core (Chang et al., 2015), models and their renders",
    looked_for=f"<model>/{MESHES[0]}, <model>/{MESHES[1]} or {RENDERS}",
    recognises=looks_like_shapenet,
    read=ShapeNetRenders,
    scenes=_scenes,
    splits=SPLITS,
    missing=_missing,
)
