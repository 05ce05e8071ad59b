"""Sparse convolution is dense convolution where voxels are active, and nothing elsewhere."""

import pytest
import torch
from torch.nn import functional

from showroom_ros.errors import InputError
from showroom_ros.networks.sparse import (
    FARTHEST,
    KERNEL_3,
    DownConv3d,
    Sites,
    SubmanifoldConv3d,
    UpConv3d,
    VoxelBatchNorm,
)
from showroom_ros.networks.sparse_unet import SparseUNet

SIZE = 8


def active_voxels(seed: int, share: float = 0.3, batches: int = 2) -> torch.Tensor:
    """Random voxels of boxes of 8, in random order."""
    generator = torch.Generator().manual_seed(seed)
    found = (torch.rand((batches, SIZE, SIZE, SIZE), generator=generator) < share).nonzero()
    return found[torch.randperm(len(found), generator=generator)]


def dense_of(features: torch.Tensor, coordinates: torch.Tensor, size: int = SIZE) -> torch.Tensor:
    """Features [V, C] as dense boxes [B, C, size, size, size]."""
    batches = int(coordinates[:, 0].max()) + 1
    dense = features.new_zeros((batches, size, size, size, features.shape[1]))
    dense[tuple(coordinates.T)] = features
    return dense.permute(0, 4, 1, 2, 3)


def at(dense: torch.Tensor, coordinates: torch.Tensor) -> torch.Tensor:
    return dense.permute(0, 2, 3, 4, 1)[tuple(coordinates.T)]


