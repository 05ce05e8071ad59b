"""Planes of a room that what nobody saw goes on: floor, ceiling and walls.

Depth that a network or a fill gives to a hole says roughly how far its surface is. Most of what is missing of a room
is more of a plane of which another part was seen: depth near such a plane is put onto it. Planes are found by voting
(Hough, 1962) with the area of triangles: horizontal ones for a height, vertical ones for a direction and an offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.pointmap import point_normals
from showroom_ros.geometry.se3 import Matrix, transform_points
from showroom_ros.scene.coverage import packed
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance

LEAST_M2 = 0.4
"""Seen of a plane, at least."""
THICKNESS_M = 0.06
"""Surface within this is one plane: noise of sensors and of poses."""
REACH_M = 2.5
"""A plane goes on so far beyond what was seen of it."""
NEAR = 0.4
"""Difference in the logarithm of depth up to which depth is put onto a plane."""
ALIKE_COS = 0.5
"""Cosine of the angle between the surface of new depth and the plane it is put onto, at least."""
BEYOND_SHARE = 0.01
"""Of the surface may lie beyond a floor or a ceiling, by ``BEYOND_M`` or more: noise, a well of stairs."""
BEYOND_M = 0.1

FARTHEST_M = 2.0
"""From what was seen: beyond it surface is guesswork and is left out."""
SEEN_CELL_M = 0.1

_BINS = 72
_LEVEL_COS, _UPRIGHT_COS = 0.95, 0.2
_REFIT_COS = 0.985
_MOST_SUPPORT = 4000
_LEAST_HIT_M, _MOST_HIT_M = 0.2, 10.0

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane of a room: points x with ``normal @ x == offset_m``, seen from the side of its normal.

    Attributes:
        normal: float64 [3], of length one.
        offset_m: along the normal.
        area_m2: that was seen.
        support: points that were seen of it.
        is_bound: floor or ceiling: no surface lies beyond it anywhere.
    """

    normal: Points
    offset_m: float
    area_m2: float
    support: KDTree
    is_bound: bool = False

    def depth_along(self, rays: Points, origin: Points) -> Points:
        """Where rays [N, 3] from ``origin`` [3] hit its front, in lengths of the ray, [N]; infinite where nowhere."""
        slope = rays @ self.normal
        with np.errstate(divide="ignore"):
            depth = (self.offset_m - origin @ self.normal) / slope
        return np.where((slope < -1e-6) & (depth > 0), depth, np.inf)


@dataclass(frozen=True, eq=False)
class _Patches:
    """Triangles: centres [N, 3], unit normals [N, 3] and areas [N] in square metres."""

    centres: Points
    normals: Points
    areas: Points

    def of(self, chosen: NDArray) -> _Patches:
        return _Patches(self.centres[chosen], self.normals[chosen], self.areas[chosen])


@dataclass(frozen=True, eq=False)
class Structure:
    """What was seen of a room before anything is generated.

    Attributes:
        planes: that it goes on.
        seen: points of its surface; None where there is nothing.
    """

    planes: list[Plane]
    seen: KDTree | None

    @classmethod
    def of_mesh(cls, mesh: Mesh, up: Points, *, on_planes: bool = True) -> Structure:
        """Of a map's mesh; ``up`` as ``planes_of_mesh``; without planes if not ``on_planes``."""
        return cls(planes_of_mesh(mesh, up) if on_planes else [], seen_surface(mesh))

    def fitted(
        self,
        depth: NDArray[np.float32],
        hole: NDArray[np.bool_],
        camera: Camera,
        T_world_camera: Matrix,
        is_free: Callable[[Points], NDArray[np.bool_]],
    ) -> NDArray[np.float32]:
        """``depth_on_planes``, then ``depth_within_reach``."""
        depth = depth_on_planes(depth, hole, camera, T_world_camera, self.planes, is_free)
        return depth_within_reach(depth, hole, camera, T_world_camera, self.seen)


def planes_of_mesh(mesh: Mesh, up: Points) -> list[Plane]:
    """Horizontal and vertical planes of what was measured or predicted of a room.

    Args:
        mesh: of the map, metres.
        up: float64 [3], the world's upward axis, of any length.
    """
    up = up / np.linalg.norm(up)
    patches = _seen_patches(mesh)
    planes = []
    for normal in (up, -up):
        facing = patches.of(patches.normals @ normal > _LEVEL_COS)
        planes += [_plane(part, normal, patches) for part in _levels(facing, normal)]
    return planes + [_plane(*wall, None) for wall in _walls(patches, up)]


