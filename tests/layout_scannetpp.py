"""A ScanNet++ scene of the textured room: DSLR and iPhone, each with its own convention for poses."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import cv2
import lz4.block
import numpy as np
from textured_room import box_poses, render_room, save_room_mesh

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, quat_from_rotation

FISHEYE = Camera(292, 196, 130.0, 130.4, 145.2, 97.1, "equidistant", (-0.03, -0.006, 0.0008, 0.0004))
UNDISTORTED = Camera(292, 196, 110.0, 110.0, 145.5, 97.5)
PHONE = Camera(320, 240, 268.0, 268.0, 159.0, 120.5)
PHONE_COLMAP = Camera(320, 240, 268.0, 269.0, 159.0, 120.5, "plumb_bob", (0.05, -0.02, 0.0, 0.0))
DEPTH_WIDTH, DEPTH_HEIGHT = 256, 192
LOST = 3
"""The iPhone frame whose ``aligned_pose`` is not finite."""


def write_scannetpp(root: Path, scene: str = "00dd871005", count: int = 3) -> Path:
    """Writes ``data/<scene>/dslr`` in all its forms and the scan below ``root``; returns the folder of the scene."""
    dslr = root / "data" / scene / "dslr"
    for kind in ("resized_images", "resized_undistorted_images", "colmap", "nerfstudio"):
        (dslr / kind).mkdir(parents=True)
    poses, names = box_poses(count), [f"DSC0{1752 + i}.JPG" for i in range(count)]
    for name, pose in zip(names, poses, strict=True):
        for kind, camera in (("resized_images", FISHEYE), ("resized_undistorted_images", UNDISTORTED)):
            write_jpeg(dslr / kind / name, render_room(camera, pose)[0])
    write_colmap(dslr / "colmap", FISHEYE, dict(zip(names, poses, strict=True)))
    for name, camera in (("transforms.json", FISHEYE), ("transforms_undistorted.json", UNDISTORTED)):
        content = nerfstudio(camera, dict(zip(names, poses, strict=True)))
        (dslr / "nerfstudio" / name).write_text(json.dumps(content))
    (dslr / "train_test_lists.json").write_text(json.dumps({"train": names[:-1], "test": names[-1:]}))
    save_room_mesh(root / "data" / scene / "scans" / "mesh_aligned_0.05.ply")
    return root / "data" / scene


def write_scannetpp_iphone(
    root: Path,
    scene: str = "00dd871005",
    count: int = 5,
    *,
    color: str = "rgb",
    depth: str = "png",
    model: bool = False,
) -> Path:
    """Writes ``data/<scene>/iphone`` below ``root``; returns the folder of the scene.

    Args:
        root: folder of the data set.
        scene: its id.
        count: frames; that of ``LOST`` has no finite pose.
        color: "rgb" for JPEG files, or "rgb.mp4".
        depth: "png", or how ``depth.bin`` is compressed: "zlib", "lz4" or "stream".
        model: write ``colmap/`` too, with frames 0 and 2 of its own camera.
    """
    phone = root / "data" / scene / "iphone"
    phone.mkdir(parents=True)
    poses, camera = box_poses(count), PHONE_COLMAP if model else PHONE
    records = {}
    for index, pose in enumerate(poses):
        lost = np.full((4, 4), np.nan)
        records[f"frame_{index:06d}"] = {
            "timestamp": 812.5 + index / 60,
            "pose": np.eye(4).tolist(),
            "intrinsic": PHONE.matrix.tolist(),
            "aligned_pose": (lost if index == LOST else pose).tolist(),
        }
    (phone / "pose_intrinsic_imu.json").write_text(json.dumps(records))
    _write_phone_images(phone, [render_room(camera, pose)[0] for pose in poses], color)
    small = camera.scaled(DEPTH_WIDTH, DEPTH_HEIGHT)
    _write_phone_depth(phone, [render_room(small, pose)[1] for pose in poses], depth)
    if model:
        (phone / "colmap").mkdir()
        write_colmap(phone / "colmap", camera, {f"frame_{i:06d}.jpg": poses[i] for i in (0, 2)})
    save_room_mesh(root / "data" / scene / "scans" / "mesh_aligned_0.05.ply")
    return root / "data" / scene


def write_colmap(folder: Path, camera: Camera, poses: dict[str, np.ndarray]) -> None:
    """Writes ``cameras.txt`` and ``images.txt``; COLMAP's pixels begin at their corner, its poses at the world."""
    model = {"equidistant": "OPENCV_FISHEYE", "plumb_bob": "OPENCV"}[camera.distortion_model]
    params = (camera.fx, camera.fy, camera.cx + 0.5, camera.cy + 0.5, *camera.distortion[:4])
    line = f"1 {model} {camera.width} {camera.height} " + " ".join(map(str, params))
    (folder / "cameras.txt").write_text(f"# Camera list with one line of data per camera:\n{line}\n")
    lines = ["# Image list with two lines of data per image:"]
    for index, (name, pose) in enumerate(reversed(poses.items()), 1):
        world_to_camera = inverse(pose)
        numbers = (*quat_from_rotation(world_to_camera[:3, :3]), *world_to_camera[:3, 3])
        lines += [f"{index} " + " ".join(f"{value:.12f}" for value in numbers) + f" 1 {name}"]
        lines += ["" if index == 1 else "12.5 13.5 -1 20.0 21.0 7"]  # key points; an image may have none
    (folder / "images.txt").write_text("\n".join(lines) + "\n")


