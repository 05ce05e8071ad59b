"""The methods ``showroom benchmark multi_view`` compares: photos in, poses and points out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.alignment import scale_and_pose_to
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, transform_points
from showroom_ros.reconstruction.photos import Photo
from showroom_ros.reconstruction.structure_from_motion import ENGINES, structure_from_motion
from showroom_ros.settings import Settings, override

if TYPE_CHECKING:
    from showroom_ros.reconstruction.multi_view import MultiViewResult, PointmapNetwork

_LATENCY_SIZE = 256, 192
_LATENCY_VIEWS = 5
_REPEATS = 5


class PredictedView(NamedTuple):
    """What a method says of a photo.

    Attributes:
        points: float [h, w, 3], world; NaN where nothing is said.
        confidence: float [h, w].
        camera: pinhole of this grid of pixels.
        photo_camera: the same of the whole photo.
    """

    points: NDArray[Any]
    confidence: NDArray[Any]
    camera: Camera
    photo_camera: Camera

    def in_photo(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where in the photo the pixels lie, u and v [h, w]."""
        v, u = np.mgrid[: self.camera.height, : self.camera.width].astype(np.float64)
        mine, whole = self.camera, self.photo_camera
        return (u - mine.cx) / mine.fx * whole.fx + whole.cx, (v - mine.cy) / mine.fy * whole.fy + whole.cy


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method makes of photos.

    Attributes:
        T_world_camera: float64 [N, 4, 4], NaN where a photo could not be placed.
        views: by the photo's number; dense pointmaps.
        sparse: points float64 [P, 3], in metres and the world of the poses given, where a method has such.
        reprojection_px: of a sparse method's points.
    """

    T_world_camera: NDArray[np.float64]
    views: dict[int, PredictedView] = field(default_factory=dict)
    sparse: NDArray[np.float64] | None = None
    reprojection_px: float = float("nan")


class Method(Protocol):
    """Places photos."""

    kinds: Sequence[str]
    """What it makes a difference to be given: of "free", "intrinsics", "poses"."""
    about: dict[str, Any]
    """What it is, for the report."""

    def __call__(self, photos: Sequence[Photo]) -> Outcome:
        """Poses and points of photos; none that can be placed is no error."""
        ...


class Student:
    """Pointmaps by a network, ``reconstruction.multi_view``."""

    kinds: Sequence[str] = ("free", "intrinsics", "poses")

    def __init__(self, network: PointmapNetwork, about: dict[str, Any] | None = None) -> None:
        """Keeps it; what is made at its first call is made now."""
        network_ms(network, 1, 0)
        self.network, self.about = network, {"network": network.name, **(about or {})}

    def __call__(self, photos: Sequence[Photo]) -> Outcome:
        """See ``Method``; all depth is taken, however sure."""
        from showroom_ros.reconstruction.multi_view import MultiViewSettings, reconstruct_photos

        try:
            found = reconstruct_photos(photos, self.network, MultiViewSettings(min_confidence=0.0))
        except InputError:  # none could be placed
            return _nothing(photos)
        return _dense(found)


class Swept:
    """Structure from motion and a plane sweep, ``reconstruction.swept_photos``."""

    kinds: Sequence[str] = ("free", "intrinsics", "poses")

    def __init__(self, model_file: str, device: str) -> None:
        """With weights of ``plane_sweep``, "" = those shipped, "none" = without a network."""
        from showroom_ros.reconstruction.plane_sweep import make_plane_sweep

        self.about: dict[str, Any] = {"weights": model_file or "shipped", "device": device}
        chosen = {"reconstruction.method": "plane_sweep", "reconstruction.model_file": model_file}
        self._sweep = make_plane_sweep(override(Settings(), {**chosen, "reconstruction.device": device}))

    def __call__(self, photos: Sequence[Photo]) -> Outcome:
        """See ``Method``."""
        from showroom_ros.reconstruction.swept_photos import sweep_photos

        try:
            return _dense(sweep_photos(photos, self._sweep))
        except InputError:  # features tie no two together
            return _nothing(photos)


def _nothing(photos: Sequence[Photo]) -> Outcome:
    return Outcome(np.full((len(photos), 4, 4), np.nan))


def _dense(found: MultiViewResult) -> Outcome:
    views = {}
    for number, view, photo_camera in zip(found.numbers, found.views, found.photo_cameras, strict=True):
        points = transform_points(view.require_pose(), view.camera.back_project(view.require_depth()))
        confidence = np.ones(points.shape[:2]) if view.confidence is None else view.confidence
        views[number] = PredictedView(points, confidence, view.camera, photo_camera)
    return Outcome(found.T_world_camera, views)


class Classical:
    """Structure from motion. Where poses are given it is laid on them, which gives its points a scale."""

    kinds: Sequence[str] = ("free", "poses")

    def __init__(self, engine: str = "auto", seed: int = 0) -> None:
        """Of ``structure_from_motion``.

        Raises:
            InputError: an unknown engine.
        """
        if engine not in ENGINES:
            raise InputError(f"engine of 'classical' is '{engine}', expected one of {', '.join(ENGINES)}")
        self.engine, self.seed = engine, seed
        self.about: dict[str, Any] = {"engine": engine, "used": []}

    def __call__(self, photos: Sequence[Photo]) -> Outcome:
        """See ``Method``."""
        known = [photo.camera for photo in photos if photo.camera is not None]
        cameras = known if len(known) == len(photos) else None
        found = structure_from_motion([photo.image for photo in photos], cameras, engine=self.engine, seed=self.seed)
        used = f"{found.engine} {cv2.__version__ if found.engine == 'opencv' else version('pycolmap')}"
        if used not in self.about["used"]:
            self.about["used"].append(used)
        poses = np.full((len(photos), 4, 4), np.nan)
        for number, photo in enumerate(photos):
            if photo.T_world_camera is not None:
                poses[number] = photo.T_world_camera
        fit = scale_and_pose_to(found.T_world_camera, poses)
        if fit is None:
            return Outcome(found.T_world_camera, reprojection_px=found.tracks_px)
        moved = fit.similarity.apply_to_poses(found.T_world_camera)
        return Outcome(moved, sparse=fit.similarity.apply(found.points), reprojection_px=found.tracks_px)


def make_student(model_file: str, device: str) -> Method:
    """The student of a file of weights, "" = those shipped.

    Raises:
        WeightsError: missing or broken.
    """
    from showroom_ros.reconstruction.multi_view_torch import load_pointmap_network

    return Student(load_pointmap_network(model_file, device), {"device": device, "weights": model_file or "shipped"})


def make_classical(engine: str, device: str) -> Method:
    """Structure from motion by an engine, "" = "auto"; on the CPU whatever the device."""
    return Classical(engine or "auto")


METHODS: dict[str, Callable[[str, str], Method]] = {
    "student": make_student,
    "classical": make_classical,
    "swept": Swept,
}
"""What makes each, of what stands behind "=" and of the device."""


def network_ms(network: PointmapNetwork, views: int = _LATENCY_VIEWS, repeats: int = _REPEATS) -> list[float]:
    """Milliseconds of the network alone for views of 256x192, once per repeat, the first call left out."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*_LATENCY_SIZE[::-1], 3), np.uint8) for _ in range(views)]
    times = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        network.pointmaps(images)  # returns arrays: what the device had queued is done
        times.append((time.perf_counter() - start) * 1e3)
    return times[1:]


def depth_of(points: NDArray[Any], T_world_camera: NDArray[np.float64]) -> NDArray[np.float64]:
    """Depth [...] of world points [..., 3] before a camera."""
    return transform_points(inverse(T_world_camera), points)[..., 2]
