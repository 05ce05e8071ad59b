"""Hypersim (Roberts et al., ICCV 2021): photo-realistic renderings of rooms.

Folder of one scene ``ai_VVV_NNN``: ``_detail/metadata_scene.csv`` (``meters_per_asset_unit``);
``_detail/cam_XX/camera_keyframe_{positions,orientations,frame_indices}.hdf5`` (asset units; camera-to-world, camera x
right, y up, z backwards); ``images/scene_cam_XX_final_preview/frame.IIII.tonemap.jpg`` or
``images/scene_cam_XX_final_hdf5/frame.IIII.color.hdf5`` (linear radiance); ``images/scene_cam_XX_geometry_hdf5/
frame.IIII.{depth_meters,position}.hdf5``. A sequence is one camera of a scene. ``depth_meters`` is the distance along
the ray, not planar. World: the artist's axes (z up in all scenes we know of), metres.

Beside the scenes: ``metadata_camera_parameters.csv`` (``M_cam_from_uv``, for the scenes whose lenses are tilted or
shifted; without it all scenes are taken to have the standard lens of 60 degrees) and
``metadata_images_split_scene_v1.csv`` (the official split).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.dataset import Dataset, checked_split
from showroom_ros.datasets.files import read_color, read_csv
from showroom_ros.datasets.frames import checked_frame_count, sensor_frame, stamp_ns_of_number
from showroom_ros.datasets.hdf5 import open_hdf5, read_array
from showroom_ros.datasets.hypersim_lens import Lens, lens_of_scene
from showroom_ros.datasets.splits import recordings_below, subfolders
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.se3 import checked_pose
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

RATE_HZ = 1.0
"""Pictures have no times: their stamps are as many seconds apart as their numbers."""

SPLITS = ("train", "val", "test")

_SPLIT_FILE = "metadata_images_split_scene_v1.csv"
_CAMERA_FILE = "metadata_camera_parameters.csv"
_SCENE_NAME = re.compile(r"ai_\d{3}_\d{3}$")
_OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


class Hypersim:
    """One camera trajectory of a Hypersim scene as a ``Sequence``.

    Pictures that were not released, that have no depth or whose orientation is no rotation (the artist's own first
    camera may be scaled or mirrored) are left out.

    Attributes:
        name: scene and camera, ``ai_001_001_cam_00``.
        numbers: frame numbers (IIII) in the order of the sequence.
        skipped: frames left out, by reason.
        metres_per_unit: length of the scene's asset unit.
        stamps_known: False; stamps are made up from the order of the images.
    """

    stamps_known = False

    def __init__(self, path: str | Path, camera: str | None = None) -> None:
        """Reads the trajectory and lists the pictures.

        Args:
            path: folder of the scene, or of one of its cameras (``ai_001_001/_detail/cam_00``).
            camera: its name (``cam_00``), where ``path`` is a scene with several.

        Raises:
            DatasetError: no scene, no such camera, broken files, a lens that is no pinhole, or no frame is whole.
        """
        self.path = _camera_folder(Path(path), camera)
        self._scene = self.path.resolve().parents[1]
        self._images = self._scene / "images"
        self.name = f"{self._scene.name}_{self.path.name}"
        self.metres_per_unit = _metres_per_unit(self._scene / "_detail" / "metadata_scene.csv")
        self.lens: Lens = lens_of_scene(self._scene.parent / _CAMERA_FILE, self._scene.name)
        poses = self._read_poses()
        self.skipped = {"no image": 0, "no depth": 0, "no pose": 0}
        has_depth = self._folder("geometry_hdf5").is_dir()
        self._poses: dict[int, NDArray[np.float64]] = {}
        for number, pose in poses.items():
            if self._color_file(number) is None:
                self.skipped["no image"] += 1
            elif has_depth and not self._geometry_file(number, "depth_meters").is_file():
                self.skipped["no depth"] += 1
            elif pose is None:
                self.skipped["no pose"] += 1
            else:
                self._poses[number] = pose
        self._has_depth = has_depth
        self.numbers = list(self._poses)
        checked_frame_count(self.path, len(self.numbers), len(poses), self.skipped)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.numbers)

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View`` with planar depth."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The frame as rendered, its depth made planar; raises ``DatasetError`` where a file cannot be read."""
        number = self.numbers[index]
        color = self._color_file(number)
        assert color is not None  # frames without one were left out
        return sensor_frame(
            color,
            image=_read_radiance(color) if color.suffix == ".hdf5" else read_color(color),
            color_camera=self.lens.camera,
            depth=self._planar_depth(number) if self._has_depth else None,
            T_world_camera=self._poses[number] @ self.lens.T_camera_pinhole,
            stamp_ns=stamp_ns_of_number(number, RATE_HZ),
        )

    def world_points(self, index: int) -> NDArray[np.float32]:
        """The surface point each pixel shows, float32 [H, W, 3], world, metres; NaN where there is none.

        Raises:
            DatasetError: ``position.hdf5`` of the frame is missing or broken.
        """
        path = self._geometry_file(self.numbers[index], "position")
        return np.asarray(_read_plane(path, 3) * self.metres_per_unit, np.float32)

    def _planar_depth(self, number: int) -> NDArray[np.float32]:
        """Planar depth = distance along the ray / length of the ray with z = 1."""
        path = self._geometry_file(number, "depth_meters")
        distance = _read_plane(path, None)
        if distance.shape != (self.lens.camera.height, self.lens.camera.width):
            raise DatasetError(f"{path}: is {distance.shape[::-1]}, expected {self.lens.camera.width} wide")
        depth = distance.astype(np.float64) / np.linalg.norm(self.lens.camera.rays(), axis=-1)
        depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
        return depth.astype(np.float32)

    def _read_poses(self) -> dict[int, NDArray[np.float64] | None]:
        """``T_world_camera`` by frame number, None where the orientation is no rotation."""
        indices = _read_dataset(self.path / "camera_keyframe_frame_indices.hdf5", (None,))
        positions = _read_dataset(self.path / "camera_keyframe_positions.hdf5", (len(indices), 3))
        orientations = _read_dataset(self.path / "camera_keyframe_orientations.hdf5", (len(indices), 3, 3))
        poses: dict[int, NDArray[np.float64] | None] = {}
        for number, position, orientation in zip(indices, positions, orientations, strict=True):
            pose = np.eye(4)
            pose[:3, :3], pose[:3, 3] = orientation, position * self.metres_per_unit
            try:
                poses[int(number)] = checked_pose(pose @ _OPENGL_TO_OPENCV)
            except InputError:
                poses[int(number)] = None
        return dict(sorted(poses.items()))

    def _folder(self, kind: str) -> Path:
        return self._images / f"scene_{self.path.name}_{kind}"

    def _geometry_file(self, number: int, what: str) -> Path:
        return self._folder("geometry_hdf5") / f"frame.{number:04d}.{what}.hdf5"

    def _color_file(self, number: int) -> Path | None:
        tonemapped = self._folder("final_preview") / f"frame.{number:04d}.tonemap.jpg"
        radiance = self._folder("final_hdf5") / f"frame.{number:04d}.color.hdf5"
        return next((file for file in (tonemapped, radiance) if file.is_file()), None)


