"""Signed distances for learning: signs, exactness in a box room, the fast path against the slow one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from showroom_ros.datasets.prepare.tsdf_targets import (
    FREE,
    SURFACE,
    UNSEEN,
    Grid,
    TsdfTarget,
    class_labels,
    frusta_bounds,
    fused_layers,
    integrate_reference,
)
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at, pose_from

CAMERA = Camera(64, 48, 60.0, 58.0, 31.0, 24.5)
ROOM = np.array([2.0, 2.4, 2.2])  # the box from the origin to here


def box_depth(camera: Camera, T_world_camera: np.ndarray) -> np.ndarray:
    """Planar depth of the inside of the box room, exact."""
    rays = camera.rays() @ T_world_camera[:3, :3].T
    start = T_world_camera[:3, 3]
    with np.errstate(divide="ignore"):
        to_walls = np.where(rays > 0, (ROOM - start) / rays, -start / rays)
    return to_walls.min(-1).astype(np.float32)


def frames_of(targets: list[tuple[float, ...]], eye: tuple[float, ...] = (1.0, 1.2, 1.1)) -> list:
    poses = [look_at(eye, target, (0, 0, 1) if target[:2] != eye[:2] else (0, 1, 0)) for target in targets]
    return [(box_depth(CAMERA, pose), CAMERA, pose) for pose in poses]


def test_signs() -> None:
    wall = np.full((48, 64), 1.0, np.float32)
    target = TsdfTarget(Grid(np.array([-2.0, -0.02, -1.0]), 0.04, (101, 2, 101)))
    target.integrate(wall, CAMERA, np.eye(4))
    stored = target.stored()

    def at(x: float, z: float) -> float:
        return float(stored[round((x + 2.0) / 0.04), 0, round((z + 1.0) / 0.04)])

    assert at(0, 0.52) == -1  # seen to be free
    assert at(0, 1.0) == pytest.approx(0, abs=1e-5)
    assert at(0, 0.96) == pytest.approx(-1 / 3, abs=1e-5)
    assert at(0, 1.04) == pytest.approx(1 / 3, abs=1e-5)
    assert at(0, 1.2) == 1  # behind the wall
    assert at(0, -0.48) == 1  # behind the camera
    assert at(1.6, 0.52) == 1  # beside the view
    labels = class_labels(stored)[0]
    assert [labels[50, 0, k] for k in (38, 50, 55)] == [FREE, SURFACE, UNSEEN]


def test_box_room_is_exact_where_seen_frontally() -> None:
    size = 0.04
    walls = [(1, 1.2, 9), (1, 1.2, -9), (9, 1.2, 1.1), (-9, 1.2, 1.1), (1, 9, 1.1), (1, -9, 1.1)]
    tilted = [
        tuple(np.array(wall) + shift) for wall in walls[2:] for shift in (np.array((0, 0, 2.5)), np.array((0, 0, -2.5)))
    ]
    frames = frames_of(walls + tilted)
    target = TsdfTarget(Grid.covering(np.full(3, -0.2), ROOM + 0.2, size))
    for frame in frames:
        target.integrate(*frame)
    stored = target.stored()
    centres = target.grid.origin + size * np.stack(np.indices(target.grid.shape), -1)
    inside = np.minimum(centres, ROOM - centres)  # distances to the six walls, positive in the room
    exact = inside.min(-1)
    second = np.partition(np.abs(np.concatenate([centres, ROOM - centres], -1)), 1, axis=-1)[..., 1]
    frontal = np.zeros(target.grid.shape, bool)  # by the frames that look straight at a wall
    for _, camera, pose in frames[:6]:
        pixels, z = camera.project((centres - pose[:3, 3]) @ pose[:3, :3])
        frontal |= (pixels > 4).all(-1) & (pixels[..., 0] < 59) & (pixels[..., 1] < 43) & (z > 0)
    band = (target.weight > 0) & (np.abs(exact) < target.grid.truncation_m - size / 2) & frontal & (second > 0.3)
    assert band.sum() > 10_000
    error = np.abs(-stored * target.grid.truncation_m - exact)[band]
    assert error.max() <= size / 2
    assert (exact[band] > size).any()
    assert (exact[band] < -size).any()
    assert (stored[(target.weight > 0) & (exact > 0.3)] == -1).all()
    assert (stored[exact < -target.grid.truncation_m * 1.5] == 1).all()


def test_fast_equals_slow() -> None:
    rng = np.random.default_rng(3)
    grid = Grid(np.array([-0.3, -0.2, -0.4]), 0.16, (18, 17, 19))
    fast, slow = TsdfTarget(grid, 2.2), TsdfTarget(grid, 2.2)
    for _ in range(4):
        eye = rng.uniform(0.4, 1.6, 3)
        pose = look_at(eye, eye + rng.normal(size=3))
        depth = box_depth(CAMERA, pose)
        depth[rng.random(depth.shape) < 0.2] = np.nan
        depth[rng.random(depth.shape) < 0.1] = 0
        fast.integrate(depth, CAMERA, pose)
        integrate_reference(slow.mean, slow.weight, grid, (depth, CAMERA, pose), 2.2)
    np.testing.assert_array_equal(fast.weight, slow.weight)
    np.testing.assert_allclose(fast.mean, slow.mean, atol=1e-6)
    np.testing.assert_allclose(fast.stored(), slow.stored(), atol=1e-6)
    assert 0 < (fast.weight > 0).mean() < 1


def test_layers_share_their_origin_and_labels_line_up() -> None:
    frames = frames_of([(9, 1.2, 1.1), (9, 9, 1.1), (1, 1.2, -9)])
    low, high = frusta_bounds(frames)
    layers = fused_layers(frames, low, high)
    assert [layer.grid.voxel_size_m for layer in layers] == [0.04, 0.08, 0.16]
    assert all((layer.grid.origin == low).all() for layer in layers)
    for layer in layers:
        reach = low + layer.grid.voxel_size_m * (np.array(layer.grid.shape) - 1)
        assert (reach >= high).all()
        assert (reach - high < layer.grid.voxel_size_m).all()
    labels = class_labels(layers[0].stored())
    for fine, coarse in pairwise(labels):
        assert coarse.shape == tuple((n + 1) // 2 for n in fine.shape)
        held = np.argwhere(fine == SURFACE)
        kept = (held // 2).clip(max=np.array(coarse.shape) - 1)
        assert (coarse[tuple(kept.T)] == SURFACE).all()  # no surface is lost on the way up
        assert ((coarse == fine[::2, ::2, ::2]) | (coarse == SURFACE)).all()


def test_labels_by_hand() -> None:
    fine = np.full((8, 1, 1), -1, np.float32)
    fine[4:6, 0, 0] = (0.0, 0.5)
    fine[6:, 0, 0] = 1
    first, second, third = (labels[:, 0, 0].tolist() for labels in class_labels(fine))
    assert first == [2, 2, 2, 2, 1, 1, 0, 0]
    assert second == [2, 2, 1, 1]  # voxel 6 is unseen itself and has surface beside it
    assert third == [2, 1]


def test_bounds_are_cut_at_the_frames_depth() -> None:
    camera = Camera(10, 10, 10.0, 10.0, 4.5, 4.5)
    depth = np.full((10, 10), 2.0, np.float32)
    depth[0, 0], depth[0, 1] = np.nan, 7.0
    low, high = frusta_bounds([(depth, camera, pose_from((1, 0, 0)))])
    np.testing.assert_allclose(low, (0, -1, 0))
    np.testing.assert_allclose(high, (2, 1, 2))


def test_bad_input() -> None:
    target = TsdfTarget(Grid(np.zeros(3), 0.04, (2, 2, 2)))
    with pytest.raises(InputError, match=r"depth is \(3, 2\), its camera 64x48"):
        target.integrate(np.zeros((2, 3), np.float32), CAMERA, np.eye(4))
    bent = Camera(64, 48, 60.0, 58.0, 31.0, 24.5, "plumb_bob", (0.1, 0, 0, 0))
    with pytest.raises(InputError, match="undistort first"):
        target.integrate(np.zeros((48, 64), np.float32), bent, np.eye(4))
    with pytest.raises(InputError, match="no frame has depth within 3 m"):
        frusta_bounds([(np.full((48, 64), np.nan, np.float32), CAMERA, np.eye(4))])
