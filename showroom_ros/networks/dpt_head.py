"""A head that makes dense maps of a transformer's tokens (Ranftl et al., DPT, 2021)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class DptHead(nn.Module):
    """Tokens of four depths to a map of the image's size."""

    def __init__(
        self,
        token_widths: Sequence[int],
        channels: Sequence[int],
        width: int,
        last: int,
        outputs: int,
        patch: int,
        finer: Sequence[int] = (),
    ) -> None:
        """Widths of the four kinds of tokens, of the maps they become, of the fused, the last and any finer maps."""
        super().__init__()
        self.patch = patch
        first, second, third, fourth = channels
        self.act_postprocess = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(token_widths[0], first, 1), nn.ConvTranspose2d(first, first, 4, 4)),
                nn.Sequential(nn.Conv2d(token_widths[1], second, 1), nn.ConvTranspose2d(second, second, 2, 2)),
                nn.Sequential(nn.Conv2d(token_widths[2], third, 1)),
                nn.Sequential(nn.Conv2d(token_widths[3], fourth, 1), nn.Conv2d(fourth, fourth, 3, 2, 1)),
            ]
        )
        if finer:
            self.finer = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(finer, channels, strict=False))
        self.scratch = _Scratch(channels, width)
        self.head = nn.Sequential(
            nn.Conv2d(width, last, 3, 1, 1),
            nn.Identity(),
            nn.Conv2d(last, last, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(last, outputs, 1),
        )

    def forward(self, tokens: Sequence[Tensor], height: int, width: int, finer: Sequence[Tensor] = ()) -> Tensor:
        """Four float [B, N, C], row by row of an image of ``height`` x ``width``, to float [B, outputs, H, W].

        ``finer`` are maps of the image itself, at the sizes of the first maps made of tokens.
        """
        grid = height // self.patch, width // self.patch
        maps = [
            post(x.transpose(1, 2).unflatten(2, grid).contiguous())
            for post, x in zip(self.act_postprocess, tokens, strict=True)
        ]
        for number, one in enumerate(finer):
            maps[number] = maps[number] + self.finer[number](one)
        x = self.head[0](self.scratch(maps))
        x = F.interpolate(x, (height, width), mode="bilinear", align_corners=True)
        return self.head[4](F.relu(self.head[2](x)))


class _Scratch(nn.Module):
    """Fuses four maps, coarse to fine."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        for number, count in enumerate(channels, 1):
            self.add_module(f"layer{number}_rn", nn.Conv2d(count, width, 3, 1, 1, bias=False))
            self.add_module(f"refinenet{number}", _Fusion(width))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        first, second, third, fourth = (self.get_submodule(f"layer{number}_rn")(x) for number, x in enumerate(maps, 1))
        refine = [self.get_submodule(f"refinenet{number}") for number in (1, 2, 3, 4)]
        x = refine[3](fourth)[..., : third.shape[-2], : third.shape[-1]]  # odd sizes
        x = refine[2](x, third)
        x = refine[1](x, second)
        return refine[0](x, first)


class _Fusion(nn.Module):
    """Adds a finer map to a coarser one and doubles its size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(width, width, 1)
        self.resConfUnit1 = _ResidualUnit(width)  # published names
        self.resConfUnit2 = _ResidualUnit(width)

    def forward(self, x: Tensor, finer: Tensor | None = None) -> Tensor:
        if finer is not None:
            x = x + self.resConfUnit1(finer)
        x = F.interpolate(self.resConfUnit2(x), scale_factor=2, mode="bilinear", align_corners=True)
        return self.out_conv(x)


class _ResidualUnit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, 1, 1)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))
