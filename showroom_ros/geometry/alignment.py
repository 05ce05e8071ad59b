"""Point sets, pointmaps, depth and trajectories laid on one another where a part of them is wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist

from showroom_ros.errors import InputError
from showroom_ros.geometry.pointmap import confident
from showroom_ros.geometry.similarity import Similarity, fit_similarity

_REFITS = 20
_SCORED = 1000
"""Hypotheses are compared on so many points at most."""
_MISSED = 1e-4
"""Sampling ends when the chance that no sample was free of outliers is smaller."""
_MIN_DEPTHS = 50
_MOST_PAIRS = 300
_POSE_TOLERANCE = 0.2
"""Of a camera: this share of the baseline, or so many radians."""


class Alignment(NamedTuple):
    """How one set was laid on another.

    Attributes:
        similarity: maps the first to the second.
        inlier_share: which share of the correspondences it fits.
        rms: root mean square distance of these, in units of the second.
    """

    similarity: Similarity
    inlier_share: float
    rms: float


def robust_similarity(
    source: ArrayLike,
    target: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    with_scale: bool = True,
    tolerance: float = 0.1,
    iterations: int = 200,
    seed: int = 0,
) -> Alignment:
    """The similarity of correspondences of which some are wrong.

    RANSAC (Fischler and Bolles, 1981; truncated squares of Torr and Zisserman, 2000) of three points, then fits
    reweighted as of Geman and McClure (1987), of the scale that the residuals have.

    Args:
        source: x, [N, 3].
        target: y, [N, 3].
        weights: [N], not negative; None = all equal. Points of weight 0 count nowhere.
        with_scale: False keeps the scale at 1.
        tolerance: how far off an inlier may be, as a share of the median distance of the target from its median.
        iterations: samples.
        seed: of the samples.

    Raises:
        InputError: as ``fit_similarity``; half of the target at one place; or no three points that agree.
    """
    x, y = np.asarray(source, np.float64), np.asarray(target, np.float64)
    fit_similarity(x, y, weights, with_scale=with_scale)  # checks the input
    w = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    x, y, w = x[w > 0], y[w > 0], w[w > 0]
    limit = tolerance * float(np.median(np.linalg.norm(y - np.median(y, axis=0), axis=1)))
    if not limit > 0:
        raise InputError(f"half of the {len(y)} target points are at one place, or tolerance {tolerance} is not > 0")
    best = _best_sample(x, y, w, limit, with_scale, iterations, np.random.default_rng(seed))
    distance = np.linalg.norm(best.apply(x) - y, axis=1)
    for _ in range(_REFITS):
        near = distance < limit
        if near.sum() < 3:
            raise InputError(f"{near.sum()} of {len(x)} points agree within {limit:.3g}, expected at least 3")
        sigma = max(3 * float(np.median(distance[near])), 1e-9 * limit)
        trust = w * near / (1 + (distance / sigma) ** 2) ** 2
        best = fit_similarity(x, y, trust, with_scale=with_scale)
        distance = np.linalg.norm(best.apply(x) - y, axis=1)
    near = distance < limit
    return Alignment(best, float(near.mean()), float(np.sqrt(np.mean(distance[near] ** 2))))


def local_to_global(
    local: NDArray[np.floating], points: NDArray[np.floating], confidence: NDArray[np.floating], share: float = 0.15
) -> Alignment:
    """Lays a view's pointmap in its own frame on the one in the common frame (Fast3R, CVPR 2025, section 3.4).

    Args:
        local: [H, W, 3], in the frame of the camera.
        points: [H, W, 3], in the common frame; points not finite in either are ignored.
        confidence: of ``points``, [H, W]; only the most confident ``share`` is aligned.
        share: in (0, 1].

    Raises:
        InputError: shapes that do not fit, fewer than 3 usable points, or as ``robust_similarity``.
    """
    if local.ndim != 3 or local.shape[2] != 3 or local.shape != points.shape or confidence.shape != local.shape[:2]:
        raise InputError(
            f"pointmaps are {local.shape} and {points.shape}, confidence is {confidence.shape}, "
            "expected (H, W, 3) twice and (H, W)"
        )
    sure = confident(confidence, share, np.isfinite(local).all(-1) & np.isfinite(points).all(-1))
    return robust_similarity(local[sure], points[sure])


def scale_to_depth(
    predicted_depth: NDArray[np.floating], depth: NDArray[np.floating], confidence: NDArray[np.floating] | None = None
) -> float | None:
    """What predicted depth is to be multiplied with to agree with measured depth: the weighted median of the ratios.

    Args:
        predicted_depth: [H, W] in any unit.
        depth: [H, W] in metres, NaN or 0 unknown.
        confidence: [H, W], the weight of a pixel; None = all equal.

    Returns:
        None where fewer than 50 pixels have both depths and a positive confidence.

    Raises:
        InputError: the shapes differ.
    """
    weight = np.ones(depth.shape) if confidence is None else np.asarray(confidence, np.float64)
    if not predicted_depth.shape == depth.shape == weight.shape:
        raise InputError(
            f"predicted depth is {predicted_depth.shape}, depth is {depth.shape}, confidence is {weight.shape}, "
            "expected the same"
        )
    both = np.isfinite(predicted_depth) & np.isfinite(depth) & np.isfinite(weight)
    both &= (np.nan_to_num(predicted_depth) > 0) & (np.nan_to_num(depth) > 0) & (np.nan_to_num(weight) > 0)
    if both.sum() < _MIN_DEPTHS:
        return None
    ratio = np.log(depth[both].astype(np.float64)) - np.log(predicted_depth[both].astype(np.float64))
    order = np.argsort(ratio, kind="stable")
    total = np.cumsum(weight[both][order])
    half = total[-1] / 2
    # between two values where the weight splits evenly
    low, high = np.searchsorted(total, half * (1 - 1e-12)), np.searchsorted(total, half * (1 + 1e-12))
    return float(np.exp((ratio[order[low]] + ratio[order[min(high, len(order) - 1)]]) / 2))


def scale_and_pose_to(
    poses_predicted: ArrayLike, poses_known: ArrayLike, min_baseline: float = 1e-6
) -> Alignment | None:
    """The similarity that lays predicted camera poses on known ones, by centres and orientations.

    Centres alone leave a turn open where cameras stand on a line. A radian of turn counts as much as the median
    distance of two cameras. Pairs of cameras are hypotheses; the best is refined by fits reweighted as in
    ``robust_similarity``. ``rms`` is that of the centres.

    Args:
        poses_predicted: [N, 4, 4], camera to the predicted frame; rows with NaN are ignored.
        poses_known: [N, 4, 4], camera to the known frame.
        min_baseline: cameras nearer to one another, in units of the known frame, tell nothing of the scale.

    Returns:
        None with fewer than two poses, without a baseline, or where no two cameras agree.

    Raises:
        InputError: shapes that are not (N, 4, 4) twice.
    """
    a, b = np.asarray(poses_predicted, np.float64), np.asarray(poses_known, np.float64)
    if a.ndim != 3 or a.shape[1:] != (4, 4) or a.shape != b.shape:
        raise InputError(f"poses are {a.shape} and {b.shape}, expected both (N, 4, 4)")
    finite = np.isfinite(a).all((1, 2)) & np.isfinite(b).all((1, 2))
    a, b = a[finite], b[finite]
    apart = pdist(b[:, :3, 3]) if len(b) > 1 else np.zeros(0)
    first, second = np.triu_indices(len(b), 1)
    usable = np.flatnonzero((apart > min_baseline) & (np.linalg.norm(a[first, :3, 3] - a[second, :3, 3], axis=1) > 0))
    if not len(usable):
        return None
    length = float(np.median(apart[usable]))
    if len(usable) > _MOST_PAIRS:
        usable = np.random.default_rng(0).choice(usable, _MOST_PAIRS, replace=False)
    best, cost = None, np.inf
    for pair in usable:
        weight = np.zeros(len(a))
        weight[[first[pair], second[pair]]] = 1
        found = _fit_poses(a, b, weight, length)
        error = np.minimum(_pose_errors(found, a, b, length), _POSE_TOLERANCE * length)
        if error @ error < cost:
            best, cost = found, float(error @ error)
    return _refitted(best, a, b, length) if best is not None else None


def _best_sample(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    w: NDArray[np.float64],
    limit: float,
    with_scale: bool,
    iterations: int,
    rng: np.random.Generator,
) -> Similarity:
    """The similarity of three points that fits the rest best."""
    scored = rng.choice(len(x), _SCORED, replace=False) if len(x) > _SCORED else np.arange(len(x))
    best, cost, tried, needed = None, np.inf, 0, float(iterations)
    while tried < needed:
        tried += 1
        rows = rng.choice(len(x), 3, replace=False)
        try:
            found = fit_similarity(x[rows], y[rows], with_scale=with_scale)
        except InputError:  # three points at one place
            continue
        off = np.minimum(np.linalg.norm(found.apply(x[scored]) - y[scored], axis=1), limit)
        if w[scored] @ off**2 < cost:
            best, cost = found, float(w[scored] @ off**2)
            clean = np.clip(np.mean(off < limit) ** 3, 1e-12, 1 - 1e-12)
            needed = min(iterations, np.log(_MISSED) / np.log1p(-clean))
    return fit_similarity(x, y, w, with_scale=with_scale) if best is None else best


def _fit_poses(
    a: NDArray[np.float64], b: NDArray[np.float64], weight: NDArray[np.float64], length: float
) -> Similarity:
    """Least squares of centre distances and, ``length`` for a radian, of the turns between orientations."""
    w = weight / weight.sum()
    x, y = a[:, :3, 3], b[:, :3, 3]
    dx, dy = x - w @ x, y - w @ y
    # |R A - B|_F^2 is twice the square of a small angle
    turns = length**2 / 2 * np.einsum("n,nij,nkj->ik", w, b[:, :3, :3], a[:, :3, :3])
    scale = float(np.sqrt((w @ (dy**2).sum(1)) / (w @ (dx**2).sum(1))))
    for _ in range(10):
        u, _, vt = np.linalg.svd(scale * (dy * w[:, None]).T @ dx + turns)
        rotation = (u * [1, 1, np.sign(np.linalg.det(u) * np.linalg.det(vt))]) @ vt
        before, scale = scale, float(w @ (dy * (dx @ rotation.T)).sum(1) / (w @ (dx**2).sum(1)))
        if not scale > 0:  # the orientations are against the centres
            scale = before
            break
    return Similarity(scale, rotation, w @ y - scale * rotation @ (w @ x))


def _pose_errors(
    found: Similarity, a: NDArray[np.float64], b: NDArray[np.float64], length: float
) -> NDArray[np.float64]:
    """Distance of centres and turn of orientations, as one length [N]."""
    moved = found.apply_to_poses(a)
    off = ((moved[:, :3, 3] - b[:, :3, 3]) ** 2).sum(1)
    turned = ((moved[:, :3, :3] - b[:, :3, :3]) ** 2).sum((1, 2))
    return np.sqrt(off + length**2 / 2 * turned)


def _refitted(best: Similarity, a: NDArray[np.float64], b: NDArray[np.float64], length: float) -> Alignment | None:
    limit = _POSE_TOLERANCE * length
    error = _pose_errors(best, a, b, length)
    for _ in range(_REFITS):
        near = error < limit
        if near.sum() < 2 or np.ptp(a[near, :3, 3], axis=0).max() == 0:
            return None
        sigma = max(3 * float(np.median(error[near])), 1e-9 * limit)
        best = _fit_poses(a, b, near / (1 + (error / sigma) ** 2) ** 2, length)
        error = _pose_errors(best, a, b, length)
    near = error < limit
    off = np.linalg.norm(best.apply(a[near, :3, 3]) - b[near, :3, 3], axis=1)
    return Alignment(best, float(near.mean()), float(np.sqrt(np.mean(off**2))))
