"""Dense depth of an image of which some depth is known, or none.

Planes are affine in inverse depth over viewing rays: ``1/z = a x + b y + c`` with ``(x, y, 1)`` the ray of a pixel.
So a wall is carried into a hole by its three numbers. Planes are fitted to the known pixels of each 16x16 cell; pixels
at 1/8 attend to the cells, with features of a U-Net that sees the image as queries and keys (Vaswani et al., 2017)
and the planes as values; and the answer is a mixture of the planes of each head, of the nearest of these (a room seen
from inside) and of a smooth fill (pull-push, Gortler et al., 1996), times a factor. All depth is divided by the median
of what is known, so the answer scales with it; where nothing is known, metres are predicted. The task is that of
Engstler et al., "Invisible Stitch" (2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showroom_ros.networks.kind import NetworkKind
from showroom_ros.networks.layers import ConvBlock, Residual
from showroom_ros.networks.transformer import Block, rotary_2d

CELL = 16
"""Pixels along the side of the cells planes are fitted to."""
CORRECT = 0.05
"""Relative error up to which a depth counts as right, for the confidence."""

_FEWEST_PIXELS = 12
_NEAREST = 16.0  # times nearer than the median: what is nearer counts as that near
_BEYOND = 1.5
"""Planes are carried on to this many times the farthest known depth, and to as small a share of the nearest."""
_INPUTS = 8


@dataclass(frozen=True)
class DepthCompletionSettings:
    """Everything that shapes the network.

    Attributes:
        widths: channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image.
        blocks: transformer blocks at 1/32.
        heads: of these blocks; the widths at 1/32 are a multiple of 4 times this.
        planes: planes each pixel chooses among: heads of the attention to known cells.
        key_channels: of queries and keys of each of them.
    """

    widths: tuple[int, int, int, int, int] = (24, 48, 80, 128, 192)
    blocks: int = 2
    heads: int = 6
    planes: int = 4
    key_channels: int = 16

    @property
    def stride(self) -> int:
        """Images are padded to multiples of this many pixels."""
        return 32


PRESETS = {
    "tiny": DepthCompletionSettings((8, 12, 16, 24, 32), 1, 2, 2, 8),
    "small": DepthCompletionSettings(),
}


class Prediction(NamedTuple):
    """What the network says of an image.

    Attributes:
        depth: float [B, H, W], metres, everywhere; known pixels too are predicted.
        confidence: float [B, H, W], probability that the depth is right within 5 %.
        log_spread: float [B, H, W], log of the mean absolute error of log depth that it expects.
    """

    depth: Tensor
    confidence: Tensor
    log_spread: Tensor


class Known(NamedTuple):
    """What is known of the depth, prepared; all float.

    Attributes:
        scale: [B, 1, 1, 1], metres, the median of the known depth.
        mask: [B, 1, H, W], 1 where known.
        inverse: [B, 1, H, W], scale / depth, 0 where unknown.
        rays: [B, 2, H, W], x and y of each pixel's ray with z = 1.
    """

    scale: Tensor
    mask: Tensor
    inverse: Tensor
    rays: Tensor


class DepthCompletionNet(nn.Module):
    """Completes depth; see the module's text."""

    def __init__(self, settings: DepthCompletionSettings) -> None:
        """Fresh weights; with them each head carries on the planes nearby, the later heads the nearer ones."""
        super().__init__()
        self.settings = settings
        half, quarter, eighth, sixteenth, bottom = settings.widths
        planes = settings.planes
        self.log_scale = nn.Parameter(torch.tensor(math.log(2.0)))
        self.down_half = nn.Sequential(ConvBlock(_INPUTS, half, 2), Residual(half))
        self.down_quarter = nn.Sequential(ConvBlock(half, quarter, 2), Residual(quarter))
        self.down_eighth = nn.Sequential(ConvBlock(quarter, eighth, 2), Residual(eighth), Residual(eighth))
        self.down_sixteenth = nn.Sequential(ConvBlock(eighth, sixteenth, 2), Residual(sixteenth), Residual(sixteenth))
        self.down_bottom = ConvBlock(sixteenth, bottom, 2)
        self.blocks = nn.ModuleList(Block(bottom, settings.heads, 4.0, 1e-6) for _ in range(settings.blocks))
        self.up_sixteenth = nn.Sequential(ConvBlock(bottom + sixteenth, sixteenth), Residual(sixteenth))
        self.up_eighth = nn.Sequential(ConvBlock(sixteenth + eighth, eighth), Residual(eighth))
        self.attention = PlaneAttention(eighth, sixteenth + 5, planes, settings.key_channels)
        self.up_quarter = ConvBlock(eighth + quarter + planes + 2, quarter)
        self.up_half = ConvBlock(quarter + half + planes + 2, half)
        self.leave = nn.Conv2d(half, planes + 4, 3, 1, 1)
        nn.init.zeros_(self.leave.weight)
        with torch.no_grad():
            start = [0.0] * (planes + 3) + [math.log(0.1)]
            self.leave.bias.copy_(torch.tensor(start))  # type: ignore[union-attr]

    def forward(self, images: Tensor, depth: Tensor, K: Tensor) -> Prediction:
        """Depth everywhere.

        Args:
            images: float [B, 3, H, W], RGB in 0..1.
            depth: float [B, H, W], planar depth that is known, metres, NaN unknown.
            K: float [B, 3, 3], pixels, the centre of the first being (0, 0).
        """
        height, width = images.shape[-2:]
        images, depth = padded(images, depth, self.settings.stride)
        with torch.autocast(images.device.type, enabled=False):
            known = self.known(depth.float(), K.float())
            fill = pull_push(known.inverse, known.mask)
            planes, support = fitted_planes(known, CELL)
        inputs = [images * 4 - 2, fill.log(), known.mask, known.mask * fill.log(), known.rays]
        x1 = self.down_half(torch.cat(inputs, 1))
        x2 = self.down_quarter(x1)
        x3 = self.down_eighth(x2)
        x4 = self.down_sixteenth(x3)
        y = self.up_sixteenth(torch.cat([self._context(self.down_bottom(x4), x4), x4], 1))
        told = torch.cat([y, planes.clamp(-4, 4), support], 1)
        y = self.up_eighth(torch.cat([_resized(y, x3), x3], 1))
        chosen = self.attention(y, told, planes, support[:, :1], known.rays)
        candidates = torch.cat([fill, _evaluated(chosen, known)], 1)
        for up, skip in ((self.up_quarter, x2), (self.up_half, x1)):
            y = up(torch.cat([_resized(y, skip), skip, _sampled(candidates.log(), skip)], 1))
        change = F.interpolate(self.leave(y).float(), scale_factor=2, mode="bilinear", align_corners=False)
        count = candidates.shape[1]
        mixed = (change[:, :count].softmax(1) * candidates).sum(1)
        log_depth = known.scale[:, 0].log() - mixed.log() + 3 * torch.tanh(change[:, count] / 3)
        log_spread = change[:, count + 1].clamp(-7, 3)
        confidence = 1 - torch.exp(-CORRECT / log_spread.exp())  # of a Laplace distribution
        return Prediction(*(plane[..., :height, :width] for plane in (log_depth.exp(), confidence, log_spread)))

    def known(self, depth: Tensor, K: Tensor) -> Known:
        """Of depth [B, H, W] and K [B, 3, 3]."""
        values = torch.where(depth > 0, depth, torch.nan)
        median = values.flatten(1).nanmedian(1).values
        scale = torch.where(median > 0, median, self.log_scale.exp())[:, None, None, None]
        given = depth[:, None] > 0
        inverse = torch.where(given, scale / torch.where(given, depth[:, None], 1.0), 0.0).clamp(max=_NEAREST)
        height, width = depth.shape[-2:]
        u = torch.arange(width, device=K.device, dtype=K.dtype).expand(height, width)
        v = torch.arange(height, device=K.device, dtype=K.dtype)[:, None].expand(height, width)
        pixels = torch.stack([u, v, torch.ones_like(u)]).flatten(1)
        rays = (torch.linalg.inv(K) @ pixels)[:, :2].unflatten(-1, (height, width))
        return Known(scale, (inverse > 0).to(depth.dtype), inverse, rays)

    def _context(self, x: Tensor, finer: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        turn = rotary_2d(rows, columns, x.shape[1] // self.settings.heads, x.device)
        tokens = x.flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens, turn)
        return _resized(tokens.transpose(1, 2).unflatten(-1, (rows, columns)), finer)


class PlaneAttention(nn.Module):
    """Gives every pixel planes of known cells: attention whose values are the planes themselves."""

    def __init__(self, query_inputs: int, key_inputs: int, planes: int, channels: int) -> None:
        """Channels of the features queries and keys are made of, number of heads, and channels of each."""
        super().__init__()
        self.planes = planes
        self.query = nn.Conv2d(query_inputs, planes * channels, 1)
        self.key = nn.Conv2d(key_inputs, planes * channels, 1)
        self.nearness = nn.Parameter(torch.linspace(1.0, 4.0, planes))
        self.nothing = nn.Parameter(torch.full((planes,), -4.0))

    def forward(self, queries: Tensor, keys: Tensor, planes: Tensor, share: Tensor, rays: Tensor) -> Tensor:
        """Planes [B, heads, 3, h, w] of the queries.

        Args:
            queries: float [B, C, h, w].
            keys: float [B, D, n, m], of the cells.
            planes: float [B, 3, n, m], of the cells.
            share: float [B, 1, n, m], of a cell that is known; 0 = it has no plane.
            rays: float [B, 2, H, W].
        """
        batch, rows, columns = len(queries), *queries.shape[-2:]
        q = self.query(queries).view(batch, self.planes, -1, rows * columns)
        k = self.key(keys).view(batch, self.planes, -1, keys.shape[-2] * keys.shape[-1])
        places = [_sampled(rays, x).flatten(2).transpose(1, 2) for x in (queries, keys)]
        distance = (places[0][:, :, None] - places[1][:, None]).square().sum(-1).clamp(min=1e-8).sqrt()
        share = share.flatten(2)
        farther = distance - distance.where(share > 0, torch.inf).amin(-1, keepdim=True).clamp(
            max=10.0
        )  # than the nearest
        logits = q.transpose(2, 3) @ k / math.sqrt(q.shape[2]) - self.nearness.exp()[:, None, None] * farther[:, None]
        logits = (logits + share.clamp(min=1e-9).log()[:, None]).where(share[:, None] > 0, -1e4)
        logits = torch.cat([logits, self.nothing[:, None, None].expand(batch, -1, rows * columns, 1)], -1)
        flat = planes.new_tensor([0.0, 0.0, 1.0]).expand(batch, 1, 3)
        values = torch.cat([planes.flatten(2).transpose(1, 2), flat], 1)
        with torch.autocast(values.device.type, enabled=False):  # planes need their digits
            chosen = logits.float().softmax(-1) @ values[:, None]
        return chosen.transpose(2, 3).unflatten(-1, (rows, columns))


@torch.no_grad()
def fitted_planes(known: Known, cell: int, rounds: int = 3) -> tuple[Tensor, Tensor]:
    """Planes of the known pixels of each cell, by least squares with weights against outliers.

    Args:
        known: of [B] images whose sides are multiples of ``cell``.
        cell: pixels along a side.
        rounds: of weights ``1 / (1 + (residual / 2 %)^2)``; the first has none.

    Returns:
        a, b and c of ``scale / z = a x + b y + c`` [B, 3, H/cell, W/cell], 0 where fewer than 12 pixels are known,
        and the share of known pixels [B, 2, H/cell, W/cell]: of the cell, 0 where fewer, and of those on the plane.
    """
    mask, w, x, y = (_cells(plane, cell) for plane in (known.mask, known.inverse, *known.rays.split(1, 1)))
    centre = x.mean(-1), y.mean(-1)
    half = (x.amax(-1) - x.amin(-1)) / 2, (y.amax(-1) - y.amin(-1)) / 2
    basis = torch.stack([(x - centre[0][..., None]) / half[0][..., None],
                         (y - centre[1][..., None]) / half[1][..., None], torch.ones_like(x)], -1)  # fmt: skip
    ridge = torch.diag(basis.new_tensor([0.5, 0.5, 1e-4]))
    weight = mask
    for _ in range(rounds):
        weighted = basis * weight[..., None]
        normal = weighted.transpose(-1, -2) @ basis + ridge
        local = torch.linalg.solve(normal, (weighted * w[..., None]).sum(-2))
        residual = (basis @ local[..., None])[..., 0] - w
        weight = mask / (1 + (residual / (0.02 * w + 1e-3)).square())
    enough = mask.sum(-1) >= _FEWEST_PIXELS
    a, b = local[..., 0] / half[0], local[..., 1] / half[1]
    planes = torch.stack([a, b, local[..., 2] - a * centre[0] - b * centre[1]], 1)
    support = torch.stack([mask.mean(-1), weight.sum(-1) / mask.sum(-1).clamp(min=1)], 1)
    return planes * enough[:, None], support * enough[:, None]


def pull_push(values: Tensor, mask: Tensor) -> Tensor:
    """Values [B, 1, H, W] where ``mask`` is 1, elsewhere smoothly between those around; 1 if nothing is known.

    Each level is the mean of the known pixels of the finer one; then each takes from the coarser what it lacks.
    """
    if values.shape[-1] == 1 and values.shape[-2] == 1:
        return torch.where(mask > 0, values, 1.0)
    share = F.avg_pool2d(mask, 2, ceil_mode=True)
    means = F.avg_pool2d(values * mask, 2, ceil_mode=True) / share.clamp(min=1e-6)
    coarse = pull_push(means, (share > 0).to(mask.dtype))
    coarse = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.where(mask > 0, values, coarse[..., : values.shape[-2], : values.shape[-1]])


def padded(images: Tensor, depth: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Images [B, 3, H, W] and depth [B, H, W] with sides made multiples of ``stride`` at the right and below."""
    below, right = -images.shape[-2] % stride, -images.shape[-1] % stride
    if not below and not right:
        return images, depth
    return F.pad(images, (0, right, 0, below), mode="replicate"), F.pad(depth, (0, right, 0, below), value=torch.nan)


def _cells(plane: Tensor, cell: int) -> Tensor:
    """[B, 1, H, W] as [B, H/cell, W/cell, cell * cell]."""
    return plane[:, 0].unflatten(-2, (-1, cell)).unflatten(-1, (-1, cell)).transpose(2, 3).flatten(-2)


def _evaluated(planes: Tensor, known: Known) -> Tensor:
    """Inverse depth [B, heads + 1, H, W] of planes [B, heads, 3, h, w] and of the nearest of them, bounded."""
    fine = F.interpolate(planes.flatten(1, 2), known.rays.shape[-2:], mode="bilinear", align_corners=False)
    a, b, c = fine.unflatten(1, planes.shape[1:3]).unbind(2)
    inverse = a * known.rays[:, :1] + b * known.rays[:, 1:] + c
    high = known.inverse.amax((2, 3), keepdim=True)
    low = known.inverse.where(known.mask > 0, high).amin((2, 3), keepdim=True)
    nothing = high <= 0
    inverse = inverse.maximum(low.where(~nothing, 1.0) / _BEYOND).minimum(high.where(~nothing, 1.0) * _BEYOND)
    return torch.cat([inverse, inverse.amax(1, keepdim=True)], 1)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="nearest")


def _sampled(x: Tensor, like: Tensor) -> Tensor:
    return F.avg_pool2d(x, x.shape[-1] // like.shape[-1])


KIND = NetworkKind("depth_completion", 1, DepthCompletionSettings, PRESETS, DepthCompletionNet)
