"""How well depth is extrapolated beyond what is known: the benchmark of Engstler et al., "Invisible Stitch" (3DV 2025).

The true depth of view i, lifted, is rendered into the camera of view j. A model gets image j and that sparse depth, and
is judged by its mean absolute error where nothing was rendered.

Two means. ``legacy`` is the published one: pixels without true depth have error 0 and stay in the mean, which makes it
smaller. ``corrected`` leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.disc_splat import DiscSplat, radius_px_of_ndc, splat_discs
from showroom_ros.geometry.se3 import transform_points

RADIUS_NDC = 1e-2
"""Of a point; 2 is the shorter side of the image."""
DARK = 15
"""Pixels of which any channel is no brighter are not judged on ScanNet: its colour images have black borders."""

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True, eq=False)
class RenderedDepth:
    """What of one view's surface another one sees.

    Attributes:
        covered: bool [H, W], where any point is: not judged.
        sparse: float32 [H, W], metres, what a model gets; NaN unknown. The rim of what is covered is taken away.
    """

    covered: NDArray[np.bool_]
    sparse: NDArray[np.float32]


@dataclass(frozen=True)
class PairScore:
    """Errors of one pair.

    Attributes:
        mae_m: mean absolute error over the judged pixels with true depth; NaN where there are none.
        legacy_mae_m: the same with error 0 at judged pixels without true depth; NaN where none is judged.
        judged: pixels.
        judged_with_truth: of these, those with true depth.
        covered_share: of all pixels, those where something was rendered.
    """

    mae_m: float
    legacy_mae_m: float
    judged: int
    judged_with_truth: int
    covered_share: float


def rendered_depth(
    depth: NDArray[np.float32],
    camera: Camera,
    T_world_camera: ArrayLike,
    other: Camera,
    T_world_other: ArrayLike,
    points_per_pixel: int = 10,
) -> RenderedDepth:
    """The depth of a view, rendered into another camera.

    Args:
        depth: float32 [H, W], metres, NaN or 0 unknown.
        camera: of it, undistorted.
        T_world_camera: its pose [4, 4].
        other: the camera rendered into, undistorted.
        T_world_other: its pose [4, 4].
        points_per_pixel: nearest points that are blended; 10 on ScanNet, 16 on Hypersim.

    Raises:
        InputError: depth of another size than the camera, or none at all.
    """
    if depth.shape != (camera.height, camera.width):
        raise InputError(f"depth is {depth.shape}, its camera {(camera.height, camera.width)}")
    known = np.isfinite(depth) & (depth > 0)
    if not known.any():
        raise InputError("no pixel of the first view has depth: nothing to render")
    points = transform_points(T_world_camera, camera.back_project(depth)[known])
    return rendered_points(points, other, T_world_other, points_per_pixel)


def rendered_points(
    points: NDArray[np.float64], other: Camera, T_world_other: ArrayLike, points_per_pixel: int = 10
) -> RenderedDepth:
    """Points [N, 3] (metres, world) rendered into a camera; the other arguments as ``rendered_depth``."""
    splat: DiscSplat = splat_discs(points, other, T_world_other, radius_px_of_ndc(RADIUS_NDC, other), points_per_pixel)
    inner = cv2.erode((np.nan_to_num(splat.depth) > 0).astype(np.uint8), _CROSS, borderValue=0) > 0
    return RenderedDepth(splat.covered, np.where(inner, splat.depth, np.float32(np.nan)).astype(np.float32))


def bright_enough(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels [H, W] of an RGB image [H, W, 3] are judged on ScanNet."""
    return np.asarray((image > DARK).all(-1))


def pair_score(
    predicted: NDArray[np.float32],
    truth: NDArray[np.float32],
    rendered: RenderedDepth,
    may_judge: NDArray[np.bool_] | None = None,
) -> PairScore:
    """Errors where nothing was rendered.

    Args:
        predicted: float32 [H, W], metres, finite.
        truth: float32 [H, W], metres, NaN or 0 unknown.
        rendered: what the model was given.
        may_judge: bool [H, W], e.g. ``bright_enough``; None = all pixels.

    Raises:
        InputError: sizes that do not fit, or predicted depth that is not finite where it is judged.
    """
    if predicted.shape != truth.shape or truth.shape != rendered.covered.shape:
        raise InputError(
            f"predicted depth is {predicted.shape}, true depth {truth.shape}, rendered {rendered.covered.shape}, "
            "expected one size"
        )
    judged = ~rendered.covered if may_judge is None else ~rendered.covered & may_judge
    if not np.isfinite(predicted[judged]).all():
        raise InputError(f"{int((~np.isfinite(predicted[judged])).sum())} judged pixels have no finite predicted depth")
    known = judged & np.isfinite(truth) & (truth > 0)
    error = np.zeros(truth.shape)
    error[known] = np.abs(predicted[known].astype(np.float64) - truth[known])
    return PairScore(
        mae_m=float(error[known].mean()) if known.any() else float("nan"),
        legacy_mae_m=float(error[judged].mean()) if judged.any() else float("nan"),
        judged=int(judged.sum()),
        judged_with_truth=int(known.sum()),
        covered_share=float(rendered.covered.mean()),
    )


def strided_pairs(frames: int, stride: int = 50, step: int = 10) -> list[tuple[int, int]]:
    """Frames ``start`` and ``start + step`` for every ``stride``-th start, as on ScanNet."""
    return [(start, start + step) for start in range(0, frames, stride) if start + step < frames]
