"""Points on a mesh, and the distance from a point to a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.evaluation.triangle_tree import Nearest, TriangleTree
from showroom_ros.scene.mesh import Mesh


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


class Surface:
    """A mesh made ready for sampling and nearest-point queries (exact, from point to triangle).

    Raises:
        InputError: the mesh has no triangle with an area, or vertices that are not finite.
    """

    def __init__(self, mesh: Mesh) -> None:
        """Checks the mesh and builds its tree."""
        self.mesh = mesh
        self.corners = checked_corners(mesh)
        self._tree = TriangleTree(self.corners)

    def nearest(self, points: NDArray[np.float64]) -> Nearest:
        """Nearest point of the surface for each of ``points`` [N, 3]."""
        return self._tree.nearest(points)

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
    corners = checked_corners(mesh)
    areas = _areas(corners)
    reach = np.cumsum(areas)
    generator = np.random.default_rng(seed)
    steps = (np.arange(count) + generator.random(count)) / count * reach[-1]
    chosen = np.minimum(np.searchsorted(reach, steps, side="right"), np.flatnonzero(areas)[-1])
    root, split = np.sqrt(generator.random(count)), generator.random(count)
    weights = np.stack([1 - root, root * (1 - split), root * split], axis=1)
    points = np.einsum("nk,nkd->nd", weights, corners[chosen])
    return SurfaceSamples(points, _unit_normals(corners[chosen]), _interpolated(mesh, chosen, weights), chosen)


def checked_corners(mesh: Mesh) -> NDArray[np.float64]:
    """Corners of all triangles, float64 [T, 3, 3]; ``InputError`` unless finite and with some area."""
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    if not np.isfinite(corners).all():
        raise InputError("the mesh has vertices that are not finite")
    if not _areas(corners).any():
        raise InputError(f"the mesh is no surface: {len(corners)} triangles without area")
    return corners


def _areas(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)


def _unit_normals(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)


def _interpolated(mesh: Mesh, chosen: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("nk,nkd->nd", weights, mesh.colors[mesh.triangles[chosen]].astype(np.float64))
