"""Depth completion by networks."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from showroom_ros.completion.backends import check_image_and_depth
from showroom_ros.completion.depth import resized
from showroom_ros.errors import InputError, MissingDependencyError, WeightsError
from showroom_ros.geometry.camera import Camera
from showroom_ros.networks.depth_completion import DepthCompletionNet
from showroom_ros.networks.weights import load_weights

_LONGEST_PX = 384
"""Images are made smaller for the network until their longer side is at most this."""


class NetworkCompleter:
    """Completes depth by ``networks.depth_completion``; implements ``completion.backends.DepthCompleter``."""

    name = "small"
    needs_depth = False

    def __init__(self, weights: str | Path | DepthCompletionNet, device: str = "cpu") -> None:
        """Loads weights (empty = those of the package), or takes a network.

        Raises:
            WeightsError: the file is missing, broken or of another network.
            SettingsError: the device is not there.
        """
        if isinstance(weights, DepthCompletionNet):
            self._network: Any = weights.to(device).eval()
        else:
            self._network = load_weights(weights, "depth_completion", device).network
        self._device = torch.device(device)

    def complete(self, image: NDArray[np.uint8], depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
        """See ``DepthCompleter``."""
        check_image_and_depth(image, depth, camera, needs_depth=False)
        known = np.isfinite(depth)
        if known.all():
            return depth.copy()
        return np.where(known, depth, self.predict(image, depth, camera)[0])

    @torch.inference_mode()
    def predict(
        self, image: NDArray[np.uint8], depth: NDArray[np.float32], camera: Camera
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the network says of all pixels, known ones too.

        Args:
            image: uint8 [H, W, 3], RGB.
            depth: float32 [H, W], metres, NaN unknown.
            camera: of both.

        Returns:
            Depth float32 [H, W] in metres, and the probability that it is right within 5 %, float32 [H, W].
        """
        full, (height, width) = camera, depth.shape
        shrink = min(1.0, _LONGEST_PX / max(height, width))
        if shrink < 1:
            camera = camera.scaled(max(1, round(width * shrink)), max(1, round(height * shrink)))
            size = camera.width, camera.height
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            depth = np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self._device).movedim(-1, 0)[None].float() / 255
        prediction = self._network(pixels, self._tensor(depth), self._tensor(camera.matrix))
        planes = [plane[0].float().cpu().numpy() for plane in (prediction.depth, prediction.confidence)]
        if not all(np.isfinite(plane).all() for plane in planes):
            raise InputError(f"{self.name}: the network's depth of a {width}x{height} image is not finite")
        if shrink < 1:
            planes = [resized(plane, full.width, full.height) for plane in planes]
        return planes[0], planes[1]

    def _tensor(self, values: NDArray) -> torch.Tensor:
        return torch.from_numpy(np.array(values, np.float32)).to(self._device)[None]


class NetworkMonocular:
    """The network of this package asked without depth; implements ``completion.depth.Monocular``."""

    inverse, is_metric = False, True

    def __init__(self, completer: NetworkCompleter) -> None:
        """Asks ``completer``."""
        self._completer = completer

    def predict(self, image: NDArray[np.uint8], camera: Camera) -> NDArray[np.float32]:
        """See ``Monocular``; metres."""
        nothing = np.full(image.shape[:2], np.nan, np.float32)
        return self._completer.predict(image, nothing, camera)[0]


class TransformersMonocular:
    """A network for depth of ``transformers`` from a folder; implements ``completion.depth.Monocular``.

    Networks whose configuration says ``depth_estimation_type: relative`` (Depth Anything), and those of the families
    MiDaS and DPT, say inverse depth; those that say ``metric``, and ZoeDepth and Depth Pro, say metres.
    """

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        """Loads the network and what prepares images for it; nothing is downloaded.

        Raises:
            MissingDependencyError: ``transformers`` is not installed.
            WeightsError: the folder is missing, or holds no network for depth.
        """
        _require_transformers(f"the depth completer 'transformers:{folder}'")
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation

        self.name = f"transformers:{Path(folder).name}"
        if not Path(folder).is_dir():
            raise WeightsError(f"{folder}: no such folder, expected one saved by transformers (config.json, weights)")
        try:
            self._processor: Any = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
            model = AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # whatever its loaders raise: missing files, other classes, versions
            raise WeightsError(f"{folder}: cannot be loaded as a depth network: {error}") from error
        self._model: Any = model.to(device).eval()
        kind = getattr(model.config, "depth_estimation_type", None)
        family = str(getattr(model.config, "model_type", ""))
        self.inverse = str(kind) == "relative" if kind is not None else family in ("dpt", "midas")
        self.is_metric = str(kind) == "metric" if kind is not None else family in ("zoedepth", "depth_pro")

    @torch.inference_mode()
    def predict(self, image: NDArray[np.uint8], camera: Camera) -> NDArray[np.float32]:
        """See ``Monocular``."""
        del camera
        inputs = self._processor(images=image, return_tensors="pt").to(self._model.device)
        predicted = self._model(pixel_values=inputs["pixel_values"]).predicted_depth[0].float().cpu().numpy()
        return resized(predicted, image.shape[1], image.shape[0])


def _require_transformers(what: str) -> None:
    """Raises ``MissingDependencyError`` where ``transformers`` is not installed."""
    if find_spec("transformers") is None:
        raise MissingDependencyError(f"{what} needs the package transformers: pip install 'showroom_ros[teachers]'")
