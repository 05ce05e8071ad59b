"""World tiles of a volumetric network, which of them a camera sees, and which views are the best for one.

The network's *grid* is the world turned so that z points up: its axes are those of the world in another order and
with other signs, so that boxes stay boxes. Tiles lie on a fixed grid of voxels from the world's origin.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import SettingsError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, rotation_angle_deg, transform_points

Tile = tuple[int, int, int]
"""Position of a tile, in tiles."""

SAMPLE_VOXELS = 8
"""Distance between the points of a tile of which visibility is asked."""
MIN_SHARE = 0.02
"""A camera that sees a smaller share of these does not see the tile."""
TRANSLATION_M, ROTATION_DEG = 0.1, 15.0
"""What a view must have moved or turned to be another one (IOAR, VoRTX)."""


def grid_rotation(up: str) -> NDArray[np.float64]:
    """``R_world_grid`` [3, 3]: turns the grid's z to the world's ``up`` ('+z', '-y'...); a signed permutation.

    Raises:
        SettingsError: not an axis with its sign.
    """
    if len(up) != 2 or up[0] not in "+-" or up[1] not in "xyz":
        raise SettingsError(f"reconstruction.up is '{up}', expected one of +x, -x, +y, -y, +z, -z")
    axis = "xyz".index(up[1])
    sign = 1.0 if up[0] == "+" else -1.0
    rotation = np.zeros((3, 3))
    rotation[(axis + 1) % 3, 0] = 1.0
    rotation[(axis + 2) % 3, 1] = sign
    rotation[axis, 2] = sign
    return rotation


@dataclass(frozen=True)
class TileGrid:
    """Where tiles are: tile (i, j, k) holds the voxels from ``shape * (i, j, k)`` to the next tile's first.

    Attributes:
        voxel_size_m: of the finest level; voxel (x, y, z) has its centre at ``voxel_size_m * (x, y, z)``.
        shape: voxels along x, y, z.
    """

    voxel_size_m: float = 0.04
    shape: tuple[int, int, int] = (64, 64, 48)

    @cached_property
    def samples_m(self) -> NDArray[np.float64]:
        """Points [S, 3] spread over tile (0, 0, 0), metres."""
        axes = [np.arange(SAMPLE_VOXELS / 2, size, SAMPLE_VOXELS) for size in self.shape]
        return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) * self.voxel_size_m

    @property
    def edges_m(self) -> NDArray[np.float64]:
        """Edges of a tile, metres [3]."""
        return np.array(self.shape) * self.voxel_size_m

    def low(self, tile: Tile) -> NDArray[np.int64]:
        """First voxel [3] of a tile."""
        return np.array(tile, np.int64) * self.shape

    def points_m(self, tile: Tile) -> NDArray[np.float64]:
        """The sample points [S, 3] of a tile in the grid's frame, metres."""
        return self.samples_m + np.array(tile) * self.edges_m

    def centre_m(self, tile: Tile) -> NDArray[np.float64]:
        """Its middle [3] in the grid's frame, metres."""
        return (np.array(tile) + 0.5) * self.edges_m

    def tiles_of(self, voxels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tile [V, 3] each voxel [V, 3] is in."""
        return np.floor_divide(voxels, np.array(self.shape))

    def seen(self, camera: Camera, T_grid_camera: NDArray[np.float64], reach_m: float) -> dict[Tile, NDArray[np.bool_]]:
        """Tiles in the viewing frustum cut at ``reach_m``, each with which of its sample points are in it, bool [S]."""
        corners = transform_points(T_grid_camera, _frustum(camera, reach_m))
        first = np.floor(corners.min(0) / self.edges_m).astype(int)
        last = np.floor(corners.max(0) / self.edges_m).astype(int)
        found = {}
        for i, j, k in itertools.product(*(range(a, b + 1) for a, b in zip(first, last, strict=True))):
            tile = (i, j, k)
            inside = in_view(self.points_m(tile), camera, T_grid_camera, reach_m)
            if inside.mean() >= MIN_SHARE:
                found[tile] = inside
        return found


def in_view(
    points_m: NDArray[np.float64], camera: Camera, T_grid_camera: NDArray[np.float64], reach_m: float
) -> NDArray[np.bool_]:
    """Which of the points [P, 3] fall into the image, in front of the camera and within ``reach_m`` along its axis."""
    pixels, z = camera.project(transform_points(inverse(T_grid_camera), points_m))
    with np.errstate(invalid="ignore"):
        inside = (pixels >= 0).all(1) & (pixels <= (camera.width - 1, camera.height - 1)).all(1)
    return np.asarray(inside & (z > 0) & (z <= reach_m))


def parallax_deg(
    points_m: NDArray[np.float64], eyes_m: NDArray[np.float64], visible: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How much the directions differ from which each point is seen, degrees [P]; 0 with fewer than two views.

    Of two views it is the angle between them; of more, twice the angle whose sine is the spread of the unit
    directions around their mean.

    Args:
        points_m: [P, 3].
        eyes_m: [n, 3], positions of the cameras.
        visible: bool [P, n], which camera sees which point.
    """
    middle = eyes_m.mean(0)
    eyes, points = eyes_m - middle, points_m - middle
    squared = (points * points).sum(1)[:, None] + (eyes * eyes).sum(1) - 2 * points @ eyes.T
    nearness = visible / np.sqrt(np.maximum(squared, 1e-12))
    count = visible.sum(1)
    mean = (nearness @ eyes - points * nearness.sum(1)[:, None]) / np.maximum(count, 1)[:, None]
    spread = np.sqrt(np.clip(1 - (mean * mean).sum(1), 0, 1))
    return np.where(count >= 2, np.degrees(2 * np.arcsin(spread)), 0.0)


def has_moved(last: NDArray[np.float64], pose: NDArray[np.float64]) -> bool:
    """Whether a camera is at least 0.1 m or 15 degrees away from where it was."""
    moved_m = float(np.linalg.norm(pose[:3, 3] - last[:3, 3]))
    return moved_m >= TRANSLATION_M - 1e-6 or rotation_angle_deg(last, pose) >= ROTATION_DEG


def pose_distances(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """How different poses [n, 4, 4] are, [n, n]: in steps of 0.1 m plus steps of 15 degrees."""
    eyes, rotations = poses[:, :3, 3], poses[:, :3, :3]
    away = np.linalg.norm(eyes[:, None] - eyes[None], axis=2)
    cosine = (np.einsum("aij,bij->ab", rotations, rotations) - 1) / 2
    return away / TRANSLATION_M + np.degrees(np.arccos(np.clip(cosine, -1, 1))) / ROTATION_DEG


def spread_views(poses: NDArray[np.float64], shares: Sequence[float], count: int) -> list[int]:
    """At most ``count`` of the views, far apart from each other and seeing much, by number in ascending order.

    Starts with the one that sees most; then again and again takes the one farthest from all taken (Gonzalez, 1985),
    its distance weighted by the root of the share it sees. No chance is involved.

    Args:
        poses: float64 [n, 4, 4].
        shares: of the tile, that each sees.
        count: how many at most.
    """
    if len(poses) <= count:
        return list(range(len(poses)))
    weight, apart = np.sqrt(np.asarray(shares, np.float64)), pose_distances(poses)
    taken = [int(np.argmax(weight))]
    nearest = apart[taken[0]].copy()
    while len(taken) < count:
        score = nearest * weight
        score[taken] = -1.0
        taken.append(int(np.argmax(score)))
        nearest = np.minimum(nearest, apart[taken[-1]])
    return sorted(taken)


def _frustum(camera: Camera, reach_m: float) -> NDArray[np.float64]:
    """The camera's centre and the far corners of what it sees, [5, 3], camera frame."""
    left, right = -camera.cx / camera.fx, (camera.width - 1 - camera.cx) / camera.fx
    top, bottom = -camera.cy / camera.fy, (camera.height - 1 - camera.cy) / camera.fy
    rays = [(0.0, 0.0, 0.0), (left, top, 1.0), (right, top, 1.0), (right, bottom, 1.0), (left, bottom, 1.0)]
    return np.array(rays) * reach_m
