"""A ScanNet v2 scene of the textured room, as ``.sens`` file and as the official exporter writes it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from textured_room import box_poses, render_room

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, pose_from

COLOR = Camera(324, 242, 291.0, 292.0, 161.0, 120.5)
DEPTH = Camera(160, 120, 144.0, 144.5, 79.5, 59.0)
T_ALIGNED_WORLD = pose_from((1.5, -2.0, 0.25), (np.cos(0.2), 0, 0, np.sin(0.2)))
"""``axisAlignment`` of the scene: the room, turned about z and moved, is the aligned world."""
LOST = 2
"""The frame whose pose is not finite."""


def scannet_poses(count: int) -> list[np.ndarray]:
    """``T_world_camera``; that of frame ``LOST`` is full of minus infinity, as ScanNet marks lost tracking."""
    poses = [inverse(T_ALIGNED_WORLD) @ pose for pose in box_poses(count)]
    if count > LOST:
        poses[LOST] = np.full((4, 4), -np.inf)
    return poses


def scannet_frames(count: int) -> list[tuple[bytes, np.ndarray, np.ndarray]]:
    """JPEG of the colour image, depth in millimetres uint16 and pose of each frame."""
    frames = []
    for room_pose, pose in zip(box_poses(count), scannet_poses(count), strict=True):
        image, _ = render_room(COLOR, room_pose)
        jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        millimetres = np.rint(render_room(DEPTH, room_pose)[1].astype(float) * 1000).astype(np.uint16)
        millimetres[:3, :5] = 0
        frames.append((jpeg, millimetres, pose))
    return frames


def write_scannet_sens(root: Path, name: str = "scene0000_00", count: int = 4, *, with_stamps: bool = True) -> Path:
    """Writes ``scans/<name>`` below ``root`` with ``<name>.sens``, mesh and text file; returns the folder."""
    folder = root / "scans" / name
    folder.mkdir(parents=True)
    content = struct.pack("<IQ", 4, len("StructureSensor")) + b"StructureSensor"
    for camera in (COLOR, DEPTH):
        k = np.eye(4, dtype="<f4")
        k[:3, :3] = camera.matrix
        content += k.tobytes() + np.eye(4, dtype="<f4").tobytes()
    content += struct.pack("<2i4If", 2, 1, COLOR.width, COLOR.height, DEPTH.width, DEPTH.height, 1000.0)
    content += struct.pack("<Q", count)
    for index, (jpeg, millimetres, pose) in enumerate(scannet_frames(count)):
        depth = zlib.compress(millimetres.astype("<u2").tobytes())
        stamp_us = 5_000_000 + 33_333 * index if with_stamps else 0
        content += pose.astype("<f4").tobytes() + struct.pack("<4Q", stamp_us, stamp_us + 7, len(jpeg), len(depth))
        content += jpeg + depth
    (folder / f"{name}.sens").write_bytes(content + struct.pack("<Q", 0))  # no IMU frames
    _write_beside(folder, name)
    return folder


def write_scannet_exported(root: Path, name: str = "scene0000_00", count: int = 4, parent: str = "scans") -> Path:
    """Writes ``<parent>/<name>`` below ``root`` with the exporter's folders, mesh and text file; returns the folder."""
    folder = root / parent / name
    for kind in ("color", "depth", "pose", "intrinsic"):
        (folder / kind).mkdir(parents=True)
    for index, (jpeg, millimetres, pose) in enumerate(scannet_frames(count)):
        (folder / f"color/{index}.jpg").write_bytes(jpeg)
        cv2.imwrite(str(folder / f"depth/{index}.png"), millimetres)
        np.savetxt(folder / f"pose/{index}.txt", pose)
    for kind, camera in (("color", COLOR), ("depth", DEPTH)):
        k = np.eye(4)
        k[:3, :3] = camera.matrix
        np.savetxt(folder / f"intrinsic/intrinsic_{kind}.txt", k)
        np.savetxt(folder / f"intrinsic/extrinsic_{kind}.txt", np.eye(4))
    _write_beside(folder, name)
    return folder


def write_scannet_splits(root: Path, **scenes: list[str]) -> None:
    """Writes ``scannetv2_<split>.txt``."""
    for split, names in scenes.items():
        (root / f"scannetv2_{split}.txt").write_text("\n".join(names) + "\n")


def _write_beside(folder: Path, name: str) -> None:
    """The mesh lies in the unaligned world, as the poses do."""
    from dataclasses import replace

    from textured_room import room_mesh

    from showroom_ros.geometry.se3 import transform_points
    from showroom_ros.scene.mesh_files import save_mesh

    mesh = room_mesh()
    vertices = transform_points(inverse(T_ALIGNED_WORLD), mesh.vertices).astype(np.float32)
    save_mesh(folder / f"{name}_vh_clean_2.ply", replace(mesh, vertices=vertices))
    alignment = " ".join(f"{value:.9f}" for value in T_ALIGNED_WORLD.ravel())
    sizes = f"colorHeight = {COLOR.height}\ncolorWidth = {COLOR.width}\n"
    sizes += f"depthHeight = {DEPTH.height}\ndepthWidth = {DEPTH.width}\n"
    (folder / f"{name}.txt").write_text(f"axisAlignment = {alignment}\n{sizes}numColorFrames = 4\n")
