"""Windows of photos, and how what was found in each is laid together: similarities on shared photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.alignment import robust_similarity
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import transform_points
from showroom_ros.geometry.similarity import Similarity
from showroom_ros.geometry.similarity_graph import Edge, composed, inverted, loop_error, optimised

_MOST_POINTS = 3000
"""Of a photo that two windows share, compared."""
_LEAST_INLIERS = 0.3
_BRIDGE = 3
"""Photos of either end that are looked at together to close a loop."""


@dataclass(frozen=True, eq=False)
class Part:
    """What was found of some photos, in one frame and one unit.

    Attributes:
        numbers: of the photos.
        cameras: of their images.
        poses: ``T_part_camera`` float64 [n, 4, 4]; NaN rows could not be placed.
        depths: float32 [H, W] each, NaN unknown.
        confidences: float32 [H, W] each, 0..1.
    """

    numbers: list[int]
    cameras: list[Camera]
    poses: NDArray[np.float64]
    depths: list[NDArray[np.float32]]
    confidences: list[NDArray[np.float32]]

    def points(self, row: int) -> NDArray[np.float64]:
        """Points [H, W, 3] of photo ``row`` in the part's frame."""
        return transform_points(self.poses[row], self.cameras[row].back_project(self.depths[row]))

    def moved(self, similarity: Similarity) -> Part:
        """The same in another frame and unit."""
        depths = [(depth * similarity.scale).astype(np.float32) for depth in self.depths]
        return dataclasses.replace(self, poses=similarity.apply_to_poses(self.poses), depths=depths)

    def subset(self, numbers: Sequence[int]) -> Part:
        """Only photos of these numbers."""
        rows = [row for row, number in enumerate(self.numbers) if number in set(numbers)]
        return Part(
            [self.numbers[row] for row in rows],
            [self.cameras[row] for row in rows],
            self.poses[rows],
            [self.depths[row] for row in rows],
            [self.confidences[row] for row in rows],
        )


def windows_of(numbers: Sequence[int], window: int, overlap: int) -> list[list[int]]:
    """Runs of ``window`` numbers, each sharing ``overlap`` with the one before; the last may share more.

    Raises:
        InputError: the overlap is none or leaves no progress.
    """
    if not 0 < overlap < window:
        raise InputError(f"overlap is {overlap}, expected 1 to {window - 1}, below the window of {window}")
    if len(numbers) <= window:
        return [list(numbers)]
    starts = [*range(0, len(numbers) - window, window - overlap), len(numbers) - window]
    return [list(numbers[start : start + window]) for start in starts]


def laid_together(
    parts: Sequence[Part], compute: Callable[[Sequence[int]], Part] | None = None, loops: int = 0
) -> tuple[Part, list[tuple[float, float, float]]]:
    """All parts in the frame of the first.

    Neighbours share photos; to close loops, photos of parts farther apart are looked at in windows of their own.

    Args:
        parts: in order, each sharing photos with the one before.
        compute: makes a part of photos by their numbers; None = loops are not looked for.
        loops: so many at most.

    Returns:
        all photos, each as the first part that placed it says; and the drift of each loop, see ``loop_error``.
    """
    if len(parts) == 1:
        return parts[0], []
    chain: list[Edge] = []
    for number, (one, two) in enumerate(pairwise(parts)):
        found = shared_similarity(one, two)
        if found is None:
            break  # what follows hangs in the air
        chain.append(Edge(number, number + 1, *found))
    reached = parts[: len(chain) + 1]
    frames = optimised(len(reached), chain)
    drift: list[tuple[float, float, float]] = []
    if compute is not None and loops:
        moved = [part.moved(frame) for part, frame in zip(reached, frames, strict=True)]
        for first, second, seen, weight in _loops(moved, compute, loops):
            # seen: the second's photos as the first sees them, both in the chain's frame
            similarity = composed(inverted(frames[first]), composed(seen, frames[second]))
            closing = Edge(first, second, similarity, weight)
            drift.append(loop_error([*chain[first:second], Edge(second, first, inverted(similarity), weight)]))
            chain.append(closing)
        frames = optimised(len(reached), chain)
    moved = [part.moved(frame) for part, frame in zip(reached, frames, strict=True)]
    return _joined(moved, sorted({number for part in parts for number in part.numbers}), parts), drift


