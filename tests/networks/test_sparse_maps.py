"""Kernel maps of sparse convolution: made once, right at the ends of the range of coordinates."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from showroom_ros.networks.sparse import FARTHEST, KERNEL_3, DownConv3d, Sites, SubmanifoldConv3d, UpConv3d


def drawn(seed: int, share: float = 0.3) -> tuple[Tensor, Tensor]:
    """Active voxels of two boxes of 8^3 in random order, int64 [V, 4], and float features [V, 3]."""
    generator = torch.Generator().manual_seed(seed)
    coordinates = (torch.rand((2, 8, 8, 8), generator=generator) < share).nonzero()
    coordinates = coordinates[torch.randperm(len(coordinates), generator=generator)]
    return coordinates, torch.randn((len(coordinates), 3), generator=generator)


def test_neighbours_equal_a_dictionary_of_voxels() -> None:
    coordinates = drawn(13, 0.2)[0] - torch.tensor([0, 4, 4, 4])
    rows = {tuple(voxel): row for row, voxel in enumerate(coordinates.tolist())}
    expected = [
        [rows.get((b, x + i, y + j, z + k), len(rows)) for i, j, k in KERNEL_3] for b, x, y, z in coordinates.tolist()
    ]
    assert Sites(coordinates).neighbours.tolist() == expected


def test_maps_of_a_level_are_made_once_for_all_its_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    coordinates, features = drawn(1)
    searches: list[int] = []
    search = torch.searchsorted
    monkeypatch.setattr(torch, "searchsorted", lambda *given: searches.append(1) or search(*given))
    sites = Sites(coordinates)
    first, second, down, up = SubmanifoldConv3d(3, 4), SubmanifoldConv3d(4, 4), DownConv3d(4, 4), UpConv3d(4, 3)
    result = first(features, sites)
    count = len(searches)
    assert 0 < count <= len(KERNEL_3)
    up(down(second(result, sites), sites), sites)
    assert len(searches) == count
    assert sites.coarser[0] is sites.coarser[0]


@pytest.mark.parametrize("shift", [(-8, -8, -8), (-32768, 32760, 0), (FARTHEST - 7, -FARTHEST, 100)])
def test_works_out_to_the_ends_of_the_range(shift: tuple[int, int, int]) -> None:
    coordinates, features = drawn(5)
    even = torch.tensor([0, *(value // 2 * 2 for value in shift)])
    conv, down, up = SubmanifoldConv3d(3, 3), DownConv3d(3, 4), UpConv3d(4, 2)
    results = [up(down(conv(features, at), at), at) for at in (Sites(coordinates), Sites(coordinates + even))]
    torch.testing.assert_close(results[1], results[0], atol=1e-5, rtol=0)


def test_no_neighbour_across_the_ends_of_any_axis() -> None:
    """Keys pack four numbers into one: the farthest voxel of an axis must not touch the nearest of the next."""
    ends = [-FARTHEST, FARTHEST]
    corners = torch.tensor([[item, *place] for item in (0, 1, 2) for place in itertools.product(ends, ends, ends)])
    alone = torch.full((len(corners), 27), len(corners))
    alone[:, 13] = torch.arange(len(corners))
    assert torch.equal(Sites(corners).neighbours, alone)


def test_gradient_of_the_kernel_of_an_up_convolution() -> None:
    sites, conv = Sites(drawn(6, 0.02)[0]), UpConv3d(2, 3).double()
    inner = torch.randn((len(sites.coarser[0]), 2), dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def result(kernel: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(conv, {"weight": kernel}, (inner, sites))
        return out

    assert torch.autograd.gradcheck(result, (conv.weight.detach().requires_grad_(),))
