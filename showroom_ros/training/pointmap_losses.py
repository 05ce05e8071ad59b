"""Losses of pointmaps (Wang et al., DUSt3R, 2024; Yang et al., Fast3R, 2025, sections 3.2 and 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from showroom_ros.networks.fast3r import Pointmap


def pointmap_targets(depth: Tensor, K: Tensor, T_world_camera: Tensor) -> tuple[Tensor, Tensor]:
    """True points in the frame of the first camera and in that of their own.

    Args:
        depth: float [B, V, H, W], metres, NaN unknown.
        K: float [B, V, 3, 3], pixels.
        T_world_camera: float [B, V, 4, 4].

    Returns:
        two float [B, V, H, W, 3], NaN unknown.
    """
    height, width = depth.shape[-2:]
    v, u = torch.meshgrid(
        torch.arange(height, device=depth.device, dtype=depth.dtype),
        torch.arange(width, device=depth.device, dtype=depth.dtype),
        indexing="ij",
    )
    fx, fy, cx, cy = (K[..., i, j, None, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    local = torch.stack([(u - cx) / fx * depth, (v - cy) / fy * depth, depth], -1)
    T_first_camera = torch.linalg.inv(T_world_camera[:, :1]) @ T_world_camera
    rotation, translation = T_first_camera[..., :3, :3], T_first_camera[..., :3, 3]
    points = torch.einsum("bvij,bvhwj->bvhwi", rotation, local) + translation[:, :, None, None]
    return points, local


def mean_distance(points: Tensor, valid: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Mean distance to the origin of the valid points, over ``axes`` of [B, V, H, W], which are kept as 1."""
    distance = torch.where(valid, points.norm(dim=-1), 0.0)
    return distance.sum(axes, keepdim=True) / valid.sum(axes, keepdim=True).clamp(min=1)


def normalised(points: Tensor, valid: Tensor, *, per_view: bool) -> Tensor:
    """Points [B, V, H, W, 3] over their mean distance to the origin: of all views of a sample, or of each view."""
    return points / _scale(points, valid, per_view)


def normalised_pair(
    guess: Tensor, truth: Tensor, valid: Tensor, *, per_view: bool, metric: bool
) -> tuple[Tensor, Tensor]:
    """Two sets of points [B, V, H, W, 3] over the mean distance of ``truth``, or ``guess`` over its own.

    Args:
        guess: predicted points.
        truth: what they are to be; anything where not ``valid``, which comes back as 0.
        valid: bool [B, V, H, W].
        per_view: as in ``normalised``.
        metric: both over the truth's mean distance, so that the scale of ``guess`` counts (Leroy et al., MASt3R,
            2024).
    """
    truth = torch.where(valid[..., None], truth, 0.0)
    scale = _scale(truth, valid, per_view)
    return guess / scale if metric else normalised(guess, valid, per_view=per_view), truth / scale


def _scale(points: Tensor, valid: Tensor, per_view: bool) -> Tensor:
    return mean_distance(points, valid, (2, 3) if per_view else (1, 2, 3)).clamp(min=1e-6)[..., None]


def confidence_weighted(error: Tensor, confidence: Tensor, valid: Tensor, alpha: float) -> Tensor:
    """Mean of ``c |e| - alpha log c`` over the valid pixels, view by view; all [B, V, H, W], result [B, V]."""
    value = torch.where(valid, error * confidence - alpha * confidence.log(), 0.0)
    return value.sum((2, 3)) / valid.sum((2, 3)).clamp(min=1)


def pointmap_losses(
    predictions: Sequence[Pointmap], points: Tensor, local: Tensor, *, metric: bool, alpha: float = 0.2
) -> dict[str, Tensor]:
    """What the network is trained to make small: ``loss``, and its parts.

    Args:
        predictions: of V views.
        points: float [B, V, H, W, 3], true points in the first camera's frame, NaN unknown.
        local: float [B, V, H, W, 3], the same in each camera's own frame.
        metric: predicted points are divided by the true points' mean distance instead of their own, so that their
            scale is learned too, see ``normalised_pair``.
        alpha: of the confidence.
    """
    valid = points.isfinite().all(-1) & local.isfinite().all(-1)
    predicted = torch.stack([p.points for p in predictions], 1), torch.stack([p.local_points for p in predictions], 1)
    confidence = (
        torch.stack([p.confidence for p in predictions], 1),
        torch.stack([p.local_confidence for p in predictions], 1),
    )
    parts: dict[str, Tensor] = {}
    for name, x, y, c, per_view in (
        ("global", predicted[0], points, confidence[0], False),
        ("local", predicted[1], local, confidence[1], True),
    ):
        guess, true = normalised_pair(x, y, valid, per_view=per_view, metric=metric)
        error = torch.where(valid, (guess - true).norm(dim=-1), 0.0)
        parts[name] = confidence_weighted(error, c, valid, alpha).mean()
        parts[f"{name}_error"] = (error.sum() / valid.sum().clamp(min=1)).detach()
    depth, true_depth = predicted[1][..., 2].detach(), local[..., 2]
    parts["abs_rel"] = ((depth - true_depth).abs() / true_depth)[valid].sum() / valid.sum().clamp(min=1)
    parts["loss"] = 0.5 * (parts["global"] + parts["local"])
    return parts
