"""Matching by ``networks.plane_sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showroom_ros.geometry.se3 import inverse
from showroom_ros.networks.plane_sweep import Features, PlaneSweepNet
from showroom_ros.reconstruction.source_views import Keyframe

if TYPE_CHECKING:
    from showroom_ros.reconstruction.plane_sweep import Content, Hint


class LearnedMatcher:
    """Implements ``plane_sweep.Matcher``; features of a keyframe are computed once."""

    heeds_hints = True

    def __init__(self, weights: str | Path | PlaneSweepNet, device: str = "cpu") -> None:
        """Loads weights, or takes a network.

        Raises:
            WeightsError: the file is missing, broken or of another network.
        """
        if isinstance(weights, PlaneSweepNet):
            self._network, self.name = weights.to(device).eval(), "plane_sweep"
        else:
            from showroom_ros.networks.weights import load_weights

            network = load_weights(weights, "plane_sweep", device).network
            self._network, self.name = network, f"plane_sweep of {Path(weights).name}"  # type: ignore[assignment]
        self._device = torch.device(device)
        self.stride = self._network.settings.stride

    @torch.inference_mode()
    def prepare(self, image: NDArray[np.uint8]) -> Features:
        """Features of an image uint8 [h, w, 3]."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self._device)
        return self._network.encode(pixels.movedim(-1, 0)[None].float() / 255)

    @torch.inference_mode()
    def match(
        self, reference: Keyframe[Content], sources: list[Keyframe[Content]], hint: Hint | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See ``Matcher``."""
        coarse = torch.stack([source.content.prepared.coarse for source in sources], 1)
        match = torch.stack([source.content.prepared.match for source in sources], 1)
        relative = np.stack([inverse(source.T_world_camera) @ reference.T_world_camera for source in sources])
        prediction = self._network.decode(
            reference.content.prepared,
            (coarse, match),
            self._tensor(reference.camera.matrix),
            self._tensor(np.stack([source.camera.matrix for source in sources])),
            self._tensor(relative),
            hint_depth=None if hint is None else self._tensor(hint.depth),
            hint_confidence=None if hint is None else self._tensor(hint.confidence),
        )
        return prediction.depth[0].cpu().numpy(), prediction.confidence[0].cpu().numpy()

    def _tensor(self, values: NDArray) -> Tensor:
        return torch.from_numpy(np.asarray(values, np.float32)).to(self._device)[None]
