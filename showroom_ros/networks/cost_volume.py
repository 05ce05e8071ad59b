"""Comparing an image's features with those of others on hypotheses of depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def scaled_intrinsics(K: Tensor, stride: int) -> Tensor:
    """Intrinsics of a feature map whose cells are ``stride`` pixels wide.

    Args:
        K: float [..., 3, 3], pixels, the centre of the first pixel being (0, 0).
        stride: pixels per cell; the centre of the first cell is at pixel ((stride - 1) / 2, (stride - 1) / 2).
    """
    scaled = K.clone()
    scaled[..., :2, :] = K[..., :2, :] / stride
    scaled[..., :2, 2] = (K[..., :2, 2] + 0.5) / stride - 0.5
    return scaled


def rays_of(K: Tensor, height: int, width: int) -> Tensor:
    """Points at depth 1 of all pixels: float [B, 3, H*W] of K [B, 3, 3]."""
    v, u = torch.meshgrid(
        torch.arange(height, dtype=K.dtype, device=K.device),
        torch.arange(width, dtype=K.dtype, device=K.device),
        indexing="ij",
    )
    u, v = u.reshape(1, -1), v.reshape(1, -1)
    fx, fy, cx, cy = (K[:, i, j, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    x, y = (u - cx) / fx, (v - cy) / fy
    return torch.stack([x, y, torch.ones_like(x)], 1)


def projected(
    depth: Tensor, K: Tensor, K_source: Tensor, T_source_reference: Tensor, source_size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Where hypotheses of depth are seen in a source.

    Args:
        depth: float [B, D, h, w], metres, planar.
        K: float [B, 3, 3], of the reference's feature map.
        K_source: float [B, 3, 3], of the source's.
        T_source_reference: float [B, 4, 4].
        source_size: height and width of the source's feature map.

    Returns:
        Positions for ``grid_sample`` (``align_corners=False``), float [B, D, h, w, 2]; 2 (outside) where behind
        the source. And the cosine of the angle between the rays of both cameras at each point [B, D, h, w].
    """
    batch, _, height, width = depth.shape
    rays = rays_of(K, height, width)
    turned = K_source @ (T_source_reference[:, :3, :3] @ rays)
    moved = K_source @ T_source_reference[:, :3, 3:]
    points = turned.view(batch, 3, 1, height, width) * depth[:, None] + moved.view(batch, 3, 1, 1, 1)
    z = points[:, 2]
    front = z > 1e-3
    scale = 1.0 / torch.where(front, z, 1.0)
    rows, columns = source_size
    u, v = (points[:, 0] * scale + 0.5) * (2 / columns) - 1, (points[:, 1] * scale + 0.5) * (2 / rows) - 1
    grid = torch.stack([u, v], -1)
    grid = torch.where(front[..., None], grid, 2.0).clamp(-2, 2)
    rays = rays.view(batch, 3, 1, height, width)
    centre = -(T_source_reference[:, :3, :3].transpose(1, 2) @ T_source_reference[:, :3, 3:]).view(batch, 3, 1, 1, 1)
    away = rays * depth[:, None] - centre
    squares = (rays * rays).sum(1) * (away * away).sum(1)
    cosine = (rays * away).sum(1) * squares.clamp(min=1e-12).rsqrt()
    return grid, cosine


def guided_correlation(
    reference: Tensor,
    sources: Tensor,
    depth: Tensor,
    K: Tensor,
    K_sources: Tensor,
    T_source_reference: Tensor,
    source_mask: Tensor,
    view_weights: nn.Module,
    groups: int,
) -> tuple[Tensor, Tensor]:
    """Correlation of a reference with its sources on hypotheses of depth, views weighted by a network.

    Args:
        reference: float [B, C, h, w], unit length.
        sources: float [B, N, C, h', w'], unit length; finer maps tell places more exactly.
        depth: float [B, D, h, w], metres.
        K: float [B, 3, 3], of the reference's feature map.
        K_sources: float [B, N, 3, 3], of the sources'.
        T_source_reference: float [B, N, 4, 4].
        source_mask: bool [B, N]; others count for nothing.
        view_weights: maps [B, groups + 1, D * h, w] (correlations, ray angle) of one view to logits [B, 1, D * h, w].
        groups: of channels.

    Returns:
        float [B, groups + 2, D, h, w]: weighted mean of the correlations, of the rays' angle, and the share of the
        sources that see the point; and float [B, D, h, w]: mean over groups, between -1 and 1.
    """
    batch, channels, height, width = reference.shape
    planes = depth.shape[1]
    total = depth.new_zeros(batch, groups + 1, planes, height, width)
    weights = depth.new_full((batch, 1, planes, height, width), 1e-4)
    seen = torch.zeros_like(weights)
    split = reference.view(batch, groups, channels // groups, 1, height, width) * groups
    for number in range(sources.shape[1]):
        size = sources.shape[-2], sources.shape[-1]
        grid, cosine = projected(depth.detach(), K, K_sources[:, number], T_source_reference[:, number], size)
        flat = grid.reshape(batch, planes * height, width, 2)
        warped = F.grid_sample(sources[:, number], flat, mode="bilinear", padding_mode="zeros", align_corners=False)
        warped = warped.view(batch, groups, channels // groups, planes, height, width)
        correlation = (split * warped).sum(2)
        angle = torch.arccos(cosine.clamp(-1, 0.99999)).clamp(max=0.6)[:, None]
        inside = (grid.abs().amax(-1) < 1) & source_mask[:, number, None, None, None]
        said = torch.cat([correlation, angle * 3], 1)
        weight = view_weights(said.flatten(2, 3)).view(batch, 1, planes, height, width).sigmoid() * inside[:, None]
        total = total + weight * said
        weights = weights + weight
        seen = seen + inside[:, None]
    mean = total / weights
    count = source_mask.sum(1).clamp(min=1).view(-1, 1, 1, 1, 1)
    return torch.cat([mean, seen / count], 1), mean[:, :groups].mean(1)


def plane_expectation(logits: Tensor, planes: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Expected log depth around the likeliest hypothesis, and the probability gathered there.

    A mean over all hypotheses lies between surfaces where there are two candidates; one over the neighbourhood
    of the best does not.

    Args:
        logits: float [B, D, h, w].
        planes: float [B, D, h, w], log depth of the hypotheses.
        window: hypotheses to either side of the best.

    Returns:
        Both float [B, h, w].
    """
    chance = logits.softmax(1)
    best = logits.argmax(1, keepdim=True)
    numbers = torch.arange(logits.shape[1], device=logits.device).view(1, -1, 1, 1)
    near = chance * ((numbers - best).abs() <= window)
    gathered = near.sum(1)
    return (near * planes).sum(1) / gathered.clamp(min=1e-6), gathered
