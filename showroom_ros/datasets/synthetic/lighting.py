"""Light baked into vertices: area lights with soft shadows, and two bounces off everything else.

Visibility is marched through a coarse occupancy grid of the mesh, so its cost does not depend on the
number of triangles. The same grid tells the path planner what can be seen from where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from showroom_ros.datasets.synthetic.backends import checked_device, numba_kernels

if TYPE_CHECKING:
    from showroom_ros.datasets.synthetic.room import Room

VOXEL_M = 0.06
_BOUNCES = 2
_HEMISPHERE_RAYS = 48
_STEP = 0.8
_ESCAPE_STEPS = 3
"""A ray that starts inside occupied voxels (thin things fill theirs on both sides) may leave them first."""
_CHUNK = 400_000
_FIXED_POINT = 2.0**20
_FAINTEST = 4e-3
"""Light of a lamp weaker than this is left out."""
_BRIGHTEST = 4.0
"""Surfaces beside a lamp send on at most so many times the mean: few rays meet them, and would speckle."""
_BARYCENTRICS = (
    (1, 1, 1),
    (4, 1, 1),
    (1, 4, 1),
    (1, 1, 4),
    (8, 1, 1),
    (1, 8, 1),
    (1, 1, 8),
    (1, 5, 5),
    (5, 1, 5),
    (5, 5, 1),
)


@dataclass(frozen=True, eq=False)
class AreaLight:
    """A light made of point samples.

    Attributes:
        points: float64 [N, 3].
        normal: float64 [3] it shines along, or None for all directions.
        power: float64 [3] RGB, all samples together.
    """

    points: NDArray[np.float64]
    normal: NDArray[np.float64] | None
    power: NDArray[np.float64]

    @staticmethod
    def ball(center: ArrayLike, radius: float, power: NDArray[np.float64]) -> AreaLight:
        """A glowing ball."""
        return AreaLight(np.asarray(center) + radius * fibonacci_sphere(6), None, power)

    @staticmethod
    def disc(center: ArrayLike, radius: float, normal: ArrayLike, power: NDArray[np.float64]) -> AreaLight:
        """A horizontal disc."""
        share = (np.arange(10) + 0.5) / 10
        angle = np.arange(10) * np.pi * (3 - np.sqrt(5))
        offset = radius * np.sqrt(share)[:, None] * np.stack([np.cos(angle), np.sin(angle), 0 * angle], -1)
        return AreaLight(np.asarray(center) + offset, np.asarray(normal, np.float64), power)

    @staticmethod
    def rectangle(center: ArrayLike, u: ArrayLike, v: ArrayLike, normal: ArrayLike, power: ArrayLike) -> AreaLight:
        """A rectangle with edges ``u`` and ``v`` [3]."""
        a, b = np.meshgrid((np.arange(4) + 0.5) / 4 - 0.5, (np.arange(3) + 0.5) / 3 - 0.5)
        points = np.asarray(center) + a.reshape(-1, 1) * np.asarray(u) + b.reshape(-1, 1) * np.asarray(v)
        return AreaLight(points, np.asarray(normal, np.float64), np.asarray(power, np.float64))


def fibonacci_sphere(count: int) -> NDArray[np.float64]:
    """Directions spread evenly over the sphere, [count, 3]."""
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = np.arange(count) * np.pi * (3 - np.sqrt(5))
    return np.stack([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z], -1)


class OccupancyGrid:
    """Which voxels of a room hold surface, and what light leaves them."""

    def __init__(self, room: Room, device: str = "cpu", backend: str = "auto") -> None:
        """Fills the voxels just behind every triangle of ``room``; ``backend`` as for the renderer."""
        self.device = checked_device(device)
        self._kernels = numba_kernels(backend, self.device)
        self.vertices = _tensor(room.vertices, self.device)
        self.normals = _tensor(room.normals, self.device)
        triangles = torch.as_tensor(room.triangles.astype(np.int64), device=self.device)
        weights = _tensor(np.array(_BARYCENTRICS), self.device)
        self._weights = weights / weights.sum(1, keepdim=True)
        corners = self.vertices[triangles]
        self.face_normals = torch.nn.functional.normalize(
            torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), dim=1
        )
        self.samples = torch.einsum("sk,tkd->tsd", self._weights, corners)
        self.triangles = triangles
        self.low = self.vertices.amin(0) - 3 * VOXEL_M
        extent = self.vertices.amax(0) + 3 * VOXEL_M - self.low
        self.shape = [int(n) for n in torch.ceil(extent / VOXEL_M).tolist()]
        inside = (self.samples - 0.5 * VOXEL_M * self.face_normals[:, None]).reshape(-1, 3)
        self._sample_voxel = self.voxel(inside)
        self.occupied = torch.zeros(self.shape[0] * self.shape[1] * self.shape[2], dtype=torch.bool, device=self.device)
        self.occupied[self._sample_voxel] = True

    def voxel(self, points: Tensor) -> Tensor:
        """Flat index of the voxel of points [..., 3], clamped to the grid."""
        cell = ((points - self.low) / VOXEL_M).long()
        x, y, z = (cell[..., i].clamp(0, n - 1) for i, n in enumerate(self.shape))
        return (x * self.shape[1] + y) * self.shape[2] + z

    def first_hit(self, origins: Tensor, directions: Tensor, reach: Tensor) -> Tensor:
        """Voxel each ray meets first within ``reach`` metres [R], or -1; origins, unit directions [R, 3]."""
        if self._kernels is not None:
            return self._march_compiled(origins, directions, reach)
        parts = zip(origins.split(_CHUNK), directions.split(_CHUNK), reach.split(_CHUNK), strict=True)
        return torch.cat([self._march(*part) for part in parts])

    def _march_compiled(self, origins: Tensor, directions: Tensor, reach: Tensor) -> Tensor:
        assert self._kernels is not None
        start = ((origins - self.low) / VOXEL_M).numpy()
        step, count = (directions * _STEP).numpy(), (reach / (VOXEL_M * _STEP)).numpy()
        hit = np.empty(len(start), np.int64)
        self._kernels.march_rays(self.occupied.numpy(), np.array(self.shape), start, step, count, _ESCAPE_STEPS, hit)
        return torch.from_numpy(hit)

    def _march(self, origins: Tensor, directions: Tensor, reach: Tensor) -> Tensor:
        hit = torch.full((len(origins),), -1, dtype=torch.long, device=self.device)
        active = torch.arange(len(origins), device=self.device)
        position, step = (origins - self.low) / VOXEL_M, directions * _STEP
        count = reach / (VOXEL_M * _STEP)
        limit = torch.tensor(self.shape, device=self.device)
        escaping = torch.ones(len(origins), dtype=torch.bool, device=self.device)
        k = 0
        while len(active):
            cell = position.floor().int()
            alive = (k <= count) & ((cell >= 0) & (cell < limit)).all(1)
            flat = (cell[:, 0] * self.shape[1] + cell[:, 1]) * self.shape[2] + cell[:, 2]
            occupied = alive & self.occupied[torch.where(alive, flat, 0)]
            escaping &= occupied if k <= _ESCAPE_STEPS else False
            met = occupied & ~escaping
            hit[active[met]] = flat[met].long()
            alive &= ~met
            active, position, step, count, escaping = (
                x[alive] for x in (active, position + step, step, count, escaping)
            )
            k += 1
        return hit

    def visible(self, origins: Tensor, targets: Tensor, slack_m: float = 0.1) -> Tensor:
        """Whether each segment from origin to target [R, 3] is free but for its last ``slack_m``; bool [R]."""
        offset = targets - origins
        distance = torch.linalg.norm(offset, dim=1)
        return self.first_hit(origins, offset / distance[:, None].clamp(min=1e-6), distance - slack_m) < 0

    def averaged(self, radiosity: Tensor) -> Tensor:
        """Mean over each voxel of a quantity of the vertices, [voxels, 3]."""
        values = torch.einsum("sk,tkd->tsd", self._weights, radiosity[self.triangles]).reshape(-1, 3)
        fixed = torch.cat([values * _FIXED_POINT, torch.ones_like(values[:, :1])], 1).round().long()
        total = torch.zeros((len(self.occupied), 4), dtype=torch.int64, device=self.device)
        total.index_add_(0, self._sample_voxel, fixed)  # integers: the same sum in whatever order CUDA adds
        return (total[:, :3] / total[:, 3:].clamp(min=1) / _FIXED_POINT).float()


def baked_light(room: Room, lights: list[AreaLight], device: str = "cpu") -> NDArray[np.float32]:
    """Light arriving at every vertex, float32 [V, 3]: direct, two bounces, and own emission."""
    grid = OccupancyGrid(room, device)
    origins = grid.vertices + 0.6 * VOXEL_M * grid.normals
    direct = sum((_direct(grid, origins, light) for light in lights), torch.zeros_like(origins))
    albedo, emission = _vertex_albedo(room, grid)
    hits = _hemisphere_hits(grid, origins)
    received = direct  # what glows shines through its area light already: rays would hit it too seldom to be smooth
    for _ in range(_BOUNCES):
        leaving = grid.averaged((albedo * received).clamp(max=_BRIGHTEST * float(received.mean())))
        leaving = torch.cat([leaving, torch.zeros((1, 3), device=grid.device)])
        received = direct + leaving[hits].mean(1)
    return (received + emission).cpu().numpy().astype(np.float32)


def _direct(grid: OccupancyGrid, origins: Tensor, light: AreaLight) -> Tensor:
    points = _tensor(light.points, grid.device)
    share = _tensor(light.power, grid.device) / len(points)
    received = torch.zeros_like(origins)
    for point in points:
        offset = point - origins
        distance = torch.linalg.norm(offset, dim=1).clamp(min=0.15)
        toward = offset / distance[:, None]
        strength = (toward * grid.normals).sum(1).clamp(min=0) / distance**2
        if light.normal is not None:
            strength = strength * (-toward @ _tensor(light.normal, grid.device)).clamp(min=0)
        lit = torch.nonzero(strength > _FAINTEST / float(light.power.max() + 1e-9))[:, 0]
        free = grid.visible(origins[lit], point.expand(len(lit), 3), slack_m=0.12)
        received[lit] += (strength[lit] * free)[:, None] * share
    return received


def _hemisphere_hits(grid: OccupancyGrid, origins: Tensor) -> Tensor:
    """Voxels that cosine-weighted rays from each vertex meet, int64 [V, rays]; the last voxel means none."""
    k = torch.arange(_HEMISPHERE_RAYS, device=grid.device)
    radius, angle = torch.sqrt((k + 0.5) / _HEMISPHERE_RAYS), k * torch.pi * (3 - 5**0.5)
    local = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle), torch.sqrt(1 - radius**2)], -1)
    normal = grid.normals
    helper = torch.where(normal[:, 2:].abs() < 0.9, normal.new_tensor([0.0, 0, 1]), normal.new_tensor([1.0, 0, 0]))
    tangent = torch.nn.functional.normalize(torch.linalg.cross(helper, normal), dim=1)
    frame = torch.stack([tangent, torch.linalg.cross(normal, tangent), normal], 1)
    directions = torch.einsum("rk,vkd->vrd", local, frame).reshape(-1, 3)
    starts = origins[:, None].expand(-1, _HEMISPHERE_RAYS, -1).reshape(-1, 3)
    hits = grid.first_hit(starts, directions, torch.full((len(starts),), 12.0, device=grid.device))
    hits = torch.where(hits < 0, len(grid.occupied), hits)
    return hits.view(-1, _HEMISPHERE_RAYS)


def _vertex_albedo(room: Room, grid: OccupancyGrid) -> tuple[Tensor, Tensor]:
    mean = np.stack([m.texture.reshape(-1, 3).mean(0) ** 2.2 for m in room.materials])
    glow = np.array([m.emission for m in room.materials])
    material = np.zeros(len(room.vertices), np.int64)
    material[room.triangles] = room.material[:, None]
    return _tensor(mean[material], grid.device), _tensor(glow[material][:, None], grid.device)


def _tensor(array: ArrayLike, device: torch.device) -> Tensor:
    return torch.as_tensor(np.asarray(array, np.float32), device=device)
