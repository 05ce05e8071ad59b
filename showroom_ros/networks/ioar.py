"""A scene's surface from posed colour images, coarse to fine in a sparse volume: inner and outer told apart (IOAR).

Every voxel looks into the feature maps of all images that see it; a transformer over these views fuses them (Stier et
al., VoRTX, 3DV 2021). Two sparse U-Nets per level follow, one for signed distance, one for the classes inner, surface
and outer (Qiu et al., Inner-Outer Aware Reconstruction); voxels classed as surface are split into eight, from 16 over
8 to 4 cm, where the distance is the result.

Where voxels are: voxel ``(b, x, y, z)`` of a level has its **centre** at ``origin_m[b] + voxel_size_m * (x, y, z)``,
the same origin at all levels. So the children of ``(x, y, z)`` are ``(2x + i, 2y + j, 2z + k)`` with i, j, k in {0, 1},
and its own centre is that of its first child: levels are every second voxel (``[::2]``) of the finer one, as in
``datasets.prepare.tsdf_targets.class_labels``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from showroom_ros.errors import InputError, SettingsError
from showroom_ros.networks.image_pyramid import ImagePyramid
from showroom_ros.networks.ioar_settings import PRESETS, IoarSettings
from showroom_ros.networks.kind import NetworkKind
from showroom_ros.networks.sparse import Sites
from showroom_ros.networks.sparse_unet import NORMS, SparseUNet
from showroom_ros.networks.view_fusion import FusedViews, ViewDirections, ViewFeatures, ViewFusion, projections

LEVELS = 3
VOXEL_SIZES_M = (0.16, 0.08, 0.04)
"""Of the levels coarse, medium, fine."""
STRIDES = (16, 8, 4)
"""Pixels of an image per pixel of its feature map, of the same levels."""
TRUNCATION_VOXELS = 3.0
"""Of the fine level: 0.12 m."""
INNER, SURFACE, OUTER = 0, 1, 2
"""Classes: behind a surface or never seen, within the truncation of one, seen to be free."""
CLASSES = 3
TSDF_GAIN = 1.05
"""So that tanh reaches the truncation at a finite logit."""
SMALLEST_IMAGE = 2 * STRIDES[0]


class LevelState(NamedTuple):
    """What is known of the active voxels of a level.

    Attributes:
        coordinates: int64 [V, 4], (batch, x, y, z) in voxels of the level.
        tsdf_features: float [V, C] of the distance branch.
        class_features: float [V, C] of the class branch; None where the level has none.
        tsdf_logit: float [V]; see ``IoarNet.tsdf``.
        class_logits: float [V, 3] of INNER, SURFACE, OUTER; None where the level has none.
    """

    coordinates: Tensor
    tsdf_features: Tensor
    class_features: Tensor | None
    tsdf_logit: Tensor
    class_logits: Tensor | None


class LevelOutput(NamedTuple):
    """What training judges of a level.

    Attributes:
        coordinates: int64 [V, 4], the active voxels.
        tsdf_logit: float [V].
        class_logits: float [V, 3]; None where the level has none.
        valid: bool [V, n], which views of its example see a voxel.
        projective_occupancy: float [V, n], logits that the surface is within the truncation along that view's ray.
    """

    coordinates: Tensor
    tsdf_logit: Tensor
    class_logits: Tensor | None
    valid: Tensor
    projective_occupancy: Tensor


class IoarNet(nn.Module):
    """Predicts signed distances of voxels from posed images; see the module's text."""

    def __init__(self, settings: IoarSettings) -> None:
        """Fresh weights."""
        super().__init__()
        self.settings = settings
        if settings.voxel_norm not in NORMS:
            raise SettingsError(f"voxel_norm is '{settings.voxel_norm}', expected one of {sorted(NORMS)}")
        channels, widths = settings.feature_channels, settings.unet_widths
        self.pyramid = ImagePyramid(settings.backbone, settings.pyramid_channels, channels)
        self.directions = nn.ModuleList(ViewDirections(count) for count in channels)
        self.fusion = nn.ModuleList(
            ViewFusion(count, layers, settings.attention_heads, settings.spread)
            for count, layers in zip(channels, settings.attention_layers, strict=True)
        )
        parents = (0, 3 * widths[0], 3 * widths[1])

        def unet(level: int, parent_logits: int) -> SparseUNet:
            inputs = channels[level] + parents[level] + (parent_logits if level else 0)
            return SparseUNet(inputs, widths[level], settings.voxel_norm)

        classed = LEVELS if settings.fine_classes else LEVELS - 1
        self.tsdf_nets = nn.ModuleList(unet(level, 1) for level in range(LEVELS))
        self.class_nets = nn.ModuleList(unet(level, CLASSES) for level in range(classed))
        self.tsdf_heads = nn.ModuleList(nn.Linear(3 * width, 1, bias=False) for width in widths)
        self.class_heads = nn.ModuleList(nn.Linear(3 * width, CLASSES, bias=False) for width in widths[:classed])
        for unused in (*self.class_nets[LEVELS - 1 :], *self.class_heads[LEVELS - 1 :]):
            unused.requires_grad_(False)

    def view_features(self, images: Tensor, K: Tensor, T_world_camera: Tensor) -> ViewFeatures:
        """Feature maps of images and how voxels project into them; nothing mixes images, so keep them per keyframe.

        Args:
            images: float [n, 3, H, W], RGB, 0 to 255.
            K: float [n, 3, 3], intrinsics in pixels of ``images``.
            T_world_camera: float [n, 4, 4], world z-up, metres.

        Raises:
            InputError: images smaller than 32 pixels, shapes that do not fit, or values that are not finite.
        """
        _check_views(images, K, T_world_camera)
        maps = self.pyramid(images)
        encoded, into = [], []
        for level, stride in enumerate(STRIDES):
            projection = projections(K, T_world_camera, stride)
            encoded.append(self.directions[level](maps[level], projection, T_world_camera[:, :3, 3]))
            into.append(projection)
        return ViewFeatures(tuple(encoded), tuple(into))

    def fuse_views(
        self,
        level: int,
        points_m: Tensor,
        features: ViewFeatures,
        use_projective_occupancy: bool = True,
        chunk: int = 8192,
    ) -> FusedViews:
        """What all views together say of every voxel; bounded memory: ``chunk`` voxels at a time.

        Args:
            level: 0 coarse, 1 medium, 2 fine.
            points_m: float [V, 3], centres of voxels in the world of the poses, metres.
            features: of the n views that may see them.
            use_projective_occupancy: weigh views by how likely the surface is near along their ray; else the mean.
            chunk: voxels at a time.

        Returns:
            features [V, C], valid bool [V, n], projective_occupancy logits [V, n].
        """
        maps, projection = features.maps[level], features.projections[level]
        if maps.dtype in (torch.float16, torch.bfloat16):
            maps = maps.float()  # places between pixels need more digits
        parts = [
            self.fusion[level](part, maps, projection, use_projective_occupancy)
            for part in points_m.split(max(chunk, 1))
        ]
        if not parts:
            return self.fusion[level](points_m, maps, projection, use_projective_occupancy)
        return FusedViews(*(torch.cat(of_parts) for of_parts in zip(*parts, strict=True)))

    def run_level(self, level: int, coordinates: Tensor, fused: Tensor, parent: LevelState | None = None) -> LevelState:
        """The two U-Nets of a level over all its active voxels at once.

        Args:
            level: 0 coarse, 1 medium, 2 fine.
            coordinates: int64 [V, 4], (batch, x, y, z), no voxel twice, in any order.
            fused: float [V, C], of ``fuse_views``.
            parent: what ``subdivide`` returned with these coordinates, row by row; None for the coarse level.
        """
        if (parent is None) != (level == 0):
            raise InputError(f"level {level} {'lacks' if parent is None else 'cannot have'} a parent state")
        if parent is not None and not torch.equal(parent.coordinates, coordinates):
            raise InputError("the parent state is not of these voxels: its coordinates differ")
        sites = Sites(coordinates)
        tsdf_input, class_input = fused, fused
        if parent is not None:
            assert parent.class_features is not None
            assert parent.class_logits is not None
            tsdf_input = torch.cat([parent.tsdf_features, fused, parent.tsdf_logit[:, None]], 1)
            class_input = torch.cat([parent.class_features, fused, parent.class_logits], 1)
        tsdf_features = self.tsdf_nets[level](tsdf_input, sites)
        tsdf_logit = self.tsdf_heads[level](tsdf_features)[:, 0]
        if level == LEVELS - 1:
            return LevelState(coordinates, tsdf_features, None, tsdf_logit, None)
        class_features = self.class_nets[level](class_input, sites)
        return LevelState(
            coordinates, tsdf_features, class_features, tsdf_logit, self.class_heads[level](class_features)
        )

    def subdivide(
        self,
        state: LevelState,
        limit: int | None = None,
        generator: torch.Generator | None = None,
        keep: Tensor | None = None,
    ) -> tuple[Tensor, LevelState]:
        """Splits the voxels classed as surface into their eight children.

        Args:
            state: of the coarse or medium level.
            limit: at most so many children per batch item, drawn by chance; None: all.
            generator: of that chance, on the CPU.
            keep: bool [V], voxels to split instead of those classed as surface.

        Returns:
            Coordinates int64 [8k, 4] of the next level, and the state copied to these children, row by row; both
            may be empty.
        """
        assert state.class_logits is not None
        if keep is None:
            keep = surface_mask(state.class_logits)
        parents = keep.nonzero()[:, 0]
        corners = torch.cartesian_prod(*[torch.arange(2, device=keep.device)] * 3)
        corners = functional.pad(corners, (1, 0))
        doubled = state.coordinates[parents] * torch.tensor([1, 2, 2, 2], device=keep.device)
        children = (doubled[:, None] + corners).reshape(-1, 4)
        rows = parents.repeat_interleave(len(corners))
        if limit is not None:
            chosen = _at_most(children[:, 0], limit, generator)
            children, rows = children[chosen], rows[chosen]
        fields = [None if field is None else field[rows] for field in state[1:]]
        return children, LevelState(children, *fields)  # type: ignore[arg-type]

    @staticmethod
    def tsdf(state: LevelState | LevelOutput) -> Tensor:
        """Signed distance float [V] in units of the truncation (3 voxels): -1.05 free, 0 surface, 1.05 behind it."""
        return TSDF_GAIN * torch.tanh(state.tsdf_logit)

    def forward(
        self,
        batch: Mapping[str, Tensor],
        use_projective_occupancy: bool = True,
        keep_true_surface: bool = False,
        seed: int = 0,
    ) -> list[LevelOutput]:
        """All levels of a batch of crops, for training; the coarse level is dense.

        Args:
            batch: ``images`` [B, n, 3, H, W] (0 to 255), ``K`` [B, n, 3, 3], ``T_world_camera`` [B, n, 4, 4],
                ``origin_m`` [B, 3], and ``classes_coarse`` [B, X, Y, Z] (its shape is that of the crop; its values
                and ``classes_medium`` are used with ``keep_true_surface`` only).
            use_projective_occupancy: see ``fuse_views``.
            keep_true_surface: splits voxels whose target is surface as well: finer levels learn from the start.
            seed: of the chance by which active voxels are left out (see the settings).
        """
        features = [
            self.view_features(images.float(), K, poses)
            for images, K, poses in zip(batch["images"], batch["K"], batch["T_world_camera"], strict=True)
        ]
        generator = torch.Generator().manual_seed(seed)
        coordinates, parent = dense_coordinates(batch["classes_coarse"].shape, batch["origin_m"].device), None
        limits = (self.settings.max_medium_voxels, self.settings.max_fine_voxels) if self.training else (None, None)
        outputs = []
        for level in range(LEVELS):
            fused, coordinates, parent = self._fuse_batch(
                level, coordinates, parent, features, batch["origin_m"], use_projective_occupancy
            )
            state = self.run_level(level, coordinates, fused.features, parent)
            outputs.append(
                LevelOutput(coordinates, state.tsdf_logit, state.class_logits, fused.valid, fused.projective_occupancy)
            )
            if level < LEVELS - 1:
                assert state.class_logits is not None
                keep = _never_empty(surface_mask(state.class_logits), state)
                if keep_true_surface:
                    truth = batch[("classes_coarse", "classes_medium")[level]]
                    keep = keep | (at_voxels(truth, coordinates) == SURFACE)
                coordinates, parent = self.subdivide(state, limits[level], generator, keep)
        return outputs

    def _fuse_batch(
        self,
        level: int,
        coordinates: Tensor,
        parent: LevelState | None,
        features: list[ViewFeatures],
        origin_m: Tensor,
        use_projective_occupancy: bool,
    ) -> tuple[FusedViews, Tensor, LevelState | None]:
        """``fuse_views`` of every batch item with its own views; rows come back sorted by item."""
        order = coordinates[:, 0].argsort(stable=True)
        coordinates = coordinates[order]
        if parent is not None:
            parent = LevelState(*(None if field is None else field[order] for field in parent))  # type: ignore[arg-type]
        points = origin_m[coordinates[:, 0]] + VOXEL_SIZES_M[level] * coordinates[:, 1:]
        counts = torch.bincount(coordinates[:, 0], minlength=len(features)).tolist()
        parts = [
            self.fuse_views(level, of_item, views, use_projective_occupancy)
            for of_item, views in zip(points.split(counts), features, strict=True)
        ]
        return FusedViews(*(torch.cat(of_items) for of_items in zip(*parts, strict=True))), coordinates, parent


