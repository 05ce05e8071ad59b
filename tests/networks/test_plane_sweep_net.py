"""The plane-sweep network: geometry of its volumes, its contract, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from showroom_ros.networks.cost_volume import guided_correlation, plane_expectation, projected, scaled_intrinsics
from showroom_ros.networks.layers import Conv3d, convex_upsampled
from showroom_ros.networks.plane_sweep import KIND, PRESETS, PlaneSweepNet

TINY = PRESETS["tiny"]
SIZE = 48, 64


def clip(views: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random images of cameras side by side."""
    generator = torch.Generator().manual_seed(seed)
    height, width = SIZE
    K = torch.tensor([[50.0, 0, width / 2], [0, 50.0, height / 2], [0, 0, 1]]).expand(1, views, 3, 3).clone()
    poses = torch.eye(4).repeat(1, views, 1, 1)
    poses[0, :, 0, 3] = 0.1 * torch.arange(views)
    return {"images": torch.rand(1, views, 3, *SIZE, generator=generator), "K": K, "T_world_camera": poses}


@pytest.fixture(scope="module")
def network() -> PlaneSweepNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PlaneSweepNet(TINY).eval()


@pytest.mark.parametrize(("preset", "millions"), [("small", 4.0), ("base", 8.0)])
def test_presets_stay_within_their_size(preset, millions):
    count = sum(parameter.numel() for parameter in PlaneSweepNet(PRESETS[preset]).parameters())
    assert 0.3e6 < count < millions * 1e6


def test_projection_agrees_with_the_pinhole_equations():
    K = torch.tensor([[[40.0, 0, 15.5], [0, 42.0, 11.5], [0, 0, 1]]])
    angle = torch.tensor(0.2)
    T = torch.eye(4)[None].clone()
    T[0, 0, 0], T[0, 0, 2] = angle.cos(), angle.sin()
    T[0, 2, 0], T[0, 2, 2] = -angle.sin(), angle.cos()
    T[0, :3, 3] = torch.tensor([0.1, -0.05, 0.02])
    depth = torch.full((1, 1, 24, 32), 2.0)
    grid, cosine = projected(depth, K, K, T, (24, 32))
    point = torch.tensor([(20 - 15.5) / 40 * 2.0, (7 - 11.5) / 42 * 2.0, 2.0])
    there = T[0, :3, :3] @ point + T[0, :3, 3]
    u, v = 40 * there[0] / there[2] + 15.5, 42 * there[1] / there[2] + 11.5
    expected = torch.stack([(u + 0.5) / 32 * 2 - 1, (v + 0.5) / 24 * 2 - 1])
    torch.testing.assert_close(grid[0, 0, 7, 20], expected, atol=1e-5, rtol=0)
    centre = -(T[0, :3, :3].T @ T[0, :3, 3])
    assert cosine[0, 0, 7, 20] == pytest.approx(float(F.cosine_similarity(point, point - centre, dim=0)), abs=1e-5)


def test_points_behind_a_source_are_not_seen():
    K = torch.tensor([[[40.0, 0, 15.5], [0, 40.0, 11.5], [0, 0, 1]]])
    turned = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))[None]
    grid, _ = projected(torch.full((1, 2, 24, 32), 1.5), K, K, turned, (24, 32))
    assert (grid.abs() >= 1).all()


def test_scaled_intrinsics_keep_the_borders_of_the_image():
    K = torch.tensor([[100.0, 0, 31.5], [0, 100.0, 23.5], [0, 0, 1]])
    scaled = scaled_intrinsics(K, 4)
    left, right = (-0.5 - K[0, 2]) / K[0, 0], (63.5 - K[0, 2]) / K[0, 0]
    assert scaled[0, 0] * left + scaled[0, 2] == pytest.approx(-0.5)
    assert scaled[0, 0] * right + scaled[0, 2] == pytest.approx(15.5)


def test_correlation_is_highest_at_the_true_depth():
    generator = torch.Generator().manual_seed(1)
    texture = torch.nn.functional.normalize(torch.randn(1, 8, 24, 96, generator=generator), dim=1)
    K = torch.tensor([[[64.0, 0, 15.5], [0, 64.0, 11.5], [0, 0, 1]]])
    T = torch.eye(4)[None, None].clone()
    T[..., 0, 3] = -0.25  # a point at 2 m lies 8 pixels farther left in the source
    reference, source = texture[..., 40:72], texture[..., 48:80]
    depth = torch.tensor([1.0, 1.33333, 2.0, 4.0]).view(1, 4, 1, 1).expand(1, 4, 24, 32)
    weights = torch.nn.Conv2d(3, 1, 1)
    volume, correlation = guided_correlation(
        reference, source[:, None], depth, K, K[:, None], T, torch.ones(1, 1, dtype=torch.bool), weights, 2
    )
    inside = correlation[0, :, :, 16:]
    assert volume.shape == (1, 4, 4, 24, 32)
    assert (inside.argmax(0) == 2).float().mean() > 0.98
    assert inside[2].mean() > 0.95


