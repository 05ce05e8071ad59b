"""ICL-NUIM (Handa et al., ICRA 2014): rendered RGB-D of a living room and an office, in the form compatible with TUM.

Folder ``living_room_traj0_frei_png`` (``traj0_frei_png`` for the office, ``living_room_traj0n_frei_png`` with the
noise of a Kinect): ``rgb/N.png``, ``depth/N.png`` (5000 units per metre, planar), ``associations.txt`` (lines
``N depth/N.png N rgb/N.png``) and ``*.gt.freiburg`` (``N tx ty tz qx qy qz qw``). The first column of the trajectory
is the number of the image; it starts at 1 or 2, so the first images have no pose.

The renderer's frames are left-handed: x right, y up, z forward, for the camera as for the world, which is why the
data set states fy = -480. Mirrored in y on both sides (``T = F T F``, F = diag(1, -1, 1)) the poses are those of
right-handed frames with fy = +480, and turned about x the world has z up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset, checked_split
from showroom_ros.datasets.files import read_color, read_depth, read_table, read_text
from showroom_ros.datasets.frames import checked_frame_count, numbered, sensor_frame, stamp_ns_of_number
from showroom_ros.datasets.splits import recordings_below, subfolders
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import pose_from, quat_wxyz_from_xyzw
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

RATE_HZ = 30.0
DEPTH_UNITS_PER_METRE = 5000.0
CAMERA = Camera(640, 480, 481.2, 480.0, 319.5, 239.5)
"""The published intrinsics with the sign of fy taken into the poses."""

MESH_NAME = "ground_truth.ply"
"""A mesh in the world of this reader. The published ``living-room.obj`` is in another (mirrored and moved by an
unknown amount), so a true mesh comes from fusing the depth images."""

SPLITS = ("living_room", "office")

_MIRROR_Y = np.diag([1.0, -1.0, 1.0, 1.0])
_T_Z_UP_Y_DOWN = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])


class IclNuim:
    """One trajectory of ICL-NUIM as a ``Sequence``.

    Images without depth or pose are left out.

    Attributes:
        name: name of the folder.
        numbers: numbers of the images in the order of the sequence.
        skipped: images left out, by reason.
    """

    def __init__(self, path: str | Path) -> None:
        """Reads the list and the trajectory.

        Raises:
            DatasetError: no such folder, a broken list or trajectory, or no frame has all it needs.
        """
        self.path = Path(path)
        self.name = self.path.resolve().name
        pairs = _pairs(self.path)
        poses = _poses(_trajectory_file(self.path))
        self.skipped = {"no pose": 0, "no depth": 0}
        self._frames: list[tuple[int, Path, Path, NDArray[np.float64]]] = []
        for number, color, depth in pairs:
            pose = poses.get(number)
            if pose is None:
                self.skipped["no pose"] += 1
            elif depth is None:
                self.skipped["no depth"] += 1
            else:
                self._frames.append((number, color, depth, pose))
        self.numbers = [frame[0] for frame in self._frames]
        checked_frame_count(self.path, len(self._frames), len(pairs), self.skipped)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View``."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The frame as rendered; raises ``DatasetError`` where a file cannot be read."""
        number, color, depth, pose = self._frames[index]
        return sensor_frame(
            color,
            image=read_color(color),
            color_camera=CAMERA,
            depth=read_depth(depth, DEPTH_UNITS_PER_METRE),
            T_world_camera=pose,
            stamp_ns=stamp_ns_of_number(number, RATE_HZ),
        )

    def ground_truth_mesh(self) -> Mesh | None:
        """``ground_truth.ply`` of the folder; None where it is absent."""
        path = self.path / MESH_NAME
        return load_mesh(path) if path.is_file() else None


def right_handed(T_left: NDArray[np.float64]) -> NDArray[np.float64]:
    """``T_world_camera`` [4, 4] with z up and OpenCV axes of a pose between ICL-NUIM's left-handed frames."""
    return _T_Z_UP_Y_DOWN @ _MIRROR_Y @ T_left @ _MIRROR_Y


