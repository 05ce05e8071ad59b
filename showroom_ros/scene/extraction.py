"""Marching cubes over mesh blocks of the sparse volume, in numba.

A mesh block owns the 32^3 cells whose lowest corner lies in it, and reads its neighbours' voxels for the
cells and gradients that reach over. So what it yields does not depend on which others are meshed with it, and
the mesh blocks together are exactly the mesh of the whole.

Signs are kept as one word per row of 33 voxels, so that cells and edges the surface crosses are found 32 at a
time with bit operations, and the number of a vertex is a count of bits (after Schroeder et al., Flying
Edges, 2015). Positions are interpolated along edges, normals are the gradient of the signed distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from showroom_ros.scene.block_store import BLOCK_EDGE, HAS_COLOR, MESH_BLOCK_EDGE, BlockStore
from showroom_ros.scene.marching_cubes import triangle_table
from showroom_ros.scene.mesh import BlockIndex, Mesh

EDGE = BLOCK_EDGE * MESH_BLOCK_EDGE
"""Cells along the edge of a mesh block."""

_ROWS = EDGE + 1
_FIELD = EDGE + 3
_BATCH = 256
_COUNTS, _TABLE = triangle_table()


@dataclass(frozen=True, eq=False)
class Extracted:
    """Meshes of several mesh blocks, one after the other.

    Attributes:
        mesh: all of them; triangles count vertices from the start of their own mesh block.
        keys: int64 [V], the edge of the grid each vertex lies on: the same for the same vertex in two blocks.
        vertex_starts, triangle_starts: int64 [N + 1].
    """

    mesh: Mesh
    keys: NDArray[np.int64]
    vertex_starts: NDArray[np.int64]
    triangle_starts: NDArray[np.int64]

    def block(self, n: int) -> Mesh:
        """A copy of the mesh of mesh block number ``n``."""
        v = slice(self.vertex_starts[n], self.vertex_starts[n + 1])
        t = slice(self.triangle_starts[n], self.triangle_starts[n + 1])
        mesh = self.mesh
        return Mesh(
            mesh.vertices[v].copy(), mesh.triangles[t].copy(), mesh.colors[v].copy(), mesh.normals[v].copy(),
            mesh.provenance[v].copy(),
        )  # fmt: skip


def extract_blocks(
    store: BlockStore, ids: NDArray[np.int32], voxel_size_m: float, min_units: np.int32
) -> dict[BlockIndex, Mesh]:
    """Meshes of the mesh blocks in rows ``ids`` int32 [N]; those without any triangle are left out.

    Args:
        store: the voxels.
        ids: rows of ``store.mesh_block_index``.
        voxel_size_m: edge of a voxel.
        min_units: stored weight from which a voxel counts.
    """
    blocks = {}
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        extracted = _extract(store, batch, voxel_size_m, min_units)
        for n, index in enumerate(store.mesh_block_index[batch].tolist()):
            if extracted.triangle_starts[n + 1] > extracted.triangle_starts[n]:
                blocks[tuple(index)] = extracted.block(n)
    return blocks


def extract_whole(store: BlockStore, voxel_size_m: float, min_units: np.int32) -> Mesh:
    """The mesh of everything, with the vertices mesh blocks share made one."""
    ids = store.mesh_block_ids()
    order = np.lexsort(store.mesh_block_index[ids].T)  # the same map gives the same file
    ids = ids[order]
    parts, keys = [], []
    for start in range(0, len(ids), _BATCH):
        extracted = _extract(store, ids[start : start + _BATCH], voxel_size_m, min_units)
        first = np.repeat(extracted.vertex_starts[:-1], np.diff(extracted.triangle_starts)).astype(np.int32)
        mesh = extracted.mesh
        parts.append(Mesh(mesh.vertices, mesh.triangles + first[:, None], mesh.colors, mesh.normals, mesh.provenance))
        keys.append(extracted.keys)
    if not parts:
        return Mesh.empty()
    return _welded(Mesh.concatenate(parts), np.concatenate(keys))


def _welded(mesh: Mesh, keys: NDArray[np.int64]) -> Mesh:
    _, first, number = np.unique(keys, return_index=True, return_inverse=True)
    triangles = number[mesh.triangles].astype(np.int32)
    return Mesh(mesh.vertices[first], triangles, mesh.colors[first], mesh.normals[first], mesh.provenance[first])


def _extract(store: BlockStore, ids: NDArray[np.int32], voxel_size_m: float, min_units: np.int32) -> Extracted:
    neighbours = store.neighbours(ids)
    negative = np.empty((len(ids), _ROWS, _ROWS), np.uint64)
    active = np.empty((len(ids), EDGE, EDGE), np.uint64)
    counts = np.zeros((2, len(ids)), np.int64)
    _classify(neighbours, store.children, store.tsdf, store.weight, min_units, _COUNTS, negative, active, counts)
    starts = np.zeros((2, len(ids) + 1), np.int64)
    np.cumsum(counts, axis=1, out=starts[:, 1:])
    vertices, triangles = int(starts[0, -1]), int(starts[1, -1])
    mesh = Mesh(
        np.empty((vertices, 3), np.float32),
        np.empty((triangles, 3), np.int32),
        np.empty((vertices, 3), np.uint8),
        np.empty((vertices, 3), np.float32),
        np.empty(vertices, np.uint8),
    )
    keys = np.empty(vertices, np.int64)
    _triangulate(
        neighbours, store.children, store.tsdf, store.weight, store.color, min_units, _TABLE, _COUNTS, negative, active,
        store.mesh_block_index[ids], voxel_size_m, starts,
        mesh.vertices, mesh.triangles, mesh.colors, mesh.normals, mesh.provenance, keys,
    )  # fmt: skip
    return Extracted(mesh, keys, starts[0], starts[1])


@numba.njit(cache=True, nogil=True)
def _ones(word):  # type: ignore[no-untyped-def]
    """Number of bits set in a 64-bit word."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@numba.njit(cache=True, nogil=True)