def depth_on_planes(
    depth: NDArray[np.float32],
    hole: NDArray[np.bool_],
    camera: Camera,
    T_world_camera: Matrix,
    planes: list[Plane],
    is_free: Callable[[Points], NDArray[np.bool_]],
) -> NDArray[np.float32]:
    """Depth whose new part lies on planes of the room where one is near.

    First nothing is left beyond a floor or a ceiling. Then each new pixel goes to the plane nearest in depth, if its
    depth differs by a factor of ``exp(NEAR)`` at most, its surface is turned to the plane by 60 degrees at most, the
    plane was seen within ``REACH_M`` of the place, and the place was not seen to be free.

    Args:
        depth: float32 [H, W], metres.
        hole: bool [H, W], pixels that may change.
        camera: of the view, undistorted.
        T_world_camera: float64 [4, 4].
        planes: of the room.
        is_free: which points [..., 3] lie in space that was seen to be free; asked once.
    """
    row, column = np.nonzero(hole & np.isfinite(depth) & (depth > 0))
    if not planes or not len(row):
        return depth
    local = np.column_stack([(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, np.ones(len(row))])
    rays, origin = local @ T_world_camera[:3, :3].T, T_world_camera[:3, 3]
    hits = np.stack([plane.depth_along(rays, origin) for plane in planes])
    bounds = [hit for hit, plane in zip(hits, planes, strict=True) if plane.is_bound]
    metres = np.minimum.reduce([depth[row, column].astype(np.float64), *bounds])
    hits[(hits < _LEAST_HIT_M) | (hits > _MOST_HIT_M)] = np.inf
    apart = np.abs(np.log(hits / metres))
    result = depth.copy()
    result[row, column] = metres
    facing = point_normals(camera.back_project(result))[row, column] @ T_world_camera[:3, :3].T
    turned = np.stack([facing @ plane.normal for plane in planes])
    apart[~(turned >= ALIKE_COS)] = np.inf
    number, pixel = np.nonzero(apart <= NEAR)
    places = origin + rays[pixel] * hits[number, pixel, None]
    usable = np.zeros(len(places), np.bool_)
    for index, plane in enumerate(planes):
        own = number == index
        usable[own] = np.isfinite(plane.support.query(places[own], distance_upper_bound=REACH_M)[0])
    usable[usable] = ~is_free(places[usable])
    apart[number[~usable], pixel[~usable]] = np.inf
    best = np.argmin(apart, 0)
    every = np.arange(len(row))
    result[row, column] = np.where(apart[best, every] <= NEAR, hits[best, every], metres)
    return result


def seen_surface(mesh: Mesh) -> KDTree | None:
    """Points of what was measured or predicted, one per ``SEEN_CELL_M``; None where there is nothing."""
    points = mesh.vertices[_is_seen(mesh)]
    if not len(points):
        return None
    cells = np.floor(points / SEEN_CELL_M).astype(np.int64)
    return KDTree(points[np.unique(packed(cells), return_index=True)[1]])


def depth_within_reach(
    depth: NDArray[np.float32], hole: NDArray[np.bool_], camera: Camera, T_world_camera: Matrix, seen: KDTree | None
) -> NDArray[np.float32]:
    """Depth [H, W], NaN at pixels of the hole whose surface is farther than ``FARTHEST_M`` from all that was seen."""
    if seen is None:
        return depth
    rows, columns = np.nonzero(hole & np.isfinite(depth))
    places = transform_points(T_world_camera, camera.back_project(depth)[rows, columns])
    far = np.isinf(seen.query(places, distance_upper_bound=FARTHEST_M)[0])
    result = depth.copy()
    result[rows[far], columns[far]] = np.nan
    return result


def _is_seen(mesh: Mesh) -> NDArray[np.bool_]:
    return np.asarray((mesh.provenance == Provenance.MEASURED) | (mesh.provenance == Provenance.PREDICTED))


def _seen_patches(mesh: Mesh) -> _Patches:
    corners = mesh.vertices[mesh.triangles[_is_seen(mesh)[mesh.triangles].all(1)]].astype(np.float64)
    crossed = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    doubled = np.linalg.norm(crossed, axis=1)
    kept = doubled > 1e-9
    return _Patches(corners[kept].mean(1), crossed[kept] / doubled[kept, None], doubled[kept] / 2)


def _levels(patches: _Patches, normal: Points) -> Iterator[_Patches]:
    """Patches that face along ``normal``, by their place along it; the largest area first."""
    while len(patches.areas):
        low, area = _fullest(patches.centres @ normal, patches.areas)
        if area < LEAST_M2:
            return
        along = patches.centres @ normal - low
        part = patches.of((along >= 0) & (along <= THICKNESS_M))
        yield part
        middle = np.average(part.centres @ normal, weights=part.areas)
        patches = patches.of(np.abs(patches.centres @ normal - middle) > THICKNESS_M)


def _walls(patches: _Patches, up: Points) -> Iterator[tuple[_Patches, Points]]:
    """Upright patches of one plane each, with its normal; about the largest area first."""
    patches = patches.of(np.abs(patches.normals @ up) < _UPRIGHT_COS)
    across = np.cross(up, (1.0, 0.0, 0.0) if abs(up[0]) < 0.9 else (0.0, 1.0, 0.0))
    across /= np.linalg.norm(across)
    axes = np.stack([across, np.cross(up, across)])
    while len(patches.areas):
        found = _largest_wall(patches, axes)
        if found is None:
            return
        part, normal = found
        yield part, normal
        along, middle = patches.centres @ normal, np.average(part.centres @ normal, weights=part.areas)
        patches = patches.of((np.abs(along - middle) > THICKNESS_M) | (patches.normals @ normal < 0.9))


def _largest_wall(patches: _Patches, axes: Points) -> tuple[_Patches, Points] | None:
    """Of the directions with most area, the one with the fullest offset; None where that is not enough."""
    level = patches.normals @ axes.T
    bins = np.floor((np.arctan2(level[:, 1], level[:, 0]) / (2 * np.pi) + 0.5) * _BINS).astype(np.int64) % _BINS
    histogram = np.bincount(bins, patches.areas, minlength=_BINS)
    pairs = histogram + np.roll(histogram, -1)
    best: tuple[float, _Patches, Points] | None = None
    for first in np.argsort(-pairs, kind="stable")[:8]:
        if pairs[first] < max(LEAST_M2, best[0] if best else 0.0):
            break
        facing = patches.of((bins == first) | (bins == (first + 1) % _BINS))
        normal = np.average(facing.normals @ axes.T, axis=0, weights=facing.areas) @ axes
        normal /= np.linalg.norm(normal)
        low, area = _fullest(facing.centres @ normal, facing.areas)
        if area >= LEAST_M2 and (best is None or area > best[0]):
            along = facing.centres @ normal - low
            best = area, facing.of((along >= 0) & (along <= THICKNESS_M)), normal
    if best is None:
        return None
    _, part, normal = best
    return part, _refitted(part, normal, axes)


def _refitted(part: _Patches, normal: Points, axes: Points) -> Points:
    """The normal of the line that fits the patches best seen from above, unless it is quite another."""
    flat = part.centres @ axes.T
    apart = flat - np.average(flat, axis=0, weights=part.areas)
    fitted = np.linalg.eigh((apart * part.areas[:, None]).T @ apart)[1][:, 0] @ axes
    fitted = fitted if fitted @ normal > 0 else -fitted
    return fitted if fitted @ normal > _REFIT_COS else normal


def _fullest(along: Points, areas: Points) -> tuple[float, float]:
    """Where the stretch of ``THICKNESS_M`` with most area begins, and that area."""
    half = THICKNESS_M / 2
    low = float(along.min())
    histogram = np.bincount(np.floor((along - low) / half).astype(np.int64), areas)
    sums = histogram + np.append(histogram[1:], 0.0)
    first = int(np.argmax(sums))
    return low + first * half, float(sums[first])


def _plane(part: _Patches, normal: Points, patches: _Patches | None) -> Plane:
    """The plane of ``part``; it bounds the room where hardly any of ``patches`` lies beyond it."""
    offset_m = float(np.average(part.centres @ normal, weights=part.areas))
    support = KDTree(part.centres[:: max(1, len(part.centres) // _MOST_SUPPORT)])
    is_bound = False
    if patches is not None:
        beyond = patches.centres @ normal < offset_m - BEYOND_M
        is_bound = bool(patches.areas[beyond].sum() <= BEYOND_SHARE * patches.areas.sum())
    return Plane(normal, offset_m, float(part.areas.sum()), support, is_bound)
