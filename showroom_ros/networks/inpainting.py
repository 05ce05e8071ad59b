"""Colours for the unknown part of an image: a mixture of a smooth fill and of colours that are known elsewhere.

The smooth fill averages what is known over ever larger squares and comes back from coarse to fine (pull-push, Gortler
et al., The Lumigraph, 1996), smoothed on its way. What it cannot do is to carry an edge on into a hole. So each pixel
chooses, by a softmax, among the fill, the first known colours along 16 directions (a straight edge is continued by the
directions that run along it), and colours of known cells that attention finds, its queries and keys being features of a
U-Net, its values the known colours themselves (Vaswani et al., 2017; contextual attention: Yu et al., 2018). Each
resolution adds a small residual (Denton et al., Laplacian pyramids, 2015). With fresh weights the fill has all but a
twentieth of the mixture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showroom_ros.errors import SettingsError
from showroom_ros.networks.kind import NetworkKind
from showroom_ros.networks.layers import ConvBlock, Residual, zeroed
from showroom_ros.networks.transformer import Block

COARSE_PX, COARSE_SMOOTHINGS, FINE_SMOOTHINGS = 64, 16, 2
"""Images up to ``COARSE_PX`` wide and high are smoothed more often; there it costs nothing."""
FILL_BIAS = 6.0
"""Of the fill's logit in fresh weights; the others are 0."""
RESIDUAL_GAIN = 0.2
"""Of what is added to the mixture: Adam moves all weights of a layer at once, and their sum by many times as much."""
CELL = 8
"""Pixels along the side of the cells whose colours attention finds."""
STRIDE = 16
"""Images of any size are padded to multiples of this many pixels."""

_HALF = [(1, 0), (0, 1), (1, 1), (-1, 1), (2, 1), (-2, 1), (1, 2), (-1, 2)]
DIRECTIONS = (*_HALF, *((-x, -y) for x, y in _HALF))
"""Steps to the right and down, in pixels of the image at 1/2."""
NEARNESS = (32.0, 32.0), (12.0, 12.0), (6.0, 48.0), (48.0, 6.0)
"""Per head: how the logits fall with a distance along x and y of the longer side of the image."""

_REACH = 3.0
_WAVES = 4
_PLACES = 2 + 4 * _WAVES


@dataclass(frozen=True)
class InpaintingSettings:
    """Everything that shapes the network.

    Attributes:
        widths: channels at 1/2, 1/4, 1/8 and 1/16 of the image.
        blocks: transformer blocks at 1/16.
        heads: of these blocks; the last width is a multiple.
        key_channels: of queries and keys of each of the heads that find colours.
        working_px: of larger images the network sees a smaller one, its longer side this many pixels; what it changes
            of the fill is brought back to full size. What is in a hole is known only coarsely anyway.
    """

    widths: tuple[int, int, int, int] = (32, 48, 80, 128)
    blocks: int = 2
    heads: int = 4
    key_channels: int = 16
    working_px: int = 192


PRESETS = {
    "tiny": InpaintingSettings((8, 8, 16, 16), 1, 2, 4),
    "small": InpaintingSettings(),
}


