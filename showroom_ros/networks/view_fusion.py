"""What posed images say of a voxel: feature maps sampled where it projects to, fused by a transformer over the views.

After VoRTX (Stier et al., 3DV 2021). Pixels of a feature map of stride s are pixels of the image divided by s, without
a half-pixel shift: the convolutions that make it are centred on every s-th pixel. Sampling is bilinear between the
centres of the first and the last pixel (``align_corners=True``), and the grid is normalised for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from showroom_ros.errors import InputError

MEAN_DEPTH_M, DEPTH_SPREAD_M = 1.85, 0.85
"""By which the depth of a voxel in a view is normalised."""
OCTAVES = 4
DIRECTION_CHANNELS = 3 + 6 * OCTAVES
_UNSEEN_LOGIT = -9e3
_FAR_OUT = 2.0


class ViewFeatures(NamedTuple):
    """What is kept of n images; of tuples, the values are those of coarse, medium, fine.

    Attributes:
        maps: float [n, C, h, w] each.
        projections: float [n, 3, 4] each, from homogeneous world points in metres to pixels of the map times depth.
    """

    maps: tuple[Tensor, ...]
    projections: tuple[Tensor, ...]

    @property
    def views(self) -> int:
        """Number of images."""
        return len(self.maps[0])

    @staticmethod
    def stacked(features: Sequence[ViewFeatures]) -> ViewFeatures:
        """All images of several, in their order.

        Raises:
            InputError: there are none, or their maps have different sizes.
        """
        if not features:
            raise InputError("no view features to stack")
        sizes = {tuple(level.shape[1:] for level in one.maps) for one in features}
        if len(sizes) > 1:
            raise InputError(f"views have feature maps of different sizes: {sorted(sizes)}")
        return ViewFeatures(
            tuple(torch.cat(level) for level in zip(*(one.maps for one in features), strict=True)),
            tuple(torch.cat(level) for level in zip(*(one.projections for one in features), strict=True)),
        )

    def select(self, views: Sequence[int] | Tensor) -> ViewFeatures:
        """Those of some of the images."""
        rows = torch.as_tensor(views, dtype=torch.int64, device=self.maps[0].device)
        return ViewFeatures(tuple(level[rows] for level in self.maps), tuple(level[rows] for level in self.projections))

    def kept_as(self, dtype: torch.dtype) -> ViewFeatures:
        """With maps of another dtype (float16 halves a cache); projections stay as they are."""
        return ViewFeatures(tuple(level.to(dtype) for level in self.maps), self.projections)


class FusedViews(NamedTuple):
    """What n views together say of V voxels.

    Attributes:
        features: float [V, C].
        valid: bool [V, n], which views see the voxel: in front of the camera and inside the map.
        projective_occupancy: float [V, n], logits that the surface is within the truncation along the view's ray.
    """

    features: Tensor
    valid: Tensor
    projective_occupancy: Tensor


class Samples(NamedTuple):
    """Feature maps where voxels project to.

    Attributes:
        features: float [V, n, C], 0 where not valid.
        depth_m: float [V, n], of the voxel in the view's camera.
        valid: bool [V, n].
    """

    features: Tensor
    depth_m: Tensor
    valid: Tensor


def projections(K: Tensor, T_world_camera: Tensor, stride: int) -> Tensor:
    """Projection into feature maps of a stride, float [n, 3, 4].

    Args:
        K: float [n, 3, 3], intrinsics in pixels of the images.
        T_world_camera: float [n, 4, 4].
        stride: pixels of the image per pixel of the map.
    """
    with torch.autocast(K.device.type, enabled=False):
        rotation, centre = T_world_camera[:, :3, :3].transpose(1, 2).double(), T_world_camera[:, :3, 3:].double()
        scale = torch.tensor([1 / stride, 1 / stride, 1.0], dtype=torch.float64, device=K.device)
        return (scale[:, None] * K.double() @ torch.cat([rotation, -rotation @ centre], 2)).to(K.dtype)


def project(points_m: Tensor, projection: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels [V, n, 2] and depths [V, n] of world points [V, 3] in n views [n, 3, 4]; not finite where depth is 0."""
    with torch.autocast(points_m.device.type, enabled=False):
        points, matrix = points_m.to(projection.dtype), projection
        image = torch.einsum("nij,vj->vni", matrix[:, :, :3], points) + matrix[:, :, 3]
    return image[..., :2] / image[..., 2:], image[..., 2]