def _camera_folder(path: Path, camera: str | None) -> Path:
    if _is_camera_folder(path):
        return path
    cameras = [folder.name for folder in subfolders(path / "_detail") if _is_camera_folder(folder)]
    if not cameras:
        raise DatasetError(f"{path}: has no _detail/cam_XX/camera_keyframe_positions.hdf5, expected a Hypersim scene")
    if camera is None and len(cameras) > 1:
        places = ", ".join(f"_detail/{name}" for name in cameras)
        raise DatasetError(f"{path}: has several cameras, open one of {places}")
    if camera is not None and camera not in cameras:
        raise DatasetError(f"{path}: has no camera '{camera}', expected one of {', '.join(cameras)}")
    return path / "_detail" / (camera or cameras[0])


def _is_camera_folder(path: Path) -> bool:
    return (path / "camera_keyframe_positions.hdf5").is_file()


def _metres_per_unit(path: Path) -> float:
    for row in read_csv(path, ("parameter_name", "parameter_value")):
        if row["parameter_name"].strip() == "meters_per_asset_unit":
            try:
                value = float(row["parameter_value"])
            except ValueError:
                value = -1.0
            if not 0 < value < float("inf"):
                raise DatasetError(f"{path}: meters_per_asset_unit is '{row['parameter_value']}', expected a length")
            return value
    raise DatasetError(f"{path}: has no row meters_per_asset_unit")


