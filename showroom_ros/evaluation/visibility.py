"""What the cameras saw of the true surface.

A point is *seen* by a camera when

1. it projects into the image (between the outermost pixel centres),
2. its planar depth is between ``min_depth_m`` and ``max_depth_m``, and
3. it is not behind the surface there: its depth is at most the largest of the four true depths around its
   projection, plus ``margin_m``.

A pixel whose ray hits nothing proves nothing: points there are not seen through it. The four pixels (not
one) keep slanted walls, whose depth changes within a pixel. A point counts as seen when at least
``min_views`` cameras see it. Depths come from the true mesh, never from a sensor: what a sensor failed to
measure (dark, shiny) still counts as visible and is missed by completeness.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.render import render_mesh
from showroom_ros.geometry.se3 import checked_pose, inverse
from showroom_ros.scene.mesh import Mesh


@dataclass(frozen=True, eq=False)
class VisibilityMask:
    """Cameras, poses and the true depth each of them looked at; call it with points.

    Attributes:
        cameras: undistorted camera of each view.
        poses: ``T_world_camera`` [4, 4] of each view.
        depths: float32 [H, W] of each view, true planar depth in metres, NaN where the ray hits nothing.
        min_depth_m, max_depth_m: range of the sensor.
        margin_m: how far behind the true surface still counts as seen.
        min_views: cameras that must have seen a point.
    """

    cameras: tuple[Camera, ...]
    poses: tuple[NDArray[np.float64], ...]
    depths: tuple[NDArray[np.float32], ...]
    min_depth_m: float = 0.1
    max_depth_m: float = 5.0
    margin_m: float = 0.02
    min_views: int = 1

    def __post_init__(self) -> None:
        """Checks that everything is there once per view."""
        if not len(self.cameras) == len(self.poses) == len(self.depths):
            raise InputError(f"{len(self.cameras)} cameras, {len(self.poses)} poses, {len(self.depths)} depth images")
        if not self.cameras:
            raise InputError("a visibility mask needs at least one view")
        for camera, depth in zip(self.cameras, self.depths, strict=True):
            if depth.shape != (camera.height, camera.width):
                raise InputError(f"depth is {depth.shape[::-1]}, its camera {camera.width}x{camera.height}")

    @staticmethod
    def from_views(
        cameras_poses: Iterable[tuple[Camera, NDArray[np.float64]]],
        truth: Mesh,
        *,
        min_depth_m: float = 0.1,
        max_depth_m: float = 5.0,
        margin_m: float = 0.02,
        min_views: int = 1,
        shrink: int = 2,
    ) -> VisibilityMask:
        """Renders the true depth of each ``(camera, T_world_camera)``.

        ``shrink`` renders at that fraction of the image size: a quarter of the memory and time at 2.

        Raises:
            InputError: no views, a distorted camera or a pose that is none.
        """
        cameras, poses, depths = [], [], []
        for camera, pose in cameras_poses:
            small = camera.scaled(max(2, camera.width // shrink), max(2, camera.height // shrink))
            pose = checked_pose(pose, "T_world_camera")
            cameras.append(small)
            poses.append(pose)
            depths.append(render_mesh(truth.vertices, truth.triangles, small, pose).depth)
        return VisibilityMask(
            tuple(cameras), tuple(poses), tuple(depths), min_depth_m, max_depth_m, margin_m, min_views
        )

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of ``points`` [N, 3] (metres, world frame) were seen, bool [N]."""
        points = np.ascontiguousarray(points, np.float64)
        views = np.zeros(len(points), np.int64)
        for camera, pose, depth in zip(self.cameras, self.poses, self.depths, strict=True):
            intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
            limits = np.array([self.min_depth_m, self.max_depth_m, self.margin_m])
            _count_seen(points, inverse(pose), intrinsics, depth, limits, self.min_views, views)
        return views >= self.min_views

    def seen_reference(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """The obvious, slow ``__call__``: the protocol point by point in plain Python."""
        seen = []
        for point in points:
            views = 0
            for camera, pose, depth in zip(self.cameras, self.poses, self.depths, strict=True):
                matrix = inverse(pose)
                (u, v), z = camera.project(matrix[:3, :3] @ point + matrix[:3, 3])
                if not (self.min_depth_m <= z <= self.max_depth_m):
                    continue
                if not (0 <= u <= camera.width - 1 and 0 <= v <= camera.height - 1):
                    continue
                around = [depth[y, x] for y in (int(v), int(np.ceil(v))) for x in (int(u), int(np.ceil(u)))]
                known = [d for d in around if np.isfinite(d)]
                views += bool(known) and z <= max(known) + self.margin_m
            seen.append(views >= self.min_views)
        return np.array(seen, bool)


@numba.njit(cache=True, nogil=True)
def _count_seen(points, transform, intrinsics, depth, limits, enough, views):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    for n in range(points.shape[0]):
        if views[n] >= enough:
            continue
        x, y, z = points[n]
        zc = transform[2, 0] * x + transform[2, 1] * y + transform[2, 2] * z + transform[2, 3]
        if not (limits[0] <= zc <= limits[1]):
            continue
        xc = transform[0, 0] * x + transform[0, 1] * y + transform[0, 2] * z + transform[0, 3]
        yc = transform[1, 0] * x + transform[1, 1] * y + transform[1, 2] * z + transform[1, 3]
        u = intrinsics[0] * xc / zc + intrinsics[2]
        v = intrinsics[1] * yc / zc + intrinsics[3]
        if not (0 <= u <= width - 1 and 0 <= v <= height - 1):
            continue
        left, top = int(u), int(v)
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        farthest = -1.0
        for row in (top, bottom):
            for column in (left, right):
                if depth[row, column] > farthest:  # never true for NaN
                    farthest = depth[row, column]
        if farthest >= 0 and zc <= farthest + limits[2]:
            views[n] += 1