def back_projected(points_m: Tensor, maps: Tensor, projection: Tensor) -> Samples:
    """Samples feature maps [n, C, h, w] at the projections of world points [V, 3].

    A point is valid in a view if it is in front of the camera and within the centres of the map's outer pixels.
    """
    height, width = maps.shape[2:]
    pixels, depth_m = project(points_m, projection)
    grid = 2 * pixels / pixels.new_tensor([width - 1, height - 1]) - 1
    valid = (depth_m > 0) & (grid.abs() <= 1).all(-1)
    grid = torch.where(valid[..., None], grid, torch.full_like(grid, _FAR_OUT))
    sampled = functional.grid_sample(
        maps,
        grid.transpose(0, 1)[:, :, None].to(maps.dtype),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=True,
    )
    return Samples(sampled[..., 0].permute(2, 0, 1) * valid[..., None], depth_m, valid)


class ViewDirections(nn.Module):
    """Tells every pixel of a feature map in which direction of the world it looks."""

    def __init__(self, channels: int) -> None:
        """Fresh weights (Xavier-normal)."""
        super().__init__()
        self.mix = nn.Conv2d(channels + DIRECTION_CHANNELS, channels, 1, bias=False)
        nn.init.xavier_normal_(self.mix.weight)

    def forward(self, maps: Tensor, projection: Tensor, centre_m: Tensor) -> Tensor:
        """Feature maps [n, C, h, w] of views [n, 3, 4] with cameras at [n, 3] in metres to maps of the same shape."""
        directions = direction_encoding(ray_directions(maps.shape[2], maps.shape[3], projection, centre_m))
        return self.mix(torch.cat([maps, directions.to(maps.dtype)], 1))


def ray_directions(height: int, width: int, projection: Tensor, centre_m: Tensor) -> Tensor:
    """Unit viewing directions in the world, float [n, 3, height, width], of all pixels of maps.

    Args:
        height: of the maps.
        width: of the maps.
        projection: float [n, 3, 4].
        centre_m: float [n, 3], positions of the cameras; the projection maps them to 0.
    """
    with torch.autocast(projection.device.type, enabled=False):
        v, u = torch.meshgrid(
            torch.arange(height, device=projection.device), torch.arange(width, device=projection.device), indexing="ij"
        )
        pixels = torch.stack([u, v, torch.ones_like(u)]).reshape(3, -1).to(projection.dtype)
        # P (c + d) = M d, so what M maps to a pixel is the direction itself, whatever the camera's position
        rays = torch.linalg.inv(projection[:, :, :3]) @ pixels
        return functional.normalize(rays, dim=1).reshape(-1, 3, height, width)


def direction_encoding(directions: Tensor) -> Tensor:
    """Directions [n, 3, h, w] with their sines and cosines of four octaves, [n, 27, h, w] (Mildenhall et al., 2020)."""
    parts = [directions]
    for octave in range(OCTAVES):
        angle = math.pi * 2**octave * directions
        parts += [angle.sin(), angle.cos()]
    return torch.cat(parts, 1)