def _read_dataset(path: Path, shape: tuple[int | None, ...]) -> NDArray:
    with open_hdf5(path) as file:
        return read_array(file, "dataset", shape)


def _read_plane(path: Path, channels: int | None) -> NDArray[np.float32]:
    shape = (None, None) if channels is None else (None, None, channels)
    return _read_dataset(path, shape).astype(np.float32)


def _read_radiance(path: Path) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] of linear radiance clipped to [0, 1], without a tone curve (as Invisible Stitch takes it)."""
    radiance = np.nan_to_num(_read_plane(path, 3), nan=0.0, posinf=1.0, neginf=0.0)
    return np.round(np.clip(radiance, 0, 1) * 255).astype(np.uint8)


def looks_like_hypersim(path: Path) -> bool:
    """Whether the folder is a scene with cameras below ``_detail``, or one such camera."""
    if _is_camera_folder(path):
        return True
    return any(_is_camera_folder(folder) for folder in subfolders(path / "_detail"))


def hypersim_scenes(root: Path, split: str | None) -> list[Path]:
    """The camera folders of all scenes, or of those of a split."""
    checked_split(split, SPLITS, root)
    scenes = [folder for folder in subfolders(root) if _SCENE_NAME.match(folder.name)]
    if not scenes and looks_like_hypersim(root) and split is None:
        scenes = [root]
    cameras = [camera for scene in scenes for camera in subfolders(scene / "_detail") if _is_camera_folder(camera)]
    if split is not None:
        rows = read_csv(root / _SPLIT_FILE, ("scene_name", "camera_name", "split_partition_name"))
        wanted = {(row["scene_name"], row["camera_name"]) for row in rows if row["split_partition_name"] == split}
        cameras = [camera for camera in cameras if (camera.parents[1].name, camera.name) in wanted]
    return recordings_below(root, cameras, _is_camera_folder, "ai_VVV_NNN/_detail/cam_XX/")


def _missing(path: Path) -> list[str]:
    scene = path.resolve().parents[1] if _is_camera_folder(path) else path.resolve()
    wanted = [
        (scene / "_detail" / "metadata_scene.csv", "metres per unit"),
        (scene.parent / _CAMERA_FILE, "which lenses are tilted or shifted; the standard lens is assumed"),
    ]
    cameras = [path.name] if _is_camera_folder(path) else [item.name for item in subfolders(scene / "_detail")]
    for camera in (name for name in cameras if name.startswith("cam_")):
        wanted += [
            (scene / "images" / f"scene_{camera}_final_preview", "the tone-mapped pictures"),
            (scene / "images" / f"scene_{camera}_geometry_hdf5", "the depth"),
        ]
    return [f"{place.name}: not there, {what}" for place, what in wanted if not place.exists()]


DATASET = Dataset(
    name="hypersim",
    title="Hypersim (Roberts et al., ICCV 2021)",
    looked_for="_detail/cam_XX/camera_keyframe_positions.hdf5",
    recognises=looks_like_hypersim,
    read=Hypersim,
    scenes=hypersim_scenes,
    splits=SPLITS,
    missing=_missing,
)
