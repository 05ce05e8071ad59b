"""A room of unposed photos: pointmaps of a network, cameras found in them, one scale and one frame for all.

Each window of photos goes through the network at once; focal lengths, poses and depth are read off its pointmaps
(Wang et al., DUSt3R, 2024, section 3.3; Yang et al., Fast3R, 2025). Windows that share photos are laid on each other by
similarities, and what is known of some photos (intrinsics, poses, depth) gives the metric scale.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.alignment import local_to_global, scale_and_pose_to, scale_to_depth
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.pointmap import camera_pose, fitted_focal
from showroom_ros.geometry.similarity import Similarity
from showroom_ros.reconstruction.photos import Photo, Prepared, duplicates, prepared
from showroom_ros.reconstruction.view_groups import groups_of
from showroom_ros.reconstruction.windows import Part, laid_together, windows_of
from showroom_ros.scene.view import Provenance, View

Progress = Callable[[int, int], None]

LEAST_BASELINE_M = 0.05
"""Between known cameras, for them to give the scale."""


class Pointmaps(NamedTuple):
    """What a network says of one image.

    Attributes:
        points: float32 [H, W, 3], in the frame of the first image's camera.
        confidence: float32 [H, W], 1 (none) or more.
        local_points: float32 [H, W, 3], in the image's own camera frame.
        local_confidence: float32 [H, W], 1 or more.
    """

    points: NDArray[np.float32]
    confidence: NDArray[np.float32]
    local_points: NDArray[np.float32]
    local_confidence: NDArray[np.float32]


class PointmapNetwork(Protocol):
    """Pointmaps of images."""

    image_size: int
    """Longer side in pixels of the images it was trained on."""
    patch: int
    """Sides of images are multiples of it."""
    metric: bool
    """Whether its unit is the metre."""
    name: str
    note: str
    """What a person should know of it; "" where there is nothing."""

    def pointmaps(self, images: Sequence[NDArray[np.uint8]]) -> list[Pointmaps]:
        """Of images uint8 [H, W, 3]; sizes may differ."""
        ...


@dataclass(frozen=True)
class MultiViewSettings:
    """How photos are put together.

    Attributes:
        window: photos that go through the network at once.
        overlap: photos that a window shares with the one before.
        min_confidence: share (0..1) of the network's confidence below which points are left out.
        loops: windows farther apart that are compared to close loops, at most.
        check_groups: photos that nothing ties to the others are told apart and not merged.
    """

    window: int = 24
    overlap: int = 6
    min_confidence: float = 0.1
    loops: int = 4
    check_groups: bool = True


@dataclass(eq=False)
class MultiViewResult:
    """What came out, photo by photo in the order they were given.

    Attributes:
        names: of the photos.
        views: of the photos that were placed: image as the network saw it, depth, confidence, camera and pose; all
            PREDICTED but for measured depth.
        numbers: of ``views``: which photos they are.
        cameras: of ``views``: of the images as the network saw them.
        photo_cameras: the same of the whole photos.
        T_world_camera: float64 [N, 4, 4]; rows of photos that could not be placed are NaN.
        scale: where the unit comes from: ``poses``, ``depth``, ``network`` (it guesses metres) or ``none``.
        groups: photos tied to each other; more than one group if the photos show different places.
        drift: of closed loops: scale ratio minus one, turn in degrees, shift over the length of the loop.
        notes: what a person should know.
    """

    names: list[str]
    views: list[View]
    numbers: list[int]
    cameras: list[Camera]
    photo_cameras: list[Camera]
    T_world_camera: NDArray[np.float64]
    scale: str
    groups: list[list[int]]
    drift: list[tuple[float, float, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def reconstruct_photos(
    photos: Sequence[Photo],
    network: PointmapNetwork,
    settings: MultiViewSettings | None = None,
    progress: Progress | None = None,
) -> MultiViewResult:
    """Cameras and depth of photos of one place.

    The world is that of the known poses, else the first placed photo's camera, levelled: z up where photos are upright
    on average.

    Args:
        photos: one or more.
        network: pointmaps.
        settings: None = the defaults.
        progress: called with (windows done, all windows).

    Raises:
        InputError: no photo, or none that could be used.
    """
    settings = settings or MultiViewSettings()
    if not photos:
        raise InputError("no photos, expected at least one")
    same = duplicates(photos)
    used = [number for number in range(len(photos)) if number not in same]
    small = {number: prepared(photos[number], network.image_size, network.patch) for number in used}
    notes = [f"{photos[a].name} shows the same as {photos[b].name}: left out" for a, b in same.items()]
    notes += [network.note] if network.note else []
    if len(used) == 1:
        notes.append("one photo: its depth only, nothing to compare it with")
    cameras: dict[int, Camera] = {}
    parts: list[Part] = []

    def look_at(numbers: Sequence[int]) -> Part:
        return part_of([small[number] for number in numbers], list(numbers), network, cameras)

    windows = windows_of(used, settings.window, settings.overlap)
    for done, window in enumerate(windows):
        parts.append(look_at(window))
        if progress is not None:
            progress(done + 1, len(windows))
    whole, drift = laid_together(parts, look_at, settings.loops)
    groups = groups_of(whole, {n: photos[n].image for n in used}) if settings.check_groups else [list(whole.numbers)]
    if len(groups) > 1:
        notes.append(_said_of_groups(groups, photos))
        whole = whole.subset(groups[0])
    whole, scale = scaled(whole, photos, small, network.metric)
    return _result(photos, whole, small, settings, (scale, groups, drift, notes))


def part_of(small: list[Prepared], numbers: list[int], network: PointmapNetwork, cameras: dict[int, Camera]) -> Part:
    """One window through the network; cameras found once are kept."""
    maps = network.pointmaps([view.image for view in small])
    for number, view, found in zip(numbers, small, maps, strict=True):
        cameras.setdefault(number, view.camera or _camera_of(found))
    poses, depths, confidences = [], [], []
    for number, found in zip(numbers, maps, strict=True):
        pose, depth = _pose_and_depth(found, cameras[number])
        poses.append(pose)
        depths.append(depth)
        confidences.append((1 - 1 / np.maximum(found.local_confidence, 1)).astype(np.float32))
    return Part(numbers, [cameras[number] for number in numbers], np.stack(poses), depths, confidences)


def _camera_of(found: Pointmaps) -> Camera:
    """A pinhole with its axis through the middle, fitted to the local points."""
    height, width = found.local_points.shape[:2]
    try:
        focal = fitted_focal(found.local_points, found.local_confidence)
    except InputError:
        focal = float(max(height, width))
    return Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def _pose_and_depth(found: Pointmaps, camera: Camera) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Pose by PnP and depth in the unit of the window; a NaN pose where the points do not hold together."""
    nothing = np.full((4, 4), np.nan), np.full(found.points.shape[:2], np.nan, np.float32)
    fit = camera_pose(found.points, found.confidence, camera)
    if fit is None:
        return nothing
    try:
        factor = local_to_global(found.local_points, found.points, found.confidence).similarity.scale
    except InputError:
        return nothing
    depth = found.local_points[..., 2] * factor
    return fit.T_world_camera, np.where(depth > 0, depth, np.nan).astype(np.float32)


