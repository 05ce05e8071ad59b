"""Hole masks: which pixels of an image nothing is known of when its depth comes from another viewpoint.

Engstler et al., "Invisible Stitch" (3DV 2025), section 4: the depth of an image, in [0, 1], is lifted by a pinhole
camera one unit away from the origin; a second camera looks at the origin from a little aside; where no lifted
point comes near a pixel, there is a hole. Depth completion learns on these shapes, because they are those of
missing surface behind an edge and beyond the border, and not those of random patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.disc_splat import covered_pixels, radius_px_of_ndc
from showroom_ros.geometry.se3 import Matrix, look_at

RADIUS_NDC = 1e-2
"""A pixel is a hole if no point is nearer than this; 2 is the shorter side of the image."""


@dataclass(frozen=True)
class Viewpoint:
    """Where the second camera is: it looks at the origin, upright; the first one is at 0, 0, 1.

    Attributes:
        azimuth_deg: to the right of the first camera.
        elevation_deg: above it.
        distance: from the origin.
    """

    azimuth_deg: float
    elevation_deg: float
    distance: float

    @property
    def pose_in_first(self) -> Matrix:
        """Pose [4, 4] of the second camera in the frame of the first, whose axis meets the origin at z = 1."""
        azimuth, elevation = np.radians([self.azimuth_deg, self.elevation_deg])
        origin = np.array([0.0, 0.0, 1.0])
        aside = np.array(
            [np.cos(elevation) * np.sin(azimuth), -np.sin(elevation), -np.cos(elevation) * np.cos(azimuth)]
        )
        return look_at(origin + self.distance * aside, origin, up=(0.0, -1.0, 0.0))


def random_viewpoint(
    generator: Generator, max_angle_deg: float = 15.0, distances: tuple[float, float] = (0.9, 1.1)
) -> Viewpoint:
    """Azimuth and elevation U(-15, 15) degrees, distance U(0.9, 1.1)."""
    azimuth_deg, elevation_deg = generator.uniform(-max_angle_deg, max_angle_deg, 2)
    return Viewpoint(float(azimuth_deg), float(elevation_deg), float(generator.uniform(*distances)))


def mask_camera(width: int, height: int) -> Camera:
    """The camera relative depth is lifted with: focal length of the image's width (53 degrees), axis in the middle."""
    return Camera(width, height, float(width), float(width), (width - 1) / 2, (height - 1) / 2)


def hole_mask(
    depth: NDArray[np.float32], viewpoint: Viewpoint, camera: Camera | None = None, radius_ndc: float = RADIUS_NDC
) -> NDArray[np.bool_]:
    """Which pixels [H, W] of the second camera no lifted point comes near.

    Args:
        depth: float32 [H, W], planar depth in [0, 1]; NaN unknown (not lifted).
        viewpoint: of the second camera.
        camera: of both; None = ``mask_camera``.
        radius_ndc: how near a point must be.

    Raises:
        InputError: depth of another size than the camera, out of [0, 1], or unknown everywhere.
    """
    height, width = depth.shape
    camera = camera or mask_camera(width, height)
    known = np.isfinite(depth)
    if not known.any():
        raise InputError("depth is unknown at every pixel")
    if depth[known].min() < 0 or depth[known].max() > 1:
        raise InputError(f"depth is {depth[known].min():g} to {depth[known].max():g}, expected 0 to 1")
    points = camera.back_project(depth)
    return ~covered_pixels(points, camera, viewpoint.pose_in_first, radius_px_of_ndc(radius_ndc, camera))


def keep_mask(holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pixels [H, W] keep their depth: all but the holes."""
    return ~holes
