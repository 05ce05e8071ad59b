"""Planes of a room: found in its mesh, and carried on into what nobody saw."""

from __future__ import annotations

import numpy as np
import pytest

from showroom_ros.completion.structure import (
    FARTHEST_M,
    LEAST_M2,
    REACH_M,
    Plane,
    Structure,
    depth_on_planes,
    planes_of_mesh,
)
from showroom_ros.geometry.camera import assumed_camera
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance

UP = np.array([0.0, 0.0, 1.0])
CAMERA = assumed_camera(80, 60, 80.0)


def rectangle(corner, first, second, kind=Provenance.MEASURED, step=0.1, noise=0.0, seed=0):
    """A mesh of small triangles, seen from the side of ``first x second``."""
    rows, columns = (max(2, round(float(np.linalg.norm(side)) / step) + 1) for side in (first, second))
    a, b = (
        grid.reshape(-1, 1) for grid in np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    )
    normal = np.cross(first, second) / np.linalg.norm(np.cross(first, second))
    points = np.asarray(corner) + a * np.asarray(first) + b * np.asarray(second)
    points += normal * np.random.default_rng(seed).normal(0, noise, (len(points), 1))
    index = np.arange(rows * columns).reshape(rows, columns)
    p, q, r, s = (part.reshape(-1) for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    triangles = np.concatenate([np.stack([p, q, r], 1), np.stack([p, r, s], 1)]).astype(np.int32)
    count = len(points)
    return Mesh(
        points.astype(np.float32), triangles, np.zeros((count, 3), np.uint8),
        np.tile(normal, (count, 1)).astype(np.float32), np.full(count, kind, np.uint8),
    )  # fmt: skip


FLOOR = rectangle((0, 0, 0), (2, 0, 0), (0, 3, 0), noise=0.005)
CEILING = rectangle((0, 0, 2.5), (0, 3, 0), (2, 0, 0))
WALL = rectangle((0, 0, 0), (0, 3, 0), (0, 0, 2.5))
"""At x = 0, seen from where x is larger."""
TABLE = rectangle((1, 1, 0.75), (1, 0, 0), (0, 1, 0))
UNDERSIDE = rectangle((1, 1, 0.7), (0, 1, 0), (1, 0, 0))


def nowhere(points):
    return np.zeros(points.shape[:-1], bool)


def planes_of(*meshes):
    return planes_of_mesh(Mesh.concatenate(meshes), UP)


def plane_at(planes, normal, offset_m):
    found = [p for p in planes if p.normal @ normal > 0.999 and abs(p.offset_m - offset_m) < 0.01]
    assert len(found) == 1, [(p.normal, p.offset_m) for p in planes]
    return found[0]


def test_planes_of_a_room_are_found_with_their_sides_and_areas():
    planes = planes_of(FLOOR, CEILING, WALL, TABLE, UNDERSIDE)
    assert len(planes) == 5
    assert plane_at(planes, UP, 0.0).area_m2 == pytest.approx(6.0, rel=0.02)
    assert plane_at(planes, -UP, -2.5).area_m2 == pytest.approx(6.0, rel=0.02)
    assert plane_at(planes, (1, 0, 0), 0.0).area_m2 == pytest.approx(7.5, rel=0.02)
    assert plane_at(planes, UP, 0.75).area_m2 == pytest.approx(1.0, rel=0.02)
    assert plane_at(planes, -UP, -0.7).area_m2 == pytest.approx(1.0, rel=0.02)


def test_only_floor_and_ceiling_bound_a_room():
    planes = planes_of(FLOOR, CEILING, WALL, TABLE, UNDERSIDE)
    assert sorted(p.offset_m for p in planes if p.is_bound) == pytest.approx([-2.5, 0.0], abs=0.01)
    no_ceiling = planes_of(FLOOR, WALL, TABLE, UNDERSIDE)
    assert [p.offset_m for p in no_ceiling if p.is_bound] == pytest.approx([0.0], abs=0.01)


@pytest.mark.parametrize("angle_deg", [0.0, 2.5, 17.0, 44.0, 90.0, 133.0, 180.0, 271.3])
def test_walls_of_any_direction_are_found(angle_deg):
    ahead = np.array([np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg)), 0.0])
    across = np.cross(UP, ahead)
    wall = rectangle(3.0 * ahead, 2 * across, 2 * UP, noise=0.01, step=0.05)
    (found,) = planes_of(wall)
    assert np.degrees(np.arccos(min(1.0, found.normal @ ahead))) < 1.0
    assert found.offset_m == pytest.approx(3.0, abs=0.03)
    assert not found.is_bound


