"""The room-layout network: its reference picture, the map to it, its contract, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from showroom_ros.errors import SettingsError
from showroom_ros.networks.room_layout import (
    KIND,
    PRESETS,
    RoomLayoutNet,
    RoomLayoutSettings,
    dense_classes,
    layout_classes,
    layout_shares,
    reference_picture,
    reference_places,
    reference_planes,
)

IDENTITY = torch.tensor([[1.0, 0, 0, 0, 1, 0, 0, 0]])
FRONT, LEFT, RIGHT, FLOOR, CEILING = range(1, 6)


@pytest.fixture
def network() -> RoomLayoutNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return RoomLayoutNet(PRESETS["tiny"]).eval()


def random_thetas(count: int, spread: float = 0.3) -> torch.Tensor:
    return IDENTITY + spread * torch.randn(count, 8, generator=torch.Generator().manual_seed(count))


def class_reference(theta: torch.Tensor, u: float, v: float) -> int:
    """Class of the place (u, v) of an image in [-1, 1]^2: which wall of the box the ray meets."""
    H = torch.cat([theta, torch.ones(1)]).view(3, 3).double()
    x, y, z = (H @ torch.tensor([u, v, 1.0], dtype=torch.float64)).tolist()
    front = 99 / 400 * z
    best = max((front, FRONT), (-x, LEFT), (x, RIGHT), (y, FLOOR), (-y, CEILING))
    return best[1]


def test_the_reference_is_a_box_room() -> None:
    picture = reference_picture()
    assert picture.shape == (400, 400)
    rows, columns = torch.where(picture == FRONT)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (151, 249, 151, 249)
    assert (picture == FRONT).sum() == 99 * 99
    middle = picture[200]
    assert (middle[:151] == LEFT).all()
    assert (middle[250:] == RIGHT).all()
    assert (picture[:151, 200] == CEILING).all()
    assert (picture[250:, 200] == FLOOR).all()


@pytest.mark.parametrize("softness", [1, 31])
def test_planes_are_shares(softness: int) -> None:
    planes = reference_planes(softness)
    torch.testing.assert_close(planes.sum(0), torch.ones(400, 400), atol=1e-4, rtol=0)
    assert planes[FRONT - 1, 200, 200] == 1
    expected = reference_picture()[110:141, 85:116] == LEFT  # around row 125, column 100
    if softness == 31:
        assert planes[LEFT - 1, 125, 100] == pytest.approx(float(expected.float().mean()), abs=1e-5)


def test_classes_equal_what_rays_meet() -> None:
    thetas = random_thetas(12)
    found, wrong = layout_classes(thetas, 24, 32), 0
    for theta, classes in zip(thetas, found, strict=True):
        for row, column in np.ndindex(24, 32):
            u, v = (2 * column + 1) / 32 - 1, (2 * row + 1) / 24 - 1
            wrong += int(classes[row, column]) != class_reference(theta, u, v)
    assert wrong < 0.01 * found.numel()  # at borders, by half a pixel of the reference


def test_behind_its_camera_the_room_goes_on() -> None:
    theta = torch.tensor([[1.0, 0, 0, 0, 1, 0, 2.0, 0]])  # z = 1 + 2 u is negative in the left quarter
    places = reference_places(theta, 4, 64)
    assert torch.isfinite(places).all()
    assert (places.abs() <= 1).all()
    assert (layout_classes(theta, 4, 64)[0, 1:3, :12] == LEFT).all()


def test_shares_are_differentiable_and_agree_with_the_classes() -> None:
    thetas = random_thetas(6).requires_grad_()
    shares = layout_shares(thetas, reference_planes(), 48, 64)
    torch.testing.assert_close(shares.sum(1), torch.ones(6, 48, 64), atol=1e-4, rtol=0)
    agree = shares.argmax(1) + 1 == layout_classes(thetas.detach(), 48, 64)
    assert agree.float().mean() > 0.99
    soft = layout_shares(thetas, reference_planes(31), 48, 64)
    soft[:, FRONT - 1].mean().backward()
    assert (thetas.grad.abs() > 0).all()


def test_gradients_are_those_of_small_changes() -> None:
    planes = reference_planes(31).double()
    theta = random_thetas(1, 0.1).double().requires_grad_()

    def left(values: torch.Tensor) -> torch.Tensor:
        return layout_shares(values, planes, 48, 64)[:, LEFT - 1].mean()

    left(theta).backward()
    for number in range(8):
        step = torch.zeros(1, 8, dtype=torch.float64)
        step[0, number] = 2e-3
        slope = float(left(theta.detach() + step) - left(theta.detach() - step)) / 4e-3
        assert float(theta.grad[0, number]) == pytest.approx(slope, abs=5e-4, rel=0.05)


def test_a_layout_is_found_from_afar_by_its_gradient() -> None:
    true = torch.tensor([[0.5, 0.05, -0.1, 0, 0.4, 0.1, -0.1, 0.05]])
    labels = layout_classes(true, 48, 64).long()
    theta = IDENTITY.clone().requires_grad_()
    optimizer = torch.optim.Adam([theta], 0.02)
    planes = [reference_planes(softness) for softness in (61, 9)]
    for _ in range(80):
        losses = [-(layout_shares(theta, p, 48, 64).gather(1, labels[:, None] - 1) + 0.02).log().mean() for p in planes]
        optimizer.zero_grad()
        sum(losses).backward()
        optimizer.step()
    assert (layout_classes(IDENTITY, 48, 64) == labels).float().mean() < 0.8
    assert (layout_classes(theta.detach(), 48, 64) == labels).float().mean() > 0.96


def test_fresh_weights_give_the_identity_for_images_of_any_size(network: RoomLayoutNet) -> None:
    for height, width in ((24, 32), (61, 45), (300, 400)):
        with torch.no_grad():
            theta, logits = network(torch.rand(2, 3, height, width))
            torch.testing.assert_close(theta, IDENTITY.expand(2, -1))
            assert logits.shape == (2, 5, 6, 8)  # a quarter of what it sees
    assert [int(c) for c in layout_classes(IDENTITY, 400, 400)[0].unique()] == [1, 2, 3, 4, 5]
    assert torch.equal(layout_classes(IDENTITY, 400, 400)[0], reference_picture())


def test_the_small_preset_is_small() -> None:
    count = sum(parameter.numel() for parameter in RoomLayoutNet(PRESETS["small"]).parameters())
    assert 2e5 < count < 1e6


def test_weights_survive_a_file(network: RoomLayoutNet, tmp_path) -> None:
    from showroom_ros.networks.weights import load_weights, save_weights

    torch.nn.init.normal_(network.leave.weight, generator=torch.Generator().manual_seed(1))
    save_weights(tmp_path / "w.safetensors", KIND, PRESETS["tiny"], network.state_dict(), {}, half=False)
    loaded = load_weights(tmp_path / "w.safetensors", "room_layout").network
    image = torch.rand(1, 3, 24, 32)
    with torch.no_grad():
        for found, expected in zip(loaded(image), network(image), strict=True):
            torch.testing.assert_close(found, expected, atol=0, rtol=0)


def test_a_size_that_does_not_fit_is_refused() -> None:
    for settings, message in (
        (RoomLayoutSettings(width=100), "width x height is 100x72, expected multiples of 8"),
        (RoomLayoutSettings(widths=(16,)), r"widths are \(16,\), expected two or more"),
        (RoomLayoutSettings(heads=5), "the last a multiple of 5"),
    ):
        with pytest.raises(SettingsError, match=message):
            RoomLayoutNet(settings)


def test_the_map_is_read_off_the_classes_alone(network: RoomLayoutNet) -> None:
    torch.nn.init.normal_(network.leave.weight, generator=torch.Generator().manual_seed(1))
    network(torch.rand(1, 3, 24, 32)).theta.square().sum().backward()
    assert all(parameter.grad is None for parameter in network.classes.parameters())
    assert network.think[1].weight.grad.abs().sum() > 0


def test_dense_classes_are_the_likeliest_at_any_size() -> None:
    logits = torch.full((1, 5, 6, 8), -4.0)
    logits[:, FLOOR - 1, 3:], logits[:, CEILING - 1, :3] = 4.0, 4.0
    found = dense_classes(logits, 60, 80)
    assert found.dtype == torch.uint8
    assert (found[0, 30:] == FLOOR).all()
    assert (found[0, :30] == CEILING).all()
