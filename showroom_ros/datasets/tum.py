"""TUM RGB-D benchmark (Sturm et al., IROS 2012): Kinect recordings with motion-capture trajectories.

Folder: ``rgb.txt`` and ``depth.txt`` (``timestamp filename``), ``groundtruth.txt`` (``timestamp tx ty tz qx qy
qz qw``). Without ``rgb.txt`` the images of ``rgb/`` are taken, whose names are their stamps; depth (registered
to colour, 5000 units per metre) and trajectory may be missing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset, checked_split
from showroom_ros.datasets.files import (
    read_color,
    read_depth,
    read_file_list,
    read_stamped_table,
    read_table,
    stamp_ns_from_text,
)
from showroom_ros.datasets.splits import recordings_below, subfolders
from showroom_ros.datasets.trajectory import Trajectory
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import pose_from, quat_wxyz_from_xyzw
from showroom_ros.scene.association import associate
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

DEPTH_UNITS_PER_METRE = 5000.0

CAMERAS = {
    "freiburg1": Camera(640, 480, 517.3, 516.5, 318.6, 255.3, "plumb_bob", (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "freiburg2": Camera(640, 480, 520.9, 521.0, 325.1, 249.7, "plumb_bob", (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "freiburg3": Camera(640, 480, 535.4, 539.2, 320.1, 247.6),
}
"""Published calibration of the colour cameras; the images of freiburg3 are undistorted already."""

NOMINAL_CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
"""A Kinect as its maker states it: what VoRTX and IOAR take for all recordings, without undistortion."""

ROOM_RECORDINGS = (
    "freiburg1_desk",
    "freiburg1_plant",
    "freiburg1_room",
    "freiburg1_teddy",
    "freiburg2_desk",
    "freiburg2_dishes",
    "freiburg2_large_no_loop",
    "freiburg3_cabinet",
    "freiburg3_long_office_household",
    "freiburg3_nostructure_notexture_far",
    "freiburg3_nostructure_texture_far",
    "freiburg3_structure_notexture_far",
    "freiburg3_structure_texture_far",
)
"""The 13 recordings on which VoRTX (and IOAR after it) is judged, as its author lists them (noahstier/vortx #3)."""

SPLITS = ("vortx13",)

CALIBRATION_FILE = "calibration.txt"
"""``width height fx fy cx cy`` of an undistorted camera that is none of these; not part of the official layout."""

_SHORT_NAMES = {"fr1": "freiburg1", "fr2": "freiburg2", "fr3": "freiburg3"}


class Tum:
    """One recording of the TUM RGB-D benchmark as a ``Sequence``.

    Colour images without depth (where there is any) or outside the trajectory are left out.

    Attributes:
        name: name of the folder.
        stamps_ns: stamps of the frames.
        skipped: colour images left out, by reason.
    """

    def __init__(
        self, path: str | Path, camera: Camera | None = None, *, slop_s: float = 0.02, max_gap_s: float = 0.2
    ) -> None:
        """Reads the lists and the trajectory.

        Args:
            path: folder of the recording.
            camera: intrinsics; None = those published for the camera in the folder's name (fr1, fr2, fr3).
            slop_s: largest difference between stamps of colour and depth.
            max_gap_s: poses further apart are not interpolated.

        Raises:
            DatasetError: no such folder, broken lists, unknown camera, or no frame has all it needs.
        """
        self.path = Path(path)
        self.name = self.path.resolve().name
        self._camera = camera or _camera_of(self.path)
        colors = _images(self.path, "rgb")
        if not colors:
            raise DatasetError(
                f"{self.path}: has neither rgb.txt nor rgb/<timestamp>.png, expected a TUM RGB-D recording"
            )
        depths = _images(self.path, "depth")
        trajectory = _read_trajectory(self.path / "groundtruth.txt")
        self.skipped = {"no depth": 0, "no pose": 0}
        self._frames: list[tuple[int, Path, Path | None, NDArray[np.float64] | None]] = []
        partners = associate([stamp for stamp, _ in colors], [stamp for stamp, _ in depths], int(slop_s * 1e9))
        for (stamp_ns, color), partner in zip(colors, partners, strict=True):
            depth = None if partner is None else depths[partner][1]
            pose = None if trajectory is None else trajectory.at(stamp_ns, int(max_gap_s * 1e9))
            if depths and depth is None:
                self.skipped["no depth"] += 1
            elif trajectory is not None and pose is None:
                self.skipped["no pose"] += 1
            else:
                self._frames.append((stamp_ns, color, depth, pose))
        if not self._frames:
            raise DatasetError(f"{self.path}: none of {len(colors)} colour images can be used: {self.skipped}")
        self.stamps_ns = [frame[0] for frame in self._frames]

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int) -> View:
        """The frame as an undistorted ``View``."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The frame as recorded; raises ``DatasetError`` where a file cannot be read."""
        stamp_ns, color, depth, pose = self._frames[index]
        return SensorFrame(
            image=read_color(color),
            color_camera=self._camera,
            depth=None if depth is None else read_depth(depth, DEPTH_UNITS_PER_METRE),
            T_world_camera=pose,
            stamp_ns=stamp_ns,
        )