def _lowest(word):  # type: ignore[no-untyped-def]
    """Position of the lowest bit set."""
    return _ones((word & (~word + np.uint64(1))) - np.uint64(1))


@numba.njit(cache=True, nogil=True)
def _slot_grid(neighbours, children, grid):  # type: ignore[no-untyped-def]
    """Slots int32 [6, 6, 6] (z, y, x) of the blocks -1 to 4 of a mesh block, or -1."""
    for z in range(-1, 5):
        for y in range(-1, 5):
            for x in range(-1, 5):
                row = neighbours[((x >> 2) + 1) + 3 * ((y >> 2) + 1) + 9 * ((z >> 2) + 1)]
                grid[z + 1, y + 1, x + 1] = children[row, (x & 3) + 4 * (y & 3) + 16 * (z & 3)] if row >= 0 else -1


@numba.njit(cache=True, nogil=True)
def _gather(grid, tsdf, weight, min_units, field):  # type: ignore[no-untyped-def]
    """Distances int16 [35, 35, 35] (z, y, x) of the voxels -1 to 33 of a mesh block; 0 where unknown."""
    field[:] = 0
    least = np.uint16(min_units << 2)
    for bz in range(6):
        z0, z1 = (7, 8) if bz == 0 else ((0, 8) if bz < 5 else (0, 2))
        for by in range(6):
            y0, y1 = (7, 8) if by == 0 else ((0, 8) if by < 5 else (0, 2))
            for bx in range(6):
                if grid[bz, by, bx] < 0:
                    continue
                distances, weights = tsdf[grid[bz, by, bx]], weight[grid[bz, by, bx]]
                for z in range(z0, z1):
                    for y in range(y0, y1):
                        row = field[8 * bz + z - 7, 8 * by + y - 7]
                        start = np.uint32(8 * y + 64 * z)
                        if 0 < bx < 5:
                            target = np.uint32(8 * bx - 7)
                            for x in range(np.uint32(8)):  # constant, so that it is vectorised
                                known = weights[start + x] >= least
                                row[target + x] = distances[start + x] if known else np.int16(0)
                        elif bx == 0:
                            row[0] = distances[start + np.uint32(7)] if weights[start + np.uint32(7)] >= least else 0
                        else:
                            row[33] = distances[start] if weights[start] >= least else 0
                            row[34] = distances[start + np.uint32(1)] if weights[start + np.uint32(1)] >= least else 0


@numba.njit(parallel=True, cache=True, nogil=True)
def _classify(neighbours, children, tsdf, weight, min_units, case_counts, negative, active, counts):  # type: ignore[no-untyped-def]
    """Per mesh block: sign words, cells the surface passes, and numbers of vertices and triangles."""
    for n in numba.prange(len(neighbours)):
        grid = np.empty((6, 6, 6), np.int32)
        field = np.empty((_FIELD, _FIELD, _FIELD), np.int16)
        known = np.empty((_ROWS, _ROWS), np.uint64)
        edges = np.empty((3, _ROWS, _ROWS), np.uint64)
        _slot_grid(neighbours[n], children, grid)
        _gather(grid, tsdf, weight, min_units, field)
        _sign_words(grid, field, negative[n], known)
        counts[1, n] = _active_cells(negative[n], known, case_counts, active[n])
        if counts[1, n] > 0:
            _crossed_edges(negative[n], active[n], edges)
            for axis in range(3):
                for z in range(_ROWS):
                    for y in range(_ROWS):
                        counts[0, n] += _ones(edges[axis, z, y])


