"""Camera poses as text: trajectories of TUM's layout, and models of COLMAP's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, quat_from_rotation, quat_xyzw_from_wxyz


def tum_text(poses: Iterable[tuple[int, NDArray[np.float64]]]) -> str:
    """Lines ``timestamp tx ty tz qx qy qz qw`` (seconds, metres) of ``(stamp_ns, T_world_camera)``."""
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    for stamp_ns, pose in poses:
        numbers = [*pose[:3, 3], *quat_xyzw_from_wxyz(quat_from_rotation(pose[:3, :3]))]
        lines.append(f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d} " + " ".join(f"{number:.9f}" for number in numbers))
    return "\n".join(lines) + "\n"


def colmap_text(
    names: Sequence[str], cameras: Sequence[Camera], poses: Sequence[NDArray[np.float64]]
) -> dict[str, str]:
    """``cameras.txt``, ``images.txt`` and an empty ``points3D.txt`` (COLMAP's text format), by file name.

    COLMAP's first pixel has its centre at (0.5, 0.5); lens distortion is not written.

    Args:
        names: of the image files.
        cameras: of the images.
        poses: ``T_world_camera`` float64 [4, 4].
    """
    camera_lines = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    image_lines = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", "# POINTS2D[] as (X, Y, POINT3D_ID)"]
    for number, (name, camera, pose) in enumerate(zip(names, cameras, poses, strict=True), 1):
        values = camera.fx, camera.fy, camera.cx + 0.5, camera.cy + 0.5
        camera_lines.append(f"{number} PINHOLE {camera.width} {camera.height} {_numbers(values)}")
        T_camera_world = inverse(pose)
        place = [*quat_from_rotation(T_camera_world[:3, :3]), *T_camera_world[:3, 3]]
        image_lines += [f"{number} {_numbers(place)} {number} {name}", ""]
    return {
        "cameras.txt": "\n".join(camera_lines) + "\n",
        "images.txt": "\n".join(image_lines) + "\n",
        "points3D.txt": "# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[] as (IMAGE_ID, POINT2D_IDX)\n",
    }


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:.9g}" for value in values)
