"""Room layout from one image: a projective map between the image and one fixed picture of a box room.

After ST-RoomNet (CVPRW 2023) and spatial transformers (Jaderberg et al., 2015): eight numbers theta make the matrix
H = [theta, 1] of 3x3, which takes every place of the image to a place of the reference picture, where its class is
looked up. All layouts that come out are therefore those of a box room. With fresh weights H is the identity.

Classes: 1 front wall, 2 left wall, 3 right wall, 4 floor, 5 ceiling (``completion.layout`` names them).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showroom_ros.errors import SettingsError
from showroom_ros.networks.kind import NetworkKind
from showroom_ros.networks.layers import ConvBlock, Residual

CLASSES = 5
REFERENCE_PX = 400
"""Width and height of the reference picture."""
_FRONT_CENTRE_PX, _FRONT_REACH_PX = 200, 49
"""The front wall is the square of rows and columns 151 to 249."""


@dataclass(frozen=True)
class RoomLayoutSettings:
    """Everything that shapes the network.

    Attributes:
        width, height: of the image as the network sees it, pixels; multiples of ``stride``.
        widths: channels at 1/2, 1/4... of it; multiples of 8 from 16 on.
        hidden: width of the last hidden layer.
    """

    width: int = 128
    height: int = 96
    widths: tuple[int, ...] = (32, 64, 96, 128, 160)
    hidden: int = 256

    @property
    def stride(self) -> int:
        """Of the coarsest resolution in pixels."""
        return 2 ** len(self.widths)


PRESETS = {"tiny": RoomLayoutSettings(32, 24, (8, 16, 16), 32), "small": RoomLayoutSettings()}


class RoomLayoutNet(nn.Module):
    """Finds theta; see the module's text."""

    def __init__(self, settings: RoomLayoutSettings) -> None:
        """Fresh weights; with them theta is that of the identity.

        Raises:
            SettingsError: the image is no multiple of the stride.
        """
        super().__init__()
        stride = settings.stride
        if settings.width % stride or settings.height % stride:
            raise SettingsError(
                f"width x height is {settings.width}x{settings.height}, expected multiples of {stride}, 2 to the "
                f"number of widths"
            )
        self.settings = settings
        first, last = settings.widths[0], settings.widths[-1]
        self.enter = nn.Sequential(ConvBlock(3, first, 2), ConvBlock(first, first))
        self.down = nn.Sequential(
            *(nn.Sequential(ConvBlock(fine, coarse, 2), Residual(coarse)) for fine, coarse in pairwise(settings.widths))
        )
        cells = (settings.width // stride) * (settings.height // stride)
        self.think = nn.Sequential(nn.Flatten(), nn.Linear(cells * last, settings.hidden), nn.ReLU())
        self.leave = nn.Linear(settings.hidden, 8)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Theta float [B, 8], row by row of H, of images float [B, 3, H, W], RGB in 0..1, of any size."""
        size = self.settings.height, self.settings.width
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        correction = self.leave(self.think(self.down(self.enter(images * 4 - 2))))
        return correction + correction.new_tensor([1, 0, 0, 0, 1, 0, 0, 0])


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


KIND = NetworkKind("room_layout", 1, RoomLayoutSettings, PRESETS, RoomLayoutNet)
