"""Training samples of volumetric networks: a box of a scene's voxels with their truth, and posed images that see it.

After VoRTX (Stier et al., 3DV 2021): boxes around random surface voxels, turned about the vertical and mirrored at
random; images thinned by how far the camera moved, then drawn from those that see the box.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from showroom_ros.errors import DatasetError, SettingsError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse
from showroom_ros.scene.view import SensorFrame
from showroom_ros.training.appearance import as_by_another_camera
from showroom_ros.training.photometric import augmented
from showroom_ros.training.task import Batch

SATURATED = 0.999
"""Signed distances at least this large, in units of the truncation, are not of the surface band."""
MOVED_M, TURNED_DEG = 0.1, 15.0
"""A frame that neither moved nor turned more than this since the last kept one says nothing new."""
CROPS_PER_SCENE = 4096
VALIDATION_CROPS_PER_SCENE = 8


def _another_camera(images: Tensor, rng: np.random.Generator) -> Tensor:
    return 255 * as_by_another_camera(images / 255, rng)


COLORS = {"jitter": augmented, "camera": _another_camera}


class VoxelGrid(Protocol):
    """Where the voxels of a scene are: ``datasets.prepare.tsdf_targets.Grid``."""

    origin: NDArray[np.float64]
    voxel_size_m: float


class TsdfScene(Protocol):
    """What samples are cut from: ``datasets.prepare.prepared.Prepared``."""

    name: str

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def frame(self, index: int) -> SensorFrame:
        """Colour with registered depth."""
        ...

    def camera(self, index: int) -> Camera:
        """Intrinsics of a frame."""
        ...

    def pose(self, index: int) -> NDArray[np.float64]:
        """``T_world_camera`` of a frame."""
        ...

    def tsdf_layer(self, layer: int) -> tuple[NDArray[np.float32], Any]:
        """Signed distances [X, Y, Z] of 4 cm voxels (layer 0), and their ``VoxelGrid``."""
        ...


@dataclass(frozen=True)
class CropSettings:
    """How samples are cut.

    Attributes:
        crop: voxels of the fine level along x, y, z; multiples of 4.
        views: images per sample.
        image_width: in pixels; 0: as recorded.
        image_height: in pixels; 0: as recorded.
        augment: turns and mirrors boxes and changes colours, in training only.
        anchor_margin: the surface voxel a box is laid around is at least this share of the box away from its faces.
        colors: how colours change in training: ``jitter`` (two of five changes, the same for all views) or ``camera``
            (as another camera in other light, with its noise: for made-up rooms whose network is to see real ones).
        weigh_views: draws images in proportion to how much of the box they see; else all that see any alike.
    """

    crop: tuple[int, int, int] = (96, 96, 48)
    views: int = 20
    image_width: int = 640
    image_height: int = 480
    augment: bool = True
    anchor_margin: float = 0.0
    weigh_views: bool = False
    colors: str = "jitter"

    def __post_init__(self) -> None:
        """Checks the values."""
        if len(self.crop) != 3 or any(count < 16 or count % 4 for count in self.crop):
            raise SettingsError(f"crop is {self.crop}, expected three multiples of 4, at least 16")
        if self.views < 1:
            raise SettingsError(f"views is {self.views}, expected at least 1")
        if self.colors not in COLORS:
            raise SettingsError(f"colors is '{self.colors}', expected one of {sorted(COLORS)}")
        if not 0 <= self.anchor_margin < 0.5:
            raise SettingsError(f"anchor_margin is {self.anchor_margin}, expected a share in [0, 0.5)")


class VolumeCrops:
    """Samples of scenes; each depends on its number alone.

    Attributes:
        data_id: the scenes' names, hashed, and how many there are.
    """

    def __init__(
        self, scenes: Sequence[TsdfScene], settings: CropSettings, seed: int, validation: bool = False
    ) -> None:
        """Nothing is read yet.

        Raises:
            DatasetError: there is no scene.
        """
        if not scenes:
            raise DatasetError("no scenes to cut samples from")
        self.scenes, self.settings, self.validation = list(scenes), settings, validation
        self._seed = (seed, int(validation))
        self._thinned: dict[int, list[int]] = {}
        names = "\n".join(scene.name for scene in self.scenes)
        self.data_id = f"{len(self.scenes)}-scenes-{hashlib.sha256(names.encode()).hexdigest()[:12]}"

    def __len__(self) -> int:
        """Every scene many times, never the same box of it; a few boxes each for validation."""
        return len(self.scenes) * (VALIDATION_CROPS_PER_SCENE if self.validation else CROPS_PER_SCENE)

    def __getitem__(self, index: int) -> Batch:
        """One sample.

        Returns:
            ``images`` uint8 [n, 3, H, W]; ``depth`` float32 [n, H, W] metres, 0 unknown; ``K`` [n, 3, 3] and
            ``T_world_camera`` [n, 4, 4] float32; ``origin_m`` [3], centre of voxel (0, 0, 0), in the same world;
            ``tsdf`` float32 [X, Y, Z] in truncations; ``supervised`` bool [X, Y, Z]; ``classes_fine``,
            ``classes_medium``, ``classes_coarse`` int64.

        Raises:
            DatasetError: the scene cannot be read, or has no surface.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        number, rng = self._scene_of(index), np.random.default_rng((*self._seed, 1, index))
        scene, settings = self.scenes[number], self.settings
        layer, grid = scene.tsdf_layer(0)
        anchor = grid.origin + grid.voxel_size_m * _surface_voxel(layer, rng, scene.name)
        origin = anchor - grid.voxel_size_m * _offset(settings, rng)
        augment = settings.augment and not self.validation
        turn, mirrored = _turn(anchor, rng) if augment else (np.eye(4), False)
        back = inverse(turn)
        points = origin + grid.voxel_size_m * np.indices(settings.crop).transpose(1, 2, 3, 0)
        in_scene = (_moved(back, points) - grid.origin) / grid.voxel_size_m
        tsdf = sampled_tsdf(layer, in_scene)
        chosen = self._views(number, _moved(back, _sparse_points(points)), rng)
        frames = [scene.frame(view) for view in chosen]
        images, depth, K, poses = zip(*(_view_arrays(frame, turn, mirrored, settings) for frame in frames), strict=True)
        stacked = torch.stack(images)
        if augment:
            stacked = COLORS[settings.colors](stacked, rng)
        return {
            "images": stacked.round().to(torch.uint8),
            "depth": torch.stack(depth),
            "K": torch.from_numpy(np.stack(K)).float(),
            "T_world_camera": torch.from_numpy(np.stack(poses)).float(),
            "origin_m": torch.from_numpy(origin).float(),
            **targets(tsdf),
        }

    def _scene_of(self, index: int) -> int:
        """Which scene a sample is of: all once, in random order, before any comes again."""
        turn, place = divmod(index, len(self.scenes))
        return int(np.random.default_rng((*self._seed, 0, turn)).permutation(len(self.scenes))[place])

    def _views(self, number: int, points: NDArray[np.float64], rng: np.random.Generator) -> list[int]:
        """Frames to show, by chance: those that see any of the points [P, 3] first."""
        scene, wanted = self.scenes[number], self.settings.views
        if number not in self._thinned:
            self._thinned[number] = thinned([scene.pose(index) for index in range(len(scene))])
        kept = np.array(self._thinned[number])
        seen = np.array([_share_seen(scene.camera(index), scene.pose(index), points) for index in kept])
        weights = (seen if self.settings.weigh_views else seen > 0).astype(float)
        seeing = int((weights > 0).sum())
        first = rng.choice(kept, min(wanted, seeing), False, weights / weights.sum()) if seeing else kept[:0]
        others = np.setdiff1d(np.arange(len(scene)), first)
        missing = wanted - len(first)
        more = rng.choice(others if len(others) else kept, missing, missing > len(others)) if missing else first[:0]
        return [int(index) for index in (*first, *more)]


