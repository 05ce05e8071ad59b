"""Training of the volumetric network of ``networks.ioar``: losses, two phases, pictures (VoRTX, IOAR).

Two phases, as the original's: first, views are pooled by their mean and a pretrained backbone is left as it is; from
step ``projective_occupancy_from`` on views are weighed by projective occupancy and everything learns. The original
lowers its learning rate tenfold there (1e-3 after 2000 steps of warm-up, then 1e-4); that is the recipe's schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from showroom_ros.errors import DatasetError, SettingsError, WeightsError
from showroom_ros.networks.ioar import (
    CLASSES,
    INNER,
    KIND,
    LEVELS,
    OUTER,
    SURFACE,
    TRUNCATION_VOXELS,
    VOXEL_SIZES_M,
    IoarNet,
    LevelOutput,
    at_voxels,
)
from showroom_ros.networks.mnasnet import MnasNetTrunk, load_torchvision
from showroom_ros.networks.view_fusion import project, projections
from showroom_ros.training.scenes import ALL
from showroom_ros.training.task import Batch, TaskKind
from showroom_ros.training.volume_crops import CropSettings, TsdfScene, VolumeCrops

VALIDATION_SHARE = 0.05
CLASS_TARGETS = ("classes_coarse", "classes_medium")


@dataclass(frozen=True)
class IoarTaskSettings(CropSettings):
    """Samples (see ``CropSettings``) and phases.

    Attributes:
        projective_occupancy_from: first step of the second phase.
        true_surface_until: before this step voxels whose target is surface are split too, so that the finer levels
            learn before the coarser ones are right; the original never does (0).
        backbone_weights: file with a state dict of torchvision's ``mnasnet1_0``; "" starts from nothing, and then the
            backbone learns from the first step.
    """

    projective_occupancy_from: int = 105_000
    true_surface_until: int = 0
    backbone_weights: str = ""


class IoarTask:
    """What the trainer needs to train an ``IoarNet``."""

    def __init__(
        self, settings: IoarTaskSettings, scenes: Sequence[TsdfScene], seed: int, *, keeps_all: bool = False
    ) -> None:
        """Scenes by name; the last twentieth (at least one) validates, or all of them do both.

        Raises:
            DatasetError: fewer than two scenes to part.
        """
        self.settings, self.seed = settings, seed
        self._scenes = {False: scenes, True: scenes}
        if keeps_all:
            return
        if len(scenes) < 2:
            raise DatasetError(f"{len(scenes)} scene: one to train on and another to validate on are needed")
        count = max(1, round(VALIDATION_SHARE * len(scenes)))
        self._scenes = {False: scenes[:-count], True: scenes[-count:]}

    def samples(self, validation: bool) -> VolumeCrops:
        """Boxes of the scenes to train on, or of those to validate on."""
        return VolumeCrops(self._scenes[validation], self.settings, self.seed, validation)

    def collate(self, samples: Sequence[Batch]) -> Batch:
        """Samples as one batch, a new first axis."""
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def begin(self, network: nn.Module) -> None:
        """Loads the backbone, if there is one to load."""
        if isinstance(network, IoarNet) and self.settings.backbone_weights:
            load_backbone(network, self.settings.backbone_weights)

    def prepare(self, network: nn.Module, step: int) -> None:
        """Freezes a loaded backbone in the first phase."""
        bare = getattr(network, "module", network)
        if not isinstance(bare, IoarNet) or not self.settings.backbone_weights:
            return
        bare.pyramid.freeze_trunk(step < self.settings.projective_occupancy_from)

    def loss(self, network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        """The unweighted sum of all levels' losses, and its parts."""
        outputs: list[LevelOutput] = network(
            batch,
            use_projective_occupancy=step >= self.settings.projective_occupancy_from,
            keep_true_surface=step < self.settings.true_surface_until,
            seed=self.seed + step,
        )
        return losses(outputs, batch)

    def picture(self, network: nn.Module, batch: Batch) -> NDArray[np.uint8]:
        """The middle slice of the first box: predicted over true distances, medium and coarse classes."""
        training = network.training
        network.eval()
        first = {name: value[:1] for name, value in batch.items()}
        with torch.no_grad():
            outputs = network(first)
        network.train(training)
        return slices(outputs, first)


