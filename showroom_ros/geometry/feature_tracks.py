"""Points of a scene followed through posed images: what poses and focal length can be checked and refined with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse

_FEATURES = 1500
_RATIO = 0.8
"""Lowe, 2004: a match counts where the next best is so much farther."""
_FARTHEST_FROM_LINE = 0.02
"""Distance from the epipolar line, as a share of the image width, up to which poses may be wrong."""


Features = tuple[NDArray[np.float64], NDArray[np.float32]]
"""Pixels [n, 2] and unit descriptors [n, D] of an image."""


class PosedImage(NamedTuple):
    """An undistorted grey image uint8 [H, W], its camera, and ``T_world_camera`` float64 [4, 4]."""

    grey: NDArray[np.uint8]
    camera: Camera
    T_world_camera: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tracks:
    """Where points of the scene were seen, one row per sighting, sorted by point.

    Attributes:
        point: which point, int64 [n], 0..``count``-1.
        image: in which image, int64 [n].
        pixel: where, float64 [n, 2], (u, v).
        count: how many points.
    """

    point: NDArray[np.int64]
    image: NDArray[np.int64]
    pixel: NDArray[np.float64]
    count: int

    def subset(self, points: NDArray[np.bool_]) -> Tracks:
        """The points marked in [count], numbered anew."""
        rows = points[self.point]
        numbers = np.cumsum(points) - 1
        return Tracks(numbers[self.point[rows]], self.image[rows], self.pixel[rows], int(points.sum()))


def feature_tracks(images: Sequence[PosedImage], pairs: Iterable[tuple[int, int]], min_views: int = 3) -> Tracks:
    """Follows SIFT features (Lowe, 2004; compared by the Hellinger kernel of Arandjelovic and Zisserman, 2012).

    Two features match where each is the other's nearest, clearly nearer than the next, and near the other's epipolar
    line. Points seen twice in one image are dropped.

    Args:
        images: all views.
        pairs: which of them to compare.
        min_views: points of fewer are dropped.
    """
    found = [root_sift(image.grey, _FEATURES) for image in images]
    links = []
    for a, b in sorted({(min(pair), max(pair)) for pair in pairs}):
        matched = nearest_pairs(found[a][1], found[b][1])
        pixels = found[a][0][matched[:, 0]], found[b][0][matched[:, 1]]
        away = _from_epipolar_line(*pixels, images[a], images[b])
        links.append((a, b, matched[away < _FARTHEST_FROM_LINE * images[b].camera.width]))
    return linked([pixels for pixels, _ in found], links, min_views)


def root_sift(grey: NDArray[np.uint8], count: int) -> Features:
    """Pixels [n, 2] and unit descriptors [n, 128] of a grey image [H, W]; see ``feature_tracks``."""
    keypoints, descriptors = cv2.SIFT_create(count, contrastThreshold=0.02).detectAndCompute(grey, None)  # type: ignore[attr-defined, call-overload]
    if descriptors is None or not len(keypoints):
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    shares = descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6)
    return np.array([keypoint.pt for keypoint in keypoints], np.float64), np.sqrt(shares).astype(np.float32)


def nearest_pairs(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.int64]:
    """Numbers [m, 2] of unit descriptors [n, D] of two images that are each other's nearest, and clearly so."""
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


def linked(
    pixels: Sequence[NDArray[np.float64]], links: Iterable[tuple[int, int, NDArray[np.int64]]], min_views: int
) -> Tracks:
    """Matches of pairs of images joined into tracks; points seen twice in one image, or in too few, are dropped.

    Args:
        pixels: of each image's features, [n, 2].
        links: two images, and the numbers [m, 2] of their features that match.
        min_views: points of fewer are dropped.
    """
    starts = np.concatenate([[0], np.cumsum([len(of_image) for of_image in pixels])]).astype(np.int64)
    edges = [matched + starts[[a, b]] for a, b, matched in links if len(matched)]
    if not edges:
        return Tracks(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2)), 0)
    first, second = np.concatenate(edges).T
    total = int(starts[-1])
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(total, total))
    label = np.asarray(connected_components(graph, directed=False)[1], np.int64)
    image = np.repeat(np.arange(len(pixels)), np.diff(starts))
    pixel = np.concatenate(pixels)
    sightings = np.bincount(label)
    different = np.bincount(np.unique(np.stack([label, image]), axis=1)[0], minlength=len(sightings))
    good = (sightings >= min_views) & (sightings == different)
    rows = np.flatnonzero(good[label])
    rows = rows[np.argsort(label[rows], kind="stable")]
    return Tracks((np.cumsum(good) - 1)[label[rows]], image[rows], pixel[rows], int(good.sum()))


def _from_epipolar_line(
    pixels_a: NDArray[np.float64], pixels_b: NDArray[np.float64], a: PosedImage, b: PosedImage
) -> NDArray[np.float64]:
    """Distance [n] in pixels of points of ``b`` from the lines that points of ``a`` are seen on."""
    T_b_a = inverse(b.T_world_camera) @ a.T_world_camera
    essential = np.cross(np.eye(3), T_b_a[:3, 3]).T @ T_b_a[:3, :3]
    fundamental = np.linalg.inv(b.camera.matrix).T @ essential @ np.linalg.inv(a.camera.matrix)
    ones = np.ones((len(pixels_a), 1))
    lines = np.hstack([pixels_a, ones]) @ fundamental.T
    size = np.maximum(np.hypot(lines[:, 0], lines[:, 1]), 1e-12)
    return np.asarray(abs((lines * np.hstack([pixels_b, ones])).sum(1)) / size, np.float64)
