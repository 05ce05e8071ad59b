"""Building blocks of networks that see images and cost volumes."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def norm(channels: int) -> nn.GroupNorm:
    """Group normalisation: the same for one image as for many, and blind to exposure."""
    return nn.GroupNorm(max(1, channels // 8) if channels % max(1, channels // 8) == 0 else 1, channels)


class ConvBlock(nn.Sequential):
    """3x3 convolution, group normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        """Channels in and out; ``stride`` halves the image where it is 2."""
        super().__init__(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), norm(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity (He et al., 2016)."""

    def __init__(self, channels: int) -> None:
        """Starts as the identity."""
        super().__init__()
        self.first = ConvBlock(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), norm(channels))
        nn.init.zeros_(self.second[1].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, C, H, W] to the same shape."""
        return F.relu(x + self.second(self.first(x)))


class ImageEncoder(nn.Module):
    """A small residual network with a feature pyramid (Lin et al., 2017)."""

    def __init__(self, widths: tuple[int, int, int, int], match_channels: int) -> None:
        """Channels at 1/2, 1/4, 1/8 and 1/16 of the image, and of the features that are compared."""
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.stem = nn.Sequential(ConvBlock(3, half, 2), ConvBlock(half, half))
        self.quarter = nn.Sequential(ConvBlock(half, quarter, 2), Residual(quarter), Residual(quarter))
        self.eighth = nn.Sequential(ConvBlock(quarter, eighth, 2), Residual(eighth), Residual(eighth))
        self.sixteenth = nn.Sequential(ConvBlock(eighth, sixteenth, 2), Residual(sixteenth), Residual(sixteenth))
        self.from_sixteenth = nn.Conv2d(sixteenth, eighth, 1)
        self.from_eighth = nn.Conv2d(eighth, quarter, 1)
        self.from_quarter = nn.Conv2d(quarter, half, 1)
        self.coarse = nn.Sequential(ConvBlock(eighth, eighth), nn.Conv2d(eighth, match_channels, 1))
        self.match = nn.Sequential(ConvBlock(half, half), nn.Conv2d(half, match_channels, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Features at 1/8 and 1/2 to compare, and the pyramid at 1/4, 1/8 and 1/16, of float [B, 3, H, W] in 0..1."""
        half = self.stem(images * 4 - 2)
        quarter = self.quarter(half)
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        eighth = eighth + _doubled(self.from_sixteenth(sixteenth))
        quarter = quarter + _doubled(self.from_eighth(eighth))
        half = half + _doubled(self.from_quarter(quarter))
        return self.coarse(eighth), self.match(half), (quarter, eighth, sixteenth)


class Conv3d(nn.Conv3d):
    """3x3x3 convolution, padded by 1; torch's own is many times slower on a CPU for one small volume.

    With gradients it is done as 2D convolutions whose channels are three neighbouring slices, without them by
    oneDNN directly. Elsewhere than on a CPU it is torch's.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, bias: bool = False) -> None:
        """Channels in and out; ``stride`` along all axes."""
        super().__init__(inputs, outputs, 3, stride, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, C, D, H, W] to [B, C', D', H', W']."""
        if x.device.type != "cpu" or x.dtype != torch.float32:
            return super().forward(x)
        if not torch.is_grad_enabled() and torch.backends.mkldnn.is_available():
            return torch.mkldnn_convolution(x, self.weight, self.bias, [1] * 3, list(self.stride), [1] * 3, 1)
        batch, channels, planes, height, width = x.shape
        padded, stride = F.pad(x, (0, 0, 0, 0, 1, 1)), self.stride[0]
        slices = torch.stack([padded[:, :, i : i + planes : stride] for i in range(3)], 2)
        flat = slices.permute(0, 3, 1, 2, 4, 5).reshape(-1, 3 * channels, height, width)
        y = F.conv2d(flat, self.weight.flatten(1, 2), self.bias, stride, 1)
        return y.unflatten(0, (batch, -1)).transpose(1, 2)


class ConvUNet2d(nn.Module):
    """U-Net of 3x3 convolutions; its last layer starts at zero."""

    def __init__(self, inputs: int, width: int, depth: int, outputs: int) -> None:
        """``depth`` times the image is halved."""
        super().__init__()
        self.enter = ConvBlock(inputs, width)
        self.down = nn.ModuleList(nn.Sequential(ConvBlock(width, width, 2), Residual(width)) for _ in range(depth))
        self.up = nn.ModuleList(ConvBlock(2 * width, width) for _ in range(depth))
        self.leave = nn.Conv2d(width, outputs, 3, 1, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, inputs, H, W] to [B, outputs, H, W], whatever the size."""
        kept = [self.enter(x)]
        for down in self.down:
            kept.append(down(kept[-1]))
        x = kept.pop()
        for up in self.up:
            skip = kept.pop()
            x = up(torch.cat([skip, F.interpolate(x, skip.shape[-2:], mode="nearest")], 1))
        return self.leave(x)


class CostUNet3d(nn.Module):
    """Filters a cost volume in 3D; the image says per level which channels to heed (Bangunharjo et al., 2021)."""

    def __init__(self, inputs: int, channels: tuple[int, ...], guides: tuple[int, ...]) -> None:
        """``channels`` per level; ``guides`` are the image features' channels of the first levels."""
        super().__init__()
        self.enter = _block3d(inputs, channels[0])
        pairs = list(pairwise(channels))
        self.down = nn.ModuleList(nn.Sequential(_block3d(low, high, 2), _block3d(high, high)) for low, high in pairs)
        self.narrow = nn.ModuleList(nn.Conv2d(high, low, 1) for low, high in reversed(pairs))
        self.up = nn.ModuleList(_block3d(low, low) for low, _ in reversed(pairs))
        self.guides = nn.ModuleList(
            nn.Conv2d(guide, channel, 1) for guide, channel in zip(guides, channels, strict=False)
        )
        self.leave = Conv3d(channels[0], 1, bias=True)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, volume: Tensor, context: tuple[Tensor, ...]) -> Tensor:
        """Logits [B, D, h, w] of a volume [B, inputs, D, h, w] and the image's features at its first levels."""
        kept = [self._guided(0, self.enter(volume), context)]
        for level, down in enumerate(self.down, 1):
            kept.append(self._guided(level, down(kept[-1]), context))
        x = kept.pop()
        for narrow, up in zip(self.narrow, self.up, strict=True):
            skip = kept.pop()
            x = narrow(x.flatten(2, 3)).view(x.shape[0], -1, *x.shape[2:])  # 1x1x1
            x = up(skip + F.interpolate(x, skip.shape[-3:], mode="nearest"))
        return self.leave(x)[:, 0]

    def _guided(self, level: int, volume: Tensor, context: tuple[Tensor, ...]) -> Tensor:
        if level >= len(self.guides):
            return volume
        return volume * (2 * self.guides[level](context[level]).sigmoid())[:, :, None]


def convex_upsampled(values: Tensor, logits: Tensor, factor: int) -> Tensor:
    """Each fine pixel a convex combination of its 3x3 coarse neighbours (Teed and Deng, RAFT, 2020).

    Args:
        values: float [B, h, w].
        logits: float [B, 9 * factor^2, h, w].
        factor: of the size.

    Returns:
        float [B, factor * h, factor * w].
    """
    batch, height, width = values.shape
    share = logits.view(batch, 9, factor * factor, height, width).softmax(1)
    around = F.unfold(F.pad(values[:, None], (1, 1, 1, 1), mode="replicate"), 3).view(batch, 9, 1, height, width)
    return F.pixel_shuffle((share * around).sum(1), factor)[:, 0]


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _block3d(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(Conv3d(inputs, outputs, stride), norm(outputs), nn.ReLU(inplace=True))


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with weights that give zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
