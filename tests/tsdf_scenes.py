"""Depth images of shapes known in closed form, and the two volume engines."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.view import View
from showroom_ros.scene.volume import TsdfVolume, Volume
from showroom_ros.settings import MapSettings

CAMERA = Camera(160, 120, 130.0, 130.0, 79.5, 59.5)


def rays(camera: Camera, T_world_camera: NDArray) -> tuple[NDArray, NDArray]:
    """Origin [3] and directions [H, W, 3] whose length is per metre of depth, in the world."""
    v, u = np.mgrid[: camera.height, : camera.width]
    directions = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], -1)
    return T_world_camera[:3, 3], directions @ T_world_camera[:3, :3].T


def sphere_depth(camera: Camera, pose: NDArray, centre: NDArray, radius: float) -> NDArray:
    """Depth [H, W] of a sphere, NaN beside it."""
    origin, d = rays(camera, pose)
    o = origin - centre
    a, b, c = (d * d).sum(-1), 2 * d @ o, o @ o - radius**2
    root = b * b - 4 * a * c
    with np.errstate(invalid="ignore"):
        z = (-b - np.sqrt(np.where(root >= 0, root, np.nan))) / (2 * a)
    return np.where(z > 0, z, np.nan)


def box_depth(camera: Camera, pose: NDArray, low: NDArray, high: NDArray) -> NDArray:
    """Depth [H, W] of the inside of a box seen from within (a room)."""
    origin, d = rays(camera, pose)
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.maximum((low - origin) / d, (high - origin) / d)
    return np.nanmin(far, axis=-1)


def view_of(depth: NDArray, pose: NDArray, camera: Camera = CAMERA, color=(200, 100, 50), **planes) -> View:
    image = np.broadcast_to(np.uint8(color), (camera.height, camera.width, 3)).copy()
    return View(image, camera, depth.astype(np.float32), T_world_camera=pose, **planes)


def orbit(count: int, distance: float, target=(0.0, 0.0, 0.0)) -> list[NDArray]:
    """Poses all around ``target``, on a spiral from pole to pole, looking at it."""
    height = np.linspace(-0.95, 0.95, count)
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    ring = np.sqrt(1 - height**2)
    eyes = distance * np.stack([ring * np.cos(angle), ring * np.sin(angle), height], 1) + target
    return [look_at(eye, target) for eye in eyes]


def sphere_views(count: int = 24, radius: float = 0.3, distance: float = 1.0, **planes) -> list[View]:
    poses = orbit(count, distance)
    return [view_of(sphere_depth(CAMERA, pose, np.zeros(3), radius), pose, **planes) for pose in poses]


def room_views(count: int = 20, half=(1.2, 1.0, 0.8)) -> list[View]:
    """Looking around in an empty box of a room centred on the origin."""
    high = np.array(half)
    views = []
    for n in range(count):
        yaw, pitch = 2 * np.pi * n / count, 0.5 * np.sin(3 * 2 * np.pi * n / count)
        eye = 0.2 * np.array([np.cos(yaw + 2), np.sin(yaw + 2), 0.3])
        pose = look_at(eye, eye + np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)]))
        views.append(view_of(box_depth(CAMERA, pose, -high, high), pose))
    return views


ENGINES = ("numba", "torch")


def make_engine(name: str, settings: MapSettings) -> Volume:
    if name == "numba":
        return TsdfVolume(settings)
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)  # its threads and numba's get in each other's way
    from showroom_ros.scene.volume_torch import TorchTsdfVolume

    return TorchTsdfVolume(settings, "cpu")


def triangle_set(*meshes) -> list[bytes]:
    """Triangles by their exact corner positions, in an order of their own; equal for equal surfaces."""
    corners = np.concatenate([mesh.vertices[mesh.triangles] for mesh in meshes]) if meshes else np.zeros((0, 3, 3))
    return sorted(triangle.tobytes() for triangle in corners.astype(np.float32))
