"""How much of a photo another one shows too.

A pixel of photo A is *shared* with photo B when the surface point it shows projects into B and is not hidden
there: its depth in B is at most the largest of the four depths around its projection plus ``MARGIN`` of it. The
overlap of two photos is the smaller one of the shares of A's pixels in B and of B's pixels in A; pixels that
show no surface are never shared.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showroom_ros.datasets.synthetic.raster import camera_tensor
from showroom_ros.datasets.synthetic.rendering import Rendering
from showroom_ros.errors import InputError

MARGIN = 0.01

Array = NDArray[np.float64]


def overlaps(views: Rendering, others: Rendering) -> Array:
    """Overlap of each of A views with each of B others of the same camera, float64 [A, B] in [0, 1].

    Raises:
        InputError: different cameras.
    """
    return np.minimum(shared(views, others), shared(others, views).T)


def shared(views: Rendering, others: Rendering) -> Array:
    """Share of each view's pixels that is seen in each of the others too, float64 [A, B]."""
    camera = views.camera
    if camera != others.camera:
        raise InputError(f"views of {camera} and {others.camera} cannot be compared, expected one camera")
    device = views.depth.device
    x, y = camera_tensor(camera, device)
    rays = torch.stack([*torch.meshgrid(x, y, indexing="xy"), torch.ones(len(y), len(x), device=device)], -1).float()
    poses = torch.as_tensor(views.T_world_camera, device=device)
    inverses = torch.linalg.inv(torch.as_tensor(others.T_world_camera, device=device))
    farthest = _farthest_around(others.depth)
    rows = []
    for depth, pose in zip(views.depth, poses, strict=True):
        points = (rays * depth[..., None]).reshape(-1, 3)
        moved = (inverses @ pose).float()
        seen_at = points @ moved[:, :3, :3].mT + moved[:, None, :3, 3]
        rows.append(_visible(seen_at, farthest, others).float().mean(-1))
    return torch.stack(rows).double().cpu().numpy()


def _visible(points: Tensor, farthest: Tensor, others: Rendering) -> Tensor:
    """Whether points [B, P, 3] in the frame of each of the others are in the picture and not hidden, bool [B, P]."""
    camera = others.camera
    z = points[..., 2]
    column = points[..., 0] / z * camera.fx + camera.cx
    row = points[..., 1] / z * camera.fy + camera.cy
    inside = (z > 0) & (column >= 0) & (column <= camera.width - 1) & (row >= 0) & (row <= camera.height - 1)
    left = torch.where(inside, column, 0).long().clamp(max=camera.width - 2)
    top = torch.where(inside, row, 0).long().clamp(max=camera.height - 2)
    limit = farthest.flatten(1).gather(1, top * (camera.width - 1) + left)
    return inside & (z <= limit * (1 + MARGIN))


def _farthest_around(depth: Tensor) -> Tensor:
    """Largest depth of each pixel and its neighbours right and below, [B, H - 1, W - 1]; 0 where none is known."""
    return torch.nn.functional.max_pool2d(depth.nan_to_num(0.0)[:, None], 2, 1)[:, 0]
