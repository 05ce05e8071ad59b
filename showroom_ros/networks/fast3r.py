"""Pointmaps of many unposed images in one pass (Yang et al., Fast3R, CVPR 2025, arXiv 2501.13928).

An encoder sees each image by itself, a decoder the tokens of all images; one head gives each pixel's point in the
frame of the first camera, another in that of its own. Units are those of the training: metres for networks trained
here, arbitrary for the published weights, whose names and sizes ``PRESETS["full"]`` has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showroom_ros.errors import InputError
from showroom_ros.networks.dpt_head import DptHead
from showroom_ros.networks.fast3r_settings import PRESETS, Fast3rSettings
from showroom_ros.networks.kind import NetworkKind
from showroom_ros.networks.layers import ImageEncoder
from showroom_ros.networks.transformer import Block, rotary_2d, sine_table

STEM_WIDTHS, STEM_MATCH, STEM_PATCH = (16, 32, 48, 64), 16, 16
"""Of the stem of convolutions: those of ``plane_sweep``'s small preset, so that it can begin with its weights."""


class Pointmap(NamedTuple):
    """What is said of one view of a batch.

    Attributes:
        points: float [B, H, W, 3], in the frame of the first camera (x right, y down, z forward).
        confidence: float [B, H, W], at least 1.
        local_points: float [B, H, W, 3], in the view's own frame.
        local_confidence: float [B, H, W], at least 1.
    """

    points: Tensor
    confidence: Tensor
    local_points: Tensor
    local_confidence: Tensor


class PatchStem(nn.Module):
    """One linear layer per patch (Dosovitskiy et al., 2021)."""

    def __init__(self, s: Fast3rSettings) -> None:
        """Of these settings."""
        super().__init__()
        self.proj = nn.Conv2d(3, s.encoder_width, s.patch, s.patch)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Float [B, 3, H, W] in 0..1 to [B, C, H / patch, W / patch], and nothing finer."""
        return self.proj(2 * images - 1), ()


class ConvStem(nn.Module):
    """The image encoder of ``plane_sweep``: its coarsest maps and what it compares become tokens."""

    def __init__(self, s: Fast3rSettings) -> None:
        """Of these settings."""
        super().__init__()
        self.features = ImageEncoder(STEM_WIDTHS, STEM_MATCH)
        self.proj = nn.Conv2d(STEM_WIDTHS[-1] + 4 * STEM_MATCH, s.encoder_width, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Float [B, 3, H, W] in 0..1 to [B, C, H / 16, W / 16], and maps at 1/4 and 1/8 of the image."""
        compared, _, (quarter, eighth, sixteenth) = self.features(images)
        return self.proj(torch.cat([sixteenth, F.pixel_unshuffle(compared, 2)], 1)), (quarter, eighth)


class Encoder(nn.Module):
    """A vision transformer with rotary positions."""

    def __init__(self, s: Fast3rSettings) -> None:
        """Of these settings."""
        super().__init__()
        self.patch, self.head_width = s.patch, s.encoder_width // s.encoder_heads
        self.patch_embed: nn.Module = PatchStem(s) if s.stem == "patch" else ConvStem(s)
        self.enc_blocks = nn.ModuleList(
            Block(s.encoder_width, s.encoder_heads, s.mlp_ratio, 1e-6) for _ in range(s.encoder_depth)
        )
        self.enc_norm = nn.LayerNorm(s.encoder_width, 1e-6)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Tokens float [B, N, C], row by row, of float [B, 3, H, W] in 0..1; and the stem's finer maps, if any."""
        x, finer = self.patch_embed(images)
        turn = rotary_2d(x.shape[2], x.shape[3], self.head_width, x.device)
        x = x.flatten(2).transpose(1, 2)
        for block in self.enc_blocks:
            x = block(x, turn)
        return self.enc_norm(x), finer


