"""The sparse 3D U-Net of a level and branch: two strides down, two up, residual blocks (VoRTX, Stier et al., 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from showroom_ros.networks.sparse import DownConv3d, Sites, SubmanifoldConv3d, UpConv3d, VoxelBatchNorm

WIDTHS = (1, 2, 4, 3, 3)
"""Multiples of the base width: stem, after the first and second stride down, after the first and second up."""


NORMS: dict[str, type[nn.Module]] = {"batch": VoxelBatchNorm, "layer": nn.LayerNorm}
"""``batch``: over all active voxels, as the original; ``layer``: over the channels of each voxel by itself, for boxes
so small that the coarsest voxels are too few for statistics."""


class SparseUNet(nn.Module):
    """Features of voxels from features of voxels, with the context of 11 coarse voxels to every side and more."""

    def __init__(self, inputs: int, width: int, norm: str = "batch") -> None:
        """Fresh weights.

        Args:
            inputs: channels of the input.
            width: base width; the output has ``3 * width`` channels.
            norm: see ``NORMS``.
        """
        super().__init__()
        stem, first, second, third, fourth = (multiple * width for multiple in WIDTHS)
        self.stem = _Conv(SubmanifoldConv3d(inputs, stem), stem, norm)
        self.down1 = _Conv(DownConv3d(stem, stem), stem, norm)
        self.stage1 = nn.ModuleList([Residual(stem, first, norm), Residual(first, first, norm)])
        self.down2 = _Conv(DownConv3d(first, first), first, norm)
        self.stage2 = nn.ModuleList([Residual(first, second, norm), Residual(second, second, norm)])
        self.up1 = _Conv(UpConv3d(second, third), third, norm)
        self.stage3 = nn.ModuleList([Residual(third + first, third, norm), Residual(third, third, norm)])
        self.up2 = _Conv(UpConv3d(third, fourth), fourth, norm)
        self.stage4 = nn.ModuleList([Residual(fourth + stem, fourth, norm), Residual(fourth, fourth, norm)])

    def forward(self, features: Tensor, sites: Sites) -> Tensor:
        """Float [V, inputs] of ``sites`` to [V, 3 * width]."""
        half = sites.coarser[0]
        quarter = half.coarser[0]
        stem = self.stem(features, sites)
        first = _through(self.stage1, self.down1(stem, sites), half)
        second = _through(self.stage2, self.down2(first, half), quarter)
        third = _through(self.stage3, torch.cat([self.up1(second, half), first], 1), half)
        return _through(self.stage4, torch.cat([self.up2(third, sites), stem], 1), sites)


class Residual(nn.Module):
    """conv - norm - ReLU - conv - norm, added to the input (1x1 convolved if channels change), ReLU."""

    def __init__(self, inputs: int, outputs: int, norm: str = "batch") -> None:
        """Fresh weights; see ``NORMS``."""
        super().__init__()
        self.conv1, self.norm1 = SubmanifoldConv3d(inputs, outputs), NORMS[norm](outputs)
        self.conv2, self.norm2 = SubmanifoldConv3d(outputs, outputs), NORMS[norm](outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(nn.Linear(inputs, outputs, bias=False), NORMS[norm](outputs))

    def forward(self, features: Tensor, sites: Sites) -> Tensor:
        """Float [V, inputs] to [V, outputs]."""
        inner = torch.relu(self.norm1(self.conv1(features, sites)))
        return torch.relu(self.norm2(self.conv2(inner, sites)) + self.shortcut(features))


class _Conv(nn.Module):
    """A sparse convolution, normalised, with ReLU."""

    def __init__(self, conv: nn.Module, outputs: int, norm: str) -> None:
        super().__init__()
        self.conv, self.norm = conv, NORMS[norm](outputs)

    def forward(self, features: Tensor, sites: Sites) -> Tensor:
        return torch.relu(self.norm(self.conv(features, sites)))


def _through(blocks: nn.ModuleList, features: Tensor, sites: Sites) -> Tensor:
    for block in blocks:
        features = block(features, sites)
    return features
