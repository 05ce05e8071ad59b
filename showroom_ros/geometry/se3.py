"""Rigid transforms as float64 [4, 4] matrices and unit quaternions in ``wxyz`` order.

Quaternions are ``wxyz`` inside this package. ROS messages, TUM files and SciPy use ``xyzw``: the two
functions ``quat_wxyz_from_xyzw`` and ``quat_xyzw_from_wxyz`` are the only places that convert.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.errors import InputError

Matrix = NDArray[np.float64]

_ROTATION_TOLERANCE = 1e-2
"""Largest ``|R R^T - I|`` accepted as a rotation; 7-Scenes poses are off by 4e-4."""


def quat_wxyz_from_xyzw(quat_xyzw: ArrayLike) -> Matrix:
    """Reorders [..., 4] from ``xyzw`` (ROS, TUM, SciPy) to ``wxyz``."""
    return np.roll(np.asarray(quat_xyzw, np.float64), 1, axis=-1)


def quat_xyzw_from_wxyz(quat_wxyz: ArrayLike) -> Matrix:
    """Reorders [..., 4] from ``wxyz`` to ``xyzw`` (ROS, TUM, SciPy)."""
    return np.roll(np.asarray(quat_wxyz, np.float64), -1, axis=-1)


def rotation_from_quat(quat_wxyz: ArrayLike) -> Matrix:
    """Rotation matrix [3, 3] of a unit quaternion [4] in ``wxyz`` order.

    Raises:
        InputError: not finite, or its norm is off 1 by more than 1 %.
    """
    quat = np.asarray(quat_wxyz, np.float64)
    if quat.shape != (4,):
        raise InputError(f"quaternion has shape {quat.shape}, expected (4,)")
    norm = float(np.linalg.norm(quat))
    if not np.isfinite(norm) or abs(norm - 1.0) > 1e-2:
        raise InputError(f"quaternion {quat.tolist()} has norm {norm:.6g}, expected 1")
    w, x, y, z = quat / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def quat_from_rotation(rotation: ArrayLike) -> Matrix:
    """Unit quaternion [4] ``wxyz`` with ``w >= 0`` of a rotation matrix [3, 3] (Shepperd, 1978)."""
    r = np.asarray(rotation, np.float64)
    trace = r[0, 0] + r[1, 1] + r[2, 2]
    biggest = int(np.argmax([trace, r[0, 0], r[1, 1], r[2, 2]]))
    if biggest == 0:
        quat = np.array([1 + trace, r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    elif biggest == 1:
        quat = np.array([r[2, 1] - r[1, 2], 1 + 2 * r[0, 0] - trace, r[0, 1] + r[1, 0], r[0, 2] + r[2, 0]])
    elif biggest == 2:
        quat = np.array([r[0, 2] - r[2, 0], r[0, 1] + r[1, 0], 1 + 2 * r[1, 1] - trace, r[1, 2] + r[2, 1]])
    else:
        quat = np.array([r[1, 0] - r[0, 1], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], 1 + 2 * r[2, 2] - trace])
    quat /= np.linalg.norm(quat)
    return quat if quat[0] >= 0 else -quat


def pose_from(translation: ArrayLike, quat_wxyz: ArrayLike = (1.0, 0.0, 0.0, 0.0)) -> Matrix:
    """Transform [4, 4] from a translation [3] in metres and a unit quaternion [4] ``wxyz``."""
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_quat(quat_wxyz)
    pose[:3, 3] = translation
    if not np.isfinite(pose).all():
        raise InputError(f"translation {np.asarray(translation).tolist()} is not finite")
    return pose


def checked_pose(pose: ArrayLike, name: str = "pose") -> Matrix:
    """Returns ``pose`` [4, 4] as float64 with its rotation made exactly orthonormal.

    Raises:
        InputError: wrong shape, not finite, last row not 0 0 0 1, or not a right-handed rotation
            within 1 %. The message starts with ``name``.
    """
    matrix = np.array(pose, np.float64)
    if matrix.shape != (4, 4):
        raise InputError(f"{name} has shape {matrix.shape}, expected (4, 4)")
    if not np.isfinite(matrix).all():
        raise InputError(f"{name} is not finite: {matrix.tolist()}")
    if np.abs(matrix[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise InputError(f"{name} has last row {matrix[3].tolist()}, expected 0 0 0 1")
    rotation = matrix[:3, :3]
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if error > _ROTATION_TOLERANCE or np.linalg.det(rotation) <= 0:
        raise InputError(
            f"{name} is no rigid transform: R R^T is off the identity by {error:.3g} "
            f"(at most {_ROTATION_TOLERANCE:g}), det R = {np.linalg.det(rotation):.3g} (expected 1)"
        )
    u, _, vt = np.linalg.svd(rotation)
    matrix[:3, :3] = u @ vt
    matrix[3] = (0, 0, 0, 1)
    return matrix


def inverse(pose: ArrayLike) -> Matrix:
    """``T_b_a`` of ``T_a_b`` [4, 4]."""
    matrix = np.asarray(pose, np.float64)
    result = np.eye(4)
    result[:3, :3] = matrix[:3, :3].T
    result[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return result


def transform_points(pose: ArrayLike, points: ArrayLike) -> Matrix:
    """Applies ``T_a_b`` [4, 4] to points [..., 3] of frame b."""
    matrix = np.asarray(pose, np.float64)
    return np.asarray(points, np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def slerp(quat0: ArrayLike, quat1: ArrayLike, fraction: float) -> Matrix:
    """Shortest-arc spherical interpolation between unit quaternions [4] (Shoemake, 1985)."""
    q0, q1 = np.asarray(quat0, np.float64), np.asarray(quat1, np.float64)
    cosine = float(q0 @ q1)
    if cosine < 0:
        q1, cosine = -q1, -cosine
    if cosine > 1 - 1e-9:
        quat = q0 + fraction * (q1 - q0)
    else:
        angle = np.arccos(cosine)
        quat = (np.sin((1 - fraction) * angle) * q0 + np.sin(fraction * angle) * q1) / np.sin(angle)
    return quat / np.linalg.norm(quat)


def interpolate(pose0: ArrayLike, pose1: ArrayLike, fraction: float) -> Matrix:
    """Pose between two poses: linear translation, slerp rotation; ``fraction`` 0 gives ``pose0``."""
    p0, p1 = np.asarray(pose0, np.float64), np.asarray(pose1, np.float64)
    quat = slerp(quat_from_rotation(p0[:3, :3]), quat_from_rotation(p1[:3, :3]), fraction)
    return pose_from((1 - fraction) * p0[:3, 3] + fraction * p1[:3, 3], quat)


def rotation_angle_deg(pose0: ArrayLike, pose1: ArrayLike) -> float:
    """Angle in degrees between the rotations of two poses [4, 4]."""
    r0, r1 = np.asarray(pose0)[:3, :3], np.asarray(pose1)[:3, :3]
    # atan2 of sine and cosine: arccos alone loses small angles to rounding
    relative = r0.T @ r1
    sine = np.linalg.norm(
        [relative[2, 1] - relative[1, 2], relative[0, 2] - relative[2, 0], relative[1, 0] - relative[0, 1]]
    )
    return float(np.degrees(np.arctan2(sine, np.trace(relative) - 1)))


def turned_about(pose: Matrix, axis: ArrayLike, angle_deg: float) -> Matrix:
    """A pose [4, 4] turned in place about an axis [3] of the world, by the right-hand rule (Rodrigues).

    A camera turns to the left about an axis that points up.
    """
    x, y, z = np.asarray(axis, np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(angle_deg)
    result = pose.copy()
    result[:3, :3] = (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross) @ pose[:3, :3]
    return result


def look_at(eye: ArrayLike, target: ArrayLike, up: ArrayLike = (0.0, 0.0, 1.0)) -> Matrix:
    """``T_world_camera`` [4, 4] of an optical frame at ``eye`` [3] looking at ``target`` [3].

    ``up`` is the world direction that points up in the image (minus y of the camera).

    Raises:
        InputError: ``eye`` equals ``target``, or the line of sight is parallel to ``up``.
    """
    eye_, target_ = np.asarray(eye, np.float64), np.asarray(target, np.float64)
    forward = target_ - eye_
    distance = float(np.linalg.norm(forward))
    right = np.cross(forward, np.asarray(up, np.float64))
    if distance < 1e-9 or np.linalg.norm(right) < 1e-9 * distance:
        raise InputError(f"cannot look from {eye_.tolist()} at {target_.tolist()}: no direction or parallel to up")
    pose = np.eye(4)
    pose[:3, 2] = forward / distance
    pose[:3, 0] = right / np.linalg.norm(right)
    pose[:3, 1] = np.cross(pose[:3, 2], pose[:3, 0])
    pose[:3, 3] = eye_
    return pose
