"""ScanNet++ (Yeshwanth et al., ICCV 2023), the video of the iPhone: RGB-D in the frame of a laser scan.

Folder ``data/<id>/iphone``: ``rgb/frame_NNNNNN.jpg`` or ``rgb.mp4`` / ``rgb.mkv`` (1920x1440),
``depth/frame_NNNNNN.png`` (millimetres, 256x192) or ``depth.bin``, ``pose_intrinsic_imu.json`` (per frame
``timestamp``, ``intrinsic`` and ``aligned_pose``: camera-to-world, OpenCV axes, in the frame of the mesh) and
``colmap/`` (the frames registered with the DSLR images). Depth has the colour image's field of view. World: that of
the mesh, z up, metres.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset
from showroom_ros.datasets.depth_bin import DepthBin
from showroom_ros.datasets.files import image_size, read_color, read_depth, read_json
from showroom_ros.datasets.frames import FIRST_STAMP_NS, checked_frame_count, sensor_frame
from showroom_ros.datasets.scannetpp import SPLITS, colmap_images, scan_mesh, scene_part, scenes_of
from showroom_ros.datasets.video import VideoFrames
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import checked_pose
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

DEPTH_UNITS_PER_METRE = 1000.0
_VIDEOS = ("rgb.mp4", "rgb.mkv")
_NAME = re.compile(r"frame_(\d+)$")


class ScanNetPPiPhone:
    """The iPhone video of one ScanNet++ scene as a ``Sequence``.

    Frames without an image, depth or pose are left out.

    Attributes:
        name: id of the scene with ``_iphone``.
        numbers: frame numbers in the order of the sequence.
        skipped: frames left out, by reason.
    """

    def __init__(self, path: str | Path, *, use_colmap: bool | None = None) -> None:
        """Reads poses and intrinsics and lists the images.

        Args:
            path: folder of the scene, or ``iphone`` in it.
            use_colmap: only the frames that COLMAP registered, with its poses and camera; False = all frames with
                the poses of ARKit, aligned to the mesh; None = COLMAP where ``colmap/`` is there.

        Raises:
            DatasetError: no such scene, broken files, or no frame has all it needs.
        """
        self.path = scene_part(Path(path), "iphone")
        self.name = f"{self.path.resolve().parent.name}_iphone"
        self._json = self.path / "pose_intrinsic_imu.json"
        self._records = _records(self._json)
        self._images: dict[int, Path] | VideoFrames = _images(self.path)
        self._depths: dict[int, Path] | DepthBin = _depths(self.path)
        self._registered: dict[int, tuple[Camera, NDArray[np.float64]]] = {}
        use_colmap = (self.path / "colmap").is_dir() if use_colmap is None else use_colmap
        if use_colmap:
            for image in colmap_images(self.path / "colmap", self.path / "rgb"):
                self._registered[_number(image.path.stem, image.path)] = (image.camera, image.T_world_camera)
        self._size = self._image_size()
        self.skipped = {"no image": 0, "no depth": 0, "no pose": 0}
        self.numbers = [number for number in self._records if self._is_whole(number, use_colmap)]
        checked_frame_count(self.path, len(self.numbers), len(self._records), self.skipped)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.numbers)

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View``: depth registered to colour."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The frame as recorded; raises ``DatasetError`` where a file cannot be read."""
        number = self.numbers[index]
        camera, pose = self._registered.get(number) or self._of_record(number)
        source = self._images if isinstance(self._images, VideoFrames) else self._images[number]
        depth = self._depth(number)
        return sensor_frame(
            source.path if isinstance(source, VideoFrames) else source,
            image=source[number] if isinstance(source, VideoFrames) else read_color(source),
            color_camera=camera,
            depth=depth,
            depth_camera=None if depth is None else camera.scaled(depth.shape[1], depth.shape[0]),
            T_world_camera=pose,
            stamp_ns=self._stamp_ns(number),
        )

    def ground_truth_mesh(self) -> Mesh | None:
        """``scans/mesh_aligned_0.05.ply``; None where it is absent."""
        return scan_mesh(self.path.parent)

    def _is_whole(self, number: int, use_colmap: bool) -> bool:
        images, depths = self._images, self._depths
        if number >= images.count if isinstance(images, VideoFrames) else number not in images:
            reason = "no image"
        elif (isinstance(depths, DepthBin) or depths) and number not in depths:
            reason = "no depth"
        elif number not in self._registered if use_colmap else not self._has_pose(number):
            reason = "no pose"
        else:
            return True
        self.skipped[reason] += 1
        return False

    def _has_pose(self, number: int) -> bool:
        pose = self._records[number].get("aligned_pose")
        return pose is not None and bool(np.isfinite(np.asarray(pose, np.float64)).all())

    def _of_record(self, number: int) -> tuple[Camera, NDArray[np.float64]]:
        record = self._records[number]
        try:
            k = np.asarray(record["intrinsic"], np.float64).reshape(3, 3)
            camera = Camera(*self._size, k[0, 0], k[1, 1], k[0, 2], k[1, 2])
            return camera, checked_pose(np.asarray(record["aligned_pose"], np.float64).reshape(4, 4))
        except (KeyError, ValueError, TypeError, InputError) as error:
            raise DatasetError(f"{self._json}, frame {number}: {error}") from error

    def _depth(self, number: int) -> NDArray[np.float32] | None:
        if isinstance(self._depths, DepthBin):
            return self._depths[number]
        return read_depth(self._depths[number], DEPTH_UNITS_PER_METRE) if self._depths else None

    def _stamp_ns(self, number: int) -> int:
        start = float(next(iter(self._records.values())).get("timestamp", 0.0))
        seconds = float(self._records[number].get("timestamp", start + number / 60.0))
        return FIRST_STAMP_NS + round((seconds - start) * 1e9)

    def _image_size(self) -> tuple[int, int]:
        if isinstance(self._images, VideoFrames):
            height, width = self._images[0].shape[:2]
            return width, height
        return image_size(next(iter(self._images.values())))


