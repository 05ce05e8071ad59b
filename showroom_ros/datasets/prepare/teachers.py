"""Teachers: who says how deep an image is where nobody measured it.

``SensorDepthTeacher`` repeats what the data set measured and needs no network. The others run networks through
``diffusers`` and ``transformers`` (extra ``teachers``) with weights the user has; nothing is downloaded unless the
user allows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.prepare.digest import sha256_of_folder
from showroom_ros.errors import InputError, MissingDependencyError, SettingsError
from showroom_ros.geometry.edges import fill_from_outside
from showroom_ros.settings import setting

KINDS = ("none", "sensor", "marigold", "transformers")

_FARTHEST_RATIO = 20.0
"""Inverse depth is 0 at infinity: the farthest is put at so many times the nearest."""


@dataclass(frozen=True)
class TeacherSettings:
    """Which teacher; base of the settings of recipes that need one."""

    teacher: str = setting("none", "who estimates depth; sensor = what the data set measured", choices=KINDS)
    teacher_weights: str = setting("", "folder or public id of the teacher's weights, for marigold and transformers")
    allow_download: bool = setting(False, "let the teacher's weights be downloaded")
    device: str = setting("cpu", "where the teacher runs, such as cpu or cuda")


class DepthTeacher(Protocol):
    """Somebody who knows the depth of an image up to its unit.

    Attributes:
        name: for records.
        sha256: of its weights; "" where it has none.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def sha256(self) -> str: ...  # noqa: D102

    def predict(
        self, image: NDArray[np.uint8], sensor_depth: NDArray[np.float32] | None = None, seed: int = 0
    ) -> NDArray[np.float32]:
        """Relative planar depth, float32 [H, W] in [0, 1], known everywhere; larger is farther.

        Args:
            image: uint8 [H, W, 3], RGB.
            sensor_depth: float32 [H, W] metres, NaN unknown; None where nothing was measured.
            seed: of whatever the teacher does at random.

        Raises:
            InputError: the teacher can say nothing of this image.
            MissingDependencyError: its package is not installed.
            SettingsError: its weights are not there.
        """
        ...


class SensorDepthTeacher:
    """Repeats the measured depth, divided by its largest value; holes take the farthest depth beside them."""

    name = "sensor"
    sha256 = ""

    def predict(
        self, image: NDArray[np.uint8], sensor_depth: NDArray[np.float32] | None = None, seed: int = 0
    ) -> NDArray[np.float32]:
        """See ``DepthTeacher``; raises ``InputError`` where nothing was measured."""
        del seed
        if sensor_depth is None:
            raise InputError("the image has no measured depth, which is all that the teacher 'sensor' knows")
        if sensor_depth.shape != image.shape[:2]:
            raise InputError(f"depth is {sensor_depth.shape}, its image is {image.shape[:2]}")
        known = np.isfinite(sensor_depth) & (sensor_depth > 0)
        depth = fill_from_outside(sensor_depth, known)
        return (depth / depth.max()).astype(np.float32)


class MarigoldTeacher:
    """Marigold (Ke et al., CVPR 2024) through ``diffusers``: affine-invariant depth by denoising."""

    def __init__(
        self, weights: str, *, device: str = "cpu", allow_download: bool = False, steps: int = 10, ensemble: int = 10
    ) -> None:
        """Names the weights; reads none.

        Args:
            weights: folder of a diffusers pipeline, or public id ("prs-eth/marigold-depth-v1-0").
            device: such as "cpu" or "cuda".
            allow_download: fetch weights that are not on this machine.
            steps: of denoising.
            ensemble: predictions from different noise that are merged into one.
        """
        self.name = f"marigold:{_public_name(weights)}"
        self._weights, self._device, self._allow_download = weights, device, allow_download
        self._steps, self._ensemble = steps, ensemble

    @cached_property
    def folder(self) -> Path:
        """Where the weights are on this machine."""
        return _weights_folder(self._weights, self._allow_download)

    @cached_property
    def sha256(self) -> str:
        """Of all files of the weights."""
        return sha256_of_folder(self.folder)

    @cached_property
    def _pipeline(self) -> Any:
        _require("diffusers", "the teacher 'marigold'")
        from diffusers import MarigoldDepthPipeline

        folder = self.folder
        pipeline = _loaded(lambda: MarigoldDepthPipeline.from_pretrained(folder, local_files_only=True), self.name)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline.to(self._device)

    def predict(
        self, image: NDArray[np.uint8], sensor_depth: NDArray[np.float32] | None = None, seed: int = 0
    ) -> NDArray[np.float32]:
        """See ``DepthTeacher``; the measured depth is not used."""
        del sensor_depth
        pipeline = self._pipeline
        import torch
        from PIL import Image

        output = pipeline(
            Image.fromarray(image),
            num_inference_steps=self._steps,
            ensemble_size=self._ensemble,
            match_input_resolution=True,
            output_type="np",
            generator=torch.Generator(self._device).manual_seed(seed),
        )
        return _checked_prediction(np.asarray(output.prediction), image, self.name)


