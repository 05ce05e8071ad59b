"""ScanNet++ (Yeshwanth et al., ICCV 2023), DSLR: fisheye photos of rooms in the frame of a laser scan.

Folder ``data/<id>/dslr``: ``resized_images/`` (fisheye) with ``colmap/{cameras,images}.txt``, or, where that is
absent, ``nerfstudio/transforms.json``; after undistortion ``resized_undistorted_images/`` with
``nerfstudio/transforms_undistorted.json``. ``train_test_lists.json`` names the images of novel view synthesis.
The mesh is ``data/<id>/scans/mesh_aligned_0.05.ply``. World: that of the mesh, z up, metres. No depth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets import colmap
from showroom_ros.datasets.dataset import Dataset, checked_split
from showroom_ros.datasets.files import read_color, read_json
from showroom_ros.datasets.frames import checked_frame_count, sensor_frame, stamp_ns_of_number
from showroom_ros.datasets.splits import first_file, read_names, recordings_below, subfolders
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import checked_pose
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

SPLITS = ("train", "val", "test")
PARTS = ("train", "test")
RATE_HZ = 1.0
"""Photos have no times: their stamps are a second apart in the order of their names."""

_FISHEYE, _UNDISTORTED = "resized_images", "resized_undistorted_images"
_LENSES = {"OPENCV_FISHEYE": ("k1", "k2", "k3", "k4"), "OPENCV": ("k1", "k2", "p1", "p2"), "PINHOLE": ()}
_T_WORLD_NERFSTUDIO = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1.0]])
"""Nerfstudio swaps x and y of COLMAP's world and turns z; undone by the same rotation."""
_OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True)
class PosedImage:
    """An image file with its camera and ``T_world_camera`` (float64 [4, 4])."""

    path: Path
    camera: Camera
    T_world_camera: NDArray[np.float64]


class ScanNetPP:
    """The DSLR images of one ScanNet++ scene as a ``Sequence``.

    Images that are registered but not on disk are left out.

    Attributes:
        name: id of the scene.
        skipped: images left out, by reason.
        stamps_known: False; stamps are made up from the order of the images.
    """

    stamps_known = False

    def __init__(self, path: str | Path, *, undistorted: bool | None = None, part: str | None = None) -> None:
        """Reads cameras and poses.

        Args:
            path: folder of the scene, or ``dslr`` in it.
            undistorted: open ``resized_undistorted_images``; None = only where there are no fisheye images.
            part: only the images that ``train_test_lists.json`` names as ``train`` or ``test``.

        Raises:
            DatasetError: no such scene, broken model files, or no image on disk.
        """
        self.path = scene_part(Path(path), "dslr")
        self.name = self.path.resolve().parent.name
        if undistorted is None:
            undistorted = not (self.path / _FISHEYE).is_dir() and (self.path / _UNDISTORTED).is_dir()
        images = _undistorted_images(self.path) if undistorted else _fisheye_images(self.path)
        if part is not None:
            names = self._names_of(part)
            images = [image for image in images if image.path.name in names]
        self._images = [image for image in images if image.path.is_file()]
        self.skipped = {"no image": len(images) - len(self._images)}
        checked_frame_count(self.path, len(self._images), len(images), self.skipped)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def __getitem__(self, index: int) -> View:
        """The image as an undistorted ``View`` without depth."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The image as taken; raises ``DatasetError`` where it cannot be read."""
        image = self._images[index]
        return sensor_frame(
            image.path,
            image=read_color(image.path),
            color_camera=image.camera,
            T_world_camera=image.T_world_camera,
            stamp_ns=stamp_ns_of_number(range(len(self))[index], RATE_HZ),
        )

    def image_name(self, index: int) -> str:
        """Name of the image file, as the official lists have it."""
        return self._images[index].path.name

    def ground_truth_mesh(self) -> Mesh | None:
        """``scans/mesh_aligned_0.05.ply``; None where it is absent."""
        return scan_mesh(self.path.parent)

    def _names_of(self, part: str) -> set[str]:
        path = self.path / "train_test_lists.json"
        checked_split(part, PARTS, path)
        lists = read_json(path)
        if not isinstance(lists, dict) or part not in lists:
            raise DatasetError(f"{path}: has no list '{part}'")
        return set(lists[part])


def scene_part(path: Path, part: str) -> Path:
    """``dslr`` or ``iphone`` of a scene, from its folder or from that of the scene."""
    return path / part if (path / part).is_dir() else path


def scan_mesh(scene: Path) -> Mesh | None:
    """The mesh of the laser scan of a scene; None where it is absent."""
    path = scene / "scans" / "mesh_aligned_0.05.ply"
    return load_mesh(path) if path.is_file() else None


