"""The signed distances a volumetric network predicted, tile by tile, and their way into the voxels of a map."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from showroom_ros.reconstruction.tiles import Tile, TileGrid
from showroom_ros.scene.block_store import BLOCK_EDGE, BLOCK_VOXELS
from showroom_ros.scene.painting import paint
from showroom_ros.scene.predicted import is_filled
from showroom_ros.scene.resampling import DistanceGrid, blocks_in_box, resample
from showroom_ros.scene.view import View
from showroom_ros.scene.voxels import Voxels
from showroom_ros.settings import MapSettings

_NEIGHBOURS = tuple(itertools.product((-1, 0, 1), repeat=3))


class FieldVoxels(NamedTuple):
    """Voxels of the network's grid whose distance is known.

    Attributes:
        voxels: int64 [V, 3], positions in the grid.
        distance_m: float32 [V], positive in free space.
        weight: float32 [V], how many observations it is worth.
    """

    voxels: NDArray[np.int64]
    distance_m: NDArray[np.float32]
    weight: NDArray[np.float32]

    def rows(self, which: NDArray) -> FieldVoxels:
        """Some of them, by number or by mask [V]."""
        return FieldVoxels(self.voxels[which], self.distance_m[which], self.weight[which])


class PredictedField:
    """Known voxels by tile. Tiles beyond the capacity are forgotten, the farthest first; the map keeps theirs."""

    def __init__(self, grid: TileGrid, R_world_grid: NDArray[np.float64], capacity: int) -> None:
        """Nothing predicted yet.

        Args:
            grid: where tiles are.
            R_world_grid: float64 [3, 3], signed permutation.
            capacity: tiles held at most.
        """
        self._grid = grid
        self._R_world_grid = R_world_grid
        self._capacity = capacity
        self._tiles: dict[Tile, FieldVoxels] = {}

    def __contains__(self, tile: Tile) -> bool:
        """Whether the tile was predicted (even if nothing was found in it)."""
        return tile in self._tiles

    def surface_voxels(self, tile: Tile) -> int:
        """Voxels known in a tile; 0 where it was not predicted."""
        return len(self._tiles[tile].voxels) if tile in self._tiles else 0

    def put(self, tiles: Iterable[Tile], known: FieldVoxels) -> None:
        """Replaces what was known of ``tiles`` by ``known``; voxels in other tiles are left out."""
        of_voxel = self._grid.tiles_of(known.voxels)
        for tile in tiles:
            self._tiles.pop(tile, None)
            part = known.rows((of_voxel == tile).all(1))
            self._tiles[tile] = FieldVoxels(
                part.voxels.astype(np.int32), part.distance_m.astype(np.float16), part.weight.astype(np.float16)
            )

    def forget_far(self, eye_grid_m: NDArray[np.float64]) -> None:
        """Drops the tiles farthest from a point [3] of the grid's frame until the capacity holds."""
        excess = len(self._tiles) - self._capacity
        if excess > 0:
            away = {tile: float(np.linalg.norm(self._grid.centre_m(tile) - eye_grid_m)) for tile in self._tiles}
            for tile in sorted(self._tiles, key=lambda tile: -away[tile])[:excess]:
                del self._tiles[tile]

    def voxels(
        self,
        tiles: Sequence[Tile],
        views_of: Callable[[Tile], Sequence[View]],
        settings: MapSettings,
        in_map: Callable[[NDArray[np.int32]], NDArray[np.bool_]],
    ) -> Voxels:
        """What the map should hold of ``tiles``: their blocks with a rim, so that no seam opens to their neighbours.

        Args:
            tiles: predicted anew.
            views_of: the views that colour a tile; images of one size.
            settings: the map's.
            in_map: which blocks int32 [N, 3] the map holds; those are emptied where nothing is predicted now.
        """
        parts: list[Voxels] = []
        for tile, blocks in zip(tiles, _each_once([self._blocks(tile, settings) for tile in tiles]), strict=True):
            grid = self._window(tile, settings)
            voxels = resample(grid, blocks, settings)
            kept = is_filled(voxels)
            stale = np.flatnonzero(~kept & in_map(blocks))
            kept[stale] = self._is_known(blocks[stale], settings)
            parts.append(paint(voxels.rows(kept), grid, views_of(tile), settings))
        if not parts:
            return _no_voxels()
        return Voxels(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _blocks(self, tile: Tile, settings: MapSettings) -> NDArray[np.int32]:
        """Blocks [N, 3] that reach into a tile or to the first voxels beyond it."""
        low = self._grid.low(tile).astype(np.float64) - 1
        high = low + np.array(self._grid.shape) + 1
        return blocks_in_box(low, high, self._grid.voxel_size_m, self._R_world_grid, settings)

    def _is_known(self, blocks: NDArray[np.int32], settings: MapSettings) -> NDArray[np.bool_]:
        """Which blocks [N, 3] have their middle in a predicted tile: where nothing is filled there, nothing is."""
        middle = (blocks + 0.5) * (BLOCK_EDGE * settings.voxel_size_m) @ self._R_world_grid
        tiles = np.floor(middle / self._grid.edges_m).astype(np.int64)
        return np.array([tuple(tile) in self._tiles for tile in tiles.tolist()], bool)

    def _window(self, tile: Tile, settings: MapSettings) -> DistanceGrid:
        """A tile and as much around it as blocks of the map reach over."""
        pad = int(np.ceil(BLOCK_EDGE * settings.voxel_size_m / self._grid.voxel_size_m)) + 2
        low = self._grid.low(tile) - pad
        shape = np.array(self._grid.shape) + 2 * pad
        distance = np.full(shape, np.nan, np.float32)
        weight = np.zeros(shape, np.float32)
        for offset in _NEIGHBOURS:
            near = (tile[0] + offset[0], tile[1] + offset[1], tile[2] + offset[2])
            known = self._tiles.get(near)
            if known is not None:
                at = known.voxels - low
                inside = ((at >= 0) & (at < shape)).all(1)
                index = tuple(at[inside].T)
                distance[index], weight[index] = known.distance_m[inside], known.weight[inside]
        return DistanceGrid(distance, weight, low, self._grid.voxel_size_m, self._R_world_grid)


def _each_once(parts: list[NDArray[np.int32]]) -> list[NDArray[np.int32]]:
    """Lists of blocks [N, 3] without those that an earlier list holds."""
    if not parts:
        return []
    blocks = np.concatenate(parts)
    low = blocks.min(0)
    _, first = np.unique(np.ravel_multi_index(tuple((blocks - low).T), tuple(np.ptp(blocks, 0) + 1)), return_index=True)
    is_first = np.zeros(len(blocks), bool)
    is_first[first] = True
    kept = np.split(is_first, np.cumsum([len(part) for part in parts])[:-1])
    return [part[which] for part, which in zip(parts, kept, strict=True)]


def _no_voxels() -> Voxels:
    shape = (0, BLOCK_VOXELS)
    return Voxels(np.zeros((0, 3), np.int32), np.zeros(shape, np.int16), np.zeros(shape, np.uint16),
                  np.zeros(shape, np.uint32))  # fmt: skip
