"""Everything that shapes the network of ``fast3r``, and its presets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fast3rSettings:
    """Everything that shapes the network.

    Attributes:
        patch: side of the square patches in pixels; images' sides are multiples of it.
        stem: how patches become tokens: ``patch``, one linear layer each, as published; or ``conv``, the convolutions
            of ``plane_sweep``, which learn from far fewer images (Xiao et al., 2021) and give the heads finer maps too.
        encoder_width: of the tokens of one image.
        encoder_depth: blocks that see one image.
        encoder_heads: of their attention.
        decoder_width: of the tokens of all images.
        decoder_depth: blocks that see all images; a multiple of 4.
        decoder_heads: of their attention.
        mlp_ratio: inner width of the blocks' perceptrons.
        head_channels: of the four maps a head reassembles, fine to coarse.
        head_width: of the maps it fuses.
        head_last: of its last maps.
        view_ids: rows of the table that tells views apart; one scene has at most so many.
    """

    patch: int = 16
    stem: str = "patch"
    encoder_width: int = 1024
    encoder_depth: int = 24
    encoder_heads: int = 16
    decoder_width: int = 1024
    decoder_depth: int = 24
    decoder_heads: int = 16
    mlp_ratio: float = 4.0
    head_channels: tuple[int, int, int, int] = (96, 192, 384, 768)
    head_width: int = 256
    head_last: int = 128
    view_ids: int = 1000


PRESETS = {
    "full": Fast3rSettings(),
    "showroom": Fast3rSettings(head_channels=(48, 96, 192, 384)),  # ShowRoom's student, 634 instead of 648 M parameters
    "small": Fast3rSettings(
        stem="conv",
        encoder_width=192,
        encoder_depth=8,
        encoder_heads=6,
        decoder_width=192,
        decoder_depth=4,
        decoder_heads=6,
        head_channels=(24, 48, 64, 96),
        head_width=48,
        head_last=24,
    ),
    "tiny": Fast3rSettings(
        stem="conv",
        encoder_width=96,
        encoder_depth=4,
        encoder_heads=3,
        decoder_width=96,
        decoder_depth=4,
        decoder_heads=3,
        head_channels=(12, 24, 32, 48),
        head_width=24,
        head_last=16,
    ),
}
