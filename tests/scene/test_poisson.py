"""Screened Poisson reconstruction of a small closed room, of a sphere, and of what is no surface."""

from __future__ import annotations

import dataclasses
import math
import sys

import numpy as np
import pytest
from furnished_room import box
from known_meshes import room
from scipy.spatial import cKDTree

from showroom_ros.errors import InputError, MissingDependencyError
from showroom_ros.evaluation.surface import sample_surface
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.render import render_mesh
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.poisson import OrientedPoints, oriented_points, poisson_mesh
from showroom_ros.scene.view import Provenance, View

CAMERA = Camera(160, 120, 90.0, 90.0, 79.5, 59.5)
SIZE = np.array([1.14, 1.0, 0.9])
FURNITURE = (((0.8, 0.0, 0.0), (1.14, 0.36, 0.3)), ((0.0, 0.7, 0.0), (0.3, 1.0, 0.5)))
COLORS = ((60, 110, 160), (150, 90, 40))
VOXEL_M = 0.02


def closed_room() -> Mesh:
    """Two chests stand in the corners: where they touch floor and walls is no free side, so nothing sees it."""
    return Mesh.concatenate([room(tuple(SIZE)), *(box(*piece, c) for piece, c in zip(FURNITURE, COLORS, strict=True))])


def visible(points: np.ndarray) -> np.ndarray:
    """Whether points of the room's surface have a free side."""
    outside = (abs(points) < 1e-6).any(axis=1) | (abs(points - SIZE) < 1e-6).any(axis=1)
    covered = [((points > np.array(low) - 1e-6) & (points < np.array(high) + 1e-6)).all(1) for low, high in FURNITURE]
    return ~(outside & np.any(covered, axis=0))


def poses() -> list[np.ndarray]:
    """Twelve around, eight looking across, up and down: all of the room is seen."""
    middle, result = SIZE / 2, []
    for step in range(12):
        ahead = np.array([math.cos(math.tau * step / 12), math.sin(math.tau * step / 12), 0.0])
        result.append(look_at(middle - 0.2 * ahead, middle + ahead + (0.0, 0.0, 0.5 if step % 2 else -0.45)))
    across = ((0.9, 0.9, 0.8), (0.3, 0.3, 0.2)), ((0.2, 0.2, 0.8), (0.9, 0.8, 0.1)), ((0.5, 0.8, 0.8), (1.0, 0.1, 0.1))
    across += ((0.6, 0.2, 0.8), (0.1, 0.9, 0.3)), ((0.9, 0.6, 0.7), (0.0, 0.8, 0.4)), ((0.5, 0.5, 0.8), (0.51, 0.5, 0))
    across += ((0.5, 0.5, 0.1), (0.5, 0.51, 1)), ((0.4, 0.9, 0.8), (0.9, 0.1, 0.2))
    return result + [look_at(eye, target, (0.3, 0.1, 1.0)) for eye, target in across]


def view_from(pose: np.ndarray, mesh: Mesh, **fields) -> View:
    seen = render_mesh(mesh.vertices, mesh.triangles, CAMERA, pose, mesh.colors)
    return View(seen.require_rgb(), CAMERA, seen.depth, T_world_camera=pose, **fields)


@pytest.fixture(scope="module")
def points() -> OrientedPoints:
    truth = closed_room()
    return oriented_points([view_from(pose, truth) for pose in poses()])


@pytest.fixture(scope="module")
def mesh(points: OrientedPoints) -> Mesh:
    pytest.importorskip("open3d")
    return poisson_mesh(points, voxel_size_m=VOXEL_M)


def chamfer_m(mesh: Mesh) -> float:
    """Mean of both mean distances between samples; those of the truth are the ones that can be seen."""
    truth = sample_surface(closed_room(), 100_000, 0).points
    truth, found = truth[visible(truth)], sample_surface(mesh, 100_000, 1).points
    return float(cKDTree(truth).query(found)[0].mean() + cKDTree(found).query(truth)[0].mean()) / 2


