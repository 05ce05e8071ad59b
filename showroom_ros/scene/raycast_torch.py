"""What a map in tensors looks like from a camera: ``raycast`` with all rays marching in step on the map's device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showroom_ros.geometry.camera import Camera
from showroom_ros.scene.block_store import BLOCK_EDGE, TSDF_UNITS, WEIGHT_UNITS
from showroom_ros.scene.block_store_torch import TorchBlockStore, keys_of
from showroom_ros.scene.volume_torch import TorchTsdfVolume

_SETTLED_EVERY = 8
"""Steps after which rays that ended are set aside (on a GPU, asking costs as much as a step)."""
_CORNERS = torch.cartesian_prod(*[torch.tensor([0, 1])] * 3)


def march(
    volume: TorchTsdfVolume,
    camera: Camera,
    T_world_camera: NDArray[np.float64],
    near_m: float,
    far_m: float,
    least: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Depth float32 [H, W] (NaN none), weight float32 [H, W] and provenance uint8 [H, W], as ``raycast`` gives them.

    Args:
        volume: the map.
        camera: undistorted.
        T_world_camera: float64 [4, 4].
        near_m: planar depth at which rays start.
        far_m: planar depth at which they end.
        least: smallest weight, in units of the store, of a voxel that counts.
    """
    store, settings = volume.store, volume.settings
    start, directions = _rays(camera, T_world_camera, settings.voxel_size_m, store.device)
    speed = directions.norm(dim=1)  # voxels per metre of depth
    truncation = settings.truncation_m / settings.voxel_size_m
    count = len(directions)
    depth = torch.full((count,), torch.nan, device=store.device)
    weight, kind = torch.zeros_like(depth), torch.zeros(count, dtype=torch.uint8, device=store.device)
    ray = torch.arange(count, device=store.device)
    z = torch.full((count,), near_m, dtype=torch.float64, device=store.device)
    before, z_before = torch.full_like(z, torch.nan), z.clone()
    step_number = 0
    while len(ray) and len(store.keys):
        place = start + z[:, None] * directions[ray]
        voxel = (place + 0.5).floor().long()
        slot, at = _find(store, voxel)
        seen = torch.where(slot >= 0, store.weight[slot, at].int(), 0)
        value = store.tsdf[slot, at].double() / TSDF_UNITS
        known = seen >= least
        coarse = known & (value.abs() * truncation > 2.0)  # far enough from surface for the nearest voxel
        fine = torch.nonzero((slot >= 0) & ~coarse)[:, 0]
        value = torch.where(coarse, value, torch.nan)
        value[fine] = _trilinear(store, place[fine], least)
        hit = (value <= 0) & (before > 0) & ~coarse
        found = ray[hit]
        depth[found] = (z - (z - z_before) * value / (value - before))[hit].float()
        weight[found], kind[found] = seen[hit].float() / WEIGHT_UNITS, store.kind[slot[hit], at[hit]]
        step = torch.where(coarse, (0.7 * value.abs() * truncation - 1.0).clamp(min=0.5), 0.5) / speed[ray]
        step = torch.where(slot < 0, _to_exit(place + 0.5, directions[ray]) + 0.01 / speed[ray], step)
        before, z_before = value, z
        z = torch.where(hit, torch.inf, z + step)
        step_number += 1
        if step_number % _SETTLED_EVERY == 0:
            going = z < far_m
            ray, z, before, z_before = ray[going], z[going], before[going], z_before[going]
    shape = camera.height, camera.width
    beyond = ~(depth < far_m)
    depth[beyond], weight[beyond], kind[beyond] = torch.nan, 0, 0
    return depth.reshape(shape), weight.reshape(shape), kind.reshape(shape)


def _rays(
    camera: Camera, T_world_camera: NDArray[np.float64], voxel_size_m: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Origin [3] and directions [N, 3] per metre of depth, in voxels."""
    scaled = T_world_camera[:3] / voxel_size_m
    directions = camera.rays().reshape(-1, 3) @ scaled[:, :3].T
    return torch.as_tensor(scaled[:, 3], device=device), torch.as_tensor(directions, device=device)


def _find(store: TorchBlockStore, voxel: Tensor) -> tuple[Tensor, Tensor]:
    """Slot of each voxel's block, -1 where there is none, and the voxel's number in it; [...] of [..., 3]."""
    rows, found = store.find(keys_of((voxel >> 3).reshape(-1, 3)))
    inside = voxel & 7
    at = inside[..., 0] + 8 * inside[..., 1] + 64 * inside[..., 2]
    return torch.where(found, store.slots[rows], -1).reshape(at.shape), at


def _trilinear(store: TorchBlockStore, place: Tensor, least: int) -> Tensor:
    """Signed distances [N] in units of the truncation at places [N, 3]; NaN where one of 8 voxels is unknown."""
    low = place.floor()
    part = (place - low)[:, None]
    corners = _CORNERS.to(place.device)
    slot, at = _find(store, low.long()[:, None] + corners)
    share = torch.where(corners > 0, part, 1 - part).prod(-1)
    known = (slot >= 0) & (store.weight[slot, at] >= least)
    total = (share * store.tsdf[slot, at].double()).sum(1) / TSDF_UNITS
    return torch.where(known.all(1), total, torch.nan)


def _to_exit(place: Tensor, directions: Tensor) -> Tensor:
    """Metres of depth until places [N, 3] leave their blocks."""
    low = (place / BLOCK_EDGE).floor() * BLOCK_EDGE
    far = torch.where(directions > 0, low + BLOCK_EDGE, low)
    still = directions.abs() < 1e-12
    return torch.where(still, torch.inf, (far - place) / torch.where(still, 1.0, directions)).amin(1)
