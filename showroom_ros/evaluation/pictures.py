"""Pictures of a reconstruction for people: from outside, from above, from where the camera stood, errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.errors import InputError
from showroom_ros.evaluation.canvas import Image, heat_colors, labelled, side_by_side, with_color_bar
from showroom_ros.evaluation.surface import Surface
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.render import render_mesh
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import View

Style = Literal["color", "clay"]

_SUPERSAMPLING = 2
_CLAY = (214, 208, 198)
_FIELD_OF_VIEW_DEG = 32.0
_TOP, _BOTTOM = np.array((226.0, 231.0, 238.0)), np.array((186.0, 194.0, 206.0))


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of a report.

    Attributes:
        name: of its file, without folder and ending.
        caption: what it shows.
        image: uint8 [H, W, 3] RGB.
    """

    name: str
    caption: str
    image: Image


def overview_pictures(mesh: Mesh, views: Sequence[View], up: ArrayLike | None = None) -> list[Picture]:
    """The pictures every report has: from outside in colour and clay, from above, inside beside the camera.

    Args:
        mesh: the reconstruction, world frame.
        views: a few posed views to compare with; also say which way is up.
        up: world direction that points up; None = estimated from the views (``up_direction``).
    """
    poses = [view.require_pose() for view in views]
    axes = room_axes(mesh, up_direction(poses) if up is None else up)
    pictures = [
        Picture("outside", "From outside, near walls and ceiling cut away", outside_picture(mesh, axes)),
        Picture("outside_clay", "The bare geometry", outside_picture(mesh, axes, style="clay")),
        Picture("top", "From above", top_picture(mesh, axes)),
    ]
    for number, view in enumerate(views):
        pictures.append(Picture(f"inside_{number}", "Camera image, mesh, geometry", inside_picture(mesh, view)))
    return pictures


def outside_picture(
    mesh: Mesh,
    axes: NDArray[np.float64],
    *,
    width: int = 1280,
    height: int = 960,
    azimuth_deg: float = 215.0,
    elevation_deg: float = 48.0,
    style: Style = "color",
) -> Image:
    """The room as a doll's house: surfaces that turn their back to the viewer are cut away.

    Args:
        mesh: world frame, non-empty.
        axes: [3, 3], rows are the room's x, y and up directions in the world (``room_axes``).
        width: of the picture, pixels.
        height: of the picture, pixels.
        azimuth_deg: where the viewer stands, around the up axis.
        elevation_deg: how high.
        style: the mesh's colours, or plain clay.
    """
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    direction = axes.T @ (
        math.cos(elevation) * math.cos(azimuth),
        math.cos(elevation) * math.sin(azimuth),
        math.sin(elevation),
    )
    camera, pose = framed(mesh.vertices, direction, axes[2], width, height)
    return shaded_render(mesh, camera, pose, style=style, cull_backfaces=True, light=axes[2])


def top_picture(
    mesh: Mesh, axes: NDArray[np.float64], *, width: int = 1280, height: int = 960, style: Style = "color"
) -> Image:
    """The room from straight above, ceiling cut away, its longer side across the picture."""
    room = mesh.vertices @ axes.T
    extent = np.percentile(room, 99, axis=0) - np.percentile(room, 1, axis=0)
    upwards = axes[1] if extent[0] >= extent[1] else axes[0]
    camera, pose = framed(mesh.vertices, axes[2], upwards, width, height, field_of_view_deg=12.0)
    return shaded_render(mesh, camera, pose, style=style, cull_backfaces=True, light=axes[2])


def inside_picture(mesh: Mesh, view: View, *, height: int = 360) -> Image:
    """What the camera saw, the mesh's colours from there, and its geometry, side by side."""
    camera = view.camera.scaled(round(view.camera.width * height / view.camera.height), height)
    real = np.asarray(cv2.resize(view.image, (camera.width, camera.height), interpolation=cv2.INTER_AREA), np.uint8)
    pose = view.require_pose()
    color = shaded_render(mesh, camera, pose, style="color", relief=0.0)
    clay = shaded_render(mesh, camera, pose, style="clay")
    return side_by_side([labelled(real, "camera"), labelled(color, "mesh"), labelled(clay, "geometry")])


