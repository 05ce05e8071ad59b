"""Colours for the unknown part of an image: a gated U-Net that corrects a smooth fill.

The smooth fill averages what is known over ever larger squares and comes back from coarse to fine (pull-push, Gortler
et al., The Lumigraph, 1996), smoothed on its way; the network adds to it what it learned, at each resolution its part
(Denton et al., Laplacian pyramids, 2015); with fresh weights the fill itself comes out. Convolutions are gated by a
channel of their own (Yu et al., 2019; one gate for all channels: Yi et al., 2020), which lets them pass over what is
unknown. At 1/32 of the image every place attends to every other, as far as large holes need (Vaswani et al., 2017; LaMa
does it with Fourier convolutions, Suvorov et al., 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showroom_ros.errors import SettingsError
from showroom_ros.networks.kind import NetworkKind
from showroom_ros.networks.layers import norm

COARSE_PX, COARSE_SMOOTHINGS, FINE_SMOOTHINGS = 64, 16, 2
"""Images up to ``COARSE_PX`` wide and high are smoothed more often; there it costs nothing."""
LEAK = 0.2
"""Slope of leaky ReLUs below zero."""
RESIDUAL_GAIN = 0.1
"""Of the layers that speak last: Adam moves all their weights at once, and their sum by many times as much."""


@dataclass(frozen=True)
class InpaintingSettings:
    """Everything that shapes the network.

    Attributes:
        widths: channels at 1/2, 1/4... of the image; multiples of 8 from 16 on.
        blocks: residual blocks at each resolution on the way down, and one fewer, at least one, on the way up.
        attention: blocks of attention at the coarsest resolution.
        heads: of the attention; the last width is a multiple.
    """

    widths: tuple[int, ...] = (32, 64, 96, 128, 192)
    blocks: int = 1
    attention: int = 3
    heads: int = 4

    @property
    def stride(self) -> int:
        """Of the coarsest resolution in pixels; images of any size are padded to multiples of it."""
        return 2 ** len(self.widths)


PRESETS = {
    "tiny": InpaintingSettings((8, 16, 16), 1, 1, 2),
    "small": InpaintingSettings(),
}


class InpaintingNet(nn.Module):
    """Fills what is unknown; see the module's text."""

    def __init__(self, settings: InpaintingSettings) -> None:
        """Fresh weights; with them the result is ``smooth_fill``.

        Raises:
            SettingsError: the last width is no multiple of the heads.
        """
        super().__init__()
        widths, last = settings.widths, settings.widths[-1]
        if last % settings.heads:
            raise SettingsError(f"the last of widths is {last}, expected a multiple of heads = {settings.heads}")
        self.settings = settings
        self.enter = nn.Sequential(GatedConv(4 * 4, widths[0]), *_residuals(widths[0], settings.blocks))
        self.down = nn.ModuleList(
            nn.Sequential(GatedConv(fine, coarse, 2), *_residuals(coarse, settings.blocks))
            for fine, coarse in pairwise(widths)
        )
        self.everywhere = nn.Sequential(*(AttentionBlock(last, settings.heads) for _ in range(settings.attention)))
        up = list(pairwise(reversed(widths)))
        self.narrow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for coarse, fine in up)
        self.up = nn.ModuleList(
            nn.Sequential(GatedConv(fine, fine), *_residuals(fine, max(1, settings.blocks - 1))) for _, fine in up
        )
        self.coarse_residuals = nn.ModuleList(_zero(nn.Conv2d(width, 3, 1)) for width in widths[:0:-1])
        self.leave = _zero(nn.Conv2d(widths[0], 3 * 4, 3, 1, 1))

    def forward(self, image: Tensor, known: Tensor) -> Tensor:
        """The image with what is unknown filled; known pixels come back as they are.

        Args:
            image: float [B, 3, H, W], RGB in 0..1; anything where not known. Any size.
            known: bool [B, 1, H, W].

        Returns:
            float [B, 3, H, W]; what is filled may lie a little outside 0..1.
        """
        height, width = image.shape[-2:]
        fill = smooth_fill(image, known)
        seen = torch.cat([fill * 2 - 1, known.to(fill.dtype)], 1)
        # the rim counts as unknown
        seen = F.pad(seen, (0, -width % self.settings.stride, 0, -height % self.settings.stride))
        residual = self._residual(F.pixel_unshuffle(seen, 2))[..., :height, :width]
        return torch.where(known, image, fill + residual)

    def _residual(self, x: Tensor) -> Tensor:
        """What is to be added to the fill, [B, 3, 2h, 2w], of float [B, 16, h, w]; each resolution adds its part."""
        kept = [self.enter(x)]
        for down in self.down:
            kept.append(down(kept[-1]))
        x = self.everywhere(kept.pop())
        residual = x.new_zeros(x.shape[0], 3, *x.shape[-2:])
        for narrow, up, coarse in zip(self.narrow, self.up, self.coarse_residuals, strict=True):
            residual = _doubled(residual + RESIDUAL_GAIN * coarse(x))
            x = up(kept.pop() + F.interpolate(narrow(x), scale_factor=2, mode="nearest"))
        return _doubled(residual) + F.pixel_shuffle(RESIDUAL_GAIN * self.leave(x), 2)


