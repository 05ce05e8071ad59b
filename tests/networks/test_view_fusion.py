"""Back-projection and the fusion of views equal obvious references; traps of the original are avoided."""

import math

import numpy as np
import pytest
import torch

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at
from showroom_ros.networks.view_fusion import (
    ViewDirections,
    ViewFeatures,
    ViewFusion,
    ViewTransformerLayer,
    attention_mask,
    back_projected,
    direction_encoding,
    pooling_weights,
    project,
    projections,
    ray_directions,
)

CAMERA = Camera(64, 48, 50.0, 52.0, 30.0, 25.0)


def three_views() -> tuple[torch.Tensor, torch.Tensor]:
    """K [3, 3, 3] and poses [3, 4, 4] of cameras around the origin."""
    poses = np.stack([look_at(eye, (0, 0, 0), (0, 0, 1)) for eye in [(2.0, 0, 0.5), (0, -1.5, 0.2), (-1, 1, 1)]])
    return torch.from_numpy(CAMERA.matrix).repeat(3, 1, 1), torch.from_numpy(poses)


def points_around(count: int = 40) -> torch.Tensor:
    """Some near the origin, some beside or behind the cameras."""
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 1.5


def sampled_reference(
    point: np.ndarray, feature_map: np.ndarray, stride: int, pose: np.ndarray
) -> tuple[np.ndarray, float, bool]:
    """One point in one view: the camera's own projection, then bilinear between the centres of four pixels."""
    in_camera = np.linalg.inv(pose) @ [*point, 1.0]
    (u, v), depth = CAMERA.project(in_camera[:3])
    u, v = u / stride, v / stride
    height, width = feature_map.shape[1:]
    if not (depth > 0 and 0 <= u <= width - 1 and 0 <= v <= height - 1):
        return np.zeros(len(feature_map)), float(depth), False
    left, top = min(int(u), width - 2), min(int(v), height - 2)
    a, b = u - left, v - top
    corner = feature_map[:, top : top + 2, left : left + 2]
    upper = (1 - a) * corner[:, 0, 0] + a * corner[:, 0, 1]
    lower = (1 - a) * corner[:, 1, 0] + a * corner[:, 1, 1]
    return (1 - b) * upper + b * lower, float(depth), True


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_back_projection_equals_its_slow_reference(stride: int) -> None:
    K, poses = three_views()
    maps = torch.randn(3, 5, 48 // stride, 64 // stride, dtype=torch.float64)
    points = points_around()
    samples = back_projected(points, maps, projections(K, poses, stride))
    for row, point in enumerate(points.numpy()):
        for view in range(3):
            values, depth, valid = sampled_reference(point, maps[view].numpy(), stride, poses[view].numpy())
            assert bool(samples.valid[row, view]) == valid
            assert float(samples.depth_m[row, view]) == pytest.approx(depth, abs=1e-9)
            assert np.abs(samples.features[row, view].numpy() - values).max() < 1e-9
    assert samples.valid.any()
    assert not samples.valid.all()


def test_grid_is_normalised_for_the_corners_it_is_sampled_with() -> None:
    """A map whose values are its own pixel coordinates gives the projection itself: no half-pixel drift."""
    K, poses = three_views()
    v, u = torch.meshgrid(torch.arange(12.0), torch.arange(16.0), indexing="ij")
    maps = torch.stack([u, v]).double().repeat(3, 1, 1, 1)
    matrices = projections(K, poses, 4)
    samples = back_projected(points_around(), maps, matrices)
    pixels, _ = project(points_around(), matrices)
    assert (samples.features - pixels)[samples.valid].abs().max() < 1e-9


def test_points_in_the_plane_of_a_camera_do_no_harm() -> None:
    K, poses = three_views()
    points = torch.cat([poses[:, :3, 3], poses[:, :3, 3] + poses[:, :3, 0]])  # depth 0 in one view each
    maps = torch.randn(3, 4, 6, 8, dtype=torch.float64, requires_grad=True)
    fusion = ViewFusion(4, 1, 2, True).double()
    fused = fusion(points, maps, projections(K, poses, 8), True)
    fused.features.sum().backward()
    assert all(torch.isfinite(fused.features).all(1))
    assert torch.isfinite(maps.grad).all()
    assert not fused.valid.diagonal().any()


def test_directions_are_those_of_the_cameras_rays() -> None:
    K, poses = three_views()
    directions = ray_directions(48, 64, projections(K, poses, 1), poses[:, :3, 3])
    rays = torch.from_numpy(CAMERA.rays()) @ poses[1, :3, :3].T
    expected = rays / rays.norm(dim=2, keepdim=True)
    assert (directions[1].permute(1, 2, 0) - expected).abs().max() < 1e-9


def test_direction_encoding_has_four_octaves() -> None:
    direction = torch.tensor([0.6, 0.0, 0.8]).reshape(1, 3, 1, 1)
    encoded = direction_encoding(direction).flatten()
    assert len(encoded) == 27
    expected = [0.6, 0.0, 0.8]
    for octave in range(4):
        expected += [math.sin(math.pi * 2**octave * value) for value in (0.6, 0.0, 0.8)]
        expected += [math.cos(math.pi * 2**octave * value) for value in (0.6, 0.0, 0.8)]
    assert encoded.tolist() == pytest.approx(expected, abs=1e-5)
    mixed = ViewDirections(5)
    assert mixed.mix.weight.shape == (5, 32, 1, 1)
    assert mixed.mix.bias is None


def attention_reference(layer: ViewTransformerLayer, features: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """torch's own attention, one voxel after the other, unseen keys left out, the diagonal kept."""
    channels = features.shape[2]
    attention = torch.nn.MultiheadAttention(channels, layer.heads, batch_first=True)
    attention.in_proj_weight = layer.queries_keys_values.weight
    attention.in_proj_bias = layer.queries_keys_values.bias
    attention.out_proj = layer.output
    rows = []
    for voxel, seen in zip(features, valid, strict=True):
        normalised = layer.norm1(voxel)
        attended = []
        for query in range(len(voxel)):
            keys = [key for key in range(len(voxel)) if seen[key] or key == query]
            attended.append(attention(normalised[query][None, None], *[normalised[keys][None]] * 2)[0][0, 0])
        voxel = voxel + torch.stack(attended)
        rows.append(voxel + layer.feed_forward(layer.norm2(voxel)))
    return torch.stack(rows)


def test_view_transformer_equals_its_slow_reference() -> None:
    torch.manual_seed(1)
    layer, features = ViewTransformerLayer(8, 2).eval(), torch.randn(6, 4, 8)
    valid = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 1], [0, 0, 1, 1]]).bool()
    mask = attention_mask(valid)
    assert mask[2].equal(torch.eye(4, dtype=torch.bool))
    fast = layer(features, mask)
    assert (fast - attention_reference(layer, features, valid)).abs().max() < 1e-5
    changed = torch.where(valid[..., None], features, torch.randn(6, 4, 8))  # what views that see nothing hold
    assert (layer(changed, mask) - fast)[valid].abs().max() < 1e-5


