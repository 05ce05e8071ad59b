"""Pictures of a box room with a ball in it, patterned all over, whose depth is known in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tsdf_scenes import box_depth, rays, sphere_depth

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import View
from showroom_ros.scene.volume import TsdfVolume
from showroom_ros.settings import MapSettings

CAMERA = Camera(128, 96, 110.0, 110.0, 63.5, 47.5)
HALF = np.array([1.6, 1.4, 1.1])
BALL, BALL_RADIUS_M = np.array([0.9, 0.2, -0.3]), 0.4
_LATTICE = np.random.default_rng(4).random((16, 16, 16, 3))
_OCTAVES = ((0.5, 0.3), (0.2, 0.3), (0.08, 0.4))
"""Edge of the noise's cells in metres, and its share."""


def texture(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """RGB [..., 3] in 0..255 of points [..., 3]: noise with details of 8 cm and more."""
    color = np.zeros(points.shape)
    for edge_m, share in _OCTAVES:
        low = np.floor(points / edge_m).astype(int)
        part = points / edge_m - low
        for corner in np.ndindex(2, 2, 2):
            weight = np.where(corner, part, 1 - part).prod(-1, keepdims=True)
            color += share * weight * _LATTICE[tuple(np.moveaxis((low + corner) % 16, -1, 0))]
    return 255 * np.clip((color - 0.5) * 1.6 + 0.5, 0, 1)


def true_depth(camera: Camera, pose: NDArray[np.float64]) -> NDArray[np.float32]:
    """Exact depth [H, W] in metres."""
    return np.fmin(box_depth(camera, pose, -HALF, HALF), sphere_depth(camera, pose, BALL, BALL_RADIUS_M)).astype(
        np.float32
    )


def picture(pose: NDArray[np.float64], camera: Camera = CAMERA, gain: float = 1.0, stamp_ns: int = 0) -> View:
    """What a camera of colour sees, without depth, its exposure multiplied by ``gain``."""
    depth = true_depth(camera, pose)
    origin, directions = rays(camera, pose)
    image = np.clip(gain * texture(origin + directions * depth[..., None]), 0, 255).round().astype(np.uint8)
    return View(image, camera, T_world_camera=pose, stamp_ns=stamp_ns)


def sideways(count: int, step_m: float = 0.08) -> list[NDArray[np.float64]]:
    """A camera that looks at the ball and the corner behind it and moves aside, a little up and down."""
    poses = []
    for n in range(count):
        eye = np.array([-1.1, -0.4 + step_m * n, 0.1 + 0.05 * np.sin(1.3 * n)])
        poses.append(look_at(eye, eye + np.array([2.0, 0.35, -0.25])))
    return poses


def true_surface(poses: list[NDArray[np.float64]], camera: Camera = CAMERA) -> Mesh:
    """Mesh of what exact depth from these poses makes."""
    volume = TsdfVolume(MapSettings(voxel_size_m=0.04, truncation_m=0.12, max_bytes=200_000_000))
    for pose in poses:
        view = picture(pose, camera)
        volume.integrate(View(view.image, camera, true_depth(camera, pose), T_world_camera=pose))
    return volume.extract_mesh()