def losses(outputs: Sequence[LevelOutput], batch: Batch) -> dict[str, Tensor]:
    """What is wrong with a network's outputs.

    Args:
        outputs: of coarse, medium, fine.
        batch: of ``VolumeCrops``, stacked.

    Returns:
        ``loss``, the sum of: ``tsdf`` (L1 of the logarithms of fine distances, where they are supervised),
        ``classes_*`` (cross-entropy) and ``occupancy_*`` (binary cross-entropy); and, not part of it, ``recall_*``,
        the share of true surface among the active voxels that would be split, and ``precision_*``.
    """
    parts = {"tsdf": tsdf_loss(outputs[LEVELS - 1], batch)}
    measures = {}
    for output, name in zip(outputs, CLASS_TARGETS, strict=False):
        assert output.class_logits is not None
        target = at_voxels(batch[name], output.coordinates)
        parts[name] = functional.cross_entropy(output.class_logits.float(), target)
        split, surface = output.class_logits.detach().argmax(1) == SURFACE, target == SURFACE
        size = name.removeprefix("classes_")
        measures[f"recall_{size}"] = (split & surface).sum() / surface.sum().clamp(min=1)
        measures[f"precision_{size}"] = (split & surface).sum() / split.sum().clamp(min=1)
    for level, part in enumerate(("occupancy_coarse", "occupancy_medium", "occupancy_fine")):
        parts[part] = projective_occupancy_loss(outputs[level], batch, VOXEL_SIZES_M[level])
    return {"loss": torch.stack(list(parts.values())).sum(), **parts, **measures}


def tsdf_loss(output: LevelOutput, batch: Batch) -> Tensor:
    """Mean absolute difference of log-transformed distances over the supervised voxels; 0 if there are none."""
    counted = at_voxels(batch["supervised"], output.coordinates)
    target = at_voxels(batch["tsdf"], output.coordinates)
    difference = (log_transformed(IoarNet.tsdf(output).float()) - log_transformed(target)).abs()
    return (difference * counted).sum() / counted.sum().clamp(min=1)


def log_transformed(distance: Tensor) -> Tensor:
    """sign(x) ln(1 + |x|): near the surface counts for more (Murez et al., Atlas, 2020)."""
    return distance.sign() * distance.abs().log1p()


def projective_occupancy_loss(output: LevelOutput, batch: Batch, voxel_size_m: float) -> Tensor:
    """Binary cross-entropy of "the surface is within three voxels of here, along this view's ray".

    Over all examples, wherever a view sees the voxel and has depth there; 0 if that is nowhere.
    """
    total = output.projective_occupancy.sum() * 0.0
    count = total.detach()
    for item in range(len(batch["images"])):
        rows = output.coordinates[:, 0] == item
        points = batch["origin_m"][item] + voxel_size_m * output.coordinates[rows, 1:]
        measured, z = depth_at(points, batch["depth"][item], batch["K"][item], batch["T_world_camera"][item])
        target = (z - measured).abs() < TRUNCATION_VOXELS * voxel_size_m
        counted = output.valid[rows] & (measured > 0)
        each = functional.binary_cross_entropy_with_logits(
            output.projective_occupancy[rows].float(), target.float(), reduction="none"
        )
        total = total + (each * counted).sum()
        count = count + counted.sum()
    return total / count.clamp(min=1)


def depth_at(points_m: Tensor, depth: Tensor, K: Tensor, T_world_camera: Tensor) -> tuple[Tensor, Tensor]:
    """Depth of the pixels that points fall into, 0 where there is none, and of the points themselves, [V, n] each.

    Args:
        points_m: float [V, 3], world.
        depth: float [n, H, W], planar, metres, 0 unknown.
        K: float [n, 3, 3].
        T_world_camera: float [n, 4, 4].
    """
    height, width = depth.shape[1:]
    pixels, z = project(points_m, projections(K, T_world_camera, 1))
    pixels = torch.where(z[..., None] > 0, pixels, torch.full_like(pixels, -1e6)).clamp(-1e6, 1e6).round().long()
    u, v = pixels.unbind(-1)
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    views = torch.arange(len(depth), device=depth.device)
    measured = depth[views, v.clamp(0, height - 1), u.clamp(0, width - 1)]
    return torch.where(inside, measured, torch.zeros_like(measured)), z


