"""Points on a mesh, and the distance from a point to a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from showroom_ros.errors import InputError
from showroom_ros.scene.mesh import Mesh

_NEIGHBOURS = 8
"""Triangles tried per point: those of the nearest samples."""


@dataclass(frozen=True, eq=False)
class SurfaceSamples:
    """Points spread evenly over the area of a mesh.

    Attributes:
        points: float64 [N, 3], metres, world frame.
        normals: float64 [N, 3], unit normals of the triangles they lie on.
        colors: float64 [N, 3], RGB in [0, 255], interpolated.
        triangles: int64 [N], the triangles they lie on.
    """

    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    colors: NDArray[np.float64]
    triangles: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of points."""
        return len(self.points)


class Nearest(NamedTuple):
    """For each query point the nearest point of a surface.

    Attributes:
        distance_m: float64 [N].
        triangle: int64 [N].
        weights: float64 [N, 3], barycentric coordinates on that triangle.
    """

    distance_m: NDArray[np.float64]
    triangle: NDArray[np.int64]
    weights: NDArray[np.float64]


class Surface:
    """A mesh made ready for sampling and nearest-point queries.

    The nearest point is exact on the triangles of the 8 nearest of ``samples`` samples. Against the whole
    mesh it can only be too far, and only where triangles are much larger than the sample spacing and meet
    edge to edge; distances from samples to samples (the usual way) are off by half the spacing everywhere.

    Raises:
        InputError: the mesh has no triangle with an area, or vertices that are not finite.
    """

    def __init__(self, mesh: Mesh, samples: int, seed: int) -> None:
        """Samples ``mesh`` with its own generator seeded by ``seed``."""
        self.mesh = mesh
        self.corners = np.ascontiguousarray(mesh.vertices[mesh.triangles], np.float64)
        self.samples = sample_surface(mesh, samples, seed)

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.samples.points)

    def nearest(self, points: NDArray[np.float64]) -> Nearest:
        """Nearest point of the surface for each of ``points`` [N, 3]."""
        queries = np.ascontiguousarray(points, np.float64)
        count = min(_NEIGHBOURS, len(self.samples))
        _, neighbours = self._tree.query(queries, k=count, workers=-1)
        candidates = self.samples.triangles[neighbours].reshape(len(queries), count)
        return Nearest(*_nearest_of(queries, self.corners, candidates))

    def normals(self, nearest: Nearest) -> NDArray[np.float64]:
        """Unit normals [N, 3] of the triangles found."""
        return _unit_normals(self.corners[nearest.triangle])

    def colors(self, nearest: Nearest) -> NDArray[np.float64]:
        """Interpolated RGB [N, 3] in [0, 255] at the points found."""
        return _interpolated(self.mesh, nearest.triangle, nearest.weights)


def sample_surface(mesh: Mesh, count: int, seed: int) -> SurfaceSamples:
    """``count`` points spread over the area of ``mesh``, the same for the same ``seed``.

    The area is walked triangle by triangle in even steps with one random offset each (stratified), so the
    number of points on any part is its share of the area to within one.

    Raises:
        InputError: the mesh has no triangle with an area, or vertices that are not finite.
    """
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    if not np.isfinite(corners).all():
        raise InputError("the mesh has vertices that are not finite")
    areas = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    reach = np.cumsum(areas)
    if not len(reach) or reach[-1] <= 0:
        raise InputError(f"cannot sample a mesh of {len(areas)} triangles without area")
    generator = np.random.default_rng(seed)
    steps = (np.arange(count) + generator.random(count)) / count * reach[-1]
    chosen = np.minimum(np.searchsorted(reach, steps, side="right"), np.flatnonzero(areas)[-1])
    root, split = np.sqrt(generator.random(count)), generator.random(count)
    weights = np.stack([1 - root, root * (1 - split), root * split], axis=1)
    points = np.einsum("nk,nkd->nd", weights, corners[chosen])
    return SurfaceSamples(points, _unit_normals(corners[chosen]), _interpolated(mesh, chosen, weights), chosen)


def nearest_reference(points: NDArray[np.float64], mesh: Mesh) -> NDArray[np.float64]:
    """The obvious, slow distance [N] in metres of each of ``points`` to all triangles of ``mesh``."""
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    everything = np.broadcast_to(np.arange(len(corners)), (len(points), len(corners)))
    return _nearest_of(np.ascontiguousarray(points, np.float64), corners, np.ascontiguousarray(everything))[0]


def _unit_normals(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)


def _interpolated(mesh: Mesh, chosen: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("nk,nkd->nd", weights, mesh.colors[mesh.triangles[chosen]].astype(np.float64))


@numba.njit(cache=True, nogil=True)
def _nearest_of(points, corners, candidates):  # type: ignore[no-untyped-def]
    count = points.shape[0]
    distance = np.full(count, np.inf)
    triangle = np.zeros(count, np.int64)
    weights = np.zeros((count, 3))
    trial = np.empty(3)
    for n in range(count):
        for t in candidates[n]:
            _closest_weights(points[n], corners[t], trial)
            squared = 0.0
            for d in range(3):
                gap = trial[0] * corners[t, 0, d] + trial[1] * corners[t, 1, d] + trial[2] * corners[t, 2, d]
                squared += (gap - points[n, d]) ** 2
            if squared < distance[n]:
                distance[n] = squared
                triangle[n] = t
                weights[n] = trial
    return np.sqrt(distance), triangle, weights


@numba.njit(cache=True, nogil=True)
def _closest_weights(point, corner, weights):  # type: ignore[no-untyped-def]
    """Barycentric coordinates of the closest point (Ericson, Real-Time Collision Detection, 5.1.5)."""
    d1 = d2 = d3 = d4 = d5 = d6 = 0.0
    for d in range(3):
        ab, ac = corner[1, d] - corner[0, d], corner[2, d] - corner[0, d]
        d1 += ab * (point[d] - corner[0, d])
        d2 += ac * (point[d] - corner[0, d])
        d3 += ab * (point[d] - corner[1, d])
        d4 += ac * (point[d] - corner[1, d])
        d5 += ab * (point[d] - corner[2, d])
        d6 += ac * (point[d] - corner[2, d])
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    if d1 <= 0 and d2 <= 0:
        v, w = 0.0, 0.0
    elif d3 >= 0 and d4 <= d3:
        v, w = 1.0, 0.0
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        v, w = d1 / (d1 - d3), 0.0
    elif d6 >= 0 and d5 <= d6:
        v, w = 0.0, 1.0
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        v, w = 0.0, d2 / (d2 - d6)
    elif va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        v = 1.0 - w
    else:
        v, w = vb / (va + vb + vc), vc / (va + vb + vc)
    weights[0], weights[1], weights[2] = 1.0 - v - w, v, w