def test_what_is_small_generated_or_slanted_is_no_plane():
    small = rectangle((0, 0, 0), (0.9 * LEAST_M2**0.5, 0, 0), (0, LEAST_M2**0.5, 0))
    made_up = rectangle((0, 0, 0), (2, 0, 0), (0, 3, 0), Provenance.GENERATED)
    slanted = rectangle((0, 0, 0), (2, 0, 0), (0, 2, 2))
    assert planes_of(small) == planes_of(made_up) == planes_of(slanted) == []
    assert planes_of_mesh(Mesh.empty(), UP) == []


def box_depth(pose):
    """Of FLOOR, CEILING and WALL if they had no end, float32 [H, W]."""
    planes = [Plane(np.array(n, float), d, 1.0, None) for n, d in (((0, 0, 1), 0), ((0, 0, -1), -2.5), ((1, 0, 0), 0))]
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width].reshape(2, -1)
    local = np.column_stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(len(u))])
    depth = np.min([plane.depth_along(local @ pose[:3, :3].T, pose[:3, 3]) for plane in planes], 0)
    return depth.reshape(CAMERA.height, CAMERA.width).astype(np.float32)


POSE = look_at((2.0, 1.0, 1.2), (0.0, 2.5, 1.2), up=UP)


@pytest.mark.parametrize(("factor", "share"), [(0.75, 0.95), (1.0, 0.99), (1.3, 0.8)])
def test_rough_depth_is_put_onto_the_planes(factor, share):
    truth = box_depth(POSE)
    hole = np.zeros(truth.shape, bool)
    hole[:, 30:] = True
    rough = np.where(hole, truth * np.float32(factor), truth)
    fitted = depth_on_planes(rough, hole, CAMERA, POSE, planes_of(FLOOR, CEILING, WALL), nowhere)
    assert np.array_equal(fitted[~hole], truth[~hole])
    along_y = (CAMERA.back_project(truth) @ POSE[:3, :3].T + POSE[:3, 3])[..., 1]
    judged = hole & (along_y < 3.0 + 0.9 * REACH_M)
    assert np.mean(np.abs(fitted - truth)[judged] < 0.02) > share  # the rest lies beside corners
    assert np.mean(np.abs(rough - truth)[judged] < 0.02) < 0.01 or factor == 1.0


def test_nothing_stays_below_the_floor_however_far_it_was():
    down = look_at((1.0, 1.0, 1.5), (1.0, 2.0, 0.0), up=UP)
    rough = np.full((CAMERA.height, CAMERA.width), 9.0, np.float32)
    fitted = depth_on_planes(rough, rough > 0, CAMERA, down, planes_of(FLOOR), nowhere)
    points = CAMERA.back_project(fitted) @ down[:3, :3].T + down[:3, 3]
    assert points[..., 2].min() == pytest.approx(0.0, abs=0.01)
    downwards = (CAMERA.back_project(np.ones_like(rough)) @ down[:3, :3].T)[..., 2] < -0.2
    assert np.abs(points[..., 2][downwards]).max() < 0.01


def test_free_space_and_what_is_far_from_the_seen_part_get_no_plane():
    truth = box_depth(POSE)
    rough, hole = truth * np.float32(0.9), np.ones(truth.shape, bool)
    planes = planes_of(WALL)
    free = depth_on_planes(rough, hole, CAMERA, POSE, planes, lambda points: ~nowhere(points))
    assert np.array_equal(free, rough)
    away = POSE.copy()
    away[1, 3] += 3.0 + REACH_M + 4.0
    assert np.array_equal(depth_on_planes(rough, hole, CAMERA, away, planes, nowhere), rough)
    assert np.array_equal(depth_on_planes(rough, hole, CAMERA, POSE, [], nowhere), rough)
    unknown = np.full_like(rough, np.nan)
    assert np.isnan(depth_on_planes(unknown, hole, CAMERA, POSE, planes, nowhere)).all()


def test_nothing_is_left_far_from_what_was_seen():
    truth = box_depth(POSE)
    hole = np.zeros(truth.shape, bool)
    hole[:, 30:] = True
    structure = Structure.of_mesh(WALL, UP, on_planes=False)
    left = structure.fitted(truth, hole, CAMERA, POSE, nowhere)
    places = CAMERA.back_project(truth) @ POSE[:3, :3].T + POSE[:3, 3]
    nearest = np.linalg.norm(places - np.clip(places, (0, 0, 0), (0, 3, 2.5)), axis=-1)
    assert np.array_equal(left[~hole], truth[~hole])
    assert np.isnan(left[hole & (nearest > FARTHEST_M + 0.1)]).all()
    near = hole & (nearest < FARTHEST_M - 0.1)
    assert np.array_equal(left[near], truth[near])
    assert near.sum() > 100
    assert (hole & (nearest > FARTHEST_M + 0.1)).sum() > 100
    nothing = Structure.of_mesh(Mesh.empty(), UP)
    assert np.array_equal(nothing.fitted(truth, hole, CAMERA, POSE, nowhere), truth)