class InpaintingNet(nn.Module):
    """Fills what is unknown; see the module's text."""

    def __init__(self, settings: InpaintingSettings) -> None:
        """Fresh weights; with them the result is nearly ``smooth_fill``.

        Raises:
            SettingsError: there are not four widths, or the last is no multiple of the heads.
        """
        super().__init__()
        if len(settings.widths) != 4:
            raise SettingsError(f"widths has {len(settings.widths)} numbers, expected 4")
        half, quarter, eighth, last = settings.widths
        if last % settings.heads:
            raise SettingsError(f"the last of widths is {last}, expected a multiple of heads = {settings.heads}")
        self.settings = settings
        self.told = nn.Conv2d(4 * len(DIRECTIONS), half // 2, 1)
        self.enter = ConvBlock(4 * 4 + half // 2, half)
        self.down_quarter = nn.Sequential(ConvBlock(half, quarter, 2), Residual(quarter))
        self.down_eighth = nn.Sequential(ConvBlock(quarter, eighth, 2), Residual(eighth))
        self.down_last = nn.Sequential(ConvBlock(eighth, last, 2), Residual(last))
        self.place = nn.Linear(_PLACES, last)
        self.blocks = nn.ModuleList(Block(last, settings.heads, 3.0, 1e-6) for _ in range(settings.blocks))
        self.up_eighth = Up(last, eighth)
        self.attention = ColourAttention(eighth, settings.key_channels)
        self.found = nn.Conv2d(3 * len(NEARNESS) + 3, quarter, 1)
        self.up_quarter = Up(eighth, quarter)
        self.up_half = Up(quarter, half)
        self.coarse = nn.ModuleList(zeroed(nn.Conv2d(width, 3, 1)) for width in (last, eighth, quarter))
        self.leave = nn.Conv2d(half, 1 + len(DIRECTIONS) + len(NEARNESS) + 3, 1)
        nn.init.zeros_(self.leave.weight)
        with torch.no_grad():
            start = [FILL_BIAS] + [0.0] * (self.leave.out_channels - 1)
            self.leave.bias.copy_(torch.tensor(start))  # type: ignore[union-attr]

    def forward(self, image: Tensor, known: Tensor) -> Tensor:
        """The image with what is unknown filled; known pixels come back as they are.

        Args:
            image: float [B, 3, H, W], RGB in 0..1; anything where not known. Any size.
            known: bool [B, 1, H, W].

        Returns:
            float [B, 3, H, W]; what is filled may lie a little outside 0..1.
        """
        return self.corrected(image, known, smooth_fill(image, known))

    def corrected(self, image: Tensor, known: Tensor, fill: Tensor) -> Tensor:
        """As ``forward``, given ``smooth_fill`` of the same [B, 3, H, W]."""
        height, width = image.shape[-2:]
        shrink = self.settings.working_px / max(height, width)
        if shrink >= 1:
            return torch.where(known, image, fill + self._correction(fill, known.to(fill.dtype)))
        size = max(1, round(height * shrink)), max(1, round(width * shrink))
        small = F.interpolate(torch.cat([fill, known.to(fill.dtype)], 1), size, mode="area")
        correction = self._correction(small[:, :3], (small[:, 3:] > 0.5).to(fill.dtype))
        return torch.where(known, image, fill + _smoothly(correction, fill))

    def _correction(self, fill: Tensor, known: Tensor) -> Tensor:
        """What is added to the fill [B, 3, H, W], 0 where ``known`` [B, 1, H, W] is 1."""
        height, width = fill.shape[-2:]
        rim = (0, -width % STRIDE, 0, -height % STRIDE)
        mixed = self._mixed(F.pad(fill, rim, mode="replicate"), F.pad(known, rim))  # a rim is unknown
        return (mixed[..., :height, :width] - fill) * (1 - known)

    def _mixed(self, fill: Tensor, known: Tensor) -> Tensor:
        """Float [B, 3, H, W] of the fill and ``known`` [B, 1, H, W], 1 or 0; sides are multiples of ``STRIDE``."""
        fine = F.avg_pool2d(fill, 2)
        rays, nearness = first_known(fine, known)
        told = self.told(torch.cat([3 * (rays - fine[:, None]).flatten(1, 2), nearness], 1))
        x1 = self.enter(torch.cat([F.pixel_unshuffle(torch.cat([fill * 4 - 2, known], 1), 2), told], 1))
        x2 = self.down_quarter(x1)
        x3 = self.down_eighth(x2)
        x = self._context(self.down_last(x3))
        y = self.up_eighth(x, x3)
        found = self.attention(y, fill, known).flatten(1, 2)
        there = self.found(torch.cat([_smoothly(found, x2), F.avg_pool2d(fill, 4)], 1))
        z = self.up_quarter(y, x2 + there)
        out = self.leave(self.up_half(z, x1)).float()
        logits, residual = out[:, :-3], out[:, -3:]
        colours = torch.cat([rays, _smoothly(found, out).unflatten(1, (-1, 3))], 1)
        share = logits.softmax(1)
        for layer, features in zip(self.coarse, (x, y, z), strict=True):
            residual = residual + _smoothly(layer(features), out)
        others = (share[:, 1:, None] * colours).sum(1) + RESIDUAL_GAIN * residual
        both = F.interpolate(torch.cat([share[:, :1], others], 1), scale_factor=2, mode="bilinear", align_corners=False)
        return both[:, :1] * fill + both[:, 1:]

    def _context(self, x: Tensor) -> Tensor:
        """Features [B, C, h, w] after every place has looked at every other."""
        tokens = x.flatten(2).transpose(1, 2) + self.place(places(x)[1].flatten(1).T)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens.transpose(1, 2).unflatten(-1, x.shape[-2:])


class Up(nn.Module):
    """To twice the size, together with the finer features that were kept."""

    def __init__(self, coarse: int, fine: int) -> None:
        """Channels of both."""
        super().__init__()
        self.narrow = nn.Conv2d(coarse, fine, 1)
        self.join = nn.Sequential(ConvBlock(fine, fine), Residual(fine))

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        """Float [B, coarse, h, w] and [B, fine, 2h, 2w] to the shape of the latter."""
        return self.join(kept + F.interpolate(self.narrow(x), scale_factor=2, mode="nearest"))


class ColourAttention(nn.Module):
    """Gives every cell colours of known cells: attention whose values are the colours themselves."""

    nearness: Tensor

    def __init__(self, inputs: int, channels: int) -> None:
        """Channels of the features queries and keys are made of, and of a query."""
        super().__init__()
        heads = len(NEARNESS)
        self.query = nn.Conv2d(inputs + _PLACES, heads * channels, 1)
        self.key = nn.Conv2d(inputs + _PLACES, heads * channels, 1)
        self.register_buffer("nearness", torch.tensor(NEARNESS), persistent=False)

    def forward(self, x: Tensor, fill: Tensor, known: Tensor) -> Tensor:
        """Colours [B, heads, 3, h, w].

        Args:
            x: float [B, C, h, w].
            fill: float [B, 3, H, W], ``CELL`` times as large.
            known: float [B, 1, H, W], 1 or 0.
        """
        place, waves = places(x)
        x = torch.cat([x, waves.to(x.dtype).expand(len(x), -1, -1, -1)], 1)
        query, key = (_per_head(layer(x), len(self.nearness)) for layer in (self.query, self.key))
        share = F.avg_pool2d(known, CELL)
        colours = F.avg_pool2d(fill * known, CELL) / share.clamp(min=1e-6)
        place = place.flatten(1).T
        apart = (place[:, None] - place[None]) * self.nearness[:, None, None]
        share = share.flatten(2)[:, None]
        prior = torch.where(share > 0, share.clamp(min=1e-4).log(), -1e4) - apart.square().sum(-1).sqrt()
        logits = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1]) + prior
        found = logits.softmax(-1).to(colours.dtype) @ colours.flatten(2).transpose(1, 2)[:, None]
        return found.transpose(2, 3).unflatten(-1, x.shape[-2:])