def nerfstudio(camera: Camera, poses: dict[str, np.ndarray]) -> dict:
    """What nerfstudio's converter makes of a COLMAP model: cameras with y up and z backwards, x and y of the world
    swapped, z turned; the last image is for testing."""
    fisheye = camera.distortion_model == "equidistant"
    frames = []
    for name, pose in poses.items():
        matrix = pose.copy()
        matrix[:3, 1:3] *= -1
        matrix = matrix[[1, 0, 2, 3]]
        matrix[2] *= -1
        frames.append({"file_path": name, "transform_matrix": matrix.tolist(), "is_bad": False})
    return {
        "fl_x": camera.fx,
        "fl_y": camera.fy,
        "cx": camera.cx + 0.5,
        "cy": camera.cy + 0.5,
        "w": camera.width,
        "h": camera.height,
        **({f"k{i + 1}": value for i, value in enumerate(camera.distortion)} if fisheye else {}),
        "camera_model": "OPENCV_FISHEYE" if fisheye else "PINHOLE",
        "frames": frames[:-1],
        "test_frames": frames[-1:],
    }


def write_scannetpp_splits(root: Path, **scenes: list[str]) -> None:
    """Writes ``splits/nvs_sem_<split>.txt``."""
    (root / "splits").mkdir(exist_ok=True)
    for split, names in scenes.items():
        (root / "splits" / f"nvs_sem_{split}.txt").write_text("\n".join(names) + "\n")


def write_jpeg(path: Path, image: np.ndarray) -> None:
    """Writes an RGB image with little loss."""
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])


def _write_phone_images(phone: Path, images: list[np.ndarray], color: str) -> None:
    if color == "rgb":
        (phone / "rgb").mkdir()
        for index, image in enumerate(images):
            write_jpeg(phone / "rgb" / f"frame_{index:06d}.jpg", image)
        return
    height, width = images[0].shape[:2]
    video = cv2.VideoWriter(str(phone / color), cv2.VideoWriter_fourcc(*"mp4v"), 60, (width, height))
    for image in images:
        video.write(np.ascontiguousarray(image[..., ::-1]))
    video.release()


def _write_phone_depth(phone: Path, depths: list[np.ndarray], form: str) -> None:
    metres = [depth.astype("<f4") for depth in depths]
    millimetres = [np.rint(depth.astype(float) * 1000).astype("<u2") for depth in depths]
    for plane in (*metres, *millimetres):
        plane[:2, :9] = 0
    if form == "png":
        (phone / "depth").mkdir()
        for index, plane in enumerate(millimetres):
            cv2.imwrite(str(phone / "depth" / f"frame_{index:06d}.png"), plane)
        return
    if form == "stream":
        (phone / "depth.bin").write_bytes(_deflate(b"".join(plane.tobytes() for plane in metres)))
        return
    blobs = (
        [_deflate(plane.tobytes()) for plane in metres]
        if form == "zlib"
        else [lz4.block.compress(plane.tobytes(), store_size=False) for plane in millimetres]
    )
    (phone / "depth.bin").write_bytes(b"".join(len(blob).to_bytes(4, "little") + blob for blob in blobs))


def _deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()
