"""The network that fills holes: where it starts from, what it keeps, which sizes it takes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from showroom_ros.errors import SettingsError
from showroom_ros.networks.inpainting import (
    COARSE_SMOOTHINGS,
    DIRECTIONS,
    FILL_BIAS,
    KIND,
    NEARNESS,
    PRESETS,
    ColourAttention,
    InpaintingNet,
    InpaintingSettings,
    first_known,
    smooth_fill,
)


def fresh(preset: str = "tiny", *, trained: bool = False) -> InpaintingNet:
    """A network; where ``trained`` with weights that say something."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = InpaintingNet(PRESETS[preset])
        if trained:
            for parameter in network.parameters():
                parameter.data += 0.05 * torch.randn_like(parameter)
    return network.eval()


def image_with_hole(height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    known = torch.ones(1, 1, height, width, dtype=torch.bool)
    known[..., height // 4 :, width // 3 :] = False
    return torch.rand(1, 3, height, width, generator=generator), known


def pull_push_by_loops(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """One channel pixel by pixel: up by the weights of bilinear doubling, smoothed as often as small images are."""
    height, width = image.shape
    if max(height, width) == 1:
        return image * known
    rows, columns = (height + 1) // 2, (width + 1) // 2
    color, weight = np.zeros((rows, columns)), np.zeros((rows, columns))
    for row in range(rows):
        for column in range(columns):
            part = slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2)
            total = known[part].sum()
            if total > 0:
                color[row, column] = (image[part] * known[part]).sum() / total
            weight[row, column] = min(1.0, total)
    coarse = pull_push_by_loops(color, weight)
    result = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            value = 0.0
            for y, share_y in ((row // 2, 0.75), (row // 2 + (1 if row % 2 else -1), 0.25)):
                for x, share_x in ((column // 2, 0.75), (column // 2 + (1 if column % 2 else -1), 0.25)):
                    value += share_y * share_x * coarse[np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)]
            result[row, column] = known[row, column] * image[row, column] + (1 - known[row, column]) * value
    for _ in range(COARSE_SMOOTHINGS):
        before = np.pad(result, 1, mode="edge")
        for row in range(height):
            for column in range(width):
                mean = before[row : row + 3, column : column + 3].mean()
                result[row, column] = known[row, column] * image[row, column] + (1 - known[row, column]) * mean
    return result


@pytest.mark.parametrize("size", [(12, 17), (1, 9), (5, 1), (32, 32)])
def test_the_smooth_fill_is_that_of_the_loops(size):
    image, known = image_with_hole(*size)
    known &= torch.rand(known.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    known[..., 0, 0] = True
    expected = [pull_push_by_loops(image[0, c].numpy(), known[0, 0].numpy().astype(float)) for c in range(3)]
    np.testing.assert_allclose(smooth_fill(image, known)[0], expected, atol=1e-5)


def test_the_smooth_fill_stays_within_the_known_colours_and_does_not_look_into_the_hole():
    image, known = image_with_hole(40, 56)
    image = image * 0.5 + 0.2
    fill = smooth_fill(image, known)
    assert torch.equal(fill[:, :, ~known[0, 0]].isfinite(), torch.ones_like(fill[:, :, ~known[0, 0]], dtype=torch.bool))
    assert float(fill.min()) >= 0.2 - 1e-6
    assert float(fill.max()) <= 0.7 + 1e-6
    garbage = torch.where(known, image, torch.nan)
    assert torch.equal(smooth_fill(garbage, known), fill)
    assert torch.equal(smooth_fill(image, torch.zeros_like(known)), torch.zeros_like(image))


def test_between_two_colours_the_smooth_fill_is_their_gradient():
    image, known = torch.zeros(1, 3, 48, 64), torch.zeros(1, 1, 48, 64, dtype=torch.bool)
    known[..., :8] = known[..., -8:] = True
    image[..., -8:] = 1
    expected = ((torch.arange(64.0) - 7) / 49).clamp(0, 1).expand(1, 3, 48, 64)
    assert torch.allclose(smooth_fill(image, known), expected, atol=0.05)


@pytest.mark.parametrize("size", [(48, 64), (37, 51), (3, 2), (1, 1), (70, 301)])
def test_fresh_weights_give_little_but_the_smooth_fill_at_any_size(size):
    image, known = image_with_hole(*size)
    image = image * 0.5 + 0.2  # colours of known pixels are no farther apart than this
    others = len(DIRECTIONS) + len(NEARNESS)
    share = others / (others + math.exp(FILL_BIAS))
    with torch.no_grad():
        assert torch.allclose(fresh()(image, known), smooth_fill(image, known), atol=0.5 * share)
    assert share < 0.05


def test_without_anything_known_it_is_black():
    image, known = image_with_hole(37, 51)
    with torch.no_grad():
        assert torch.equal(fresh()(image, torch.zeros_like(known)), torch.zeros_like(image))


def test_the_first_known_colours_are_those_of_walks():
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(1, 3, 9, 13, generator=generator)
    known = torch.rand(1, 1, 9, 13, generator=generator) < 0.15
    found, near = first_known(colours, known.float().repeat_interleave(2, 2).repeat_interleave(2, 3))
    for number, (right, down) in enumerate(DIRECTIONS):
        for row in range(9):
            for column in range(13):
                y, x, steps = row, column, 0
                while 0 <= y < 9 and 0 <= x < 13 and not known[0, 0, y, x]:
                    y, x, steps = y + down, x + right, steps + 1
                here = found[0, number, :, row, column]
                if not (0 <= y < 9 and 0 <= x < 13):
                    assert float(near[0, number, row, column]) == 0
                    assert torch.equal(here, colours[0, :, row, column])
                    continue
                rows, columns = slice(max(0, y - 1), y + 2), slice(max(0, x - 1), x + 2)
                mean = colours[0, :, rows, columns][:, known[0, 0, rows, columns]].mean(1)
                assert torch.allclose(here, mean, atol=1e-5)
                expected = 1 / (1 + steps * math.hypot(right, down) / 3)
                assert float(near[0, number, row, column]) == pytest.approx(expected, rel=1e-5)


def test_heads_find_the_colours_nearby_each_along_its_axis():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attention = ColourAttention(4, 4)
    torch.nn.init.zeros_(attention.query.weight)
    torch.nn.init.zeros_(attention.query.bias)
    fill, known = torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    fill[:, 0, :8, 8:], fill[:, 1, 8:, :8] = 1, 1  # red above, green at the left; the rest is not known
    known[..., :8, 8:] = 1
    known[..., 8:, :8] = 1
    with torch.no_grad():
        found = attention(torch.zeros(1, 4, 8, 8), fill, known)[0, :, :, 5, 5]  # as far from both
    assert torch.allclose(found.sum(1), torch.ones(len(NEARNESS)), atol=1e-5)
    for colour, (across, down) in zip(found.tolist(), NEARNESS, strict=True):
        share = 0.5 if across == down else float(across > down)
        assert colour == pytest.approx([share, 1 - share, 0], abs=0.01)


@pytest.mark.parametrize("size", [(48, 64), (37, 51), (3, 2), (150, 250)])
def test_what_is_known_comes_back_bit_for_bit_and_the_hole_is_not_looked_into(size):
    image, known = image_with_hole(*size)
    network = fresh(trained=True)
    with torch.no_grad():
        filled = network(image, known)
        other = network(torch.where(known, image, torch.nan), known)
    assert torch.equal(filled[known.expand_as(filled)], image[known.expand_as(image)])
    assert torch.equal(filled, other)
    assert not torch.allclose(filled, smooth_fill(image, known), atol=1e-3)


def test_a_hole_sees_the_other_end_of_the_image():
    image, known = image_with_hole(64, 160)
    known[:] = True
    known[..., 120:] = False
    changed = image.clone()
    changed[..., :8] = 1 - changed[..., :8]
    network = fresh(trained=True)
    with torch.no_grad():
        before, after = network(image, known), network(changed, known)
    without = smooth_fill(changed, known) - smooth_fill(image, known)
    difference = (after - before - without)[..., 120:].abs()
    assert float(difference.max()) > 1e-4


def test_images_of_a_batch_do_not_see_each_other():
    one, known = image_with_hole(40, 48)
    two, _ = image_with_hole(40, 48, seed=3)
    network = fresh(trained=True)
    with torch.no_grad():
        both = network(torch.cat([one, two]), known.expand(2, -1, -1, -1))
        assert torch.allclose(both[:1], network(one, known), atol=1e-4)


def test_small_has_the_size_it_should_and_all_of_it_learns():
    assert KIND.name == "inpainting"
    network = fresh("small")
    assert 1e6 < sum(parameter.numel() for parameter in network.parameters()) < 4e6
    network = fresh(trained=True)
    network(*image_with_hole(32, 32)).square().sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert silent == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (InpaintingSettings((8, 8, 8, 10), heads=4), "the last of widths is 10, expected a multiple of heads = 4"),
        (InpaintingSettings((8, 10)), "widths has 2 numbers, expected 4"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(SettingsError, match=message):
        InpaintingNet(settings)
