"""Renders a room: radiance, depth, normals, instances and layout classes of a pinhole camera.

On CUDA, and on a CPU without numba, everything is torch (``raster``); on a CPU with numba the compiled
rasteriser (``kernels_numba``) does the same several times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from types import ModuleType

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from showroom_ros.datasets.synthetic.backends import checked_device, numba_kernels
from showroom_ros.datasets.synthetic.raster import camera_tensor, cast_rays
from showroom_ros.datasets.synthetic.room import Room
from showroom_ros.datasets.synthetic.sensor import image_motion, smear_samples, smeared
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import checked_pose

_LEVELS = 7
_BANDS = 2


@dataclass(frozen=True, eq=False)
class Rendering:
    """What a perfect camera sees, on the renderer's device.

    Attributes:
        depth: float32 [H, W], planar depth in metres, NaN where no surface is met.
        triangle: int32 [H, W], index into the room's triangles, -1 where none.
        radiance: float32 [H, W, 3], linear RGB; or None where only geometry was asked for.
        room, camera, T_world_camera: what was rendered, with what and from where.
        kernels: compiled loops to use, or None for torch.
    """

    depth: Tensor
    triangle: Tensor
    radiance: Tensor | None
    room: Room
    camera: Camera
    T_world_camera: NDArray[np.float64]
    kernels: ModuleType | None = None

    @cached_property
    def normals(self) -> Tensor:
        """Unit normals of the surface, world frame, float32 [H, W, 3]; NaN where no surface is met."""
        table = torch.as_tensor(self.room.face_normals, device=self.depth.device)
        normal = table[self.triangle.clamp(min=0).long()]
        return torch.where((self.triangle >= 0)[..., None], normal, torch.nan)

    @cached_property
    def cosine(self) -> Tensor:
        """Cosine of the angle between the surface's normal and the ray, float32 [H, W]; NaN without surface."""
        if self.kernels is not None:
            cosine = torch.empty_like(self.depth)
            normals = self._face_normals_camera().numpy()
            self.kernels.cosine_rows(self.triangle.numpy(), normals, _intrinsics(self.camera), cosine.numpy())
            return cosine
        x, y = (axis.float() for axis in camera_tensor(self.camera, self.depth.device))
        normal = self._face_normals_camera()[self.triangle.clamp(min=0).long()]
        along = normal[..., 0] * x + normal[..., 1] * y[:, None] + normal[..., 2]
        cosine = along.abs() / torch.sqrt(x**2 + y[:, None] ** 2 + 1)
        return torch.where(self.triangle >= 0, cosine, torch.nan)

    @cached_property
    def instances(self) -> Tensor:
        """Index into ``room.categories``, int32 [H, W]; -1 where no surface is met."""
        return self._lookup(self.room.instance, -1)

    @cached_property
    def layout(self) -> Tensor:
        """``room.Layout`` class, uint8 [H, W]; OBJECT where no surface is met."""
        return self._lookup(self.room.layout, 0)

    def _face_normals_camera(self) -> Tensor:
        rotation = torch.as_tensor(self.T_world_camera[:3, :3], dtype=torch.float32, device=self.depth.device)
        return torch.as_tensor(self.room.face_normals, device=self.depth.device) @ rotation

    def _lookup(self, values: NDArray, missing: int) -> Tensor:
        table = torch.as_tensor(values, device=self.depth.device)
        return torch.where(self.triangle >= 0, table[self.triangle.clamp(min=0).long()], missing).to(table.dtype)


