"""Sets of photos of a room: with controlled overlap, around an object, turning in place, pairs with a baseline.

All are poses ``T_world_camera`` that keep clear of walls and furniture; ``SyntheticSequence(trajectory=...)``
makes a sequence of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from showroom_ros.datasets.synthetic.overlap import overlaps
from showroom_ros.datasets.synthetic.path import rotation_of
from showroom_ros.datasets.synthetic.renderer import Renderer
from showroom_ros.datasets.synthetic.rendering import Rendering
from showroom_ros.datasets.synthetic.room import Room
from showroom_ros.datasets.synthetic.walkable import WalkableSpace
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import Matrix, look_at

Array = NDArray[np.float64]

YAWS_STAGE_DEG = (0.0, 25.0, -25.0)
YAWS_CIRCLE_DEG = (*(25.0 * i for i in range(11)), 272.5, 316.25)
"""13 views once around; the last two share the gap that is left, so that the closing view sees both ends."""

_CLEARANCE_M = 0.3
_JUDGED_PX = 48
"""Width of the images in which overlap is judged."""
_PROPOSALS = 24
_ROUNDS = 8
_STARTS = 5
_NEAREST_MEDIAN_M = 0.7
"""A photo of which more than half is nearer shows a wall and nothing else."""


@dataclass(frozen=True)
class Stance:
    """How photos are taken.

    Attributes:
        height_m: lowest and highest camera above the floor.
        pitch_deg: lowest and highest look, upwards.
        roll_deg: deviation of the horizon.
        step_m: deviation of the distance between a photo and the next.
        turn_deg: deviation of the turn between a photo and the next.
    """

    height_m: tuple[float, float] = (1.3, 1.65)
    pitch_deg: tuple[float, float] = (-22.0, 4.0)
    roll_deg: float = 1.0
    step_m: float = 0.7
    turn_deg: float = 32.0


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Photos that hang together.

    Attributes:
        poses: float64 [N, 4, 4], ``T_world_camera``.
        parents: int64 [N], the earlier photo each was taken to overlap with; -1 for the first.
        overlaps: float64 [N], with that photo (``overlap.overlaps``); NaN for the first.
    """

    poses: Array
    parents: NDArray[np.int64]
    overlaps: Array


def photo_set(
    renderer: Renderer,
    camera: Camera,
    count: int,
    overlap: tuple[float, float] = (0.3, 0.6),
    seed: int = 0,
    *,
    chain: bool = False,
    stance: Stance | None = None,
) -> PhotoSet:
    """``count`` photos of which each overlaps an earlier one between ``low`` and ``high``, and none by more.

    Photos are proposed around an earlier one (any, or the last one for a ``chain``) until one fits.

    Args:
        renderer: of the room.
        camera: undistorted; overlap is judged in a smaller image of it.
        count: number of photos.
        overlap: low and high, in (0, 1).
        seed: the same seed gives the same photos.
        chain: each photo overlaps the one before it.
        stance: how photos are taken.

    Raises:
        InputError: bad arguments, or the room offers no such photos.
    """
    low, high = overlap
    if count < 1 or not 0 < low < high < 1:
        raise InputError(f"count is {count}, overlap {overlap}, expected 1 or more and 0 < low < high < 1")
    taker = _Taker(renderer, camera, stance or Stance(), np.random.default_rng([seed, 11]))
    for _ in range(_STARTS):  # a start in a corner may lead nowhere
        found = _grown(taker, count, low, high, chain)
        if found is not None:
            return found
    raise InputError(
        f"room {renderer.room.seed} offers no {count} photos with overlaps of {low:g} to {high:g}: "
        f"make the range wider or the photos fewer"
    )