def _pairs(path: Path) -> list[tuple[int, Path, Path | None]]:
    """Number, colour and depth file of each image."""
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder, expected an ICL-NUIM trajectory")
    listed = path / "associations.txt"
    if listed.is_file():
        return sorted(_listed_pairs(listed))
    colors, depths = numbered((path / "rgb").glob("*.png")), numbered((path / "depth").glob("*.png"))
    if not colors:
        raise DatasetError(f"{path}: has neither associations.txt nor rgb/N.png, expected an ICL-NUIM trajectory")
    return [(number, color, depths.get(number)) for number, color in colors.items()]


def _listed_pairs(path: Path) -> list[tuple[int, Path, Path | None]]:
    """Of ``associations.txt``: the folders of the names, not their order, say which is colour and which depth."""
    pairs: list[tuple[int, Path, Path | None]] = []
    for line_number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        names = {Path(name).parts[0]: path.parent / name for name in words[1::2]}
        if len(words) != 4 or names.keys() != {"rgb", "depth"} or not words[0].isdecimal():
            raise DatasetError(f"{path}, line {line_number}: '{line[:60]}', expected N depth/N.png N rgb/N.png")
        pairs.append((int(words[0]), names["rgb"], names["depth"] if names["depth"].is_file() else None))
    return pairs


def _poses(path: Path) -> dict[int, NDArray[np.float64]]:
    """Poses of this reader's world by number of the image; rows that are not finite are left out."""
    poses = {}
    for row in read_table(path, 8):
        if not np.isfinite(row).all():
            continue
        try:
            poses[round(row[0])] = right_handed(pose_from(row[1:4], quat_wxyz_from_xyzw(row[4:])))
        except InputError as error:
            raise DatasetError(f"{path}, image {row[0]:g}: {error}") from error
    return poses


def _trajectory_file(path: Path) -> Path:
    files = sorted(path.glob("*.gt.freiburg")) or [path / "groundtruth.txt"]
    if not files[0].is_file():
        raise DatasetError(f"{path}: has no *.gt.freiburg, expected the trajectory of an ICL-NUIM recording")
    return files[0]


def looks_like_icl_nuim(path: Path) -> bool:
    """Whether the folder has ``rgb/`` and a ``*.gt.freiburg``, or the name the data set gives it."""
    has_trajectory = path.is_dir() and any(path.glob("*.gt.freiburg"))
    return (path / "rgb").is_dir() and (has_trajectory or path.name.endswith("_frei_png"))


def icl_nuim_scenes(root: Path, split: str | None) -> list[Path]:
    """The trajectories below a folder: all, or those of the living room or of the office."""
    checked_split(split, SPLITS, root)
    living = [folder for folder in subfolders(root) if folder.name.startswith("living_room")]
    office = [folder for folder in subfolders(root) if folder not in living]
    folders = {"living_room": living, "office": office, None: subfolders(root)}[split]
    return recordings_below(root, folders, looks_like_icl_nuim, "living_room_trajN_frei_png/ and trajN_frei_png/")


def _missing(path: Path) -> list[str]:
    wanted = (("associations.txt", "which images belong together"), ("depth", "the depth images"))
    lacks = [f"{name}: not there, {what}" for name, what in wanted if not (path / name).exists()]
    if not any(path.glob("*.gt.freiburg")):
        lacks.append("*.gt.freiburg: not there, the trajectory")
    if not (path / MESH_NAME).is_file():
        lacks.append(f"{MESH_NAME}: not there, a true mesh (fuse the depth images)")
    return lacks


DATASET = Dataset(
    name="icl",
    title="ICL-NUIM (Handa et al., ICRA 2014)",
    looked_for="rgb/ and *.gt.freiburg",
    recognises=looks_like_icl_nuim,
    read=IclNuim,
    scenes=icl_nuim_scenes,
    splits=SPLITS,
    missing=_missing,
)
