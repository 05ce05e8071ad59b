"""Voxel blocks outside of a volume."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Voxels(NamedTuple):
    """Voxel blocks as plain arrays, encoded as ``block_store.BlockStore`` says.

    Attributes:
        position: int32 [N, 3], in blocks.
        tsdf: int16 [N, 512].
        weight: uint16 [N, 512].
        color: uint32 [N, 512].
    """

    position: NDArray[np.int32]
    tsdf: NDArray[np.int16]
    weight: NDArray[np.uint16]
    color: NDArray[np.uint32]

    def rows(self, which: NDArray) -> Voxels:
        """Some of the blocks, by number or by mask [N]."""
        return Voxels(self.position[which], self.tsdf[which], self.weight[which], self.color[which])
