"""Where a scene that starts from one image is looked at next: turns about its camera, and small steps aside.

Engstler et al., "Invisible Stitch" (3DV 2025): the camera turns on a circle of one centimetre, which is all but a turn
on the spot, so that each new view continues the surface of those before; support views look at the middle of a
view's surface from a little aside, where its edges hide something.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.se3 import Matrix, checked_pose, inverse, look_at, transform_points

Mode = Literal["single", "stage", "360"]

YAWS_DEG: dict[str, tuple[float, ...]] = {
    "single": (0.0,),
    "stage": (0.0, 25.0, -25.0),
    "360": (*(25.0 * step for step in range(11)), 272.5, 316.25),
}
"""Turns of each path in its order; the last view sees both ends of the ring, 43.75 degrees away on either side."""

ORBIT_RADIUS_M = 0.01
SUPPORT_ANGLE_DEG = 5.0


def yaws_deg(mode: str) -> tuple[float, ...]:
    """Turns in degrees of the path ``mode``, the first of which is 0.

    Raises:
        InputError: another mode than ``single``, ``stage`` and ``360``.
    """
    if mode not in YAWS_DEG:
        raise InputError(f"path '{mode}' is unknown, expected one of {', '.join(get_args(Mode))}")
    return YAWS_DEG[mode]


def turned(T_world_camera: ArrayLike, yaw_deg: float, orbit_radius_m: float = ORBIT_RADIUS_M) -> Matrix:
    """The pose [4, 4] turned by ``yaw_deg`` to the RIGHT, on a circle whose centre is a radius before the camera.

    Positive angles turn by the right-hand rule about the camera's y axis, which points down: its z axis, forward,
    goes towards x, right. The camera looks at the centre of the circle from any place on it.

    Args:
        T_world_camera: [4, 4], maps camera points to the world.
        yaw_deg: to the right, degrees.
        orbit_radius_m: of the circle; 0 turns on the spot.

    Raises:
        InputError: no rigid transform, or numbers that are not finite.
    """
    if not (math.isfinite(yaw_deg) and math.isfinite(orbit_radius_m) and orbit_radius_m >= 0):
        raise InputError(f"turn of {yaw_deg} degrees on {orbit_radius_m} m, expected finite numbers, radius at least 0")
    sine, cosine = math.sin(math.radians(yaw_deg)), math.cos(math.radians(yaw_deg))
    turn = np.eye(4)
    turn[:3, :3] = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    center = np.array([0, 0, orbit_radius_m])
    turn[:3, 3] = center - turn[:3, :3] @ center
    return checked_pose(T_world_camera, "T_world_camera") @ turn


def path_poses(T_world_first: ArrayLike, mode: str, orbit_radius_m: float = ORBIT_RADIUS_M) -> list[Matrix]:
    """Poses [4, 4] of a path in its order, the first one the given pose itself.

    Raises:
        InputError: an unknown mode, no rigid transform, or a radius below 0.
    """
    return [turned(T_world_first, yaw_deg, orbit_radius_m) for yaw_deg in yaws_deg(mode)]


def support_poses(
    T_world_camera: ArrayLike, points: ArrayLike, angle_deg: float = SUPPORT_ANGLE_DEG
) -> list[NDArray[np.float64]]:
    """Eight poses around a view that look at the mean of its points from its mean depth.

    Azimuth and elevation are -angle, 0 and +angle, without the pair 0, 0, counted from the line between the camera
    and the mean; the camera's own down stays down.

    Args:
        T_world_camera: pose [4, 4] of the view.
        points: [..., 3] of the view's surface in the world, metres; what is not finite is left out.
        angle_deg: of a step aside.

    Raises:
        InputError: no finite point, or a mean that is not before the camera.
    """
    pose = checked_pose(T_world_camera, "T_world_camera")
    points_ = np.asarray(points, np.float64).reshape(-1, 3)
    points_ = points_[np.isfinite(points_).all(axis=1)]
    if not len(points_):
        raise InputError("no point is finite, expected some to look at")
    center = transform_points(inverse(pose), points_.mean(axis=0))
    distance_m = float(center[2])  # the mean of the points' planar depths
    if distance_m <= 0:
        raise InputError(f"the mean of the points is at a depth of {distance_m:g} m, expected it before the camera")
    towards = center / np.linalg.norm(center)
    azimuth, elevation = math.atan2(towards[0], towards[2]), -math.asin(towards[1])
    step = math.radians(angle_deg)
    poses = []
    for up, aside in ((u, a) for u in (-1, 0, 1) for a in (-1, 0, 1) if (u, a) != (0, 0)):
        line = _direction(azimuth + aside * step, elevation + up * step)
        poses.append(pose @ look_at(center - distance_m * line, center, up=(0.0, -1.0, 0.0)))
    return poses


def circle_poses(T_world_first: ArrayLike, target_m: float, radius_m: float, frames: int) -> list[Matrix]:
    """Poses on a circle across the line of sight of a camera, all looking at one point before it, for moving pictures.

    Args:
        T_world_first: [4, 4], the camera in the middle of the circle.
        target_m: depth of the point.
        radius_m: of the circle.
        frames: how many, at equal angles, from the right by below.

    Raises:
        InputError: numbers that are not positive.
    """
    if frames < 1 or not (target_m > 0 and radius_m > 0):
        raise InputError(f"{frames} frames, {radius_m} m about a point at {target_m} m, expected positive numbers")
    pose = checked_pose(T_world_first, "T_world_first")
    angles = 2 * np.pi * np.arange(frames) / frames
    eyes = radius_m * np.stack([np.cos(angles), np.sin(angles), np.zeros(frames)], axis=1)
    return [pose @ look_at(eye, (0.0, 0.0, target_m), up=(0.0, -1.0, 0.0)) for eye in eyes]


def _direction(azimuth: float, elevation: float) -> NDArray[np.float64]:
    """Unit vector [3] in the camera's frame; azimuth to the right, elevation up, radians."""
    flat = math.cos(elevation)
    return np.array([flat * math.sin(azimuth), -math.sin(elevation), flat * math.cos(azimuth)])
