"""7-Scenes (Shotton et al., CVPR 2013): RGB-D sequences of a first-generation Kinect.

Folder of one sequence: ``frame-NNNNNN.{color.png|color.jpg, depth.png, pose.txt}``. Depth is in millimetres
(0 and 65535 unknown) and NOT registered to colour; poses are those of the depth camera. A scene (``chess``) has
folders ``seq-NN`` and ``TrainSplit.txt`` and ``TestSplit.txt``, whose lines ``sequence1`` mean ``seq-01``.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset, checked_split
from showroom_ros.datasets.files import read_color, read_depth, read_pose
from showroom_ros.datasets.frames import stamp_ns_of_number
from showroom_ros.datasets.splits import read_names, recordings_below, subfolders
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, pose_from
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

RATE_HZ = 30.0
DEPTH_CAMERA = Camera(640, 480, 585.0, 585.0, 320.0, 240.0)
"""As the data set states it."""

COLOR_CAMERA = Camera(640, 480, 525.0, 525.0, 320.0, 240.0)
T_COLOR_DEPTH = pose_from((-0.025, 0.0, 0.0))
"""Nominal Kinect: the data set has no calibration of its colour camera.

``calibration.calibrate_depth_to_color`` finds 527 px and -0.027 m on RedKitchen (530 px and -0.031 m in its
first half, 525 px and -0.024 m in its second), and the nominal values within what the halves differ.
"""

SPLITS = ("train", "test")

_NAME = re.compile(r"frame-(\d+)\.color\.(?:png|jpg)$")


class SevenScenes:
    """One sequence of 7-Scenes as a ``Sequence``.

    Numbering may have gaps; a frame's stamp follows from its number at 30 Hz.

    Attributes:
        name: name of the folder.
        numbers: frame numbers in the order of the sequence.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        color_camera: Camera = COLOR_CAMERA,
        depth_camera: Camera = DEPTH_CAMERA,
        T_color_depth: NDArray[np.float64] = T_COLOR_DEPTH,
    ) -> None:
        """Lists the frames.

        Args:
            path: folder of one sequence (``seq-01``).
            color_camera: intrinsics of the colour images.
            depth_camera: intrinsics of the depth images.
            T_color_depth: [4, 4], maps depth-camera points to the colour camera.

        Raises:
            DatasetError: no such folder, no frames in it, or a frame lacks its depth or pose.
        """
        self.path = Path(path)
        self.name = self.path.resolve().name
        self._color_camera, self._depth_camera = color_camera, depth_camera
        self._T_color_depth, self._T_depth_color = T_color_depth, inverse(T_color_depth)
        self._colors = _color_files(self.path)
        self.numbers = sorted(self._colors)
        for number in self.numbers:
            for kind in ("depth.png", "pose.txt"):
                if not self._file(number, kind).is_file():
                    raise DatasetError(
                        f"{self._file(number, kind)}: no such file, expected beside {self._colors[number].name}"
                    )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.numbers)

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View``: depth registered to colour."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The frame as the Kinect delivered it, with the pose of its colour camera.

        Raises:
            DatasetError: a file cannot be read; names it.
        """
        number = self.numbers[index]
        T_world_depth = read_pose(self._file(number, "pose.txt"))
        return SensorFrame(
            image=read_color(self._colors[number]),
            color_camera=self._color_camera,
            depth=read_depth(self._file(number, "depth.png"), 1000.0, invalid=(0, 65535)),
            depth_camera=self._depth_camera,
            T_color_depth=self._T_color_depth,
            T_world_camera=T_world_depth @ self._T_depth_color,
            stamp_ns=stamp_ns_of_number(number, RATE_HZ),
        )

    def _file(self, number: int, kind: str) -> Path:
        return self._colors[number].with_name(f"{self._colors[number].name.split('.')[0]}.{kind}")


def looks_like_seven_scenes(path: Path) -> bool:
    """Whether the folder has a frame named as 7-Scenes does."""
    return path.is_dir() and any(_NAME.match(item.name) for item in path.iterdir())


def _color_files(path: Path) -> dict[int, Path]:
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder, expected a 7-Scenes sequence")
    files = {}
    for item in sorted(path.iterdir()):
        match = _NAME.match(item.name)
        if match:
            files[int(match.group(1))] = item
    if not files:
        sequences = ", ".join(item.name for item in sorted(path.glob("seq-*")) if item.is_dir())
        hint = f"; open one of its sequences: {sequences}" if sequences else ""
        raise DatasetError(f"{path}: has no frame-NNNNNN.color.png or .jpg{hint}")
    return files


def seven_scenes_scenes(root: Path, split: str | None) -> list[Path]:
    """The sequences of one scene, or of all scenes below a folder; those of a split by ``TrainSplit.txt``..."""
    checked_split(split, SPLITS, root)
    scenes = [root, *(folder for folder in subfolders(root) if not looks_like_seven_scenes(folder))]
    if split is None:
        folders = [folder for scene in scenes for folder in subfolders(scene)]
    else:
        lists = [scene / f"{split.capitalize()}Split.txt" for scene in scenes]
        present = [path for path in lists if path.is_file()]
        if not present and root.is_dir():
            raise DatasetError(f"{lists[0]}: no such file, neither in a folder of {root}")
        folders = [path.parent / _sequence_folder(name, path) for path in present for name in read_names(path)]
    return recordings_below(root, folders, looks_like_seven_scenes, "<scene>/seq-NN/frame-NNNNNN.color.png")


def _sequence_folder(name: str, path: Path) -> str:
    number = name.removeprefix("sequence")
    if not number.isdecimal():
        raise DatasetError(f"{path}: '{name}', expected lines such as sequence1")
    return f"seq-{int(number):02d}"


DATASET = Dataset(
    name="7scenes",
    title="7-Scenes (Shotton et al., CVPR 2013)",
    looked_for="frame-NNNNNN.color.png or .jpg",
    recognises=looks_like_seven_scenes,
    read=SevenScenes,
    scenes=seven_scenes_scenes,
    splits=SPLITS,
)
