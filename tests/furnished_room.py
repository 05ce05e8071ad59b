"""A room of four by three metres with a table, a chest and a pillar, as exact triangles, and pictures of it."""

from __future__ import annotations

import numpy as np
from known_meshes import mesh_of, room

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.render import render_mesh
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import SensorFrame, View

CAMERA = Camera(160, 120, 140.0, 140.0, 79.5, 59.5)

_FURNITURE = (
    ((1.6, 1.1, 0.68), (2.4, 1.9, 0.74), (150, 90, 40)),
    ((1.95, 1.45, 0.0), (2.05, 1.55, 0.68), (90, 60, 30)),
    ((3.3, 0.4, 0.0), (3.9, 1.6, 0.9), (60, 110, 160)),
    ((2.6, 2.4, 0.0), (2.8, 2.6, 2.5), (190, 190, 60)),
)
"""Lowest corner, highest corner, colour."""


def box(low: tuple[float, ...], high: tuple[float, ...], color: tuple[int, int, int] = (128, 128, 128)) -> Mesh:
    """Axis-parallel, seen from outside."""
    corners = np.array([[(low, high)[x][0], (low, high)[y][1], (low, high)[z][2]] for x, y, z in np.ndindex(2, 2, 2)])
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [triangle for a, b, c, d in faces for triangle in ((a, b, c), (a, c, d))]
    return mesh_of(corners, np.array(triangles), color)


def furnished_room() -> Mesh:
    """All of it; z up, floor at 0."""
    return Mesh.concatenate([room(), *(box(*piece) for piece in _FURNITURE)])


def poses(count: int) -> list[np.ndarray]:
    """A camera in a corner that looks over the table and drifts aside by 5 cm a step."""
    return [look_at((0.4, 0.5 + 0.05 * step, 1.4), (2.6, 1.5, 0.6)) for step in range(count)]


class FurnishedRoom:
    """The room as a ``Sequence`` of exact views from given poses; some without depth or pose."""

    name = "furnished room"

    def __init__(
        self, trajectory: list[np.ndarray], unknown: tuple[int, ...] = (), unposed: tuple[int, ...] = ()
    ) -> None:
        """Renders nothing yet."""
        self.mesh = furnished_room()
        self.trajectory, self._unknown, self._unposed = trajectory, unknown, unposed

    def __len__(self) -> int:
        """Number of views."""
        return len(self.trajectory)

    def frame(self, index: int) -> SensorFrame:
        """The view as a sensor frame."""
        view = self[index]
        return SensorFrame(view.image, view.camera, view.depth, T_world_camera=view.T_world_camera)

    def __getitem__(self, index: int) -> View:
        """The exact view."""
        pose = self.trajectory[index]
        seen = render_mesh(self.mesh.vertices, self.mesh.triangles, CAMERA, pose, self.mesh.colors)
        depth = np.full_like(seen.depth, np.nan) if index in self._unknown else seen.depth
        return View(
            seen.require_rgb(),
            CAMERA,
            depth,
            T_world_camera=None if index in self._unposed else pose,
            stamp_ns=index + 1,
        )