class TransformersDepthTeacher:
    """ZoeDepth, Depth Anything and the like through the pipeline ``depth-estimation`` of ``transformers``.

    Models whose configuration says ``depth_estimation_type: relative`` (Depth Anything) and those of the families
    MiDaS and DPT estimate inverse depth, which is turned into depth with the farthest at 20 times the nearest.
    """

    def __init__(self, weights: str, *, device: str = "cpu", allow_download: bool = False) -> None:
        """Names the weights; reads none.

        Args:
            weights: folder of a transformers model, or public id ("Intel/zoedepth-nyu").
            device: such as "cpu" or "cuda".
            allow_download: fetch weights that are not on this machine.
        """
        self.name = f"transformers:{_public_name(weights)}"
        self._weights, self._device, self._allow_download = weights, device, allow_download

    @cached_property
    def folder(self) -> Path:
        """Where the weights are on this machine."""
        return _weights_folder(self._weights, self._allow_download)

    @cached_property
    def sha256(self) -> str:
        """Of all files of the weights."""
        return sha256_of_folder(self.folder)

    @cached_property
    def _pipeline(self) -> Any:
        _require("transformers", "the teacher 'transformers'")
        from transformers import pipeline

        folder = str(self.folder)
        return _loaded(lambda: pipeline("depth-estimation", model=folder, device=self._device), self.name)

    def predict(
        self, image: NDArray[np.uint8], sensor_depth: NDArray[np.float32] | None = None, seed: int = 0
    ) -> NDArray[np.float32]:
        """See ``DepthTeacher``; neither the measured depth nor the seed is used."""
        del sensor_depth, seed
        pipeline = self._pipeline
        from PIL import Image

        predicted = np.asarray(pipeline(Image.fromarray(image))["predicted_depth"].detach().float().cpu())
        plane: NDArray[Any] = np.squeeze(predicted).astype(np.float32)
        if plane.ndim == 2 and plane.shape != image.shape[:2]:  # older versions leave it at the network's size
            plane = cv2.resize(plane, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        if not np.isfinite(plane).all() or plane.max() <= 0:
            raise InputError(f"{self.name} predicted {np.nanmin(plane):g} to {np.nanmax(plane):g}, expected depth")
        if predicts_inverse_depth(pipeline.model.config):
            plane = 1 / np.maximum(plane / plane.max(), 1 / _FARTHEST_RATIO)
        plane = np.maximum(plane, 0)
        return _checked_prediction(plane / plane.max(), image, self.name)


def teacher_of(settings: TeacherSettings) -> DepthTeacher:
    """The teacher that is asked for; one per process, so that its weights are read once.

    Raises:
        SettingsError: none is named, or it lacks weights; says how to name one.
    """
    return _teacher(settings.teacher, settings.teacher_weights, settings.allow_download, settings.device)


@lru_cache(maxsize=4)
def _teacher(kind: str, weights: str, allow_download: bool, device: str) -> DepthTeacher:
    if kind == "sensor":
        return SensorDepthTeacher()
    if kind not in KINDS or kind == "none":
        raise SettingsError(
            "depth needs a teacher and none is named: expected --teacher marigold or --teacher transformers with "
            "--teacher-weights FOLDER_OR_ID, or --teacher sensor where the data set has depth"
        )
    if not weights:
        raise SettingsError(f"the teacher '{kind}' needs --teacher-weights, a folder or a public id")
    if kind == "marigold":
        return MarigoldTeacher(weights, device=device, allow_download=allow_download)
    return TransformersDepthTeacher(weights, device=device, allow_download=allow_download)


def predicts_inverse_depth(config: Any) -> bool:
    """Whether a transformers model's configuration tells of inverse depth instead of depth."""
    kind = getattr(config, "depth_estimation_type", None)
    if kind is not None:
        return str(kind) == "relative"
    return str(getattr(config, "model_type", "")) in ("dpt", "midas")


def _public_name(weights: str) -> str:
    """The id, or the last part of a folder's path: records name no folders of this machine."""
    return Path(weights).name if Path(weights).is_dir() else weights


def _weights_folder(weights: str, allow_download: bool) -> Path:
    if Path(weights).is_dir():
        return Path(weights)
    _require("huggingface_hub", f"finding the weights '{weights}'")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(weights, local_files_only=not allow_download))
    except Exception as error:  # its own exceptions, those of HTTP and of names that are none
        hint = "" if allow_download else "; give a folder, or allow a download with --allow-download"
        raise SettingsError(f"teacher weights '{weights}': not found on this machine{hint}: {error}") from error


def _require(package: str, what: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingDependencyError(f"{what} needs the package {package}: pip install 'showroom_ros[teachers]'")


def _loaded(load: Any, name: str) -> Any:
    try:
        return load()
    except Exception as error:  # missing files, wrong classes, versions: whatever their loaders raise
        raise SettingsError(f"{name}: the weights cannot be read: {error}") from error


def _checked_prediction(prediction: NDArray, image: NDArray[np.uint8], name: str) -> NDArray[np.float32]:
    depth = np.squeeze(prediction).astype(np.float32)
    if depth.shape != image.shape[:2]:
        raise InputError(f"{name} predicted {depth.shape}, expected {image.shape[:2]}")
    if not np.isfinite(depth).all():
        raise InputError(f"{name} predicted depth that is not finite")
    return np.clip(depth, 0, 1)
