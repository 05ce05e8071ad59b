"""Pictures of a model from all around: RGB on black, mask and camera.

The model is moved and scaled so that the middle of its bounding box is the origin and its farthest vertex is at a
given radius; its axes stay (ShapeNet: y up). The camera looks at the origin, upright, from

    eye = distance (cos e sin a, sin e, cos e cos a)

with azimuth a and elevation e (the convention of PyTorch3D). Poses are OpenCV's: camera x right, y down, z forward.
The model is lit by two lamps that do not move with the camera, from both sides of each triangle alike, for the
triangles of ShapeNet are turned either way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.prepare.textured_model import TexturedModel
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.render import NOTHING, render_mesh
from showroom_ros.geometry.se3 import look_at, transform_points
from showroom_ros.scene.mesh import Mesh

AMBIENT = 0.4
LAMPS = ((0.35, (0.3, 0.9, 0.3)), (0.25, (-0.7, 0.2, 0.7)))
"""Strength and direction to the lamp in the model's frame."""

_SUPERSAMPLING = 2


@dataclass(frozen=True, eq=False)
class ModelViews:
    """Pictures of one model.

    Attributes:
        rgb: uint8 [N, H, W, 3], black where the mask is 0.
        mask: uint8 [N, H, W], 1 = the model covers at least half of the pixel.
        camera: of all.
        world_T_cam: float64 [N, 4, 4], maps camera points to the model's frame.
        azimuth_deg, elevation_deg, distance: float64 [N].
    """

    rgb: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    camera: Camera
    world_T_cam: NDArray[np.float64]
    azimuth_deg: NDArray[np.float64]
    elevation_deg: NDArray[np.float64]
    distance: NDArray[np.float64]


def normalised(model: TexturedModel, radius: float) -> TexturedModel:
    """The model about the origin (middle of its bounding box), its farthest vertex at ``radius``.

    Vertices of no triangle do not count and stay where they fall.

    Raises:
        InputError: no triangles, vertices that are not finite, or all at one place.
    """
    mesh = model.mesh
    if not len(mesh.triangles):
        raise InputError("the mesh has no triangles")
    used = mesh.vertices[np.unique(mesh.triangles)].astype(np.float64)
    if not np.isfinite(used).all():
        raise InputError(f"the mesh has {int((~np.isfinite(used).all(axis=1)).sum())} vertices that are not finite")
    middle = (used.min(axis=0) + used.max(axis=0)) / 2
    farthest = float(np.linalg.norm(used - middle, axis=1).max())
    if farthest <= 0:
        raise InputError(f"the mesh has no extent: all its vertices are at {middle.tolist()}")
    vertices = ((mesh.vertices - middle) * (radius / farthest)).astype(np.float32)
    return replace(model, mesh=replace(mesh, vertices=vertices))


def orbit_pose(azimuth_deg: float, elevation_deg: float, distance: float) -> NDArray[np.float64]:
    """``world_T_cam`` [4, 4] of a camera that looks at the origin, y up."""
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    direction = [np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)]
    return look_at(distance * np.array(direction), (0.0, 0.0, 0.0), up=(0.0, 1.0, 0.0))


def square_camera(image_size: int, focal_px_at_128: float) -> Camera:
    """A camera with square images whose focal length grows with their size."""
    focal = focal_px_at_128 * image_size / 128
    return Camera(image_size, image_size, focal, focal, (image_size - 1) / 2, (image_size - 1) / 2)


def model_views(
    model: TexturedModel,
    camera: Camera,
    azimuth_deg: NDArray[np.float64],
    elevation_deg: NDArray[np.float64],
    distance: NDArray[np.float64],
) -> ModelViews:
    """Renders a normalised model from all viewpoints, with two by two samples a pixel."""
    poses = np.stack([orbit_pose(*place) for place in zip(azimuth_deg, elevation_deg, distance, strict=True)])
    fine = camera.scaled(camera.width * _SUPERSAMPLING, camera.height * _SUPERSAMPLING)
    shades = triangle_shades(model.mesh)
    pictures = [_picture(model, shades, fine, pose) for pose in poses]
    rgb, mask = (np.stack(planes) for planes in zip(*pictures, strict=True))
    return ModelViews(rgb, mask, camera, poses, azimuth_deg, elevation_deg, distance)


def triangle_shades(mesh: Mesh) -> NDArray[np.float64]:
    """How bright each triangle is lit [T], 0 to 1 (Lambert, both sides alike)."""
    a, b, c = (mesh.vertices[mesh.triangles[:, corner]].astype(np.float64) for corner in range(3))
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
    shades = np.full(len(normals), AMBIENT)
    for strength, direction in LAMPS:
        shades += strength * np.abs(normals @ (np.array(direction) / np.linalg.norm(direction)))
    return shades


def _picture(
    model: TexturedModel, shades: NDArray[np.float64], fine: Camera, pose: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """RGB [H, W, 3] and mask [H, W] of one view."""
    mesh = model.mesh
    render = render_mesh(mesh.vertices, mesh.triangles, fine, pose, mesh.colors)
    hit = render.element != NOTHING
    triangles, points = render.element[hit], transform_points(pose, fine.back_project(render.depth)[hit])
    lit = np.zeros((*hit.shape, 3))
    lit[hit] = model.paint(triangles, points, render.require_rgb()[hit].astype(np.float64)) * shades[triangles, None]
    count = _cells(hit[..., None].astype(np.float64)).sum(axis=(1, 3))
    mask = 2 * count[..., 0] >= _SUPERSAMPLING**2
    color = _cells(lit).sum(axis=(1, 3)) / np.maximum(count, 1)
    return np.rint(np.where(mask[..., None], color, 0)).astype(np.uint8), mask.astype(np.uint8)


def _cells(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """[H, s, W, s, C] of the fine pixels [s H, s W, C]."""
    s = _SUPERSAMPLING
    return plane.reshape(plane.shape[0] // s, s, plane.shape[1] // s, s, plane.shape[2])
