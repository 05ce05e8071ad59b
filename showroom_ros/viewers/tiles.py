"""Gathers small mesh blocks into tiles worth drawing: a room has thousands of blocks, a browser wants dozens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from showroom_ros.scene.mesh import Mesh
from showroom_ros.viewers.base import BlockKey

TileIndex = tuple[int, int, int]

_OUTLIERS = 2.0
"""Per cent of the blocks at each side that may lie outside the bounds: stray surface far away."""
_HASH_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)


class MeshTiles:
    """The blocks of a mesh by the cube of space they lie in, and which cubes have changed."""

    def __init__(self, edge_m: float) -> None:
        """An empty mesh in cubes of ``edge_m``."""
        self._edge_m = edge_m
        self._tile_of: dict[BlockKey, TileIndex] = {}
        self._box_of: dict[BlockKey, NDArray[np.float32]] = {}
        self._blocks: dict[TileIndex, dict[BlockKey, Mesh]] = {}
        self._changed: dict[TileIndex, None] = {}

    @property
    def changed_count(self) -> int:
        """Tiles that wait to be drawn."""
        return len(self._changed)

    def update(self, blocks: Mapping[BlockKey, Mesh], removed: Iterable[BlockKey] = ()) -> None:
        """Replaces and removes blocks; a block stays in the tile it was first seen in."""
        for key in removed:
            tile = self._tile_of.pop(key, None)
            if tile is not None:
                del self._box_of[key]
                del self._blocks[tile][key]
                self._changed[tile] = None
        for key, mesh in blocks.items():
            if len(mesh.triangles):
                box = self._box_of[key] = np.array([mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)])
                tile = self._tile_of.setdefault(key, self._tile(box))
                self._blocks.setdefault(tile, {})[key] = mesh
                self._changed[tile] = None
            else:
                self.update({}, [key])

    def clear(self) -> None:
        """Removes every block."""
        self.update({}, list(self._tile_of))

    def touch_all(self) -> None:
        """Counts every tile as changed, to draw it another way."""
        self._changed.update(dict.fromkeys(self._blocks))

    def take_changed(self, count: int) -> dict[TileIndex, list[Mesh]]:
        """At most ``count`` changed tiles with their blocks, longest changed first; no blocks = nothing is left."""
        taken = {}
        for tile in list(self._changed)[:count]:
            del self._changed[tile]
            taken[tile] = list(self._blocks.get(tile, {}).values())
            if not taken[tile]:
                self._blocks.pop(tile, None)
        return taken

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Lowest and highest corner (float64 [3], metres) of all but the outermost blocks; None where nothing is."""
        if not self._box_of:
            return None
        boxes = np.array(list(self._box_of.values()), np.float64)
        return np.percentile(boxes[:, 0], _OUTLIERS, axis=0), np.percentile(boxes[:, 1], 100 - _OUTLIERS, axis=0)

    def _tile(self, box: NDArray[np.float32]) -> TileIndex:
        x, y, z = (math.floor(value / self._edge_m) for value in (box[0] + box[1]) / 2)
        return x, y, z


def welded(mesh: Mesh) -> Mesh:
    """The same surface with vertices at one place merged into one, and normals averaged over its triangles.

    Triangle corners that came as a plain list, and the seams between blocks, shade smoothly then.
    """
    bits = (mesh.vertices + np.float32(0)).view(np.uint32).astype(np.uint64)  # + 0 makes -0 equal 0
    hashes = (bits * _HASH_FACTORS).sum(axis=1, dtype=np.uint64)
    _, first, vertex_of = np.unique(hashes, return_index=True, return_inverse=True)
    triangles = vertex_of.reshape(-1)[mesh.triangles].astype(np.int32)
    vertices = mesh.vertices[first]
    return Mesh(vertices, triangles, mesh.colors[first], vertex_normals(vertices, triangles), mesh.provenance[first])


def vertex_normals(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """float32 [V, 3] unit normals, each the mean of its triangles' normals weighted by their area."""
    corners = vertices[triangles].astype(np.float64)
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat = triangles.reshape(-1)
    sums = [np.bincount(flat, np.repeat(areas[:, axis], 3), minlength=len(vertices)) for axis in range(3)]
    normals = np.stack(sums, axis=1)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(lengths > 0, normals / np.maximum(lengths, 1e-300), (0.0, 0.0, 1.0))
    return normals.astype(np.float32)
