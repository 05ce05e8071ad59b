"""Memory of the sparse volume: voxel blocks in arrays, found through a hash of mesh blocks.

A *block* is 8^3 voxels, a *mesh block* 4^3 blocks. The open-addressing hash (linear probing, deletion by
backward shift: Knuth, TAOCP 3, 6.4 R) holds mesh blocks only; each has a table of its 64 children, so a
neighbour is mostly one array read away and a mesh block is found, culled and meshed as one thing.

The arrays are reserved once, at the size the byte cap allows; the operating system commits their zero
pages as slots come into use. So the map grows without ever holding an old and a new copy.
"""

from __future__ import annotations

import os

import numba
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError

BLOCK_EDGE = 8
"""Voxels along the edge of a block."""
BLOCK_VOXELS = BLOCK_EDGE**3
MESH_BLOCK_EDGE = 4
"""Blocks along the edge of a mesh block."""
CHILDREN = MESH_BLOCK_EDGE**3
WORLD_LIMIT_BLOCKS = MESH_BLOCK_EDGE * (2**20 - 2)
"""Block positions must be nearer to the origin than this, along each axis."""

WEIGHT_UNITS = 16
"""An observation of weight 1 in the integers that are stored."""
TSDF_UNITS = 32767
"""A normalised signed distance of 1 in the integers that are stored."""

HAS_COLOR = 1 << 30
"""Flag of a stored colour: the voxel was seen in the band at least once."""

_VOXEL_BYTES = 2 + 2 + 4
_BLOCK_BYTES = BLOCK_VOXELS * _VOXEL_BYTES + 3 * 4 + 4
_MESH_BLOCK_BYTES = 3 * 4 + CHILDREN * 4 + 4 + 4 + 4
_TABLE_ENTRY_BYTES = 8 + 4
_MIN_TABLE = 1024
# Each block alone in its mesh block, and a hash table (at most 4 entries per mesh block) beside the half as large
# one it replaces: with this many bytes per block the cap holds whatever happens.
_WORST_BYTES_PER_BLOCK = _BLOCK_BYTES + _MESH_BLOCK_BYTES + 6 * _TABLE_ENTRY_BYTES

_SLOTS, _FREE_SLOTS, _MESH_BLOCKS, _FREE_MESH_BLOCKS = range(4)