class Decoder(nn.Module):
    """All tokens of all views attend to each other."""

    def __init__(self, s: Fast3rSettings) -> None:
        """Of these settings."""
        super().__init__()
        self.decoder_embed = nn.Linear(s.encoder_width, s.decoder_width)
        self.dec_blocks = nn.ModuleList(
            Block(s.decoder_width, s.decoder_heads, s.mlp_ratio, 1e-5) for _ in range(s.decoder_depth)
        )
        self.dec_norm = nn.LayerNorm(s.decoder_width, 1e-6)
        self.kept = (s.decoder_depth // 2, s.decoder_depth * 3 // 4, s.decoder_depth)
        self.table: Tensor
        self.register_buffer("table", sine_table(s.view_ids, s.decoder_width), persistent=False)

    def forward(self, tokens: Tensor, view_of_token: Tensor, view_ids: Tensor) -> list[Tensor]:
        """Tokens after half, three quarters and all of the blocks.

        Args:
            tokens: float [B, N, C] of all views.
            view_of_token: int64 [N].
            view_ids: int64 [B, V].
        """
        x = self.decoder_embed(tokens)
        x = x + self.table[view_ids][:, view_of_token].to(x.dtype)
        kept = []
        for number, block in enumerate(self.dec_blocks, 1):
            x = block(x)
            if number in self.kept:
                kept.append(x)
        kept[-1] = self.dec_norm(kept[-1])
        return kept


class PointHead(nn.Module):
    """Points and how sure they are."""

    def __init__(self, s: Fast3rSettings) -> None:
        """Of these settings."""
        super().__init__()
        widths = (s.encoder_width, *3 * (s.decoder_width,))
        finer = STEM_WIDTHS[1:3] if s.stem == "conv" else ()
        self.dpt = DptHead(widths, s.head_channels, s.head_width, s.head_last, 4, s.patch, finer)

    def forward(
        self, tokens: Sequence[Tensor], finer: Sequence[Tensor], height: int, width: int
    ) -> tuple[Tensor, Tensor]:
        """Points float [B, H, W, 3] and confidence [B, H, W]."""
        return points_and_confidence(self.dpt(tokens, height, width, finer))


class Fast3r(nn.Module):
    """See the module."""

    def __init__(self, settings: Fast3rSettings) -> None:
        """With fresh weights.

        Raises:
            InputError: the settings do not fit each other.
        """
        super().__init__()
        _check_settings(settings)
        self.settings = settings
        self.encoder = Encoder(settings)
        self.decoder = Decoder(settings)
        self.downstream_head = PointHead(settings)
        self.downstream_head_local = PointHead(settings)

    def forward(
        self,
        images: Tensor | Sequence[Tensor],
        view_ids: Tensor | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        chunk: int = 25,
    ) -> list[Pointmap]:
        """Pointmaps of views.

        Args:
            images: float [B, V, 3, H, W] in 0..1, or a list of V [B, 3, H, W] whose sizes may differ; sides are
                multiples of the patch. The first is the one whose frame the points are in.
            view_ids: int64 [V] or [B, V], different numbers below ``settings.view_ids``, 0 the first view's;
                None = 0..V-1. The same ids give the same points.
            dtype: of the transformer; heads always work in float32.
            chunk: views that encoder and heads take at once.

        Raises:
            InputError: no image, a size no patches fit, or ids that are too many, the same, or not the table's.
        """
        views = list(images.unbind(1)) if isinstance(images, Tensor) else list(images)
        self._check_views(views)
        ids = checked_view_ids(view_ids, len(views), len(views[0]), self.settings.view_ids, views[0].device)
        with _autocast(views[0].device, dtype):
            encoded, finer = self._encoded(views, chunk)
            counts = torch.tensor([x.shape[1] for x in encoded], device=ids.device)
            view_of_token = torch.repeat_interleave(torch.arange(len(views), device=ids.device), counts)
            fused = self.decoder(torch.cat(encoded, 1), view_of_token, ids)
        split = [x.split([len_.shape[1] for len_ in encoded], 1) for x in fused]
        hooks = [[encoded[view].float(), *(x[view].float() for x in split)] for view in range(len(views))]
        with _autocast(views[0].device, torch.float32):
            return self._pointmaps(views, hooks, finer, chunk)

    def _encoded(self, views: list[Tensor], chunk: int) -> tuple[list[Tensor], list[tuple[Tensor, ...]]]:
        """Tokens and finer maps of each view."""
        tokens: dict[int, Tensor] = {}
        finer: dict[int, tuple[Tensor, ...]] = {}
        for numbers in _same_size(views, chunk):
            x, maps = self.encoder(torch.cat([views[number] for number in numbers]))
            tokens.update(zip(numbers, x.chunk(len(numbers)), strict=True))
            parts = [one.chunk(len(numbers)) for one in maps]
            finer.update((number, tuple(part[row] for part in parts)) for row, number in enumerate(numbers))
        return [tokens[number] for number in range(len(views))], [finer[number] for number in range(len(views))]

    def _pointmaps(
        self, views: list[Tensor], hooks: list[list[Tensor]], finer: list[tuple[Tensor, ...]], chunk: int
    ) -> list[Pointmap]:
        result: dict[int, Pointmap] = {}
        for numbers in _same_size(views, chunk):
            height, width = views[numbers[0]].shape[-2:]
            tokens = [torch.cat([hooks[number][level] for number in numbers]) for level in range(4)]
            stem = [torch.cat(parts).float() for parts in zip(*(finer[number] for number in numbers), strict=True)]
            maps = [
                *self.downstream_head(tokens, stem, height, width),
                *self.downstream_head_local(tokens, stem, height, width),
            ]
            parts = zip(*(m.chunk(len(numbers)) for m in maps), strict=True)
            result.update((number, Pointmap(*part)) for number, part in zip(numbers, parts, strict=True))
        return [result[number] for number in range(len(views))]

    def _check_views(self, views: list[Tensor]) -> None:
        patch = self.settings.patch
        if not views:
            raise InputError("no image, expected at least one")
        for number, view in enumerate(views):
            if view.ndim != 4 or view.shape[1] != 3 or view.shape[0] != views[0].shape[0]:
                raise InputError(f"image {number} is {tuple(view.shape)}, expected ({views[0].shape[0]}, 3, H, W)")
            if view.shape[2] % patch or view.shape[3] % patch or not view.numel():
                raise InputError(
                    f"image {number} is {view.shape[3]}x{view.shape[2]}, expected sides that are multiples of {patch}"
                )


def points_and_confidence(values: Tensor) -> tuple[Tensor, Tensor]:
    """Points [B, H, W, 3] = ``x/|x| (e^|x| - 1)`` and confidence [B, H, W] = ``1 + e^c`` of float [B, 4, H, W]."""
    xyz, logit = values[:, :3].movedim(1, -1), values[:, 3]
    distance = xyz.norm(dim=-1, keepdim=True)
    return xyz / distance.clamp(min=1e-8) * torch.expm1(distance), 1 + logit.exp()


def checked_view_ids(view_ids: Tensor | None, views: int, batch: int, table: int, device: torch.device) -> Tensor:
    """Ids int64 [B, V].

    Raises:
        InputError: too many views for the table, another shape, ids twice or outside the table, or a first that is
            not 0.
    """
    if views > table:
        raise InputError(f"{views} views, expected at most {table}: build the network with more view_ids")
    if view_ids is None:
        view_ids = torch.arange(views, device=device)
    if view_ids.shape not in ((views,), (batch, views)):
        raise InputError(f"view_ids are {tuple(view_ids.shape)}, expected ({views},) or ({batch}, {views})")
    ids = view_ids.to(device).expand(batch, views)
    if bool((ids < 0).any()) or bool((ids >= table).any()) or bool((ids[:, 0] != 0).any()):
        raise InputError(f"view_ids are {ids.tolist()}, expected 0 and then others below {table}")
    if bool((ids.sort(1).values.diff(dim=1) == 0).any()):
        raise InputError(f"view_ids are {ids.tolist()}, expected no id twice")
    return ids


def _same_size(views: list[Tensor], chunk: int) -> Iterator[list[int]]:
    """Numbers of views of one size, at most ``chunk`` at a time."""
    sizes: dict[tuple[int, ...], list[int]] = {}
    for number, view in enumerate(views):
        sizes.setdefault(tuple(view.shape[-2:]), []).append(number)
    for numbers in sizes.values():
        for start in range(0, len(numbers), max(1, chunk)):
            yield numbers[start : start + max(1, chunk)]


def _autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, dtype if dtype != torch.float32 else None, enabled=dtype != torch.float32)


