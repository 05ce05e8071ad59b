"""The sparse U-Net: published sizes, equal to a dense one where everything is active, batch items apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from showroom_ros.networks.sparse import DownConv3d, Sites, SubmanifoldConv3d, UpConv3d
from showroom_ros.networks.sparse_unet import Residual, SparseUNet


def count_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def described(inputs: int, width: int) -> int:
    """Parameters of the network as it is described, added up by hand."""

    def conv(size: int, cin: int, cout: int) -> int:
        return size**3 * cin * cout + 2 * cout  # every convolution has a normalisation behind it

    def residual(cin: int, cout: int) -> int:
        return conv(3, cin, cout) + conv(3, cout, cout) + (conv(1, cin, cout) if cin != cout else 0)

    c0, c1, c2, c3, c4 = (multiple * width for multiple in (1, 2, 4, 3, 3))
    stem = conv(3, inputs, c0)
    down = conv(2, c0, c0) + residual(c0, c1) + residual(c1, c1)
    down += conv(2, c1, c1) + residual(c1, c2) + residual(c2, c2)
    up = conv(2, c2, c3) + residual(c3 + c1, c3) + residual(c3, c3)
    up += conv(2, c3, c4) + residual(c4 + c0, c4) + residual(c4, c4)
    return stem + down + up


@pytest.mark.parametrize(
    ("inputs", "width", "millions"),
    [(80, 32, 4.50), (137, 16, 1.17), (139, 16, 1.17), (73, 8, 0.29), (75, 8, 0.29)],
)
def test_parameter_counts(inputs: int, width: int, millions: float) -> None:
    count = count_of(SparseUNet(inputs, width))
    assert count == described(inputs, width)
    assert round(count / 1e6, 2) == millions


def test_six_networks_at_full_size_have_11_9_million_parameters() -> None:
    sizes = ((80, 32), (80, 32), (137, 16), (139, 16), (73, 8), (75, 8))
    total = sum(count_of(SparseUNet(inputs, width)) for inputs, width in sizes)
    assert total == sum(described(inputs, width) for inputs, width in sizes)
    assert round(total / 1e6, 1) == 11.9


def dense_conv(conv: nn.Module, volume: Tensor) -> Tensor:
    weight = conv.weight
    side = round(len(weight) ** (1 / 3))
    kernel = weight.reshape(side, side, side, *weight.shape[1:])
    if isinstance(conv, UpConv3d):
        return functional.conv_transpose3d(volume, kernel.permute(3, 4, 0, 1, 2), stride=2)
    kernel = kernel.permute(4, 3, 0, 1, 2)
    if isinstance(conv, DownConv3d):
        return functional.conv3d(volume, kernel, stride=2)
    assert isinstance(conv, SubmanifoldConv3d)
    return functional.conv3d(volume, kernel, padding=1)


def dense_norm(norm: nn.BatchNorm1d, volume: Tensor) -> Tensor:
    return functional.batch_norm(
        volume, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
    )


def dense_residual(block: Residual, volume: Tensor) -> Tensor:
    inner = torch.relu(dense_norm(block.norm1, dense_conv(block.conv1, volume)))
    inner = dense_norm(block.norm2, dense_conv(block.conv2, inner))
    if isinstance(block.shortcut, nn.Identity):
        return torch.relu(inner + volume)
    linear, norm = block.shortcut
    changed = functional.conv3d(volume, linear.weight[:, :, None, None, None])
    return torch.relu(inner + dense_norm(norm, changed))


def dense_unet(network: SparseUNet, volume: Tensor) -> Tensor:
    """The network as it is described, on a volume [B, C, X, Y, Z] where every voxel is active."""

    def layer(module: nn.Module, values: Tensor) -> Tensor:
        return torch.relu(dense_norm(module.norm, dense_conv(module.conv, values)))

    def through(blocks: nn.ModuleList, values: Tensor) -> Tensor:
        for block in blocks:
            values = dense_residual(block, values)
        return values

    stem = layer(network.stem, volume)
    first = through(network.stage1, layer(network.down1, stem))
    second = through(network.stage2, layer(network.down2, first))
    third = through(network.stage3, torch.cat([layer(network.up1, second), first], 1))
    return through(network.stage4, torch.cat([layer(network.up2, third), stem], 1))


def with_statistics(network: nn.Module, seed: int) -> nn.Module:
    """In evaluation mode, with normalisations that do something."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.05, 0.2, generator=generator)
            nn.init.normal_(module.weight, 1, 0.2, generator=generator)
            nn.init.normal_(module.bias, 0, 0.2, generator=generator)
    return network.eval()


def drawn(seed: int, shape: tuple[int, ...], channels: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    coordinates = torch.cartesian_prod(*[torch.arange(count) for count in shape])
    coordinates = coordinates[torch.randperm(len(coordinates), generator=generator)]
    return coordinates, torch.randn((len(coordinates), channels), generator=generator)


def test_equals_a_dense_network_where_everything_is_active() -> None:
    coordinates, features = drawn(0, (2, 8, 4, 12), 5)
    network = with_statistics(SparseUNet(5, 4), 1)
    volume = torch.empty((2, 8, 4, 12, 5))
    volume[tuple(coordinates.unbind(1))] = features
    with torch.no_grad():
        expected = dense_unet(network, volume.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
        result = network(features, Sites(coordinates))
    assert float(result.std()) > 0.01
    torch.testing.assert_close(result, expected[tuple(coordinates.unbind(1))], atol=1e-4, rtol=1e-4)


def test_order_and_other_batch_items_do_not_matter() -> None:
    coordinates, features = drawn(3, (3, 6, 6, 6), 4)
    active = torch.rand(len(coordinates), generator=torch.Generator().manual_seed(2)) < 0.3
    coordinates, features = coordinates[active], features[active]
    network = with_statistics(SparseUNet(4, 2), 5)
    with torch.no_grad():
        together = network(features, Sites(coordinates))
        for item in range(3):
            rows = (coordinates[:, 0] == item).nonzero()[:, 0].flip(0)
            alone = network(features[rows], Sites(coordinates[rows]))
            torch.testing.assert_close(alone, together[rows], atol=1e-5, rtol=1e-4)


def test_everything_learns() -> None:
    coordinates, features = drawn(4, (1, 6, 6, 6), 4)
    network = SparseUNet(4, 2)
    network(features, Sites(coordinates)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize("voxels", [[[0, 3, -4, 5]], [[0, 0, 0, 0], [1, 40, 2, 1]]])
def test_a_lone_voxel_trains(voxels: list[list[int]]) -> None:
    network = SparseUNet(3, 2)
    result = network(torch.ones((len(voxels), 3)), Sites(torch.tensor(voxels)))
    assert result.shape == (len(voxels), 6)
    result.sum().backward()
    assert bool(torch.isfinite(result).all())
