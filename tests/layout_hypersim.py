"""A Hypersim scene of the textured room: asset units of an inch, distances along rays, OpenGL cameras."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import h5py
import numpy as np
from textured_room import box_poses, render_room

from showroom_ros.datasets.hypersim_lens import STANDARD_LENS, Lens
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import transform_points

METRES_PER_UNIT = 0.0254
NUMBERS = (0, 1, 3)
"""Frame indices of the trajectory: they may have gaps."""


def write_hypersim(
    root: Path,
    scene: str = "ai_001_001",
    cameras: tuple[str, ...] = ("cam_00",),
    *,
    lens: Lens = STANDARD_LENS,
    tonemapped: bool = True,
    numbers: tuple[int, ...] = NUMBERS,
) -> Path:
    """Writes the scene below ``root``; colour as ``tonemap.jpg``, or as linear radiance only."""
    folder = root / scene
    (folder / "_detail").mkdir(parents=True)
    rows = [("parameter_name", "parameter_value"), ("meters_per_asset_unit", METRES_PER_UNIT), ("other", "text")]
    write_csv(folder / "_detail" / "metadata_scene.csv", rows)
    for camera in cameras:
        _write_camera(folder, camera, lens, tonemapped, numbers)
    return folder


def write_camera_parameters(root: Path, matrices: dict[str, np.ndarray], camera: Camera) -> None:
    """Writes ``metadata_camera_parameters.csv`` with the ``M_cam_from_uv`` [3, 3] of each scene."""
    names = [f"M_cam_from_uv_{row}{column}" for row in range(3) for column in range(3)]
    rows: list[tuple] = [("scene_name", "settings_output_img_width", "settings_output_img_height", *names)]
    rows += [(scene, float(camera.width), float(camera.height), *m.ravel()) for scene, m in matrices.items()]
    write_csv(root / "metadata_camera_parameters.csv", rows)


def write_split(root: Path, scenes: dict[tuple[str, str], str]) -> None:
    """Writes ``metadata_images_split_scene_v1.csv``: two pictures of each (scene, camera) in its split."""
    header = ("scene_name", "camera_name", "frame_id", "included_in_public_release", "exclude_reason")
    rows: list[tuple] = [(*header, "split_partition_name")]
    for (scene, camera), split in scenes.items():
        rows += [(scene, camera, frame, True, "", split) for frame in (0, 1)]
    write_csv(root / "metadata_images_split_scene_v1.csv", rows)


def write_csv(path: Path, rows: list[tuple]) -> None:
    """Writes rows as CSV."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def write_hdf5(path: Path, values: np.ndarray) -> None:
    """Writes the one data set ``dataset`` of a Hypersim file."""
    with h5py.File(path, "w") as file:
        file.create_dataset("dataset", data=values, compression="lzf")


def _write_camera(folder: Path, name: str, lens: Lens, tonemapped: bool, numbers: tuple[int, ...]) -> None:
    detail = folder / "_detail" / name
    color, geometry = (folder / f"images/scene_{name}_{kind}" for kind in ("final_preview", "geometry_hdf5"))
    radiance = folder / f"images/scene_{name}_final_hdf5"
    for place in (detail, color, geometry, radiance):
        place.mkdir(parents=True)
    poses = box_poses(len(numbers))
    opengl = [pose @ np.diag([1.0, -1, -1, 1]) for pose in poses]
    write_hdf5(detail / "camera_keyframe_positions.hdf5", np.array([p[:3, 3] for p in opengl]) / METRES_PER_UNIT)
    write_hdf5(detail / "camera_keyframe_orientations.hdf5", np.array([p[:3, :3] for p in opengl]))
    write_hdf5(detail / "camera_keyframe_frame_indices.hdf5", np.array(numbers))
    for number, pose in zip(numbers, poses, strict=True):
        pinhole = pose @ lens.T_camera_pinhole
        image, planar = render_room(lens.camera, pinhole)
        distance = planar.astype(float) * np.linalg.norm(lens.camera.rays(), axis=-1)
        distance[:4, :4] = np.nan  # through a window
        points = transform_points(pinhole, lens.camera.back_project(planar)) / METRES_PER_UNIT
        write_hdf5(geometry / f"frame.{number:04d}.depth_meters.hdf5", distance.astype(np.float16))
        write_hdf5(geometry / f"frame.{number:04d}.position.hdf5", points.astype(np.float32))
        if tonemapped:
            cv2.imwrite(str(color / f"frame.{number:04d}.tonemap.jpg"), image[..., ::-1])
        bright = image.astype(np.float32) / 255
        bright[10, 10] = (3.0, np.nan, -1.0)  # brighter than white, and what renderers sometimes leave
        write_hdf5(radiance / f"frame.{number:04d}.color.hdf5", bright)