def baseline_pairs(
    renderer: Renderer,
    camera: Camera,
    count: int,
    baseline_m: tuple[float, float] = (0.1, 1.0),
    overlap: tuple[float, float] = (0.3, 0.9),
    seed: int = 0,
    *,
    stance: Stance | None = None,
) -> Array:
    """Poses [count, 2, 4, 4] of pairs whose centres are ``baseline_m`` apart and whose overlap is in the range.

    Raises:
        InputError: bad arguments, or the room offers no such pairs.
    """
    low, high = baseline_m
    if not 0 < low < high:
        raise InputError(f"baseline_m is {baseline_m}, expected 0 < low < high")
    wide = replace(stance or Stance(), step_m=(low + high) / 2)
    rng = np.random.default_rng([seed, 12])
    pairs: list[Array] = []
    for _ in range(_ROUNDS * count):
        pair = photo_set(renderer, camera, 2, overlap, int(rng.integers(2**31)), stance=wide).poses
        if low <= np.linalg.norm(pair[0, :3, 3] - pair[1, :3, 3]) <= high:
            pairs.append(pair)
            if len(pairs) == count:
                return np.stack(pairs)
    raise InputError(
        f"room {renderer.room.seed} offers no {count} pairs {low:g} to {high:g} m apart, found {len(pairs)}"
    )


def orbit_set(
    room: Room,
    target: ArrayLike,
    radius_m: float,
    count: int,
    height_m: float = 1.4,
    *,
    span_deg: tuple[float, float] = (0.0, 360.0),
) -> Array:
    """Poses [N, 4, 4] looking at a point [3] from around it, up to ``count`` at even angles about z.

    A place in a wall or in furniture is moved along its ray up to 40 %; where none is free it is left out.

    Raises:
        InputError: bad arguments, or no place around the target is free.
    """
    if not radius_m > 0 or count < 1:
        raise InputError(f"radius_m is {radius_m}, count {count}, expected a positive radius and 1 or more")
    aim = np.asarray(target, np.float64)
    space = WalkableSpace(room.plan, room.furniture, _CLEARANCE_M)
    whole = abs(span_deg[1] - span_deg[0]) >= 360
    angles = np.radians(np.linspace(*span_deg, count, endpoint=not whole))
    scales = 1 + np.array([0, *(sign * step for step in (0.1, 0.2, 0.3, 0.4) for sign in (1, -1))])
    poses = []
    for angle in angles:
        places = aim[:2] + radius_m * scales[:, None] * np.array([np.cos(angle), np.sin(angle)])
        free = places[space.clearance(places) >= _CLEARANCE_M]
        if len(free):
            poses.append(look_at((*free[0], height_m), aim))
    if not poses:
        raise InputError(f"no free place {radius_m:g} m around {aim.tolist()} in room {room.seed}")
    return np.stack(poses)


def rotation_set(
    room: Room,
    yaws_deg: ArrayLike = YAWS_CIRCLE_DEG,
    place: ArrayLike | None = None,
    *,
    heading_deg: float = 0.0,
    pitch_deg: float = 0.0,
    height_m: float = 1.5,
    radius_m: float = 0.0,
) -> Array:
    """Poses [N, 4, 4] turned in place by ``yaws_deg`` (about z, to the left) from a heading.

    Args:
        room: to stand in.
        yaws_deg: e.g. ``YAWS_CIRCLE_DEG`` or ``YAWS_STAGE_DEG``.
        place: where to stand [2]; None = the roomiest place.
        heading_deg: direction of yaw 0, from x.
        pitch_deg: look upwards.
        height_m: of the camera.
        radius_m: the camera is so far before the axis it turns about.

    Raises:
        InputError: no yaw, or the place is not free.
    """
    yaws = np.radians(np.asarray(yaws_deg, np.float64).reshape(-1) + heading_deg)
    if not len(yaws):
        raise InputError("yaws_deg is empty, expected at least one yaw")
    space = WalkableSpace(room.plan, room.furniture, _CLEARANCE_M)
    at = space.spread(1)[0] if place is None else np.asarray(place, np.float64)
    if space.clearance(at) < 0.1 + radius_m:
        raise InputError(
            f"place {at.tolist()} in room {room.seed} is {float(space.clearance(at)):.2f} m from something"
        )
    poses = np.tile(np.eye(4), (len(yaws), 1, 1))
    poses[:, :3, :3] = rotation_of(yaws, np.full(len(yaws), np.radians(pitch_deg)), np.zeros(len(yaws)))
    poses[:, :2, 3] = at + radius_m * np.stack([np.cos(yaws), np.sin(yaws)], -1)
    poses[:, 2, 3] = height_m
    return poses


