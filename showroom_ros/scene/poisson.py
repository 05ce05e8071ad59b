"""A mesh of points with normals: screened Poisson surface reconstruction (Kazhdan and Hoppe, 2013), through Open3D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from showroom_ros.errors import InputError, MissingDependencyError
from showroom_ros.geometry.pointmap import point_normals
from showroom_ros.geometry.se3 import transform_points
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance, View

_FEWEST_POINTS = 100
_DEPTHS = (5, 10)
"""Least and largest octree depth chosen; a depth that is given may be up to ``_DEEPEST``."""
_DEEPEST = 12
_COARSEST_CELL = 4.0
"""Octree cells of more voxels than this are refused where the depth is chosen here."""
_CUBE_SCALE = 1.1
"""Side of the octree's cube over the largest side of the points' bounding box (Open3D's default)."""
_SAMPLES_PER_NODE = 1.5
_MOST_REPEATS = 4
"""A point of the highest confidence is given to the solver this often, one of little confidence once."""
_MARGIN_M = 0.05
_TRIM_VOXELS = 2.5
_SMALLEST_COMPONENT_VOXELS = 100.0
"""Area in voxels squared (a square of ten voxels a side) below which a component is dropped."""
_COLOR_NEIGHBOURS = 4
_EDGE_SHARE = 0.1
"""Step between neighbouring pixels, as a share of the nearer depth, that is an edge of the depth image."""


@dataclass(frozen=True, eq=False)
class OrientedPoints:
    """Points on surfaces, each with the direction free space is in.

    Attributes:
        points: float32 [N, 3], metres, world frame.
        normals: float32 [N, 3], unit length, towards the camera that saw the point.
        colors: uint8 [N, 3], RGB.
        confidence: float32 [N] in [0, 1].

    Raises:
        InputError: on construction, for a shape, dtype or value other than these.
    """

    points: NDArray[np.float32]
    normals: NDArray[np.float32]
    colors: NDArray[np.uint8]
    confidence: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Checks every field."""
        count = len(np.atleast_1d(self.points))
        for name, dtype, shape in (
            ("points", np.float32, (count, 3)),
            ("normals", np.float32, (count, 3)),
            ("colors", np.uint8, (count, 3)),
            ("confidence", np.float32, (count,)),
        ):
            value = np.asarray(getattr(self, name))
            if value.dtype != dtype or value.shape != shape:
                raise InputError(f"{name} is {value.dtype} {value.shape}, expected {np.dtype(dtype).name} {shape}")
            bad = int((~np.isfinite(value)).sum())
            if bad:
                raise InputError(f"{name} has {bad} values that are not finite, of {value.size}")
        length = np.linalg.norm(self.normals, axis=1)
        if (abs(length - 1) > 1e-3).any():
            raise InputError(f"normals have lengths from {length.min():.3g} to {length.max():.3g}, expected 1")
        if ((self.confidence < 0) | (self.confidence > 1)).any():
            low, high = self.confidence.min(), self.confidence.max()
            raise InputError(f"confidence is {low:.3g} to {high:.3g}, expected values in 0..1")

    def __len__(self) -> int:
        """Number of points."""
        return len(self.points)


def oriented_points(
    views: Sequence[View], *, min_confidence: float = 0.0, max_depth_m: float = math.inf
) -> OrientedPoints:
    """All pixels of posed depth images as points, with normals from each depth image turned to its own camera.

    Left out are pixels without depth or normal, and those at an edge of the depth image, where a depth that is
    averaged between two surfaces lies on neither.

    Args:
        views: with depth and pose; a view without confidence counts as 1 throughout.
        min_confidence: pixels below are left out.
        max_depth_m: pixels farther away are left out, planar depth in metres.

    Raises:
        InputError: a view has no depth or no pose.
    """
    nothing = np.zeros((0, 3), np.float32)
    points, normals, colors, confidence = [nothing], [nothing], [nothing.astype(np.uint8)], [nothing[:, 0]]
    for view in views:
        depth, pose = view.require_depth(), view.require_pose()
        sure = np.ones_like(depth) if view.confidence is None else view.confidence
        known = np.isfinite(depth) & (depth > 0)
        near = np.where(known, depth, np.nan)
        in_camera = view.camera.back_project(near).astype(np.float32)
        towards_camera = point_normals(in_camera)
        kept = known & (depth <= max_depth_m) & (sure >= min_confidence) & ~_at_edge(near)
        kept &= np.isfinite(towards_camera).all(axis=2)
        points.append(transform_points(pose, in_camera[kept]).astype(np.float32))
        turned = towards_camera[kept].astype(np.float64) @ pose[:3, :3].T
        normals.append((turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32))
        colors.append(view.image[kept])
        confidence.append(sure[kept])
    parts: Any = (points, normals, colors, confidence)
    return OrientedPoints(*(np.concatenate(part) for part in parts))


def poisson_mesh(
    points: OrientedPoints,
    *,
    voxel_size_m: float = 0.02,
    depth: int | None = None,
    trim_distance_m: float | None = None,
    trim_density: float = 0.02,
    provenance: Provenance = Provenance.PREDICTED,
) -> Mesh:
    """The surface through oriented points (Kazhdan and Hoppe, 2013), cut off where no point is near.

    The points are thinned to one a voxel, means weighted by confidence. The solver has no weights for points (Open3D
    makes all normals unit length first), but it does count points: a thinned point is given to it one to four times
    according to its share of the highest confidence. Points of confidence 0 are left out.

    Open3D's solver runs on one thread: on more its result differs from run to run, and it may end the process
    (Open3D issues 2117 and 6828). On one the same points give the same mesh, bit for bit.

    Args:
        points: at least 100.
        voxel_size_m: spacing of the thinned points and about the length of the mesh's edges.
        depth: of the octree, 5..12; None takes cells of at most a voxel, within 5..10.
        trim_distance_m: vertices farther from every thinned point are cut off; None = 2.5 voxels.
        trim_density: share of the vertices, those of the lowest density of points, that is cut off; 0 leaves a closed
            surface closed.
        provenance: of all vertices.

    Returns:
        A mesh whose faces and normals look to where the points' normals do; without components below 100 voxels
        squared in area.

    Raises:
        InputError: fewer than 100 points (as given, or after thinning), an argument out of range, or an extent too
            large for the voxel size.
        MissingDependencyError: Open3D is not installed.
    """
    _check_arguments(points, voxel_size_m, depth, trim_distance_m, trim_density)
    thinned = _thinned(points, voxel_size_m)
    if len(thinned) < _FEWEST_POINTS:
        raise InputError(
            f"{len(points)} points thinned to one a voxel of {voxel_size_m:g} m are {len(thinned)}, expected at least "
            f"{_FEWEST_POINTS}: set a smaller voxel_size_m, or give points that cover more surface"
        )
    vertices, triangles, density = _solve(thinned, depth or _octree_depth(thinned.points, voxel_size_m))
    distance, neighbours = cKDTree(thinned.points).query(vertices, k=_COLOR_NEIGHBOURS)
    kept = distance[:, 0] <= (_TRIM_VOXELS * voxel_size_m if trim_distance_m is None else trim_distance_m)
    kept &= density >= np.quantile(density, trim_density)
    low, high = points.points.min(0) - _MARGIN_M, points.points.max(0) + _MARGIN_M
    kept &= ((vertices >= low) & (vertices <= high)).all(axis=1)
    triangles = triangles[kept[triangles].all(axis=1)]
    triangles = _without_small_components(vertices, triangles, _SMALLEST_COMPONENT_VOXELS * voxel_size_m**2)
    used, numbers = np.unique(triangles, return_inverse=True)
    corners = numbers.reshape(-1, 3).astype(np.int32)
    nearness = 1 / np.maximum(distance[used], 1e-6)[..., None]
    colors = (nearness * thinned.colors[neighbours[used]]).sum(axis=1) / nearness.sum(axis=1)
    normals = _vertex_normals(vertices[used], corners, thinned.normals[neighbours[used, 0]])
    kind = np.full(len(used), provenance, np.uint8)
    return Mesh(vertices[used], corners, np.rint(colors).astype(np.uint8), normals, kind)


def _check_arguments(
    points: OrientedPoints, voxel_size_m: float, depth: int | None, trim_distance_m: float | None, trim_density: float
) -> None:
    for name, value, good, expected in (
        ("voxel_size_m", voxel_size_m, 0 < voxel_size_m < math.inf, "a positive number of metres"),
        ("octree depth", depth, depth is None or _DEPTHS[0] <= depth <= _DEEPEST, f"{_DEPTHS[0]}..{_DEEPEST} or None"),
        ("trim_distance_m", trim_distance_m, trim_distance_m is None or trim_distance_m > 0, "metres above 0 or None"),
        ("trim_density", trim_density, 0 <= trim_density < 1, "a share in [0, 1)"),
    ):
        if not good:
            raise InputError(f"{name} is {value}, expected {expected}")
    count = int((points.confidence > 0).sum())
    if count < _FEWEST_POINTS:
        raise InputError(f"{count} points of confidence above 0, expected at least {_FEWEST_POINTS}")
    extent = float(np.ptp(points.points, axis=0).max())
    most = 2 ** (depth or _DEPTHS[1]) * _COARSEST_CELL / _CUBE_SCALE
    if extent > most * voxel_size_m:
        raise InputError(
            f"the points span {extent:.4g} m, expected at most {most * voxel_size_m:.4g} m for voxels of "
            f"{voxel_size_m:g} m at octree depth {depth or _DEPTHS[1]}: set voxel_size_m to at least "
            f"{extent / most:.2g}, or leave far points out (max_depth_m and min_confidence of oriented_points)"
        )


def _octree_depth(points: NDArray[np.float32], voxel_size_m: float) -> int:
    """Least depth whose cells are no larger than a voxel, within ``_DEPTHS``."""
    cells = _CUBE_SCALE * float(np.ptp(points, axis=0).max()) / voxel_size_m
    return min(max(math.ceil(math.log2(max(cells, 1.0))), _DEPTHS[0]), _DEPTHS[1])


def _thinned(points: OrientedPoints, voxel_size_m: float) -> OrientedPoints:
    """One point a voxel and side of a surface, means weighted by confidence; confidence is the plain mean.

    Normals are sorted by the axis they are nearest to, so that the two sides of a thin board, or the floor and the
    wall of a corner, are not averaged to a direction that is none of theirs.
    """
    sure = np.flatnonzero(points.confidence > 0)
    position, normals = points.points[sure].astype(np.float64), points.normals[sure].astype(np.float64)
    weight = points.confidence[sure].astype(np.float64)
    cell = np.floor((position - position.min(0)) / voxel_size_m).astype(np.int64)
    axis = abs(normals).argmax(axis=1)
    side = 2 * axis + (normals[np.arange(len(axis)), axis] < 0)
    size = cell.max(0) + 1
    key = ((cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2]) * 6 + side
    _, group, counts = np.unique(key, return_inverse=True, return_counts=True)
    total = np.bincount(group, weight)

    def mean(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.stack([np.bincount(group, weight * values[:, i]) / total for i in range(3)], axis=1)

    mean_normals = mean(normals)  # all within 55 degrees of one axis: never zero
    return OrientedPoints(
        mean(position).astype(np.float32),
        (mean_normals / np.linalg.norm(mean_normals, axis=1, keepdims=True)).astype(np.float32),
        np.rint(mean(points.colors[sure])).astype(np.uint8),
        np.minimum(total / counts, 1.0).astype(np.float32),
    )


def _solve(points: OrientedPoints, depth: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    """Vertices [V, 3], triangles [T, 3] and density [V] of Open3D's solver."""
    try:
        import open3d as o3d
    except ImportError as error:
        raise MissingDependencyError(f"Poisson reconstruction needs Open3D: pip install open3d ({error})") from error
    share = points.confidence / points.confidence.max()
    times = np.maximum(np.rint(_MOST_REPEATS * share), 1).astype(np.int64)
    if (times == times[0]).all():
        times[:] = 1
    rows = np.repeat(np.arange(len(points)), times)
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points.points[rows].astype(np.float64)))
    cloud.normals = o3d.utility.Vector3dVector(points.normals[rows].astype(np.float64))
    per_node = _SAMPLES_PER_NODE * float(times.mean())
    mesh, density = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
        cloud, depth=depth, scale=_CUBE_SCALE, n_threads=1, samples_per_node=per_node
    )
    return np.array(mesh.vertices, np.float32), np.array(mesh.triangles, np.int64), np.array(density)