def looks_like_tum(path: Path) -> bool:
    """Whether the folder has ``rgb.txt``, or ``rgb/`` and a trajectory."""
    return (path / "rgb.txt").is_file() or ((path / "rgb").is_dir() and (path / "groundtruth.txt").is_file())


def _camera_of(path: Path) -> Camera:
    if (path / CALIBRATION_FILE).is_file():
        width, height, *intrinsics = read_table(path / CALIBRATION_FILE, 6)[0]
        try:
            return Camera(int(width), int(height), *intrinsics)
        except InputError as error:
            raise DatasetError(f"{path / CALIBRATION_FILE}: {error}") from error
    name = path.resolve().name.lower()
    for key in (*CAMERAS, *_SHORT_NAMES):
        if key in name:
            return CAMERAS[_SHORT_NAMES.get(key, key)]
    names = ", ".join((*CAMERAS, *_SHORT_NAMES))
    expected = f"one of {names} in it, or {CALIBRATION_FILE}"
    raise DatasetError(f"{path}: the camera cannot be told from the folder's name, expected {expected}")


def _images(path: Path, kind: str) -> list[tuple[int, Path]]:
    """``(stamp, file)`` of the colour (``rgb``) or depth images in order of time."""
    if (path / f"{kind}.txt").is_file():
        return [(stamp_ns, path / name) for stamp_ns, name in read_file_list(path / f"{kind}.txt")]
    files = sorted((path / kind).glob("*.png")) if (path / kind).is_dir() else []
    return sorted((stamp_ns_from_text(item.stem, str(item)), item) for item in files)


def _read_trajectory(path: Path) -> Trajectory | None:
    """None where there is no file; rows that are not finite are left out."""
    if not path.is_file():
        return None
    stamps, rows = read_stamped_table(path, 8)
    finite = np.asarray(np.isfinite(rows).all(axis=1))
    try:
        poses = [pose_from(row[:3], quat_wxyz_from_xyzw(row[3:])) for row in rows[finite]]
    except InputError as error:
        raise DatasetError(f"{path}: {error}") from error
    return Trajectory([stamp for stamp, known in zip(stamps, finite, strict=True) if known], np.array(poses))


def tum_scenes(root: Path, split: str | None) -> list[Path]:
    """The recordings below a folder; with a split those of ``ROOM_RECORDINGS`` that are there, in that order."""
    checked_split(split, SPLITS, root)
    folders = subfolders(root)
    if split is not None:
        by_name = {folder.name.removeprefix("rgbd_dataset_"): folder for folder in folders}
        folders = [by_name[name] for name in ROOM_RECORDINGS if name in by_name]
    return recordings_below(root, folders, looks_like_tum, "rgbd_dataset_freiburgN_.../rgb.txt")


def _missing(path: Path) -> list[str]:
    wanted = {
        "rgb.txt": "the list of colour images",
        "depth.txt": "the list of depth images",
        "groundtruth.txt": "the trajectory",
    }
    return [f"{name}: no such file, {what}" for name, what in wanted.items() if not (path / name).is_file()]


DATASET = Dataset(
    name="tum",
    title="TUM RGB-D (Sturm et al., IROS 2012)",
    looked_for="rgb.txt, or rgb/ and groundtruth.txt",
    recognises=looks_like_tum,
    read=Tum,
    scenes=tum_scenes,
    splits=SPLITS,
    missing=_missing,
)