def slices(outputs: Sequence[LevelOutput], batch: Batch) -> NDArray[np.uint8]:
    """Middle slices of the first box, RGB uint8 [H, W, 3]: predictions above, truth below.

    From left to right: fine distances (blue free, white surface, red behind, black not active), medium and coarse
    classes (red inner, white surface, blue outer, black not active).
    """
    columns = []
    fine, shape = outputs[LEVELS - 1], batch["tsdf"].shape[1:]
    predicted = _dense(fine, IoarNet.tsdf(fine), shape)
    columns.append([_distance_colors(volume[:, :, shape[2] // 2]) for volume in (predicted, batch["tsdf"][0])])
    for level in (1, 0):
        truth, logits = batch[CLASS_TARGETS[level]][0], outputs[level].class_logits
        assert logits is not None
        classes = _dense(outputs[level], logits.argmax(1).float(), truth.shape)
        middle = truth.shape[2] // 2
        pair = [_class_colors(volume[:, :, middle]) for volume in (classes, truth.float())]
        columns.append([np.kron(image, np.ones((2 ** (2 - level),) * 2 + (1,), np.uint8)) for image in pair])
    picture = np.concatenate([np.concatenate(column) for column in columns], 1)
    return np.ascontiguousarray(np.kron(picture, np.ones((4, 4, 1), np.uint8)))


def _dense(output: LevelOutput, values: Tensor, shape: Sequence[int]) -> Tensor:
    """Values [V] of the first box as a dense one, NaN where not active."""
    dense = torch.full(tuple(shape), float("nan"), device=values.device)
    rows = output.coordinates[:, 0] == 0
    dense[tuple(output.coordinates[rows, 1:].unbind(1))] = values[rows].float()
    return dense


def _distance_colors(distance: Tensor) -> NDArray[np.uint8]:
    values = distance.cpu().numpy().clip(-1, 1)
    pale = 1 - np.abs(values)
    colors = np.stack([np.where(values > 0, 1, pale), pale, np.where(values < 0, 1, pale)], -1)
    return (255 * np.nan_to_num(np.where(np.isnan(values)[..., None], 0, colors))).astype(np.uint8)


def _class_colors(classes: Tensor) -> NDArray[np.uint8]:
    palette = np.zeros((CLASSES + 1, 3), np.uint8)
    palette[INNER], palette[SURFACE], palette[OUTER] = (255, 0, 0), (255, 255, 255), (0, 0, 255)
    return palette[np.nan_to_num(classes.cpu().numpy(), nan=CLASSES).astype(int)]


def load_backbone(network: IoarNet, path: str | Path) -> None:
    """Takes the backbone's weights from a file with a state dict of torchvision's ``mnasnet1_0``.

    Raises:
        SettingsError: the network has another backbone.
        WeightsError: the file cannot be read or is not such a state dict.
    """
    trunk = network.pyramid.backbone
    if not isinstance(trunk, MnasNetTrunk):
        raise SettingsError(f"backbone_weights is '{path}', but the network's backbone is not mnasnet")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zipfile and torch raise what they like on a broken file
        raise WeightsError(f"{path}: cannot be read as a state dict: {error}") from error
    if not isinstance(state, dict):
        raise WeightsError(f"{path}: holds a {type(state).__name__}, expected a state dict")
    load_torchvision(trunk, state)


def make(settings: IoarTaskSettings, data: str, seed: int) -> IoarTask:
    """The task on the prepared scenes with signed distances below the folder ``data``, which may follow ``all:``.

    Raises:
        DatasetError: there are none, or only one.
    """
    from showroom_ros.datasets.prepare.prepared import TSDF_INFO, Prepared, prepared_scenes

    keeps_all, data = data.startswith(ALL), data.removeprefix(ALL)
    if not Path(data).is_dir():
        raise DatasetError(f"{data}: no such folder, expected scenes made by showroom prepare, with signed distances")
    found = prepared_scenes(Path(data), None)
    with_distances = [path for path in found if (path / TSDF_INFO).is_file()]
    if not with_distances:
        raise DatasetError(f"{data}: none of its {len(found)} prepared scenes has signed distances ({TSDF_INFO})")
    return IoarTask(settings, [Prepared(path) for path in with_distances], seed, keeps_all=keeps_all)


TASK = TaskKind(KIND, IoarTaskSettings, make)
