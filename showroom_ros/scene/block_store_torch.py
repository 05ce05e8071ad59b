"""Voxel blocks in tensors, found by binary search in sorted keys."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from showroom_ros.scene.block_store import BLOCK_VOXELS
from showroom_ros.scene.voxels import Voxels

_SLOT_BYTES = BLOCK_VOXELS * (2 + 2 + 1 + 4)
_KEY_BYTES = 2 * (8 + 8)  # sorted keys and their slots, old and new while merging
_GROWING_BYTES = BLOCK_VOXELS * 4  # the largest tensor, old beside new while growing
_FIRST_CAPACITY = 1024
_VOXEL_TENSORS = ("tsdf", "weight", "kind", "color")


class TorchBlockStore:
    """Sorted keys, the slot of each, and voxels by slot.

    Attributes:
        keys: int64 [N], sorted.
        slots: int64 [N], slot of each key.
        tsdf: int16 [C, 512], as in ``block_store.BlockStore``.
        weight: int16 [C, 512], weight in 1/16.
        kind: uint8 [C, 512], provenance.
        color: int32 [C, 512], as in ``block_store.BlockStore``.
        max_blocks: how many blocks fit under the byte cap, growing included.
    """

    def __init__(self, max_bytes: int, device: torch.device) -> None:
        """An empty store on ``device``."""
        self.device = device
        self.max_blocks = max(1, max_bytes // (_SLOT_BYTES + _KEY_BYTES + _GROWING_BYTES))
        self.keys = torch.empty(0, dtype=torch.int64, device=device)
        self.slots, self._free = self.keys.clone(), self.keys.clone()
        self.tsdf = torch.zeros((0, BLOCK_VOXELS), dtype=torch.int16, device=device)
        self.weight = torch.zeros((0, BLOCK_VOXELS), dtype=torch.int16, device=device)
        self.kind = torch.zeros((0, BLOCK_VOXELS), dtype=torch.uint8, device=device)
        self.color = torch.zeros((0, BLOCK_VOXELS), dtype=torch.int32, device=device)

    @property
    def memory_bytes(self) -> int:
        """Bytes of all tensors."""
        return len(self.tsdf) * _SLOT_BYTES + len(self.keys) * _KEY_BYTES

    @property
    def positions(self) -> Tensor:
        """Positions int64 [N, 3] of all blocks, in the order of ``keys``."""
        return positions_of(self.keys)

    def find(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of ``keys`` int64 [M] in ``self.keys``, and whether they are there."""
        if not len(self.keys):
            return torch.zeros_like(keys), torch.zeros_like(keys, dtype=torch.bool)
        rows = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        return rows, self.keys[rows] == keys

    def missing(self, positions: Tensor) -> Tensor:
        """Sorted keys of those of ``positions`` int64 [M, 3] that are not there, without duplicates."""
        keys = torch.unique(keys_of(positions))
        return keys[~self.find(keys)[1]]

    def insert(self, new: Tensor) -> None:
        """Makes empty blocks for keys int64 [M] that are not there yet."""
        short = len(new) - len(self._free)
        if short > 0:
            self._grow(short)
        slots, self._free = self._free[: len(new)], self._free[len(new) :]
        for name in _VOXEL_TENSORS:
            getattr(self, name)[slots] = 0
        self.keys, order = torch.sort(torch.cat([self.keys, new]))
        self.slots = torch.cat([self.slots, slots])[order]

    def remove(self, drop: Tensor) -> None:
        """Frees the blocks of the rows where ``drop`` bool [N] is true."""
        self._free = torch.cat([self._free, self.slots[drop]])
        self.keys, self.slots = self.keys[~drop], self.slots[~drop]

    def _grow(self, short: int) -> None:
        old = len(self.tsdf)
        size = min(self.max_blocks, max(_FIRST_CAPACITY, old + old // 2, old + short))
        for name in _VOXEL_TENSORS:
            tensor = getattr(self, name)
            grown = torch.zeros((size, BLOCK_VOXELS), dtype=tensor.dtype, device=self.device)
            grown[:old] = tensor
            setattr(self, name, grown)
        self._free = torch.cat([self._free, torch.arange(old, size, device=self.device)])

    def voxels(self, rows: Tensor) -> Voxels:
        """A copy on the CPU of the blocks of ``rows`` int64 [M], in the order of their position."""
        slots = self.slots[rows]
        weight = (self.weight[slots].int() << 2 | self.kind[slots].int()).cpu().numpy().astype(np.uint16)
        color = self.color[slots].cpu().numpy().view(np.uint32)
        positions = positions_of(self.keys[rows]).int().cpu().numpy()
        order = np.lexsort(positions.T)
        return Voxels(positions[order], self.tsdf[slots].cpu().numpy()[order], weight[order], color[order])

    def put(self, keys: Tensor, voxels: Voxels) -> None:
        """Overwrites the blocks of ``keys`` int64 [M], which must be there."""
        slots, weight = self.slots[self.find(keys)[0]], voxels.weight.astype(np.int32)
        self.tsdf[slots] = torch.as_tensor(voxels.tsdf, device=self.device)
        self.weight[slots] = torch.as_tensor((weight >> 2).astype(np.int16), device=self.device)
        self.kind[slots] = torch.as_tensor((weight & 3).astype(np.uint8), device=self.device)
        self.color[slots] = torch.as_tensor(voxels.color.view(np.int32), device=self.device)


def keys_of(positions: Tensor) -> Tensor:
    """Sortable int64 keys of block positions int64 [N, 3]: 21 bits each of x, y, z.

    The positions are taken modulo 2^21: at 2 cm the map repeats after 335 km.
    """
    x, y, z = (positions & 0x1FFFFF).unbind(-1)
    return x << 42 | y << 21 | z


def positions_of(keys: Tensor) -> Tensor:
    """Block positions int64 [N, 3] of keys."""
    wrapped = torch.stack([keys >> 42, keys >> 21, keys], 1) & 0x1FFFFF
    return torch.where(wrapped >= 1 << 20, wrapped - (1 << 21), wrapped)
