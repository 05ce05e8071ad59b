"""The pairs of Hypersim that depth beyond what another view saw is judged on, as published with Invisible Stitch.

Per camera trajectory all pairs a < b of frames of which the cloud of a (``position.hdf5``) covers at least 0.8 of b and
agrees there with the depth of b to 0.1 m (``prepare.overlap_pairs``: found with 10 points per pixel). They are judged
with 16 points per pixel, on linear radiance clipped to [0, 1] (no tone curve). Frames whose picture was not released
have pairs too: as published those that end in one have error 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.benchmarks.scene_geometry_pair import Pair
from showroom_ros.datasets.hypersim import Hypersim
from showroom_ros.datasets.prepare.hypersim import BENCHMARK, CAMERA_FILE, find_hypersim, has_standard_projection
from showroom_ros.datasets.prepare.overlap_pairs import PairRule, PosedDepth, overlap_pairs
from showroom_ros.datasets.prepare.recipe import Item
from showroom_ros.errors import DatasetError, ShowroomError
from showroom_ros.evaluation.completion import rendered_points

POINTS_PER_PIXEL = 16
"""Blended when a pair is judged."""


def hypersim_items(root: Path, split: str | None) -> list[Item]:
    """One item per camera trajectory.

    Without a split those of the published scenes (``prepare.hypersim.BENCHMARK``) where ``CAMERA_FILE``, which says
    which these are, lies in the folder, and else all.

    Raises:
        DatasetError: an unknown split, or nothing was found; says what was looked for.
    """
    return find_hypersim(root, BENCHMARK if split is None and (root / CAMERA_FILE).is_file() else split)


def hypersim_pairs(item: Item, left_out: list[str]) -> Iterator[Pair]:
    """The pairs of one camera trajectory; what was left out and why goes to ``left_out``, one line each.

    Raises:
        DatasetError: the scene cannot be read, has no depth, or none of its frames can be used.
    """
    trajectory = Trajectory(item.source, item.key.rpartition("/")[2])
    left_out += [f"{count} frames: {reason}" for reason, count in trajectory.skipped.items() if count]
    if not has_standard_projection(trajectory):
        left_out.append("all frames: the lens is tilted or shifted")
        return
    if not trajectory.has_radiance:
        left_out.append("radiance (final_hdf5) is not there: tone-mapped pictures instead, not as published")
    frames = _usable_frames(trajectory, left_out)
    points, points_of = np.empty((0, 3)), -1
    for a, b, _ in overlap_pairs(frames, PairRule()):
        if points_of != a:
            points, points_of = frames[a].points, a
        rendered = rendered_points(points, frames[b].camera, frames[b].T_world_camera, POINTS_PER_PIXEL)
        numbers = trajectory.numbers[a], trajectory.numbers[b]
        yield Pair(*numbers, trajectory.image(b), frames[b].depth, frames[b].camera, rendered)


class Trajectory(Hypersim):
    """A camera of a scene whose pictures are radiance; frames whose picture was not released are there too.

    Attributes:
        has_radiance: False where only tone-mapped pictures lie in the scene; they are taken then.
    """

    def __init__(self, path: Path, camera: str) -> None:
        """Reads camera ``camera`` of the scene ``path``; raises ``DatasetError`` as ``Hypersim`` does."""
        super().__init__(path, camera)
        self.has_radiance = self._folder("final_hdf5").is_dir()

    def image(self, index: int) -> NDArray[np.uint8] | None:
        """Picture uint8 [H, W, 3] of a frame; None where it was not released; raises ``DatasetError`` if broken."""
        color = self._color_file(self.numbers[index])
        return self.frame(index).image if color is not None and color.is_file() else None

    def posed_cloud(self, index: int) -> PosedCloud:
        """Depth, pose and cloud of a frame.

        Raises:
            DatasetError: the depth is missing, broken or unknown at every pixel.
        """
        number = self.numbers[index]
        depth = self._planar_depth(number)
        if not np.isfinite(depth).any():
            raise DatasetError(f"{self.name}: depth of frame {number} is unknown at every pixel")
        has_points = self._geometry_file(number, "position").is_file()
        T_world_camera = self._poses[number] @ self.lens.T_camera_pinhole
        cloud = partial(self.world_points, index) if has_points else None
        return PosedCloud(depth, self.lens.camera, T_world_camera, cloud)

    def _color_file(self, number: int) -> Path | None:
        folder = self._folder("final_hdf5")
        return folder / f"frame.{number:04d}.color.hdf5" if folder.is_dir() else super()._color_file(number)


@dataclass(frozen=True, eq=False)
class PosedCloud(PosedDepth):
    """A frame with the surface points it was rendered from.

    Attributes:
        cloud: reads them: [H, W, 3], world, metres, not finite where there is none; None = the depth is lifted.
    """

    cloud: Callable[[], NDArray[np.float32]] | None = None

    @property
    def points(self) -> NDArray[np.float64]:
        """Known surface points [N, 3], world, metres."""
        if self.cloud is None:
            return super().points
        points = self.cloud().reshape(-1, 3).astype(np.float64)
        return points[np.isfinite(points).all(1)]


def _usable_frames(trajectory: Trajectory, left_out: list[str]) -> dict[int, PosedDepth]:
    frames: dict[int, PosedDepth] = {}
    faults, lifted = [], 0
    for index in range(len(trajectory)):
        try:
            frame = trajectory.posed_cloud(index)
        except ShowroomError as error:
            faults.append(f"frame {trajectory.numbers[index]}: {error}")
            continue
        frames[index] = frame
        lifted += frame.cloud is None
    if not frames:
        raise DatasetError(f"{trajectory.path}: none of {len(trajectory)} frames can be used; first: {faults[0]}")
    left_out += faults
    if lifted:
        left_out.append(f"position.hdf5 of {lifted} frames: not there, their depth was lifted instead")
    return frames