def faces(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Middles and area vectors of the triangles."""
    a, b, c = (mesh.vertices[mesh.triangles[:, i]].astype(np.float64) for i in range(3))
    return (a + b + c) / 3, np.cross(b - a, c - a) / 2


def test_points_lie_on_the_room_with_normals_to_the_free_side(points: OrientedPoints) -> None:
    truth = sample_surface(closed_room(), 100_000, 0)
    chosen = slice(None, None, 50)
    distance, nearest = cKDTree(truth.points).query(points.points[chosen])
    cosine = (points.normals[chosen] * truth.normals[nearest]).sum(axis=1)
    assert len(points) > 0.85 * len(poses()) * CAMERA.width * CAMERA.height
    assert distance.max() < 0.02
    assert np.mean(cosine > 0.99) > 0.95


def test_a_closed_room_and_the_same_points_without_orientation(points: OrientedPoints, mesh: Mesh) -> None:
    """Chamfer below one voxel, and less than half of what points with random signs of their normals give."""
    signs = np.where(np.random.default_rng(0).random(len(points)) < 0.5, -1, 1).astype(np.float32)
    flipped = poisson_mesh(dataclasses.replace(points, normals=points.normals * signs[:, None]), voxel_size_m=VOXEL_M)
    oriented_m, unoriented_m = chamfer_m(mesh), chamfer_m(flipped)
    sys.stdout.write(f"Chamfer {oriented_m * 1000:.1f} mm; with random signs of normals {unoriented_m * 1000:.1f} mm\n")
    assert oriented_m < 0.5 * VOXEL_M
    assert unoriented_m > 2 * oriented_m
    for vertices in (mesh.vertices, flipped.vertices):
        assert (vertices >= points.points.min(axis=0) - 0.0501).all()
        assert (vertices <= points.points.max(axis=0) + 0.0501).all()


def test_faces_and_normals_look_into_the_room(points: OrientedPoints, mesh: Mesh) -> None:
    middles, vectors = faces(mesh)
    _, nearest = cKDTree(points.points).query(middles)
    towards = (vectors * points.normals[nearest]).sum(axis=1) > 0
    area = np.linalg.norm(vectors, axis=1)
    assert area[towards].sum() > 0.995 * area.sum()
    assert (area > 0).all()
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-5)
    _, nearest = cKDTree(points.points).query(mesh.vertices)
    assert np.mean((mesh.normals * points.normals[nearest]).sum(axis=1) > 0) > 0.99
    assert np.mean(abs(mesh.colors.astype(float) - points.colors[nearest])) < 6
    assert set(mesh.provenance.tolist()) == {Provenance.PREDICTED}


def sphere_points(count: int = 6000, radius_m: float = 0.3, confidence: float = 1.0, seed: int = 0) -> OrientedPoints:
    normals = np.random.default_rng(seed).normal(size=(count, 3))
    normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
    colors = np.rint(127.5 + 127.5 * normals).astype(np.uint8)
    return OrientedPoints(radius_m * normals, normals, colors, np.full(count, confidence, np.float32))


def joined(*parts: OrientedPoints) -> OrientedPoints:
    names = [field.name for field in dataclasses.fields(OrientedPoints)]
    return OrientedPoints(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def part_of(points: OrientedPoints, kept: np.ndarray) -> OrientedPoints:
    return OrientedPoints(points.points[kept], points.normals[kept], points.colors[kept], points.confidence[kept])


def open_edges(mesh: Mesh) -> int:
    pairs = np.sort(np.concatenate([mesh.triangles[:, [i, (i + 1) % 3]] for i in range(3)]), axis=1)
    return int((np.unique(pairs, axis=0, return_counts=True)[1] == 1).sum())


def test_the_same_points_give_the_same_mesh() -> None:
    pytest.importorskip("open3d")
    first, second = (poisson_mesh(sphere_points(), trim_density=0.0, provenance=Provenance.MEASURED) for _ in range(2))
    for field in dataclasses.fields(Mesh):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))
    assert open_edges(first) == 0
    assert abs(np.linalg.norm(first.vertices, axis=1) - 0.3).max() < 0.005
    assert set(first.provenance.tolist()) == {Provenance.MEASURED}


def test_confident_points_pull_harder() -> None:
    """Two concentric spheres two voxels apart: the surface lies nearer to the one of more confidence."""
    pytest.importorskip("open3d")

    def radius_m(inner: float, outer: float) -> float:
        both = joined(sphere_points(4000, 0.30, inner), sphere_points(4000, 0.34, outer, seed=1))
        mesh = poisson_mesh(both, depth=5, trim_density=0.0)
        return float(np.linalg.norm(mesh.vertices, axis=1).mean())

    assert radius_m(1.0, 0.2) < 0.31
    assert radius_m(0.2, 1.0) > 0.33


def test_nothing_is_made_up_where_no_point_is() -> None:
    """A sphere without its belt falls in two, and a few points in the air leave nothing."""
    pytest.importorskip("open3d")
    belted = part_of(sphere_points(), abs(sphere_points().points[:, 2]) > 0.12)
    speck = dataclasses.replace(sphere_points(60, 0.02), points=sphere_points(60, 0.02).points + np.float32(0.3))
    mesh = poisson_mesh(joined(belted, speck), depth=5)
    assert cKDTree(belted.points).query(mesh.vertices)[0].max() < 2.5 * VOXEL_M + 0.01
    assert abs(mesh.vertices[:, 2]).min() > 0.06
    assert set(np.sign(mesh.vertices[:, 2]).tolist()) == {-1, 1}
    untrimmed = poisson_mesh(belted, depth=5, trim_distance_m=10.0, trim_density=0.0).vertices
    assert abs(untrimmed[:, 2]).min() < 0.02
    low, high = belted.points.min(axis=0) - 0.0501, belted.points.max(axis=0) + 0.0501
    assert ((untrimmed >= low) & (untrimmed <= high)).all()
    assert (untrimmed.max(axis=0) > high - 0.01).any()


def test_edges_unknown_far_and_unsure_pixels_are_left_out() -> None:
    pose, wall = np.eye(4), np.full((120, 160), 2.0, np.float32)
    wall[40:80, 60:100] = 1.0
    wall[:10] = np.nan
    wall[10:12] = 0.0
    confidence = np.ones_like(wall)
    confidence[:, :20] = 0.1
    view = View(np.zeros((120, 160, 3), np.uint8), CAMERA, wall, confidence=confidence, T_world_camera=pose)
    found = oriented_points([view])
    near = np.isclose(found.points[:, 2], 1.0)
    assert set(np.unique(found.points[:, 2]).tolist()) == {1.0, 2.0}
    assert near.sum() == 38 * 38
    assert len(found) == 108 * 160 - (40 * 40 - 38 * 38) - 4 * 40
    np.testing.assert_allclose(found.normals, np.tile([0.0, 0.0, -1.0], (len(found), 1)), atol=1e-5)
    assert len(oriented_points([view], max_depth_m=1.5)) == 38 * 38
    assert oriented_points([view], min_confidence=0.5).points[:, 0].min() == pytest.approx(2 * (20 - 79.5) / 90)
    assert len(oriented_points([])) == 0


@pytest.mark.parametrize("field", ["depth", "T_world_camera"])
def test_views_need_depth_and_pose(field: str) -> None:
    view = dataclasses.replace(view_from(poses()[0], closed_room()), **{field: None})
    with pytest.raises(InputError, match="depth" if field == "depth" else "pose"):
        oriented_points([view])


def changed(name: str, value: float) -> OrientedPoints:
    points = sphere_points(500)
    array = getattr(points, name).copy()
    array[7] = value
    return dataclasses.replace(points, **{name: array})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("points", np.nan, "points has 3 values that are not finite"),
        ("normals", np.inf, "normals has 3 values that are not finite"),
        ("normals", 0.0, "lengths from 0 to 1"),
        ("normals", 2.0, "expected 1"),
        ("confidence", 1.5, "expected values in 0..1"),
        ("confidence", np.nan, "confidence has 1 values"),
    ],
)
def test_points_that_are_none(name: str, value: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        changed(name, value)


def test_arrays_that_do_not_fit() -> None:
    points = sphere_points(500)
    with pytest.raises(InputError, match=r"normals is float32 \(499, 3\), expected float32 \(500, 3\)"):
        dataclasses.replace(points, normals=points.normals[1:])
    with pytest.raises(InputError, match="points is float64"):
        dataclasses.replace(points, points=points.points.astype(np.float64))


@pytest.mark.parametrize(
    ("points", "arguments", "message"),
    [
        (sphere_points(99), {}, "99 points of confidence above 0, expected at least 100"),
        (sphere_points(500, confidence=0.0), {}, "0 points of confidence"),
        (sphere_points(500, 0.01), {}, "set a smaller voxel_size_m"),
        (changed("points", 500.0), {}, "set voxel_size_m to at least 0.13"),
        (sphere_points(500, 90.0), {"depth": 5}, "at octree depth 5"),
        (sphere_points(500), {"voxel_size_m": 0.0}, "voxel_size_m is 0.0"),
        (sphere_points(500), {"voxel_size_m": np.nan}, "voxel_size_m is nan"),
        (sphere_points(500), {"depth": 4}, r"octree depth is 4, expected 5\.\.12"),
        (sphere_points(500), {"trim_density": 1.0}, "trim_density is 1.0"),
        (sphere_points(500), {"trim_distance_m": 0.0}, "trim_distance_m is 0.0"),
    ],
)
def test_what_cannot_be_reconstructed(points: OrientedPoints, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        poisson_mesh(points, **arguments)


def test_without_open3d_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(MissingDependencyError, match="pip install open3d"):
        poisson_mesh(sphere_points())
