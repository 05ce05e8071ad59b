"""Texture times light in torch, for many views at once; ``kernels_numba.shade_rows`` does the same for one."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showroom_ros.datasets.synthetic.raster import camera_tensor
from showroom_ros.datasets.synthetic.room import Room
from showroom_ros.geometry.camera import Camera

_LEVELS = 7


class TexturePyramid:
    """All textures of a room and their halved versions.

    Attributes:
        texels: uint8 [N, 3], square root of the albedo times 255.
        level_start: int64 [L], first texel of each level.
        level_size: int64 [L], edge of its textures, a power of two.
        texels_per_m: float64 [T], of the full-size texture on each triangle.
    """

    def __init__(self, room: Room) -> None:
        """Halves the textures of ``room`` again and again."""
        codes = [np.clip(np.round(m.texture * 1023), 0, 1023).astype(np.int64) for m in room.materials]
        albedo = ((np.arange(1024) / 1023) ** 2.2).astype(np.float32)
        level: NDArray[np.float32] = albedo[np.stack(codes)]
        flat, starts, sizes = [], [0], []
        for _ in range(_LEVELS):
            flat.append(np.round(np.sqrt(level) * 255).astype(np.uint8).reshape(-1, 3))
            starts.append(starts[-1] + len(flat[-1]))
            sizes.append(level.shape[1])
            level = (
                level[:, ::2, ::2] + level[:, 1::2, ::2] + level[:, ::2, 1::2] + level[:, 1::2, 1::2]
            ) / np.float32(4)
        self.texels: NDArray[np.uint8] = np.concatenate(flat)
        self.level_start: NDArray[np.int64] = np.array(starts[:-1], np.int64)
        self.level_size: NDArray[np.int64] = np.array(sizes, np.int64)
        tile = np.array([m.tile_m for m in room.materials])
        self.texels_per_m: NDArray[np.float64] = (sizes[0] / np.sqrt(tile.prod(1)))[room.material]


class TorchShader:
    """A room's surface on a device."""

    def __init__(self, room: Room, pyramid: TexturePyramid, device: torch.device) -> None:
        """Uploads what shading needs."""
        self._levels = len(pyramid.level_size)
        self.triangles = torch.as_tensor(room.triangles.astype(np.int64), device=device)
        self._surface = torch.as_tensor(np.concatenate([room.uv, room.light], 1).astype(np.float32), device=device)
        self._material = torch.as_tensor(room.material.astype(np.int64), device=device)
        self._texels_per_m = torch.as_tensor(pyramid.texels_per_m, device=device)
        self._texels = torch.as_tensor(pyramid.texels, device=device)
        self._level_start = torch.as_tensor(pyramid.level_start, device=device)
        self._level_size = torch.as_tensor(pyramid.level_size, device=device)

    def shade(self, points: Tensor, index: Tensor, camera: Camera) -> Tensor:
        """Filtered texture times interpolated light, float32 [B, H, W, 3].

        Args:
            points: float64 [B, V, 3], vertices in the frame of each view.
            index: int32 [B, H, W], triangle of each pixel, -1 for none.
            camera: of all views.
        """
        x, y = camera_tensor(camera, index.device)
        ray = torch.stack([*torch.meshgrid(x, y, indexing="xy"), torch.ones_like(index[0], dtype=torch.float64)], -1)
        triangle = index.clamp(min=0).long()
        corner = self.triangles[triangle]
        view = torch.arange(len(points), device=index.device).view(-1, 1, 1, 1) * points.shape[1]
        a, b, c = points.flatten(0, 1)[corner + view].unbind(-2)
        weights = torch.stack([(torch.linalg.cross(p, q) * ray).sum(-1) for p, q in ((b, c), (c, a), (a, b))], -1)
        weights = weights / weights.sum(-1, keepdim=True)
        depth = (weights * torch.stack([a[..., 2], b[..., 2], c[..., 2]], -1)).sum(-1)
        normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
        cosine = (normal * torch.nn.functional.normalize(ray, dim=-1)).sum(-1).abs().clamp(min=0.04)
        footprint = self._texels_per_m[triangle] * depth / camera.fx / cosine.sqrt()
        uv, light = (weights.float()[..., None] * self._surface[corner]).sum(-2).split([2, 3], -1)
        albedo = self._sample(uv, self._material[triangle], footprint.float())
        return torch.where((index >= 0)[..., None], albedo * light, 0)

    def _sample(self, uv: Tensor, material: Tensor, footprint: Tensor) -> Tensor:
        """Albedo at texture coordinates, between the two levels whose texels are about as large as the pixel."""
        level = footprint.clamp(min=1e-6).log2().clamp(0, self._levels - 1.001)
        albedo = torch.zeros((*uv.shape[:-1], 3), device=uv.device)
        for step in range(2):
            number = level.long() + step
            share = level.frac() if step else 1 - level.frac()
            size = self._level_size[number]
            column, row = uv[..., 0] * size - 0.5, (1 - uv[..., 1]) * size - 0.5
            i, j = column.floor(), row.floor()
            fi, fj = (column - i)[..., None], (row - j)[..., None]
            i0, j0 = i.long() & (size - 1), j.long() & (size - 1)
            i1, j1 = (i0 + 1) & (size - 1), (j0 + 1) & (size - 1)
            base = self._level_start[number] + material * size * size
            texel = [[self._texels[base + y * size + x].float() for x in (i0, i1)] for y in (j0, j1)]
            top, low = (pair[0] * (1 - fi) + pair[1] * fi for pair in texel)
            albedo += share[..., None] * ((top * (1 - fj) + low * fj) / 255) ** 2
        return albedo
