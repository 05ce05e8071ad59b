"""Renders a room: radiance, depth, normals, instances and layout classes of a pinhole camera.

On CUDA, and on a CPU without numba, everything is torch (``raster``); on a CPU with numba the compiled
rasteriser (``kernels_numba``) does the same several times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from types import ModuleType

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from showroom_ros.datasets.synthetic.backends import checked_device, numba_kernels
from showroom_ros.datasets.synthetic.raster import cast_rays
from showroom_ros.datasets.synthetic.rendering import Rendering
from showroom_ros.datasets.synthetic.room import Room
from showroom_ros.datasets.synthetic.sensor import image_motion, smear_samples, smeared
from showroom_ros.datasets.synthetic.shading import TexturePyramid, TorchShader
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import checked_pose

_BANDS = 2
_PIXELS = {"cpu": 100_000, "cuda": 2_000_000}
"""Pixels of all views shaded at once, by device."""


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
        self._pyramid = TexturePyramid(room)
        self._shader = None if self._numba else TorchShader(room, self._pyramid, self.device)
        self._vertices = torch.as_tensor(room.vertices.astype(np.float64), device=self.device)
        self._pool = ThreadPoolExecutor(_BANDS) if self._numba else None

    def render(self, camera: Camera, T_world_camera: ArrayLike, shaded: bool = True) -> Rendering:
        """What ``camera`` sees from a pose [4, 4]; without ``shaded`` geometry only.

        Raises:
            InputError: the camera is distorted or the pose is no rigid transform.
        """
        _check_ideal(camera)
        pose = checked_pose(T_world_camera, "T_world_camera")
        if self._numba is None:
            return self.render_batch(camera, pose[None], shaded).view(0)
        return Rendering(*self._render_numba(self._numba, camera, pose, shaded), self.room, camera, pose, self._numba)

    def render_batch(self, camera: Camera, T_world_camera: ArrayLike, shaded: bool = True) -> Rendering:
        """What ``camera`` sees from each of the poses [B, 4, 4], in one go on torch; planes are [B, H, W].

        Raises:
            InputError: the camera is distorted, there is no pose, or one is no rigid transform.
        """
        _check_ideal(camera)
        matrices = np.asarray(T_world_camera, np.float64)
        if matrices.ndim != 3 or not len(matrices):
            raise InputError(f"T_world_camera has shape {matrices.shape}, expected (views, 4, 4), at least one view")
        poses = np.stack([checked_pose(pose, f"T_world_camera {i}") for i, pose in enumerate(matrices)])
        if self._numba is None:
            return Rendering(*self._render_torch(camera, poses, shaded), self.room, camera, poses)
        views = [self._render_numba(self._numba, camera, pose, shaded) for pose in poses]
        depths, indices, radiances = zip(*views, strict=True)
        planes = torch.stack(depths), torch.stack(indices), torch.stack(radiances) if shaded else None
        return Rendering(*planes, self.room, camera, poses, self._numba)

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
                pyramid = self._pyramid
                textures = (pyramid.texels_per_m, pyramid.texels, pyramid.level_start, pyramid.level_size)
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
        self, camera: Camera, poses: NDArray[np.float64], shaded: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        assert self._shader is not None
        shader, step = self._shader, max(1, _PIXELS[self.device.type] // (camera.width * camera.height))
        parts = []
        for transform in torch.as_tensor(poses, device=self.device).split(step):
            points = (self._vertices - transform[:, None, :3, 3]) @ transform[:, :3, :3]
            depth, index = cast_rays(points, shader.triangles, camera)
            parts.append((depth, index, shader.shade(points, index, camera) if shaded else None))
        depths, indices, radiances = zip(*parts, strict=True)
        return torch.cat(depths), torch.cat(indices), torch.cat(radiances) if shaded else None


def _check_ideal(camera: Camera) -> None:
    if camera.is_distorted:
        raise InputError("the renderer needs an undistorted camera; render wider and distort the image")


def _intrinsics(camera: Camera) -> NDArray[np.float64]:
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy])
