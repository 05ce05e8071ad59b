"""Points found in pairs of photos whose poses nobody knows, linked through all of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.feature_tracks import Features, Tracks, linked, nearest_pairs, root_sift

_FEATURES = 4000
_FARTHEST_PX = 1.5
_MIN_MATCHES = 20


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


def features_of(image: NDArray[np.uint8]) -> Features:
    """Features of an RGB image [H, W, 3]."""
    return root_sift(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8), _FEATURES)


def matched_pairs(features: Sequence[Features], seed: int) -> list[PairMatches]:
    """All pairs with enough matches that one fundamental matrix explains.

    Features match where each is the other's nearest, clearly nearer than the next.
    """
    result = []
    for a, b in itertools.combinations(range(len(features)), 2):
        found = nearest_pairs(features[a][1], features[b][1])
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


def tracks_of(features: Sequence[Features], pairs: Sequence[PairMatches]) -> Tracks:
    """Matches of pairs joined into tracks of two sightings or more; those seen twice in one image are dropped."""
    return linked([pixels for pixels, _ in features], [(p.first, p.second, p.features) for p in pairs], min_views=2)
