"""Lens distortion: a wider ideal camera is rendered and its picture bent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera

_LARGEST = 4.0
"""The wide image may have so many times the pixels along an edge; a lens that sees more is refused."""


class Lens:
    """How the image of a camera with any lens is sampled from that of an ideal one.

    Attributes:
        camera: with its distortion.
        ideal: pinhole of the same focal lengths that sees all the lens sees, to be rendered.
    """

    def __init__(self, camera: Camera, device: torch.device, margin_px: int = 0) -> None:
        """Finds the wide camera and where each pixel lies in it.

        Args:
            camera: any; without distortion the ideal camera is the camera itself, plus margins.
            device: of the planes that will be bent.
            margin_px: rows of the ideal image to spare above and below.

        Raises:
            InputError: the lens sees so wide that a plane image of it would be too large.
        """
        self.camera = camera
        self._margin = margin_px
        if not camera.is_distorted:
            self.ideal = replace(camera, height=camera.height + 2 * margin_px, cy=camera.cy + margin_px)
            return
        x, y = np.moveaxis(camera.rays()[..., :2], -1, 0)
        known = ~np.isnan(x)
        if not known.any():
            raise InputError(f"no pixel of the {camera.distortion_model} lens {camera.distortion} sees anything")
        # the principal point moves by whole pixels: parts of an image are sampled alike
        left = camera.cx + np.ceil(-np.nanmin(x) * camera.fx + 2 - camera.cx)
        top = camera.cy + np.ceil(-np.nanmin(y) * camera.fy + 2 - camera.cy) + margin_px
        width = int(np.ceil(np.nanmax(x) * camera.fx + left)) + 3
        height = int(np.ceil(np.nanmax(y) * camera.fy + top)) + 3 + margin_px
        limit = _LARGEST * max(camera.width, camera.height)
        if width > limit or height > limit:
            raise InputError(
                f"the {camera.distortion_model} lens {camera.distortion} needs an ideal image of {width}x{height} "
                f"for {camera.width}x{camera.height}, expected at most {limit:.0f} pixels along an edge"
            )
        self.ideal = Camera(width, height, camera.fx, camera.fy, float(left), float(top))
        column, row = x * camera.fx + left, y * camera.fy + top
        grid = np.stack([2 * column / (width - 1) - 1, 2 * row / (height - 1) - 1], -1)
        self._grid = torch.as_tensor(np.where(known[..., None], grid, 9.0), dtype=torch.float32, device=device)
        nearest = np.floor(row + 0.5) * width + np.floor(column + 0.5)
        self._nearest = torch.as_tensor(np.where(known, nearest, -1), device=device).long()

    def bend(self, image: Tensor) -> Tensor:
        """Colours [H, W, 3] of ``ideal`` as the camera sees them, bilinear; 0 where the lens sees nothing."""
        if not self.camera.is_distorted:
            return self._cut(image)
        planes = image.movedim(-1, 0)[None]
        bent = torch.nn.functional.grid_sample(planes, self._grid[None], "bilinear", "zeros", align_corners=True)
        return bent[0].movedim(0, -1).contiguous()

    def pick(self, plane: Tensor, missing: float = torch.nan) -> Tensor:
        """A plane [H, W] of ``ideal`` (depth, cosine, classes) as the camera sees it; values are never mixed."""
        if not self.camera.is_distorted:
            return self._cut(plane)
        picked = plane.reshape(-1)[self._nearest.clamp(min=0)]
        return torch.where(self._nearest >= 0, picked, missing).to(plane.dtype)

    def _cut(self, plane: Tensor) -> Tensor:
        return plane[self._margin : self._margin + self.camera.height]
