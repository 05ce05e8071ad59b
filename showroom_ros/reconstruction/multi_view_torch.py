"""Pointmaps by ``networks.fast3r``, or by a public checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from showroom_ros.networks.fast3r import Fast3r
from showroom_ros.reconstruction.depth_anything_torch import is_depth_anything, load_depth_anything
from showroom_ros.reconstruction.multi_view import PointmapNetwork, Pointmaps

SHIPPED_IS_WEAK = (
    "the pointmap network that comes with the package was trained for an hour on a CPU core and places cameras hardly "
    "better than chance (its card: models/fast3r_small.json); name weights of your own with reconstruction.model_file"
)
_RELEASED_SIZE = 512


class LearnedPointmaps:
    """Implements ``multi_view.PointmapNetwork``."""

    def __init__(
        self,
        network: Fast3r,
        *,
        image_size: int,
        metric: bool,
        name: str = "fast3r",
        note: str = "",
        device: str = "cpu",
    ) -> None:
        """Takes a network that was trained on images of this longer side, with metres or without a unit."""
        self.note = note
        self.network = network.to(device).eval()
        self.image_size, self.metric, self.name = image_size, metric, name
        self.patch = network.settings.patch
        self._device = torch.device(device)
        self._dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32

    @torch.inference_mode()
    def pointmaps(self, images: Sequence[NDArray[np.uint8]]) -> list[Pointmaps]:
        """See ``PointmapNetwork``."""
        views = [
            torch.from_numpy(np.ascontiguousarray(image)).to(self._device).movedim(-1, 0)[None].float() / 255
            for image in images
        ]
        return [
            Pointmaps(*(plane[0].float().cpu().numpy() for plane in said))
            for said in self.network(views, dtype=self._dtype)
        ]


def load_pointmap_network(model_file: str = "", device: str = "cpu") -> PointmapNetwork:
    """The network of ``reconstruction.method: multi_view``.

    Args:
        model_file: weights trained here (``*.safetensors`` with settings), the name of shipped ones, "" = the default
            of those; or a public checkpoint of Fast3R or Depth Anything 3, its path or the name it was added by, see
            ``public_checkpoints``.
        device: where it lives.

    Raises:
        WeightsError: missing, broken, or of another network.
        MissingDependencyError: a public checkpoint needs a package that is not installed.
    """
    from showroom_ros.networks.fast3r_checkpoint import is_published, load_published
    from showroom_ros.networks.public_checkpoints import named_checkpoint
    from showroom_ros.networks.weights import load_weights

    model_file = str(named_checkpoint(model_file) or model_file)
    if model_file and is_depth_anything(Path(model_file)):
        return load_depth_anything(Path(model_file), device)
    if model_file and is_published(Path(model_file)):
        network = load_published(Path(model_file))
        return LearnedPointmaps(
            network, image_size=_RELEASED_SIZE, metric=False, name=Path(model_file).name, device=device
        )
    loaded = load_weights(model_file, "fast3r", device)
    note = "" if model_file else SHIPPED_IS_WEAK
    task = json.loads(loaded.metadata.get("task", "{}"))
    clips = task.get("clips", {})
    size = max(int(clips.get("width", 0)), int(clips.get("height", 0))) or _RELEASED_SIZE
    metric = bool(task.get("metric", False))
    return LearnedPointmaps(
        cast(Fast3r, loaded.network), image_size=size, metric=metric, name=loaded.path.name, note=note, device=device
    )
