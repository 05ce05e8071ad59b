"""The five RGB-D frames of a desk that come with the book "14 Lectures on Visual SLAM" (Gao and Zhang, 2017).

Folder: ``color/N.png``, ``depth/N.pgm`` (16 bit, millimetres, registered to colour) for N = 1 to 5, and ``pose.txt``
with one row ``tx ty tz qx qy qz qw`` (camera-to-world) per frame. World: about that of the first camera, so y is
down, not z up.
"""

from __future__ import annotations

from pathlib import Path

from showroom_ros.datasets.dataset import Dataset
from showroom_ros.datasets.files import read_color, read_depth, read_table
from showroom_ros.datasets.frames import numbered, sensor_frame, stamp_ns_of_number
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import pose_from, quat_wxyz_from_xyzw
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

CAMERA = Camera(640, 480, 518.0, 519.0, 325.5, 253.5)
"""As the book assumes it."""

DEPTH_UNITS_PER_METRE = 1000.0
RATE_HZ = 1.0


class SlambookDesk:
    """The frames as a ``Sequence``, a second apart.

    Attributes:
        name: name of the folder.
        numbers: frame numbers in the order of the sequence.
        stamps_known: False; stamps are made up from the order of the images.
    """

    stamps_known = False

    def __init__(self, path: str | Path, camera: Camera = CAMERA) -> None:
        """Lists the frames.

        Raises:
            DatasetError: no such folder, a frame without depth, or another number of poses than frames.
        """
        self.path = Path(path)
        self.name = self.path.resolve().name
        self._camera = camera
        self._colors = numbered((self.path / "color").glob("*.png"))
        self._depths = numbered((self.path / "depth").glob("*.pgm"))
        self.numbers = list(self._colors)
        if not self.numbers:
            raise DatasetError(f"{self.path}: has no color/N.png, expected the frames of slambook")
        for number in self.numbers:
            if number not in self._depths:
                raise DatasetError(f"{self.path / 'depth' / f'{number}.pgm'}: no such file")
        self._rows = read_table(self.path / "pose.txt", 7)
        if len(self._rows) != len(self.numbers):
            raise DatasetError(f"{self.path / 'pose.txt'}: has {len(self._rows)} poses for {len(self)} frames")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.numbers)

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View``."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The frame as recorded; raises ``DatasetError`` where a file cannot be read or a pose is none."""
        number, row = self.numbers[index], self._rows[index]
        try:
            pose = pose_from(row[:3], quat_wxyz_from_xyzw(row[3:]))
        except InputError as error:
            raise DatasetError(f"{self.path / 'pose.txt'}, frame {number}: {error}") from error
        return sensor_frame(
            self._colors[number],
            image=read_color(self._colors[number]),
            color_camera=self._camera,
            depth=read_depth(self._depths[number], DEPTH_UNITS_PER_METRE),
            T_world_camera=pose,
            stamp_ns=stamp_ns_of_number(number, RATE_HZ),
        )


def looks_like_slambook(path: Path) -> bool:
    """Whether the folder has ``color/``, ``depth/*.pgm`` and ``pose.txt``."""
    return (path / "color").is_dir() and (path / "pose.txt").is_file() and any((path / "depth").glob("*.pgm"))


DATASET = Dataset(
    name="slambook",
    title="slambook, RGB-D frames of a desk (Gao and Zhang, 2017)",
    looked_for="color/N.png, depth/N.pgm and pose.txt",
    recognises=looks_like_slambook,
    read=SlambookDesk,
)
