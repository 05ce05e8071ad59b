"""Which photos show the same place: verified matches of features, or depth that agrees and looks alike."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.reconstruction.consistency import DepthOfView, compared_with
from showroom_ros.reconstruction.windows import Part

_WIDTH = 640
_FEATURES = 1500
_RATIO = 0.8
_LEAST_MATCHES = 20
"""On one epipolar geometry; unrelated photos of rooms have up to about a dozen by chance."""
_LEAST_SEEN, _LEAST_AGREEMENT, _LEAST_LIKENESS = 0.2, 0.6, 0.5


class _Features:
    """SIFT features (Lowe, 2004) of photos, found when first asked for."""

    def __init__(self, images: Mapping[int, NDArray[np.uint8]]) -> None:
        self._images = images
        self._found: dict[int, tuple[NDArray[np.float64], NDArray[np.float32]]] = {}

    def of(self, number: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Pixels [n, 2] and descriptors [n, 128] of unit length."""
        if number not in self._found:
            image = self._images[number]
            scale = min(1.0, _WIDTH / max(image.shape[:2]))
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            keypoints, descriptors = cv2.SIFT_create(_FEATURES, contrastThreshold=0.02).detectAndCompute(grey, None)  # type: ignore[attr-defined, call-overload]
            if descriptors is None:
                descriptors = np.zeros((0, 128), np.float32)
            shares = descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6)
            pixels = np.array([keypoint.pt for keypoint in keypoints], np.float64).reshape(-1, 2)
            self._found[number] = pixels, np.sqrt(shares).astype(np.float32)
        return self._found[number]


def groups_of(whole: Part, images: Mapping[int, NDArray[np.uint8]]) -> list[list[int]]:
    """Photos tied to each other, directly or through others; the largest group first.

    Args:
        whole: where the network placed them.
        images: the photos by number, uint8 [H, W, 3].
    """
    features = _Features(images)
    group = {number: number for number in whole.numbers}
    for a, b in _nearest_first(whole):
        if group[a] != group[b] and (_matched(features, a, b) or _agree(whole, a, b, images)):
            old = group[b]
            group = {number: group[a] if name == old else name for number, name in group.items()}
    names = list(dict.fromkeys(group.values()))
    found = [[number for number in whole.numbers if group[number] == name] for name in names]
    return sorted(found, key=len, reverse=True)


def _nearest_first(whole: Part) -> list[tuple[int, int]]:
    """All pairs, those whose cameras are placed near each other first: they most likely see the same."""
    center = whole.poses[:, :3, 3]
    pairs = [(i, j) for i in range(len(center)) for j in range(i + 1, len(center))]
    distance = {(i, j): float(np.nan_to_num(np.linalg.norm(center[i] - center[j]), nan=np.inf)) for i, j in pairs}
    return [(whole.numbers[i], whole.numbers[j]) for i, j in sorted(pairs, key=lambda pair: distance[pair])]


def _matched(features: _Features, a: int, b: int) -> bool:
    """Whether enough features of two photos match on one epipolar geometry."""
    (pixels_a, of_a), (pixels_b, of_b) = features.of(a), features.of(b)
    if min(len(pixels_a), len(pixels_b)) < _LEAST_MATCHES:
        return False
    likeness = of_a @ of_b.T
    best, back = likeness.argmax(1), likeness.argmax(0)
    rows = np.arange(len(best))
    nearest = likeness[rows, best]
    likeness[rows, best] = -1.0
    clear = (1 - nearest) < _RATIO**2 * (1 - likeness.max(1))
    first = np.flatnonzero((back[best] == rows) & clear)
    if len(first) < _LEAST_MATCHES:
        return False
    parameters = cv2.UsacParams()
    parameters.threshold, parameters.confidence, parameters.maxIterations = 2.0, 0.999, 2000
    parameters.randomGeneratorState = 0
    fundamental, good = cv2.findFundamentalMat(pixels_a[first], pixels_b[best[first]], parameters)
    return fundamental is not None and good is not None and int(good.sum()) >= _LEAST_MATCHES


def _agree(whole: Part, a: int, b: int, images: Mapping[int, NDArray[np.uint8]]) -> bool:
    """Whether the depth of each photo is found again in the other's, and the images look alike there."""
    i, j = whole.numbers.index(a), whole.numbers.index(b)
    if not np.isfinite(whole.poses[[i, j]]).all():
        return False
    depth = [DepthOfView(whole.depths[n], whole.cameras[n], whole.poses[n]) for n in (i, j)]
    for one, other in (depth, depth[::-1]):
        agreement = compared_with(one, [other])
        if (agreement.compared > 0).mean() < _LEAST_SEEN or not agreement.share >= _LEAST_AGREEMENT:
            return False
    return _likeness(depth[0], depth[1], images[a], images[b]) >= _LEAST_LIKENESS


def _likeness(
    one: DepthOfView, other: DepthOfView, image_one: NDArray[np.uint8], image_other: NDArray[np.uint8]
) -> float:
    """Correlation of the grey levels of pixels that show the same point; 0 where there are few."""
    grey_one, grey_other = (
        cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), view.depth.shape[::-1], interpolation=cv2.INTER_AREA)
        for image, view in ((image_one, one), (image_other, other))
    )
    points = one.camera.back_project(one.depth).reshape(-1, 3)
    relative = np.linalg.inv(other.T_world_camera) @ one.T_world_camera
    pixel, z = other.camera.project(points @ relative[:3, :3].T + relative[:3, 3])
    column, row = np.floor(np.nan_to_num(pixel, nan=-1.0) + 0.5).astype(int).T
    inside = (z > 0) & (column >= 0) & (column < other.camera.width) & (row >= 0) & (row < other.camera.height)
    inside &= np.isfinite(points).all(1)
    if inside.sum() < 50:
        return 0.0
    seen = grey_one.ravel()[inside].astype(float), grey_other[row[inside], column[inside]].astype(float)
    return float(np.nan_to_num(np.corrcoef(*seen)[0, 1])) if min(map(np.std, seen)) > 0 else 0.0