def surface_mask(class_logits: Tensor) -> Tensor:
    """Bool [V]: whether surface is the likeliest of the classes [V, 3]."""
    return class_logits.argmax(1) == SURFACE


def dense_coordinates(shape: tuple[int, ...] | torch.Size, device: torch.device | None = None) -> Tensor:
    """All voxels of a batch of boxes [B, X, Y, Z], int64 [B X Y Z, 4], in the order of that array."""
    return torch.cartesian_prod(*(torch.arange(count, device=device) for count in shape))


def at_voxels(volume: Tensor, coordinates: Tensor) -> Tensor:
    """Values [V] of a batch of boxes [B, X, Y, Z] at voxels [V, 4]; each axis has its own size."""
    return volume[tuple(coordinates.unbind(1))]


def _never_empty(keep: Tensor, state: LevelState) -> Tensor:
    """``keep``, plus the voxel likeliest to be surface of each item: the finer networks always get a gradient."""
    assert state.class_logits is not None
    score = state.class_logits.detach().log_softmax(1)[:, SURFACE]
    keep = keep.clone()
    for item in state.coordinates[:, 0].unique():
        rows = (state.coordinates[:, 0] == item).nonzero()[:, 0]
        keep[rows[score[rows].argmax()]] = True
    return keep


def _at_most(items: Tensor, limit: int, generator: torch.Generator | None) -> Tensor:
    """Rows to keep so that no batch item has more than ``limit``, in their order."""
    kept = []
    for item in items.unique():
        rows = (items == item).nonzero()[:, 0]
        if len(rows) > limit:
            drawn = torch.randperm(len(rows), generator=generator)[:limit].sort().values
            rows = rows[drawn.to(rows.device)]
        kept.append(rows)
    return torch.cat(kept).sort().values if kept else items.new_zeros(0)


def _check_views(images: Tensor, K: Tensor, T_world_camera: Tensor) -> None:
    """Raises ``InputError`` for views the network cannot take."""
    count = len(images)
    if images.ndim != 4 or images.shape[1] != 3 or count == 0:
        raise InputError(f"images are {tuple(images.shape)}, expected [n, 3, H, W] with n > 0")
    if min(images.shape[2:]) < SMALLEST_IMAGE:
        raise InputError(
            f"images are {images.shape[3]}x{images.shape[2]}, expected sides of at least {SMALLEST_IMAGE} pixels"
        )
    if K.shape != (count, 3, 3) or T_world_camera.shape != (count, 4, 4):
        raise InputError(
            f"K is {tuple(K.shape)} and T_world_camera {tuple(T_world_camera.shape)}, expected "
            f"[{count}, 3, 3] and [{count}, 4, 4]"
        )
    for name, values in (("images", images), ("K", K), ("T_world_camera", T_world_camera)):
        if not bool(torch.isfinite(values).all()):
            raise InputError(f"{name} hold values that are not finite")


KIND = NetworkKind("ioar", 1, IoarSettings, PRESETS, IoarNet)
