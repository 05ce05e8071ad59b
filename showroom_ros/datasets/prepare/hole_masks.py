"""Hole masks: which pixels of an image nothing is known of when its depth comes from another viewpoint.

Engstler et al., "Invisible Stitch" (3DV 2025), section 4: the depth of an image, in [0, 1], is lifted by a pinhole
camera one unit away from the origin; a second camera looks at the origin from a little aside; where no lifted
point comes near a pixel, there is a hole. Depth completion learns on these shapes, because they are those of
missing surface behind an edge and beyond the border, and not those of random patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.disc_splat import covered_pixels, radius_px_of_ndc
from showroom_ros.geometry.se3 import Matrix, look_at

RADIUS_NDC = 1e-2
"""A pixel is a hole if no point is nearer than this; 2 is the shorter side of the image."""

EDGE_THRESHOLD = 15
"""Steps of 1/255 of the depth range between neighbours from which on there is an edge."""

_EDGE_RADIUS_PX = 3
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_SQUARE = np.ones((3, 3), np.uint8)


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


def snap_edges(depth: NDArray[np.float32], threshold: int = EDGE_THRESHOLD) -> NDArray[np.float32]:
    """Depth [H, W] in [0, 1] without the slopes that teachers draw between the front and the back of an edge.

    The depth range is cut into 255 steps; pixels that differ from a neighbour by ``threshold`` or more, and those
    within 3 pixels of one, are taken away and filled from outside with the largest depth beside them, that of the
    background. Unknown pixels (NaN) stay unknown.

    Raises:
        InputError: depth unknown everywhere, or with edges everywhere.
    """
    unknown = ~np.isfinite(depth)
    if unknown.all():
        raise InputError("depth is unknown at every pixel")
    low, high = float(np.nanmin(depth)), float(np.nanmax(depth))
    if high <= low:
        return depth.copy()
    filled = fill_from_outside(depth, ~unknown) if unknown.any() else depth
    steps = ((filled - low) / (high - low) * 255).astype(np.uint8)
    edges = cv2.morphologyEx(steps, cv2.MORPH_GRADIENT, _CROSS) >= threshold
    near_edge = cv2.dilate(edges.astype(np.uint8), _disc(_EDGE_RADIUS_PX)) > 0
    if near_edge.all():
        raise InputError(f"depth has edges of {threshold}/255 of its range everywhere, expected smooth surface")
    snapped = fill_from_outside(depth, ~near_edge & ~unknown) if not (near_edge | unknown).all() else depth.copy()
    snapped[unknown] = np.nan
    return snapped


def fill_from_outside(depth: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fills pixels [H, W] that are not known ring by ring (city-block distance), each with its largest neighbour.

    Raises:
        InputError: no pixel is known.
    """
    if not known.any():
        raise InputError("depth is unknown at every pixel")
    filled = np.where(known, depth, -np.inf).astype(np.float32)
    known = known.copy()
    while not known.all():
        ring = (cv2.dilate(known.astype(np.uint8), _CROSS) > 0) & ~known
        filled[ring] = cv2.dilate(filled, _SQUARE)[ring]
        known |= ring
    return filled


def _disc(radius_px: int) -> NDArray[np.uint8]:
    row, column = np.mgrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    return (row**2 + column**2 <= radius_px**2).astype(np.uint8)
