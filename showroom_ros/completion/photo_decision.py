"""Which photo of a room to extend, and to which side.

``showroom_decision`` has the rules of ShowRoom for three photos, as facts of what that program does: they know
the photos' layouts and poses but nothing of the surface. ``missing_side`` asks the surface: each camera is turned to
either side, and the view that shows most of what is missing is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.completion.layout import WallAreas
from showroom_ros.errors import InputError
from showroom_ros.geometry.se3 import Matrix, checked_pose, turned_about

SAME_DEG = 70.0
"""The third photo looks the same way as a front view up to this angle."""
PARALLEL_DEG = 45.0
"""Two front views that differ by at most this, or this from looking at each other, show walls that are parallel."""
SAME_WAY = 0.8
"""Cosine between two directions from above which on they are the same."""
_ON_ONE_PLANE = 1e-9
"""Lines of sight whose twist is less count as coplanar: what is left is rounding."""


class Side(IntEnum):
    """To which side a photo is extended; the numbers are the keys of ShowRoom's result."""

    LEFT = 0
    RIGHT = 1
    NOTHING = 2

    @property
    def opposite(self) -> Side:
        """Left of right and right of left."""
        return {Side.LEFT: Side.RIGHT, Side.RIGHT: Side.LEFT}.get(self, Side.NOTHING)


@dataclass(frozen=True)
class Decision:
    """What to extend.

    Attributes:
        photo: its index; None where nothing is to be extended.
        side: to which side; NOTHING exactly where ``photo`` is None.
        hole_share: of the pixels of the view turned to that side, that show nothing known; NaN where nobody looked.
    """

    photo: int | None
    side: Side
    hole_share: float = float("nan")


NOTHING = Decision(None, Side.NOTHING)


def showroom_decision(poses: ArrayLike, fronts: ArrayLike, areas: list[WallAreas]) -> Decision:
    """ShowRoom's rules for exactly three photos.

    ====== ===================================================== ==============================================
    fronts condition                                             result
    ====== ===================================================== ==============================================
    0, 3                                                         nothing
    1      the two others look the same way (cosine over 0.8)    the front f, opposite to side(f, first other)
    1      else                                                  nothing
    2      only one of the fronts within 70 deg of the other     the front z that is not, side(z, other)
           photo n
    2      else: fronts within 45 deg, or 135 deg and more       the first, right
    2      else, side(z1, z2) right                              z1 left if its left wall is larger than the right
                                                                 wall of z2, else z2 right
    2      else, side(z1, z2) left                               z1 right if its right wall is larger than the left
                                                                 wall of z2, else z2 left
    ====== ===================================================== ==============================================

    ShowRoom turns all poses by one constant rotation, taken from the camera of its viewer, before it compares them.
    One rotation of the whole world changes neither the angles between directions nor the sign of ``side``, a triple
    product: so it is left out, and any world frame and any scale give the same result.

    Args:
        poses: [3, 4, 4], ``T_world_camera``, OpenCV axes.
        fronts: bool [3], whether each is a front view (``layout.is_front_view``).
        areas: of the side walls of each (``layout.wall_areas``).

    Raises:
        InputError: other shapes, or poses that are no rigid transforms.
    """
    cameras = _checked(poses)
    is_front = np.asarray(fronts)
    if len(cameras) != 3 or is_front.shape != (3,) or is_front.dtype != np.bool_ or len(areas) != 3:
        raise InputError(
            f"poses are {cameras.shape}, fronts {is_front.dtype} {is_front.shape}, wall areas of {len(areas)} photos, "
            f"expected (3, 4, 4), bool (3,) and 3"
        )
    front, other = np.flatnonzero(is_front).tolist(), np.flatnonzero(~is_front).tolist()
    if len(front) == 1:
        return _one_front(cameras, front[0], other[0], other[1])
    if len(front) == 2:
        return _two_fronts(cameras, areas, front[0], front[1], other[0])
    return NOTHING


def side(first: Matrix, second: Matrix) -> Side:
    """RIGHT where (d1 x d2) . (p2 - p1) is positive, else LEFT; d are directions of view and p positions.

    This is ShowRoom's rule and says how the two lines of sight are twisted: two level cameras of one height are
    coplanar and always LEFT. ``missing_side`` does not use it.
    """
    twist = np.cross(first[:3, 2], second[:3, 2]) @ (second[:3, 3] - first[:3, 3])
    apart = float(np.linalg.norm(second[:3, 3] - first[:3, 3]))
    return Side.RIGHT if twist > _ON_ONE_PLANE * apart else Side.LEFT


