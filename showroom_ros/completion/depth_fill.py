"""Depth completion without learning; each class implements ``completion.backends.DepthCompleter``.

All but OpenCV's fill inverse depth, which is affine over the pixels of a plane.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from showroom_ros.completion.backends import check_image_and_depth
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera

OPENCV_NAMES = ("opencv", "opencv_ns", "opencv_telea")
"""``opencv`` is ``opencv_ns``: Navier-Stokes (Bertalmio et al., 2001); the other is that of Telea (2004)."""

_MILLIMETRES, _FARTHEST_MM = 1000.0, 65535
_NEARER = 0.5
"""No plane is carried on beyond the farthest known depth, or nearer than this share of the nearest."""


class _Fill:
    """Checks, fills, and puts the known pixels back."""

    name = ""
    needs_depth = True

    def complete(self, image: NDArray[np.uint8], depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
        """See ``DepthCompleter``."""
        check_image_and_depth(image, depth, camera, needs_depth=True)
        known = np.isfinite(depth)
        if known.all():
            return depth.copy()
        return np.where(known, depth, self._filled(depth, known, camera)).astype(np.float32)

    def _filled(self, depth: NDArray[np.float32], known: NDArray[np.bool_], camera: Camera) -> NDArray:
        raise NotImplementedError


class NearestFill(_Fill):
    """Every pixel takes the depth of the nearest that has one."""

    name = "nearest"

    def _filled(self, depth: NDArray[np.float32], known: NDArray[np.bool_], camera: Camera) -> NDArray:
        del camera
        return nearest_of(depth, known)


class DiffusionFill(_Fill):
    """Inverse depth is the mean of its four neighbours wherever it is not known: the Laplace equation, solved."""

    name = "diffusion"

    def _filled(self, depth: NDArray[np.float32], known: NDArray[np.bool_], camera: Camera) -> NDArray:
        del camera
        return 1 / harmonic_fill(1 / np.where(known, depth, 1.0), known)


class OpenCVFill(_Fill):
    """``cv2.inpaint`` of depth as uint16 millimetres: in float metres OpenCV's steps of one unit are metres."""

    _RADIUS_PX = 5

    def __init__(self, name: str) -> None:
        """One of ``OPENCV_NAMES``."""
        self.name = name
        self._method = cv2.INPAINT_TELEA if name == "opencv_telea" else cv2.INPAINT_NS

    def _filled(self, depth: NDArray[np.float32], known: NDArray[np.bool_], camera: Camera) -> NDArray:
        del camera
        farthest_m = float(depth[known].max())
        if farthest_m * _MILLIMETRES > _FARTHEST_MM:
            raise InputError(f"{self.name}: depth goes up to {farthest_m:g} m, expected at most 65.535 m")
        units = np.rint(np.where(known, depth, 0) * _MILLIMETRES).astype(np.uint16)
        filled = cv2.inpaint(units, (~known).astype(np.uint8), self._RADIUS_PX, self._method)
        return np.maximum(filled, 1) / np.float32(_MILLIMETRES)


