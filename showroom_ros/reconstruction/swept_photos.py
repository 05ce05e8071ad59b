"""A room of unposed photos without a network of pointmaps: structure from motion, then a plane sweep."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, transform_points
from showroom_ros.geometry.similarity import Similarity
from showroom_ros.reconstruction.multi_view import MultiViewResult, scaled, view_of
from showroom_ros.reconstruction.photos import Photo, Prepared, duplicates, prepared
from showroom_ros.reconstruction.plane_sweep import PlaneSweep
from showroom_ros.reconstruction.structure_from_motion import StructureFromMotion, structure_from_motion
from showroom_ros.reconstruction.windows import Part
from showroom_ros.scene.view import View

LONG_SIDE = 1280
"""Pixels of the photos' longer side in which features are looked for."""
USUAL_DEPTH_M = 2.0
"""Median distance of a room's points from its photos where nothing tells the scale: the sweep needs rough metres."""


def sweep_photos(photos: Sequence[Photo], sweep: PlaneSweep, *, engine: str = "auto") -> MultiViewResult:
    """Cameras and depth of photos of one place; arguments and result as ``multi_view.reconstruct_photos``.

    Args:
        photos: two or more.
        sweep: predicts the depth.
        engine: of ``structure_from_motion``.

    Raises:
        InputError: fewer than two photos, or fewer than two of them can be tied to each other.
    """
    same = duplicates(photos)
    used = [number for number in range(len(photos)) if number not in same]
    if len(used) < 2:
        raise InputError(f"{len(used)} different photos, expected at least 2 for structure from motion")
    notes = [f"{photos[a].name} shows the same as {photos[b].name}: left out" for a, b in same.items()]
    small = {number: prepared(photos[number], LONG_SIDE, 2) for number in used}
    found = _placed([small[number] for number in used], engine)
    if found.registered < 2:
        raise InputError(f"fewer than two of the {len(used)} photos can be tied to each other by their features")
    notes.append(f"{found.registered} of {len(used)} photos placed by {found.engine}, {found.tracks_px:.2f} px")
    unit = USUAL_DEPTH_M / _median_depth(found)
    rows = np.flatnonzero(np.isfinite(found.T_world_camera).all((1, 2)))
    poses = Similarity(unit, np.eye(3), np.zeros(3)).apply_to_poses(found.T_world_camera[rows])
    views = [
        View(small[used[row]].image, found.cameras[row], T_world_camera=pose)
        for row, pose in zip(rows, poses, strict=True)
    ]
    predicted = sweep.predicted(views)[1]
    kept = [(used[row], view) for row, view in zip(rows, predicted, strict=True) if view is not None]
    if not kept:
        raise InputError("photos were placed, but no depth of them agrees with any other")
    swept = {number: _resized(small[number], view.camera) for number, view in kept}
    whole, scale = scaled(_as_part([n for n, _ in kept], [view for _, view in kept]), photos, swept, metric=False)
    return _result(photos, small, swept, whole, (scale, notes))


def _placed(small: list[Prepared], engine: str) -> StructureFromMotion:
    cameras = [view.camera for view in small if view.camera is not None]
    known = cameras if len(cameras) == len(small) else None
    return structure_from_motion([view.image for view in small], known, engine=engine)


def _median_depth(found: StructureFromMotion) -> float:
    """Of the points in front of each placed camera and inside its image, in the model's unit."""
    depths: list[NDArray[np.float64]] = []
    for pose, camera in zip(found.T_world_camera, found.cameras, strict=True):
        if np.isfinite(pose).all():
            pixel, z = camera.project(transform_points(inverse(pose), found.points))
            inside = (z > 0) & (pixel[:, 0] > 0) & (pixel[:, 0] < camera.width) & (pixel[:, 1] > 0)
            depths.append(z[inside & (pixel[:, 1] < camera.height)])
    everything = np.concatenate(depths)
    if not len(everything):
        raise InputError("no point of the photos lies in front of its cameras")
    return float(np.median(everything))


def _as_part(numbers: list[int], views: list[View]) -> Part:
    return Part(
        numbers,
        [view.camera for view in views],
        np.stack([view.require_pose() for view in views]),
        [view.require_depth() for view in views],
        [np.ones_like(view.require_depth()) if view.confidence is None else view.confidence for view in views],
    )


def _result(
    photos: Sequence[Photo],
    small: dict[int, Prepared],
    swept: dict[int, Prepared],
    whole: Part,
    about: tuple[str, list[str]],
) -> MultiViewResult:
    """Views at the size that was swept; poses of all photos that have depth."""
    scale, notes = about
    lost = [photo.name for number, photo in enumerate(photos) if number in small and number not in whole.numbers]
    if lost:
        notes.append(f"could not be placed, or no depth of them agrees: {', '.join(lost)}")
    poses = np.full((len(photos), 4, 4), np.nan)
    poses[whole.numbers] = whole.poses
    views = [view_of(photos[number], swept[number], whole, row, 0.0) for row, number in enumerate(whole.numbers)]
    return MultiViewResult(
        [photo.name for photo in photos],
        views,
        list(whole.numbers),
        list(whole.cameras),
        [
            small[number].photo_camera(camera.scaled(*small[number].image.shape[1::-1]))
            for number, camera in zip(whole.numbers, whole.cameras, strict=True)
        ],
        poses,
        scale,
        [list(whole.numbers)],
        [],
        notes,
    )


def _resized(view: Prepared, camera: Camera) -> Prepared:
    """Image and measured depth at the size of ``camera``."""
    size = camera.width, camera.height
    image = np.asarray(cv2.resize(view.image, size, interpolation=cv2.INTER_AREA), np.uint8)
    depth = None
    if view.depth is not None:
        depth = np.asarray(cv2.resize(view.depth, size, interpolation=cv2.INTER_NEAREST), np.float32)
    return view._replace(image=image, depth=depth)
