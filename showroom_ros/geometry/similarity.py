"""The similarity (or rigid motion) that lays one set of points on another (Umeyama, TPAMI 1991)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.errors import InputError


class Similarity(NamedTuple):
    """``x -> scale R x + t``.

    Attributes:
        scale: positive.
        rotation: float64 [3, 3].
        translation: float64 [3].
    """

    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    def apply(self, points: ArrayLike) -> NDArray[np.float64]:
        """Moves points [..., 3]."""
        return self.scale * np.asarray(points, np.float64) @ self.rotation.T + self.translation

    def apply_to_poses(self, poses: ArrayLike) -> NDArray[np.float64]:
        """Moves camera poses [..., 4, 4]: turns them, and moves their centres as ``apply`` moves points."""
        moved = np.array(poses, np.float64)
        moved[..., :3, :3] = self.rotation @ moved[..., :3, :3]
        moved[..., :3, 3] = self.apply(moved[..., :3, 3])
        return moved


def fit_similarity(
    source: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None, *, with_scale: bool = True
) -> Similarity:
    """The similarity of least weighted squared distance ``sum w |s R x + t - y|^2`` (Umeyama 1991, eq. 34 to 43).

    Points on one line leave the turn about it open: one of the best is returned.

    Args:
        source: x, [N, 3].
        target: y, [N, 3].
        weights: [N], not negative; None = all equal.
        with_scale: False keeps the scale at 1.

    Raises:
        InputError: shapes differ, fewer than 3 points of weight, not finite, or all source points at one place.
    """
    x, y = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if x.ndim != 2 or x.shape[1] != 3 or x.shape != y.shape:
        raise InputError(f"points to align are {x.shape} and {y.shape}, expected both (N, 3)")
    w = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    if w.shape != (len(x),) or not (w >= 0).all():
        raise InputError(f"weights are {w.shape}, expected {(len(x),)}, none negative")
    if np.count_nonzero(w) < 3:
        raise InputError(f"{np.count_nonzero(w)} points to align, expected at least 3")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("points to align are not finite")
    w = w / w.sum()
    center_x, center_y = w @ x, w @ y
    dx, dy = x - center_x, y - center_y
    variance = float(w @ (dx**2).sum(axis=1))
    if variance <= (1e-12 * max(1.0, float(np.abs(x).max()))) ** 2:
        raise InputError(f"all {len(x)} points to align are at one place")
    u, spread, vt = np.linalg.svd((dy * w[:, None]).T @ dx)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * sign) @ vt
    scale = float(spread @ sign / variance) if with_scale else 1.0
    if not scale > 0:
        raise InputError("the target points are at one place: their scale is 0")
    return Similarity(scale, rotation, center_y - scale * rotation @ center_x)
