"""``view_pixels`` on a torch device: the same rules, whole images at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from showroom_ros.scene.block_store import BLOCK_EDGE, WEIGHT_UNITS
from showroom_ros.scene.view import View
from showroom_ros.scene.view_pixels import REACH, Projection, ray_samples, steepest
from showroom_ros.settings import MapSettings


class TorchPixels(NamedTuple):
    """A view made ready.

    Attributes:
        depth: float32 [H, W], metres, NaN where it says nothing.
        seen: int32 [H, W], weight << 2 | provenance.
        rgb: int32 [H, W], R | G << 8 | B << 16.
    """

    depth: Tensor
    seen: Tensor
    rgb: Tensor


def prepare_pixels(view: View, settings: MapSettings, device: torch.device) -> TorchPixels:
    """The planes of ``view`` on ``device``."""
    depth = torch.as_tensor(view.require_depth(), device=device)
    units = torch.full_like(depth, WEIGHT_UNITS, dtype=torch.int32)
    if view.confidence is not None:
        confidence = torch.as_tensor(view.confidence, device=device).nan_to_num(0).clamp(0, 1)
        units = (confidence * WEIGHT_UNITS + 0.5).int()
    kind = torch.ones_like(units)
    if view.provenance is not None:
        kind = torch.as_tensor(view.provenance, device=device).int()
    valid = (depth >= settings.min_depth_m) & (depth <= settings.max_depth_m) & (depth > 0)
    valid &= (units > 0) & (kind > 0) & (kind <= 3)
    for axis, steep in zip((1, 0), steepest(view, settings), strict=True):
        valid &= _continued(depth, axis, float(steep))
    image = torch.as_tensor(np.ascontiguousarray(view.image), device=device).int()
    rgb = image[..., 0] | image[..., 1] << 8 | image[..., 2] << 16
    return TorchPixels(torch.where(valid, depth, torch.nan), units << 2 | kind, rgb)


def _continued(depth: Tensor, axis: int, steep: float) -> Tensor:
    """Whether a neighbour ``REACH`` pixels away along ``axis`` continues a pixel's surface."""
    size = depth.shape[axis]
    pixel = torch.arange(size, device=depth.device)
    before = depth.index_select(axis, (pixel - REACH).clamp(min=0))
    after = depth.index_select(axis, (pixel + REACH).clamp(max=size - 1))
    smooth = ((before - depth).abs() <= depth * steep) | ((after - depth).abs() <= depth * steep)
    at_border = (pixel < REACH) | (pixel >= size - REACH)
    return smooth | (at_border if axis == 1 else at_border[:, None])


def blocks_near_surface(pixels: TorchPixels, view: View, settings: MapSettings) -> Tensor:
    """Blocks int64 [N, 3] the truncation band of the depth passes through; may hold duplicates."""
    stride, offsets = ray_samples(settings, view)
    camera, device = view.camera, pixels.depth.device
    T_world_camera = torch.as_tensor(view.require_pose(), device=device)
    sampled = pixels.depth[::stride, ::stride].double()
    v, u = torch.nonzero(~sampled.isnan(), as_tuple=True)
    z = (sampled[v, u][:, None] + torch.as_tensor(offsets, device=device)).clamp(min=0)
    x, y = (u.double() * stride - camera.cx) / camera.fx, (v.double() * stride - camera.cy) / camera.fy
    rays = torch.stack([x, y, torch.ones_like(x)], 1) @ T_world_camera[:3, :3].T
    points = rays[:, None] * z[..., None] + T_world_camera[:3, 3]
    return (points / (settings.voxel_size_m * BLOCK_EDGE)).floor().long().reshape(-1, 3)


def visible_blocks(
    positions: Tensor, pixels: TorchPixels, projection: Projection, view: View, settings: MapSettings
) -> Tensor:
    """Whether blocks int64 [N, 3] may have voxels in view and not far behind the farthest depth, bool [N]."""
    valid = pixels.depth[~pixels.depth.isnan()]
    if not len(valid):
        return torch.zeros(len(positions), dtype=torch.bool, device=positions.device)
    block_m, camera = settings.voxel_size_m * BLOCK_EDGE, view.camera
    T_camera_world = torch.as_tensor(projection.T_camera_world, device=positions.device)
    centres = (positions.double() + 0.5) * block_m @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    x, y, z = centres.unbind(1)
    radius = 0.5 * np.sqrt(3) * block_m
    near, far = z - radius, z + radius
    inside = (far > 0) & (near <= float(valid.max()) + settings.truncation_m)
    for middle, focal, centre, size in (
        (x, camera.fx, camera.cx, camera.width),
        (y, camera.fy, camera.cy, camera.height),
    ):
        safe = near.clamp(min=1e-6)
        low = torch.minimum((middle - radius) / safe, (middle - radius) / far) * focal + centre
        high = torch.maximum((middle + radius) / safe, (middle + radius) / far) * focal + centre
        inside &= (near <= 0) | ((high >= -1) & (low <= size))
    return inside
