"""An ARKitScenes video of the textured room."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from textured_room import box_poses, render_room, save_room_mesh

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import interpolate, inverse

CAMERA = Camera(256, 192, 211.9, 211.9, 127.5, 95.9)
FIRST_S = 3219.4


def write_arkitscenes(root: Path, video: str = "41254425", split: str = "Training", *, release: str = "raw") -> Path:
    """Writes ``<split>/<video>`` below ``root``: poses at 10 Hz, images at 20 Hz from one before the first pose on.

    Args:
        root: folder of the data set.
        video: its id.
        split: "Training" or "Validation".
        release: "raw", or "3dod" with the images in ``<video>_frames``.
    """
    folder = root / split / video
    frames = folder if release == "raw" else folder / f"{video}_frames"
    for kind in ("lowres_wide", "lowres_depth", "confidence", "lowres_wide_intrinsics"):
        (frames / kind).mkdir(parents=True)
    poses, rows = box_poses(4), []
    for index, pose in enumerate(poses):
        world_to_camera = inverse(pose)
        numbers = (*cv2.Rodrigues(world_to_camera[:3, :3])[0].ravel(), *world_to_camera[:3, 3])
        rows.append(f"{FIRST_S + 0.1 * index + 0.0003:.6f} " + " ".join(f"{value:.10f}" for value in numbers))
    (frames / "lowres_wide.traj").write_text("\n".join(rows) + "\n")
    for half in range(-1, 7):  # in steps of 50 ms; the first lies before the trajectory
        pose = interpolate(poses[half // 2], poses[min(half // 2 + 1, 3)], half % 2 / 2) if half >= 0 else poses[0]
        name = f"{video}_{FIRST_S + 0.05 * half:.3f}"
        image, depth = render_room(CAMERA, pose)
        millimetres = np.rint(depth.astype(float) * 1000).astype(np.uint16)
        millimetres[:2, :7] = 0
        confidence = np.full(depth.shape, 2, np.uint8)
        confidence[:, :64], confidence[:, 64:128] = 0, 1
        cv2.imwrite(str(frames / f"lowres_wide/{name}.png"), image[..., ::-1])
        cv2.imwrite(str(frames / f"lowres_depth/{name}.png"), millimetres)
        cv2.imwrite(str(frames / f"confidence/{name}.png"), confidence)
        values = (CAMERA.width, CAMERA.height, CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy)
        late = f"{video}_{FIRST_S + 0.05 * half + (0.001 if half == 2 else 0):.3f}"  # names may differ by a millisecond
        (frames / f"lowres_wide_intrinsics/{late}.pincam").write_text(" ".join(f"{value:g}" for value in values))
    save_room_mesh(folder / f"{video}_3dod_mesh.ply")
    return folder
