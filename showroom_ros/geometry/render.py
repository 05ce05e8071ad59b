"""Pictures of triangle meshes and point clouds: colour, depth and what is seen at each pixel.

``render_mesh`` is a z-buffer rasteriser in homogeneous coordinates (Olano and Greer 1997): the edge
functions of a triangle are evaluated on the viewing ray itself, so triangles that reach behind the
camera need no clipping. ``render_mesh_reference`` casts every ray at every triangle.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse

NOTHING = -1
"""The element at a pixel that shows nothing."""


class Render(NamedTuple):
    """What a camera sees.

    Attributes:
        rgb: uint8 [H, W, 3]; None where no colours were given.
        depth: float32 [H, W], planar depth in metres, NaN where nothing is seen.
        element: int32 [H, W], the triangle (or point) seen, -1 where nothing is seen.
    """

    rgb: NDArray[np.uint8] | None
    depth: NDArray[np.float32]
    element: NDArray[np.int32]

    def require_rgb(self) -> NDArray[np.uint8]:
        """``rgb``, or an ``InputError`` where no colours were given."""
        if self.rgb is None:
            raise InputError("the rendering has no colours: none were given")
        return self.rgb


def render_mesh(
    vertices: ArrayLike,
    triangles: ArrayLike,
    camera: Camera,
    T_world_camera: ArrayLike,
    colors: ArrayLike | None = None,
    *,
    near_m: float = 0.01,
    cull_backfaces: bool = False,
    background: tuple[int, int, int] = (0, 0, 0),
) -> Render:
    """Renders a triangle mesh, perspective-correct, sampled at pixel centres.

    Args:
        vertices: [V, 3], metres, world frame.
        triangles: int [T, 3], counter-clockwise seen from the front.
        camera: pinhole without distortion.
        T_world_camera: [4, 4], maps camera points to the world.
        colors: uint8 [V, 3] RGB, interpolated over triangles; or None.
        near_m: surface nearer than this (planar depth) is not drawn.
        cull_backfaces: draw only triangles whose front faces the camera.
        background: RGB where nothing is seen.

    Raises:
        InputError: shapes that do not fit, an index out of range, or a camera with distortion.
    """
    points, triangles_, colors_ = _checked(vertices, triangles, camera, T_world_camera, colors)
    depth = np.full((camera.height, camera.width), np.inf, np.float32)
    element = np.full((camera.height, camera.width), NOTHING, np.int32)
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    _rasterise(points, triangles_, intrinsics, float(near_m), bool(cull_backfaces), depth, element)
    depth[element == NOTHING] = np.nan
    if colors_ is None:
        return Render(None, depth, element)
    rgb = np.empty((*depth.shape, 3), np.uint8)
    rgb[:] = background
    _interpolate_colors(points, triangles_, colors_, intrinsics, element, rgb)
    return Render(rgb, depth, element)


def render_mesh_reference(
    vertices: ArrayLike,
    triangles: ArrayLike,
    camera: Camera,
    T_world_camera: ArrayLike,
    colors: ArrayLike | None = None,
    *,
    near_m: float = 0.01,
    cull_backfaces: bool = False,
    background: tuple[int, int, int] = (0, 0, 0),
) -> Render:
    """The obvious, slow ``render_mesh``: every ray against every triangle (Moeller and Trumbore 1997)."""
    points, triangles_, colors_ = _checked(vertices, triangles, camera, T_world_camera, colors)
    a, b, c = (points[triangles_[:, i]] for i in range(3))
    depth = np.full((camera.height, camera.width), np.nan, np.float32)
    element = np.full((camera.height, camera.width), NOTHING, np.int32)
    rgb = np.empty((*depth.shape, 3), np.uint8)
    rgb[:] = background
    rays = camera.rays()
    for v, u in np.ndindex(depth.shape) if len(triangles_) else ():
        side = np.cross(rays[v, u], c - a)
        determinant = np.sum((b - a) * side, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            w1 = np.sum(-a * side, axis=1) / determinant
            lift = np.cross(-a, b - a)
            w2 = lift @ rays[v, u] / determinant
            z = np.sum((c - a) * lift, axis=1) / determinant
        hit = (w1 >= -1e-9) & (w2 >= -1e-9) & (w1 + w2 <= 1 + 1e-9) & (z >= near_m)
        if cull_backfaces:
            hit &= determinant > 0
        if hit.any():
            first = int(np.argmin(np.where(hit, z, np.inf)))
            depth[v, u], element[v, u] = z[first], first
            if colors_ is not None:
                weights = np.array([1 - w1[first] - w2[first], w1[first], w2[first]])
                rgb[v, u] = np.round(np.clip(weights @ colors_[triangles_[first]].astype(float), 0, 255))
    return Render(None if colors_ is None else rgb, depth, element)


def splat_points(
    points: ArrayLike,
    camera: Camera,
    T_world_camera: ArrayLike,
    colors: ArrayLike | None = None,
    *,
    radius_px: int = 0,
    near_m: float = 0.01,
    background: tuple[int, int, int] = (0, 0, 0),
) -> Render:
    """Renders points as squares of ``2 * radius_px + 1`` pixels around the nearest pixel, nearest in front.

    Args:
        points: [N, 3], metres, world frame; points that are not finite are left out.
        camera: pinhole without distortion.
        T_world_camera: [4, 4], maps camera points to the world.
        colors: uint8 [N, 3] RGB; or None.
        radius_px: half the edge of a splat.
        near_m: points nearer than this are not drawn.
        background: RGB where nothing is seen.

    Raises:
        InputError: shapes that do not fit, or a camera with distortion.
    """
    no_triangles = np.zeros((0, 3), np.int32)
    local, _, colors_ = _checked(points, no_triangles, camera, T_world_camera, colors)
    depth = np.full((camera.height, camera.width), np.inf, np.float32)
    element = np.full((camera.height, camera.width), NOTHING, np.int32)
    _splat(local, np.array([camera.fx, camera.fy, camera.cx, camera.cy]), int(radius_px), float(near_m), depth, element)
    seen = element != NOTHING
    depth[~seen] = np.nan
    if colors_ is None:
        return Render(None, depth, element)
    rgb = np.empty((*depth.shape, 3), np.uint8)
    rgb[:] = background
    rgb[seen] = colors_[element[seen]]
    return Render(rgb, depth, element)


def _checked(
    vertices: ArrayLike, triangles: ArrayLike, camera: Camera, T_world_camera: ArrayLike, colors: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.uint8] | None]:
    """Camera-frame points [V, 3], triangles and colours, all contiguous."""
    vertices_ = np.asarray(vertices)
    triangles_ = np.ascontiguousarray(triangles, np.int32)
    if camera.is_distorted:
        raise InputError("rendering needs an undistorted camera; use camera.without_distortion()")
    if vertices_.ndim != 2 or vertices_.shape[1] != 3:
        raise InputError(f"vertices are {vertices_.shape}, expected (V, 3)")
    if triangles_.ndim != 2 or triangles_.shape[1] != 3:
        raise InputError(f"triangles are {triangles_.shape}, expected (T, 3)")
    if triangles_.size and (triangles_.min() < 0 or triangles_.max() >= len(vertices_)):
        raise InputError(
            f"triangles name vertices {triangles_.min()} to {triangles_.max()}, expected 0 to {len(vertices_) - 1}"
        )
    points = _transformed(np.ascontiguousarray(vertices_), inverse(T_world_camera))
    if colors is None:
        return points, triangles_, None
    colors_ = np.ascontiguousarray(colors)
    if colors_.dtype != np.uint8 or colors_.shape != vertices_.shape:
        raise InputError(f"colors are {colors_.dtype} {colors_.shape}, expected uint8 {vertices_.shape}")
    return points, triangles_, colors_


@numba.njit(cache=True, nogil=True)
def _transformed(vertices, transform):  # type: ignore[no-untyped-def]
    points = np.empty((vertices.shape[0], 3))
    for n in range(vertices.shape[0]):
        x, y, z = vertices[n, 0], vertices[n, 1], vertices[n, 2]
        for d in range(3):
            points[n, d] = transform[d, 0] * x + transform[d, 1] * y + transform[d, 2] * z + transform[d, 3]
    return points


@numba.njit(cache=True, nogil=True)
def _rasterise(points, triangles, intrinsics, near, cull, depth, element):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    fx, fy, cx, cy = intrinsics
    edges, pixels = np.empty((3, 3)), _projected(points, intrinsics, near)
    for t in range(triangles.shape[0]):
        left, right, top, bottom = _bounds(points, pixels, triangles, t, intrinsics, near, width, height)
        if left > right or top > bottom:
            continue
        determinant = _edge_functions(points, triangles, t, edges)
        if determinant == 0 or not math.isfinite(determinant) or (cull and determinant > 0):
            continue
        sign = 1.0 if determinant > 0 else -1.0
        volume = sign * determinant
        # edge functions of the pixel (u, v): alpha u + beta v + gamma
        a0, a1, a2 = sign * edges[0, 0] / fx, sign * edges[1, 0] / fx, sign * edges[2, 0] / fx
        b0, b1, b2 = sign * edges[0, 1] / fy, sign * edges[1, 1] / fy, sign * edges[2, 1] / fy
        c0, c1, c2 = sign * edges[0, 2], sign * edges[1, 2], sign * edges[2, 2]
        for v in range(top, bottom + 1):
            y = v - cy
            r0, r1, r2 = b0 * y + c0, b1 * y + c1, b2 * y + c2
            for u in range(left, right + 1):
                x = u - cx
                e0, e1, e2 = a0 * x + r0, a1 * x + r1, a2 * x + r2
                if e0 >= 0 and e1 >= 0 and e2 >= 0:
                    total = e0 + e1 + e2
                    if total > 0:
                        z = volume / total
                        if z >= near and np.float32(z) < depth[v, u]:
                            depth[v, u] = z
                            element[v, u] = t


@numba.njit(cache=True, nogil=True)
def _interpolate_colors(points, triangles, colors, intrinsics, element, rgb):  # type: ignore[no-untyped-def]
    fx, fy, cx, cy = intrinsics
    edges = np.empty((3, 3))
    for v in range(element.shape[0]):
        for u in range(element.shape[1]):
            t = element[v, u]
            if t < 0:
                continue
            _edge_functions(points, triangles, t, edges)
            x, y = (u - cx) / fx, (v - cy) / fy
            e0 = edges[0, 0] * x + edges[0, 1] * y + edges[0, 2]
            e1 = edges[1, 0] * x + edges[1, 1] * y + edges[1, 2]
            e2 = edges[2, 0] * x + edges[2, 1] * y + edges[2, 2]
            total = e0 + e1 + e2
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            for channel in range(3):
                value = (e0 * colors[i, channel] + e1 * colors[j, channel] + e2 * colors[k, channel]) / total
                rgb[v, u, channel] = min(255, max(0, int(value + 0.5)))


@numba.njit(cache=True, nogil=True)
def _edge_functions(points, triangles, t, edges):  # type: ignore[no-untyped-def]
    """Row i: normal of the plane through the eye and the edge facing vertex i; returns the volume."""
    for i in range(3):
        p, q = triangles[t, (i + 1) % 3], triangles[t, (i + 2) % 3]
        edges[i, 0] = points[p, 1] * points[q, 2] - points[p, 2] * points[q, 1]
        edges[i, 1] = points[p, 2] * points[q, 0] - points[p, 0] * points[q, 2]
        edges[i, 2] = points[p, 0] * points[q, 1] - points[p, 1] * points[q, 0]
    a = triangles[t, 0]
    return points[a, 0] * edges[0, 0] + points[a, 1] * edges[0, 1] + points[a, 2] * edges[0, 2]


@numba.njit(cache=True, nogil=True)
def _projected(points, intrinsics, near):  # type: ignore[no-untyped-def]
    """Pixels [V, 2] of the points beyond ``near``; the others are never read."""
    pixels = np.empty((points.shape[0], 2))
    for n in range(points.shape[0]):
        z = points[n, 2]
        if z >= near:
            pixels[n, 0] = intrinsics[0] * points[n, 0] / z + intrinsics[2]
            pixels[n, 1] = intrinsics[1] * points[n, 1] / z + intrinsics[3]
    return pixels


@numba.njit(cache=True, nogil=True)
def _bounds(points, pixels, triangles, t, intrinsics, near, width, height):  # type: ignore[no-untyped-def]
    """Pixels the part of the triangle beyond ``near`` can cover: left, right, top, bottom (inclusive)."""
    fx, fy, cx, cy = intrinsics
    left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
    for i in range(3):
        p, q = triangles[t, i], triangles[t, (i + 1) % 3]
        zp, zq = points[p, 2], points[q, 2]
        if zp >= near:
            u, v = pixels[p, 0], pixels[p, 1]
            left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
        if (zp >= near) != (zq >= near):
            s = (near - zp) / (zq - zp)
            u = fx * (points[p, 0] + s * (points[q, 0] - points[p, 0])) / near + cx
            v = fy * (points[p, 1] + s * (points[q, 1] - points[p, 1])) / near + cy
            left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
    if not (right >= 0 and left <= width - 1 and bottom >= 0 and top <= height - 1):
        return 0, -1, 0, -1
    # a hair wider than the outline, so that rounding loses no pixel on it
    return (
        math.ceil(max(left - 1e-6, 0.0)),
        math.floor(min(right + 1e-6, width - 1.0)),
        math.ceil(max(top - 1e-6, 0.0)),
        math.floor(min(bottom + 1e-6, height - 1.0)),
    )


@numba.njit(cache=True, nogil=True)
def _splat(points, intrinsics, radius, near, depth, element):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    fx, fy, cx, cy = intrinsics
    for n in range(points.shape[0]):
        z = points[n, 2]
        if not (z >= near and z < np.inf):
            continue
        u = math.floor(fx * points[n, 0] / z + cx + 0.5)
        v = math.floor(fy * points[n, 1] / z + cy + 0.5)
        if not (-radius <= u < width + radius and -radius <= v < height + radius):
            continue
        for row in range(max(0, int(v) - radius), min(height - 1, int(v) + radius) + 1):
            for column in range(max(0, int(u) - radius), min(width - 1, int(u) + radius) + 1):
                if np.float32(z) < depth[row, column]:
                    depth[row, column] = z
                    element[row, column] = n
