"""``Rendering``: what a perfect camera, or many of them, see of a room."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showroom_ros.datasets.synthetic.raster import camera_tensor
from showroom_ros.datasets.synthetic.room import Room
from showroom_ros.datasets.synthetic.room_layout import layout_classes
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera


@dataclass(frozen=True, eq=False)
class Rendering:
    """What a perfect camera sees from one pose, or from each of B, on the renderer's device.

    Attributes:
        depth: float32 [..., H, W], planar depth in metres, NaN where no surface is met.
        triangle: int32 [..., H, W], index into the room's triangles, -1 where none.
        radiance: float32 [..., H, W, 3], linear RGB; or None where only geometry was asked for.
        room, camera: what was rendered, with what.
        T_world_camera: float64 [..., 4, 4], from where.
        kernels: compiled loops to use, or None for torch.
    """

    depth: Tensor
    triangle: Tensor
    radiance: Tensor | None
    room: Room
    camera: Camera
    T_world_camera: NDArray[np.float64]
    kernels: ModuleType | None = None

    def view(self, index: int) -> Rendering:
        """One view of many.

        Raises:
            InputError: it is of a single view.
        """
        if self.depth.ndim == 2:
            raise InputError("the rendering is of a single view, expected one of many")
        radiance = None if self.radiance is None else self.radiance[index]
        planes = (self.depth[index], self.triangle[index], radiance)
        return Rendering(*planes, self.room, self.camera, self.T_world_camera[index], self.kernels)

    @cached_property
    def normals(self) -> Tensor:
        """Unit normals of the surface, world frame, float32 [..., H, W, 3]; NaN where no surface is met."""
        table = torch.as_tensor(self.room.face_normals, device=self.depth.device)
        normal = table[self.triangle.clamp(min=0).long()]
        return torch.where((self.triangle >= 0)[..., None], normal, torch.nan)

    @property
    def normals_camera(self) -> Tensor:
        """The same in the camera's frame (x right, y down, z forward)."""
        return self.normals @ self._rotation()[..., None, :, :]

    @cached_property
    def cosine(self) -> Tensor:
        """Cosine of the angle between the surface's normal and the ray, float32 [..., H, W]; NaN without surface."""
        if self.kernels is not None and self.depth.ndim == 2:
            cosine = torch.empty_like(self.depth)
            normals = (torch.as_tensor(self.room.face_normals) @ self._rotation()).numpy()
            camera = np.array([self.camera.fx, self.camera.fy, self.camera.cx, self.camera.cy])
            self.kernels.cosine_rows(self.triangle.numpy(), normals, camera, cosine.numpy())
            return cosine
        x, y = (axis.float() for axis in camera_tensor(self.camera, self.depth.device))
        normal = self.normals_camera
        along = normal[..., 0] * x + normal[..., 1] * y[:, None] + normal[..., 2]
        return along.abs() / torch.sqrt(x**2 + y[:, None] ** 2 + 1)

    @cached_property
    def instances(self) -> Tensor:
        """Index into ``room.categories``, int32 [..., H, W]; -1 where no surface is met."""
        return self._lookup(self.room.instance, -1)

    @cached_property
    def layout(self) -> Tensor:
        """``room.Layout`` class, uint8 [..., H, W]; OBJECT where no surface is met."""
        return self._lookup(self.room.layout, 0)

    @cached_property
    def layout_classes(self) -> Tensor:
        """Layout as the picture shows it, uint8 [..., H, W].

        1 front wall, 2 left wall, 3 right wall (by where the camera looks, see ``room_layout.wall_side``), 4
        floor, 5 ceiling; 0 objects and where no surface is met.
        """
        return layout_classes(self.layout, self.normals_camera)

    def _rotation(self) -> Tensor:
        """World from camera, float32 [..., 3, 3]."""
        return torch.as_tensor(self.T_world_camera[..., :3, :3], dtype=torch.float32, device=self.depth.device)

    def _lookup(self, values: NDArray, missing: int) -> Tensor:
        table = torch.as_tensor(values, device=self.depth.device)
        return torch.where(self.triangle >= 0, table[self.triangle.clamp(min=0).long()], missing).to(table.dtype)