@numba.njit(cache=True, nogil=True)
def _sign_words(grid, field, negative, known):  # type: ignore[no-untyped-def]
    for z in range(_ROWS):
        for y in range(_ROWS):
            signs, there = np.uint64(0), np.uint64(0)
            for bx in range(1, 6):
                if grid[(z >> 3) + 1, (y >> 3) + 1, bx] < 0:
                    continue
                for x in range(8 * bx - 8, min(8 * bx, _ROWS)):
                    value = field[z + 1, y + 1, x + 1]
                    signs |= np.uint64(value < 0) << np.uint64(x)
                    there |= np.uint64(value != 0) << np.uint64(x)
            negative[z, y] = signs
            known[z, y] = there


@numba.njit(cache=True, nogil=True)
def _active_cells(negative, known, case_counts, active):  # type: ignore[no-untyped-def]
    """Marks the cells with all corners known and signs that differ; returns their number of triangles."""
    triangles = 0
    one, cells = np.uint64(1), np.uint64(2**EDGE - 1)
    for z in range(EDGE):
        for y in range(EDGE):
            there = known[z, y] & known[z, y + 1] & known[z + 1, y] & known[z + 1, y + 1]
            some = negative[z, y] | negative[z, y + 1] | negative[z + 1, y] | negative[z + 1, y + 1]
            every = negative[z, y] & negative[z, y + 1] & negative[z + 1, y] & negative[z + 1, y + 1]
            word = there & (there >> one) & (some | (some >> one)) & ~(every & (every >> one)) & cells
            active[z, y] = word
            while word != 0:
                triangles += case_counts[_case(negative, z, y, np.uint64(_lowest(word)))]
                word &= word - one
    return triangles


@numba.njit(cache=True, nogil=True)
def _case(negative, z, y, x):  # type: ignore[no-untyped-def]
    """Signs of a cell's corners as bits x + 2 y + 4 z."""
    three = np.uint64(3)
    return (
        (negative[z, y] >> x & three)
        | (negative[z, y + 1] >> x & three) << np.uint64(2)
        | (negative[z + 1, y] >> x & three) << np.uint64(4)
        | (negative[z + 1, y + 1] >> x & three) << np.uint64(6)
    )


@numba.njit(cache=True, nogil=True)
def _crossed_edges(negative, active, edges):  # type: ignore[no-untyped-def]
    """Words [3, 33, 33] (axis, z, y) of the edges along x, y, z that have a vertex: signs differ, a cell uses it."""
    one = np.uint64(1)
    edges[:] = 0
    for z in range(_ROWS):
        for y in range(_ROWS):
            here = active[z, y] if z < EDGE and y < EDGE else np.uint64(0)
            below_y = active[z, y - 1] if z < EDGE and y > 0 else np.uint64(0)
            below_z = active[z - 1, y] if z > 0 and y < EDGE else np.uint64(0)
            below_yz = active[z - 1, y - 1] if z > 0 and y > 0 else np.uint64(0)
            sign = negative[z, y]
            edges[0, z, y] = (sign ^ (sign >> one)) & (here | below_y | below_z | below_yz)
            if y < EDGE:
                used = here | below_z
                edges[1, z, y] = (sign ^ negative[z, y + 1]) & (used | (used << one))
            if z < EDGE:
                used = here | below_y
                edges[2, z, y] = (sign ^ negative[z + 1, y]) & (used | (used << one))


@numba.njit(parallel=True, cache=True, nogil=True)
def _triangulate(  # type: ignore[no-untyped-def]
    neighbours, children, tsdf, weight, color, min_units, table, case_counts, negative, active, index, voxel, starts,
    vertices, triangles, colors, normals, provenance, keys,
):  # fmt: skip
    for n in numba.prange(len(neighbours)):
        if starts[1, n + 1] == starts[1, n]:
            continue
        grid = np.empty((6, 6, 6), np.int32)
        field = np.empty((_FIELD, _FIELD, _FIELD), np.int16)
        edges = np.empty((3, _ROWS, _ROWS), np.uint64)
        first = np.empty((3, _ROWS, _ROWS), np.int32)
        _slot_grid(neighbours[n], children, grid)
        _gather(grid, tsdf, weight, min_units, field)
        _crossed_edges(negative[n], active[n], edges)
        x0, y0, z0 = index[n, 0] * EDGE, index[n, 1] * EDGE, index[n, 2] * EDGE
        at = starts[0, n]
        for axis in range(3):
            for z in range(_ROWS):
                for y in range(_ROWS):
                    first[axis, z, y] = at - starts[0, n]
                    word = edges[axis, z, y]
                    while word != 0:
                        x = _lowest(word)
                        word &= word - np.uint64(1)
                        _vertex(
                            grid, field, weight, color, axis, x, y, z, x0, y0, z0, voxel,
                            vertices, colors, normals, provenance, keys, at,
                        )  # fmt: skip
                        at += 1
        _triangles(negative[n], active[n], edges, first, table, case_counts, triangles, starts[1, n])