@torch.no_grad()
def first_known(colours: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """The first known colours along ``DIRECTIONS``, which are found by doubling the way that was looked along.

    Args:
        colours: float [B, 3, h, w], an image at 1/2; anything where not known.
        known: float [B, 1, 2h, 2w], 1 or 0.

    Returns:
        Colours [B, 16, 3, h, w], ``colours`` where nothing is known in that direction, and how near they are [B, 16,
        h, w], 1 at once, 0 nowhere.
    """
    valid = (F.avg_pool2d(known, 2) > 0.5).to(colours.dtype)
    sums = F.avg_pool2d(F.pad(torch.cat([torch.where(valid > 0, colours, 0), valid], 1), (1, 1, 1, 1)), 3, 1)
    start = torch.cat([valid * sums[:, :3] / sums[:, 3:].clamp(min=1e-6), valid, torch.zeros_like(valid)], 1)
    found = []
    for right, down in DIRECTIONS:
        seen, steps = start, 1  # colour, whether there is one, after how many steps
        while steps * abs(right) < colours.shape[-1] and steps * abs(down) < colours.shape[-2]:
            ahead = F.pad(seen, (-steps * right, steps * right, -steps * down, steps * down))
            ahead[:, 4:] += steps * ahead[:, 3:4]
            seen = torch.where(seen[:, 3:4] > 0, seen, ahead)
            steps *= 2
        near = seen[:, 3:4] / (1 + seen[:, 4:] * math.hypot(right, down) / _REACH)
        found.append(torch.cat([torch.where(near > 0, seen[:, :3], colours), near], 1))
    together = torch.stack(found, 1)
    return together[:, :, :3], together[:, :, 3]


def places(x: Tensor) -> tuple[Tensor, Tensor]:
    """Where the places of [B, C, h, w] are: x and y in sides of the longer [2, h, w], and waves of these [18, h, w]."""
    rows, columns = x.shape[-2:]
    longer = max(rows, columns)
    across = (torch.arange(columns, device=x.device, dtype=torch.float32) + 0.5) / longer
    down = (torch.arange(rows, device=x.device, dtype=torch.float32) + 0.5) / longer
    place = torch.stack([across.expand(rows, columns), down[:, None].expand(rows, columns)])
    angles = torch.cat([place * math.pi * 2**octave for octave in range(_WAVES)])
    return place, torch.cat([2 * place - 1, angles.sin(), angles.cos()])


def smooth_fill(image: Tensor, known: Tensor) -> Tensor:
    """Pull-push (Gortler et al., 1996), smoothed at each resolution: nearly the solution of Laplace's equation.

    Args:
        image: float [B, 3, H, W]; anything where not known.
        known: bool [B, 1, H, W].

    Returns:
        float [B, 3, H, W]: ``image`` where known; zero where nothing of an image is known.
    """
    levels = [(torch.where(known, image, 0), known.to(image.dtype))]
    while max(levels[-1][0].shape[-2:]) > 1:
        levels.append(_halved(*levels[-1]))
    filled = levels.pop()[0]
    while levels:
        colour, weight = levels.pop()
        height, width = colour.shape[-2:]
        coarse = F.interpolate(filled, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]
        filled = colour * weight + (1 - weight) * coarse
        for _ in range(COARSE_SMOOTHINGS if max(height, width) <= COARSE_PX else FINE_SMOOTHINGS):
            around = F.avg_pool2d(F.pad(filled, (1, 1, 1, 1), mode="replicate"), 3, 1)
            filled = colour * weight + (1 - weight) * around
    return filled


def _halved(colour: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted means of 2x2 pixels, and the sum of their weights, at most 1."""
    height, width = colour.shape[-2:]
    weighted = F.pad(torch.cat([colour * weight, weight], 1), (0, width % 2, 0, height % 2))
    sums = F.avg_pool2d(weighted, 2, divisor_override=1)
    total = sums[:, -1:]
    return sums[:, :-1] / torch.where(total > 0, total, 1), total.clamp(max=1)


def _per_head(x: Tensor, heads: int) -> Tensor:
    """[B, heads * C, h, w] as [B, heads, h * w, C]."""
    return x.flatten(2).unflatten(1, (heads, -1)).transpose(2, 3)


def _smoothly(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)


KIND = NetworkKind("inpainting", 2, InpaintingSettings, PRESETS, InpaintingNet)
