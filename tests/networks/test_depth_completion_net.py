"""The depth completion network: what it carries into holes, scales with, and leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from showroom_ros.networks.depth_completion import (
    CELL,
    KIND,
    PRESETS,
    DepthCompletionNet,
    fitted_planes,
    padded,
    pull_push,
)

SIZE = 64, 96
NOTHING = torch.full((1, *SIZE), torch.nan)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def fresh():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DepthCompletionNet(PRESETS["tiny"]).eval()


@pytest.fixture(scope="module")
def network(fresh):
    """With a last layer that is not zero."""
    trained = DepthCompletionNet(PRESETS["tiny"])
    trained.load_state_dict(fresh.state_dict())
    torch.nn.init.normal_(trained.leave.weight, std=0.05, generator=generator(2))
    return trained.eval()


def camera(height=SIZE[0], width=SIZE[1], focal=80.0):
    return torch.tensor([[[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]]])


def image(height=SIZE[0], width=SIZE[1], seed=0):
    return torch.rand(1, 3, height, width, generator=generator(seed))


def plane_depth(a=0.3, b=-0.1, c=0.5, height=SIZE[0], width=SIZE[1]):
    """Depth [1, H, W] of the plane 1/z = a x + b y + c."""
    u, v = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
    K = camera(height, width)[0]
    return 1 / (a * (u - K[0, 2]) / K[0, 0] + b * (v - K[1, 2]) / K[1, 1] + c)[None]


@pytest.mark.parametrize(("height", "width"), [(64, 96), (33, 47), (20, 90)])
def test_any_size_gives_depth_everywhere(network, height, width):
    depth = plane_depth(height=height, width=width)
    depth[:, :, width // 2 :] = torch.nan
    with torch.no_grad():
        prediction = network(image(height, width), depth, camera(height, width))
    assert all(plane.shape == (1, height, width) for plane in prediction)
    assert (prediction.depth > 0).all()
    assert prediction.depth.isfinite().all()
    assert ((prediction.confidence > 0) & (prediction.confidence < 1)).all()


def test_scaled_depth_gives_scaled_depth_and_the_same_confidence(network):
    known = plane_depth()
    known[:, 20:, 40:] = torch.nan
    with torch.no_grad():
        once, thrice = network(image(), known, camera()), network(image(), 3 * known, camera())
    torch.testing.assert_close(thrice.depth, 3 * once.depth, rtol=1e-3, atol=0)
    torch.testing.assert_close(thrice.confidence, once.confidence, rtol=1e-3, atol=1e-4)
    assert once.depth.std() > 0.01


def test_without_training_a_wall_goes_on_beyond_what_is_known(fresh):
    truth = plane_depth()
    known = truth.clone()
    known[:, :, 48:] = torch.nan
    with torch.no_grad():
        error = (fresh(image(), known, camera()).depth / truth - 1).abs()[0, :, 48:]
        nearest = (truth[:, :, 47:48] / truth - 1).abs()[0, :, 48:]
    assert error.mean() < 0.5 * nearest.mean()


def test_where_nothing_is_known_metres_are_predicted_and_learned(network):
    prediction = network(image(), NOTHING, camera())
    assert prediction.depth.isfinite().all()
    network.zero_grad()
    prediction.depth.log().mean().backward()
    grads = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert all(grad is not None and grad.isfinite().all() for grad in grads.values())
    assert float(grads["log_scale"].abs()) > 0.1


def test_images_of_a_batch_do_not_mix(network):
    images = torch.cat([image(seed=1), image(seed=2)])
    depth = torch.cat([NOTHING, plane_depth()])
    depth[1, :, 30:] = torch.nan
    with torch.no_grad():
        both = network(images, depth, camera().expand(2, 3, 3)).depth
        alone = [network(images[i : i + 1], depth[i : i + 1], camera()).depth for i in range(2)]
    torch.testing.assert_close(both, torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_in_bfloat16_planes_keep_their_digits(network):
    known = plane_depth()
    known[:, 20:, 40:] = torch.nan
    with torch.no_grad():
        exact = network(image(), known, camera()).depth
        with torch.autocast("cpu", torch.bfloat16):
            mixed = network(image(), known, camera()).depth
    assert mixed.dtype == torch.float32
    assert float((mixed / exact - 1).abs().mean()) < 0.01


def test_planes_of_cells_equal_least_squares_and_pass_by_outliers(fresh):
    truth = plane_depth(0.4, 0.2, 0.6)
    depth = truth.clone()
    depth[0, ::4, ::4] *= 2.5  # 6 % of the pixels lie far behind
    depth[0, :16, :16] = torch.nan  # one cell without depth
    known = fresh.known(depth, camera())
    planes, support = fitted_planes(known, CELL, rounds=8)
    expected = torch.tensor([0.4, 0.2, 0.6]) * known.scale.flatten()
    assert (planes[0, :, 0, 0] == 0).all()
    assert (support[0, :, 0, 0] == 0).all()
    fitted = planes[0].flatten(1)[:, 1:].T
    assert (fitted - expected).abs().max() < 0.05
    assert float(support[0, 1, 2, 2]) == pytest.approx(15 / 16, abs=0.02)
    # one round is plain least squares, but for a ridge of half a pixel on the slopes
    plain = fitted_planes(known, CELL, rounds=1)[0][0, :, 2, 3]
    window = np.s_[0, 32:48, 48:64]
    rays = torch.stack([known.rays[0, 0][window[1:]], known.rays[0, 1][window[1:]], torch.ones(16, 16)], -1)
    exact = torch.linalg.lstsq(rays.reshape(-1, 3), known.inverse[0][window].reshape(-1, 1)).solution[:, 0]
    torch.testing.assert_close(plain, exact, rtol=0.03, atol=0.03)


def test_pull_push_keeps_what_is_known_and_stays_between():
    values = torch.rand(1, 1, 37, 50, generator=generator()) + 1
    mask = (torch.rand(1, 1, 37, 50, generator=generator(1)) < 0.02).float()
    filled = pull_push(values, mask)
    assert (filled[mask > 0] == values[mask > 0]).all()
    assert filled.min() >= values[mask > 0].min() - 1e-6
    assert filled.max() <= values[mask > 0].max() + 1e-6
    assert (pull_push(values, torch.zeros_like(mask)) == 1).all()


def test_padding_adds_nothing_known():
    images, depth = padded(image(33, 47), plane_depth(height=33, width=47), 32)
    assert images.shape[-2:] == depth.shape[-2:] == (64, 64)
    assert int((depth > 0).sum()) == 33 * 47


def test_small_has_between_2_and_5_million_parameters():
    with torch.random.fork_rng():
        count = sum(parameter.numel() for parameter in DepthCompletionNet(PRESETS["small"]).parameters())
    assert 2e6 < count < 5e6


def test_weights_survive_a_file(network, tmp_path):
    from showroom_ros.networks.weights import load_weights, save_weights

    path = tmp_path / "weights.safetensors"
    save_weights(path, KIND, PRESETS["tiny"], network.state_dict(), {"steps": "0"}, half=False)
    loaded = load_weights(str(path), "depth_completion").network
    with torch.no_grad():
        given = image(), plane_depth(), camera()
        np.testing.assert_array_equal(loaded(*given).depth.numpy(), network(*given).depth.numpy())
