"""ARKitScenes (Baruch et al., NeurIPS 2021): RGB-D videos of an iPad Pro with its laser range camera.

Folder of one video ``<id>`` (in the 3dod release its images are in ``<id>_frames``): ``lowres_wide/<id>_<seconds>.png``
(256x192), ``lowres_depth`` (millimetres) and ``confidence`` (0, 1, 2) of the same names,
``lowres_wide_intrinsics/<id>_<seconds>.pincam`` (``width height fx fy cx cy``), ``lowres_wide.traj`` (10 Hz:
seconds, axis-angle and translation of world-to-camera), ``<id>_3dod_mesh.ply``. World: z up, metres. The images of
videos taken in portrait lie on their side; they are left as they are.
"""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset, checked_split
from showroom_ros.datasets.files import (
    read_color,
    read_depth,
    read_labels,
    read_stamped_table,
    read_table,
    stamp_ns_from_text,
)
from showroom_ros.datasets.frames import checked_frame_count, sensor_frame
from showroom_ros.datasets.splits import recordings_below, subfolders
from showroom_ros.datasets.trajectory import Trajectory
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

DEPTH_UNITS_PER_METRE = 1000.0
SPLITS = ("Training", "Validation")
TOLERANCE_NS = 2_000_000
"""Names have milliseconds, the trajectory more; the same instant differs by up to this."""


class ArkitScenes:
    """One video of ARKitScenes as a ``Sequence``.

    Images without depth, intrinsics or a pose are left out; poses are interpolated between those of 10 Hz.

    Attributes:
        name: id of the video.
        stamps_ns: stamps of the frames.
        skipped: images left out, by reason.
    """

    def __init__(self, path: str | Path, *, min_confidence: int = 0, max_gap_s: float = 0.25) -> None:
        """Lists the images and reads the trajectory.

        Args:
            path: folder of one video.
            min_confidence: depth the camera trusts less (0 low, 1 medium, 2 high) is unknown.
            max_gap_s: poses further apart are not interpolated.

        Raises:
            DatasetError: no such folder, a broken trajectory, or no frame has all it needs.
        """
        self.path = Path(path)
        self._frames_folder = _frames_folder(self.path)
        self.name = self._frames_folder.resolve().name.removesuffix("_frames")
        self._min_confidence = min_confidence
        colors, depths = self._files("lowres_wide", "png"), self._files("lowres_depth", "png")
        if not colors:
            raise DatasetError(f"{self.path}: has no lowres_wide/<id>_<seconds>.png, expected an ARKitScenes video")
        intrinsics = sorted(self._files("lowres_wide_intrinsics", "pincam").items())
        trajectory = _read_trajectory(self._frames_folder / "lowres_wide.traj")
        self.skipped = {"no depth": 0, "no intrinsics": 0, "no pose": 0}
        self._frames: list[tuple[int, Path, Path | None, Path, NDArray[np.float64]]] = []
        for stamp_ns, color in sorted(colors.items()):
            pincam = _nearest(intrinsics, stamp_ns)
            pose = trajectory.at(stamp_ns, round(max_gap_s * 1e9), TOLERANCE_NS)
            if depths and stamp_ns not in depths:
                self.skipped["no depth"] += 1
            elif pincam is None:
                self.skipped["no intrinsics"] += 1
            elif pose is None:
                self.skipped["no pose"] += 1
            else:
                self._frames.append((stamp_ns, color, depths.get(stamp_ns), pincam, pose))
        self.stamps_ns = [frame[0] for frame in self._frames]
        checked_frame_count(self.path, len(self._frames), len(colors), self.skipped)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View``."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The frame as recorded; raises ``DatasetError`` where a file cannot be read."""
        stamp_ns, color, depth, pincam, pose = self._frames[index]
        return sensor_frame(
            color,
            image=read_color(color),
            color_camera=_read_pincam(pincam),
            depth=None if depth is None else self._trusted_depth(depth),
            T_world_camera=pose,
            stamp_ns=stamp_ns,
        )

    def confidence(self, index: int) -> NDArray[np.uint8]:
        """How far the camera trusts its depth, uint8 [H, W]: 0 low, 1 medium, 2 high."""
        return read_labels(self._frames_folder / "confidence" / self._frames[index][1].name)

    def ground_truth_mesh(self) -> Mesh | None:
        """``<id>_3dod_mesh.ply``; None where it is absent."""
        path = _mesh_file(self.path, self.name)
        return None if path is None else load_mesh(path)

    def _trusted_depth(self, path: Path) -> NDArray[np.float32]:
        depth = read_depth(path, DEPTH_UNITS_PER_METRE)
        if self._min_confidence > 0:
            confidence = read_labels(self._frames_folder / "confidence" / path.name)
            if confidence.shape != depth.shape:
                raise DatasetError(f"{path}: is {depth.shape[::-1]}, its confidence is {confidence.shape[::-1]}")
            depth[confidence < self._min_confidence] = np.nan
        return depth

    def _files(self, kind: str, suffix: str) -> dict[int, Path]:
        files = (self._frames_folder / kind).glob(f"*.{suffix}")
        return {stamp_ns_from_text(file.stem.rpartition("_")[2], str(file)): file for file in sorted(files)}


