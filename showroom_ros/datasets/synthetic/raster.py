"""Ray casting a triangle mesh on torch: the fast path by rasterisation, and the slow reference.

Both answer the same question for the ray of every pixel: which front-facing triangle does it meet
first? The fast path lists all (triangle, pixel) pairs of the triangles' bounding boxes at once and keeps
the nearest by an atomic minimum, so it runs alike on CPU and CUDA.
"""

from __future__ import annotations

import torch
from torch import Tensor

from showroom_ros.geometry.camera import Camera

NEAR_M = 1e-3
_MAX_PAIRS = 6_000_000
_EMPTY = torch.iinfo(torch.int64).max


def cast_rays(points: Tensor, triangles: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """Depth float32 [H, W] (NaN where nothing is met) and triangle int32 [H, W] (-1) by rasterisation.

    Args:
        points: float32 or float64 [V, 3], camera frame.
        triangles: int64 [T, 3], counter-clockwise seen from the free side.
        camera: undistorted pinhole.
    """
    corners = points.double()[triangles]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    offsets = (normals * corners[:, 0]).sum(1)
    boxes = _pixel_boxes(corners, camera)
    extent = (boxes[:, 2:] - boxes[:, :2] + 1).clamp(min=0)
    area = extent[:, 0] * extent[:, 1]
    kept = torch.nonzero((area > 0) & (offsets < 0))[:, 0]
    buffer = torch.full((camera.height * camera.width,), _EMPTY, dtype=torch.int64, device=points.device)
    for chunk in _chunks(kept, area[kept]):
        _splat(chunk, corners[chunk], normals[chunk], offsets[chunk], boxes[chunk], extent[chunk], camera, buffer)
    hit = buffer != _EMPTY
    index = torch.where(hit, buffer & 0xFFFFFFFF, -1).int().view(camera.height, camera.width)
    return _planar_depth(index, normals, offsets, camera), index


def cast_rays_reference(
    points: Tensor, triangles: Tensor, camera: Camera, rays_per_step: int = 32
) -> tuple[Tensor, Tensor]:
    """The obvious, slow ``cast_rays``: every ray against every triangle (Moeller and Trumbore, 1997)."""
    a, b, c = points.double()[triangles].unbind(1)
    edge1, edge2 = b - a, c - a
    rays = torch.as_tensor(camera.rays().reshape(-1, 3), device=points.device)
    depths, indices = [], []
    for ray in rays.split(rays_per_step):
        p = torch.linalg.cross(ray[:, None], edge2[None])
        determinant = (edge1 * p).sum(-1)
        inverse = 1 / torch.where(determinant > 1e-15, determinant, torch.nan)
        u = -(a * p).sum(-1) * inverse
        q = torch.linalg.cross(-a, edge1)
        v = (ray[:, None] * q).sum(-1) * inverse
        t = (edge2 * q).sum(-1) * inverse
        met = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > NEAR_M)
        depth, index = torch.where(met, t, torch.inf).min(1)
        depths.append(torch.where(depth.isinf(), torch.nan, depth))
        indices.append(torch.where(depth.isinf(), -1, index))
    shape = (camera.height, camera.width)
    return torch.cat(depths).float().view(shape), torch.cat(indices).int().view(shape)


def camera_tensor(camera: Camera, device: torch.device) -> tuple[Tensor, Tensor]:
    """Normalised coordinates x [W] and y [H] of the pixel centres, float64."""
    u = torch.arange(camera.width, dtype=torch.float64, device=device)
    v = torch.arange(camera.height, dtype=torch.float64, device=device)
    return (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy


def _pixel_boxes(corners: Tensor, camera: Camera) -> Tensor:
    """First and last column and row of each triangle, int64 [T, 4] (u0, v0, u1, v1); empty when u1 < u0."""
    z = corners[..., 2]
    safe = z.clamp(min=NEAR_M)
    u = corners[..., 0] / safe * camera.fx + camera.cx
    v = corners[..., 1] / safe * camera.fy + camera.cy
    behind = z < NEAR_M
    crossing = (behind.any(1) & ~behind.all(1))[:, None]
    low = torch.stack([u.amin(1), v.amin(1)], 1)
    high = torch.stack([u.amax(1), v.amax(1)], 1)
    end = torch.tensor([camera.width - 1, camera.height - 1], device=corners.device, dtype=corners.dtype)
    low = torch.where(crossing, 0, low).clamp(min=-1)
    high = torch.where(crossing, end, high)
    high = torch.where((behind.all(1) | _beyond_sides(corners, camera))[:, None], -2, high)
    first = torch.ceil(torch.minimum(low, end + 1) - 1e-6).clamp(min=0)
    last = torch.floor(torch.maximum(torch.minimum(high, end), torch.full_like(high, -2)) + 1e-6)
    return torch.cat([first, last], 1).long()


def _beyond_sides(corners: Tensor, camera: Camera) -> Tensor:
    """Whether each triangle [T, 3, 3] lies wholly outside one side of the view, bool [T]."""
    x, y, z = corners.unbind(-1)
    left, right = (-0.5 - camera.cx) / camera.fx, (camera.width - 0.5 - camera.cx) / camera.fx
    top, bottom = (-0.5 - camera.cy) / camera.fy, (camera.height - 0.5 - camera.cy) / camera.fy
    sides = ((x < left * z), (x > right * z), (y < top * z), (y > bottom * z))
    return torch.stack([side.all(1) for side in sides]).any(0)


def _chunks(kept: Tensor, area: Tensor) -> list[Tensor]:
    group = torch.cumsum(area, 0) // _MAX_PAIRS
    return list(kept.split(torch.unique_consecutive(group, return_counts=True)[1].tolist())) if len(kept) else []


def _splat(
    number: Tensor,
    corners: Tensor,
    normals: Tensor,
    offsets: Tensor,
    boxes: Tensor,
    extent: Tensor,
    camera: Camera,
    buffer: Tensor,
) -> None:
    """Lowers ``buffer`` int64 [H * W] to (bits of the float32 depth) << 32 | triangle where it is nearer."""
    area = extent[:, 0] * extent[:, 1]
    owner = torch.repeat_interleave(area)
    within = torch.arange(len(owner), device=owner.device) - (torch.cumsum(area, 0) - area)[owner]
    column, row = boxes[owner, 0] + within % extent[owner, 0], boxes[owner, 1] + within // extent[owner, 0]
    x, y = camera_tensor(camera, buffer.device)
    x, y = x[column], y[row]
    inside = torch.ones_like(owner, dtype=torch.bool)
    for first, second in ((1, 2), (2, 0), (0, 1)):
        edge = torch.linalg.cross(corners[:, first], corners[:, second])[owner]
        inside &= edge[:, 0] * x + edge[:, 1] * y + edge[:, 2] <= 0
    slope = normals[owner, 0] * x + normals[owner, 1] * y + normals[owner, 2]
    depth = (offsets[owner] / slope).float()
    inside &= (slope < 0) & (depth > NEAR_M)
    key = (depth.view(torch.int32).long() << 32) | number[owner]
    pixel = row * camera.width + column
    buffer.scatter_reduce_(0, pixel[inside], key[inside], "amin")


def _planar_depth(index: Tensor, normals: Tensor, offsets: Tensor, camera: Camera) -> Tensor:
    x, y = camera_tensor(camera, index.device)
    safe = index.clamp(min=0).long()
    normal = normals[safe]
    slope = normal[..., 0] * x + normal[..., 1] * y[:, None] + normal[..., 2]
    return torch.where(index >= 0, offsets[safe] / slope, torch.nan).float()
