"""Depth completion by name: this package's network, fills without learning, and monocular networks aligned to depth."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.completion.backends import DepthCompleter, check_image_and_depth
from showroom_ros.completion.depth_fill import OPENCV_NAMES, DiffusionFill, NearestFill, OpenCVFill, PlaneFill
from showroom_ros.errors import InputError, SettingsError
from showroom_ros.geometry.camera import Camera

NAMES = (
    "small",
    "monocular_aligned",
    "nearest",
    "diffusion",
    *OPENCV_NAMES,
    "planes",
    "transformers:FOLDER",
    "zoedepth:FILE",
)
"""What ``make_depth_completer`` makes."""

_MOST_PIXELS, _ROUNDS = 20_000, 30
_BEYOND = 4.0
"""Aligned depth stays within this factor of the nearest and the farthest depth it was aligned to."""


def make_depth_completer(name: str, *, device: str = "cpu", model_file: str = "") -> DepthCompleter:
    """The depth completer of that name.

    Args:
        name: one of ``NAMES``. ``small`` is the network of this package; ``monocular_aligned`` the same, asked without
            depth and aligned to it by scale and offset; ``transformers:FOLDER`` any monocular network of
            ``transformers`` on the disk, aligned the same way; ``zoedepth:FILE`` a ZoeDepth network that sees
            known depth too (Invisible Stitch), not aligned: its checkpoint, or a folder saved by ``transformers``.
        device: where networks run, as torch names it.
        model_file: weights of ``small`` and ``monocular_aligned``; empty = those that come with the package.

    Raises:
        SettingsError: an unknown name, or a device that is not there.
        WeightsError: weights that are missing or do not fit.
        MissingDependencyError: ``transformers`` is not installed.
    """
    kind, separator, path = name.partition(":")
    if name in ("small", "monocular_aligned"):
        from showroom_ros.completion.depth_torch import NetworkCompleter, NetworkMonocular

        if name == "small":
            return NetworkCompleter(model_file, device)
        return AlignedCompleter(name, NetworkMonocular(NetworkCompleter(model_file, device)))
    if separator and path and kind == "transformers":
        from showroom_ros.completion.depth_torch import TransformersMonocular

        return AlignedCompleter(name, TransformersMonocular(path, device))
    if separator and path and kind == "zoedepth":
        from showroom_ros.completion.zoedepth_torch import ZoeDepthCompleter

        return ZoeDepthCompleter(path, device)
    fills = {"nearest": NearestFill, "diffusion": DiffusionFill, "planes": PlaneFill}
    if name in fills:
        return fills[name]()
    if name in OPENCV_NAMES:
        return OpenCVFill(name)
    raise SettingsError(f"unknown depth completer '{name}', expected one of {', '.join(NAMES)}")


class Monocular(Protocol):
    """Depth of an image alone, up to scale and offset.

    Attributes:
        inverse: whether it says inverse depth.
        is_metric: whether it says metres, so that an image without any depth has a scale.
    """

    inverse: bool
    is_metric: bool

    def predict(self, image: NDArray[np.uint8], camera: Camera) -> NDArray[np.float32]:
        """Depth or inverse depth float32 [H, W] of an image uint8 [H, W, 3], RGB, finite everywhere."""
        ...


class AlignedCompleter:
    """Monocular depth, aligned to the depth that is known; implements ``completion.backends.DepthCompleter``.

    Where nothing is known, a metric network's word is taken; relative depth has no scale then, and is refused.
    """

    def __init__(self, name: str, monocular: Monocular) -> None:
        """Asks ``monocular``."""
        self.name, self._monocular, self.needs_depth = name, monocular, not monocular.is_metric

    def complete(self, image: NDArray[np.uint8], depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
        """See ``DepthCompleter``."""
        check_image_and_depth(image, depth, camera, needs_depth=False)
        known = np.isfinite(depth)
        if known.all():
            return depth.copy()
        if not known.any() and self.needs_depth:
            raise InputError(
                f"no pixel has depth, and depth of '{self.name}' is relative: expected some measured depth to align it "
                "to, or a network that says metres"
            )
        prediction = self._monocular.predict(image, camera)
        if not known.any():
            return _metres(prediction, inverse=self._monocular.inverse)
        return np.where(known, depth, aligned(prediction, depth, inverse=self._monocular.inverse))


def _metres(prediction: NDArray, *, inverse: bool) -> NDArray[np.float32]:
    values = 1 / np.maximum(prediction, 1e-3) if inverse else prediction
    if not (np.isfinite(values).all() and (values > 0).any()):
        raise InputError("the prediction is not finite everywhere, or nowhere positive: expected depth in metres")
    return np.maximum(values, values[values > 0].min()).astype(np.float32)


def aligned(prediction: NDArray, depth: NDArray[np.float32], *, inverse: bool) -> NDArray[np.float32]:
    """A prediction times a scale plus an offset, so that it agrees with known depth; least absolute error.

    By least squares with weights ``1 / |residual|`` (Schlossmacher, 1973). Where the best scale is not positive, or
    the prediction is the same at all known pixels, only a scale is fitted: the median ratio.

    Args:
        prediction: [H, W], finite; depth, or inverse depth, in any unit.
        depth: float32 [H, W], metres, NaN unknown.
        inverse: whether the prediction is inverse depth; the fit is then done in inverse depth.

    Returns:
        Depth float32 [H, W] in metres, within a quarter of the nearest and four times the farthest known one.

    Raises:
        InputError: sizes differ, nothing is known, or the prediction is not finite or nowhere positive.
    """
    if prediction.shape != depth.shape:
        raise InputError(f"the prediction is {prediction.shape}, expected {depth.shape} of the depth")
    if not np.isfinite(prediction).all():
        raise InputError(f"{np.sum(~np.isfinite(prediction))} values of the prediction are not finite, expected none")
    known = np.flatnonzero(np.isfinite(depth))
    if not len(known):
        raise InputError("no pixel has depth, expected some to align to")
    known = known[:: max(1, len(known) // _MOST_PIXELS)]
    x, y = (plane.reshape(-1)[known].astype(np.float64) for plane in (prediction, depth))
    y = 1 / y if inverse else y
    scale, offset = _least_absolute(x, y)
    values = prediction.astype(np.float64) * scale + offset
    near, far = float(np.nanmin(depth)) / _BEYOND, float(np.nanmax(depth)) * _BEYOND
    metres = 1 / np.clip(values, 1 / far, 1 / near) if inverse else np.clip(values, near, far)
    return metres.astype(np.float32)


def _least_absolute(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Scale and offset that bring x [N] nearest to y [N], positive."""
    spread = float(x.max() - x.min())
    if spread > 1e-6 * float(np.abs(x).max()):
        centre = float(x.mean())
        design = np.stack([(x - centre) / spread, np.ones_like(x)], 1)
        weight, floor = np.ones_like(y), 1e-4 * float(np.median(y))
        for _ in range(_ROUNDS):
            weighted = design * weight[:, None]
            slope, level = np.linalg.lstsq(weighted.T @ design, weighted.T @ y, rcond=None)[0]
            weight = 1 / np.maximum(np.abs(design @ (slope, level) - y), floor)
        if slope > 0:
            return float(slope / spread), float(level - slope * centre / spread)
    positive = x > 0
    if not positive.any():
        raise InputError(f"the prediction goes up to {x.max():g} where depth is known, expected above 0")
    return float(np.median(y[positive] / x[positive])), 0.0


def resized(plane: NDArray, width: int, height: int) -> NDArray[np.float32]:
    """A plane [h, w] without unknown values as float32 [height, width], bilinear."""
    return np.asarray(cv2.resize(plane.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
