"""Training of ``networks.fast3r``: sets of images of one place, and the point each pixel shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from showroom_ros.errors import SettingsError
from showroom_ros.networks.fast3r import KIND, ConvStem, Fast3r
from showroom_ros.networks.weights import check_state, load_weights
from showroom_ros.settings import setting
from showroom_ros.training.clips import Clips, ClipSettings
from showroom_ros.training.distillation import (
    DistillationSettings,
    Teacher,
    check_distillation,
    distillation_losses,
)
from showroom_ros.training.pointmap_losses import pointmap_losses, pointmap_targets
from showroom_ros.training.scenes import open_scenes
from showroom_ros.training.task import Batch, Samples, TaskKind


@dataclass(frozen=True)
class Fast3rTaskSettings:
    """What the recipe's ``task`` section may set."""

    clips: ClipSettings = field(default_factory=ClipSettings)
    metric: bool = setting(True, "the scale is learned too; off for data without a scale")
    view_ids: int = setting(64, "views are told apart by ids drawn from so many", minimum=2, maximum=100000)
    stem_weights: str = setting(
        "",
        "weights of plane_sweep (small) that a stem of convolutions begins with: a file or a name; empty = none",
    )
    alpha: float = setting(0.2, "how much confidence is worth", minimum=1e-3, maximum=10.0)
    distillation: DistillationSettings = field(default_factory=DistillationSettings)


class Fast3rTask:
    """Implements ``training.task.Task``."""

    def __init__(self, settings: Fast3rTaskSettings, data: str, seed: int) -> None:
        """Opens no recording and no weights yet; arguments as ``TaskKind.make``.

        Raises:
            SettingsError: a teacher, and nothing to learn from it.
        """
        check_distillation(settings.distillation)
        self.settings, self.data, self.seed = settings, data, seed
        self.teacher = Teacher(settings.distillation.teacher) if settings.distillation.teacher else None

    def samples(self, validation: bool) -> Samples:
        """Sets of images; those for validation are the same whenever they are asked for."""
        return ImageSets(
            Clips(
                open_scenes(self.data, validation=validation), self.settings.clips, self.seed, augment=not validation
            ),
            self.settings.view_ids,
        )

    def collate(self, samples: Sequence[Batch]) -> Batch:
        """Stacks."""
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def begin(self, network: nn.Module) -> None:
        """A stem of convolutions takes over the encoder of ``plane_sweep``, where the settings say so."""
        if not self.settings.stem_weights or not isinstance(network, Fast3r):
            return
        stem = network.encoder.patch_embed
        if not isinstance(stem, ConvStem):
            raise SettingsError("task.stem_weights: the network's stem is of patches, expected stem: conv")
        trained = load_weights(self.settings.stem_weights, "plane_sweep").network
        state = {n.removeprefix("encoder."): t for n, t in trained.state_dict().items() if n.startswith("encoder.")}
        check_state(state, stem.features.state_dict(), self.settings.stem_weights)
        stem.features.load_state_dict(state)

    def prepare(self, network: nn.Module, step: int) -> None:
        """Nothing changes with the step."""

    def loss(self, network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        """See ``pointmap_losses``; with a teacher ``truth`` is their loss, ``loss`` that and ``distillation_losses``.

        Transformers compute in the precision of the trainer's autocast, everything after their heads in float32.

        Raises:
            WeightsError: the teacher's weights cannot be used.
        """
        images, ids, device = batch["images"], batch["view_ids"], batch["images"].device
        dtype = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32
        predictions = network(images, ids, dtype=dtype)
        metric = self.settings.metric
        with torch.autocast(device.type, enabled=False):
            points, local = pointmap_targets(batch["depth"], batch["K"], batch["T_world_camera"])
            parts = pointmap_losses(predictions, points, local, metric=metric, alpha=self.settings.alpha)
            if self.teacher is None:
                return parts
            taught = self.teacher(images, ids, dtype)
            of_teacher = distillation_losses(predictions, taught, self.settings.distillation, metric=metric)
        truth = parts["loss"]
        loss = self.settings.distillation.truth * truth + of_teacher["distillation"]
        return {**parts, **of_teacher, "truth": truth, "loss": loss}

    def picture(self, network: nn.Module, batch: Batch) -> NDArray[np.uint8]:
        """Rows of image, true depth, predicted depth and confidence, of the views of the first sample."""
        with torch.no_grad():
            predictions = network(batch["images"][:1], batch["view_ids"][:1])
        rows = []
        for image, truth, said in zip(batch["images"][0], batch["depth"][0], predictions, strict=True):
            confidence = 1 - 1 / said.local_confidence[0]
            planes = [_shaded(truth), _shaded(said.local_points[0, ..., 2]), confidence]
            rows.append(torch.cat([image, *(plane.expand(3, -1, -1) for plane in planes)], 2))
        return (torch.cat(rows, 1) * 255).clamp(0, 255).byte().movedim(0, -1).cpu().numpy()


class ImageSets:
    """Clips with ``view_ids`` int64 [V]: 0 and random others, so that no id means more than another."""

    def __init__(self, clips: Clips, ids: int) -> None:
        """Adds to ``clips``; ids are below ``ids``, or below the number of views where that is more."""
        self._clips, self._ids = clips, max(ids, clips.settings.views)
        self.data_id = clips.data_id

    def __len__(self) -> int:
        """As many as there are clips."""
        return len(self._clips)

    def __getitem__(self, index: int) -> Batch:
        """Clip ``index`` with its ids."""
        clip = self._clips[index]
        rng = np.random.default_rng([self._clips.seed, index, 4])
        others = rng.choice(np.arange(1, self._ids), len(clip["images"]) - 1, replace=False)
        return {**clip, "view_ids": torch.from_numpy(np.concatenate([[0], others]).astype(np.int64))}


def _shaded(depth: Tensor) -> Tensor:
    """Inverse depth as a grey between 0 (unknown) and 1 (0.5 m)."""
    return (0.5 / depth.nan_to_num(torch.inf).clamp(min=0.5)).sqrt()


TASK = TaskKind(KIND, Fast3rTaskSettings, Fast3rTask)