class ViewTransformerLayer(nn.Module):
    """Self-attention over the views of a voxel and a feed-forward network, both pre-normalised and residual."""

    def __init__(self, channels: int, heads: int) -> None:
        """Fresh weights."""
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)
        self.feed_forward = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.ReLU(), nn.Linear(2 * channels, channels)
        )
        nn.init.xavier_uniform_(self.queries_keys_values.weight)
        nn.init.zeros_(self.queries_keys_values.bias)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Float [V, n, C] to the same; ``mask`` bool [V, n, n] says which key (last axis) a query may attend to."""
        features = features + self._attention(self.norm1(features), mask)
        return features + self.feed_forward(self.norm2(features))

    def _attention(self, features: Tensor, mask: Tensor) -> Tensor:
        voxels, views, channels = features.shape
        split = self.queries_keys_values(features).reshape(voxels, views, 3, self.heads, channels // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask[:, None])
        return self.output(attended.transpose(1, 2).reshape(voxels, views, channels))


def attention_mask(valid: Tensor) -> Tensor:
    """Who may look at whom, bool [V, n, n]: any view at those that see the voxel, and every view at itself."""
    return valid[:, None, :] | torch.eye(valid.shape[1], dtype=torch.bool, device=valid.device)


class ViewFusion(nn.Module):
    """One feature per voxel from all views, and per view whether the surface is near."""

    def __init__(self, channels: int, layers: int, heads: int, spread: bool) -> None:
        """Fresh weights; ``spread`` adds the variance over the views to what is pooled."""
        super().__init__()
        self.with_depth = nn.Linear(channels + 1, channels)
        nn.init.kaiming_normal_(self.with_depth.weight)
        self.layers = nn.ModuleList(ViewTransformerLayer(channels, heads) for _ in range(layers))
        self.occupancy = nn.Linear(channels, 1)
        self.spread = nn.Linear(channels, channels) if spread else None
        self.norm = nn.LayerNorm(channels)

    def forward(self, points_m: Tensor, maps: Tensor, projection: Tensor, use_projective_occupancy: bool) -> FusedViews:
        """World points [V, 3] in feature maps [n, C, h, w] of views [n, 3, 4]."""
        samples = back_projected(points_m, maps, projection)
        depth = (samples.depth_m - MEAN_DEPTH_M) / DEPTH_SPREAD_M
        depth = torch.where(samples.valid, depth, torch.zeros_like(depth)).to(samples.features.dtype)
        features = self.with_depth(torch.cat([samples.features, depth[..., None]], 2))
        mask = attention_mask(samples.valid)
        for layer in self.layers:
            features = layer(features, mask)
        logits = self.occupancy(features)[..., 0]
        weights = pooling_weights(logits, samples.valid, use_projective_occupancy)
        pooled = (weights[..., None] * features).sum(1)
        if self.spread is not None:
            pooled = pooled + self.spread(_deviation(samples))
        return FusedViews(self.norm(pooled), samples.valid, logits)


def pooling_weights(logits: Tensor, valid: Tensor, use_projective_occupancy: bool) -> Tensor:
    """Weights of the views of each voxel, float [V, n]; 0 for views that do not see it, all 0 where none does.

    Args:
        logits: float [V, n], projective occupancy.
        valid: bool [V, n].
        use_projective_occupancy: softmax of the logits beside one slot "no view" with logit 0 and feature 0; without,
            the mean of the views that see the voxel.
    """
    if not use_projective_occupancy:
        return valid.to(logits.dtype) / valid.sum(1, keepdim=True).clamp(min=1)
    masked = torch.where(valid, logits.float(), torch.full_like(logits, _UNSEEN_LOGIT, dtype=torch.float32))
    return functional.pad(masked, (0, 1)).softmax(1)[:, :-1].to(logits.dtype)


def _deviation(samples: Samples) -> Tensor:
    """Standard deviation [V, C] of the sampled features over the views that see a voxel."""
    weights = pooling_weights(samples.depth_m, samples.valid, False)[..., None]
    features = samples.features.float()
    mean = (weights * features).sum(1, keepdim=True)
    return ((weights * (features - mean).square()).sum(1) + 1e-6).sqrt()