def _joined(moved: Sequence[Part], numbers: list[int], parts: Sequence[Part]) -> Part:
    """Each photo from the first part that placed it; those of none keep a NaN pose."""
    rows: dict[int, tuple[Part, int]] = {}
    for part in moved:
        for row, number in enumerate(part.numbers):
            if number not in rows or not np.isfinite(rows[number][0].poses[rows[number][1]]).all():
                rows[number] = part, row
    for part in parts:
        lost = dataclasses.replace(part, poses=np.full_like(part.poses, np.nan))
        for row, number in enumerate(part.numbers):
            rows.setdefault(number, (lost, row))
    chosen = [rows[number] for number in numbers]
    return Part(
        numbers,
        [part.cameras[row] for part, row in chosen],
        np.stack([part.poses[row] for part, row in chosen]),
        [part.depths[row] for part, row in chosen],
        [part.confidences[row] for part, row in chosen],
    )


def shared_similarity(first: Part, second: Part) -> tuple[Similarity, float] | None:
    """The similarity from the second part's frame to the first's by shared photos, and the share of points it fits."""
    ours, theirs, weights = [], [], []
    for row, number in enumerate(second.numbers):
        if number not in first.numbers:
            continue
        other = first.numbers.index(number)
        x, y = second.points(row).reshape(-1, 3), first.points(other).reshape(-1, 3)
        w = np.minimum(second.confidences[row], first.confidences[other]).ravel()
        both = np.flatnonzero(np.isfinite(x).all(1) & np.isfinite(y).all(1) & (w > 0))
        both = both[:: max(1, len(both) // _MOST_POINTS)]
        ours.append(y[both])
        theirs.append(x[both])
        weights.append(w[both])
    if not ours or sum(map(len, ours)) < 50:
        return None
    fit = robust_similarity(np.concatenate(theirs), np.concatenate(ours), np.concatenate(weights))
    return (fit.similarity, fit.inlier_share) if fit.inlier_share >= _LEAST_INLIERS else None


def _loops(moved: Sequence[Part], compute: Callable[[Sequence[int]], Part], most: int) -> list[Edge]:
    """Edges between parts that are no neighbours: nearby photos of both through the network together.

    Args:
        moved: all in one frame, as far as the chain of neighbours knows.
        compute: makes a part of photos by their numbers.
        most: so many pairs are tried, those first whose cameras are near each other and look the same way.
    """
    pairs = [(first, second) for first in range(len(moved)) for second in range(first + 2, len(moved))]
    costs = {pair: _apart(moved[pair[0]], moved[pair[1]]) for pair in pairs}
    closing: list[Edge] = []
    for first, second in sorted(pairs, key=lambda pair: costs[pair].min())[:most]:
        near = [np.argsort(costs[first, second].min(axis))[:_BRIDGE] for axis in (1, 0)]
        ends = [[moved[part].numbers[row] for row in rows] for part, rows in zip((first, second), near, strict=True)]
        bridge = compute(list(dict.fromkeys(ends[0] + ends[1])))
        one, two = shared_similarity(moved[first], bridge), shared_similarity(bridge, moved[second])
        if one is not None and two is not None:
            closing.append(Edge(first, second, composed(one[0], two[0]), min(one[1], two[1])))
    return closing


def _apart(a: Part, b: Part) -> NDArray[np.float64]:
    """How far each camera of ``a`` is from each of ``b``, in steps between cameras and in units of 30 degrees."""
    centers = a.poses[:, :3, 3], b.poses[:, :3, 3]
    step = np.nanmedian(np.linalg.norm(np.diff(np.concatenate(centers), axis=0), axis=1))
    distance = np.linalg.norm(centers[0][:, None] - centers[1][None], axis=2) / max(float(step), 1e-9)
    turn = np.degrees(np.arccos(np.clip(a.poses[:, :3, 2] @ b.poses[:, :3, 2].T, -1, 1))) / 30.0
    return np.where(np.isfinite(distance + turn), distance + turn, np.inf)