def test_masked_sources_change_nothing(network):
    given = clip(3)
    features = network.encode(given["images"][0])
    reference = type(features)(features.coarse[:1], features.match[:1], tuple(x[:1] for x in features.context))
    relative = torch.linalg.inv(given["T_world_camera"][:, 1:]) @ given["T_world_camera"][:, :1]
    outputs = []
    with torch.no_grad():
        for other in (features.coarse[2], torch.zeros_like(features.coarse[2])):
            coarse = torch.stack([features.coarse[1], other])[None]
            outputs.append(
                network.decode(
                    reference, (coarse, features.match[None, 1:]), given["K"][:, 0], given["K"][:, 1:], relative,
                    torch.tensor([[True, False]]),
                ).depth
            )  # fmt: skip
    torch.testing.assert_close(outputs[0], outputs[1])


def test_depth_and_confidence_have_the_size_of_the_image_and_their_range(network):
    given = clip()
    with torch.no_grad():
        prediction = network(**given)[0]
    assert prediction.depth.shape == prediction.confidence.shape == (1, *SIZE)
    assert (prediction.depth > 0.1).all()
    assert (prediction.depth < 20).all()
    assert ((prediction.confidence >= 0) & (prediction.confidence <= 1)).all()


def test_order_of_the_sources_does_not_matter(network):
    given = clip(4)
    order = [0, 3, 1, 2]
    with torch.no_grad():
        straight = network(**given)[0].depth
        shuffled = network(**{name: value[:, order] for name, value in given.items()})[0].depth
    torch.testing.assert_close(straight, shuffled, atol=1e-4, rtol=1e-4)


def test_a_hint_of_nothing_is_no_hint_and_a_hint_enters_the_volume(network):
    given = clip()
    nothing = torch.full((1, 1, *SIZE), torch.nan)
    with torch.no_grad():
        without, empty = network(**given)[0], network(**given, hint_depth=nothing)[0]
        torch.testing.assert_close(without.depth, empty.depth)
        trained = PlaneSweepNet(TINY)
        trained.load_state_dict(network.state_dict())
        torch.nn.init.normal_(trained.coarse_filter.leave.weight, generator=torch.Generator().manual_seed(2))
        hinted = trained(**given, hint_depth=torch.full((1, 1, *SIZE), 2.0))[0]
        unhinted = trained(**given)[0]
    assert (hinted.coarse_logits - unhinted.coarse_logits).abs().max() > 1e-3


def test_expectation_lies_at_the_best_of_two_candidates():
    planes = torch.linspace(0, 1, 11).view(1, 11, 1, 1)
    logits = torch.full((1, 11, 1, 1), -20.0)
    logits[0, 2], logits[0, 9] = 3.0, 2.5
    value, gathered = plane_expectation(logits, planes, window=1)
    assert float(value) == pytest.approx(0.2, abs=1e-3)
    assert float(gathered) == pytest.approx(float(torch.tensor([3.0, 2.5]).softmax(0)[0]), abs=1e-3)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("grad", [True, False])
def test_convolution_in_3d_equals_torch(stride, grad):
    layer = Conv3d(3, 5, stride, bias=True)
    volume = torch.randn(2, 3, 6, 7, 8, generator=torch.Generator().manual_seed(0))
    expected = F.conv3d(volume, layer.weight, layer.bias, stride, 1)
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(layer(volume), expected, atol=1e-5, rtol=1e-5)


def test_convex_upsampling_stays_between_its_neighbours():
    values = torch.rand(1, 5, 6, generator=torch.Generator().manual_seed(0))
    logits = torch.randn(1, 9 * 16, 5, 6, generator=torch.Generator().manual_seed(1))
    fine = convex_upsampled(values, logits, 4)
    high = F.max_pool2d(F.pad(values[:, None], (1, 1, 1, 1), mode="replicate"), 3, 1)
    low = -F.max_pool2d(F.pad(-values[:, None], (1, 1, 1, 1), mode="replicate"), 3, 1)
    assert fine.shape == (1, 20, 24)
    assert (fine <= F.interpolate(high, scale_factor=4)[:, 0] + 1e-6).all()
    assert (fine >= F.interpolate(low, scale_factor=4)[:, 0] - 1e-6).all()


def test_weights_survive_a_file(network, tmp_path):
    from showroom_ros.networks.weights import load_weights, save_weights

    path = tmp_path / "weights.safetensors"
    save_weights(path, KIND, TINY, network.state_dict(), {"steps": "0"}, half=False)
    loaded = load_weights(str(path), "plane_sweep").network
    given = clip()
    with torch.no_grad():
        np.testing.assert_array_equal(loaded(**given)[0].depth.numpy(), network(**given)[0].depth.numpy())
