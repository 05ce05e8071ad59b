"""Depth of an image from others of known pose: plane-sweep stereo, coarse to fine, with a map's depth as a hint.

Features of the reference are compared with those of the sources on planes of hypothesised depth (Collins, 1996;
Yao et al., MVSNet, 2018), first on all of them at 1/8 of the image, then on a few around the estimate at 1/4, looked
up in features at 1/2 (Gu et al., cascade cost volumes, 2020), as correlation in groups of channels (Guo et al.,
GwcNet, 2019). Views are weighted by how well they agree and by their rays' angle, the volume is filtered in 3D under
the guidance of the image (Bangunharjo et al., CoEx, 2021), and a 2D network carries depth from where it is sure to
plain surface. A hint, the depth of the map so far, enters the volume as one more measurement (Sayed et al.,
DoubleTake, 2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showroom_ros.networks.cost_volume import guided_correlation, plane_expectation, scaled_intrinsics
from showroom_ros.networks.kind import NetworkKind
from showroom_ros.networks.layers import ConvUNet2d, CostUNet3d, ImageEncoder, convex_upsampled


@dataclass(frozen=True)
class PlaneSweepSettings:
    """Everything that shapes the network.

    Attributes:
        widths: channels of the encoder at 1/2, 1/4, 1/8 and 1/16 of the image.
        match_channels: channels of the features that are compared.
        groups: groups of them; each gives one correlation.
        cost_channels: channels of the filtered volume at its three resolutions.
        refine_channels: width of the 2D networks.
        planes: hypotheses of the coarse volume, log-spaced.
        fine_planes: hypotheses of the fine volume.
        fine_range: how far the fine hypotheses reach to either side, in steps of the coarse ones.
        near_m, far_m: first and last coarse hypothesis in metres.
    """

    widths: tuple[int, int, int, int] = (16, 32, 48, 64)
    match_channels: int = 16
    groups: int = 4
    cost_channels: tuple[int, int, int] = (8, 16, 32)
    refine_channels: int = 32
    planes: int = 64
    fine_planes: int = 16
    fine_range: float = 2.0
    near_m: float = 0.35
    far_m: float = 7.0

    @property
    def stride(self) -> int:
        """Sides of images must be multiples of this many pixels."""
        return 16

    @property
    def plane_step(self) -> float:
        """Ratio of the logarithms of neighbouring coarse hypotheses."""
        return math.log(self.far_m / self.near_m) / (self.planes - 1)


PRESETS = {
    "tiny": PlaneSweepSettings((8, 12, 16, 24), 8, 4, (4, 8, 8), 12, planes=32, fine_planes=8),
    "small": PlaneSweepSettings(),
    "base": PlaneSweepSettings((32, 64, 96, 160), 32, 8, (16, 32, 64), 64, planes=80),
}


class Features(NamedTuple):
    """What is known of one image before it is compared with others.

    Attributes:
        coarse: float [B, C, H/8, W/8], unit length, to be compared.
        match: float [B, C, H/2, W/2], the same, finer.
        context: guides of the filters: [B, c, H/4, W/4], [B, c, H/8, W/8], [B, c, H/16, W/16].
    """

    coarse: Tensor
    match: Tensor
    context: tuple[Tensor, Tensor, Tensor]


class Prediction(NamedTuple):
    """What the network says of the reference image.

    Attributes:
        depth: float [B, H, W], metres.
        confidence: float [B, H, W], probability that the depth is right within 4 %.
        confidence_logits: float [B, H/4, W/4], of that probability.
        levels: depth [B, h, w] at 1/8 before and after propagation, at 1/4 before and after.
        coarse_logits: float [B, D, H/8, W/8], of the coarse hypotheses.
        coarse_planes: float [B, D, H/8, W/8], log of their depth in metres.
        fine_logits: float [B, d, H/4, W/4], of the fine ones.
        fine_planes: float [B, d, H/4, W/4], log of their depth in metres.
    """

    depth: Tensor
    confidence: Tensor
    confidence_logits: Tensor
    levels: tuple[Tensor, Tensor, Tensor, Tensor]
    coarse_logits: Tensor
    coarse_planes: Tensor
    fine_logits: Tensor
    fine_planes: Tensor


class PlaneSweepNet(nn.Module):
    """Predicts depth and confidence; see the module's text."""

    log_planes: Tensor

    def __init__(self, settings: PlaneSweepSettings) -> None:
        """Fresh weights; with them the volume's logits are the correlation itself."""
        super().__init__()
        self.settings = settings
        _, quarter, eighth, sixteenth = settings.widths
        inputs, width = settings.groups + 4, settings.refine_channels
        self.encoder = ImageEncoder(settings.widths, settings.match_channels)
        self.view_weights = nn.ModuleList(_view_weights(settings.groups) for _ in range(2))
        self.coarse_filter = CostUNet3d(inputs, settings.cost_channels, (eighth, sixteenth))
        self.fine_filter = CostUNet3d(inputs, settings.cost_channels[:2], (quarter, eighth))
        self.sharpness = nn.Parameter(torch.tensor([10.0, 10.0]))
        self.coarse_propagation = ConvUNet2d(eighth + 5, width, 3, outputs=2)
        self.fine_propagation = ConvUNet2d(quarter + 5, width, 3, outputs=2 + 9 * 16)
        steps = torch.arange(settings.planes) * settings.plane_step + math.log(settings.near_m)
        self.register_buffer("log_planes", steps, persistent=False)

    def encode(self, images: Tensor) -> Features:
        """Features of images, float [B, 3, H, W], RGB in 0..1; sides are multiples of ``settings.stride``."""
        coarse, match, context = self.encoder(images)
        return Features(F.normalize(coarse, dim=1), F.normalize(match, dim=1), context)

    def decode(
        self,
        reference: Features,
        sources: Features | tuple[Tensor, Tensor],
        K: Tensor,
        K_sources: Tensor,
        T_source_reference: Tensor,
        source_mask: Tensor | None = None,
        hint_depth: Tensor | None = None,
        hint_confidence: Tensor | None = None,
    ) -> Prediction:
        """Depth of the reference images.

        Args:
            reference: of [B] images.
            sources: ``coarse`` and ``match`` of the sources, each with axes [B, N, C, h, w].
            K: float [B, 3, 3], of the reference images, pixels, the centre of the first being (0, 0).
            K_sources: float [B, N, 3, 3], of the sources.
            T_source_reference: float [B, N, 4, 4], maps points of the reference camera to the sources', metres.
            source_mask: bool [B, N], which sources there are; None = all.
            hint_depth: float [B, H, W], depth that is known already, metres, NaN where it is not; or None.
            hint_confidence: float [B, H, W], how far it may be trusted, 0..1; None = fully.
        """
        mask = torch.ones_like(K_sources[..., 0, 0], dtype=torch.bool) if source_mask is None else source_mask
        hints = _Hints.of(hint_depth, hint_confidence)
        batch, _, height, width = reference.context[0].shape
        s = self.settings

        planes = self.log_planes[None, :, None, None].expand(batch, -1, height // 2, width // 2)
        volume, correlation = guided_correlation(
            reference.coarse, sources[0], planes.exp(), scaled_intrinsics(K, 8), scaled_intrinsics(K_sources, 8),
            T_source_reference, mask, self.view_weights[0], s.groups,
        )  # fmt: skip
        volume = torch.cat([volume, hints.evidence(planes, 8, s.plane_step)], 1)
        coarse_logits = self.coarse_filter(volume, reference.context[1:]) + self.sharpness[0] * correlation
        estimate, sure = plane_expectation(coarse_logits, planes, window=3)
        given = torch.stack([estimate, sure, *hints.planes(8, estimate)], 1)
        change = self.coarse_propagation(torch.cat([reference.context[1], given, _entropy(coarse_logits)], 1))
        refined = estimate + _bounded(change[:, 0])

        middle = F.interpolate(refined.detach()[:, None], scale_factor=2, mode="bilinear", align_corners=False)
        offsets = torch.linspace(-s.fine_range, s.fine_range, s.fine_planes, device=middle.device) * s.plane_step
        fine_planes = middle + offsets.to(middle.dtype)[None, :, None, None]
        volume, correlation = guided_correlation(
            F.normalize(F.avg_pool2d(reference.match, 2), dim=1), sources[1], fine_planes.exp(),
            scaled_intrinsics(K, 4), scaled_intrinsics(K_sources, 2),
            T_source_reference, mask, self.view_weights[1], s.groups,
        )  # fmt: skip
        volume = torch.cat([volume, hints.evidence(fine_planes, 4, float(offsets[1] - offsets[0]) * 2)], 1)
        fine_logits = self.fine_filter(volume, reference.context[:2]) + self.sharpness[1] * correlation
        fine, fine_sure = plane_expectation(fine_logits, fine_planes, window=fine_logits.shape[1])
        given = torch.stack([fine, fine_sure, *hints.planes(4, fine)], 1)
        coarse_sure = F.interpolate(sure[:, None], scale_factor=2, mode="bilinear", align_corners=False)
        change = self.fine_propagation(torch.cat([reference.context[0], given, coarse_sure], 1))
        final = fine + _bounded(change[:, 0])
        depth = convex_upsampled(final.exp(), change[:, 2:], 4)
        logits = change[:, 1]
        confidence = F.interpolate(logits.sigmoid()[:, None], scale_factor=4, mode="bilinear", align_corners=False)
        levels = (estimate.exp(), refined.exp(), fine.exp(), final.exp())
        return Prediction(depth, confidence[:, 0], logits, levels, coarse_logits, planes, fine_logits, fine_planes)

    def forward(
        self,
        images: Tensor,
        K: Tensor,
        T_world_camera: Tensor,
        references: tuple[int, ...] = (0,),
        hint_depth: Tensor | None = None,
        hint_confidence: Tensor | None = None,
    ) -> list[Prediction]:
        """Depth of some images of clips, each from all the others of its clip.

        Args:
            images: float [B, V, 3, H, W], RGB in 0..1.
            K: float [B, V, 3, 3], pixels.
            T_world_camera: float [B, V, 4, 4], metres.
            references: numbers of the images whose depth is wanted.
            hint_depth: float [B, R, H, W] for each of them, or None.
            hint_confidence: float [B, R, H, W], or None.
        """
        batch, views = images.shape[:2]
        features = self.encode(images.flatten(0, 1))
        coarse, match = (x.unflatten(0, (batch, views)) for x in features[:2])
        context = [x.unflatten(0, (batch, views)) for x in features.context]
        result = []
        for row, number in enumerate(references):
            others = [view for view in range(views) if view != number]
            reference = Features(coarse[:, number], match[:, number], tuple(x[:, number] for x in context))
            T_source_reference = torch.linalg.inv(T_world_camera[:, others]) @ T_world_camera[:, number, None]
            hint = None if hint_depth is None else hint_depth[:, row]
            sure = None if hint_confidence is None else hint_confidence[:, row]
            sources = coarse[:, others], match[:, others]
            result.append(
                self.decode(
                    reference, sources, K[:, number], K[:, others], T_source_reference,
                    hint_depth=hint, hint_confidence=sure,
                )
            )  # fmt: skip
        return result


class _Hints(NamedTuple):
    """Known depth: log metres [B, 1, H, W], 0 where unknown, and how far to trust it [B, 1, H, W]; empty = none."""

    log_depth: Tensor
    trust: Tensor

    @staticmethod
    def of(depth: Tensor | None, confidence: Tensor | None) -> _Hints:
        if depth is None:
            return _Hints(torch.empty(0), torch.empty(0))
        known = depth > 0
        trust = known.to(depth.dtype) if confidence is None else torch.where(known, confidence, 0.0)
        return _Hints(torch.where(known, depth, 1.0).log()[:, None], trust[:, None])

    def at(self, stride: int) -> tuple[Tensor, Tensor]:
        """Log depth and trust at 1/stride of the image: the nearest pixel's, for means would mix surfaces."""
        half = stride // 2
        return self.log_depth[..., half::stride, half::stride], self.trust[..., half::stride, half::stride]

    def evidence(self, planes: Tensor, stride: int, width: float) -> Tensor:
        """Two channels [B, 2, D, h, w]: how near each hypothesis is to the hint, and how far that is to trust."""
        if not self.log_depth.numel():
            return planes.new_zeros(planes.shape[0], 2, *planes.shape[1:])
        log_depth, trust = self.at(stride)
        near = trust * torch.exp(-((planes - log_depth) / width).square())
        return torch.stack([near, trust.expand_as(near)], 1)

    def planes(self, stride: int, estimate: Tensor) -> tuple[Tensor, Tensor]:
        """Deviation of the hint from the estimate [B, h, w], log metres, 0 where unknown, and its trust."""
        if not self.log_depth.numel():
            return torch.zeros_like(estimate), torch.zeros_like(estimate)
        log_depth, trust = (x[:, 0] for x in self.at(stride))
        return torch.where(trust > 0, (log_depth - estimate).clamp(-0.5, 0.5), 0.0), trust


def _view_weights(groups: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(groups + 1, 8, 1), nn.ReLU(), nn.Conv2d(8, 1, 1))


def _entropy(logits: Tensor) -> Tensor:
    """Entropy of hypotheses [B, D, h, w] as a share of the greatest possible, [B, 1, h, w]."""
    chance = logits.softmax(1)
    return -(chance * chance.clamp(min=1e-6).log()).sum(1, keepdim=True) / math.log(logits.shape[1])


def _bounded(change: Tensor) -> Tensor:
    """A change of log depth of at most a factor of e in either direction."""
    return torch.tanh(change * 0.5)


KIND = NetworkKind("plane_sweep", 2, PlaneSweepSettings, PRESETS, PlaneSweepNet)
