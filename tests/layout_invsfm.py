"""InvSfM's demo_5k: lists of points, cameras, images and depth of frames of a plane two units ahead."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from showroom_ros.geometry.se3 import inverse, look_at

WIDTH, HEIGHT, FOCAL = 64, 48, 60.0
COUNTS = {"train": 2, "val": 1, "test": 1}
PLANE_Z = 0.0
COLUMNS = ("points/{}_xyz.bin", "points/{}_rgb.bin", "points/{}_sift.bin", "cameras/{}.bin", "images/{}.jpg")


def pose_of(frame: int) -> np.ndarray:
    """``T_world_camera`` [4, 4]: above the plane z = 0, tilted a little, another place by frame."""
    return look_at((0.1 * frame, -0.5, 2.0), (0.0, 0.0, PLANE_Z), up=(0.0, 1.0, 0.0))


def depth_of(frame: int) -> np.ndarray:
    """float16 [48, 64]: planar depth of the plane, exact up to half precision; 0 in the last column."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    rays = np.stack([(u - WIDTH / 2 + 0.5) / FOCAL, (v - HEIGHT / 2 + 0.5) / FOCAL, np.ones(u.shape)], axis=-1)
    pose = pose_of(frame)
    depth = (PLANE_Z - pose[2, 3]) / (rays @ pose[2, :3])
    depth[:, -1] = 0
    return depth.astype(np.float16)


def points_of(frame: int, count: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of the plane: xyz float32 [N, 3], rgb uint8 [N, 3], sift uint8 [N, 128]."""
    rng = np.random.default_rng(frame)
    xyz = np.concatenate([rng.uniform(-0.4, 0.4, (count, 2)), np.full((count, 1), PLANE_Z)], axis=1)
    return (
        xyz.astype(np.float32),
        rng.integers(0, 256, (count, 3), np.uint8),
        rng.integers(0, 256, (count, 128), np.uint8),
    )


def write_invsfm(root: Path) -> Path:
    """The data folder: ``anns/demo_5k/{train,val,test}.txt`` and what they name; the last test frame has no depth."""
    frame = 0
    for split, count in COUNTS.items():
        lines = []
        for _ in range(count):
            names = [f"demo_5k/{column.format(f'{frame:04d}')}" for column in COLUMNS]
            _write_frame(root, frame, names)
            if split == "test":
                lines.append(" ".join([*names, "None"]))
            else:
                lines.append(" ".join([*names, f"demo_5k/depths/{frame:04d}.bin"]))
                _write(root / f"demo_5k/depths/{frame:04d}.bin", depth_bytes(depth_of(frame)))
            frame += 1
        _write(root / f"anns/demo_5k/{split}.txt", ("\n".join(lines) + "\n").encode())
    return root


def depth_bytes(depth: np.ndarray) -> bytes:
    return f"{depth.shape[1]}&{depth.shape[0]}&1&".encode() + depth.tobytes()


def camera_floats(frame: int) -> np.ndarray:
    """float32 [23]: K, R, T, height, width; K with COLMAP's pixels, whose first centre is at 0.5."""
    T_camera_world = inverse(pose_of(frame))
    K = [FOCAL, 0, WIDTH / 2, 0, FOCAL, HEIGHT / 2, 0, 0, 1]
    return np.array([*K, *T_camera_world[:3, :3].ravel(), *T_camera_world[:3, 3], HEIGHT, WIDTH], np.float32)


def _write_frame(root: Path, frame: int, names: list[str]) -> None:
    for name, array in zip(names, (*points_of(frame), camera_floats(frame)), strict=False):
        _write(root / name, array.tobytes())
    (root / names[4]).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / names[4]), np.full((HEIGHT, WIDTH, 3), 50 + 40 * frame, np.uint8))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