class PlaneFill(_Fill):
    """Carries on planes found by RANSAC (Fischler and Bolles, 1981).

    A pixel takes the plane of the nearest pixel that lies on one. Large planes that no known pixel is behind are walls,
    floor or ceiling: nothing is put behind them.
    """

    name = "planes"

    def __init__(self, seed: int = 0, *, most: int = 12, tries: int = 60, tolerance: float = 0.01) -> None:
        """How planes are found.

        Args:
            seed: of the draws.
            most: planes of an image.
            tries: draws of three pixels for each plane.
            tolerance: of inverse depth, as a share of it, to lie on a plane.
        """
        self._seed, self._most, self._tries, self._tolerance = seed, most, tries, tolerance

    def _filled(self, depth: NDArray[np.float32], known: NDArray[np.bool_], camera: Camera) -> NDArray:
        rays = camera.rays()
        found = self._planes(rays[known], 1 / depth[known].astype(np.float64))
        if not len(found.planes):
            return nearest_of(depth, known)
        labels = np.full(depth.shape, -1)
        labels[known] = found.labels
        hole = ~known
        label = nearest_of(labels, labels >= 0)[hole]
        inverse = np.einsum("ij,ij->i", rays[hole], found.planes[label])
        for plane in found.planes[found.bounds]:
            inverse = np.maximum(inverse, rays[hole] @ plane)
        low, high = 1 / float(depth[known].max()), 1 / (_NEARER * float(depth[known].min()))
        filled = np.full(depth.shape, np.nan)
        filled[hole] = 1 / np.clip(inverse, low, high)
        return filled

    def _planes(self, rays: NDArray[np.float64], inverse: NDArray[np.float64]) -> _Planes:
        """Planes of known pixels: rays [N, 3] and inverse depth [N]."""
        rng = np.random.default_rng(self._seed)
        labels, planes, bounds = np.full(len(rays), -1), [], []
        for number in range(self._most):
            free = np.flatnonzero(labels < 0)
            if len(free) < max(50, 0.005 * len(rays)):
                break
            sample = free[rng.integers(len(free), size=min(len(free), 1500))]
            plane = self._best(rays[sample], inverse[sample], rng)
            on_it = np.abs(rays[free] @ plane - inverse[free]) < self._tolerance * inverse[free]
            if on_it.sum() < max(30, 0.004 * len(rays)):
                break
            plane = np.linalg.lstsq(rays[free[on_it]], inverse[free[on_it]], rcond=None)[0]
            labels[free[on_it]] = number
            planes.append(plane)
            behind = np.mean(rays @ plane > inverse * (1 + 3 * self._tolerance))
            bounds.append(bool(on_it.mean() * len(free) > 0.03 * len(rays) and behind < 0.005))
        return _Planes(np.reshape(planes, (-1, 3)), np.array(bounds, np.bool_), labels)

    def _best(self, rays: NDArray[np.float64], inverse: NDArray[np.float64], rng: np.random.Generator) -> NDArray:
        """The plane [3] through three pixels that most others lie on."""
        triples = rng.integers(len(rays), size=(self._tries, 3))
        regular = rays[triples].transpose(0, 2, 1) @ rays[triples] + 1e-9 * np.eye(3)
        right = np.einsum("nij,ni->nj", rays[triples], inverse[triples])
        planes = np.linalg.solve(regular, right[..., None])[..., 0]
        counts = (np.abs(planes @ rays.T - inverse) < self._tolerance * inverse).sum(1)
        return planes[int(counts.argmax())]


class _Planes(NamedTuple):
    """Planes [M, 3] (inverse depth = ray . plane), which of them bound the room [M], and the plane of each pixel [N],
    -1 for none.
    """  # noqa: D205

    planes: NDArray[np.float64]
    bounds: NDArray[np.bool_]
    labels: NDArray[np.int64]


def nearest_of(values: NDArray, known: NDArray[np.bool_]) -> NDArray:
    """The value [H, W] of the nearest known pixel, everywhere."""
    rows, columns = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return values[rows, columns]


def harmonic_fill(values: NDArray, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values [H, W] where known; elsewhere each pixel is the mean of its neighbours (four, fewer at the border)."""
    filled = values.astype(np.float64)
    hole = ~known
    number = np.full(known.shape, -1)
    number[hole] = np.arange(hole.sum())
    rows, columns, right = [], [], np.zeros(int(hole.sum()))
    degree = np.zeros(len(right))
    for one, other in (((slice(None), slice(1, None)), (slice(None), slice(None, -1))), ((slice(1, None),), (slice(None, -1),))):  # fmt: skip  # noqa: E501
        for here, there in ((one, other), (other, one)):
            inside = hole[here]
            index, neighbour = number[here][inside], number[there][inside]
            np.add.at(degree, index, 1)
            linked = neighbour >= 0
            rows.append(index[linked])
            columns.append(neighbour[linked])
            np.add.at(right, index[~linked], filled[there][inside][~linked])
    size = len(right)
    links = sparse.coo_array(
        (np.ones(sum(map(len, rows))), (np.concatenate(rows), np.concatenate(columns))), (size, size)
    )
    filled[hole] = spsolve((sparse.diags_array(degree) - links).tocsc(), right)
    return filled