def _check_settings(s: Fast3rSettings) -> None:
    if s.encoder_width % (4 * s.encoder_heads):
        raise InputError(f"encoder_width is {s.encoder_width}, expected a multiple of 4 x {s.encoder_heads} heads")
    if s.decoder_width % s.decoder_heads or s.decoder_width % 2:
        raise InputError(f"decoder_width is {s.decoder_width}, expected an even multiple of {s.decoder_heads} heads")
    if s.decoder_depth < 4 or s.decoder_depth % 4:
        raise InputError(f"decoder_depth is {s.decoder_depth}, expected a multiple of 4")
    if s.patch % 8:
        raise InputError(f"patch is {s.patch}, expected a multiple of 8")
    if s.stem not in ("patch", "conv"):
        raise InputError(f"stem is '{s.stem}', expected patch or conv")
    if s.stem == "conv" and s.patch != STEM_PATCH:
        raise InputError(f"patch is {s.patch}, expected {STEM_PATCH} for a stem of convolutions")


def build(settings: Fast3rSettings) -> Fast3r:
    """The network, with fresh weights as its authors draw them: Xavier's for linear layers (Glorot, 2010)."""
    network = Fast3r(settings)
    for module in (*network.encoder.modules(), *network.decoder.modules()):
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    return network


KIND = NetworkKind("fast3r", 1, Fast3rSettings, PRESETS, build)