def error_picture(
    mesh: Mesh,
    truth: Mesh,
    axes: NDArray[np.float64],
    *,
    largest_m: float = 0.05,
    width: int = 1280,
    height: int = 960,
) -> Image:
    """The room from outside, coloured by the distance of each vertex to the true surface, with a colour bar.

    Args:
        mesh: the reconstruction, world frame.
        truth: the true mesh.
        axes: as of ``outside_picture``.
        largest_m: distance shown in the last colour.
        width: of the picture, pixels.
        height: of the picture without its colour bar, pixels.
    """
    distance = Surface(truth).nearest(mesh.vertices.astype(np.float64)).distance_m
    painted = replace(mesh, colors=heat_colors(distance, largest_m))
    picture = outside_picture(painted, axes, width=width, height=height)
    ticks = [(place, f"{place * largest_m * 1000:.0f}") for place in (0, 0.2, 0.4, 0.6, 0.8)]
    ticks.append((1.0, f"≥ {largest_m * 1000:.0f} mm"))
    title = f"distance to the true surface, mean {distance.mean() * 1000:.1f} mm"
    return with_color_bar(picture, title, ticks)


def shaded_render(
    mesh: Mesh,
    camera: Camera,
    T_world_camera: NDArray[np.float64],
    *,
    style: Style = "color",
    cull_backfaces: bool = False,
    light: ArrayLike | None = None,
    relief: float = 1.0,
) -> Image:
    """Renders with soft light and smooth edges on a plain background.

    Args:
        mesh: world frame.
        camera: undistorted.
        T_world_camera: [4, 4].
        style: the mesh's colours, or plain clay.
        cull_backfaces: cut away what turns its back.
        light: world direction of a light besides the one at the camera; None = only that.
        relief: strength of the shading; 0 = the mesh's bare colours.
    """
    fine = camera.scaled(camera.width * _SUPERSAMPLING, camera.height * _SUPERSAMPLING)
    base = mesh.colors if style == "color" else np.broadcast_to(np.array(_CLAY, np.uint8), mesh.colors.shape)
    colors = _lit(mesh, base, T_world_camera, light, relief if style == "color" else 1.6 * max(relief, 0.5))
    seen = render_mesh(mesh.vertices, mesh.triangles, fine, T_world_camera, colors, cull_backfaces=cull_backfaces)
    image = seen.require_rgb().astype(np.float32)
    nothing = np.isnan(seen.depth)
    if relief > 0:
        image *= _crevices(seen.depth, fine)[..., None]
    image[nothing] = np.broadcast_to(_backdrop(fine.height)[:, None], image.shape)[nothing]
    small = cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return np.clip(small + 0.5, 0, 255).astype(np.uint8)


