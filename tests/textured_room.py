"""A box room whose every surface point has its own colour: what a data set stores of it can be checked exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from layout_box_room import ROOM, box_depth, box_poses

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import transform_points
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.mesh_files import save_mesh
from showroom_ros.scene.view import View

__all__ = [
    "ROOM",
    "box_depth",
    "box_poses",
    "check_view",
    "render_room",
    "room_mesh",
    "save_room_mesh",
    "surface_color",
]


def surface_color(points: np.ndarray) -> np.ndarray:
    """RGB float [..., 3] in 30 to 230 of points of the room; no mirror or turn of the room has the same colours."""
    x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
    return 130 + 100 * np.stack([np.sin(1.9 * x + 0.3 * z), np.sin(1.5 * y - 0.7), np.sin(1.3 * z + 0.5 * x + 0.2)], -1)


def render_room(camera: Camera, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 [H, W, 3] and exact planar depth float32 [H, W] (NaN beyond the lens); lens distortion included."""
    depth = box_depth(camera, pose)
    points = transform_points(pose, camera.rays() * np.nan_to_num(depth)[..., None])
    return np.rint(surface_color(points)).astype(np.uint8), depth


def room_mesh() -> Mesh:
    """The room's twelve triangles, seen from inside."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * ROOM
    quads = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
    triangles = np.array([[a, b, c] for a, b, c, _ in quads] + [[a, c, d] for a, _, c, d in quads], np.int32)
    normals = (ROOM / 2 - corners) / np.linalg.norm(ROOM / 2 - corners, axis=1, keepdims=True)
    return Mesh(
        corners.astype(np.float32),
        triangles,
        np.rint(surface_color(corners)).astype(np.uint8),
        normals.astype(np.float32),
        np.zeros(len(corners), np.uint8),
    )


def save_room_mesh(path: Path) -> None:
    """Writes ``room_mesh`` as PLY."""
    save_mesh(path, room_mesh())


def check_view(
    view: View,
    depth: np.ndarray | None = None,
    T_room_world: np.ndarray | None = None,
    *,
    color: float = 6,
    tol_m=0.003,
) -> None:
    """Asserts that every pixel with depth, taken to the room, lies on a wall and has the colour of that place.

    Args:
        view: with a pose.
        depth: of the view, where it has none of its own.
        T_room_world: [4, 4], maps the data set's world to the room.
        color: largest median difference of colour.
        tol_m: how far 99 of 100 points may be off the walls, in metres.
    """
    planar = view.depth if depth is None else depth
    assert planar is not None
    assert view.T_world_camera is not None
    known = np.isfinite(planar)
    assert known.mean() > 0.5
    pose = view.T_world_camera if T_room_world is None else T_room_world @ view.T_world_camera
    points = transform_points(pose, view.camera.back_project(planar)[known])
    off_walls = np.minimum(np.abs(points), np.abs(points - ROOM)).min(-1)
    assert np.quantile(off_walls, 0.99) < tol_m
    inside = ((points > -tol_m) & (points < ROOM + tol_m)).all(-1)
    assert inside.mean() > 0.99
    difference = np.abs(view.image[known].astype(float) - surface_color(points))
    assert np.median(difference.max(-1)) <= color
    assert np.quantile(difference.max(-1), 0.95) <= 4 * color
