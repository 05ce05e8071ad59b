"""Edges of depth images: slopes between front and back taken away, and pixels filled from what is around them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError

EDGE_THRESHOLD = 15
"""Steps of 1/255 of the depth range between neighbours from which on there is an edge."""

_EDGE_RADIUS_PX = 3
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_SQUARE = np.ones((3, 3), np.uint8)


def disc(radius_px: int) -> NDArray[np.uint8]:
    """The pixels within a radius of the middle one, uint8 [2 r + 1, 2 r + 1], for erosion and dilation."""
    row, column = np.mgrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    return (row**2 + column**2 <= radius_px**2).astype(np.uint8)


def near_edges(depth: NDArray[np.float32], threshold: int = EDGE_THRESHOLD) -> NDArray[np.bool_]:
    """Which pixels [H, W] differ from a neighbour by ``threshold`` or more, or are within 3 pixels of one that does.

    The depth range is cut into 255 steps (Engstler et al., Invisible Stitch, 3DV 2025). Unknown pixels
    (NaN) take the largest known depth around them.

    Raises:
        InputError: depth unknown everywhere.
    """
    unknown = ~np.isfinite(depth)
    if unknown.all():
        raise InputError("depth is unknown at every pixel")
    low, high = float(np.nanmin(depth)), float(np.nanmax(depth))
    if high <= low:
        return np.zeros(depth.shape, np.bool_)
    filled = fill_from_outside(depth, ~unknown) if unknown.any() else depth
    steps = ((filled - low) / (high - low) * 255).astype(np.uint8)
    edges = cv2.morphologyEx(steps, cv2.MORPH_GRADIENT, _CROSS) >= threshold
    return cv2.dilate(edges.astype(np.uint8), disc(_EDGE_RADIUS_PX)) > 0


def snap_edges(depth: NDArray[np.float32], threshold: int = EDGE_THRESHOLD) -> NDArray[np.float32]:
    """Depth [H, W] without the slopes that networks draw between the front and the back of an edge.

    Pixels ``near_edges`` are taken away and filled from outside with the largest depth beside them, that of the
    background. Unknown pixels (NaN) stay unknown.

    Raises:
        InputError: depth unknown everywhere, or with edges everywhere.
    """
    unknown = ~np.isfinite(depth)
    near_edge = near_edges(depth, threshold)
    if not near_edge.any():
        return depth.copy()
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
