"""Meshes: the whole one, and the blocks an incremental map hands out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from showroom_ros.scene.view import View

BlockIndex = tuple[int, int, int]
"""Integer position of a mesh block; block (i, j, k) covers [i, i+1) x ... times the block's edge."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """An indexed triangle mesh in the world frame.

    Attributes:
        vertices: float32 [V, 3], metres.
        triangles: int32 [T, 3], counter-clockwise seen from the free side.
        colors: uint8 [V, 3], RGB.
        normals: float32 [V, 3], unit length, towards free space.
        provenance: uint8 [V] of ``scene.view.Provenance``.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colors: NDArray[np.uint8]
    normals: NDArray[np.float32]
    provenance: NDArray[np.uint8]

    @staticmethod
    def empty() -> Mesh:
        """A mesh of nothing."""
        return Mesh(
            np.zeros((0, 3), np.float32),
            np.zeros((0, 3), np.int32),
            np.zeros((0, 3), np.uint8),
            np.zeros((0, 3), np.float32),
            np.zeros(0, np.uint8),
        )

    @staticmethod
    def concatenate(meshes: Iterable[Mesh]) -> Mesh:
        """One mesh of many; vertices are not merged."""
        parts = [mesh for mesh in meshes if len(mesh.vertices)]
        if not parts:
            return Mesh.empty()
        offsets = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
        return Mesh(
            np.concatenate([part.vertices for part in parts]),
            np.concatenate([part.triangles + np.int32(start) for part, start in zip(parts, offsets, strict=True)]),
            np.concatenate([part.colors for part in parts]),
            np.concatenate([part.normals for part in parts]),
            np.concatenate([part.provenance for part in parts]),
        )

    def welded(self) -> Mesh:
        """The same surface with vertices at exactly the same place made one; the first one's attributes stay."""
        if not len(self.vertices):
            return self
        keys = np.ascontiguousarray(self.vertices).view(np.dtype((np.void, 12))).ravel()
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        return Mesh(
            self.vertices[first],
            inverse.ravel()[self.triangles].astype(np.int32),
            self.colors[first],
            self.normals[first],
            self.provenance[first],
        )


@dataclass(frozen=True, eq=False)
class MapUpdate:
    """What changed in the map since the last update.

    Attributes:
        stamp_ns: stamp of the newest view in it.
        blocks: changed mesh blocks by index; never empty meshes.
        removed: indices of blocks that no longer hold any surface.
        counters: what happened, by name (``blocks_allocated``, ``voxels_updated``, ``blocks_evicted``...).
        view: the view with the depth, provenance and confidence that were fused; without depth where there is none
            yet; None in updates that come of no view.
        note: why there is no depth, or little confidence; "" where all is well.
    """

    stamp_ns: int
    blocks: dict[BlockIndex, Mesh]
    removed: tuple[BlockIndex, ...] = ()
    counters: dict[str, float] = field(default_factory=dict)
    view: View | None = None
    note: str = ""
