"""What ``showroom benchmark multi_view`` places and reconstructs, and what is true of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.open import open_sequence
from showroom_ros.datasets.photos import Photos
from showroom_ros.errors import DatasetError, InputError, ShowroomError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import transform_points
from showroom_ros.reconstruction.photos import Photo
from showroom_ros.scene.view import Sequence, View

SYNTHETIC = "synthetic"
FOLDERS = ("showroom_photos", "living_room_photos")
"""Photos of which nothing is known, beside the recording."""
SPACING_S = 20 / 30
"""Every 20th frame of a recording at 30 Hz."""

_SIZE = 640, 480
_OVERLAP = (0.3, 0.6)
_TOLERANCE_NS = 1_000_000
_JUDGED_PX = 160
"""Width of the grid of pixels that true points are asked for at."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of a photo.

    Attributes:
        camera: pinhole.
        T_world_camera: float64 [4, 4].
        depth: float32 [H, W] metres, NaN unknown.
    """

    camera: Camera
    T_world_camera: NDArray[np.float64]
    depth: NDArray[np.float32]

    def depth_at(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Depth of the nearest pixel of places in the image; NaN outside."""
        column, row = np.rint(u).astype(int), np.rint(v).astype(int)
        inside = (column >= 0) & (row >= 0) & (column < self.camera.width) & (row < self.camera.height)
        depth = np.full(np.shape(u), np.nan)
        depth[inside] = self.depth[row[inside], column[inside]]
        return np.where(depth > 0, depth, np.nan)

    def points_at(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """World points [..., 3] of places in the image; NaN where unknown."""
        z = self.depth_at(u, v)
        camera = self.camera
        local = np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], -1)
        return transform_points(self.T_world_camera, local)

    def points(self) -> NDArray[np.float64]:
        """Known world points [n, 3] of a grid of at most 160 pixels a row."""
        step = max(1, self.camera.width // _JUDGED_PX)
        v, u = np.mgrid[: self.camera.height : step, : self.camera.width : step].astype(np.float64)
        points = self.points_at(u, v).reshape(-1, 3)
        return points[np.isfinite(points).all(1)]


@dataclass(frozen=True, eq=False)
class JudgedPhotos:
    """Photos of one place.

    Attributes:
        data: the rows of the table they count for.
        name: of the room, recording or folder.
        images: uint8 [H, W, 3] each.
        truth: of each; empty where nothing is known.
    """

    data: str
    name: str
    images: list[NDArray[np.uint8]]
    truth: list[Truth]

    def first(self, count: int) -> JudgedPhotos:
        """The first ones."""
        return replace(self, images=self.images[:count], truth=self.truth[:count])

    def photos(self, given: str = "free") -> list[Photo]:
        """What a method is given: "free" images alone, "intrinsics" their cameras too, "poses" their poses too."""
        if given == "free":
            return [Photo(image, name=f"{number}") for number, image in enumerate(self.images)]
        return [
            Photo(image, true.camera, true.T_world_camera if given == "poses" else None, name=f"{number}")
            for number, (image, true) in enumerate(zip(self.images, self.truth, strict=True))
        ]

    def poses(self) -> NDArray[np.float64]:
        """The true ones, [N, 4, 4]."""
        return np.stack([true.T_world_camera for true in self.truth])


def synthetic_scenes(
    scenes: int, count: int, size: tuple[int, int] = _SIZE, device: str = "cpu"
) -> Iterator[JudgedPhotos]:
    """Photos by a noisy camera, with their exact depth, of the first test rooms that are one room and offer so many.

    A photo overlaps an earlier one by 30 to 60 %, so the first photos of a set are a set themselves.

    Args:
        scenes: rooms.
        count: photos of each.
        size: of the images in pixels.
        device: where rooms are lit and rendered.

    Raises:
        DatasetError: there are not so many.
    """
    from showroom_ros.datasets.synthetic.photo_sets import photo_set
    from showroom_ros.datasets.synthetic.renderer import Renderer
    from showroom_ros.datasets.synthetic.room import make_room
    from showroom_ros.datasets.synthetic.sequence import COLOR_CAMERA, SyntheticSequence
    from showroom_ros.datasets.synthetic.splits import SPLITS, seed_of, settings_of

    found = 0
    for number in range(0, len(SPLITS["test"]), 2):
        if found == scenes:
            return
        seed = seed_of("test", number)
        if settings_of(seed).rooms != 1:
            continue
        room = make_room(seed, settings_of(seed), device)
        try:
            photos = photo_set(Renderer(room, device), COLOR_CAMERA.scaled(*size), count, _OVERLAP)
        except InputError:  # it offers no such photos
            continue
        sequence = SyntheticSequence(
            seed, width=size[0], height=size[1], room=room, registered=True, trajectory=photos.poses, device=device
        )
        images, truth = [], []
        for index, pose in enumerate(photos.poses):
            images.append(sequence.frame(index).image)
            depth = sequence.renderer.render(sequence.color_camera, pose, shaded=False).depth
            truth.append(Truth(sequence.color_camera, pose, depth.cpu().numpy()))
        found += 1
        yield JudgedPhotos(SYNTHETIC, f"synthetic:test/{number}", images, truth)
    if found < scenes:
        raise DatasetError(f"the test split has {found} rooms with {count} photos, {scenes} were asked for")


def recorded_photos(path: Path, count: int, spacing_s: float = SPACING_S) -> JudgedPhotos:
    """Frames of a recording with colour, measured depth and poses, from the start on, evenly spaced in time.

    Args:
        path: whatever ``open_sequence`` opens; a folder that has the folder ``redkitchen`` stands for that.
        count: at most so many.
        spacing_s: between frames, seconds.

    Raises:
        DatasetError: not there, not a recording, or fewer than two such frames.
    """
    path = path / "redkitchen" if (path / "redkitchen").is_dir() else path
    views = _spaced(open_sequence(path), count, spacing_s)
    if len(views) < 2:
        raise DatasetError(f"{path}: has {len(views)} frames with colour, depth and pose so far apart, expected 2")
    truth = [Truth(view.camera, view.require_pose(), view.require_depth()) for view in views]
    return JudgedPhotos(path.resolve().name, str(path), [view.image for view in views], truth)


def photo_folder(path: Path) -> JudgedPhotos:
    """All images of a folder, of which nothing is known.

    Raises:
        DatasetError: no such folder, or no images in it.
    """
    photos = Photos(path)
    return JudgedPhotos(path.resolve().name, str(path), [photos.frame(n).image for n in range(len(photos))], [])


def folders_beside(recording: Path) -> list[Path]:
    """Folders of ``FOLDERS`` in or beside a recording."""
    places = [recording / name for name in FOLDERS] + [recording.parent / name for name in FOLDERS]
    return [place for place in places if place.is_dir()]


def _spaced(sequence: Sequence, count: int, spacing_s: float) -> list[View]:
    """The usable frames nearest after multiples of the spacing."""
    views: list[View] = []
    due_ns = None
    for index in range(len(sequence)):
        if len(views) == count:
            break
        try:
            stamp_ns = sequence.frame(index).stamp_ns
            if due_ns is not None and stamp_ns < due_ns - _TOLERANCE_NS:
                continue
            view = sequence[index]
        except ShowroomError:
            continue
        if view.depth is not None and view.T_world_camera is not None:
            due_ns = (stamp_ns if due_ns is None else due_ns) + round(spacing_s * 1e9)
            views.append(view)
    return views
