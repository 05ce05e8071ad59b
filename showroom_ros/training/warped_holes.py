"""Holes as reconstruction leaves them: what one view saw, projected into another (Engstler et al., 2024)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

NEAR_M = 1e-3
"""Points less far in front of a camera are behind it."""


def warped_depth(depth: Tensor, K: Tensor, T_world_camera: Tensor, source: int, target: int) -> Tensor:
    """What view ``source`` saw, as view ``target`` sees it; of points that share a pixel the nearest wins.

    Pixels that get no point take the nearest of their eight neighbours where at least three of these got one, so
    that a surface that is magnified has no pinholes.

    Args:
        depth: float [V, H, W] of a clip (``training.clips``), metres, NaN unknown; that of ``target`` is not used.
        K: float [V, 3, 3], pixels, the centre of the first being (0, 0).
        T_world_camera: float [V, 4, 4].
        source: a view.
        target: another, or the same.

    Returns:
        float32 [H, W], metres, NaN where nothing lands.
    """
    height, width = depth.shape[-2:]
    points, z = _points_seen_from(depth[source].double(), K, T_world_camera, source, target)
    pixels = (points[:, :2] / points[:, 2:] + 0.5).floor().long()
    column, row = pixels.unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    buffer = torch.full((height * width,), torch.inf)
    buffer.scatter_reduce_(0, (row * width + column)[inside], z[inside].float(), "amin")
    filled = _without_pinholes(buffer.view(height, width))
    return torch.where(filled.isfinite(), filled, torch.nan)


def _points_seen_from(
    depth: Tensor, K: Tensor, T_world_camera: Tensor, source: int, target: int
) -> tuple[Tensor, Tensor]:
    """Known pixels of ``source`` in homogeneous pixels of ``target`` [N, 3] and their depth there [N], metres."""
    row, column = torch.nonzero(depth > 0, as_tuple=True)
    homogeneous = torch.stack([column, row, torch.ones_like(row)], -1).double()
    rays = homogeneous @ torch.linalg.inv(K[source].double()).T
    relative = torch.linalg.inv(T_world_camera[target].double()) @ T_world_camera[source].double()
    points = (rays * depth[row, column, None]) @ relative[:3, :3].T + relative[:3, 3]
    points = points[points[:, 2] > NEAR_M]
    return points @ K[target].double().T, points[:, 2]


def _without_pinholes(z: Tensor) -> Tensor:
    """``z`` [H, W], infinite where empty, with empty pixels filled that have three neighbours or more."""
    neighbours = F.avg_pool2d(z.isfinite().float()[None, None], 3, 1, 1, divisor_override=1)[0, 0]
    nearest = -F.max_pool2d(-z[None, None], 3, 1, 1)[0, 0]
    return torch.where(z.isinf() & (neighbours > 2.5), nearest, z)


def seen_through(depth: Tensor, K: Tensor, T_camera_other: Tensor) -> Tensor:
    """What of a view another camera sees, back in the view: the holes are what that camera could not see.

    Args:
        depth: float [H, W] of the view, metres, NaN unknown.
        K: float [3, 3], of both.
        T_camera_other: float [4, 4], such as ``random_camera`` gives.

    Returns:
        float32 [H, W], metres, NaN where the other camera sees nothing of the view.
    """
    poses = torch.stack([torch.eye(4, dtype=T_camera_other.dtype), T_camera_other])
    matrices = K.expand(2, 3, 3)
    there = warped_depth(torch.stack([depth, torch.full_like(depth, torch.nan)]), matrices, poses, 0, 1)
    return warped_depth(torch.stack([torch.full_like(there, torch.nan), there]), matrices, poses, 1, 0)


def random_camera(
    rng: Generator,
    depth: Tensor,
    *,
    turn_share: float = 0.3,
    max_orbit_deg: float = 15.0,
    distance_range: float = 0.1,
    max_turn_deg: float = 30.0,
) -> Tensor:
    """A camera beside that of a single view: on an orbit about what it sees, or turned in place.

    The orbit is that of Engstler et al. (2024): azimuth and elevation are uniform, and so is the distance from the
    point at the median depth on the optical axis. A turn leaves a whole side of the view unknown.

    Args:
        rng: what to draw from.
        depth: float [H, W] of the view, metres, NaN unknown.
        turn_share: share of cameras that are turned in place, to the left or right.
        max_orbit_deg: of azimuth and elevation.
        distance_range: the distance is changed by a factor of one plus or minus up to this.
        max_turn_deg: of a turn, at least a third of it.

    Returns:
        ``T_camera_other`` float64 [4, 4].
    """
    T_camera_other = torch.eye(4, dtype=torch.float64)
    if rng.random() < turn_share:
        turn_deg = rng.uniform(max_turn_deg / 3, max_turn_deg) * rng.choice([-1, 1])
        T_camera_other[:3, :3] = _turn(turn_deg, 0.0)
        return T_camera_other
    known = depth[depth > 0]
    distance_m = float(known.median()) if len(known) else 1.0
    azimuth, elevation = rng.uniform(-max_orbit_deg, max_orbit_deg, 2)
    rotation = _turn(azimuth, elevation)
    T_camera_other[:3, :3] = rotation
    T_camera_other[2, 3] = distance_m
    T_camera_other[:3, 3] -= rotation[:, 2] * distance_m * rng.uniform(1 - distance_range, 1 + distance_range)
    return T_camera_other


def _turn(yaw_deg: float, pitch_deg: float) -> Tensor:
    """Rotation [3, 3] about the y axis after one about the x axis (OpenCV axes)."""
    (cy, cx), (sy, sx) = np.cos(np.deg2rad([yaw_deg, pitch_deg])), np.sin(np.deg2rad([yaw_deg, pitch_deg]))
    yaw = torch.tensor([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]], dtype=torch.float64)
    pitch = torch.tensor([[1, 0, 0], [0, cx, -sx], [0, sx, cx]], dtype=torch.float64)
    return yaw @ pitch
