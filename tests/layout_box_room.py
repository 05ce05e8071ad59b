"""A box room in the TUM RGB-D layout: every depth is known exactly."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from showroom_ros.datasets.tum import CAMERAS
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at, quat_from_rotation, quat_xyzw_from_wxyz

ROOM = np.array([2.0, 2.4, 2.2])
"""The box from the origin to here, metres, z up."""

CAMERA = CAMERAS["freiburg3"]
FIRST_STAMP_S = 1311868164


def box_depth(camera: Camera, T_world_camera: np.ndarray) -> np.ndarray:
    """Planar depth float32 [H, W] of the inside of the room, exact."""
    rays = camera.rays() @ T_world_camera[:3, :3].T
    start = T_world_camera[:3, 3]
    with np.errstate(divide="ignore"):
        to_walls = np.where(rays > 0, (ROOM - start) / rays, -start / rays)
    return to_walls.min(-1).astype(np.float32)


def box_poses(count: int) -> list[np.ndarray]:
    """A camera near the middle that turns by 12 degrees and moves by 2 cm a frame."""
    poses = []
    for index in range(count):
        eye = np.array([0.9 + 0.02 * index, 1.2, 1.1])
        angle = np.radians(12 * index)
        poses.append(look_at(eye, eye + np.array([np.cos(angle), np.sin(angle), 0.2])))
    return poses


def write_box_room(root: Path, count: int = 6, name: str = "rgbd_dataset_freiburg3_box") -> Path:
    """Writes the recording below ``root``; frame i is grey 40 + 10 i."""
    folder = root / name
    for kind in ("rgb", "depth"):
        (folder / kind).mkdir(parents=True)
    lists: dict[str, list[str]] = {"rgb": [], "depth": [], "groundtruth": []}
    for index, pose in enumerate(box_poses(count)):
        stamp = f"{FIRST_STAMP_S + index}.000000"
        image = np.full((CAMERA.height, CAMERA.width, 3), 40 + 10 * index, np.uint8)
        depth = np.rint(box_depth(CAMERA, pose).astype(float) * 5000).astype(np.uint16)
        cv2.imwrite(str(folder / f"rgb/{stamp}.png"), image)
        cv2.imwrite(str(folder / f"depth/{stamp}.png"), depth)
        quat = quat_xyzw_from_wxyz(quat_from_rotation(pose[:3, :3]))
        lists["rgb"].append(f"{stamp} rgb/{stamp}.png")
        lists["depth"].append(f"{stamp} depth/{stamp}.png")
        lists["groundtruth"].append(f"{stamp} " + " ".join(f"{value:.12f}" for value in (*pose[:3, 3], *quat)))
    for kind, lines in lists.items():
        (folder / f"{kind}.txt").write_text("\n".join(lines) + "\n")
    return folder
