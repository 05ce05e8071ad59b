"""Depth and poses of keyframes as they come, without odometry: each with those before it through a pointmap network.

Where poses are known they stay, and give the scale; else each window is laid on what was placed before by the
keyframes they share. At the end of a recording all keyframes are put together anew, see ``multi_view``.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from showroom_ros.errors import InputError
from showroom_ros.geometry.alignment import scale_and_pose_to
from showroom_ros.geometry.se3 import inverse
from showroom_ros.geometry.similarity import Similarity
from showroom_ros.reconstruction.estimator import Estimate
from showroom_ros.reconstruction.multi_view import (
    LEAST_BASELINE_M,
    MultiViewSettings,
    PointmapNetwork,
    levelled,
    part_of,
    reconstruct_photos,
    view_of,
)
from showroom_ros.reconstruction.photos import Photo, Prepared, prepared
from showroom_ros.reconstruction.second_look import replacing
from showroom_ros.reconstruction.windows import Part, shared_similarity
from showroom_ros.scene.view import View
from showroom_ros.scene.volume import Volume, make_volume
from showroom_ros.scene.voxels import Voxels
from showroom_ros.settings import Settings

_MIN_CONFIDENCE_LEAST = 1e-6


class MultiView:
    """Estimator of ``reconstruction.method: multi_view``; views need no pose."""

    needs_pose = False

    def __init__(self, settings: Settings, network: PointmapNetwork) -> None:
        """Remembers no view yet."""
        self._settings, self._network = settings, network
        self._photos: list[Photo] = []
        self._small: list[Prepared] = []
        self._placed: Part | None = None
        self._scene: list[Photo] | None = None

    def apply(self, settings: Settings) -> None:
        """Takes over settings that may change while running."""
        self._settings = settings

    def reset(self) -> None:
        """Forgets all views; what comes next has a frame of its own unless poses are known."""
        self._photos, self._small, self._placed = [], [], None
        if self._scene is not None:
            self._scene.clear()

    def leave_to_finish(self) -> None:
        """From now on all images are kept, so that ``finish`` can look at them together."""
        self._scene = []

    def finish(self, volume: Volume) -> Voxels | None:
        """The whole scene put together anew, windows merged and loops closed; None where keyframes were not kept."""
        if not self._scene:
            return None
        result = reconstruct_photos(self._scene, self._network, MultiViewSettings(check_groups=False))
        prediction = make_volume(self._settings.map, self._settings.reconstruction.device)
        for view in result.views:
            prediction.integrate(self._limited(view))
        return replacing(volume, prediction)

    def estimate(self, view: View, volume: Volume) -> Estimate:
        """See ``Estimator``."""
        photo = Photo(view.image, view.camera, view.T_world_camera, view.depth, "keyframe", view.stamp_ns)
        small = prepared(photo, self._network.image_size, self._network.patch)
        if self._scene is not None:
            self._scene.append(photo)
        window = max(2, self._settings.reconstruction.source_views + 1)
        self._photos = [*self._photos, photo][-window:]
        self._small = [*self._small, small][-window:]
        numbers = list(range(len(self._photos)))
        part = part_of(self._small, numbers, self._network, {})
        similarity, note = self._to_world(part)
        if similarity is None:
            if view.T_world_camera is None or not np.isfinite(part.poses[-1]).all():  # of no use to those that follow
                self._photos, self._small = self._photos[:-1], self._small[:-1]
            return Estimate(dataclasses.replace(view, depth=None, provenance=None, confidence=None), note=note)
        moved = part.moved(similarity)
        poses = moved.poses.copy()
        for row, known in enumerate(self._photos):
            if known.T_world_camera is not None:
                poses[row] = known.T_world_camera
        self._placed = dataclasses.replace(moved, poses=poses)
        least = max(self._settings.reconstruction.min_confidence, _MIN_CONFIDENCE_LEAST)
        estimated = view_of(photo, small, self._placed, len(numbers) - 1, least)
        note = "; ".join(part for part in (note, self._network.note) if part)
        return Estimate(dataclasses.replace(self._limited(estimated), frame_id=view.frame_id), note=note)

    def _to_world(self, part: Part) -> tuple[Similarity | None, str]:
        """From the window's frame and unit to the world's; None and why where that cannot be told."""
        if not np.isfinite(part.poses[-1]).all():
            return None, "no depth: the network's points of this keyframe do not hold together"
        known = np.stack([
            np.full((4, 4), np.nan) if photo.T_world_camera is None else photo.T_world_camera for photo in self._photos
        ])  # fmt: skip
        fit = scale_and_pose_to(part.poses, known, min_baseline=LEAST_BASELINE_M)
        if fit is not None:
            return fit.similarity, ""
        if np.isfinite(known[-1]).all():  # one pose, or cameras at one place: the network's own unit, if it has one
            if not self._network.metric:
                return None, "no depth yet: cameras at one place give no scale"
            motion = known[-1] @ inverse(part.poses[-1])
            return Similarity(1.0, motion[:3, :3], motion[:3, 3]), "scale as the network guesses it"
        guessed = "" if self._network.metric else "arbitrary scale: no pose is known"
        if self._placed is None:
            first = levelled(part)
            shared = shared_similarity(first, part)
            return (shared[0], guessed) if shared is not None else (None, "no depth: the first keyframe was not placed")
        shared = shared_similarity(_before(self._placed, len(part.numbers)), part)
        if shared is None:
            return None, "no depth: this keyframe cannot be tied to those before it"
        return shared[0], guessed

    def _limited(self, view: View) -> View:
        depth = view.require_depth()
        far = depth > self._settings.reconstruction.predicted_depth_m
        return dataclasses.replace(view, depth=np.where(far, np.nan, depth).astype(np.float32))


def _before(placed: Part, count: int) -> Part:
    """What was placed, numbered as in a window of ``count`` whose last photo is new."""
    kept = min(len(placed.numbers), count - 1)
    rows = slice(len(placed.numbers) - kept, None)
    return Part(
        list(range(count - 1 - kept, count - 1)),
        placed.cameras[rows],
        placed.poses[rows],
        placed.depths[rows],
        placed.confidences[rows],
    )


def make_multi_view(settings: Settings) -> MultiView:
    """The estimator of ``reconstruction.method: multi_view``.

    Raises:
        WeightsError: ``reconstruction.model_file`` cannot be used.
        MissingDependencyError: torch is not installed.
        InputError: ``reconstruction.model_file`` is ``none``: there is no way without a network.
    """
    if settings.reconstruction.model_file == "none":
        raise InputError("reconstruction.model_file is 'none', but multi_view has no way without a network")
    from showroom_ros.reconstruction.multi_view_torch import load_pointmap_network

    return MultiView(
        settings, load_pointmap_network(settings.reconstruction.model_file, settings.reconstruction.device)
    )