class _Taker:
    """Proposes photos and sees what is in them."""

    def __init__(self, renderer: Renderer, camera: Camera, stance: Stance, rng: Generator) -> None:
        self.stance, self.rng, self._renderer = stance, rng, renderer
        self._small = camera.of_width(_JUDGED_PX)
        self._space = WalkableSpace(renderer.room.plan, renderer.room.furniture, _CLEARANCE_M)
        self._places = self._space.spread(150)

    def anywhere(self) -> Matrix:
        place = self._places[self.rng.integers(len(self._places))]
        return self._pose(place, self.rng.uniform(0, 2 * np.pi))

    def near(self, pose: Matrix) -> Matrix:
        """A photo of which the step and turn from ``pose`` are drawn."""
        yaw = np.arctan2(pose[1, 2], pose[0, 2]) + np.radians(self.rng.normal(0, self.stance.turn_deg))
        for _ in range(20):
            place = pose[:2, 3] + self.rng.normal(0, self.stance.step_m, 2)
            if self._space.clearance(place) >= _CLEARANCE_M:
                return self._pose(place, yaw)
        return self._pose(pose[:2, 3], yaw)

    def seen(self, poses: list[Matrix]) -> Rendering:
        return self._renderer.render_batch(self._small, np.stack(poses), shaded=False)

    def _pose(self, place: Array, yaw: float) -> Matrix:
        pitch, roll = self.rng.uniform(*self.stance.pitch_deg), self.rng.normal(0, self.stance.roll_deg)
        pose = np.eye(4)
        pose[:3, :3] = rotation_of(np.array(yaw), np.radians(pitch), np.radians(roll))
        pose[:3, 3] = (*place, self.rng.uniform(*self.stance.height_m))
        return pose


def _grown(taker: _Taker, count: int, low: float, high: float, chain: bool) -> PhotoSet | None:
    """A set grown from a random start; None where it cannot grow on."""
    first = taker.seen([taker.anywhere() for _ in range(8)])
    start = np.flatnonzero(_shows_something(first))
    if not len(start):
        return None
    taken = [first.view(int(start[0]))]
    parents, achieved = [-1], [np.nan]
    tried = 0
    while len(taken) < count:
        if tried == _ROUNDS:
            return None
        parent = len(taken) - 1 if chain else int(taker.rng.integers(len(taken)))
        proposed = taker.seen([taker.near(taken[parent].T_world_camera) for _ in range(_PROPOSALS)])
        found = overlaps(proposed, _joined(taken))
        fits = (found[:, parent] >= low) & (found <= high).all(1) & _shows_something(proposed)
        tried += 1
        if fits.any():
            tried = 0
            best = int(np.flatnonzero(fits)[0])
            taken.append(proposed.view(best))
            parents.append(parent)
            achieved.append(float(found[best, parent]))
    return PhotoSet(np.stack([one.T_world_camera for one in taken]), np.array(parents), np.array(achieved))


def _shows_something(views: Rendering) -> NDArray[np.bool_]:
    depth = views.depth.nan_to_num(0.0).flatten(1)
    return (depth.median(1).values > _NEAREST_MEDIAN_M).cpu().numpy()


def _joined(views: list[Rendering]) -> Rendering:
    depth, triangle = (torch.stack([getattr(one, name) for one in views]) for name in ("depth", "triangle"))
    poses = np.stack([one.T_world_camera for one in views])
    return replace(views[0], depth=depth, triangle=triangle, radiance=None, T_world_camera=poses)
