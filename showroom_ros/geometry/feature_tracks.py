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
    found = [_features(image.grey) for image in images]
    starts = np.concatenate([[0], np.cumsum([len(pixels) for pixels, _ in found])]).astype(np.int64)
    links = [
        np.stack([matched[:, 0] + starts[a], matched[:, 1] + starts[b]])
        for a, b in sorted({(min(pair), max(pair)) for pair in pairs})
        if len(matched := _matches(found[a], found[b], images[a], images[b]))
    ]
    total = int(starts[-1])
    if not links:
        return Tracks(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2)), 0)
    first, second = np.concatenate(links, axis=1)
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(total, total))
    label = np.asarray(connected_components(graph, directed=False)[1], np.int64)
    image = np.repeat(np.arange(len(images)), np.diff(starts))
    pixel = np.concatenate([pixels for pixels, _ in found])
    sightings = np.bincount(label)
    different = np.bincount(np.unique(np.stack([label, image]), axis=1)[0], minlength=len(sightings))
    good = (sightings >= min_views) & (sightings == different)
    rows = np.flatnonzero(good[label])
    rows = rows[np.argsort(label[rows], kind="stable")]
    return Tracks((np.cumsum(good) - 1)[label[rows]], image[rows], pixel[rows], int(good.sum()))


def _features(grey: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Pixels [n, 2] and descriptors [n, 128] of unit length."""
    keypoints, descriptors = cv2.SIFT_create(_FEATURES, contrastThreshold=0.02).detectAndCompute(grey, None)  # type: ignore[attr-defined, call-overload]
    if descriptors is None or not len(keypoints):
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    shares = descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6)
    return np.array([keypoint.pt for keypoint in keypoints], np.float64), np.sqrt(shares).astype(np.float32)


def _matches(
    a: tuple[NDArray[np.float64], NDArray[np.float32]],
    b: tuple[NDArray[np.float64], NDArray[np.float32]],
    image_a: PosedImage,
    image_b: PosedImage,
) -> NDArray[np.int64]:
    """Indices [m, 2] into the features of two images."""
    if len(a[0]) < 2 or len(b[0]) < 2:
        return np.zeros((0, 2), np.int64)
    likeness = a[1] @ b[1].T
    best, back = likeness.argmax(1), likeness.argmax(0)
    rows = np.arange(len(best))
    nearest = likeness[rows, best]
    likeness[rows, best] = -1.0
    second = likeness.max(1)
    # Distances of unit vectors: |x - y|^2 = 2 - 2 x.y.
    clear = (1 - nearest) < _RATIO**2 * (1 - second)
    of_a = np.flatnonzero((back[best] == rows) & clear)
    of_b = best[of_a]
    away = _from_epipolar_line(a[0][of_a], b[0][of_b], image_a, image_b)
    near = away < _FARTHEST_FROM_LINE * image_b.camera.width
    return np.stack([of_a[near], of_b[near]], 1)


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