@numba.njit(cache=True, nogil=True)
def _slope(field, z, y, x, dz, dy, dx):  # type: ignore[no-untyped-def]
    """Central difference at a voxel of the field, one-sided where a side is unknown."""
    before, here, after = field[z - dz, y - dy, x - dx], field[z, y, x], field[z + dz, y + dy, x + dx]
    if before != 0 and after != 0:
        return np.float32(0.5) * np.float32(np.int32(after) - np.int32(before))
    if after != 0:
        return np.float32(np.int32(after) - np.int32(here))
    if before != 0:
        return np.float32(np.int32(here) - np.int32(before))
    return np.float32(0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _vertex(  # type: ignore[no-untyped-def]
    grid, field, weight, color, axis, x, y, z, x0, y0, z0, voxel, position, rgb, normal, kind, key, at
):
    """Everything about vertex ``at``, on the edge from voxel (x, y, z) along ``axis``."""
    dx, dy, dz = np.int64(axis == 0), np.int64(axis == 1), np.int64(axis == 2)
    i, j, k = x + 1, y + 1, z + 1
    a, b = np.int32(field[k, j, i]), np.int32(field[k + dz, j + dy, i + dx])
    t = np.float64(a) / np.float64(a - b)
    gx, gy, gz = x0 + x, y0 + y, z0 + z
    position[at, 0], position[at, 1], position[at, 2] = (
        (gx + t * dx) * voxel,
        (gy + t * dy) * voxel,
        (gz + t * dz) * voxel,
    )
    key[at] = ((gx + 2**19) & 0xFFFFF) << 42 | ((gy + 2**19) & 0xFFFFF) << 22 | ((gz + 2**19) & 0xFFFFF) << 2 | axis

    p, q = np.float32(1 - t), np.float32(t)
    nx = p * _slope(field, k, j, i, 0, 0, 1) + q * _slope(field, k + dz, j + dy, i + dx, 0, 0, 1)
    ny = p * _slope(field, k, j, i, 0, 1, 0) + q * _slope(field, k + dz, j + dy, i + dx, 0, 1, 0)
    nz = p * _slope(field, k, j, i, 1, 0, 0) + q * _slope(field, k + dz, j + dy, i + dx, 1, 0, 0)
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    if length == 0:
        side = np.float32(1 if b > a else -1)
        nx, ny, nz, length = side * dx, side * dy, side * dz, np.float32(1)
    normal[at, 0], normal[at, 1], normal[at, 2] = nx / length, ny / length, nz / length

    slot0, i0 = grid[(z >> 3) + 1, (y >> 3) + 1, (x >> 3) + 1], (x & 7) + 8 * (y & 7) + 64 * (z & 7)
    x, y, z = x + dx, y + dy, z + dz
    slot1, i1 = grid[(z >> 3) + 1, (y >> 3) + 1, (x >> 3) + 1], (x & 7) + 8 * (y & 7) + 64 * (z & 7)
    kind[at] = max(weight[slot0, i0] & 3, weight[slot1, i1] & 3)
    c0, c1 = np.int64(color[slot0, i0]), np.int64(color[slot1, i1])
    c0 = c0 if c0 & HAS_COLOR else c1
    c1 = c1 if c1 & HAS_COLOR else c0
    for channel in range(3):
        shift = 10 * channel
        mixed = p * np.float32(c0 >> shift & 1023) + q * np.float32(c1 >> shift & 1023)
        rgb[at, channel] = np.uint8(min(mixed * np.float32(0.25) + np.float32(0.5), np.float32(255)))


@numba.njit(cache=True, nogil=True)
def _triangles(negative, active, edges, first, table, case_counts, out, at):  # type: ignore[no-untyped-def]
    one = np.uint64(1)
    for z in range(EDGE):
        for y in range(EDGE):
            word = active[z, y]
            while word != 0:
                x = np.uint64(_lowest(word))
                word &= word - one
                case = _case(negative, z, y, x)
                for n in range(case_counts[case]):
                    for corner in range(3):
                        # edges are numbered 4 axis + k; k counts the corners without the axis' bit
                        axis, k = table[case, n, corner] >> 2, table[case, n, corner] & 3
                        low = k << 1 if axis == 0 else (k & 1 | (k & 2) << 1 if axis == 1 else k)
                        ey, ez, ex = y + (low >> 1 & 1), z + (low >> 2), x + np.uint64(low & 1)
                        before = edges[axis, ez, ey] & ((one << ex) - one)
                        out[at, corner] = first[axis, ez, ey] + _ones(before)
                    at += 1
