"""A recording looked at again once all of it is known: each keyframe from those before and after, with the map's help.

Live, a keyframe can be compared with earlier ones only. At the end of a recording the depth of all keyframes is
predicted anew from the best sources of either side and fused; where the matcher heeds hints, once more with the depth
of that map as a hint (the offline mode of Sayed et al., DoubleTake, 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.reconstruction.consistency import DepthOfView, compared_with
from showroom_ros.reconstruction.source_views import Keyframe, choose_sources
from showroom_ros.scene.block_store import BLOCK_VOXELS
from showroom_ros.scene.raycast import RaycastView, raycast
from showroom_ros.scene.view import Provenance, View
from showroom_ros.scene.volume import Volume
from showroom_ros.scene.voxels import Voxels

Match = Callable[
    [Keyframe[Any], list[Keyframe[Any]], RaycastView | None], tuple[NDArray[np.float32], NDArray[np.float32]]
]


def looked_at_again(
    keyframes: Sequence[Keyframe[Any]],
    match: Match,
    make_volume: Callable[[], Volume],
    *,
    sources: int,
    min_confidence: float,
    max_depth_m: float,
    hints: bool,
) -> tuple[Volume, list[View | None]]:
    """A map of predicted surface, from all keyframes, and what of each was fused (None: nothing).

    Args:
        keyframes: whose ``content`` has ``image`` and ``depth``; the latter is replaced.
        match: depth and confidence of a keyframe from sources, helped by the depth of a map or not.
        make_volume: an empty map.
        sources: each is compared with at most so many.
        min_confidence: depth less sure is left out.
        max_depth_m: and so is what is farther.
        hints: whether a first map is made to help the second.
    """
    volume, views = None, []
    for _ in range(2 if hints else 1):
        estimates = [_estimated(keyframe, keyframes, match, sources, volume) for keyframe in keyframes]
        for keyframe, (depth, confidence, _) in zip(keyframes, estimates, strict=True):
            keyframe.content.depth = np.where(confidence >= min_confidence, depth, np.nan).astype(np.float32)
        views = [
            _checked(keyframe, confidence, others, (min_confidence, max_depth_m))
            for keyframe, (_, confidence, others) in zip(keyframes, estimates, strict=True)
        ]
        volume = make_volume()
        for view in views:
            if view is not None:
                volume.integrate(view)
    return volume or make_volume(), views


def replacing(volume: Volume, prediction: Volume) -> Voxels:
    """The voxels of ``prediction``, and empty ones at all other blocks of ``volume``: nothing older shall stay."""
    new = prediction.voxels()
    known = {tuple(position) for position in new.position.tolist()}
    rest = np.array(
        [position for position in volume.voxels().position.tolist() if tuple(position) not in known], np.int32
    ).reshape(-1, 3)
    empty = len(rest), BLOCK_VOXELS
    return Voxels(
        np.concatenate([new.position, rest]),
        np.concatenate([new.tsdf, np.ones(empty, np.int16)]),
        np.concatenate([new.weight, np.zeros(empty, np.uint16)]),
        np.concatenate([new.color, np.zeros(empty, np.uint32)]),
    )


def _estimated(
    keyframe: Keyframe[Any], keyframes: Sequence[Keyframe[Any]], match: Match, count: int, volume: Volume | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[Keyframe[Any]]]:
    shape = keyframe.content.image.shape
    others = [other for other in keyframes if other is not keyframe and other.content.image.shape == shape]
    chosen = choose_sources(keyframe.camera, keyframe.T_world_camera, others, count)
    if not chosen:
        return np.full(shape[:2], np.nan, np.float32), np.zeros(shape[:2], np.float32), chosen
    seen = None if volume is None else raycast(volume, keyframe.camera, keyframe.T_world_camera)
    return *match(keyframe, chosen, seen), chosen


def _checked(
    keyframe: Keyframe[Any],
    confidence: NDArray[np.float32],
    sources: list[Keyframe[Any]],
    limits: tuple[float, float],
) -> View | None:
    """The keyframe with what depth the sources' does not refute."""
    own, *others = (
        DepthOfView(k.content.depth, k.camera, k.T_world_camera)
        for k in (keyframe, *sources)
        if k.content.depth is not None
    )
    confidence = compared_with(own, others).revised(confidence)
    known = np.isfinite(own.depth) & (confidence >= limits[0]) & (own.depth <= limits[1])
    if not known.any():
        return None
    return View(
        image=keyframe.content.image,
        camera=keyframe.camera,
        depth=np.where(known, own.depth, np.nan).astype(np.float32),
        provenance=np.where(known, Provenance.PREDICTED, Provenance.UNKNOWN).astype(np.uint8),
        confidence=np.where(known, confidence, 0).astype(np.float32),
        T_world_camera=keyframe.T_world_camera,
    )
