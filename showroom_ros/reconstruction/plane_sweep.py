"""Depth of posed images, each from the keyframes before it, by a network or without one."""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError, WeightsError
from showroom_ros.geometry.camera import Camera
from showroom_ros.reconstruction.consistency import Agreement, DepthOfView, compared_with
from showroom_ros.reconstruction.estimator import Estimate
from showroom_ros.reconstruction.pose_refinement import refined
from showroom_ros.reconstruction.second_look import looked_at_again, replacing
from showroom_ros.reconstruction.source_views import Keyframe, KeyframeBuffer, choose_sources
from showroom_ros.reconstruction.stereo_matching import Source, plane_sweep_depth
from showroom_ros.scene.raycast import RaycastView, raycast
from showroom_ros.scene.view import Provenance, View
from showroom_ros.scene.volume import Volume, make_volume
from showroom_ros.scene.voxels import Voxels
from showroom_ros.settings import Settings

_LOG = logging.getLogger(__name__)

_POOR_AGREEMENT, _POOR_KEYFRAMES = 0.2, 8
"""Where so little of the depth of so many keyframes agrees with that of their sources, something is wrong."""
_SURE_WEIGHT = 3.0
"""Observations after which the map's depth is trusted fully as a hint."""
_MOST_ENLARGED = 2.0
"""Images that are looked at again are enlarged so far at most: depth is found to a share of a pixel."""


@dataclass
class Content:
    """What is kept of a keyframe.

    Attributes:
        image: uint8 [h, w, 3], at the size that is matched.
        prepared: what the matcher made of it.
        depth: what the matcher found, float32 [h, w], metres, NaN unknown; None where nothing could be said.
    """

    image: NDArray[np.uint8]
    prepared: Any
    depth: NDArray[np.float32] | None = None


