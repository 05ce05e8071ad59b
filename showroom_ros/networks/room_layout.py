"""Room layout from one image: classes of its places, and a projective map to one fixed picture of a box room.

After ST-RoomNet (CVPRW 2023) and spatial transformers (Jaderberg et al., 2015): eight numbers theta make the matrix
H = [theta, 1] of 3x3, which takes every place of the image to a place of the reference picture, where its class is
looked up. All layouts of such a map are those of a box room. With fresh weights H is the identity.

Unlike there, the classes of places are told first, by a U-shaped network that looks around the whole image, and theta
is read off them: few rooms teach where floors end, but not eight numbers of a homography.

Classes: 1 front wall, 2 left wall, 3 right wall, 4 floor, 5 ceiling (``completion.layout`` names them).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showroom_ros.errors import SettingsError
from showroom_ros.networks.kind import NetworkKind
from showroom_ros.networks.layers import ConvBlock, Residual, norm, zeroed

CLASSES = 5
REFERENCE_PX = 400
"""Width and height of the reference picture."""
_FRONT_CENTRE_PX, _FRONT_REACH_PX = 200, 49
"""The front wall is the square of rows and columns 151 to 249."""


class LayoutPrediction(NamedTuple):
    """What is said of images.

    Attributes:
        theta: float [B, 8], row by row of H.
        logits: float [B, 5, h, w], of classes 1 to 5 at a quarter of the size the network sees.
    """

    theta: Tensor
    logits: Tensor


@dataclass(frozen=True)
class RoomLayoutSettings:
    """Everything that shapes the network.

    Attributes:
        width, height: of the image as the network sees it, pixels; multiples of ``stride``.
        widths: channels at 1/2, 1/4... of it, two or more; multiples of 8 from 16 on.
        attention: blocks of attention at the coarsest resolution.
        heads: of the attention; the last width is a multiple.
        hidden: width of the layer that theta is read off.
    """

    width: int = 96
    height: int = 72
    widths: tuple[int, ...] = (16, 48, 96)
    attention: int = 1
    heads: int = 4
    hidden: int = 128

    @property
    def stride(self) -> int:
        """Of the coarsest resolution in pixels."""
        return 2 ** len(self.widths)


PRESETS = {"tiny": RoomLayoutSettings(32, 24, (8, 16, 16), 1, 2, 32), "small": RoomLayoutSettings()}


class RoomLayoutNet(nn.Module):
    """Finds classes and theta; see the module's text."""

    def __init__(self, settings: RoomLayoutSettings) -> None:
        """Fresh weights; with them theta is that of the identity.

        Raises:
            SettingsError: the image is no multiple of the stride, or there are too few widths.
        """
        super().__init__()
        stride, widths, last = settings.stride, settings.widths, settings.widths[-1]
        if settings.width % stride or settings.height % stride:
            raise SettingsError(
                f"width x height is {settings.width}x{settings.height}, expected multiples of {stride}, 2 to the "
                f"number of widths"
            )
        if len(widths) < 2 or last % settings.heads:
            raise SettingsError(f"widths are {widths}, expected two or more, the last a multiple of {settings.heads}")
        self.settings = settings
        self.enter = nn.Sequential(ConvBlock(5, widths[0], 2), ConvBlock(widths[0], widths[0]))
        self.down = nn.ModuleList(
            nn.Sequential(ConvBlock(fine, coarse, 2), Residual(coarse)) for fine, coarse in pairwise(widths)
        )
        self.everywhere = nn.Sequential(*(AttentionBlock(last, settings.heads) for _ in range(settings.attention)))
        up = list(pairwise(reversed(widths[1:])))  # up to a quarter
        self.narrow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for coarse, fine in up)
        self.up = nn.ModuleList(Residual(fine) for _, fine in up)
        self.classes = nn.Conv2d(widths[1], CLASSES, 1)
        cells = settings.width * settings.height // stride**2
        self.think = nn.Sequential(nn.Flatten(), nn.Linear(cells * CLASSES, settings.hidden), nn.ReLU())
        self.leave = nn.Linear(settings.hidden, 8)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, images: Tensor) -> LayoutPrediction:
        """Classes and theta of images float [B, 3, H, W], RGB in 0..1, of any size."""
        size = self.settings.height, self.settings.width
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        kept = [self.enter(torch.cat([images * 4 - 2, _places_of(images)], 1))]
        for down in self.down:
            kept.append(down(kept[-1]))
        x = self.everywhere(kept.pop())
        cells = x.shape[-2:]
        for narrow, up in zip(self.narrow, self.up, strict=True):
            x = up(kept.pop() + F.interpolate(narrow(x), scale_factor=2, mode="bilinear", align_corners=False))
        logits = self.classes(x)
        correction = self.leave(self.think(F.adaptive_avg_pool2d(logits.detach().softmax(1), cells)))
        return LayoutPrediction(correction + correction.new_tensor([1, 0, 0, 0, 1, 0, 0, 0]), logits)


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
        self.look_in, self.look_out = nn.Conv2d(channels, 3 * channels, 1), zeroed(nn.Conv2d(channels, channels, 1))
        self.think = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1), nn.GELU(), zeroed(nn.Conv2d(2 * channels, channels, 1))
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