def scaled(whole: Part, photos: Sequence[Photo], small: dict[int, Prepared], metric: bool) -> tuple[Part, str]:
    """The whole in metres and in the world of the known poses, where anything is known; and by what."""
    known = np.full_like(whole.poses, np.nan)
    for row, number in enumerate(whole.numbers):
        pose = photos[number].T_world_camera
        if pose is not None:
            known[row] = pose
    fit = scale_and_pose_to(whole.poses, known, min_baseline=LEAST_BASELINE_M)
    if fit is not None:
        moved = whole.moved(fit.similarity)
        has_pose = np.asarray(np.isfinite(known).all((1, 2)))
        return dataclasses.replace(moved, poses=np.where(has_pose[:, None, None], known, moved.poses)), "poses"
    factors = [
        scale_to_depth(depth, measured, confidence)
        for number, depth, confidence in zip(whole.numbers, whole.depths, whole.confidences, strict=True)
        if (measured := small[number].depth) is not None
    ]
    found = [factor for factor in factors if factor is not None]
    if found:
        factor = float(np.exp(np.median(np.log(found))))
        return levelled(whole.moved(Similarity(factor, np.eye(3), np.zeros(3)))), "depth"
    return levelled(whole), "network" if metric else "none"


def levelled(whole: Part) -> Part:
    """Turned so that images point up along z on average, the first placed camera at the origin, ahead of it x."""
    placed = np.flatnonzero(np.isfinite(whole.poses).all((1, 2)))
    if not len(placed):
        return whole
    up = -whole.poses[placed, :3, 1].mean(0)
    ahead = whole.poses[placed[0], :3, 2]
    if np.linalg.norm(up) < 1e-3 or np.linalg.norm(np.cross(up, ahead)) < 1e-3:
        up, ahead = -whole.poses[placed[0], :3, 1], whole.poses[placed[0], :3, 2]
    z = up / np.linalg.norm(up)
    x = ahead - z * (ahead @ z)
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(z, x), z])
    return whole.moved(Similarity(1.0, rotation, -rotation @ whole.poses[placed[0], :3, 3]))