def framed(
    points: NDArray[np.float32],
    direction: ArrayLike,
    up: ArrayLike,
    width: int,
    height: int,
    field_of_view_deg: float = _FIELD_OF_VIEW_DEG,
) -> tuple[Camera, NDArray[np.float64]]:
    """Camera and pose that show ``points`` [N, 3] as large as fits, looking against ``direction``.

    The farthest 0.1 % on each side do not count, so that a few stray points do not shrink the picture.

    Raises:
        InputError: there are no points.
    """
    if not len(points):
        raise InputError("there is nothing to take a picture of: the mesh is empty")
    direction_ = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    focal = 0.5 * height / math.tan(math.radians(field_of_view_deg) / 2)
    rotation = look_at(direction_, (0, 0, 0), up)[:3, :3]
    local = points[:: max(1, len(points) // 100_000)].astype(np.float64) @ rotation
    low, high = np.percentile(local, 0.1, axis=0), np.percentile(local, 99.9, axis=0)
    inside = local[((local >= low) & (local <= high)).all(axis=1)]
    inside = inside if len(inside) else local
    # the eye (x, y, z) that sees all points within the margins, as near as possible: each side of the image is a
    # plane through the eye; opposite planes fix the eye's place across and the distance
    slopes = 0.5 * np.array([width, height]) * 0.94 / focal
    highest = [(inside[:, i] - slopes[i] * inside[:, 2]).max() for i in (0, 1)]
    lowest = [(inside[:, i] + slopes[i] * inside[:, 2]).min() for i in (0, 1)]
    depth = min((lowest[i] - highest[i]) / (2 * slopes[i]) for i in (0, 1))
    eye = np.array([(highest[0] + lowest[0]) / 2, (highest[1] + lowest[1]) / 2, depth])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, rotation @ eye
    return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2), pose


def up_direction(poses: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """World direction that points up, for cameras held roughly level: the mean of their image's up axes.

    Raises:
        InputError: no poses, or the cameras are turned every way.
    """
    mean = -np.mean([pose[:3, 1] for pose in poses], axis=0) if len(poses) else np.zeros(3)
    if np.linalg.norm(mean) < 0.1:
        raise InputError(f"cannot tell which way is up from {len(poses)} camera poses")
    return mean / np.linalg.norm(mean)


def room_axes(mesh: Mesh, up: ArrayLike) -> NDArray[np.float64]:
    """Rows x, y, up [3, 3] of the room in the world: up along floor and tables, x and y along the walls.

    ``up`` is a guess; it is moved to the mean normal of the surfaces that face within 25 degrees of it.
    """
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1)
    units = normals / np.maximum(areas, 1e-12)[:, None]
    vertical = np.asarray(up, np.float64) / np.linalg.norm(up)
    for reach_deg in (25.0, 12.0, 8.0):
        close = np.abs(units @ vertical) > math.cos(math.radians(reach_deg))
        if close.any():
            mean = (normals[close] * np.sign(normals[close] @ vertical)[:, None]).sum(axis=0)
            vertical = mean / np.linalg.norm(mean)
    any_across = np.eye(3)[int(np.argmin(np.abs(vertical)))]
    across = np.cross(vertical, any_across)
    across /= np.linalg.norm(across)
    along = np.cross(vertical, across)
    walls = np.abs(units @ vertical) < 0.2
    heading = np.arctan2(units[walls] @ along, units[walls] @ across)
    # walls at right angles agree in four times their angle
    angle = np.angle(np.sum(areas[walls] * np.exp(4j * heading))) / 4 if walls.any() else 0.0
    x = math.cos(angle) * across + math.sin(angle) * along
    return np.stack([x, np.cross(vertical, x), vertical])


def _lit(
    mesh: Mesh, base: NDArray[np.uint8], pose: NDArray[np.float64], light: ArrayLike | None, relief: float
) -> NDArray[np.uint8]:
    """Vertex colours under a light at the camera and one from ``light``."""
    if relief == 0:
        return base
    to_camera = pose[:3, 3] - mesh.vertices
    to_camera /= np.maximum(np.linalg.norm(to_camera, axis=1, keepdims=True), 1e-9)
    head = np.abs(np.sum(to_camera * mesh.normals, axis=1))
    sky = head if light is None else 0.5 + 0.5 * (mesh.normals @ np.asarray(light, np.float64))
    brightness = 1.0 + relief * (0.30 * head + 0.22 * sky - 0.40)
    return np.clip(base * brightness[:, None], 0, 255).astype(np.uint8)


def _crevices(depth: NDArray[np.float32], camera: Camera, radius_m: float = 0.12) -> NDArray[np.float32]:
    """Darkening [H, W] where the surroundings are nearer than the pixel: corners and contact shadows."""
    far = np.nanmax(depth) if np.isfinite(depth).any() else 1.0
    filled = np.where(np.isnan(depth), far, depth).astype(np.float32)
    scale = float(np.median(filled))
    shade = np.zeros_like(filled)
    for reach in (radius_m / 2, radius_m, 2 * radius_m):
        size = max(3, round(reach / scale * camera.fx)) | 1
        gap = np.maximum(filled - cv2.stackBlur(filled, (size, size)), 0) / reach
        shade += gap * np.exp(-gap * gap)  # something far in front casts no shadow
    return (1.0 - 0.35 * np.clip(shade / 2, 0, 1)).astype(np.float32)


def _backdrop(height: int) -> NDArray[np.float32]:
    blend = np.linspace(0, 1, height)[:, None]
    return (_TOP * (1 - blend) + _BOTTOM * blend).astype(np.float32)
