"""Depth of one view in another, and the holes that are left: against ray casting and a slow loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from showroom_ros.training.warped_holes import random_camera, seen_through, warped_depth

HEIGHT, WIDTH, FOCAL = 48, 64, 60.0
K = torch.tensor([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
WALL_M, POST_M = 4.0, 2.0


def pose(x_m: float = 0.0, z_m: float = 0.0, yaw_deg: float = 0.0) -> torch.Tensor:
    angle = np.deg2rad(yaw_deg)
    T = torch.eye(4)
    T[0, 0] = T[2, 2] = float(np.cos(angle))
    T[0, 2], T[2, 0] = float(np.sin(angle)), -float(np.sin(angle))
    T[0, 3], T[2, 3] = x_m, z_m
    return T


def post_before_wall(T_world_camera: torch.Tensor) -> torch.Tensor:
    """Depth of a wall at z = 4 m and a post, 0.4 m wide, at z = 2 m, by ray casting; a camera that is not turned."""
    x = (torch.arange(WIDTH) - K[0, 2]) / FOCAL
    center, z = T_world_camera[0, 3], T_world_camera[2, 3]
    on_post = (center + x * (POST_M - z)).abs() < 0.2
    return torch.where(on_post, POST_M - z, WALL_M - z).expand(HEIGHT, WIDTH).clone()


def clip(*poses: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.stack([post_before_wall(T) for T in poses]), K.expand(len(poses), 3, 3), torch.stack(poses)


def warped_by_loops(depth, K, T_world_camera, source, target):
    """The same, point by point, in plain numpy."""
    z, matrices, poses = depth[source].numpy(), K.double().numpy(), T_world_camera.double().numpy()
    height, width = z.shape
    buffer = np.full((height, width), np.inf)
    relative = np.linalg.inv(poses[target]) @ poses[source]
    for row, column in np.argwhere(z > 0):
        ray = np.linalg.inv(matrices[source]) @ [column, row, 1.0]
        x, y, depth_there = relative[:3, :3] @ (ray * z[row, column]) + relative[:3, 3]
        if depth_there <= 0.001:
            continue
        u, v, _ = matrices[target] @ [x / depth_there, y / depth_there, 1.0]
        u, v = int(np.floor(u + 0.5)), int(np.floor(v + 0.5))
        if 0 <= u < width and 0 <= v < height:
            buffer[v, u] = min(buffer[v, u], depth_there)
    filled = buffer.copy()
    for row, column in np.argwhere(np.isinf(buffer)):
        around = buffer[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        if np.isfinite(around).sum() >= 3:
            filled[row, column] = around.min()
    return np.where(np.isfinite(filled), filled, np.nan)


def test_a_view_warped_into_itself_is_itself():
    depth, matrices, poses = clip(pose(), pose(0.4))
    depth[0, 10:20, 10:20] = torch.nan
    same = warped_depth(depth, matrices, poses, 0, 0)
    hole = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    hole[10:20, 10:20] = True
    inner = torch.zeros_like(hole)
    inner[11:19, 11:19] = True
    assert torch.equal(same[~hole], depth[0][~hole])  # and the hole shrinks by at most a pixel
    assert same[inner].isnan().all()


def test_what_was_hidden_or_outside_is_the_hole_and_the_rest_is_the_ray_casters():
    depth, matrices, poses = clip(pose(), pose(0.4))
    warped = warped_depth(depth, matrices, poses, 1, 0)
    known = warped.isfinite()
    right = (warped - depth[0]).abs() < 0.01
    assert float(right[known].float().mean()) > 0.96  # the post's edges are a pixel off
    # the camera at 0.4 m sees 6 px less at the left edge, and behind the post 6 px of wall are hidden
    missing = (~known).float().mean(0) * HEIGHT
    assert missing[:4].min() == HEIGHT
    assert 4 * HEIGHT <= float(missing[10:].sum()) <= 8 * HEIGHT
    assert known[:, 45:].all()


@pytest.mark.parametrize(
    "there", [pose(0.31, 0.23, 5.0), pose(-0.213, 1.07), pose(0.013, -1.07, -20.0), pose(0.1, 3.0, 80.0)]
)
def test_fast_equals_slow(there):
    depth, matrices, poses = clip(pose(), pose(0.1))
    poses[1] = there
    depth[0, 5:9] = torch.nan
    np.testing.assert_allclose(
        warped_depth(depth, matrices, poses, 0, 1), warped_by_loops(depth, matrices, poses, 0, 1), rtol=1e-6
    )


def test_magnified_surface_has_no_pinholes():
    depth, matrices, poses = clip(pose(), pose(0.0, 0.8))
    depth[0] = WALL_M
    warped = warped_depth(depth, matrices, poses, 0, 1)
    inner = warped[1:-1, 1:-1]  # at the rim a pixel may have fewer than three neighbours
    assert inner.isfinite().all()
    assert torch.allclose(inner, torch.tensor(WALL_M - 0.8), atol=1e-5)


def test_what_is_behind_the_other_camera_lands_nowhere():
    depth, matrices, poses = clip(pose(), pose())
    poses[1] = pose(0.0, 0.0, 180.0)
    assert warped_depth(depth, matrices, poses, 0, 1).isnan().all()
    depth[0] = torch.nan
    assert warped_depth(depth, matrices, poses, 0, 0).isnan().all()


def test_a_camera_beside_a_single_view_leaves_holes_that_fit_its_surface():
    depth = post_before_wall(pose())
    back = seen_through(depth, K, pose(0.4).double())
    known = back.isfinite()
    assert 0.05 < float((~known).float().mean()) < 0.35
    assert float(((back - depth).abs() < 0.02)[known].float().mean()) > 0.96
    assert torch.equal(seen_through(depth, K, torch.eye(4)), depth)


def test_random_cameras_orbit_what_is_seen_or_turn_in_place():
    depth = post_before_wall(pose())
    orbits = [random_camera(np.random.default_rng(seed), depth, turn_share=0.0) for seed in range(30)]
    turns = [random_camera(np.random.default_rng(seed), depth, turn_share=1.0) for seed in range(30)]
    point = torch.tensor([0.0, 0.0, WALL_M, 1.0]).double()  # the median depth is the wall's
    for T in orbits:
        seen = torch.linalg.inv(T) @ point
        assert torch.allclose(seen[:2], torch.zeros(2).double(), atol=1e-9)
        assert 0.9 * WALL_M <= float(seen[2]) <= 1.1 * WALL_M
        assert float(torch.acos(T[2, 2])) < np.deg2rad(22)
    sides = [float((~(seen_through(depth, K, T) > 0)).float().mean(0)[:5].min()) for T in turns]
    assert all(torch.equal(T[:3, 3], torch.zeros(3).double()) for T in turns)
    assert {True, False} == {side == 1.0 for side in sides}  # to either side
    shares = [float((~(seen_through(depth, K, T) > 0)).float().mean()) for T in turns]
    assert min(shares) > 0.1
    assert max(shares) < 0.75
    again = random_camera(np.random.default_rng(3), depth, turn_share=0.0)
    assert torch.equal(again, orbits[3])
    assert torch.isfinite(random_camera(np.random.default_rng(0), torch.full_like(depth, torch.nan))).all()