def _said_of_groups(groups: list[list[int]], photos: Sequence[Photo]) -> str:
    listed = "; ".join(", ".join(photos[number].name for number in group) for group in groups)
    return f"the photos show {len(groups)} places that nothing ties together: {listed}. Only the first is reconstructed"


def _result(
    photos: Sequence[Photo],
    whole: Part,
    small: dict[int, Prepared],
    settings: MultiViewSettings,
    about: tuple[str, list[list[int]], list[tuple[float, float, float]], list[str]],
) -> MultiViewResult:
    scale, groups, drift, notes = about
    poses = np.full((len(photos), 4, 4), np.nan)
    views, numbers = [], []
    cameras = dict(zip(whole.numbers, whole.cameras, strict=True))
    for row, number in enumerate(whole.numbers):
        poses[number] = whole.poses[row]
        if np.isfinite(poses[number]).all():
            views.append(view_of(photos[number], small[number], whole, row, settings.min_confidence))
            numbers.append(number)
    if not views:
        raise InputError(f"none of the {len(photos)} photos could be placed: the network's points do not hold together")
    lost = [photos[n].name for n in whole.numbers if n not in numbers]
    if lost:
        notes.append(f"could not be placed: {', '.join(lost)}")
    return MultiViewResult(
        [photo.name for photo in photos],
        views,
        numbers,
        [cameras[number] for number in numbers],
        [small[number].photo_camera(cameras[number]) for number in numbers],
        poses,
        scale,
        groups,
        drift,
        notes,
    )


def view_of(photo: Photo, small: Prepared, whole: Part, row: int, least: float) -> View:
    """Depth where the network is sure enough; measured depth, if any, wins."""
    confidence = whole.confidences[row]
    depth = np.where(confidence >= least, whole.depths[row], np.nan).astype(np.float32)
    measured = np.zeros(depth.shape, bool) if small.depth is None else np.isfinite(small.depth) & (small.depth > 0)
    if small.depth is not None:
        depth = np.where(measured, small.depth, depth).astype(np.float32)
    kind = np.where(np.isfinite(depth), Provenance.PREDICTED, Provenance.UNKNOWN)
    return View(
        small.image,
        whole.cameras[row],
        depth,
        np.where(measured, Provenance.MEASURED, kind).astype(np.uint8),
        np.where(measured, 1.0, np.clip(confidence, 0, 1)).astype(np.float32),
        whole.poses[row],
        photo.stamp_ns,
    )