class GatedConv(nn.Module):
    """3x3 convolution, leaky ReLU, times a gate in 0..2 that the same input decides on.

    There is no normalisation: it would lose how light an image is and how much contrast it has.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        """Channels in and out; ``stride`` halves the image where it is 2. Gates start near 1."""
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs + 1, 3, stride, 1)
        nn.init.kaiming_normal_(self.conv.weight, LEAK)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.conv.weight[-1].mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, inputs, H, W] to [B, outputs, H, W]."""
        y = self.conv(x)
        return F.leaky_relu(y[:, :-1], LEAK) * (2 * y[:, -1:].sigmoid())


class GatedResidual(nn.Module):
    """A gated convolution and a plain one beside the identity; starts as the identity."""

    def __init__(self, channels: int) -> None:
        """Channels in and out."""
        super().__init__()
        self.first = GatedConv(channels, channels)
        self.second = _zero(nn.Conv2d(channels, channels, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, C, H, W] to the same shape."""
        return x + self.second(self.first(x))


class AttentionBlock(nn.Module):
    """Every place looks at every other, then thinks for itself; starts as the identity.

    A convolution per channel tells places apart before they look (Chu et al., conditional positions, 2021): unlike
    a table of positions it fits any size.
    """

    def __init__(self, channels: int, heads: int) -> None:
        """``channels`` are shared out to ``heads``."""
        super().__init__()
        self.heads = heads
        self.place = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)
        self.look_norm, self.think_norm = norm(channels), norm(channels)
        self.look_in, self.look_out = nn.Conv2d(channels, 3 * channels, 1), _zero(nn.Conv2d(channels, channels, 1))
        self.think = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1), nn.GELU(), _zero(nn.Conv2d(2 * channels, channels, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, C, h, w] to the same shape."""
        batch, channels, height, width = x.shape
        y = self.look_norm(x)
        asked = self.look_in(y + self.place(y)).view(batch, 3, self.heads, channels // self.heads, height * width)
        query, key, value = asked.transpose(-1, -2).unbind(1)
        found = F.scaled_dot_product_attention(query, key, value)
        x = x + self.look_out(found.transpose(-1, -2).reshape(batch, channels, height, width))
        return x + self.think(self.think_norm(x))


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


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with weights that give zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _residuals(channels: int, count: int) -> list[GatedResidual]:
    return [GatedResidual(channels) for _ in range(count)]


KIND = NetworkKind("inpainting", 1, InpaintingSettings, PRESETS, InpaintingNet)
