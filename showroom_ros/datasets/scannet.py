"""ScanNet v2 (Dai et al., CVPR 2017): hand-held RGB-D scans of rooms with an iPad and a Structure sensor.

Folder of one scene: ``sceneXXXX_YY.sens``, or what the official exporter makes of it (``color/N.jpg``,
``depth/N.png`` in millimetres, ``pose/N.txt`` camera-to-world, ``intrinsic/intrinsic_{color,depth}.txt``); beside
it ``sceneXXXX_YY_vh_clean_2.ply`` (the mesh) and ``sceneXXXX_YY.txt`` (``axisAlignment``). Colour is 1296x968 and
depth 640x480. World: z up, metres, the heading arbitrary unless the axes are aligned.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset, checked_split
from showroom_ros.datasets.files import image_size, read_color, read_depth, read_table, read_text
from showroom_ros.datasets.frames import checked_frame_count, numbered, sensor_frame, stamp_ns_of_number
from showroom_ros.datasets.sens import SensFile
from showroom_ros.datasets.splits import first_file, read_names, recordings_below, subfolders
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import checked_pose, transform_points
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

RATE_HZ = 30.0
DEPTH_UNITS_PER_METRE = 1000.0
SPLITS = ("train", "val", "test")


class ScanNet:
    """One scene of ScanNet v2 as a ``Sequence``.

    Frames without a pose (ScanNet writes infinities where tracking was lost) or without depth are left out.

    Attributes:
        name: name of the scene.
        numbers: frame numbers in the order of the sequence.
        skipped: frames left out, by reason.
    """

    def __init__(
        self, path: str | Path, *, align_axes: bool = False, T_color_depth: NDArray[np.float64] | None = None
    ) -> None:
        """Lists the frames and reads all poses.

        Args:
            path: folder of one scene, or its ``.sens`` file.
            align_axes: turn the world so that walls are parallel to its axes (``axisAlignment`` of the scene).
            T_color_depth: [4, 4], maps depth-camera points to the colour camera; None = identity, as the
                benchmark takes it.

        Raises:
            DatasetError: no scene, a broken file, no frame with all it needs, or no ``axisAlignment``.
        """
        self.path = Path(path)
        self._folder = self.path if self.path.is_dir() else self.path.parent
        sens = _sens_file(self.path)
        self.name = sens.stem if sens is not None else self._folder.resolve().name
        self._T_color_depth = T_color_depth
        self._T_aligned_world = self._axis_alignment() if align_axes else np.eye(4)
        self._source: SensFile | _Exported = SensFile(sens) if sens is not None else _Exported(self._folder, self.name)
        self.skipped = {"no pose": 0, "no depth": 0}
        self.numbers: list[int] = []
        for number in self._source_numbers():
            pose, has_depth = self._pose_and_depth(number)
            if not np.isfinite(pose).all():
                self.skipped["no pose"] += 1
            elif not has_depth:
                self.skipped["no depth"] += 1
            else:
                self.numbers.append(number)
        checked_frame_count(self.path, len(self.numbers), len(self._source_numbers()), self.skipped)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.numbers)

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View``: depth registered to colour."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The frame as recorded; raises ``DatasetError`` where a file cannot be read."""
        number, source = self.numbers[index], self._source
        pose, _ = self._pose_and_depth(number)
        return sensor_frame(
            source.path,
            image=source.color(number),
            color_camera=source.color_camera,
            depth=source.depth(number),
            depth_camera=source.depth_camera,
            T_color_depth=self._T_color_depth,
            T_world_camera=self._T_aligned_world @ self._checked(pose, number),
            stamp_ns=self._stamp_ns(number),
        )

    def ground_truth_mesh(self) -> Mesh | None:
        """``<scene>_vh_clean_2.ply`` in the world of the poses; None where it is absent."""
        path = self._folder / f"{self.name}_vh_clean_2.ply"
        if not path.is_file():
            return None
        mesh = load_mesh(path)
        vertices = transform_points(self._T_aligned_world, mesh.vertices).astype(np.float32)
        normals = (mesh.normals @ self._T_aligned_world[:3, :3].T).astype(np.float32)
        return replace(mesh, vertices=vertices, normals=normals)

    def _source_numbers(self) -> list[int]:
        return list(range(len(self._source.frames))) if isinstance(self._source, SensFile) else self._source.numbers

    def _pose_and_depth(self, number: int) -> tuple[NDArray[np.float64], bool]:
        if isinstance(self._source, SensFile):
            frame = self._source.frames[number]
            return frame.T_world_camera, frame.depth_bytes > 0
        return self._source.pose(number), number in self._source.depths

    def _stamp_ns(self, number: int) -> int:
        stamp_us = self._source.frames[number].stamp_us if isinstance(self._source, SensFile) else 0
        return stamp_us * 1000 or stamp_ns_of_number(number, RATE_HZ)

    def _checked(self, pose: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        try:
            return checked_pose(pose)
        except InputError as error:
            raise DatasetError(f"{self._source.path}, frame {number}: {error}") from error

    def _axis_alignment(self) -> NDArray[np.float64]:
        path = self._folder / f"{self.name}.txt"
        text = _scene_info(path).get("axisAlignment")
        if text is None:
            raise DatasetError(f"{path}: has no axisAlignment, expected 16 numbers (test scenes have none)")
        try:
            return checked_pose(np.reshape([float(word) for word in text.split()], (4, 4)))
        except (ValueError, InputError) as error:
            raise DatasetError(f"{path}: axisAlignment: {error}, expected 16 numbers of a rigid transform") from error


class _Exported:
    """The folders the official exporter writes."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.colors = numbered((path / "color").glob("*.jpg")) or numbered((path / "color").glob("*.png"))
        self.depths = numbered((path / "depth").glob("*.png"))
        self._poses = numbered((path / "pose").glob("*.txt"))
        self.numbers = list(self.colors)
        if not self.numbers:
            raise DatasetError(f"{path}: has neither a .sens file nor color/N.jpg, expected a ScanNet scene")
        info = _scene_info(path / f"{name}.txt")
        self.color_camera = self._camera("color", next(iter(self.colors.values())), info)
        self.depth_camera = self._camera("depth", next(iter(self.depths.values())), info) if self.depths else None

    def color(self, number: int) -> NDArray[np.uint8]:
        return read_color(self.colors[number])

    def depth(self, number: int) -> NDArray[np.float32]:
        return read_depth(self.depths[number], DEPTH_UNITS_PER_METRE)

    def pose(self, number: int) -> NDArray[np.float64]:
        if number not in self._poses:
            return np.full((4, 4), np.nan)
        pose = read_table(self._poses[number], 4)
        if pose.shape != (4, 4):
            raise DatasetError(f"{self._poses[number]}: has {len(pose)} rows, expected 4")
        return pose

    def _camera(self, kind: str, image: Path, info: dict[str, str]) -> Camera:
        """Intrinsics hold for the recorded size; images that were made smaller have them scaled."""
        path = self.path / "intrinsic" / f"intrinsic_{kind}.txt"
        k = read_table(path, 4)
        width, height = image_size(image)
        try:
            recorded = int(info.get(f"{kind}Width", width)), int(info.get(f"{kind}Height", height))
            return Camera(*recorded, k[0, 0], k[1, 1], k[0, 2], k[1, 2]).scaled(width, height)
        except (ValueError, IndexError, InputError) as error:
            raise DatasetError(f"{path}: {error}") from error


def looks_like_scannet(path: Path) -> bool:
    """Whether it is a ``.sens`` file, or a folder with one or with the exporter's folders."""
    if _sens_file(path) is not None:
        return True
    return all((path / name).is_dir() for name in ("color", "pose", "intrinsic"))


def scannet_scenes(root: Path, split: str | None) -> list[Path]:
    """Scenes in ``scans/`` and ``scans_test/``; those of a split in the order of ``scannetv2_<split>.txt``.

    Scenes that the split names and that were not downloaded are left out.
    """
    checked_split(split, SPLITS, root)
    parents = (root / "scans", root / "scans_test", root)
    if split is None:
        folders = [folder for parent in parents for folder in subfolders(parent)]
    else:
        places = [root / place / f"scannetv2_{split}.txt" for place in ("", "splits", "Tasks/Benchmark", "scans")]
        names = read_names(first_file(places, "the list of the split's scenes"))
        folders = [parent / name for name in names for parent in parents]
    return recordings_below(root, folders, looks_like_scannet, "scans/sceneXXXX_YY/ and scans_test/sceneXXXX_YY/")


def scannet_missing(path: Path) -> list[str]:
    """What of the official files of a scene is not there."""
    folder, sens = (path if path.is_dir() else path.parent), _sens_file(path)
    name = sens.stem if sens is not None else folder.resolve().name
    lacks = [
        f"{name}{end}: no such file, {what}"
        for end, what in (("_vh_clean_2.ply", "the true mesh"), (".txt", "axisAlignment and sizes"))
        if not (folder / f"{name}{end}").is_file()
    ]
    if sens is None:
        colors = numbered((folder / "color").iterdir())
        for kind in ("depth", "pose"):
            there = numbered((folder / kind).iterdir()) if (folder / kind).is_dir() else {}
            if absent := len(colors.keys() - there.keys()):
                lacks.append(f"{kind}/: {absent} of {len(colors)} frames have none")
        lacks += [
            f"intrinsic/intrinsic_{kind}.txt: no such file"
            for kind in ("color", "depth")
            if not (folder / "intrinsic" / f"intrinsic_{kind}.txt").is_file()
        ]
    return lacks


def _sens_file(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix == ".sens" else None
    return next(iter(sorted(path.glob("*.sens"))), None) if path.is_dir() else None


def _scene_info(path: Path) -> dict[str, str]:
    """``key = value`` of the lines of ``<scene>.txt``; nothing where there is no such file."""
    lines = read_text(path).splitlines() if path.is_file() else []
    pairs = (line.partition("=") for line in lines)
    return {key.strip(): value.strip() for key, separator, value in pairs if separator}


DATASET = Dataset(
    name="scannet",
    title="ScanNet v2 (Dai et al., CVPR 2017)",
    looked_for="<scene>.sens, or color/, depth/, pose/ and intrinsic/",
    recognises=looks_like_scannet,
    read=ScanNet,
    scenes=scannet_scenes,
    splits=SPLITS,
    missing=scannet_missing,
)
