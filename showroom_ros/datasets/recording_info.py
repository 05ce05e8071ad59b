"""What one recording holds: frames, sizes, cameras, depth, poses, times; from a sample of its frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.pose_convention import PoseCheck, check_poses
from showroom_ros.errors import ShowroomError
from showroom_ros.geometry.camera import Camera
from showroom_ros.scene.spread import evenly_spread
from showroom_ros.scene.view import SensorFrame, Sequence

Progress = Callable[[int, int], None]
"""Called with (frames read, frames to read)."""

_PIXEL_STEP = 8
"""Every so many pixels in both directions go into the statistics of depth."""


@dataclass(frozen=True)
class DepthInfo:
    """Depth of the frames that were read.

    Attributes:
        frames: how many have depth.
        sizes: frames by size of their depth image, e.g. {"640x480": 20}.
        registered: whether it is that of the colour camera, in all frames.
        coverage: mean share of pixels with known depth.
        nearest, median, farthest: 1st, 50th and 99th percentile in metres (or the recording's own unit).
    """

    frames: int
    sizes: dict[str, int]
    registered: bool
    coverage: float
    nearest: float
    median: float
    farthest: float


@dataclass(frozen=True)
class PoseInfo:
    """Poses of the frames that were read.

    Attributes:
        frames: how many have a pose.
        path_length: sum of the distances between one and the next in metres (or the recording's own unit); a lower
            bound where not all frames were read. None where frames belong to different worlds.
        extent: sides of the box around them, along the world's axes; None as ``path_length``.
    """

    frames: int
    path_length: float | None
    extent: tuple[float, float, float] | None


@dataclass(frozen=True)
class RecordingInfo:
    """One recording.

    Attributes:
        source: its path or name.
        dataset: kind of recording (name in the catalogue).
        title: full name of that kind.
        name: of the sequence.
        frames: how many it has.
        frames_read: how many of them, evenly spread, were read for what follows.
        sizes: frames by size of their colour image.
        intrinsics: fx, fy, cx, cy of the first frame in pixels; None without frames.
        distortion: its lens model.
        cameras: how many different cameras the frames have.
        intrinsics_known: False where they are an assumption.
        depth: None without depth.
        poses: None without poses.
        stamps_known: False where stamps are made up.
        duration_s: between the first and the last stamp.
        rate_hz: frames by duration.
        metric: False where lengths are in a unit of their own.
        skipped: frames the reader leaves out, by reason.
        unreadable: what was said of frames that could not be read, with how often.
        missing: what of the official layout is not there.
        pose_check: None where it could not be made (no frame with depth and pose, or different worlds).
        topics: of a bag, with type and number of messages.
        problem: why it cannot be opened as a sequence; "" where it can.
    """

    source: str
    dataset: str
    title: str
    name: str = ""
    frames: int = 0
    frames_read: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    intrinsics: tuple[float, float, float, float] | None = None
    distortion: str = "none"
    cameras: int = 0
    intrinsics_known: bool = True
    depth: DepthInfo | None = None
    poses: PoseInfo | None = None
    stamps_known: bool = True
    duration_s: float | None = None
    rate_hz: float | None = None
    metric: bool = True
    skipped: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    pose_check: PoseCheck | None = None
    topics: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def describe_sequence(
    sequence: Sequence, source: str, dataset: str = "synthetic", title: str = "A made-up recording", *,
    frames: int = 50, progress: Progress | None = None, missing: tuple[str, ...] = (),
) -> RecordingInfo:  # fmt: skip
    """Reads ``frames`` frames, evenly spread, and sums up what they hold."""
    indices = evenly_spread(len(sequence), frames)
    read: list[_Thin] = []
    unreadable: Counter[str] = Counter()
    for done, index in enumerate(indices, 1):
        try:
            read.append(_thinned(sequence.frame(index)))
        except ShowroomError as error:
            unreadable[str(error)] += 1
        if progress is not None:
            progress(done, len(indices))
    one_world = bool(getattr(sequence, "one_world", True))
    stamps = [frame.stamp_ns for frame in read]
    duration_s = (stamps[-1] - stamps[0]) / 1e9 if len(stamps) > 1 else None
    camera = read[0].color_camera if read else None
    return RecordingInfo(
        source=source,
        dataset=dataset,
        title=title,
        name=sequence.name,
        frames=len(sequence),
        frames_read=len(read),
        sizes=dict(Counter(f"{frame.color_camera.width}x{frame.color_camera.height}" for frame in read)),
        intrinsics=None if camera is None else (camera.fx, camera.fy, camera.cx, camera.cy),
        distortion=camera.distortion_model if camera is not None and camera.is_distorted else "none",
        cameras=len({frame.color_camera for frame in read}),
        intrinsics_known=bool(getattr(sequence, "intrinsics_known", True)),
        depth=_depth_info(read),
        poses=_pose_info([frame.T_world_camera for frame in read if frame.T_world_camera is not None], one_world),
        stamps_known=bool(getattr(sequence, "stamps_known", True)),
        duration_s=duration_s,
        rate_hz=(len(sequence) - 1) / duration_s if duration_s else None,
        metric=bool(getattr(sequence, "metric", True)),
        skipped={reason: count for reason, count in getattr(sequence, "skipped", {}).items() if count},
        unreadable=dict(unreadable),
        missing=missing,
        pose_check=check_poses(sequence) if one_world else None,
    )


@dataclass(frozen=True, eq=False)
class _Thin:
    """What is kept of a frame: everything but its colours, its depth thinned out."""

    color_camera: Camera
    depth: NDArray[np.float32] | None
    depth_size: str
    registered: bool
    T_world_camera: NDArray[np.float64] | None
    stamp_ns: int


def _thinned(frame: SensorFrame) -> _Thin:
    thin = None if frame.depth is None else np.array(frame.depth[::_PIXEL_STEP, ::_PIXEL_STEP])
    size = "" if frame.depth is None else f"{frame.depth.shape[1]}x{frame.depth.shape[0]}"
    registered = frame.depth_camera is None and frame.T_color_depth is None
    return _Thin(frame.color_camera, thin, size, registered, frame.T_world_camera, frame.stamp_ns)


def _depth_info(frames: list[_Thin]) -> DepthInfo | None:
    with_depth = [frame for frame in frames if frame.depth is not None]
    planes = [frame.depth for frame in with_depth if frame.depth is not None]
    if not planes:
        return None
    values = np.concatenate([plane[np.isfinite(plane)] for plane in planes])
    low, middle, high = np.percentile(values, (1, 50, 99)) if len(values) else (np.nan,) * 3
    return DepthInfo(
        frames=len(with_depth),
        sizes=dict(Counter(frame.depth_size for frame in with_depth)),
        registered=all(frame.registered for frame in with_depth),
        coverage=float(np.mean([np.isfinite(plane).mean() for plane in planes])),
        nearest=float(low),
        median=float(middle),
        farthest=float(high),
    )


def _pose_info(poses: list[NDArray[np.float64]], one_world: bool) -> PoseInfo | None:
    if not poses:
        return None
    if not one_world:
        return PoseInfo(len(poses), None, None)
    places = np.array([pose[:3, 3] for pose in poses])
    x, y, z = (float(side) for side in np.ptp(places, axis=0))
    return PoseInfo(len(poses), float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum()), (x, y, z))
