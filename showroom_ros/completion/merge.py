"""What of a generated view may enter the map: only what nobody saw, and nothing where space was seen to be free."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.completion.completable import CompletableMap
from showroom_ros.completion.holes import PartialView
from showroom_ros.errors import InputError
from showroom_ros.geometry.se3 import transform_points
from showroom_ros.scene.view import Provenance, View

RIM_PX = 2
"""Known surface this near to a hole goes along with what fills it, so that no gap is left between them."""


@dataclass(frozen=True)
class MergeCounts:
    """Pixels of one generated view.

    Attributes:
        holes: that nothing was known of.
        generated: of these, those that enter the map.
        blocking: of these, those left out because they would stand in space that was seen to be free.
        behind: pixels left out because the view looks at the back of surface there.
    """

    holes: int
    generated: int
    blocking: int
    behind: int


def generated_part(
    partial: PartialView, image: NDArray[np.uint8], depth: NDArray[np.float32], scene: CompletableMap
) -> tuple[View, MergeCounts]:
    """The view that is fused: GENERATED depth in the holes and on a rim of ``RIM_PX`` around them, NaN elsewhere.

    On the rim depth is the map's own: fused as GENERATED it changes nothing that was seen.

    Args:
        partial: what the map shows.
        image: uint8 [H, W, 3], filled.
        depth: float32 [H, W], metres, filled.
        scene: knows free space.

    Raises:
        InputError: sizes that do not fit.
    """
    view = partial.view
    if image.shape != view.image.shape or depth.shape != view.image.shape[:2]:
        raise InputError(
            f"the image is {image.shape}, its depth {depth.shape}, expected {view.image.shape} as what they complete"
        )
    holes = ~partial.known & ~partial.behind
    added = np.isfinite(depth) & (depth > 0) & holes
    points = transform_points(view.require_pose(), view.camera.back_project(np.where(added, depth, np.nan)))
    blocking = scene.is_free(points) & added
    added &= ~blocking
    rim = _grown(added, RIM_PX) & partial.known
    fused = np.where(added | rim, depth, np.float32(np.nan)).astype(np.float32)
    provenance = np.full(fused.shape, Provenance.GENERATED, np.uint8)
    counts = MergeCounts(int(holes.sum()), int(added.sum()), int(blocking.sum()), int(partial.behind.sum()))
    made = View(image, view.camera, fused, provenance, None, view.T_world_camera, view.stamp_ns, view.frame_id)
    return made, counts


def _grown(mask: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    size = 2 * radius_px + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)) > 0)
