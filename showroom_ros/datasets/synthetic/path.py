"""Hand-held camera paths that look at everything: view planning, a tour, and a shaky hand.

Candidate views are spread over the free floor; a greedy cover picks those that see most new surface;
a short tour joins them; smoothing and band-limited jitter make a hand out of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from showroom_ros.datasets.synthetic.lighting import OccupancyGrid
from showroom_ros.datasets.synthetic.room import Room
from showroom_ros.datasets.synthetic.tour import fitting_tour
from showroom_ros.datasets.synthetic.walkable import WalkableSpace
from showroom_ros.errors import InputError

Array = NDArray[np.float64]

RATE_HZ = 30.0

_SECONDS = 25.0
_TOUR_VIEWS = 40
_FREE_FLOOR_M2 = 12.0
"""What one room has of free floor, and how long and by how many views it is recorded."""


@dataclass(frozen=True)
class PathSettings:
    """How the camera is carried.

    Attributes:
        duration_s: length of the recording; None = long enough for the size of the home and the loops.
        loops: how often the whole way is walked; after each but the last the camera returns to the start.
        speed_m_s: walking speed.
        turn_deg_s: turning speed.
        height_m: of the camera above the floor.
        clearance_m: distance kept from walls and furniture.
        reach_m: surface farther away does not count as seen.
        jitter_m, jitter_deg: deviation of the hand's tremor; 0 = a steady camera.
    """

    duration_s: float | None = None
    loops: int = 1
    speed_m_s: float = 0.6
    turn_deg_s: float = 46.0
    height_m: float = 1.5
    clearance_m: float = 0.32
    reach_m: float = 3.4
    jitter_m: float = 0.004
    jitter_deg: float = 0.25

    def __post_init__(self) -> None:
        """Checks signs."""
        if self.duration_s is not None and not self.duration_s > 0:
            raise InputError(f"path duration_s is {self.duration_s}, expected a positive number or None")
        if self.loops < 1:
            raise InputError(f"path loops is {self.loops}, expected 1 or more")
        for name in ("speed_m_s", "turn_deg_s", "height_m", "clearance_m", "reach_m"):
            if not getattr(self, name) > 0:
                raise InputError(f"path {name} is {getattr(self, name)}, expected a positive number")
        for name in ("jitter_m", "jitter_deg"):
            if not getattr(self, name) >= 0:
                raise InputError(f"path {name} is {getattr(self, name)}, expected 0 or more")


@dataclass(frozen=True, eq=False)
class _Views:
    """Candidate views: place [N] into ``places`` [P, 2], yaw and pitch [N] in radians, surface seen bool [N, S]."""

    places: Array
    place: NDArray[np.int64]
    yaw: Array
    pitch: Array
    sees: NDArray[np.bool_]


def plan_path(room: Room, settings: PathSettings | None = None) -> Array:
    """Poses ``T_world_camera`` float64 [N, 4, 4] of a walk through the room at ``RATE_HZ``.

    The path depends on the room alone; it keeps its distance from everything and starts at rest.
    """
    settings = settings or PathSettings()
    rng = np.random.default_rng([room.seed, 3])
    space = WalkableSpace(room.plan, room.furniture, settings.clearance_m)
    scale = _scale(space)
    duration_s = settings.duration_s or _SECONDS * scale * settings.loops
    views = _candidates(room, space, settings)
    chosen = _greedy_cover(views.sees, round(_TOUR_VIEWS * scale), 0.002 / scale)
    ways = [space.ways_from(place) for place in views.places]
    seconds = _travel_seconds(views, space, ways, settings)
    order = fitting_tour(chosen, seconds, duration_s / settings.loops - 1.0, closed=settings.loops > 1)
    position, yaw, pitch = _walk(order * settings.loops, views, space, ways, seconds, duration_s)
    return _shaken(rng, space, position, yaw, pitch, settings)


def covering_poses(room: Room, count: int, settings: PathSettings | None = None) -> Array:
    """Poses [count, 4, 4] of still views that together see as much of the room as so many can, best first.

    Raises:
        InputError: ``count`` is not positive or more than there are candidates.
    """
    settings = settings or PathSettings()
    views = _candidates(room, WalkableSpace(room.plan, room.furniture, settings.clearance_m), settings)
    if not 1 <= count <= len(views.yaw):
        raise InputError(f"count is {count}, expected 1 to {len(views.yaw)} views")
    chosen = _greedy_cover(views.sees, count, least_gain=0.0, second_look=0.5)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = rotation_of(views.yaw[chosen], views.pitch[chosen], np.zeros(count))
    poses[:, :2, 3], poses[:, 2, 3] = views.places[views.place[chosen]], settings.height_m
    return poses


def _scale(space: WalkableSpace) -> float:
    """How much more there is to walk than in one room, 1 or more; cells of the floor are 10 cm wide."""
    return max(float(len(space.plan.rooms)), float(space.free.sum()) * 0.01 / _FREE_FLOOR_M2)


def _candidates(room: Room, space: WalkableSpace, settings: PathSettings) -> _Views:
    grid = OccupancyGrid(room)
    scale = _scale(space)
    picked = torch.arange(0, len(grid.triangles), max(1, len(grid.triangles) // round(5000 * scale)))
    points, normals = grid.samples[picked, 0], grid.face_normals[picked]
    lifted = points + 0.05 * normals
    places = space.spread(round(26 * scale))
    yaws, pitches = np.radians(np.arange(0, 360, 22.5)), np.radians([22.0, -6.0, -32.0])
    sees, place, yaw_of, pitch_of = [], [], [], []
    for number, (x, y) in enumerate(places):
        eye = torch.tensor([x, y, settings.height_m], dtype=torch.float32)
        offset = eye - lifted
        distance = torch.linalg.norm(offset, dim=1)
        facing = (offset * normals).sum(1) / distance > 0.15
        seen = facing & (distance < settings.reach_m) & grid.visible(lifted, eye.expand_as(lifted), slack_m=0.0)
        direction = (-offset / distance[:, None]).double().numpy()
        for yaw in yaws:
            for pitch in pitches:
                inside = _in_frame(direction, yaw, pitch)
                sees.append(seen.numpy() & inside)
                place.append(number)
                yaw_of.append(yaw)
                pitch_of.append(pitch)
    return _Views(places, np.array(place), np.array(yaw_of), np.array(pitch_of), np.array(sees))


def _in_frame(
    direction: Array, yaw: float, pitch: float, half_width: float = 0.57, half_height: float = 0.43
) -> NDArray[np.bool_]:
    right, down, forward = rotation_of(np.array(yaw), np.array(pitch), np.array(0.0)).T
    z = direction @ forward
    return (z > 0.1) & (np.abs(direction @ right) < half_width * z) & (np.abs(direction @ down) < half_height * z)


def _greedy_cover(sees: NDArray[np.bool_], limit: int, least_gain: float, second_look: float = 0.1) -> list[int]:
    """Views in order of how much new surface each adds; another look at the same counts less and less.

    Ends with ``limit`` views, or where the best adds less than the share ``least_gain`` of the surface.
    """
    weight, seen = np.ones(sees.shape[1], np.float32), sees.astype(np.float32)
    left = np.ones(len(sees), bool)
    chosen: list[int] = []
    while len(chosen) < limit and left.any():
        gain = np.where(left, seen @ weight, -1)
        best = int(np.argmax(gain))
        if gain[best] < least_gain * sees.shape[1]:
            break
        chosen.append(best)
        left[best] = False
        weight[sees[best]] *= second_look
    return chosen


def _travel_seconds(views: _Views, space: WalkableSpace, ways: list, settings: PathSettings) -> Array:
    between = np.array([[space.distance_at(distance, place) for place in views.places] for distance, _ in ways])
    walk = between[np.ix_(views.place, views.place)] / settings.speed_m_s
    turn = np.abs((views.yaw[:, None] - views.yaw + np.pi) % (2 * np.pi) - np.pi)
    tilt = np.abs(views.pitch[:, None] - views.pitch)
    return np.maximum(np.maximum(walk, np.degrees(np.hypot(turn, tilt)) / settings.turn_deg_s), 0.25)


def _walk(
    order: list[int], views: _Views, space: WalkableSpace, ways: list, seconds: Array, duration_s: float
) -> tuple[Array, Array, Array]:
    """Position [N, 2], yaw and pitch [N] before smoothing, ``duration_s`` long, with a rest at both ends."""
    frames = round(duration_s * RATE_HZ)
    legs = np.array([seconds[a, b] for a, b in pairwise(order)])
    stops = 0.5 + np.concatenate([[0], np.cumsum(legs)]) * max(1.0, (duration_s - 1.0) / max(legs.sum(), 1e-9))
    yaw = np.unwrap(views.yaw[order])
    time = np.arange(frames) / RATE_HZ
    leg = np.clip(np.searchsorted(stops, time, side="right") - 1, 0, len(legs) - 1)
    share = np.clip((time - stops[leg]) / (stops[leg + 1] - stops[leg]), 0, 1)
    position = np.empty((frames, 2))
    for number, (a, b) in enumerate(pairwise(order)):
        start, end = views.places[views.place[a]], views.places[views.place[b]]
        way = space.way(ways[views.place[a]][1], start, end)
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1))])
        mine = leg == number
        for axis in range(2):
            position[mine, axis] = np.interp(share[mine] * along[-1], along, way[:, axis])
    pitch = views.pitch[order]
    return position, yaw[leg] + share * (yaw[leg + 1] - yaw[leg]), pitch[leg] + share * (pitch[leg + 1] - pitch[leg])


def _shaken(
    rng: Generator, space: WalkableSpace, position: Array, yaw: Array, pitch: Array, settings: PathSettings
) -> Array:
    frames = len(yaw)
    time = np.arange(frames) / RATE_HZ
    position, yaw, pitch = smoothed(position, 0.35), smoothed(yaw, 0.30), smoothed(pitch, 0.30)
    position = _kept_clear(space, position, settings.clearance_m)
    speed = np.linalg.norm(np.gradient(position, axis=0), axis=1) * RATE_HZ
    gait = smoothed(np.minimum(speed / settings.speed_m_s, 1.0), 0.5)
    sway = np.stack([smoothed(rng.standard_normal(frames), 0.1) for _ in range(6)], -1)
    sway /= np.maximum(sway.std(0), 1e-9)
    heave = smoothed(rng.standard_normal(frames), 1.5)
    height = settings.height_m + 0.06 * heave / max(float(heave.std()), 1e-9)
    height += settings.jitter_m * (2.5 * gait * np.sin(2 * np.pi * 1.8 * time) + sway[:, 2])
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :2, 3] = position + settings.jitter_m * sway[:, :2]
    poses[:, 2, 3] = height
    tremor = np.radians(settings.jitter_deg) * sway[:, 3:]
    poses[:, :3, :3] = rotation_of(yaw + tremor[:, 0], pitch + tremor[:, 1], 3 * tremor[:, 2])
    return poses


def _kept_clear(space: WalkableSpace, position: Array, clearance_m: float) -> Array:
    """Pushes points that smoothing moved too near to something back up the clearance."""
    h = 0.02
    for _ in range(40):
        short = clearance_m - 0.06 - space.clearance(position)
        if (short <= 0).all():
            break
        slope = np.stack(
            [
                space.clearance(position + d) - space.clearance(position - d)
                for d in (np.array([h, 0]), np.array([0, h]))
            ],
            -1,
        )
        slope /= np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-9)
        position = smoothed(position + np.maximum(short, 0)[:, None] * slope, 0.06)
    return position


def smoothed(signal: Array, sigma_s: float) -> Array:
    """A signal [N] or [N, D] at ``RATE_HZ`` under a Gaussian of ``sigma_s`` seconds, its ends held."""
    reach = max(1, round(3 * sigma_s * RATE_HZ))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (sigma_s * RATE_HZ)) ** 2)
    kernel /= kernel.sum()
    columns = np.pad(signal.reshape(len(signal), -1), ((reach, reach), (0, 0)), mode="edge")
    result = np.stack([np.convolve(column, kernel, mode="valid") for column in columns.T], -1)
    return result.reshape(signal.shape)


def rotation_of(yaw: Array, pitch: Array, roll: Array) -> Array:
    """World rotation [..., 3, 3] of an optical frame looking along ``yaw`` (about z, from x), ``pitch`` upwards."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    forward = np.stack([cy * cp, sy * cp, sp], -1)
    level = np.stack([sy, -cy, np.zeros_like(sy)], -1)
    down = np.cross(forward, level)
    right = cr[..., None] * level + sr[..., None] * down
    return np.stack([right, np.cross(forward, right), forward], -1)
