"""New depth beside known depth: its edges snapped, its scale and its rim fitted to what is known.

A network that completes depth sees the known depth, yet may continue it at another scale or with a step. Known depth
never changes here; each connected hole is corrected on its own, in the logarithm of depth.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from showroom_ros.completion.backends import DepthCompleter
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.edges import fill_from_outside, near_edges

EDGE_THRESHOLD = 12
"""Steps of 1/255 of the depth range between neighbours from which on new depth has an edge (Invisible Stitch)."""

FITS = 0.05
"""New depth within this part of the known depth beside it continues it."""

ATTACHED_SHARE = 0.25
"""A hole this part of whose rim continues the known depth is attached to it; its other rims are real edges."""

SEAM = math.log(1.1)
"""Steps at the rim below this (in the logarithm of depth) are smoothed away, larger ones are taken for real edges."""

BLEND_SHARE = 0.05
"""Part of the image's width over which the smoothing of a step fades to 1 / e."""

_RIM_PX = 2
_SQUARE = np.ones((3, 3), np.uint8)


def continued_depth(
    completer: DepthCompleter, image: NDArray[np.uint8], depth: NDArray[np.float32], camera: Camera
) -> NDArray[np.float32]:
    """Depth of all pixels by a completer; the new ones fitted to the known ones at the rim, without slopes at edges.

    Args:
        completer: gives depth.
        image: uint8 [H, W, 3], RGB, all known.
        depth: float32 [H, W], metres, NaN unknown; what is known comes back bit for bit.
        camera: of both, undistorted.

    Raises:
        InputError: what the completer finds wrong, known depth that it changed, or depth that is not positive.
    """
    whole, known = completer.complete(image, depth, camera), np.isfinite(depth)
    if not np.array_equal(whole[known], depth[known]):
        raise InputError(f"depth completion '{completer.name}' changed known depth, expected it back as it was")
    return snapped_new_depth(aligned_to_rim(whole, known), known)


def snapped_new_depth(
    depth: NDArray[np.float32], known: NDArray[np.bool_], threshold: int = EDGE_THRESHOLD
) -> NDArray[np.float32]:
    """Depth [H, W] whose new pixels near an edge take the largest depth beside them, that of the background.

    Where every pixel is near an edge there is nothing to snap to, and depth stays as it is.

    Args:
        depth: float32 [H, W], metres, known everywhere.
        known: bool [H, W], pixels that keep their depth.
        threshold: see ``geometry.edges.near_edges``.

    Raises:
        InputError: sizes that differ, or depth that is not finite and positive.
    """
    _check(depth, known)
    kept = known | ~near_edges(depth, threshold)
    return fill_from_outside(depth, kept) if kept.any() else depth.copy()


def aligned_to_rim(depth: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Depth [H, W] whose new pixels continue the known ones.

    Per connected hole, from the ratios of known depth to new depth at its rim, which is the new pixels within 2 of a
    known one. The known depth is carried to the rim as a plane: inverse depth is linear across the image of one, so
    the nearest known pixel and the one as far behind it give it, and a slope is not taken for a wrong scale.

    1. Scale. The whole hole is multiplied by the median ratio: a network that is wrong about the scale is wrong
       everywhere. If a quarter of the ratios are within 5 % of 1 the median of these counts alone: the hole is
       attached there, and its other rims are edges of objects in front.
    2. Seam. What is left of the ratios below 10 % is multiplied in at the rim and fades with the distance d to
       the known pixels as ``exp(-d / L)``, L being 5 % of the image's width. Larger steps are real edges and stay.

    Args:
        depth: float32 [H, W], metres, known everywhere.
        known: bool [H, W], pixels that keep their depth.

    Raises:
        InputError: sizes that differ, or depth that is not finite and positive.
    """
    _check(depth, known)
    if known.all() or not known.any():
        return depth.copy()
    apart, nearest = ndimage.distance_transform_edt(~known, return_indices=True)
    step, rim = _steps_at_rim(depth, known, apart, nearest)
    holes, _ = ndimage.label(~known, structure=_SQUARE)
    scale = _scale_of_holes(step, rim, holes)
    left = np.where(rim, step - scale, 0.0)
    seam = _faded(np.where(np.abs(left) < SEAM, left, 0.0), rim, apart)
    corrected = (depth * np.exp(scale + seam)).astype(np.float32)
    return np.where(known, depth, corrected)


def _steps_at_rim(
    depth: NDArray[np.float32], known: NDArray[np.bool_], apart: NDArray[np.float64], nearest: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Logarithm [H, W] of known over new depth, and where at the rim it can be told."""
    height, width = depth.shape
    row, column = np.nonzero(~known & (apart <= _RIM_PX))
    near_row, near_column = nearest[:, row, column]
    far_row, far_column = 2 * near_row - row, 2 * near_column - column
    inside = (far_row >= 0) & (far_row < height) & (far_column >= 0) & (far_column < width)
    far_row, far_column = np.where(inside, far_row, 0), np.where(inside, far_column, 0)
    inside &= known[far_row, far_column]
    carried = 2.0 / depth[near_row, near_column] - 1.0 / depth[far_row, far_column]
    told = inside & (carried > 0)
    row, column = row[told], column[told]
    step, rim = np.zeros(depth.shape), np.zeros(depth.shape, np.bool_)
    step[row, column] = -np.log(carried[told] * depth[row, column])
    rim[row, column] = True
    return step, rim


def _scale_of_holes(step: NDArray[np.float64], rim: NDArray[np.bool_], holes: NDArray[np.int32]) -> NDArray[np.float64]:
    """Logarithm [H, W] of what each hole is multiplied by; 0 outside and where the rim tells nothing."""
    scale = np.zeros(int(holes.max()) + 1)
    labels, steps = holes[rim], step[rim]
    order = np.argsort(labels, kind="stable")
    numbers, starts = np.unique(labels[order], return_index=True)
    for number, part in zip(numbers, np.split(steps[order], starts[1:]), strict=False):
        fits = np.abs(part) < math.log1p(FITS)
        scale[number] = np.median(part[fits] if fits.mean() >= ATTACHED_SHARE else part)
    return scale[holes]


def _faded(step: NDArray[np.float64], rim: NDArray[np.bool_], apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rim's steps carried into the holes: the mean of those near, times ``exp(-distance / L)``."""
    length = max(2.0, BLEND_SHARE * step.shape[1])
    weight = rim.astype(np.float64)
    total = cv2.GaussianBlur(step * weight, (0, 0), length / 2, borderType=cv2.BORDER_CONSTANT)
    count = cv2.GaussianBlur(weight, (0, 0), length / 2, borderType=cv2.BORDER_CONSTANT)
    mean = np.where(count > 1e-9, total / np.maximum(count, 1e-9), 0.0)
    return mean * np.exp(-apart / length)


def _check(depth: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
    if depth.dtype != np.float32 or depth.ndim != 2 or known.dtype != np.bool_ or known.shape != depth.shape:
        raise InputError(
            f"depth is {depth.dtype} {depth.shape}, the mask {known.dtype} {known.shape}, "
            "expected float32 (H, W) and bool of its size"
        )
    wrong = ~(np.isfinite(depth) & (depth > 0))
    if wrong.any():
        raise InputError(f"{int(wrong.sum())} of {depth.size} pixels have no positive depth, expected all to have one")