def thinned(poses: Sequence[NDArray[np.float64]]) -> list[int]:
    """Frames that moved more than 0.1 m, or turned their axis more than 15 degrees, since the last one kept."""
    kept: list[int] = []
    for index, pose in enumerate(poses):
        if kept:
            last = poses[kept[-1]]
            moved = float(np.linalg.norm(pose[:3, 3] - last[:3, 3]))
            turned = float(np.degrees(np.arccos(np.clip(pose[:3, 2] @ last[:3, 2], -1, 1))))
            if moved <= MOVED_M and turned <= TURNED_DEG:
                continue
        kept.append(index)
    return kept


def sampled_tsdf(layer: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Signed distances at places between voxels.

    Trilinear; that of the nearest voxel where it is saturated (interpolation would smear free space into unseen); 1,
    unseen, outside. A place is inside up to the centres of the outer voxels.

    Args:
        layer: float32 [X, Y, Z] in the stored convention.
        places: float64 [..., 3], in voxels: (i, j, k) is the centre of voxel (i, j, k).
    """
    last = np.array(layer.shape) - 1
    inside = ((places >= 0) & (places <= last)).all(-1)
    within = places[inside]
    low = np.minimum(np.floor(within).astype(np.int64), np.maximum(last - 1, 0))
    fraction = (within - low).astype(np.float32)
    values = np.zeros(len(within), np.float32)
    for corner in np.ndindex(2, 2, 2):
        weight = np.where(corner, fraction, 1 - fraction).prod(1)
        values += weight * layer[tuple(np.minimum(low + corner, last).T)]
    nearest = layer[tuple(np.rint(within).astype(np.int64).T)]
    result = np.ones(places.shape[:-1], np.float32)
    result[inside] = np.where(np.abs(nearest) > SATURATED, nearest, values)
    return result


def targets(tsdf: NDArray[np.float32]) -> Batch:
    """What the network is to say of a box: distances, where they count, and classes of all levels.

    Args:
        tsdf: float32 [X, Y, Z] in the stored convention: -1 free, 0 surface, 1 behind it or unseen.

    Returns:
        ``tsdf``; ``supervised``: all but the unseen, and columns along z that are unseen throughout (Murez et al.,
        Atlas, 2020); ``classes_fine``, ``classes_medium``, ``classes_coarse`` int64 (see ``class_labels``).
    """
    from showroom_ros.datasets.prepare.tsdf_targets import class_labels

    known = tsdf < SATURATED
    supervised = known | ~known.any(2, keepdims=True)
    fine, medium, coarse = (torch.from_numpy(labels.astype(np.int64)) for labels in class_labels(tsdf))
    return {
        "tsdf": torch.from_numpy(tsdf),
        "supervised": torch.from_numpy(supervised),
        "classes_fine": fine,
        "classes_medium": medium,
        "classes_coarse": coarse,
    }


def _surface_voxel(layer: NDArray[np.float32], rng: np.random.Generator, name: str) -> NDArray[np.int64]:
    """A random voxel [3] of the surface band."""
    found = np.flatnonzero(np.abs(layer) < SATURATED)
    if not len(found):
        raise DatasetError(f"{name}: its TSDF has no surface voxel")
    return np.stack(np.unravel_index(found[rng.integers(len(found))], layer.shape)).astype(np.int64)


def _offset(settings: CropSettings, rng: np.random.Generator) -> NDArray[np.int64]:
    """Where in the box its anchor is, in voxels [3]."""
    size = np.array(settings.crop)
    margin = np.floor(settings.anchor_margin * size).astype(int)
    return rng.integers(margin, size - margin)


def _turn(anchor: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], bool]:
    """A turn about the vertical through ``anchor``, after a mirroring of x in half of all cases, [4, 4]."""
    angle, mirrored = rng.uniform(0, 2 * np.pi), bool(rng.random() < 0.5)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    if mirrored:
        matrix[:, 0] *= -1
    matrix[:3, 3] = anchor - matrix[:3, :3] @ anchor
    return matrix, mirrored


def _moved(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _sparse_points(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every 8th voxel centre of a box [X, Y, Z, 3], from the middle of the first eight, [P, 3]."""
    return points[4::8, 4::8, 4::8].reshape(-1, 3)


def _share_seen(camera: Camera, T_world_camera: NDArray[np.float64], points: NDArray[np.float64]) -> float:
    """Share of world points [P, 3] inside a camera's image."""
    pixels, depth = camera.project(_moved(inverse(T_world_camera), points))
    inside = (depth > 0) & (pixels >= 0).all(1) & (pixels <= (camera.width - 1, camera.height - 1)).all(1)
    return float(inside.mean())


def _view_arrays(
    frame: SensorFrame, turn: NDArray[np.float64], mirrored: bool, settings: CropSettings
) -> tuple[Tensor, Tensor, NDArray[np.float64], NDArray[np.float64]]:
    """Image float [3, H, W], depth [H, W] with 0 unknown, K and pose of a frame in the turned world.

    In a mirrored world the image is mirrored too, so that its pose stays a rotation.
    """
    if frame.T_world_camera is None or frame.depth is None:
        raise DatasetError(f"the frame of stamp {frame.stamp_ns} lacks its pose or depth")
    camera, pose = frame.color_camera, turn @ frame.T_world_camera
    if camera.is_distorted:
        raise DatasetError(f"the frame of stamp {frame.stamp_ns} has lens distortion; prepare the scene first")
    image = torch.from_numpy(np.ascontiguousarray(frame.image.transpose(2, 0, 1))).float()
    depth = torch.from_numpy(np.nan_to_num(frame.depth, nan=0.0))
    size = settings.image_height or camera.height, settings.image_width or camera.width
    if size != (camera.height, camera.width):
        image = functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
        depth = functional.interpolate(depth[None, None], size, mode="nearest-exact")[0, 0]
        camera = camera.scaled(size[1], size[0])
    K = camera.matrix
    if mirrored:
        image, depth = image.flip(2), depth.flip(1)
        K[0, 2] = camera.width - 1 - K[0, 2]
        pose[:, 0] *= -1
    return image, depth, K, pose
