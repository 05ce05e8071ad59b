"""Which photos show the same place: verified matches of features, or depth that agrees and looks alike."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.feature_tracks import Features
from showroom_ros.reconstruction.consistency import DepthOfView, compared_with
from showroom_ros.reconstruction.image_matches import features_of, matched_pairs
from showroom_ros.reconstruction.windows import Part

_WIDTH = 640
_LEAST_SEEN, _LEAST_AGREEMENT, _LEAST_LIKENESS = 0.2, 0.6, 0.5


class _Matches:
    """Features of photos, found when first asked for, and whether two photos share enough of them."""

    def __init__(self, images: Mapping[int, NDArray[np.uint8]]) -> None:
        self._images = images
        self._found: dict[int, Features] = {}

    def tie(self, a: int, b: int) -> bool:
        """Whether one epipolar geometry explains enough matches."""
        return bool(matched_pairs([self._of(a), self._of(b)], seed=0))

    def _of(self, number: int) -> Features:
        if number not in self._found:
            image = self._images[number]
            scale = min(1.0, _WIDTH / max(image.shape[:2]))
            small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            self._found[number] = features_of(np.asarray(small, np.uint8))
        return self._found[number]


def groups_of(whole: Part, images: Mapping[int, NDArray[np.uint8]]) -> list[list[int]]:
    """Photos tied to each other, directly or through others; the largest group first.

    Args:
        whole: where the network placed them.
        images: the photos by number, uint8 [H, W, 3].
    """
    matches = _Matches(images)
    group = {number: number for number in whole.numbers}
    for a, b in _nearest_first(whole):
        if group[a] != group[b] and (matches.tie(a, b) or _agree(whole, a, b, images)):
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
