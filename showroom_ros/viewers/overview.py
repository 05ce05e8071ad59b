"""Where to look from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FOV_RAD = np.deg2rad(50.0)
"""Vertical field of view of the page's camera."""
_AZIMUTH_RAD = np.deg2rad(35.0)
_ELEVATION_RAD = np.deg2rad(38.0)
_MARGIN = 0.92
_OFF_CENTER = 0.1
"""A path whose middle is this part of the radius off the centre says which side to look from."""


@dataclass(frozen=True, eq=False)
class Overview:
    """A camera: float64 [3] position, point looked at and up direction, in the world frame."""

    position: NDArray[np.float64]
    look_at: NDArray[np.float64]
    up: NDArray[np.float64]


def axis_from_name(name: str) -> NDArray[np.float64]:
    """float64 [3] unit vector of ``+z``, ``-y`` and so on."""
    axis = np.zeros(3)
    axis["xyz".index(name[1])] = -1.0 if name[0] == "-" else 1.0
    return axis


def overview_of(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    up_name: str,
    path: NDArray[np.float64] | None = None,
) -> Overview:
    """A camera that sees the whole box from obliquely above, as one looks into a doll's house.

    Args:
        low: float64 [3] lowest corner, metres.
        high: float64 [3] highest corner.
        up_name: axis that points up, e.g. ``+z``.
        path: float64 [N, 3] where the scanning camera was: its side is the one that shows most.
    """
    up = axis_from_name(up_name)
    center = (low + high) / 2
    radius_m = max(float(np.linalg.norm(high - low)) / 2, 0.1)
    horizontal = _default_side(up)
    if path is not None and len(path):
        towards_path = path.mean(axis=0) - center
        towards_path -= up * (up @ towards_path)
        distance_m = float(np.linalg.norm(towards_path))
        if distance_m > _OFF_CENTER * radius_m:
            horizontal = towards_path / distance_m
    direction = np.cos(_ELEVATION_RAD) * horizontal + np.sin(_ELEVATION_RAD) * up
    return Overview(center + direction * radius_m * _MARGIN / np.sin(FOV_RAD / 2), center, up)


def _default_side(up: NDArray[np.float64]) -> NDArray[np.float64]:
    side = np.roll(np.abs(up), 1)
    return np.cos(_AZIMUTH_RAD) * side + np.sin(_AZIMUTH_RAD) * np.cross(up, side)
