"""A whole recording through the same ``process`` the live node calls, deterministically."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError, ShowroomError
from showroom_ros.reconstruction.estimator import Estimator
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.scene.keyframes import KeyframeSelector
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Sequence, View
from showroom_ros.settings import Settings

_LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class OfflineResult:
    """What came out of a recording.

    Attributes:
        mesh: the whole map's mesh.
        reconstructor: holds the map, e.g. to save it.
        poses: ``(stamp_ns, T_world_camera)`` of every posed frame.
        used: indices of the frames that were fused, or that an estimator took in.
        rejected: ``{index: reason}`` of frames that could not be used.
        without_depth: ``{index: note}`` of those used frames that added nothing to the map by themselves.
        note: what was said last of little or no depth; "" where all was well.
    """

    mesh: Mesh
    reconstructor: Reconstructor
    poses: list[tuple[int, NDArray[np.float64]]] = field(default_factory=list)
    used: list[int] = field(default_factory=list)
    rejected: dict[int, str] = field(default_factory=dict)
    without_depth: dict[int, str] = field(default_factory=dict)
    note: str = ""


def reconstruct(
    sequence: Sequence,
    settings: Settings,
    *,
    keyframes_only: bool | None = None,
    skip: Callable[[int], bool] = lambda _: False,
    progress: Callable[[int, int], None] | None = None,
    estimator: Estimator | None = None,
) -> OfflineResult:
    """Fuses every frame of ``sequence`` (or only its keyframes) in order.

    Args:
        sequence: any recording.
        settings: ``map``, ``reconstruction`` and ``keyframes`` are used; without ``keyframes.use_depth`` the
            recording's depth is not looked at.
        keyframes_only: fuse only frames the live node would select; None = where depth is estimated.
        skip: frames held back, by index (for scoring against them).
        progress: called with (done, total).
        estimator: where geometry comes from; None = what ``reconstruction.method`` names.

    Raises:
        InputError: not one frame could be used; the message gives a reason.
    """
    reconstructor = Reconstructor(settings, estimator)
    reconstructor.leave_to_finish()
    result = OfflineResult(Mesh.empty(), reconstructor)
    if keyframes_only is None:
        keyframes_only = settings.reconstruction.method != "sensor_depth"
    selector = KeyframeSelector(settings.keyframes) if keyframes_only else None
    for index, view in _readable_views(sequence, result, skip, progress):
        if view.T_world_camera is not None:
            result.poses.append((view.stamp_ns, view.T_world_camera))
        if selector is not None and not selector.select(view.image, view.T_world_camera, view.stamp_ns).is_keyframe:
            continue
        _process(index, view if settings.keyframes.use_depth else color_only(view), result)
    reconstructor.finish()
    if len(result.without_depth) == len(result.used) and not reconstructor.volume.block_count:
        reason = result.note if result.used else next(iter(result.rejected.values()), "it holds no frames")
        raise InputError(f"{sequence.name}: none of its {len(sequence)} frames could be used: {reason}")
    if result.rejected:
        _LOG.warning(
            "%s: %d frames rejected, the first: %s",
            sequence.name,
            len(result.rejected),
            next(iter(result.rejected.values())),
        )
    result.mesh = reconstructor.volume.extract_mesh()
    return result


def color_only(view: View) -> View:
    """``view`` without what is known of its geometry."""
    return dataclasses.replace(view, depth=None, provenance=None, confidence=None)


def _process(index: int, view: View, result: OfflineResult) -> None:
    """Fuses one view and notes what became of it."""
    try:
        update = result.reconstructor.process(view, mesh=False)
    except InputError as error:
        result.rejected[index] = str(error)
        return
    result.used.append(index)
    result.note = update.note
    if update.counters["views_without_depth"]:
        result.without_depth[index] = update.note


def _readable_views(
    sequence: Sequence,
    result: OfflineResult,
    skip: Callable[[int], bool],
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[int, View]]:
    for index in range(len(sequence)):
        if not skip(index):
            try:
                view = sequence[index]
            except ShowroomError as error:
                result.rejected[index] = str(error)
            else:
                yield index, view
        if progress is not None:
            progress(index + 1, len(sequence))
