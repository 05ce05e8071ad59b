"""InvSfM's data (Pittaluga et al., CVPR 2019): images of MegaDepth and NYU with points of structure from motion.

Below the data folder ``anns/demo_5k/{train,val,test}.txt`` name six files per line, from the data folder on: points
(float32 [N, 3]), their colours (uint8 [N, 3]), their SIFT descriptors (uint8 [N, 128]), camera (23 float32: K row by
row, R, T, height, width; ``x_camera = R x_world + T``), image, and depth (``w&h&c&`` and float16, row by row).

Points, poses and depth are in the units of each reconstruction, which are NOT metres. K is COLMAP's, whose top left
pixel has its centre at (0.5, 0.5): half a pixel is taken off the principal point.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset, checked_split
from showroom_ros.datasets.files import read_color
from showroom_ros.datasets.image_files import absent_files, read_rows, stamp_of_index
from showroom_ros.datasets.megadepth import checked_scale
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import checked_pose, inverse
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

SPLITS = ("train", "val", "test")
COLUMNS = ("points", "colours", "descriptors", "camera", "image", "depth")

_CAMERA_FLOATS = 23
_LONGEST_HEADER = 40
_NO_DEPTH = ("None", "-")


@dataclass(frozen=True, eq=False)
class SfmPoints:
    """What structure from motion knows of a frame's scene.

    Attributes:
        xyz: float32 [N, 3], world frame, units of the reconstruction times the reader's scale.
        rgb: uint8 [N, 3].
        sift: uint8 [N, 128], descriptor of one observation of each point.
    """

    xyz: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    sift: NDArray[np.uint8]


class InvSfm:
    """The frames an annotation list names, as a ``Sequence``; each may be of another scene with its own world.

    Attributes:
        path: the list.
        root: the data folder its names start from.
        name: "demo_5k/train".
        metric: False: see ``scale``.
        one_world: False: poses of different frames belong to different scenes.
        stamps_known: False; stamps are made up, one second apart.
    """

    metric = False
    one_world = False
    stamps_known = False

    def __init__(self, path: str | Path, root: str | Path | None = None, *, scale: float = 1.0) -> None:
        """Reads the list; opens none of its files.

        Args:
            path: the list.
            root: the data folder; None = that around ``anns``.
            scale: metres per unit of the reconstruction, where the caller knows it.

        Raises:
            DatasetError: no such list, or a line that does not name five files (no depth) or six.
            InputError: a scale that is not positive.
        """
        self.path, self.scale = Path(path), checked_scale(scale)
        self.root = Path(root) if root is not None else self.path.absolute().parent.parent.parent
        self.name = f"{self.path.parent.name}/{self.path.stem}"
        self._rows = read_rows(self.path, (5, 6), f"files of {', '.join(COLUMNS)}")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._rows)

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View``."""
        return rectify(self.frame(index))

    def file(self, index: int, column: str) -> Path | None:
        """The file of one of ``COLUMNS``; None for depth where the list gives none."""
        row, place = self._rows[index], COLUMNS.index(column)
        return None if place >= len(row) or row[place] in _NO_DEPTH else self.root / row[place].lstrip("/")

    def frame(self, index: int) -> SensorFrame:
        """The image with its camera, pose and depth.

        Raises:
            DatasetError: a file is missing, of a size that cannot be, or holds no camera; names it.
        """
        image_file, depth_file = self._given(index, "image"), self.file(index, "depth")
        image = read_color(image_file)
        camera, pose = self.camera(index)
        if image.shape[:2] != (camera.height, camera.width):
            raise DatasetError(
                f"{image_file}: is {image.shape[1]}x{image.shape[0]}, its camera {self.file(index, 'camera')} is for "
                f"{camera.width}x{camera.height}"
            )
        depth = None if depth_file is None else read_half_depth(depth_file) * np.float32(self.scale)
        depth_camera = None
        if depth is not None and depth.shape != image.shape[:2]:
            depth_camera = camera.scaled(depth.shape[1], depth.shape[0])
        stamp_ns = stamp_of_index(index, len(self))
        try:
            return SensorFrame(image, camera, depth, depth_camera, T_world_camera=pose, stamp_ns=stamp_ns)
        except InputError as error:
            raise DatasetError(f"{depth_file}: {error} (its scale is its own: set scale)") from error

    def camera(self, index: int) -> tuple[Camera, NDArray[np.float64]]:
        """Intrinsics and ``T_world_camera`` [4, 4] of a frame; raises ``DatasetError`` as ``frame``."""
        file = self._given(index, "camera")
        values = _read_array(file, np.dtype("<f4"), (_CAMERA_FLOATS,)).astype(np.float64)
        K, pose = values[:9].reshape(3, 3), np.eye(4)
        pose[:3, :3], pose[:3, 3] = values[9:18].reshape(3, 3), values[18:21] * self.scale
        if np.abs(K[[1, 2, 2], [0, 0, 1]]).max() > 0 or K[2, 2] != 1 or abs(K[0, 1]) > 1e-6 * abs(K[0, 0]):
            raise DatasetError(f"{file}: K is {K.tolist()}, expected fx 0 cx, 0 fy cy, 0 0 1")
        try:
            height, width = (round(float(value)) for value in values[21:23])
            fx, fy, cx, cy = (float(K[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
            return Camera(width, height, fx, fy, cx - 0.5, cy - 0.5), inverse(checked_pose(pose, "R, T"))
        except (InputError, ValueError, OverflowError) as error:
            raise DatasetError(f"{file}: {error}") from error

    def points(self, index: int) -> SfmPoints:
        """The points of structure from motion of a frame's scene.

        Raises:
            DatasetError: a file is missing, or the three do not hold the same number of points.
        """
        files = [self._given(index, column) for column in COLUMNS[:3]]
        xyz = _read_array(files[0], np.dtype("<f4"), (-1, 3)) * np.float32(self.scale)
        rgb = _read_array(files[1], np.dtype(np.uint8), (-1, 3))
        sift = _read_array(files[2], np.dtype(np.uint8), (-1, 128))
        if not len(xyz) == len(rgb) == len(sift):
            counts = ", ".join(f"{file}: {len(part)}" for file, part in zip(files, (xyz, rgb, sift), strict=True))
            raise DatasetError(f"points, colours and descriptors differ in number: {counts}")
        return SfmPoints(xyz, rgb, sift)

    def _given(self, index: int, column: str) -> Path:
        file = self.file(index, column)
        if file is None:
            raise DatasetError(f"{self.path}, frame {index}: has no {column}")
        return file


def read_half_depth(path: Path) -> NDArray[np.float32]:
    """float32 [H, W] of a file ``w&h&1&`` and w*h float16, row by row; NaN where not positive or not finite.

    Raises:
        DatasetError: missing, no such header, or another number of bytes than it says.
    """
    content = _read_bytes(path)
    fields = content[:_LONGEST_HEADER].split(b"&")
    if len(fields) < 4 or not all(field.isdigit() for field in fields[:3]):
        raise DatasetError(f"{path}: starts with {content[:12]!r}, expected width&height&channels&")
    width, height, channels = (int(field) for field in fields[:3])
    body = content[sum(len(field) + 1 for field in fields[:3]) :]
    if channels != 1 or len(body) != 2 * width * height or not body:
        raise DatasetError(
            f"{path}: header says {width}x{height} with {channels} channels, expected 1 channel and "
            f"{2 * width * height} bytes of float16, found {len(body)}"
        )
    depth = np.frombuffer(body, "<f2").reshape(height, width).astype(np.float32)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))


def looks_like_invsfm(path: Path) -> bool:
    """Whether the path is ``anns/<set>/{train,val,test}.txt``."""
    return path.suffix == ".txt" and path.stem in SPLITS and path.absolute().parent.parent.name == "anns"


def _scenes(root: Path, split: str | None) -> list[Path]:
    checked_split(split, SPLITS, root)
    wanted = [split] if split else SPLITS
    for pattern in ("anns/*/{}.txt", "data/anns/*/{}.txt", "*/{}.txt", "{}.txt"):
        found = [file for part in wanted for file in sorted(root.glob(pattern.format(part)))]
        found = [file for file in found if looks_like_invsfm(file)]
        if found:
            return found
    raise DatasetError(f"{root}: no lists of InvSfM; looked for anns/<set>/{{{','.join(wanted)}}}.txt")


def _missing(path: Path) -> list[str]:
    sequence = InvSfm(path)
    lines = []
    for column in COLUMNS:
        files = [sequence.file(index, column) for index in range(len(sequence))]
        lines += absent_files([file for file in files if file is not None], column)
    return lines


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error


def _read_array(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> NDArray:
    content = _read_bytes(path)
    row_bytes = dtype.itemsize * int(np.prod(shape[1:] if shape[0] < 0 else shape))
    if (shape[0] < 0 and len(content) % row_bytes) or (shape[0] >= 0 and len(content) != row_bytes):
        wanted = f"a multiple of {row_bytes}" if shape[0] < 0 else f"{row_bytes}"
        raise DatasetError(f"{path}: has {len(content)} bytes, expected {wanted} ({dtype.name} {shape})")
    values = np.frombuffer(content, dtype).reshape(shape)
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise DatasetError(f"{path}: holds {int((~np.isfinite(values)).sum())} numbers that are not finite")
    return values.copy()


DATASET = Dataset(
    name="invsfm",
    title="InvSfM demo_5k (Pittaluga et al., CVPR 2019)",
    looked_for="anns/<set>/{train,val,test}.txt",
    recognises=looks_like_invsfm,
    read=InvSfm,
    scenes=_scenes,
    splits=SPLITS,
    missing=_missing,
)