def test_pooling_by_the_mean_and_by_projective_occupancy() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    valid = torch.tensor([[True, True, False], [False, False, False], [True, True, True]])
    mean = pooling_weights(logits, valid, False)
    assert mean.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0], pytest.approx([1 / 3] * 3)]
    occupancy = pooling_weights(logits, valid, True)
    total = 1 + math.e + math.e**2
    assert occupancy[0].tolist() == pytest.approx([math.e / total, math.e**2 / total, 0.0])
    assert occupancy[1].tolist() == pytest.approx([0.0, 0.0, 0.0])
    assert occupancy[2].tolist() == pytest.approx([0.25] * 3)  # a fourth goes to "no view"


def test_order_of_views_does_not_matter_and_blind_views_neither() -> None:
    torch.manual_seed(2)
    K, poses = three_views()
    maps, points = torch.randn(3, 8, 6, 8, dtype=torch.float64), points_around()
    for spread in (False, True):
        fusion = ViewFusion(8, 2, 2, spread).double()
        matrices = projections(K, poses, 8)
        expected = fusion(points, maps, matrices, True)
        order = torch.tensor([2, 0, 1])
        permuted = fusion(points, maps[order], matrices[order], True)
        assert (permuted.features - expected.features).abs().max() < 1e-9
        assert permuted.valid.equal(expected.valid[:, order])
        away = poses[:1].clone()
        away[0, :3, :3] = away[0, :3, :3] @ torch.diag(torch.tensor([-1.0, 1, -1], dtype=torch.float64))
        away[0, :3, 3] = torch.tensor([90.0, 0, 0])
        more = torch.cat([matrices, projections(K[:1], away, 8)])
        blind = fusion(points, torch.cat([maps, torch.randn(1, 8, 6, 8)]), more, True)
        assert not blind.valid[:, 3].any()
        assert (blind.features - expected.features).abs().max() < 1e-9


def test_features_of_images_can_be_put_together() -> None:
    one = ViewFeatures((torch.zeros(1, 4, 3, 4),) * 3, (torch.zeros(1, 3, 4),) * 3)
    other = ViewFeatures((torch.ones(2, 4, 3, 4),) * 3, (torch.ones(2, 3, 4),) * 3)
    both = ViewFeatures.stacked([one, other])
    assert both.views == 3
    assert both.maps[1][:, 0, 0, 0].tolist() == [0, 1, 1]
    assert both.select([2, 0]).projections[0][:, 0, 0].tolist() == [1, 0]
    assert both.kept_as(torch.float16).maps[0].dtype == torch.float16
    with pytest.raises(InputError, match="different sizes"):
        ViewFeatures.stacked([one, ViewFeatures((torch.ones(2, 4, 5, 4),) * 3, other.projections)])
    with pytest.raises(InputError, match="no view"):
        ViewFeatures.stacked([])