class Renderer:
    """Renders views of one room on one device."""

    def __init__(self, room: Room, device: str = "cpu", backend: str = "auto") -> None:
        """Uploads the room and builds its texture pyramid.

        Args:
            room: what to render.
            device: torch device.
            backend: "torch", "numba" (CPU only) or "auto": numba on a CPU that has it.

        Raises:
            InputError: unknown backend or device, or a device this machine has not.
            MissingDependencyError: backend "numba" without numba.
        """
        self.room = room
        self.device = checked_device(device)
        self._numba = numba_kernels(backend, self.device)
        self._pyramid, self._level_start, self._level_size = _texture_pyramid(room)
        self._texels_per_m = _texel_density(room)
        self._tables = None if self._numba else self._upload()
        self._pool = ThreadPoolExecutor(_BANDS) if self._numba else None

    def render(self, camera: Camera, T_world_camera: ArrayLike, shaded: bool = True) -> Rendering:
        """What ``camera`` sees from a pose [4, 4]; without ``shaded`` geometry only.

        Raises:
            InputError: the camera is distorted or the pose is no rigid transform.
        """
        if camera.is_distorted:
            raise InputError("the renderer needs an undistorted camera; render wider and distort the image")
        pose = checked_pose(T_world_camera, "T_world_camera")
        if self._numba is not None:
            depth, triangle, radiance = self._render_numba(self._numba, camera, pose, shaded)
        else:
            depth, triangle, radiance = self._render_torch(camera, pose, shaded)
        return Rendering(depth, triangle, radiance, self.room, camera, pose, self._numba)

    def smeared(self, rendering: Rendering, T_next_now: NDArray[np.float64], share: float) -> Tensor:
        """Radiance smeared by ``share`` of the motion to the next camera pose, float32 [H, W, 3]."""
        assert rendering.radiance is not None
        camera = rendering.camera
        every = 8  # the longest motion is found on every 8th pixel
        coarse = replace(camera, width=-(-camera.width // every), height=-(-camera.height // every))
        coarse = replace(coarse, fx=camera.fx / every, fy=camera.fy / every, cx=camera.cx / every, cy=camera.cy / every)
        flow = image_motion(rendering.depth[::every, ::every], coarse, T_next_now) * (share * every)
        count = smear_samples(float(flow.norm(dim=-1).amax()))
        if count == 1:
            return rendering.radiance
        if self._numba is None:
            return smeared(rendering.radiance, image_motion(rendering.depth, camera, T_next_now) * share, count)
        result = torch.empty_like(rendering.radiance)
        near = rendering.depth.reciprocal().nan_to_num(0.0).numpy()
        arrays = (rendering.radiance.numpy(), near, _intrinsics(camera), np.ascontiguousarray(T_next_now, np.float64))
        smear = self._numba.smear_rows
        self._in_bands(camera.height, lambda first, end: smear(*arrays, share, count, first, end, result.numpy()))
        return result

    def _render_numba(
        self, kernels: ModuleType, camera: Camera, pose: NDArray[np.float64], shaded: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        room = self.room
        intrinsics = _intrinsics(camera)
        rotation, translation = np.ascontiguousarray(pose[:3, :3]), np.ascontiguousarray(pose[:3, 3])
        points, pixels = kernels.transform_vertices(room.vertices, rotation, translation, intrinsics)
        near = np.zeros((camera.height, camera.width), np.float32)
        index = np.full((camera.height, camera.width), -1, np.int32)
        radiance = np.zeros((camera.height, camera.width, 3), np.float32) if shaded else None

        def fill(first: int, end: int) -> None:
            kernels.rasterize_rows(points, pixels, room.triangles, intrinsics, first, end, near, index)
            if radiance is not None:
                textures = (self._texels_per_m, self._pyramid, self._level_start, self._level_size)
                surface = (room.uv, room.light, room.material)
                kernels.shade_rows(points, room.triangles, intrinsics, index, *surface, *textures, first, end, radiance)

        self._in_bands(camera.height, fill)
        with np.errstate(divide="ignore"):
            depth = np.where(index >= 0, 1 / near, np.float32(np.nan))
        return (
            torch.from_numpy(depth),
            torch.from_numpy(index),
            None if radiance is None else torch.from_numpy(radiance),
        )

    def _in_bands(self, height: int, job: Callable[[int, int], None]) -> None:
        """Runs ``job(first_row, end_row)`` for bands of rows in threads."""
        assert self._pool is not None
        edges = np.linspace(0, height, _BANDS + 1).astype(int).tolist()
        for running in [self._pool.submit(job, first, end) for first, end in pairwise(edges)]:
            running.result()

    def _render_torch(
        self, camera: Camera, pose: NDArray[np.float64], shaded: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        assert self._tables is not None
        transform = torch.as_tensor(pose, device=self.device)
        points = (self._tables["vertices"] - transform[:3, 3]) @ transform[:3, :3]
        depth, index = cast_rays(points, self._tables["triangles"], camera)
        return depth, index, self._shade(points, index, camera) if shaded else None

    def _shade(self, points: Tensor, index: Tensor, camera: Camera) -> Tensor:
        """``kernels_numba.shade_rows`` in torch: filtered texture times interpolated light, [H, W, 3]."""
        tables = self._tables
        assert tables is not None
        x, y = camera_tensor(camera, self.device)
        ray = torch.stack([*torch.meshgrid(x, y, indexing="xy"), torch.ones_like(index, dtype=torch.float64)], -1)
        triangle = index.clamp(min=0).long()
        corner = tables["triangles"][triangle]
        a, b, c = points[corner].unbind(-2)
        weights = torch.stack([(torch.linalg.cross(p, q) * ray).sum(-1) for p, q in ((b, c), (c, a), (a, b))], -1)
        weights = weights / weights.sum(-1, keepdim=True)
        depth = (weights * torch.stack([a[..., 2], b[..., 2], c[..., 2]], -1)).sum(-1)
        normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
        cosine = (normal * torch.nn.functional.normalize(ray, dim=-1)).sum(-1).abs().clamp(min=0.04)
        footprint = tables["texels_per_m"][triangle] * depth / camera.fx / cosine.sqrt()
        uv = (weights[..., None] * tables["uv"][corner]).sum(-2)
        light = (weights[..., None] * tables["light"][corner]).sum(-2)
        albedo = self._sample(uv, tables["material"][triangle], footprint)
        return torch.where((index >= 0)[..., None], albedo * light, 0).float()

    def _sample(self, uv: Tensor, material: Tensor, footprint: Tensor) -> Tensor:
        tables = self._tables
        assert tables is not None
        level = footprint.clamp(min=1e-6).log2().clamp(0, len(self._level_size) - 1.001)
        albedo = torch.zeros((*uv.shape[:-1], 3), dtype=torch.float64, device=self.device)
        for step in range(2):
            number = level.long() + step
            share = level.frac() if step else 1 - level.frac()
            size = tables["level_size"][number]
            column, row = uv[..., 0] * size - 0.5, (1 - uv[..., 1]) * size - 0.5
            i0, j0 = column.floor().long() % size, row.floor().long() % size
            i1, j1 = (i0 + 1) % size, (j0 + 1) % size
            fi, fj = (column - column.floor())[..., None], (row - row.floor())[..., None]
            base = tables["level_start"][number] + material * size * size
            texel = [[tables["pyramid"][base + j * size + i].double() for i in (i0, i1)] for j in (j0, j1)]
            top, low = (pair[0] * (1 - fi) + pair[1] * fi for pair in texel)
            albedo += share[..., None] * ((top * (1 - fj) + low * fj) / 255) ** 2
        return albedo

    def _upload(self) -> dict[str, Tensor]:
        room = self.room
        tables = {
            "vertices": room.vertices.astype(np.float64),
            "triangles": room.triangles.astype(np.int64),
            "uv": room.uv.astype(np.float64),
            "light": room.light.astype(np.float64),
            "material": room.material.astype(np.int64),
            "texels_per_m": self._texels_per_m,
            "pyramid": self._pyramid,
            "level_start": self._level_start,
            "level_size": self._level_size,
        }
        return {name: torch.as_tensor(table, device=self.device) for name, table in tables.items()}


def _intrinsics(camera: Camera) -> NDArray[np.float64]:
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy])


def _texture_pyramid(room: Room) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """All textures and their halved versions, uint8 [texels, 3] of sqrt(albedo), with where levels start."""
    level = np.stack([m.texture for m in room.materials]).astype(np.float32) ** 2.2
    flat, starts, sizes = [], [0], []
    for _ in range(_LEVELS):
        flat.append(np.round(np.sqrt(level) * 255).astype(np.uint8).reshape(-1, 3))
        starts.append(starts[-1] + len(flat[-1]))
        sizes.append(level.shape[1])
        level = (level[:, ::2, ::2] + level[:, 1::2, ::2] + level[:, ::2, 1::2] + level[:, 1::2, 1::2]) / 4
    return np.concatenate(flat), np.array(starts[:-1], np.int64), np.array(sizes, np.int64)


def _texel_density(room: Room) -> NDArray[np.float64]:
    """Texels per metre of the full-size texture on each triangle, float64 [T]."""
    size = room.materials[0].texture.shape[0]
    tile = np.array([m.tile_m for m in room.materials])
    return (size / np.sqrt(tile.prod(1)))[room.material]