class BlockStore:
    """Voxel blocks, allocated and found by their integer position.

    Attributes (rows of freed slots are stale; ``children`` says which slots live):
        tsdf: int16 [C, 512], signed distance over truncation in 1/32767, never 0; x fastest, then y, z.
        weight: uint16 [C, 512], weight in 1/16 shifted left by 2, plus the provenance in the low 2 bits.
        color: uint32 [C, 512], 10 bits each of R (lowest), G, B in quarter levels; bit 30: has a colour.
        block_index: int32 [C, 3], position of the block; block (i, j, k) starts at voxel 8 (i, j, k).
        mesh_block_index: int32 [M, 3].
        children: int32 [M, 64], slots of the blocks in it or -1; x fastest.
        change: float32 [M], how far surface in what a mesh block reads may have moved since it was meshed last,
            in units of the mesh tolerance; from 1 on it is due.
    """

    def __init__(self, max_bytes: int) -> None:
        """Reserves address space for ``max_bytes``, at most the machine's memory."""
        table_bytes = _MIN_TABLE * _TABLE_ENTRY_BYTES
        self.capacity = max(1, (min(max_bytes, _physical_memory_bytes()) - table_bytes) // _WORST_BYTES_PER_BLOCK)
        self.tsdf = np.zeros((self.capacity, BLOCK_VOXELS), np.int16)
        self.weight = np.zeros((self.capacity, BLOCK_VOXELS), np.uint16)
        self.color = np.zeros((self.capacity, BLOCK_VOXELS), np.uint32)
        self.block_index = np.zeros((self.capacity, 3), np.int32)
        self.mesh_block_index = np.zeros((self.capacity, 3), np.int32)
        self.children = np.zeros((self.capacity, CHILDREN), np.int32)
        self.child_count = np.zeros(self.capacity, np.int32)
        self.change = np.zeros(self.capacity, np.float32)
        self._free_slots = np.zeros(self.capacity, np.int32)
        self._free_mesh_blocks = np.zeros(self.capacity, np.int32)
        self._counts = np.zeros(4, np.int64)
        self.freed_mesh_blocks: set[tuple[int, int, int]] = set()
        self._resize_table(_MIN_TABLE)

    @property
    def block_count(self) -> int:
        """Blocks alive."""
        return int(self._counts[_SLOTS] - self._counts[_FREE_SLOTS])

    @property
    def mesh_block_slots(self) -> int:
        """Rows of the mesh block arrays in use, freed ones (``child_count`` 0) included."""
        return int(self._counts[_MESH_BLOCKS])

    @property
    def memory_bytes(self) -> int:
        """Bytes in use: every slot and mesh block row ever used, and the hash table; never above the cap."""
        slots, rows = int(self._counts[_SLOTS]), int(self._counts[_MESH_BLOCKS])
        return slots * _BLOCK_BYTES + rows * _MESH_BLOCK_BYTES + len(self._table_keys) * _TABLE_ENTRY_BYTES

    @property
    def table(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The hash of mesh blocks, keys and rows, for ``_find``; valid until blocks come or go."""
        return self._table_keys, self._table_values

    def missing(self, blocks: NDArray[np.int32]) -> NDArray[np.int32]:
        """Those of ``blocks`` int32 [N, 3] that are not allocated, duplicates included."""
        return blocks[~self.contains(blocks)]

    def contains(self, blocks: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of ``blocks`` int32 [N, 3] are allocated."""
        return _contains(self._table_keys, self._table_values, self.children, blocks)

    def insert(self, blocks: NDArray[np.int32]) -> NDArray[np.int32]:
        """Slots int32 [N] of ``blocks`` int32 [N, 3], allocated (empty) where they did not exist.

        Raises:
            InputError: they do not fit under the cap, or lie outside the world.
        """
        check_in_world(blocks)
        if self.block_count + len(blocks) > self.capacity:
            new = len(np.unique(self.missing(blocks), axis=0))
            if self.block_count + new > self.capacity:
                raise InputError(
                    f"{self.block_count + new} voxel blocks do not fit, the map's cap allows {self.capacity}"
                )
        worst = int(self._counts[_MESH_BLOCKS]) + len(blocks)
        if 2 * worst > len(self._table_keys):
            needed = int(self._counts[_MESH_BLOCKS]) + len(np.unique(blocks >> 2, axis=0))
            if 2 * needed > len(self._table_keys):
                self._resize_table(_table_size(needed))
        return _insert(
            self._table_keys, self._table_values, self.children, self.child_count, self.mesh_block_index,
            self.block_index, self.change, self.tsdf, self.weight, self.color,
            self._free_slots, self._free_mesh_blocks, self._counts, np.ascontiguousarray(blocks, np.int32),
        )  # fmt: skip

    def remove(self, slots: NDArray[np.int32]) -> None:
        """Frees blocks by slot; the mesh blocks around them become dirty."""
        self.mark_dirty(slots)
        index = self.block_index[slots] >> 2
        _remove(
            self._table_keys, self._table_values, self.children, self.child_count, self.mesh_block_index,
            self.block_index, self._free_slots, self._free_mesh_blocks, self._counts, np.asarray(slots, np.int32),
        )  # fmt: skip
        gone = index[~_mesh_block_exists(self._table_keys, self._table_values, index)]
        self.freed_mesh_blocks.update((x, y, z) for x, y, z in np.unique(gone, axis=0).tolist())

    def take_freed_mesh_blocks(self) -> set[tuple[int, int, int]]:
        """Mesh blocks that ceased to exist since the last call."""
        freed, self.freed_mesh_blocks = self.freed_mesh_blocks, set()
        return freed

    def note_change(self, slots: NDArray[np.int32], change: NDArray[np.float32]) -> None:
        """Adds one view's change per block to every mesh block that reads voxels of it."""
        largest = np.zeros(self.mesh_block_slots, np.float32)
        _spread_change(self._table_keys, self._table_values, self.block_index, slots, change, largest)
        self.change[: len(largest)] += largest

    def mark_dirty(self, slots: NDArray[np.int32]) -> None:
        """Makes every mesh block that reads voxels of these blocks due."""
        slots = np.asarray(slots, np.int32)
        self.note_change(slots, np.full(len(slots), np.inf, np.float32))

    def slots(self) -> NDArray[np.int32]:
        """Slots of all blocks alive, int32 [N], in the order of mesh blocks."""
        children = self.children[: self.mesh_block_slots][self.child_count[: self.mesh_block_slots] > 0]
        return children[children >= 0]

    def mesh_block_ids(self, only_dirty: bool = False) -> NDArray[np.int32]:
        """Rows of the live mesh blocks, int32 [N]."""
        alive = self.child_count[: self.mesh_block_slots] > 0
        if only_dirty:
            alive &= self.change[: self.mesh_block_slots] >= 1
        return np.flatnonzero(alive).astype(np.int32)

    def neighbours(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """Rows of the 27 mesh blocks around each of ``ids``, int32 [N, 27] (x fastest, -1 first) or -1."""
        return _neighbours(self._table_keys, self._table_values, self.mesh_block_index, ids)

    def _resize_table(self, size: int) -> None:
        self._table_keys = np.full(size, _EMPTY, np.int64)
        self._table_values = np.full(size, -1, np.int32)
        _fill_table(
            self._table_keys, self._table_values, self.mesh_block_index, self.child_count, self.mesh_block_slots
        )


def check_in_world(blocks: NDArray[np.int32]) -> None:
    """Raises ``InputError`` where block positions int32 [N, 3] cannot be hashed."""
    farthest = int(np.abs(blocks.astype(np.int64)).max()) if len(blocks) else 0
    if farthest >= WORLD_LIMIT_BLOCKS:
        raise InputError(f"voxel block {farthest} is too far out, expected below {WORLD_LIMIT_BLOCKS}")


def _physical_memory_bytes() -> int:
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _table_size(entries: int) -> int:
    return max(_MIN_TABLE, 1 << int(np.ceil(np.log2(2 * entries + 1))))


_EMPTY = np.int64(-1)


@numba.njit(cache=True, nogil=True)
def _key(x, y, z):  # type: ignore[no-untyped-def]
    return ((np.int64(x) + 1048576) << 42) | ((np.int64(y) + 1048576) << 21) | (np.int64(z) + 1048576)


@numba.njit(cache=True, nogil=True)
def _home(key, size):  # type: ignore[no-untyped-def]
    mixed = key * np.int64(-7046029254386353131)  # Fibonacci hashing
    return np.int64((mixed ^ (mixed >> 32)) & (size - 1))


@numba.njit(cache=True, nogil=True)
def _find(keys, values, key):  # type: ignore[no-untyped-def]
    at = _home(key, len(keys))
    while keys[at] != -1:
        if keys[at] == key:
            return values[at]
        at = (at + 1) & (len(keys) - 1)
    return np.int32(-1)


@numba.njit(cache=True, nogil=True)
def _put(keys, values, key, value):  # type: ignore[no-untyped-def]
    at = _home(key, len(keys))
    while keys[at] != -1:
        at = (at + 1) & (len(keys) - 1)
    keys[at] = key
    values[at] = value


@numba.njit(cache=True, nogil=True)
def _delete(keys, values, key):  # type: ignore[no-untyped-def]
    mask = len(keys) - 1
    hole = _home(key, len(keys))
    while keys[hole] != key:
        hole = (hole + 1) & mask
    at = hole
    while True:
        at = (at + 1) & mask
        if keys[at] == -1:
            break
        home = _home(keys[at], len(keys))
        if ((at - home) & mask) >= ((at - hole) & mask):  # may move back to the hole
            keys[hole] = keys[at]
            values[hole] = values[at]
            hole = at
    keys[hole] = -1
    values[hole] = -1


@numba.njit(cache=True, nogil=True)
def _fill_table(keys, values, mesh_block_index, child_count, count):  # type: ignore[no-untyped-def]
    for row in range(count):
        if child_count[row] > 0:
            index = mesh_block_index[row]
            _put(keys, values, _key(index[0], index[1], index[2]), np.int32(row))


@numba.njit(cache=True, nogil=True)
def _contains(keys, values, children, blocks):  # type: ignore[no-untyped-def]
    found = np.zeros(len(blocks), np.bool_)
    for n in range(len(blocks)):
        x, y, z = blocks[n, 0], blocks[n, 1], blocks[n, 2]
        row = _find(keys, values, _key(x >> 2, y >> 2, z >> 2))
        found[n] = row >= 0 and children[row, (x & 3) + 4 * (y & 3) + 16 * (z & 3)] >= 0
    return found


@numba.njit(cache=True, nogil=True)
def _mesh_block_exists(keys, values, index):  # type: ignore[no-untyped-def]
    found = np.zeros(len(index), np.bool_)
    for n in range(len(index)):
        found[n] = _find(keys, values, _key(index[n, 0], index[n, 1], index[n, 2])) >= 0
    return found


@numba.njit(cache=True, nogil=True)
def _insert(  # type: ignore[no-untyped-def]
    keys, values, children, child_count, mesh_block_index, block_index, change, tsdf, weight, color,
    free_slots, free_mesh_blocks, counts, blocks,
):  # fmt: skip
    slots = np.empty(len(blocks), np.int32)
    for n in range(len(blocks)):
        x, y, z = blocks[n, 0], blocks[n, 1], blocks[n, 2]
        key = _key(x >> 2, y >> 2, z >> 2)
        row = _find(keys, values, key)
        if row < 0:
            if counts[_FREE_MESH_BLOCKS] > 0:
                counts[_FREE_MESH_BLOCKS] -= 1
                row = free_mesh_blocks[counts[_FREE_MESH_BLOCKS]]
            else:
                row = np.int32(counts[_MESH_BLOCKS])
                counts[_MESH_BLOCKS] += 1
            mesh_block_index[row, 0], mesh_block_index[row, 1], mesh_block_index[row, 2] = x >> 2, y >> 2, z >> 2
            children[row, :] = -1
            child_count[row] = 0
            change[row] = 0
            _put(keys, values, key, row)
        child = (x & 3) + 4 * (y & 3) + 16 * (z & 3)
        slot = children[row, child]
        if slot < 0:
            if counts[_FREE_SLOTS] > 0:
                counts[_FREE_SLOTS] -= 1
                slot = free_slots[counts[_FREE_SLOTS]]
                tsdf[slot, :] = 0
                weight[slot, :] = 0
                color[slot, :] = 0
            else:
                slot = np.int32(counts[_SLOTS])
                counts[_SLOTS] += 1
            children[row, child] = slot
            child_count[row] += 1
            block_index[slot, 0], block_index[slot, 1], block_index[slot, 2] = x, y, z
        slots[n] = slot
    return slots


@numba.njit(cache=True, nogil=True)
def _remove(  # type: ignore[no-untyped-def]
    keys, values, children, child_count, mesh_block_index, block_index, free_slots, free_mesh_blocks, counts, slots
):
    for slot in slots:
        x, y, z = block_index[slot, 0], block_index[slot, 1], block_index[slot, 2]
        key = _key(x >> 2, y >> 2, z >> 2)
        row = _find(keys, values, key)
        children[row, (x & 3) + 4 * (y & 3) + 16 * (z & 3)] = -1
        child_count[row] -= 1
        free_slots[counts[_FREE_SLOTS]] = slot
        counts[_FREE_SLOTS] += 1
        if child_count[row] == 0:
            _delete(keys, values, key)
            free_mesh_blocks[counts[_FREE_MESH_BLOCKS]] = row
            counts[_FREE_MESH_BLOCKS] += 1


@numba.njit(cache=True, nogil=True)
def _spread_change(keys, values, block_index, slots, change, largest):  # type: ignore[no-untyped-def]
    """Largest change per mesh block. Voxels are read from up to 2 away: corners of cells, gradients at their ends."""
    for n in range(len(slots)):
        if change[n] == 0:
            continue
        x, y, z = block_index[slots[n], 0], block_index[slots[n], 1], block_index[slots[n], 2]
        for mz in range((z - 1) >> 2, ((z + 1) >> 2) + 1):
            for my in range((y - 1) >> 2, ((y + 1) >> 2) + 1):
                for mx in range((x - 1) >> 2, ((x + 1) >> 2) + 1):
                    row = _find(keys, values, _key(mx, my, mz))
                    if row >= 0:
                        largest[row] = max(largest[row], change[n])


@numba.njit(cache=True, nogil=True)
def _neighbours(keys, values, mesh_block_index, ids):  # type: ignore[no-untyped-def]
    result = np.empty((len(ids), 27), np.int32)
    for n in range(len(ids)):
        x, y, z = mesh_block_index[ids[n], 0], mesh_block_index[ids[n], 1], mesh_block_index[ids[n], 2]
        for k in range(27):
            result[n, k] = _find(keys, values, _key(x + k % 3 - 1, y + k // 3 % 3 - 1, z + k // 9 - 1))
    return result
