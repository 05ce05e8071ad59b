"""Everything that shapes the network of ``ioar``, and its presets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IoarSettings:
    """Everything that shapes the network; of tuples, the values are those of coarse, medium, fine.

    Attributes:
        backbone: ``mnasnet`` (MnasNet 1.0) or ``light`` (a few convolutions).
        pyramid_channels: width inside the feature pyramid.
        feature_channels: of the feature maps.
        attention_layers: of the transformer over views; 0: views are weighed each by itself.
        attention_heads: of its layers.
        spread: whether the fusion is also told how much the views differ (their variance); not in the original.
        unet_widths: base widths of the U-Nets.
        voxel_norm: of the U-Nets, ``batch`` or ``layer`` (see ``sparse_unet.NORMS``).
        fine_classes: whether the fine level has a network of classes; nothing uses or trains it.
        max_medium_voxels: while training, at most so many active voxels per example, by chance.
        max_fine_voxels: the same of the fine level.
    """

    backbone: str = "mnasnet"
    pyramid_channels: int = 80
    feature_channels: tuple[int, int, int] = (80, 40, 24)
    attention_layers: tuple[int, int, int] = (2, 2, 2)
    attention_heads: int = 2
    spread: bool = False
    unet_widths: tuple[int, int, int] = (32, 16, 8)
    voxel_norm: str = "batch"
    fine_classes: bool = True
    max_medium_voxels: int = 2**14
    max_fine_voxels: int = 2**16


PRESETS = {
    "full": IoarSettings(),
    "small": IoarSettings(
        backbone="light",
        pyramid_channels=32,
        feature_channels=(32, 24, 16),
        attention_layers=(1, 1, 0),
        attention_heads=2,
        spread=True,
        unet_widths=(8, 8, 6),
        voxel_norm="layer",
        fine_classes=False,
        max_medium_voxels=2**13,
        max_fine_voxels=2**14,
    ),
}
