"""What the map looks like from a camera: depth by marching rays through its voxels (Newcombe et al., 2011, 3.3).

The cost follows the image and the way through the blocks it sees, not the size of the map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import numba
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import checked_pose
from showroom_ros.scene.block_store import TSDF_UNITS, WEIGHT_UNITS, _find, _key
from showroom_ros.scene.volume import TsdfVolume, Volume

if TYPE_CHECKING:
    from showroom_ros.scene.volume_torch import TorchTsdfVolume

_NEAREST_M = 0.05


class RaycastView(NamedTuple):
    """Surface of the map per pixel.

    Attributes:
        depth: float32 [H, W], planar, metres, NaN where no surface is met.
        weight: float32 [H, W], of the voxel there: how often it was observed; 0 where there is none.
        provenance: uint8 [H, W] of ``Provenance``.
    """

    depth: NDArray[np.float32]
    weight: NDArray[np.float32]
    provenance: NDArray[np.uint8]


def raycast(
    volume: Volume, camera: Camera, T_world_camera: NDArray[np.float64], max_depth_m: float | None = None
) -> RaycastView:
    """Surface seen from in front, where the signed distance turns negative.

    Args:
        volume: the map; torch's is looked at on its device.
        camera: undistorted.
        T_world_camera: float64 [4, 4].
        max_depth_m: rays end there; None = ``settings.max_depth_m``.

    Raises:
        InputError: the camera has distortion or the pose is none.
    """
    if camera.is_distorted:
        raise InputError("raycast: the camera has lens distortion, expected an undistorted one")
    pose = checked_pose(T_world_camera)
    settings = volume.settings
    far_m = settings.max_depth_m if max_depth_m is None else max_depth_m
    least = max(1, round(settings.min_weight * WEIGHT_UNITS))
    if not isinstance(volume, TsdfVolume):
        from showroom_ros.scene.raycast_torch import march

        found = march(cast("TorchTsdfVolume", volume), camera, pose, _NEAREST_M, far_m, least)
        return RaycastView(*(plane.cpu().numpy() for plane in found))
    store = volume.store
    shape = camera.height, camera.width
    depth = np.full(shape, np.nan, np.float32)
    weight, provenance = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    _march(
        *store.table, store.children, store.tsdf, store.weight,
        (camera.fx, camera.fy, camera.cx, camera.cy), pose / settings.voxel_size_m, pose,
        np.float64(settings.truncation_m / settings.voxel_size_m), np.float64(far_m), least, depth, weight, provenance,
    )  # fmt: skip
    return RaycastView(depth, weight, provenance)


def raycast_reference(
    volume: Volume, camera: Camera, T_world_camera: NDArray[np.float64], max_depth_m: float
) -> NDArray[np.float32]:
    """``raycast(...).depth`` pixel by pixel in steps of a tenth of a voxel, for comparison."""
    voxels, settings = volume.voxels(), volume.settings
    tsdf = {tuple(p): v.reshape(8, 8, 8) for p, v in zip(voxels.position.tolist(), voxels.tsdf, strict=True)}
    known = {tuple(p): (v >> 2).reshape(8, 8, 8) for p, v in zip(voxels.position.tolist(), voxels.weight, strict=True)}
    least = max(1, round(settings.min_weight * WEIGHT_UNITS))

    def sample(point: NDArray[np.float64]) -> float:
        low = np.floor(point).astype(int)
        share, total = point - low, 0.0
        for corner in np.ndindex(2, 2, 2):
            at = low + corner
            block, inside = tuple((at >> 3).tolist()), tuple((at & 7)[::-1].tolist())
            if block not in tsdf or known[block][inside] < least:
                return float("nan")
            total += float(tsdf[block][inside]) * float(np.prod(np.where(corner, share, 1 - share)))
        return total

    depth = np.full((camera.height, camera.width), np.nan, np.float32)
    step = 0.1 * settings.voxel_size_m
    rays = camera.rays().reshape(camera.height, camera.width, 3)
    for v, u in np.ndindex(depth.shape):
        before, z = float("nan"), _NEAREST_M
        while z < max_depth_m:
            point = T_world_camera[:3, :3] @ (rays[v, u] * z) + T_world_camera[:3, 3]
            now = sample(point / settings.voxel_size_m)
            if before > 0 >= now:
                depth[v, u] = z - step * now / (now - before)
                break
            before, z = now, z + step
    return depth


@numba.njit(cache=True, nogil=True)
def _slot(keys, values, children, x, y, z):  # type: ignore[no-untyped-def]
    """Slot of the block of a voxel; -1 if its mesh block has no such child, -2 if there is no mesh block."""
    row = _find(keys, values, _key(x >> 5, y >> 5, z >> 5))
    if row < 0:
        return -2
    return children[row, ((x >> 3) & 3) + 4 * ((y >> 3) & 3) + 16 * ((z >> 3) & 3)]


@numba.njit(cache=True, nogil=True)
def _trilinear(keys, values, children, tsdf, weight, x, y, z, least):  # type: ignore[no-untyped-def]
    """Signed distance in units of the truncation at a place in voxels; NaN if one of its 8 voxels is unknown."""
    i, j, k = np.int64(np.floor(x)), np.int64(np.floor(y)), np.int64(np.floor(z))
    fx, fy, fz = x - i, y - j, z - k
    total = 0.0
    slot = -3
    for n in range(8):
        a, b, c = i + (n & 1), j + ((n >> 1) & 1), k + (n >> 2)
        if n == 0 or (i & 7) == 7 or (j & 7) == 7 or (k & 7) == 7:
            slot = _slot(keys, values, children, a, b, c)
        if slot < 0:
            return np.nan
        at = (a & 7) + 8 * (b & 7) + 64 * (c & 7)
        if (weight[slot, at] >> 2) < least:
            return np.nan
        share = (fx if n & 1 else 1 - fx) * (fy if n & 2 else 1 - fy) * (fz if n & 4 else 1 - fz)
        total += share * tsdf[slot, at]
    return total / TSDF_UNITS


@numba.njit(cache=True, nogil=True)
def _to_exit(x, dx, edge):  # type: ignore[no-untyped-def]
    """How far along a direction a coordinate stays within its cell of an edge length."""
    if abs(dx) < 1e-12:
        return np.inf
    low = np.floor(x / edge) * edge
    return (low + edge - x) / dx if dx > 0 else (low - x) / dx


@numba.njit(cache=True, nogil=True)
def _march(  # type: ignore[no-untyped-def]
    keys, values, children, tsdf, weight, K, scaled, T, truncation, far, least, depth, out_weight, provenance
):
    height, width = depth.shape
    for v in range(height):
        for u in range(width):
            a, b = (u - K[2]) / K[0], (v - K[3]) / K[1]
            dx = scaled[0, 0] * a + scaled[0, 1] * b + scaled[0, 2]
            dy = scaled[1, 0] * a + scaled[1, 1] * b + scaled[1, 2]
            dz = scaled[2, 0] * a + scaled[2, 1] * b + scaled[2, 2]
            speed = np.sqrt(dx * dx + dy * dy + dz * dz)  # voxels per metre of depth
            z, before, z_before = _NEAREST_M, np.nan, _NEAREST_M
            while z < far:
                x, y, w = scaled[0, 3] + z * dx, scaled[1, 3] + z * dy, scaled[2, 3] + z * dz
                i, j, k = np.int64(np.floor(x + 0.5)), np.int64(np.floor(y + 0.5)), np.int64(np.floor(w + 0.5))
                slot = _slot(keys, values, children, i, j, k)
                if slot < 0:
                    edge = 32.0 if slot == -2 else 8.0
                    step = min(_to_exit(x + 0.5, dx, edge), _to_exit(y + 0.5, dy, edge), _to_exit(w + 0.5, dz, edge))
                    z += step + 0.01 / speed
                    before = np.nan
                    continue
                at = (i & 7) + 8 * (j & 7) + 64 * (k & 7)
                seen = weight[slot, at] >> 2
                value = tsdf[slot, at] / TSDF_UNITS
                if seen >= least and abs(value) * truncation > 2.0:  # far enough from surface for the nearest voxel
                    before, z_before = value, z
                    z += max(0.7 * abs(value) * truncation - 1.0, 0.5) / speed
                    continue
                value = _trilinear(keys, values, children, tsdf, weight, x, y, w, least)
                if value <= 0.0 and before > 0.0:
                    hit = z - (z - z_before) * value / (value - before)
                    depth[v, u] = hit
                    out_weight[v, u] = seen / WEIGHT_UNITS
                    provenance[v, u] = weight[slot, at] & 3
                    break
                before, z_before = value, z
                z += 0.5 / speed
