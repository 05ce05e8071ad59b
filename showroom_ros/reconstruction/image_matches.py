"""Points found in pairs of photos whose poses nobody knows, linked through all of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from showroom_ros.geometry.feature_tracks import Tracks

_FEATURES = 4000
_RATIO = 0.8
"""Lowe, 2004: a match counts where the next best is so much farther."""
_FARTHEST_PX = 1.5
_MIN_MATCHES = 20

Features = tuple[NDArray[np.float64], NDArray[np.float32]]


class PairMatches(NamedTuple):
    """What two photos have in common.

    Attributes:
        first, second: numbers of the photos.
        features: int64 [m, 2], numbers of the features.
        pixels_first, pixels_second: float64 [m, 2].
        fundamental: float64 [3, 3]: ``second^T F first = 0``.
    """

    first: int
    second: int
    features: NDArray[np.int64]
    pixels_first: NDArray[np.float64]
    pixels_second: NDArray[np.float64]
    fundamental: NDArray[np.float64]


def usac(threshold_px: float, seed: int) -> cv2.UsacParams:
    """MAGSAC++ (Barath et al., CVPR 2020) with random numbers of its own."""
    params = cv2.UsacParams()
    params.sampler, params.score = cv2.SAMPLING_UNIFORM, cv2.SCORE_METHOD_MAGSAC
    params.loMethod, params.loIterations, params.loSampleSize = cv2.LOCAL_OPTIM_SIGMA, 10, 14
    params.maxIterations, params.confidence = 5000, 0.999
    params.threshold, params.randomGeneratorState, params.isParallel = threshold_px, seed, False
    return params


def root_sift(image: NDArray[np.uint8], count: int = _FEATURES) -> Features:
    """Pixels [n, 2] and unit descriptors [n, 128] of an RGB image (Lowe, 2004; Arandjelovic and Zisserman, 2012)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    keypoints, descriptors = cv2.SIFT_create(count, contrastThreshold=0.02).detectAndCompute(grey, None)  # type: ignore[attr-defined, call-overload]
    if descriptors is None or not len(keypoints):
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    shares = descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6)
    return np.array([keypoint.pt for keypoint in keypoints], np.float64), np.sqrt(shares).astype(np.float32)


def matched_pairs(features: Sequence[Features], seed: int) -> list[PairMatches]:
    """All pairs with enough matches that one fundamental matrix explains.

    Features match where each is the other's nearest, clearly nearer than the next.
    """
    result = []
    for a, b in itertools.combinations(range(len(features)), 2):
        found = _nearest(features[a][1], features[b][1])
        if len(found) < _MIN_MATCHES:
            continue
        x, y = features[a][0][found[:, 0]], features[b][0][found[:, 1]]
        F, mask = cv2.findFundamentalMat(x, y, usac(_FARTHEST_PX, seed))  # type: ignore[call-overload]
        if F is None or mask is None or F.shape != (3, 3):
            continue
        kept = mask.ravel() > 0
        if kept.sum() >= _MIN_MATCHES:
            result.append(PairMatches(a, b, found[kept], x[kept], y[kept], np.asarray(F, np.float64)))
    return result


def linked(features: Sequence[Features], pairs: Sequence[PairMatches]) -> Tracks:
    """Matches of pairs joined into tracks; those seen twice in one image are dropped."""
    starts = np.concatenate([[0], np.cumsum([len(pixels) for pixels, _ in features])]).astype(np.int64)
    if not pairs:
        return Tracks(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2)), 0)
    first, second = np.concatenate([p.features + starts[[p.first, p.second]] for p in pairs]).T
    total = int(starts[-1])
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(total, total))
    label = np.asarray(connected_components(graph, directed=False)[1], np.int64)
    image = np.repeat(np.arange(len(features)), np.diff(starts))
    pixel = np.concatenate([pixels for pixels, _ in features])
    sightings = np.bincount(label)
    different = np.bincount(np.unique(np.stack([label, image]), axis=1)[0], minlength=len(sightings))
    good = (sightings >= 2) & (sightings == different)
    rows = np.flatnonzero(good[label])
    rows = rows[np.argsort(label[rows], kind="stable")]
    return Tracks((np.cumsum(good) - 1)[label[rows]], image[rows], pixel[rows], int(good.sum()))


def _nearest(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.int64]:
    """Numbers [m, 2] of features of two images that match."""
    if len(a) < 2 or len(b) < 2:
        return np.zeros((0, 2), np.int64)
    likeness = a @ b.T
    best = likeness.argmax(1)
    rows = np.arange(len(best))
    nearest = likeness[rows, best]
    likeness[rows, best] = -1.0
    # Distances of unit vectors: |x - y|^2 = 2 - 2 x.y.
    clear = np.flatnonzero((1 - nearest) < _RATIO**2 * (1 - likeness.max(1)))
    mutual = clear[(b[best[clear]] @ a.T).argmax(1) == clear]
    return np.stack([mutual, best[mutual]], 1)
