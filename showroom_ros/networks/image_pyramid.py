"""Feature maps of images at strides 16, 8 and 4: a backbone and a feature pyramid (Lin et al., 2017; VoRTX's heads)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from showroom_ros.errors import SettingsError
from showroom_ros.networks.mnasnet import MnasNetTrunk

IMAGE_MEAN = (127.71, 114.66, 99.32)
IMAGE_STD = (75.31, 73.53, 71.66)
"""Of red, green, blue between 0 and 255."""


class ImagePyramid(nn.Module):
    """Maps of images at strides 16, 8, 4; pixel (u, v) of one is centred on pixel (16u, 16v), (8u, 8v), (4u, 4v)."""

    def __init__(self, backbone: str, width: int, channels: tuple[int, int, int]) -> None:
        """Fresh weights.

        Args:
            backbone: ``mnasnet`` or ``light``.
            width: channels inside the pyramid.
            channels: of the maps, coarse to fine.

        Raises:
            SettingsError: there is no such backbone.
        """
        super().__init__()
        if backbone not in BACKBONES:
            raise SettingsError(f"backbone is '{backbone}', expected one of {sorted(BACKBONES)}")
        self.backbone = BACKBONES[backbone]()
        fine, medium, coarse = self.backbone.channels
        self.lateral_medium, self.lateral_fine = _head(medium, width, 1), _head(fine, width, 1)
        self.lateral_coarse = _head(coarse, width, 1) if coarse != width else nn.Identity()
        self.head_coarse = _head(width, channels[0], 1)
        self.head_medium = _head(width, channels[1], 3)
        self.head_fine = _head(width, channels[2], 3)
        self.trunk_frozen = False

    def freeze_trunk(self, frozen: bool) -> None:
        """Whether the backbone stays as it is, its running statistics included, until called again."""
        self.trunk_frozen = frozen
        self.backbone.train(self.training and not frozen)

    def train(self, mode: bool = True) -> ImagePyramid:
        """As ever, except that a frozen backbone stays in evaluation mode."""
        super().train(mode)
        self.backbone.train(mode and not self.trunk_frozen)
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images float [n, 3, H, W], RGB 0 to 255, to maps [n, C, ceil(H / s), ceil(W / s)], s = 16, 8, 4."""
        fine, medium, coarse = self._trunk(_normalised(images))
        top = self.lateral_coarse(coarse)
        middle = _upsampled(top, medium) + self.lateral_medium(medium)
        bottom = _upsampled(middle, fine) + self.lateral_fine(fine)
        return self.head_coarse(top), self.head_medium(middle), self.head_fine(bottom)

    def _trunk(self, images: Tensor) -> tuple[Tensor, ...]:
        if not self.trunk_frozen:
            return self.backbone(images)
        with torch.no_grad():
            maps = self.backbone(images)
        if not self.training:
            return maps
        # a gradient of zero: nothing moves, and processes that train together find a gradient everywhere
        nothing = sum((parameter.sum() * 0 for parameter in self.backbone.parameters()), torch.zeros(()))
        return tuple(level + nothing for level in maps)


def _normalised(images: Tensor) -> Tensor:
    mean, std = (images.new_tensor(values).reshape(3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
    return (images - mean) / std


class LightTrunk(nn.Module):
    """A few convolutions, centred as ``MnasNetTrunk``'s; for CPUs, and where nothing is pretrained."""

    channels = (16, 24, 32)

    def __init__(self) -> None:
        """Fresh weights."""
        super().__init__()
        fine, medium, coarse = self.channels
        self.stem = _block(3, 12, 2)
        self.fine = nn.Sequential(_block(12, fine, 2), _block(fine, fine, 1))
        self.medium = nn.Sequential(_block(fine, medium, 2), _block(medium, medium, 1))
        self.coarse = nn.Sequential(_block(medium, coarse, 2), _block(coarse, coarse, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised images [n, 3, H, W] to features at strides 4, 8, 16."""
        fine = self.fine(self.stem(images))
        medium = self.medium(fine)
        return fine, medium, self.coarse(medium)


BACKBONES: dict[str, type[MnasNetTrunk] | type[LightTrunk]] = {"mnasnet": MnasNetTrunk, "light": LightTrunk}


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """3x3 convolution, normalised in groups (no statistics of other images), ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.GroupNorm(outputs // 4, outputs), nn.ReLU()
    )


def _head(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """BatchNorm, ReLU, convolution without bias (Kaiming-normal)."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight)
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), conv)


def _upsampled(coarse: Tensor, like: Tensor) -> Tensor:
    """Twice the size, bilinear, cut to the size of ``like`` (whose sides may be odd)."""
    doubled = functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    return doubled[:, :, : like.shape[2], : like.shape[3]]
