"""What is known of a view of a scene, and where its holes are, from the scene's points or its mesh.

Points are drawn as discs with the nearest in front; cracks between points of one surface are closed and real holes
stay (Engstler et al., "Invisible Stitch", 3DV 2025): what is known is where a coarser drawing has a point near, eroded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.disc_splat import covered_pixels, radius_px_of_ndc
from showroom_ros.geometry.edges import disc
from showroom_ros.geometry.render import NOTHING, render_mesh
from showroom_ros.geometry.se3 import checked_pose, inverse, transform_points
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance, View

COARSE_RADIUS_NDC = 1e-2
"""Radius of the discs that say what is known; the shorter side of an image is 2."""

LEAST_COARSE_RADIUS_PX = 1.5
"""And at least this: points of neighbouring pixels are up to 1.4 pixels apart once the camera has turned."""

FINE_RADIUS_PX = 0.9
"""Radius of the discs that are seen: below 1, so that from where it comes a point does not reach the next pixel."""

ERODED_PX = 2
"""Discs overlap the holes' rims by about so much."""

SAME_SURFACE = 0.02
"""Points of a pixel within this part of the depth of the nearest are one surface: the most central one wins."""


@dataclass(frozen=True, eq=False)
class PartialView:
    """A view some of whose pixels nothing is known of.

    Attributes:
        view: image (0 where unknown), depth (NaN where unknown), provenance (UNKNOWN where unknown), camera and pose.
        known: bool [H, W].
        behind: bool [H, W], where the camera sees the back of a surface, so it is inside something or behind a
            wall: unknown, but nothing generated there can be trusted. Views with much of it are to be rejected.
    """

    view: View
    known: NDArray[np.bool_]
    behind: NDArray[np.bool_]

    @property
    def provenance(self) -> NDArray[np.uint8]:
        """Of the view; it always has one."""
        assert self.view.provenance is not None
        return self.view.provenance

    @property
    def known_share(self) -> float:
        """Part of the pixels that is known."""
        return float(self.known.mean())

    @property
    def behind_share(self) -> float:
        """Part of the pixels that shows the back of a surface."""
        return float(self.behind.mean())


def partial_view_of_points(
    points: ArrayLike, colors: ArrayLike, provenance: ArrayLike, camera: Camera, T_world_camera: ArrayLike
) -> PartialView:
    """What a camera would see of a cloud of points as dense as its pixels, with the cracks between them closed.

    A crack takes depth, colour and provenance of the farthest of its neighbours, so it never widens what is in front.

    Args:
        points: [N, 3], metres, world frame; what is not finite is left out.
        colors: uint8 [N, 3], RGB.
        provenance: uint8 [N] of ``Provenance``.
        camera: pinhole without distortion.
        T_world_camera: [4, 4], maps camera points to the world.

    Raises:
        InputError: shapes that do not fit, or a camera with distortion.
    """
    points_, colors_, kinds = np.asarray(points), np.asarray(colors), np.asarray(provenance)
    if points_.ndim != 2 or points_.shape[1] != 3 or colors_.shape != points_.shape or kinds.shape != points_.shape[:1]:
        raise InputError(
            f"points are {points_.shape}, colours {colors_.shape}, provenance {kinds.shape}, "
            "expected (N, 3), (N, 3) and (N,)"
        )
    pose = checked_pose(T_world_camera, "T_world_camera")
    element = nearest_points(points_, camera, pose)
    radius_px = max(radius_px_of_ndc(COARSE_RADIUS_NDC, camera), LEAST_COARSE_RADIUS_PX)
    known = eroded(covered_pixels(points_, camera, pose, radius_px), ERODED_PX)
    z = transform_points(inverse(pose), points_)[:, 2]
    element[~known] = NOTHING
    _close_cracks(element, known, np.ascontiguousarray(z))
    known = element != NOTHING  # a piece that no point reaches stays unknown
    seen = element[known]
    return _partial_view(known, z[seen], colors_[seen], kinds[seen], camera, pose)


def nearest_points(points: ArrayLike, camera: Camera, T_world_camera: ArrayLike) -> NDArray[np.int32]:
    """Index of the point seen at each pixel, int32 [H, W], -1 where no point is within ``FINE_RADIUS_PX``.

    Of the points of a pixel those within ``SAME_SURFACE`` of the least depth compete by the distance of their
    projection from the pixel's centre; equal ones by their index.
    """
    local = np.ascontiguousarray(transform_points(inverse(T_world_camera), points))
    nearest = np.full((camera.height, camera.width), np.inf)
    squared = np.full(nearest.shape, np.inf)
    element = np.full(nearest.shape, NOTHING, np.int32)
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    _splat_nearest(local, intrinsics, FINE_RADIUS_PX, SAME_SURFACE, nearest, squared, element)
    return element


def nearest_points_reference(points: ArrayLike, camera: Camera, T_world_camera: ArrayLike) -> NDArray[np.int32]:
    """The obvious, slow ``nearest_points``: every pixel asks every point."""
    pixels, z = camera.project(transform_points(inverse(T_world_camera), points))
    element = np.full((camera.height, camera.width), NOTHING, np.int32)
    for v, u in np.ndindex(element.shape):
        squared = (pixels[:, 0] - u) ** 2 + (pixels[:, 1] - v) ** 2
        near = np.flatnonzero((squared < FINE_RADIUS_PX**2) & np.isfinite(z) & (z > 0))
        if len(near):
            front = near[z[near] <= z[near].min() * (1 + SAME_SURFACE)]
            element[v, u] = front[np.argmin(squared[front])]
    return element


