"""Rolling shutter: every row of an image is exposed at its own time, from where the camera is then."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showroom_ros.datasets.synthetic.lens import Lens
from showroom_ros.datasets.synthetic.renderer import Renderer, Rendering
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import Matrix, rotation_angle_deg

SMEAR_MARGIN_PX = 8
"""Rows rendered above and below a band, for motion blur reaches into them."""

_BAND_PX = 0.5
"""The picture moves at most so far while the rows of one band are read."""


def row_times_s(height: int, readout_s: float) -> NDArray[np.float64]:
    """When each row is exposed, seconds from the middle row, float64 [height]."""
    return ((np.arange(height) + 0.5) / height - 0.5) * readout_s


def rolled(
    renderer: Renderer,
    camera: Camera,
    pose_at: Callable[[float], Matrix],
    readout_s: float,
    picture: Callable[[Rendering, float], Tensor],
    nearest_m: float,
    rows_per_band: int | None = None,
) -> Tensor:
    """Radiance under a rolling shutter, float32 [H, W, 3]: bands of rows, each rendered from its own pose.

    Args:
        renderer: of the room.
        camera: with any lens.
        pose_at: ``T_world_camera`` so many seconds after the middle row.
        readout_s: from the exposure of the first row to that of the last.
        picture: makes radiance [h, w, 3] of a band's rendering, given its time; smears, for one.
        nearest_m: depth of the nearest surface, from which the motion in the image is judged.
        rows_per_band: rows that share a pose; None = as many as keep the error below half a pixel.

    Raises:
        InputError: a readout time or band that is not positive.
    """
    if not readout_s > 0:
        raise InputError(f"readout_s is {readout_s}, expected a positive number of seconds")
    times = row_times_s(camera.height, readout_s)
    rows = rows_per_band or _rows_per_band(camera, pose_at(times[0]), pose_at(times[-1]), nearest_m)
    if rows < 1:
        raise InputError(f"rows_per_band is {rows}, expected 1 or more")
    bands = []
    for first in range(0, camera.height, rows):
        count = min(rows, camera.height - first)
        lens = Lens(camera.cropped(0, first, camera.width, count), renderer.device, SMEAR_MARGIN_PX)
        time_s = float(times[first : first + count].mean())
        bands.append(lens.bend(picture(renderer.render(lens.ideal, pose_at(time_s)), time_s)))
    return torch.cat(bands)


def _rows_per_band(camera: Camera, first: Matrix, last: Matrix, nearest_m: float) -> int:
    """Rows in which the picture of the nearest surface moves half a pixel."""
    turned_px = np.radians(rotation_angle_deg(first, last)) * 1.5 * camera.fx  # turning moves corners faster
    moved_px = float(np.linalg.norm(first[:3, 3] - last[:3, 3])) / max(nearest_m, 0.1) * camera.fx
    return int(np.clip(camera.height * _BAND_PX / max(turned_px + moved_px, 1e-9), 1, camera.height))