def _one_front(cameras: NDArray[np.float64], front: int, other: int, another: int) -> Decision:
    if float(cameras[other, :3, 2] @ cameras[another, :3, 2]) > SAME_WAY:
        return Decision(front, side(cameras[front], cameras[other]).opposite)
    return NOTHING


def _two_fronts(cameras: NDArray[np.float64], areas: list[WallAreas], first: int, second: int, other: int) -> Decision:
    a1, a2 = (_angle_deg(cameras[z], cameras[other]) for z in (first, second))
    if a1 <= SAME_DEG < a2:
        return Decision(second, side(cameras[second], cameras[other]))
    if a2 <= SAME_DEG < a1:
        return Decision(first, side(cameras[first], cameras[other]))
    between = _angle_deg(cameras[first], cameras[second])
    if between <= PARALLEL_DEG or between >= 180 - PARALLEL_DEG:
        return Decision(first, Side.RIGHT)
    if side(cameras[first], cameras[second]) is Side.RIGHT:
        larger = areas[first].left > areas[second].right
        return Decision(first, Side.LEFT) if larger else Decision(second, Side.RIGHT)
    larger = areas[first].right > areas[second].left
    return Decision(first, Side.RIGHT) if larger else Decision(second, Side.LEFT)


def missing_side(
    poses: ArrayLike,
    up: ArrayLike,
    known_share: Callable[[Matrix], float],
    *,
    turn_deg: float = 30.0,
    min_overlap: float = 0.3,
    min_holes: float = 0.25,
) -> Decision:
    """The photo and the side whose turned view shows most of what is missing, beside enough of what is known.

    Args:
        poses: [N, 4, 4], ``T_world_camera`` of the photos, OpenCV axes.
        up: [3], the world's upward axis, of any length.
        known_share: part in 0..1 of the pixels at a pose [4, 4] that show known surface, e.g.
            ``lambda pose: partial_view_of_mesh(mesh, camera, pose).known_share``.
        turn_deg: of each camera about ``up`` through its own centre, to the left and to the right.
        min_overlap: the known part of a turned view, at least.
        min_holes: the missing part, at least; where no view has so much there is nothing to extend. By default half of
            what a turn of 30 degrees brings into a view 60 degrees wide: gaps of surface seen grazing or behind
            furniture stay below.

    Raises:
        InputError: shapes that do not fit, no upward axis, numbers out of range, or a share outside 0..1.
    """
    cameras, axis = _checked(poses), np.asarray(up, np.float64)
    if axis.shape != (3,) or not np.isfinite(axis).all() or not np.linalg.norm(axis) > 0:
        raise InputError(f"up is {axis.tolist()}, expected 3 finite numbers, not all 0")
    if not (0 < turn_deg < 180 and 0 <= min_overlap <= 1 and 0 <= min_holes <= 1):
        raise InputError(
            f"turn_deg is {turn_deg}, min_overlap {min_overlap}, min_holes {min_holes}, expected a turn in (0, 180) "
            f"and shares in 0..1"
        )
    best = NOTHING
    for photo, camera in enumerate(cameras):
        for way, angle_deg in ((Side.LEFT, turn_deg), (Side.RIGHT, -turn_deg)):
            share = float(known_share(turned_about(camera, axis, angle_deg)))
            if not 0 <= share <= 1:
                raise InputError(f"the known share of photo {photo} turned {way.name} is {share}, expected 0 to 1")
            fits = share >= min_overlap and 1 - share >= min_holes
            if fits and (best.photo is None or 1 - share > best.hole_share):
                best = Decision(photo, way, 1 - share)
    return best


def _angle_deg(first: Matrix, second: Matrix) -> float:
    """Between two directions of view."""
    a, b = first[:3, 2], second[:3, 2]
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def _checked(poses: ArrayLike) -> NDArray[np.float64]:
    cameras = np.asarray(poses, np.float64)
    if cameras.ndim != 3 or cameras.shape[1:] != (4, 4) or not len(cameras):
        raise InputError(f"poses are {cameras.shape}, expected (N, 4, 4) with one photo or more")
    return np.stack([checked_pose(pose, f"pose of photo {number}") for number, pose in enumerate(cameras)])