def partial_view_of_mesh(mesh: Mesh, camera: Camera, T_world_camera: ArrayLike) -> PartialView:
    """What a camera would see of a mesh; where it sees the back of a triangle nothing is known, see ``behind``.

    The provenance of a triangle is the least sure one of its corners (GENERATED before PREDICTED before MEASURED).

    Args:
        mesh: world frame, triangles counter-clockwise seen from the free side.
        camera: pinhole without distortion.
        T_world_camera: [4, 4], maps camera points to the world.

    Raises:
        InputError: a camera with distortion, or no rigid transform.
    """
    pose = checked_pose(T_world_camera, "T_world_camera")
    seen = render_mesh(mesh.vertices, mesh.triangles, camera, pose, mesh.colors)
    hit = seen.element != NOTHING
    triangles = mesh.triangles[seen.element[hit]]
    a, b, c = (mesh.vertices[triangles[:, corner]].astype(np.float64) for corner in range(3))
    towards_front = np.sum(np.cross(b - a, c - a) * (pose[:3, 3] - a), axis=1)
    known, behind = hit.copy(), np.zeros_like(hit)
    known[hit], behind[hit] = towards_front > 0, towards_front <= 0
    kinds = np.zeros(hit.shape, np.uint8)
    kinds[hit] = mesh.provenance[triangles].max(axis=1, initial=0)
    return _partial_view(known, seen.depth[known], seen.require_rgb()[known], kinds[known], camera, pose, behind)


def eroded(mask: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    """The pixels of a mask [H, W] farther than ``radius_px`` from any that is not of it; the border takes nothing."""
    return cv2.erode(mask.astype(np.uint8), disc(radius_px)) > 0


def conditioning_depth(partial: PartialView) -> NDArray[np.float32]:
    """Depth [H, W] that completion may rely on: known pixels all four of whose neighbours are known; NaN elsewhere."""
    depth = partial.view.require_depth()
    return np.where(eroded(np.isfinite(depth), 1) & partial.known, depth, np.nan).astype(np.float32)


def _partial_view(
    known: NDArray[np.bool_],
    depth: NDArray,
    colors: NDArray[np.uint8],
    provenance: NDArray[np.uint8],
    camera: Camera,
    pose: NDArray[np.float64],
    behind: NDArray[np.bool_] | None = None,
) -> PartialView:
    """Planes from what is at the known pixels, in their order."""
    planes = np.full(known.shape, np.nan, np.float32), np.zeros((*known.shape, 3), np.uint8)
    kinds = np.full(known.shape, Provenance.UNKNOWN, np.uint8)
    planes[0][known], planes[1][known], kinds[known] = depth, colors, provenance
    view = View(planes[1], camera, planes[0], kinds, T_world_camera=pose)
    return PartialView(view, known, np.zeros(known.shape, np.bool_) if behind is None else behind)


@numba.njit(cache=True, nogil=True)
def _splat_nearest(points, intrinsics, radius, same, nearest, squared, element):  # type: ignore[no-untyped-def]
    """Two passes over the points: the least depth at each pixel, then the most central point at that depth."""
    height, width = nearest.shape
    for second in range(2):
        for n in range(points.shape[0]):
            z = points[n, 2]
            if not (z > 0 and z < np.inf):
                continue
            u = intrinsics[0] * points[n, 0] / z + intrinsics[2]
            v = intrinsics[1] * points[n, 1] / z + intrinsics[3]
            if not (-radius < u < width - 1 + radius and -radius < v < height - 1 + radius):
                continue
            for row in range(max(0, math.ceil(v - radius)), min(height - 1, math.floor(v + radius)) + 1):
                for column in range(max(0, math.ceil(u - radius)), min(width - 1, math.floor(u + radius)) + 1):
                    apart = (column - u) ** 2 + (row - v) ** 2
                    if apart >= radius * radius:
                        continue
                    if second == 0:
                        nearest[row, column] = min(nearest[row, column], z)
                    elif z <= nearest[row, column] * (1 + same) and apart < squared[row, column]:
                        squared[row, column] = apart
                        element[row, column] = n


@numba.njit(cache=True, nogil=True)
def _close_cracks(element, known, z):  # type: ignore[no-untyped-def]
    """Gives known pixels without a point that of the farthest of their eight neighbours, ring by ring."""
    height, width = element.shape
    changed = True
    while changed:
        changed = False
        before = element.copy()
        for row in range(height):
            for column in range(width):
                if not known[row, column] or before[row, column] >= 0:
                    continue
                for y in range(max(0, row - 1), min(height, row + 2)):
                    for x in range(max(0, column - 1), min(width, column + 2)):
                        other = before[y, x]
                        if other >= 0 and (element[row, column] < 0 or z[other] > z[element[row, column]]):
                            element[row, column] = other
                            changed = True