class Matcher(Protocol):
    """Depth of an image from others."""

    stride: int
    """Sides of images must be multiples of it."""
    heeds_hints: bool
    """Whether a hint changes anything."""
    name: str

    def prepare(self, image: NDArray[np.uint8]) -> Any:
        """What is computed once per image, uint8 [h, w, 3]."""
        ...

    def match(
        self, reference: Keyframe[Content], sources: list[Keyframe[Content]], hint: Hint | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Depth float32 [h, w] in metres, NaN unknown, and confidence float32 [h, w] in 0..1."""
        ...


@dataclass(frozen=True, eq=False)
class Hint:
    """Depth of the map so far, float32 [h, w] in metres, NaN none, and how far to trust it, float32 [h, w] in 0..1."""

    depth: NDArray[np.float32]
    confidence: NDArray[np.float32]


class LearningFreeMatcher:
    """Census and semi-global matching; see ``stereo_matching``."""

    stride = 2
    heeds_hints = False
    name = "learning-free plane sweep"

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The grey image."""
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)

    def match(
        self, reference: Keyframe[Content], sources: list[Keyframe[Content]], hint: Hint | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See ``Matcher``; hints are not used."""
        views = [Source(k.content.prepared, k.camera, k.T_world_camera) for k in (reference, *sources)]
        return plane_sweep_depth(views[0], views[1:])


class PlaneSweep:
    """Estimator that predicts the depth of each keyframe from those before it.

    Nothing is said of views that no keyframe sees from elsewhere. What a sensor measured stays; only its holes are
    predicted. Predicted views are given at the size that was matched, with their camera scaled alike.
    """

    needs_pose = True

    def __init__(self, settings: Settings, matcher: Matcher, note: str = "") -> None:
        """Remembers no view yet; ``note`` is said with every estimate."""
        self._settings, self._matcher, self._note = settings, matcher, note
        self._keyframes: KeyframeBuffer[Content] = KeyframeBuffer()
        self._agreement: deque[float] = deque(maxlen=_POOR_KEYFRAMES)
        self._scene: list[View] | None = None

    def apply(self, settings: Settings) -> None:
        """Takes over settings that may change while running."""
        self._settings = settings

    def reset(self) -> None:
        """Forgets all views."""
        self._keyframes.clear()
        self._agreement.clear()
        if self._scene is not None:
            self._scene.clear()

    def leave_to_finish(self) -> None:
        """From now on all images are kept (1 MB each at 640x480), so that ``finish`` can look at them again."""
        self._scene = []

    def finish(self, volume: Volume) -> Voxels | None:
        """The whole scene predicted again, see ``second_look``; None where keyframes were not kept."""
        if not self._scene:
            return None
        views = refined(self._scene) if self._settings.reconstruction.refine_poses else self._scene
        return replacing(volume, self.predicted(views)[0])

    def predicted(self, views: Sequence[View]) -> tuple[Volume, list[View | None]]:
        """Posed views of a whole scene, each compared with those around it, see ``second_look``: map and depth."""
        settings = self._settings.reconstruction
        return looked_at_again(
            [self._keyframe(view, settings.final_image_width, enlarge=_MOST_ENLARGED) for view in views],
            lambda keyframe, sources, seen: self._matcher.match(
                keyframe, sources, None if seen is None else _hint(seen)
            ),
            lambda: make_volume(self._settings.map, settings.device),
            sources=settings.source_views,
            min_confidence=max(settings.min_confidence, 1e-6),
            max_depth_m=settings.predicted_depth_m,
            hints=settings.map_hints != "never" and self._matcher.heeds_hints,
        )

    def estimate(self, view: View, volume: Volume) -> Estimate:
        """See ``Estimator``.

        Raises:
            InputError: the view has no pose, or is too small to be matched.
        """
        settings = self._settings.reconstruction
        keyframe = self._keyframe(view, settings.image_width)
        camera, pose, image = keyframe.camera, keyframe.T_world_camera, keyframe.content.image
        earlier = [k for k in self._keyframes if k.content.image.shape == image.shape]
        sources = choose_sources(camera, pose, earlier, settings.source_views)
        self._keyframes.add(keyframe)
        if self._scene is not None:
            self._scene.append(dataclasses.replace(view, depth=None, provenance=None, confidence=None))
        if not sources:
            return Estimate(view, note=self._said(_no_sources(len(earlier))))
        hinted = settings.map_hints == "always" and self._matcher.heeds_hints
        hint = self._hint_of(volume, keyframe) if hinted else None
        depth, confidence = self._matcher.match(keyframe, sources, hint)
        least = max(settings.min_confidence, 1e-6)
        keyframe.content.depth = np.where(confidence >= least, depth, np.nan).astype(np.float32)
        agreement = _agreement(keyframe, sources)
        self._agreement.append(agreement.share)
        suspicion = self._suspicion()
        confidence = agreement.revised(confidence, witnesses=0 if suspicion else 2)
        known = np.isfinite(depth) & (confidence >= least) & (depth <= settings.predicted_depth_m)
        depth, confidence = np.where(known, depth, np.float32(np.nan)), np.where(known, confidence, np.float32(0))
        return Estimate(combined(view, image, camera, depth, confidence), note=self._said(suspicion))

    def _keyframe(self, view: View, width: int, enlarge: float = 1.0) -> Keyframe[Content]:
        camera, image = resized(view, width, self._matcher.stride, enlarge)
        return Keyframe(camera, view.require_pose(), Content(image, self._matcher.prepare(image)))

    def _hint_of(self, volume: Volume, keyframe: Keyframe[Content]) -> Hint | None:
        return _hint(_seen_coarsely(volume, keyframe)) if volume.block_count else None

    def _suspicion(self) -> str:
        shares = [share for share in self._agreement if np.isfinite(share)]
        if len(shares) < _POOR_KEYFRAMES // 2 or float(np.median(shares)) > _POOR_AGREEMENT:
            return ""
        return (
            f"of the depth of the last {len(shares)} keyframes only {np.median(shares):.0%} agrees with that of the "
            "keyframes before them: are the intrinsics and poses right?"
        )

    def _said(self, note: str) -> str:
        return "; ".join(part for part in (self._note, note) if part)


def make_plane_sweep(settings: Settings) -> PlaneSweep:
    """The estimator of ``reconstruction.method: plane_sweep``.

    Raises:
        WeightsError: ``reconstruction.model_file`` cannot be used.
        MissingDependencyError: torch is not installed.
    """
    model_file = settings.reconstruction.model_file
    if model_file == "none":
        return PlaneSweep(settings, LearningFreeMatcher())
    from showroom_ros.reconstruction.plane_sweep_torch import LearnedMatcher

    if not model_file:
        from showroom_ros.networks.weights import shipped_weights

        try:
            model_file = str(shipped_weights("plane_sweep"))
        except WeightsError as error:
            _LOG.warning("%s; depth is matched without a network", error)
            return PlaneSweep(settings, LearningFreeMatcher(), note="matched without a network")
    return PlaneSweep(settings, LearnedMatcher(model_file, settings.reconstruction.device))


def resized(view: View, width: int, stride: int, enlarge: float = 1.0) -> tuple[Camera, NDArray[np.uint8]]:
    """Camera and image at about ``width`` columns, both sides multiples of ``stride``; ``enlarge`` times at most.

    Raises:
        InputError: the image is smaller than four strides.
    """
    camera = view.camera
    least = 4 * stride
    if camera.width < least or camera.height < least:
        raise InputError(
            f"the view of stamp {view.stamp_ns} is {camera.width}x{camera.height}, "
            f"expected at least {least}x{least} pixels for matching"
        )
    scale = min(width / camera.width, enlarge)
    sides = camera.width, camera.height
    columns, rows = (
        min(max(least, round(side * scale / stride) * stride), int(side * enlarge) // stride * stride) for side in sides
    )
    if (columns, rows) == sides:
        return camera, view.image
    way = cv2.INTER_AREA if scale <= 1 else cv2.INTER_CUBIC
    image = cv2.resize(view.image, (columns, rows), interpolation=way)
    return camera.scaled(columns, rows), np.asarray(image, np.uint8)


def combined(
    view: View, image: NDArray[np.uint8], camera: Camera, depth: NDArray[np.float32], confidence: NDArray[np.float32]
) -> View:
    """The view with predicted depth; at its own size, with what was measured kept, if there is any."""
    if view.depth is None or not np.isfinite(view.depth).any():
        provenance = np.where(np.isfinite(depth), Provenance.PREDICTED, Provenance.UNKNOWN).astype(np.uint8)
        return dataclasses.replace(
            view, image=image, camera=camera, depth=depth, provenance=provenance, confidence=confidence
        )
    size = view.camera.width, view.camera.height
    depth, confidence = (
        np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST), np.float32)
        for plane in (depth, confidence)
    )
    measured = np.isfinite(view.depth) & (view.depth > 0)
    if view.provenance is not None:
        measured &= view.provenance == Provenance.MEASURED
    predicted = np.isfinite(depth) & ~measured
    provenance = np.where(measured, Provenance.MEASURED, np.where(predicted, Provenance.PREDICTED, Provenance.UNKNOWN))
    sure = np.ones_like(confidence) if view.confidence is None else view.confidence
    return dataclasses.replace(
        view,
        depth=np.where(measured, view.depth, depth).astype(np.float32),
        provenance=provenance.astype(np.uint8),
        confidence=np.where(measured, sure, confidence).astype(np.float32),
    )


def _seen_coarsely(volume: Volume, keyframe: Keyframe[Content]) -> RaycastView:
    """The map at the third of every four pixels, repeated: the finest that networks see of hints, in a 16th of time."""
    c = keyframe.camera
    coarse = Camera(c.width // 4, c.height // 4, c.fx / 4, c.fy / 4, (c.cx - 2) / 4, (c.cy - 2) / 4)
    seen = raycast(volume, coarse, keyframe.T_world_camera)
    every = np.ix_(np.arange(c.height) // 4, np.arange(c.width) // 4)
    return RaycastView(seen.depth[every], seen.weight[every], seen.provenance[every])


def _hint(seen: RaycastView) -> Hint:
    return Hint(seen.depth, np.minimum(seen.weight / _SURE_WEIGHT, 1).astype(np.float32))


def _agreement(keyframe: Keyframe[Content], sources: list[Keyframe[Content]]) -> Agreement:
    """What the sources' depth says of the keyframe's."""
    own, *others = (
        DepthOfView(k.content.depth, k.camera, k.T_world_camera)
        for k in (keyframe, *sources)
        if k.content.depth is not None
    )
    return compared_with(own, others)


def _no_sources(earlier: int) -> str:
    if not earlier:
        return "no depth yet: the first keyframe has nothing to be compared with"
    return "no depth: no earlier keyframe sees the same from elsewhere (the camera stood, only turned, or jumped)"
