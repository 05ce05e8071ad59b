"""Pairs of frames that see the same surface: the benchmark pairs of Engstler et al., "Invisible Stitch" (3DV 2025).

The cloud of the first frame is rendered into the second. The pair counts if it covers most of the image and agrees
there with the second frame's depth: a wall between the two would be covered too, but by what lies behind it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError, ShowroomError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.disc_splat import coverage_bound, covered_pixels, radius_px_of_ndc, splat_discs
from showroom_ros.geometry.se3 import transform_points
from showroom_ros.scene.view import Sequence

COLUMNS = ("scene", "camera", "frame_id", "remaining_frame_id", "overlap")


@dataclass(frozen=True)
class PairRule:
    """When two frames are a pair.

    Attributes:
        min_overlap: share of the second image that the first one's cloud covers.
        max_error_m: mean difference between the rendered depth and the second frame's own where covered.
        radius_ndc: of a point; 2 is the shorter side of the image.
        points_per_pixel: how many of the nearest points are blended.
        image_width: images are made smaller to this width first, which is faster; 0 = as they are.
    """

    min_overlap: float = 0.8
    max_error_m: float = 0.1
    radius_ndc: float = 1e-2
    points_per_pixel: int = 10
    image_width: int = 0


@dataclass(frozen=True, eq=False)
class PosedDepth:
    """What pairs are made of: planar depth float32 [H, W] in metres (NaN unknown), its camera and its pose [4, 4]."""

    depth: NDArray[np.float32]
    camera: Camera
    T_world_camera: NDArray[np.float64]

    @property
    def points(self) -> NDArray[np.float64]:
        """Known surface points [N, 3], world."""
        local = self.camera.back_project(self.depth)[np.isfinite(self.depth)]
        return transform_points(self.T_world_camera, local)


def posed_depths(sequence: Sequence, image_width: int = 0) -> tuple[dict[int, PosedDepth], list[str]]:
    """The usable frames of a sequence by index, and a line for each other one that says why.

    Args:
        sequence: posed, with depth.
        image_width: see ``PairRule``.
    """
    frames, skipped = {}, []
    for index in range(len(sequence)):
        try:
            view = sequence[index]
            frame = PosedDepth(view.require_depth(), view.camera, view.require_pose())
            if not np.isfinite(frame.depth).any():
                raise InputError("depth is unknown at every pixel")
            frames[index] = _smaller(frame, image_width)
        except ShowroomError as error:
            skipped.append(f"frame {index}: {error}")
    return frames, skipped


def overlap(first: PosedDepth, second: PosedDepth, rule: PairRule | None = None) -> float | None:
    """Share of the second image that the first one's cloud covers; None if the two are no pair.

    Only pixels whose depth both know count in the mean difference.
    """
    return _overlap(first.points, second, rule or PairRule())


def overlap_pairs(frames: dict[int, PosedDepth], rule: PairRule | None = None) -> list[tuple[int, int, float]]:
    """All pairs a < b of frames and the share of b that a covers, in order."""
    rule = rule or PairRule()
    pairs = []
    for a in sorted(frames):
        points = frames[a].points
        for b in (index for index in sorted(frames) if index > a):
            share = _overlap(points, frames[b], rule)
            if share is not None:
                pairs.append((a, b, share))
    return pairs


def pair_rows(scene: str, camera: str, pairs: Iterable[tuple[int, int, float]], names: list[int]) -> list[list[str]]:
    """Rows of the published table; ``names`` are the frame ids by index."""
    return [[scene, camera, str(names[a]), str(names[b]), f"{share:.6f}"] for a, b, share in pairs]


def pair_table(rows: Iterable[list[str]]) -> bytes:
    """CSV with the columns ``COLUMNS``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def _overlap(points: NDArray[np.float64], second: PosedDepth, rule: PairRule) -> float | None:
    camera, pose = second.camera, second.T_world_camera
    radius_px = radius_px_of_ndc(rule.radius_ndc, camera)
    if coverage_bound(points, camera, pose, radius_px) < rule.min_overlap:
        return None
    covered = covered_pixels(points, camera, pose, radius_px)
    share = float(covered.mean())
    both = covered & np.isfinite(second.depth)
    if share < rule.min_overlap or not both.any():
        return None
    seen = splat_discs(points, camera, pose, radius_px, rule.points_per_pixel)
    error_m = np.abs(second.depth[both].astype(np.float64) - seen.depth[both]).mean()
    return share if error_m <= rule.max_error_m else None


def _smaller(frame: PosedDepth, image_width: int) -> PosedDepth:
    """Every so manieth pixel: depth must not be blended across edges."""
    if not 0 < image_width < frame.camera.width:
        return frame
    height = max(1, round(frame.camera.height * image_width / frame.camera.width))
    v = ((np.arange(height) + 0.5) * frame.camera.height / height).astype(int)
    u = ((np.arange(image_width) + 0.5) * frame.camera.width / image_width).astype(int)
    camera = frame.camera.scaled(image_width, height)
    return PosedDepth(np.ascontiguousarray(frame.depth[np.ix_(v, u)]), camera, frame.T_world_camera)
