"""Whether poses mean what they are taken for: depth of one frame, moved by the poses, must be the depth of another.

The commonest faults with posed data are poses that map the other way round, camera axes of another convention and
translations in another unit. Each is tried, and the one under which most surface points meet is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import ShowroomError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, rotation_angle_deg, transform_points
from showroom_ros.scene.view import SensorFrame, Sequence

AS_GIVEN = "camera to world, OpenCV axes (x right, y down, z forward)"

_AXES = {
    "OpenCV axes (x right, y down, z forward)": np.eye(3),
    "OpenGL axes (x right, y up, z back)": np.diag([1.0, -1.0, -1.0]),
    "PyTorch3D axes (x left, y up, z forward)": np.diag([-1.0, -1.0, 1.0]),
    "mirrored y axis (x right, y up, z forward)": np.diag([1.0, -1.0, 1.0]),
    "body axes (x forward, y left, z up)": np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
}
"""Rotation (or reflection) that makes our camera axes of each convention's."""

_UNITS = {"": 1.0, ", translation in millimetres": 1e-3}

_ENOUGH_ROTATION_DEG, _TOO_MUCH_ROTATION_DEG = 4.0, 35.0
_ENOUGH_SHIFT = 0.08
"""Share of the depth that a camera must move by, where it does not turn."""

_STEPS = (1, 2, 4, 8, 16, 32)
_POINTS = 1500
_TOLERANCE_M, _TOLERANCE = 0.01, 0.02
_LOWEST_SHARE = 0.2
_SAME_SHARE = 0.03


@dataclass(frozen=True)
class PoseCheck:
    """How well the poses explain the depth.

    Attributes:
        verdict: "plausible" (nothing explains it better), "implausible" (``best`` does) or "undecided" (no pair of
            frames sees the same surface from places that differ).
        best: the convention under which most points meet.
        share_as_given: share of the points that meet with the poses as they are.
        share_best: share of the points that meet under ``best``.
        not_excluded: other conventions that explain it as well (the motion is too simple to tell).
        pairs: pairs of frames that were compared.
    """

    verdict: str
    best: str
    share_as_given: float
    share_best: float
    not_excluded: tuple[str, ...] = field(default=())
    pairs: int = 0


def check_poses(sequence: Sequence, anchors: int = 6) -> PoseCheck | None:
    """Reprojects depth between frames under every convention.

    Args:
        sequence: a recording; frames that cannot be read are passed over.
        anchors: frames, evenly spread, each of which is compared with a later one.

    Returns:
        The verdict, or None where no frame has both depth and pose.
    """
    conventions = list(_conventions())
    met, total, pairs, usable = np.zeros(len(conventions)), 0, 0, False
    starts = sorted({round(place) for place in np.linspace(0, max(0, len(sequence) - 2), anchors)})
    for start in starts:
        first = _posed_depth(sequence, start)
        usable = usable or first is not None
        second = None if first is None else _partner(sequence, start, first)
        if first is None or second is None:
            continue
        counts, points = _meeting_points(first, second, conventions)
        met, total, pairs = met + counts, total + points, pairs + 1
    if not usable:
        return None
    shares = met / max(total, 1)
    best = int(np.argmax(shares))
    if shares[0] >= shares[best] - _SAME_SHARE:
        best = 0
    near = shares > shares[best] - _SAME_SHARE
    same = [name for i, (name, *_) in enumerate(conventions) if i != best and near[i]]
    verdict = "plausible" if best == 0 else "implausible"
    if shares[best] < _LOWEST_SHARE or len(same) > len(conventions) // 2:
        verdict = "undecided"
    return PoseCheck(verdict, conventions[best][0], float(shares[0]), float(shares[best]), tuple(same), pairs)


Convention = tuple[str, bool, float, NDArray[np.float64]]
"""Name, whether poses map world to camera, metres per unit, axes."""


def _conventions() -> Iterator[Convention]:
    """All of them, that of the poses as given first."""
    for unit, metres in _UNITS.items():
        for inverted in (False, True):
            for axes, rotation in _AXES.items():
                direction = "world to camera" if inverted else "camera to world"
                yield f"{direction}, {axes}{unit}", inverted, metres, rotation


def _as_ours(pose: NDArray[np.float64], convention: Convention) -> NDArray[np.float64]:
    """``T_world_camera`` with our axes of a pose that follows ``convention``."""
    _, inverted, metres, axes = convention
    result = np.array(pose, np.float64)
    result[:3, 3] *= metres
    if inverted:
        result = inverse(result)
    result[:3, :3] = result[:3, :3] @ axes
    return result


@dataclass(frozen=True, eq=False)
class _PosedDepth:
    depth: NDArray[np.float32]
    camera: Camera
    pose: NDArray[np.float64]
    T_color_depth: NDArray[np.float64]


def _posed_depth(sequence: Sequence, index: int) -> _PosedDepth | None:
    try:
        frame: SensorFrame = sequence.frame(index)
    except ShowroomError:
        return None
    if frame.depth is None or frame.T_world_camera is None or not np.isfinite(frame.depth).any():
        return None
    offset = np.eye(4) if frame.T_color_depth is None else frame.T_color_depth
    return _PosedDepth(frame.depth, frame.depth_camera or frame.color_camera, frame.T_world_camera, offset)


def _partner(sequence: Sequence, start: int, first: _PosedDepth) -> _PosedDepth | None:
    """The first of some later frames from which the scene looks different, but not too different."""
    for step in _STEPS:
        second = _posed_depth(sequence, start + step) if start + step < len(sequence) else None
        if second is None:
            continue
        angle = rotation_angle_deg(first.pose, second.pose)
        shift = float(np.linalg.norm((inverse(first.pose) @ second.pose)[:3, 3]))
        if angle > _TOO_MUCH_ROTATION_DEG:
            return None
        if angle > _ENOUGH_ROTATION_DEG or shift > _ENOUGH_SHIFT * float(np.nanmedian(first.depth)):
            return second
    return None


def _meeting_points(
    first: _PosedDepth, second: _PosedDepth, conventions: list[Convention]
) -> tuple[NDArray[np.float64], int]:
    """How many points of ``first`` lie on the surface ``second`` measured, per convention; and how many there are."""
    step = max(1, round((first.depth.size / _POINTS) ** 0.5))
    points = first.camera.back_project(first.depth)[step // 2 :: step, step // 2 :: step].reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    counts = []
    for convention in conventions:
        pose_first, pose_second = _as_ours(first.pose, convention), _as_ours(second.pose, convention)
        # a reflection has no inverse by transposition of its rotation alone; the general inverse covers both
        T_second_first = np.linalg.inv(pose_second @ second.T_color_depth) @ pose_first @ first.T_color_depth
        counts.append(_on_surface(transform_points(T_second_first, points), second))
    return np.array(counts, np.float64), len(points)


def _on_surface(points: NDArray[np.float64], frame: _PosedDepth) -> int:
    pixels, z = frame.camera.project(points)
    height, width = frame.depth.shape
    with np.errstate(invalid="ignore"):
        inside = (z > 0) & (pixels > -0.5).all(axis=1) & (pixels[:, 0] < width - 0.5) & (pixels[:, 1] < height - 0.5)
    columns, rows = np.rint(pixels[inside]).astype(int).T
    measured = frame.depth[rows, columns]
    with np.errstate(invalid="ignore"):
        return int((np.abs(measured - z[inside]) < _TOLERANCE_M + _TOLERANCE * z[inside]).sum())