def submanifold_reference(features: torch.Tensor, coordinates: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The obvious, slow convolution: a dictionary of voxels, one product after the other."""
    rows = {tuple(place): row for row, place in enumerate(coordinates.tolist())}
    result = torch.zeros(len(features), weight.shape[2], dtype=features.dtype)
    for (batch, x, y, z), row in rows.items():
        for index, (dx, dy, dz) in enumerate(KERNEL_3):
            other = rows.get((batch, x + dx, y + dy, z + dz))
            if other is not None:
                result[row] += features[other] @ weight[index]
    return result


@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
@pytest.mark.parametrize(("inputs", "outputs"), [(5, 7), (9, 4)])
def test_submanifold_is_dense_convolution_on_active_voxels(share: float, inputs: int, outputs: int) -> None:
    torch.manual_seed(1)
    coordinates, conv = active_voxels(1, share), SubmanifoldConv3d(inputs, outputs)
    features = torch.randn(len(coordinates), inputs)
    kernel = conv.weight.reshape(3, 3, 3, inputs, outputs).permute(4, 3, 0, 1, 2)
    expected = at(functional.conv3d(dense_of(features, coordinates), kernel, padding=1), coordinates)
    assert (conv(features, Sites(coordinates)) - expected).abs().max() < 1e-4


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 4), (4, 2), (3, 3)])
def test_submanifold_equals_its_slow_reference_and_has_its_gradient(inputs: int, outputs: int) -> None:
    torch.manual_seed(2)
    coordinates, conv = active_voxels(2, 0.15), SubmanifoldConv3d(inputs, outputs).double()
    features = torch.randn(len(coordinates), inputs, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(coordinates), outputs, dtype=torch.float64)
    fast, slow = conv(features, Sites(coordinates)), submanifold_reference(features, coordinates, conv.weight)
    assert (fast - slow).abs().max() < 1e-12
    for one, other in zip(
        torch.autograd.grad((fast * weights).sum(), (features, conv.weight)),
        torch.autograd.grad((slow * weights).sum(), (features, conv.weight)),
        strict=True,
    ):
        assert (one - other).abs().max() < 1e-12


def test_down_and_up_are_dense_strided_convolutions() -> None:
    torch.manual_seed(3)
    coordinates = active_voxels(3)
    sites, down, up = Sites(coordinates), DownConv3d(4, 6), UpConv3d(6, 5)
    features = torch.randn(len(coordinates), 4)
    coarse = sites.coarser[0]
    kernel = down.weight.reshape(2, 2, 2, 4, 6).permute(4, 3, 0, 1, 2)
    halved = functional.conv3d(dense_of(features, coordinates), kernel, stride=2)
    assert (down(features, sites) - at(halved, coarse.coordinates)).abs().max() < 1e-4
    expected = {tuple(place) for place in torch.cat([coordinates[:, :1], coordinates[:, 1:] // 2], 1).tolist()}
    assert {tuple(place) for place in coarse.coordinates.tolist()} == expected
    assert len(coarse) == len(expected)
    inner = torch.randn(len(coarse), 6)
    kernel = up.weight.reshape(2, 2, 2, 6, 5).permute(3, 4, 0, 1, 2)
    doubled = functional.conv_transpose3d(dense_of(inner, coarse.coordinates, SIZE // 2), kernel, stride=2)
    assert (up(inner, sites) - at(doubled, coordinates)).abs().max() < 1e-4


@pytest.mark.parametrize("kind", [SubmanifoldConv3d, DownConv3d])
def test_gradients_pass_the_check_in_float64(kind: type) -> None:
    torch.manual_seed(4)
    coordinates = active_voxels(4, 0.03, 1)
    conv, sites = kind(2, 3).double(), Sites(coordinates)
    features = torch.randn(len(coordinates), 2, dtype=torch.float64, requires_grad=True)

    def run(features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(conv, {"weight": weight}, (features, sites))

    assert torch.autograd.gradcheck(run, (features, conv.weight.detach().requires_grad_()))


def test_up_convolution_passes_the_check_of_gradients() -> None:
    torch.manual_seed(5)
    sites, conv = Sites(active_voxels(5, 0.03, 1)), UpConv3d(2, 3).double()
    inner = torch.randn(len(sites.coarser[0]), 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda features: conv(features, sites), (inner,))


def test_order_of_rows_and_place_of_the_origin_do_not_matter() -> None:
    torch.manual_seed(6)
    net = SparseUNet(3, 4).eval()
    coordinates = active_voxels(6)
    features = torch.randn(len(coordinates), 3)
    expected = net(features, Sites(coordinates))
    shuffled = torch.randperm(len(coordinates))
    assert (net(features[shuffled], Sites(coordinates[shuffled])) - expected[shuffled]).abs().max() < 1e-4
    moved = coordinates - torch.tensor([0, 1000, 4, 20])  # a multiple of 4: the same octants; all negative
    assert (net(features, Sites(moved)) - expected).abs().max() < 1e-4


def test_batch_items_never_mix() -> None:
    torch.manual_seed(7)
    net = SparseUNet(3, 4).eval()
    coordinates = active_voxels(7, batches=3)
    features = torch.randn(len(coordinates), 3)
    together = net(features, Sites(coordinates))
    for item in range(3):
        rows = coordinates[:, 0] == item
        alone = net(features[rows], Sites(coordinates[rows]))
        assert (alone - together[rows]).abs().max() < 1e-4
    edge = torch.tensor([[0, 0, 0, FARTHEST], [0, 0, 1, -FARTHEST], [0, 1, -FARTHEST, 0], [1, 0, 0, 0]])
    assert (Sites(edge).neighbours == 4).sum() == 4 * 26  # nobody has a neighbour


def test_negative_coordinates_halve_downwards() -> None:
    coarse = Sites(torch.tensor([[0, -1, -2, -3], [0, -2, -1, -4], [0, 0, 0, 0]])).coarser[0]
    assert sorted(coarse.coordinates.tolist()) == [[0, -1, -1, -2], [0, 0, 0, 0]]


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_few_voxels_or_none(count: int, training: bool) -> None:
    net = SparseUNet(3, 4).train(training)
    coordinates = torch.arange(4).repeat(2, 1)[:count]
    coordinates[1:, 1] += 50
    result = net(torch.randn(count, 3), Sites(coordinates))
    assert result.shape == (count, 12)
    assert torch.isfinite(result).all()
    result.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_norm_of_one_voxel_uses_running_statistics() -> None:
    norm = VoxelBatchNorm(3).train()
    norm(torch.randn(100, 3) * 2 + 5)
    one = torch.tensor([[4.0, 5.0, 6.0]])
    assert torch.allclose(norm(one), norm.eval()(one.repeat(2, 1))[:1], atol=1e-6)


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        (torch.zeros(2, 4, dtype=torch.int64), "twice"),
        (torch.zeros(2, 3, dtype=torch.int64), "expected int64"),
        (torch.zeros(1, 4, dtype=torch.int32), "expected int64"),
        (torch.tensor([[0, FARTHEST + 1, 0, 0]]), "within"),
        (torch.tensor([[-1, 0, 0, 0]]), "batch"),
        (torch.tensor([[2**12, 0, 0, 0]]), "batch"),
    ],
)
def test_bad_coordinates(coordinates: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sites(coordinates)


def test_half_precision_of_autocast() -> None:
    torch.manual_seed(8)
    coordinates = active_voxels(8)
    net, features = SparseUNet(3, 4), torch.randn(len(coordinates), 3)
    expected = net(features, Sites(coordinates))
    with torch.autocast("cpu", torch.bfloat16):
        halved = net(features, Sites(coordinates))
    halved.float().sum().backward()
    assert (halved.float() - expected).abs().mean() < 0.05 * expected.abs().mean() + 0.02


def test_chunks_of_voxels_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(9)
    coordinates = active_voxels(9)
    for inputs, outputs in ((3, 5), (5, 3)):
        conv = SubmanifoldConv3d(inputs, outputs)
        features = torch.randn(len(coordinates), inputs, requires_grad=True)
        found = []
        for chunk in (2**14, 7):
            monkeypatch.setattr("showroom_ros.networks.sparse.CHUNK", chunk)
            result = conv(features, Sites(coordinates))
            found.append((result, *torch.autograd.grad(result.square().sum(), (features, conv.weight))))
        for one, other in zip(*found, strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)
