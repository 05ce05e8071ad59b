"""The keyframes a volumetric network looks into, in bounded memory, and which tiles they see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from showroom_ros.reconstruction.tiles import Tile, TileGrid, parallax_deg, pose_distances, spread_views
from showroom_ros.scene.view import View

if TYPE_CHECKING:
    from showroom_ros.networks.view_fusion import ViewFeatures

REDUNDANT = 5.0
"""Keyframes nearer to each other than this (in steps of 0.1 m plus steps of 15 degrees) can stand for each other."""
MIN_SEEN_SHARE = 0.02
"""Share of a tile's points that must be seen with parallax for a prediction to be made."""


@dataclass(frozen=True, eq=False)
class Keyframe:
    """What is kept of a view.

    Attributes:
        view: resized to the network's input, with its pose in the world.
        T_grid_camera: float64 [4, 4], the pose in the network's z-up frame.
        features: the network's feature maps of it.
        tiles: the tiles it sees, each with which of its sample points, bool [S].
    """

    view: View
    T_grid_camera: NDArray[np.float64]
    features: ViewFeatures
    tiles: dict[Tile, NDArray[np.bool_]]


class KeyframeMemory:
    """At most so many keyframes; when full the most redundant one goes.

    That is the older of the two most alike. Where even these are far apart, the one farthest from the newest goes.

    Attributes:
        keyframes: from the oldest to the newest.
        capacity: how many are kept.
    """

    def __init__(self, grid: TileGrid, capacity: int) -> None:
        """Empty; ``capacity`` is at least 2."""
        self._grid = grid
        self.capacity = max(2, capacity)
        self.keyframes: list[Keyframe] = []

    def add(self, keyframe: Keyframe) -> None:
        """Remembers ``keyframe``; forgets another one if there is no room."""
        self.keyframes.append(keyframe)
        if len(self.keyframes) > self.capacity:
            del self.keyframes[self._most_redundant()]

    def _most_redundant(self) -> int:
        apart = pose_distances(np.stack([keyframe.T_grid_camera for keyframe in self.keyframes]))
        pairs = np.where(np.triu(np.ones_like(apart, bool), 1), apart, np.inf)
        older, _ = np.unravel_index(np.argmin(pairs), pairs.shape)
        if pairs.min() <= REDUNDANT:
            return int(older)
        return int(np.argmax(apart[-1, :-1]))

    def tiles(self) -> set[Tile]:
        """All tiles any of the keyframes sees."""
        return {tile for keyframe in self.keyframes for tile in keyframe.tiles}

    def best_views(self, tile: Tile, count: int) -> list[Keyframe]:
        """At most ``count`` keyframes that see the tile, spread in viewpoint."""
        seeing = [keyframe for keyframe in self.keyframes if tile in keyframe.tiles]
        if not seeing:
            return []
        poses = np.stack([keyframe.T_grid_camera for keyframe in seeing])
        shares = [float(keyframe.tiles[tile].mean()) for keyframe in seeing]
        return [seeing[n] for n in spread_views(poses, shares, count)]

    def has_parallax(self, tile: Tile, views: list[Keyframe], least_deg: float) -> bool:
        """Whether enough of the tile is seen by at least two of ``views`` from different directions."""
        if len(views) < 2:
            return False
        eyes = np.stack([view.T_grid_camera[:3, 3] for view in views])
        visible = np.stack([view.tiles[tile] for view in views], 1)
        return bool((parallax_deg(self._grid.points_m(tile), eyes, visible) >= least_deg).mean() >= MIN_SEEN_SHARE)
