"""An ICL-NUIM trajectory of the textured room, with the left-handed frames of its renderer."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from textured_room import box_poses, render_room

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import quat_from_rotation, quat_xyzw_from_wxyz

K_PUBLISHED = np.array([[481.2, 0, 319.5], [0, -480.0, 239.5], [0, 0, 1]])
"""With the negative fy of the data set's page."""

SWAP_Y_Z = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""Maps the room (right-handed, z up) to the renderer's world (left-handed, y up)."""


def left_handed_pose(room_pose: np.ndarray) -> np.ndarray:
    """The pose of a camera of the room with OpenCV axes, between left-handed frames whose y is up."""
    return SWAP_Y_Z @ room_pose @ np.diag([1.0, -1, 1, 1])


def write_icl_nuim(root: Path, name: str = "living_room_traj0_frei_png", count: int = 5, first_pose: int = 1) -> Path:
    """Writes the recording: images 0 to count - 1, poses from ``first_pose`` on; returns the folder."""
    folder = root / name
    for kind in ("rgb", "depth"):
        (folder / kind).mkdir(parents=True)
    camera = Camera(640, 480, 481.2, 480.0, 319.5, 239.5)
    associations, poses = [], []
    for number, room_pose in enumerate(box_poses(count)):
        image, depth = render_room(camera, room_pose)
        cv2.imwrite(str(folder / f"rgb/{number}.png"), image[..., ::-1])
        cv2.imwrite(str(folder / f"depth/{number}.png"), np.rint(depth.astype(float) * 5000).astype(np.uint16))
        associations.append(f"{number} depth/{number}.png {number} rgb/{number}.png")
        pose = left_handed_pose(room_pose)
        quat = quat_xyzw_from_wxyz(quat_from_rotation(pose[:3, :3]))
        if number >= first_pose:
            poses.append(f"{number} " + " ".join(f"{value:.9g}" for value in (*pose[:3, 3], *quat)))
    trajectory = "livingRoom0.gt.freiburg" if name.startswith("living_room") else "traj0.gt.freiburg"
    (folder / "associations.txt").write_text("\n".join(associations) + "\n")
    (folder / trajectory).write_text("\n".join(poses) + "\n")
    return folder
