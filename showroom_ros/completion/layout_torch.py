"""Room layout by ``networks.room_layout``: its classes of places, which measured better than its map to a box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.networks.room_layout import RoomLayoutNet, dense_classes
from showroom_ros.networks.weights import load_weights


class RoomLayout:
    """Implements ``layout.LayoutNetwork``."""

    def __init__(self, weights: str | Path | RoomLayoutNet, device: str = "cpu") -> None:
        """Loads weights (a file, a name of the manifest, empty = its default), or takes a network.

        Raises:
            WeightsError, SettingsError: as ``load_weights``.
        """
        if isinstance(weights, RoomLayoutNet):
            self._network, self.name = weights.to(device).eval(), "room_layout"
        else:
            loaded = load_weights(weights, "room_layout", device)
            self._network, self.name = loaded.network, f"room_layout of {loaded.path.name}"  # type: ignore[assignment]
        self._device = torch.device(device)

    @torch.inference_mode()
    def classes(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See ``layout.LayoutNetwork``."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(f"the image is {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self._device).movedim(-1, 0)[None]
        return dense_classes(self._network(pixels.float() / 255).logits, *image.shape[:2])[0].cpu().numpy()
