"""The trunk of MnasNet: known shapes and counts, torchvision's names."""

import pytest
import torch

from showroom_ros.errors import WeightsError
from showroom_ros.networks.mnasnet import MnasNetTrunk, load_torchvision


def test_shapes_are_the_published_ones() -> None:
    maps = MnasNetTrunk().eval()(torch.zeros(1, 3, 480, 640))
    assert [tuple(level.shape) for level in maps] == [(1, 24, 120, 160), (1, 40, 60, 80), (1, 80, 30, 40)]


def test_odd_sizes_round_up() -> None:
    maps = MnasNetTrunk().eval()(torch.zeros(1, 3, 50, 70))
    assert [tuple(level.shape[2:]) for level in maps] == [(13, 18), (7, 9), (4, 5)]


def inverted_residual_parameters(inputs: int, outputs: int, kernel: int, expansion: int) -> int:
    inner = inputs * expansion
    return inputs * inner + inner * kernel**2 + inner * outputs + 2 * (2 * inner + outputs)


def test_parameter_count_is_that_of_the_paper() -> None:
    stem = 3 * 32 * 9 + 64 + 32 * 9 + 64 + 32 * 16 + 32
    stages = sum(
        inverted_residual_parameters(inputs, outputs, kernel, expansion)
        + 2 * inverted_residual_parameters(outputs, outputs, kernel, expansion)
        for inputs, outputs, kernel, expansion in [(16, 24, 3, 3), (24, 40, 5, 3), (40, 80, 5, 6)]
    )
    assert sum(parameter.numel() for parameter in MnasNetTrunk().parameters()) == stem + stages == 264_072


def test_loads_what_torchvision_saves_and_ignores_what_lies_behind() -> None:
    torch.manual_seed(0)
    saved, fresh = MnasNetTrunk().eval(), MnasNetTrunk().eval()
    state = {**saved.state_dict(), "layers.11.0.layers.0.weight": torch.zeros(1), "classifier.1.bias": torch.zeros(2)}
    load_torchvision(fresh, state)
    images = torch.randn(1, 3, 64, 64)
    assert all(torch.equal(one, other) for one, other in zip(saved(images), fresh(images), strict=True))
    names = set(fresh.state_dict())
    assert {"layers.0.weight", "layers.8.0.layers.3.weight", "layers.10.2.layers.7.running_var"} <= names


def test_refuses_another_networks_weights() -> None:
    state = MnasNetTrunk().state_dict()
    with pytest.raises(WeightsError, match=r"lacks 'layers\.9\.1\.layers\.0\.weight'"):
        load_torchvision(MnasNetTrunk(), {n: v for n, v in state.items() if n != "layers.9.1.layers.0.weight"})
    with pytest.raises(WeightsError, match=r"\(8, 3, 3, 3\), expected \(32, 3, 3, 3\)"):
        load_torchvision(MnasNetTrunk(), {**state, "layers.0.weight": torch.zeros(8, 3, 3, 3)})


def test_equals_torchvision_where_it_is_installed() -> None:
    models = pytest.importorskip("torchvision.models")
    reference, trunk = models.mnasnet1_0().eval(), MnasNetTrunk().eval()
    load_torchvision(trunk, reference.state_dict())
    images = torch.randn(1, 3, 96, 128)
    fine, medium, coarse = trunk(images)
    expected = reference.layers[:9](images)
    assert torch.allclose(fine, expected, atol=1e-5)
    expected = reference.layers[9](expected)
    assert torch.allclose(medium, expected, atol=1e-5)
    assert torch.allclose(coarse, reference.layers[10](expected), atol=1e-5)