def _places_of(images: Tensor) -> Tensor:
    """Places of the pixels, x and y in [-1, 1], float [B, 2, H, W]: walls are told apart by where they are."""
    y, x = (torch.linspace(-1, 1, size, device=images.device, dtype=images.dtype) for size in images.shape[-2:])
    return torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))]).expand(len(images), -1, -1, -1)


def reference_picture() -> Tensor:
    """The box room: its front wall in the middle, its edges along the diagonals; classes, uint8 [400, 400]."""
    away = torch.arange(REFERENCE_PX) - _FRONT_CENTRE_PX
    x, y = away[None, :].expand(REFERENCE_PX, -1), away[:, None].expand(-1, REFERENCE_PX)
    side = torch.where(x < 0, 2, 3)
    level = torch.where(y < 0, 5, 4)
    around = torch.where(x.abs() > y.abs(), side, level)
    return torch.where(torch.maximum(x.abs(), y.abs()) <= _FRONT_REACH_PX, 1, around).to(torch.uint8)


def reference_planes(softness_px: int = 1) -> Tensor:
    """How much of each class is around a place of the reference picture; float [5, 400, 400], sums to 1.

    Args:
        softness_px: odd; edge of the square of which each place is the mean. 1 = the classes themselves.
    """
    picture = reference_picture().long()
    planes = F.one_hot(picture - 1, CLASSES).movedim(-1, 0).float()
    reach = softness_px // 2
    wider = F.pad(planes[None], [reach] * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(wider, (1, softness_px), 1), (softness_px, 1), 1)[0]


def reference_places(theta: Tensor, height: int, width: int) -> Tensor:
    """Where in the reference picture the pixels of an image lie.

    A pixel w in [-1, 1]^2 lies at (x, y) / z, where (x, y, z) = H w. What lies outside of the picture, or has z <= 0
    (the box room goes on beside and behind its camera), is drawn to the border along its ray from the middle, where
    its class is the same.

    Args:
        theta: float [B, 8].
        height: of the image.
        width: of the image.

    Returns:
        float [B, height, width, 2], x and y in [-1, 1], from border to border of the picture.
    """
    v = (torch.arange(height, device=theta.device, dtype=theta.dtype) * 2 + 1) / height - 1
    u = (torch.arange(width, device=theta.device, dtype=theta.dtype) * 2 + 1) / width - 1
    pixels = torch.stack([u.expand(height, -1), v[:, None].expand(-1, width), torch.ones_like(u).expand(height, -1)])
    H = torch.cat([theta, torch.ones_like(theta[:, :1])], 1).view(-1, 3, 3)
    x, y, z = torch.einsum("bij,jhw->bihw", H, pixels).unbind(1)
    rim = 1 - 1 / REFERENCE_PX  # middle of the last pixel
    reach = torch.maximum(torch.maximum(x.abs(), y.abs()) / rim, z).clamp(min=1e-7)
    return torch.stack([x, y], -1) / reach[..., None]


def layout_shares(theta: Tensor, planes: Tensor, height: int, width: int) -> Tensor:
    """Share of each class at the pixels of an image, differentiable: planes of the reference picture, bilinear.

    Args:
        theta: float [B, 8].
        planes: of ``reference_planes``, on the device of ``theta``.
        height: of the image.
        width: of the image.

    Returns:
        float [B, 5, height, width], classes 1 to 5, sums to 1.
    """
    places = reference_places(theta, height, width)
    return F.grid_sample(planes.to(theta.dtype).expand(len(theta), -1, -1, -1), places, align_corners=False)


def layout_classes(theta: Tensor, height: int, width: int) -> Tensor:
    """Class of every pixel of an image, that of the nearest pixel of the reference picture; uint8 [B, height, width].

    Never a mean of numbers of classes: between left wall (2) and floor (4) that would be a right wall.
    """
    places = reference_places(theta.float(), height, width)
    column, row = ((places + 1) / 2 * REFERENCE_PX - 0.5).round().long().clamp(0, REFERENCE_PX - 1).unbind(-1)
    return reference_picture().to(theta.device)[row, column]


def dense_classes(logits: Tensor, height: int, width: int) -> Tensor:
    """The likeliest class at every pixel of an image, uint8 [B, height, width], of logits float [B, 5, h, w]."""
    fine = F.interpolate(logits.float(), (height, width), mode="bilinear", align_corners=False)
    return (fine.argmax(1) + 1).to(torch.uint8)


KIND = NetworkKind("room_layout", 2, RoomLayoutSettings, PRESETS, RoomLayoutNet)
