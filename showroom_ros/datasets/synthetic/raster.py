"""Ray casting a triangle mesh on torch: the fast path by rasterisation, and the slow reference.

Both answer the same question for the ray of every pixel: which front-facing triangle does it meet
first? The fast path does many views in one go: it lists all (view, triangle, pixel) triples of the
triangles' bounding boxes and keeps the nearest by an atomic minimum, so it runs alike on CPU and CUDA, and
its result does not depend on the order in which the triples are worked on. Memory is bounded: views and
triples are taken in portions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from showroom_ros.geometry.camera import Camera

NEAR_M = 1e-3
_EMPTY = torch.iinfo(torch.int64).max
_PORTIONS = {"cpu": (300_000, 4_000_000), "cuda": (4_000_000, 48_000_000)}
"""By device: (view, triangle) pairs set up and (view, triangle, pixel) triples tested at once."""


def cast_rays(points: Tensor, triangles: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """Depth float32 [..., H, W] (NaN where nothing is met) and triangle int32 [..., H, W] (-1) by rasterisation.

    Args:
        points: float32 or float64 [..., V, 3], camera frame of each view; one or no leading axis.
        triangles: int64 [T, 3], counter-clockwise seen from the free side.
        camera: undistorted pinhole.
    """
    if points.ndim == 2:
        depth, index = cast_rays(points[None], triangles, camera)
        return depth[0], index[0]
    size = (len(points), camera.height, camera.width)
    buffer = torch.full((size[0] * size[1] * size[2],), _EMPTY, dtype=torch.int64, device=points.device)
    pairs, triples = _PORTIONS[points.device.type]
    step = max(1, pairs // max(1, len(triangles)))
    for first in range(0, size[0], step):
        _splat_views(points[first : first + step].double(), triangles, camera, triples, first, buffer)
    hit = buffer != _EMPTY
    index = torch.where(hit, buffer & 0xFFFFFFFF, -1).int().view(size)
    depth = torch.where(hit, (buffer >> 32).int().view(torch.float32), torch.nan).view(size)
    return depth, index


def cast_rays_reference(
    points: Tensor, triangles: Tensor, camera: Camera, rays_per_step: int = 32
) -> tuple[Tensor, Tensor]:
    """The obvious, slow ``cast_rays`` of one view: every ray against every triangle (Moeller and Trumbore, 1997)."""
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


def _splat_views(
    points: Tensor, triangles: Tensor, camera: Camera, triples: int, first_view: int, buffer: Tensor
) -> None:
    """Rasterises views ``first_view``... of camera-frame points [B, V, 3] into ``buffer`` int64 [views * H * W]."""
    corners = points[:, triangles.view(-1)].view(len(points), *triangles.shape, 3).flatten(0, 1)
    boxes = _pixel_boxes(corners, camera)
    kept = torch.nonzero((boxes[:, 2:] >= boxes[:, :2]).all(1) & (_plane(corners)[1] < 0))[:, 0]
    corners, boxes = corners[kept], boxes[kept]
    view, triangle = kept // len(triangles) + first_view, kept % len(triangles)
    extent = boxes[:, 2:] - boxes[:, :2] + 1
    area = extent[:, 0] * extent[:, 1]
    planes = _planes_in_pixels(corners, camera)
    base = view * (camera.height * camera.width) + boxes[:, 1] * camera.width + boxes[:, 0]
    setup = torch.stack([base, triangle, extent[:, 0], boxes[:, 0], boxes[:, 1]], 1)
    group = torch.cumsum(area, 0) // triples
    counts = torch.unique_consecutive(group, return_counts=True)[1].tolist()
    for part in zip(setup.split(counts), planes.split(counts), area.split(counts), strict=True):
        _splat(*part, camera.width, buffer)


def _plane(corners: Tensor) -> tuple[Tensor, Tensor]:
    """Normal [T, 3] and offset [T] of the plane of each triangle; the offset is negative seen from the front."""
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normal, (normal * corners[:, 0]).sum(1)


def _planes_in_pixels(corners: Tensor, camera: Camera) -> Tensor:
    """Three edge functions (<= 0 inside; Olano and Greer, 1997) and 1 / z as a u + b v + c, float64 [T, 3, 4]."""
    normal, offset = _plane(corners)
    edges = torch.linalg.cross(corners[:, (1, 2, 0)], corners[:, (2, 0, 1)])
    planes = torch.cat([edges, (normal / offset[:, None])[:, None]], 1)
    a, b = planes[..., 0] / camera.fx, planes[..., 1] / camera.fy
    c = planes[..., 2] - a * camera.cx - b * camera.cy
    # neighbours round their common edge differently: without some slack a ray could slip between them
    c[:, :3] -= 1e-13 * (a.abs() * camera.width + b.abs() * camera.height + c.abs())[:, :3]
    return torch.stack([a, b, c], 1)


def _pixel_boxes(corners: Tensor, camera: Camera) -> Tensor:
    """First and last column and row of what of each triangle is before the camera, int64 [T, 4]; empty if u1 < u0.

    That is a polygon between the corners before the near plane and the points where edges pierce it.
    """
    first, second = corners, corners[:, (1, 2, 0)]
    share = (NEAR_M - first[..., 2]) / (second[..., 2] - first[..., 2])
    pierced = first + share[..., None] * (second - first)
    x, y, z = torch.cat([corners, pierced], 1).unbind(-1)
    there = torch.cat([corners[..., 2] >= NEAR_M, (share > 0) & (share < 1)], 1)
    z = z.clamp(min=NEAR_M)
    low, high = [], []
    for value, end in ((x / z * camera.fx + camera.cx, camera.width), (y / z * camera.fy + camera.cy, camera.height)):
        low.append(torch.ceil(torch.where(there, value, torch.inf).amin(1) - 1e-6).clamp(0, end))
        high.append(torch.floor(torch.where(there, value, -torch.inf).amax(1) + 1e-6).clamp(-1, end - 1))
    return torch.stack([*low, *high], 1).long()


def _splat(setup: Tensor, planes: Tensor, area: Tensor, width: int, buffer: Tensor) -> None:
    """Lowers ``buffer`` to (bits of the float32 depth) << 32 | triangle where it is nearer.

    ``setup`` int64 [T, 5]: first pixel in the buffer, triangle, width of the box, its first column and row.
    """
    owner = torch.repeat_interleave(area)
    base, triangle, across, left, top = setup[owner].unbind(1)
    within = torch.arange(len(owner), device=owner.device) - (torch.cumsum(area, 0) - area)[owner]
    row = torch.div(within, across, rounding_mode="floor")
    column = within - row * across
    a, b, c = planes[owner].unbind(1)
    values = a * (left + column).double()[:, None] + b * (top + row).double()[:, None] + c
    near = values[:, 3]
    inside = (values[:, :3] <= 0).all(1) & (near > 0) & (near < 1 / NEAR_M)
    pixel, depth = (base + row * width + column)[inside], (1 / near[inside]).float()
    key = (depth.view(torch.int32).long() << 32) | triangle[inside]
    buffer.scatter_reduce_(0, pixel, key, "amin")
