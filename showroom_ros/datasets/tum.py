"""TUM RGB-D benchmark (Sturm et al., IROS 2012): Kinect recordings with motion-capture trajectories.

Folder: ``rgb.txt`` and ``depth.txt`` (``timestamp filename``), ``groundtruth.txt`` (``timestamp tx ty tz qx qy
qz qw``). Without ``rgb.txt`` the images of ``rgb/`` are taken, whose names are their stamps; depth (registered
to colour, 5000 units per metre) and trajectory may be missing.
"""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset
from showroom_ros.datasets.files import read_color, read_depth, read_file_list, read_stamped_table, stamp_ns_from_text
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import interpolate, pose_from, quat_wxyz_from_xyzw
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
            pose = None if trajectory is None else _pose_at(trajectory, stamp_ns, int(max_gap_s * 1e9))
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
    name = path.resolve().name.lower()
    for key in (*CAMERAS, *_SHORT_NAMES):
        if key in name:
            return CAMERAS[_SHORT_NAMES.get(key, key)]
    names = ", ".join((*CAMERAS, *_SHORT_NAMES))
    raise DatasetError(f"{path}: the camera cannot be told from the folder's name, expected one of {names} in it")


def _images(path: Path, kind: str) -> list[tuple[int, Path]]:
    """``(stamp, file)`` of the colour (``rgb``) or depth images in order of time."""
    if (path / f"{kind}.txt").is_file():
        return [(stamp_ns, path / name) for stamp_ns, name in read_file_list(path / f"{kind}.txt")]
    files = sorted((path / kind).glob("*.png")) if (path / kind).is_dir() else []
    return sorted((stamp_ns_from_text(item.stem, str(item)), item) for item in files)


def _read_trajectory(path: Path) -> tuple[list[int], NDArray[np.float64]] | None:
    """Stamps (ns) and rows ``tx ty tz qx qy qz qw`` [N, 7] in order of time; None where there is no file."""
    if not path.is_file():
        return None
    return read_stamped_table(path, 8)


def _pose_at(
    trajectory: tuple[list[int], NDArray[np.float64]], stamp_ns: int, max_gap_ns: int
) -> NDArray[np.float64] | None:
    """Interpolated pose; None outside the trajectory or in a gap of it."""
    stamps, rows = trajectory
    after = bisect_left(stamps, stamp_ns)
    if after < len(stamps) and stamps[after] == stamp_ns:
        return _pose(rows[after])
    if after in (0, len(stamps)) or stamps[after] - stamps[after - 1] > max_gap_ns:
        return None
    fraction = (stamp_ns - stamps[after - 1]) / (stamps[after] - stamps[after - 1])
    return interpolate(_pose(rows[after - 1]), _pose(rows[after]), fraction)


def _pose(row: NDArray[np.float64]) -> NDArray[np.float64]:
    try:
        return pose_from(row[:3], quat_wxyz_from_xyzw(row[3:]))
    except InputError as error:
        raise DatasetError(f"groundtruth.txt: {error}") from error


DATASET = Dataset(
    name="tum",
    title="TUM RGB-D (Sturm et al., IROS 2012)",
    looked_for="rgb.txt, or rgb/ and groundtruth.txt",
    recognises=looks_like_tum,
    read=Tum,
)