def _records(path: Path) -> dict[int, dict[str, Any]]:
    content = read_json(path)
    if not isinstance(content, dict) or not content or not all(isinstance(item, dict) for item in content.values()):
        raise DatasetError(f"{path}: expected an object with frame_NNNNNN: {{timestamp, intrinsic, aligned_pose}}")
    return dict(sorted((_number(name, path), record) for name, record in content.items()))


def _number(name: str, path: Path) -> int:
    match = _NAME.match(name)
    if match is None:
        raise DatasetError(f"{path}: '{name}', expected frame_NNNNNN")
    return int(match.group(1))


def _images(path: Path) -> dict[int, Path] | VideoFrames:
    files = {_number(file.stem, file): file for file in sorted((path / "rgb").glob("frame_*.jpg"))}
    if files:
        return files
    for name in _VIDEOS:
        if (path / name).is_file():
            return VideoFrames(path / name)
    raise DatasetError(f"{path}: has neither rgb/frame_NNNNNN.jpg nor {' nor '.join(_VIDEOS)}")


def _depths(path: Path) -> dict[int, Path] | DepthBin:
    files = {_number(file.stem, file): file for file in sorted((path / "depth").glob("frame_*.png"))}
    if not files and (path / "depth.bin").is_file():
        return DepthBin(path / "depth.bin")
    return files


def looks_like_scannetpp_iphone(path: Path) -> bool:
    """Whether the folder, or ``iphone`` in it, has ``pose_intrinsic_imu.json``."""
    return (scene_part(path, "iphone") / "pose_intrinsic_imu.json").is_file()


def _missing(path: Path) -> list[str]:
    iphone = scene_part(path, "iphone")
    wanted = (
        (("rgb", *_VIDEOS), "the colour images"),
        (("depth", "depth.bin"), "the depth images"),
        (("colmap",), "the poses registered with the DSLR images"),
        (("../scans/mesh_aligned_0.05.ply",), "the true mesh"),
    )
    return [
        f"{' or '.join(names)}: not there, {what}"
        for names, what in wanted
        if not any((iphone / name).exists() for name in names)
    ]


DATASET = Dataset(
    name="scannetpp_iphone",
    title="ScanNet++, iPhone (Yeshwanth et al., ICCV 2023)",
    looked_for="iphone/pose_intrinsic_imu.json",
    recognises=looks_like_scannetpp_iphone,
    read=ScanNetPPiPhone,
    scenes=scenes_of("iphone", looks_like_scannetpp_iphone),
    splits=SPLITS,
    missing=_missing,
)