def _without_small_components(
    vertices: NDArray[np.float32], triangles: NDArray[np.int64], least_area_m2: float
) -> NDArray[np.int64]:
    """Triangles with an area, of connected components of at least ``least_area_m2``."""
    area = np.linalg.norm(_doubled_area_vectors(vertices, triangles), axis=1) / 2
    triangles, area = triangles[area > 0], area[area > 0]
    ends = triangles[:, [0, 1, 1, 2]].reshape(-1, 2).T
    graph = coo_array((np.ones(ends.shape[1], np.int8), tuple(ends)), shape=(len(vertices), len(vertices)))
    label = connected_components(graph, directed=False)[1][triangles[:, 0]]
    return triangles[np.bincount(label, area)[label] >= least_area_m2]


def _vertex_normals(
    vertices: NDArray[np.float32], triangles: NDArray[np.int32], otherwise: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean of the triangles' normals weighted by area, unit [V, 3]; ``otherwise`` where that is zero."""
    vectors = _doubled_area_vectors(vertices, triangles)
    corner = triangles.T.ravel()
    total = np.stack([np.bincount(corner, np.tile(vectors[:, i], 3), len(vertices)) for i in range(3)], axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 1e-12, total / np.maximum(length, 1e-12), otherwise).astype(np.float32)


def _doubled_area_vectors(vertices: NDArray[np.float32], triangles: NDArray[Any]) -> NDArray[np.float64]:
    a, b, c = (vertices[triangles[:, i]].astype(np.float64) for i in range(3))
    return np.cross(b - a, c - a)


def _at_edge(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels next to a step of more than ``_EDGE_SHARE`` of the nearer depth; NaN is no step."""
    edge = np.zeros(depth.shape, bool)
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        a, b = depth[here], depth[there]
        step = abs(a - b) > _EDGE_SHARE * np.fmin(a, b)
        edge[here] |= step
        edge[there] |= step
    return edge