def _frames_folder(path: Path) -> Path:
    inner = path / f"{path.resolve().name}_frames"
    return inner if inner.is_dir() else path


def _mesh_file(path: Path, name: str) -> Path | None:
    places = (path / f"{name}_3dod_mesh.ply", path.parent / f"{name}_3dod_mesh.ply")
    return next((place for place in places if place.is_file()), None)


def _read_pincam(path: Path) -> Camera:
    width, height, fx, fy, cx, cy = read_table(path, 6)[0]
    try:
        return Camera(int(width), int(height), fx, fy, cx, cy)
    except InputError as error:
        raise DatasetError(f"{path}: {error}") from error


def _read_trajectory(path: Path) -> Trajectory:
    """``T_world_camera`` over time; rows that are not finite are left out."""
    stamps, rows = read_stamped_table(path, 7)
    finite = np.asarray(np.isfinite(rows).all(axis=1))
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    for pose, row, known in zip(poses, rows, finite, strict=True):
        if known:
            pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(row[:3])[0], row[3:]
            pose[:] = inverse(pose)
    return Trajectory([stamp for stamp, known in zip(stamps, finite, strict=True) if known], poses[finite])


def _nearest(files: list[tuple[int, Path]], stamp_ns: int) -> Path | None:
    at = bisect_left(files, stamp_ns, key=lambda item: item[0])
    near = min(files[max(0, at - 1) : at + 1], key=lambda item: abs(item[0] - stamp_ns), default=None)
    return near[1] if near is not None and abs(near[0] - stamp_ns) <= TOLERANCE_NS else None


def looks_like_arkitscenes(path: Path) -> bool:
    """Whether the folder (or ``<id>_frames`` in it) has ``lowres_wide/`` and ``lowres_wide.traj``."""
    folder = _frames_folder(path)
    return (folder / "lowres_wide").is_dir() and (folder / "lowres_wide.traj").is_file()


def arkitscenes_scenes(root: Path, split: str | None) -> list[Path]:
    """Videos in ``Training/`` and ``Validation/`` of the root or of its ``raw/`` or ``3dod/``."""
    checked_split(split, SPLITS, root)
    tops = [root / top for top in (".", "raw", "3dod")]
    folders = [folder for name in SPLITS if split in (None, name) for top in tops for folder in subfolders(top / name)]
    return recordings_below(root, folders, looks_like_arkitscenes, "Training/<id>/ and Validation/<id>/")


def _missing(path: Path) -> list[str]:
    folder = _frames_folder(path)
    wanted = {
        "lowres_depth": "the depth images",
        "confidence": "how far the camera trusts its depth",
        "lowres_wide_intrinsics": "the intrinsics",
        "lowres_wide.traj": "the trajectory",
    }
    lacks = [f"{name}: not there, {what}" for name, what in wanted.items() if not (folder / name).exists()]
    name = folder.resolve().name.removesuffix("_frames")
    return lacks if _mesh_file(path, name) else [*lacks, f"{name}_3dod_mesh.ply: not there, the true mesh"]


DATASET = Dataset(
    name="arkitscenes",
    title="ARKitScenes (Baruch et al., NeurIPS 2021)",
    looked_for="lowres_wide/ and lowres_wide.traj",
    recognises=looks_like_arkitscenes,
    read=ArkitScenes,
    scenes=arkitscenes_scenes,
    splits=SPLITS,
    missing=_missing,
)