def colmap_images(model: Path, folder: Path) -> list[PosedImage]:
    """The images of a COLMAP model whose files lie in ``folder``, by name."""
    cameras = colmap.read_cameras(model / "cameras.txt")
    images = []
    for image in colmap.read_images(model / "images.txt"):
        if image.camera_id not in cameras:
            raise DatasetError(
                f"{model / 'images.txt'}: {image.name} has camera {image.camera_id}, cameras.txt has none"
            )
        images.append(PosedImage(folder / image.name, cameras[image.camera_id], image.T_world_camera))
    return images


def nerfstudio_images(path: Path, folder: Path) -> list[PosedImage]:
    """The images of a ``transforms.json`` whose files lie in ``folder``, by name.

    Poses are camera-to-world with OpenGL cameras (y up, z backwards) in a world whose axes nerfstudio turned.

    Raises:
        DatasetError: missing, a field is missing or of the wrong kind, or a pose is no rigid transform.
    """
    content = read_json(path)
    try:
        camera = _nerfstudio_camera(content, path)
        frames = [*content["frames"], *content.get("test_frames", [])]
        images = [
            PosedImage(folder / Path(frame["file_path"]).name, camera, _nerfstudio_pose(frame["transform_matrix"]))
            for frame in frames
        ]
    except (KeyError, TypeError, ValueError, InputError) as error:
        what = f"has no field {error}" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"{path}: {what}, expected the transforms of nerfstudio") from error
    return sorted(images, key=lambda image: image.path.name)


def _nerfstudio_camera(content: dict[str, Any], path: Path) -> Camera:
    model = content["camera_model"]
    if model not in _LENSES:
        raise DatasetError(f"{path}: camera model '{model}' is unknown, expected one of {', '.join(_LENSES)}")
    params = [float(content[key]) for key in ("fl_x", "fl_y", "cx", "cy", *_LENSES[model])]
    return colmap.camera_of(model, int(content["w"]), int(content["h"]), params, str(path))


def _nerfstudio_pose(matrix: list[list[float]]) -> NDArray[np.float64]:
    return _T_WORLD_NERFSTUDIO @ checked_pose(matrix, "transform_matrix") @ _OPENGL_TO_OPENCV


def _fisheye_images(path: Path) -> list[PosedImage]:
    if (path / "colmap").is_dir():
        return colmap_images(path / "colmap", path / _FISHEYE)
    return nerfstudio_images(path / "nerfstudio" / "transforms.json", path / _FISHEYE)


def _undistorted_images(path: Path) -> list[PosedImage]:
    return nerfstudio_images(path / "nerfstudio" / "transforms_undistorted.json", path / _UNDISTORTED)


def looks_like_scannetpp(path: Path) -> bool:
    """Whether the folder, or ``dslr`` in it, has images and their poses."""
    dslr = scene_part(path, "dslr")
    has_images = (dslr / _FISHEYE).is_dir() or (dslr / _UNDISTORTED).is_dir()
    return has_images and ((dslr / "colmap").is_dir() or (dslr / "nerfstudio").is_dir())


def scenes_of(part: str, recognises: Callable[[Path], bool]) -> Callable[[Path, str | None], list[Path]]:
    """``Dataset.scenes`` for ``data/<id>/<part>``; splits are ``splits/nvs_sem_<split>.txt``."""

    def scenes(root: Path, split: str | None) -> list[Path]:
        checked_split(split, SPLITS, root)
        data = root / "data" if (root / "data").is_dir() else root
        if split is None:
            ids = [folder.name for folder in subfolders(data)]
        else:
            lists = [root / "splits" / f"{kind}_{split}.txt" for kind in ("nvs_sem", "nvs", "sem")]
            ids = read_names(first_file(lists, "the list of the split's scenes"))
        return recordings_below(root, [data / name / part for name in ids], recognises, f"data/<id>/{part}/")

    return scenes


def _missing(path: Path) -> list[str]:
    dslr = scene_part(path, "dslr")
    wanted = (
        (dslr / _FISHEYE, "the fisheye images"),
        (dslr / "colmap" / "cameras.txt", "their cameras"),
        (dslr / "colmap" / "images.txt", "their poses"),
        (dslr / "train_test_lists.json", "which images are for training and which for testing"),
        (dslr.resolve().parent / "scans" / "mesh_aligned_0.05.ply", "the true mesh"),
    )
    return [f"{place.name}: not there, {what}" for place, what in wanted if not place.exists()]


DATASET = Dataset(
    name="scannetpp",
    title="ScanNet++, DSLR (Yeshwanth et al., ICCV 2023)",
    looked_for="dslr/ with resized_images/ and colmap/ or nerfstudio/",
    recognises=looks_like_scannetpp,
    read=ScanNetPP,
    scenes=scenes_of("dslr", looks_like_scannetpp),
    splits=SPLITS,
    missing=_missing,
)
