"""Which keyframes to compare a new one with: those that see the same from somewhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse

T = TypeVar("T")

IDEAL_BASELINE_M = 0.45
"""Baseline at which depth of a room is told best: short ones turn a centimetre of pose error into a wrong scale."""
MIN_BASELINE_M = 0.03
"""Cameras nearer than this tell no depth of a room: 0.9 degrees of parallax at 2 m."""
MIN_OVERLAP = 0.25
"""Share of what the reference sees that a source must see too."""
_MIN_USEFULNESS = 0.03
"""Views of less are from so far away (about 2 m) that the same looks different."""
_DEPTHS_M = (1.0, 2.0, 3.5)
_KEYFRAMES = 60


@dataclass(frozen=True, eq=False)
class Keyframe(Generic[T]):
    """A posed image and what was made of it.

    Attributes:
        camera: undistorted.
        T_world_camera: float64 [4, 4].
        content: whatever is kept with it (features, grey image, depth).
    """

    camera: Camera
    T_world_camera: NDArray[np.float64]
    content: T


class KeyframeBuffer(Generic[T]):
    """The keyframes of late, at most ``capacity``; when full, the oldest that is near a younger one goes first."""

    def __init__(self, capacity: int = _KEYFRAMES) -> None:
        """Empty."""
        self.capacity = capacity
        self._keyframes: list[Keyframe[T]] = []

    def __len__(self) -> int:
        """How many there are."""
        return len(self._keyframes)

    def __iter__(self) -> Iterator[Keyframe[T]]:
        """From the oldest to the newest."""
        return iter(self._keyframes)

    def add(self, keyframe: Keyframe[T]) -> None:
        """Keeps a keyframe."""
        self._keyframes.append(keyframe)
        if len(self._keyframes) > self.capacity:
            del self._keyframes[self._least_useful()]

    def clear(self) -> None:
        """Forgets all."""
        self._keyframes.clear()

    def _least_useful(self) -> int:
        """The one most like another among the older half: places once visited are kept longer than duplicates."""
        older = self._keyframes[: len(self._keyframes) // 2]
        poses = np.stack([keyframe.T_world_camera for keyframe in self._keyframes])
        distances = [np.partition(pose_distance(keyframe.T_world_camera, poses), 1)[1] for keyframe in older]
        return int(np.argmin(distances))


def pose_distance(T_world_a: NDArray[np.float64], T_world_b: NDArray[np.float64]) -> NDArray[np.float64]:
    """How different views from two poses are: ``sqrt(|t|^2 + 2/3 tr(I - R))`` (Duzceker et al., DeepVideoMVS, 2021).

    Args:
        T_world_a: float64 [4, 4].
        T_world_b: float64 [..., 4, 4].
    """
    relative = inverse(T_world_a) @ T_world_b
    turn = 3.0 - np.trace(relative[..., :3, :3], axis1=-2, axis2=-1)
    return np.sqrt((relative[..., :3, 3] ** 2).sum(-1) + 2.0 / 3.0 * np.maximum(turn, 0.0))


def frustum_overlap(
    camera: Camera, T_world_camera: NDArray[np.float64], other: Camera, T_world_other: NDArray[np.float64]
) -> float:
    """Share of the points that ``camera`` sees at 1, 2 and 3.5 m that the other sees too."""
    points = (_rays(camera)[:, None] * np.array(_DEPTHS_M)[:, None]).reshape(-1, 3)
    T_other_camera = inverse(T_world_other) @ T_world_camera
    seen = points @ T_other_camera[:3, :3].T + T_other_camera[:3, 3]
    depth = np.maximum(seen[:, 2], 1e-6)
    column, row = other.fx * seen[:, 0] / depth + other.cx, other.fy * seen[:, 1] / depth + other.cy
    inside = (column > -0.5) & (column < other.width - 0.5) & (row > -0.5) & (row < other.height - 0.5)
    return float((inside & (seen[:, 2] > 0.1)).mean())


def baseline_across_m(camera: Camera, T_world_camera: NDArray[np.float64], T_world_other: NDArray[np.float64]) -> float:
    """The part of a baseline that makes parallax: that across the viewing rays, root mean square over the image.

    Straight forward motion makes some, away from the middle of the image; turning makes none.
    """
    rays = _rays(camera)
    step = (inverse(T_world_camera) @ T_world_other)[:3, 3]
    return float(np.sqrt((np.cross(step, rays / np.linalg.norm(rays, axis=1, keepdims=True)) ** 2).sum(1).mean()))


def _rays(camera: Camera) -> NDArray[np.float64]:
    """Rays [30, 3] with z = 1 all over the image."""
    u = (np.linspace(0.05, 0.95, 6) * camera.width - 0.5 - camera.cx) / camera.fx
    v = (np.linspace(0.05, 0.95, 5) * camera.height - 0.5 - camera.cy) / camera.fy
    x, y = np.meshgrid(u, v, indexing="ij")
    return np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)


def usefulness(
    camera: Camera, T_world_camera: NDArray[np.float64], other: Camera, T_world_other: NDArray[np.float64]
) -> float:
    """How well another view tells depth of this one, 0 (not at all) to 1."""
    baseline_m = baseline_across_m(camera, T_world_camera, T_world_other)
    if baseline_m < MIN_BASELINE_M:
        return 0.0
    overlap = frustum_overlap(camera, T_world_camera, other, T_world_other)
    if overlap < MIN_OVERLAP:
        return 0.0
    ratio = np.log(baseline_m / IDEAL_BASELINE_M)
    width = 1.0 if ratio < 0 else 0.8
    value = float(np.exp(-0.5 * (ratio / width) ** 2) * overlap)
    return value if value >= _MIN_USEFULNESS else 0.0


def choose_sources(
    camera: Camera, T_world_camera: NDArray[np.float64], keyframes: Iterable[Keyframe[T]], count: int
) -> list[Keyframe[T]]:
    """The keyframes that tell most of a view's depth, best first; views nearly alike count once.

    Args:
        camera: of the view.
        T_world_camera: of the view, float64 [4, 4].
        keyframes: to choose from.
        count: at most so many.

    Returns:
        None at all where nothing has parallax to the view.
    """
    candidates = list(keyframes)
    worth = np.array([usefulness(camera, T_world_camera, k.camera, k.T_world_camera) for k in candidates])
    chosen: list[int] = []
    left = worth.copy()
    while len(chosen) < count and left.size and left.max() > 0:
        best = int(left.argmax())
        chosen.append(best)
        left[best] = 0.0
        distance = pose_distance(candidates[best].T_world_camera, np.stack([k.T_world_camera for k in candidates]))
        left *= 1.0 - 0.7 * np.exp(-((distance / 0.08) ** 2))
    return [candidates[index] for index in chosen]
