"""Clips of posed video: a few images that see the same surface, their cameras and depth, changed at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from showroom_ros.errors import DatasetError
from showroom_ros.geometry.se3 import inverse, rotation_angle_deg
from showroom_ros.scene.view import View
from showroom_ros.settings import setting
from showroom_ros.training.appearance import as_by_another_camera
from showroom_ros.training.scenes import Scene
from showroom_ros.training.task import Batch


@dataclass(frozen=True)
class ClipSettings:
    """What a clip is."""

    views: int = setting(5, "images of a clip", minimum=2, maximum=64)
    width: int = setting(256, "of its images in pixels, cut out of the recorded ones", minimum=32, maximum=4096)
    height: int = setting(192, "of its images in pixels", minimum=32, maximum=4096)
    min_baseline_m: float = setting(0.04, "between any other image and the first", minimum=0.0, maximum=10.0)
    max_baseline_m: float = setting(0.6, "between any other image and the first", minimum=0.0, maximum=100.0)
    max_turn_deg: float = setting(40.0, "between any other image and the first", minimum=0.0, maximum=180.0)
    min_overlap: float = setting(0.4, "of what the first sees, seen by any other", minimum=0.0, maximum=1.0)
    scale_range: float = setting(1.25, "the scene is made larger or smaller by up to this factor", minimum=1.0)
    pose_noise_m: float = setting(0.003, "deviation of the cameras' positions", minimum=0.0, maximum=1.0)
    pose_noise_deg: float = setting(0.08, "deviation of their orientation", minimum=0.0, maximum=10.0)
    run: int = setting(1, "clips taken from a scene before the next", minimum=1, maximum=100000)


class Clips:
    """Clips by number; implements ``training.task.Samples``.

    A clip holds ``images`` float32 [V, 3, H, W] in 0..1, ``depth`` float32 [V, H, W] (metres, NaN unknown), ``K``
    float32 [V, 3, 3] (pixels) and ``T_world_camera`` float32 [V, 4, 4], the first camera being the world.
    """

    def __init__(self, scenes: Sequence[Scene], settings: ClipSettings, seed: int, *, augment: bool = True) -> None:
        """Takes clips of ``scenes``; with ``augment`` cut, scaled, mirrored and exposed at random, else as they are.

        Raises:
            DatasetError: there are no scenes.
        """
        if not scenes:
            raise DatasetError("there are no scenes to take clips of")
        self.scenes, self.settings, self.seed, self.augment = list(scenes), settings, seed, augment
        names = f"{self.scenes[0].name}..{self.scenes[-1].name}" if len(scenes) > 1 else self.scenes[0].name
        self.data_id = f"{len(self.scenes)} scenes {names}, seed {seed}"

    def __len__(self) -> int:
        """As many as fit 31 bits: clips are drawn at random."""
        return 2**31 - 1 if self.augment else 4 * len(self.scenes)

    def __getitem__(self, index: int) -> Batch:
        """Clip ``index``.

        Raises:
            DatasetError: hardly any frame of the scene has neighbours that see the same.
        """
        order = index // self.settings.run
        epoch, place = divmod(order, len(self.scenes))
        scenes = np.random.default_rng([self.seed, epoch, 1]).permutation(len(self.scenes))
        scene = self.scenes[int(scenes[place])]
        rng = np.random.default_rng([self.seed, index, 2])
        for _ in range(50):
            numbers = neighbours(scene.poses, int(rng.integers(len(scene.poses))), self.settings, rng)
            if numbers is None:
                continue
            views = [scene.view(number) for number in numbers]
            if np.isfinite(views[0].require_depth()).mean() > 0.3:
                return self._clip(views, rng)
        raise DatasetError(f"{scene.name}: found no frame with {self.settings.views - 1} others that see the same")

    def _clip(self, views: list[View], rng: Generator) -> Batch:
        clip = stacked_views(views)
        if self.augment:
            clip = mirrored(clip) if rng.random() < 0.5 else clip
            clip = cut_out(clip, self.settings.width, self.settings.height, rng)
            clip = scaled_scene(clip, float(np.exp(rng.uniform(-1, 1) * np.log(self.settings.scale_range))))
            clip = displaced(clip, self.settings.pose_noise_m, self.settings.pose_noise_deg, rng)
            clip["images"] = as_by_another_camera(clip["images"], rng)
        else:
            clip = cut_out(clip, self.settings.width, self.settings.height, None)
        return clip


def neighbours(poses: NDArray[np.float64], first: int, settings: ClipSettings, rng: Generator) -> list[int] | None:
    """``first`` and random other frames that see the same from elsewhere; None if there are too few.

    Args:
        poses: ``T_world_camera`` [N, 4, 4].
        first: a frame.
        settings: what counts as seeing the same.
        rng: what to draw from.
    """
    if not np.isfinite(poses[first]).all():
        return None
    relative = inverse(poses[first]) @ poses
    baseline = np.linalg.norm(relative[:, :3, 3], axis=1)
    turn = np.array([rotation_angle_deg(np.eye(4), pose) if np.isfinite(pose).all() else np.inf for pose in relative])
    fits = (
        (baseline >= settings.min_baseline_m) & (baseline <= settings.max_baseline_m) & (turn <= settings.max_turn_deg)
    )
    candidates = [index for index in np.flatnonzero(fits) if _overlap(relative[index]) >= settings.min_overlap]
    if len(candidates) < settings.views - 1:
        return None
    return [first, *(int(index) for index in rng.choice(candidates, settings.views - 1, replace=False))]


def _overlap(pose: NDArray[np.float64], tangent: tuple[float, float] = (0.62, 0.47)) -> float:
    """Share of points in front of a camera of about 64 degrees that another at ``pose`` [4, 4] sees."""
    u, v, z = np.meshgrid(np.linspace(-0.9, 0.9, 5), np.linspace(-0.9, 0.9, 5), (1.0, 2.0, 3.5), indexing="ij")
    points = np.stack([u * tangent[0] * z, v * tangent[1] * z, z], -1).reshape(-1, 3)
    seen = (points - pose[:3, 3]) @ pose[:3, :3]
    depth = np.maximum(seen[:, 2], 1e-6)
    inside = (seen[:, 2] > 0.1) & (abs(seen[:, 0] / depth) < tangent[0]) & (abs(seen[:, 1] / depth) < tangent[1])
    return float(inside.mean())


def stacked_views(views: list[View]) -> Batch:
    """Views of one size as tensors; the first camera becomes the world."""
    to_first = inverse(views[0].require_pose())
    return {
        "images": torch.from_numpy(np.stack([view.image for view in views])).movedim(-1, 1).float() / 255,
        "depth": torch.from_numpy(np.stack([view.require_depth() for view in views])),
        "K": torch.from_numpy(np.stack([view.camera.matrix for view in views])).float(),
        "T_world_camera": torch.from_numpy(np.stack([to_first @ view.require_pose() for view in views])).float(),
    }


def mirrored(clip: Batch) -> Batch:
    """The clip as in a mirror: left and right change places, and so do the cameras."""
    width = clip["images"].shape[-1]
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
    K = clip["K"].clone()
    K[:, 0, 2] = width - 1 - K[:, 0, 2]
    images, depth = clip["images"].flip(-1), clip["depth"].flip(-1)
    return {"images": images, "depth": depth, "K": K, "T_world_camera": mirror @ clip["T_world_camera"] @ mirror}


def cut_out(clip: Batch, width: int, height: int, rng: Generator | None) -> Batch:
    """A part of the images, at a random scale between the smallest possible and the recorded one.

    Without ``rng`` the middle of the images made as small as possible: most of what they show.
    """
    full_height, full_width = clip["images"].shape[-2:]
    smallest = max(width / full_width, height / full_height)
    scale = smallest if rng is None else float(rng.uniform(min(smallest, 1.0), max(smallest, 1.0)))
    size = max(height, round(full_height * scale)), max(width, round(full_width * scale))
    images, depth, K = clip["images"], clip["depth"], clip["K"].clone()
    if size != (full_height, full_width):
        images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        depth = F.interpolate(depth[:, None], size, mode="nearest-exact")[:, 0]
        for row, factor in ((0, size[1] / full_width), (1, size[0] / full_height)):
            K[:, row, row] *= factor
            K[:, row, 2] = (K[:, row, 2] + 0.5) * factor - 0.5
    free = size[1] - width, size[0] - height
    left, top = (value // 2 if rng is None else int(rng.integers(value + 1)) for value in free)
    K[:, 0, 2] -= left
    K[:, 1, 2] -= top
    window = (..., slice(top, top + height), slice(left, left + width))
    return {**clip, "images": images[window].contiguous(), "depth": depth[window].contiguous(), "K": K}


def scaled_scene(clip: Batch, factor: float) -> Batch:
    """The same images of a scene ``factor`` times as large."""
    T_world_camera = clip["T_world_camera"].clone()
    T_world_camera[:, :3, 3] *= factor
    return {**clip, "depth": clip["depth"] * factor, "T_world_camera": T_world_camera}


def displaced(clip: Batch, deviation_m: float, deviation_deg: float, rng: Generator) -> Batch:
    """Poses as a tracker would report them: each a little off. Half of all clips stay exact."""
    if rng.random() < 0.5:
        return clip
    T_world_camera = clip["T_world_camera"].clone()
    for pose in T_world_camera:
        turn = torch.from_numpy(np.deg2rad(deviation_deg) * rng.standard_normal(3)).float()
        pose[:3, :3] = pose[:3, :3] @ torch.linalg.matrix_exp(_skew(turn))
        pose[:3, 3] += torch.from_numpy(deviation_m * rng.standard_normal(3)).float()
    return {**clip, "T_world_camera": T_world_camera}


def _skew(vector: Tensor) -> Tensor:
    x, y, z = vector.tolist()
    return torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
