"""What one view can say to the volume: which of its pixels, about which blocks (numba).

``prepare_pixels`` keeps the depth worth fusing, ``blocks_near_surface`` lists the blocks its truncation band
passes through, and ``visible_blocks`` finds the allocated blocks the view can say something about.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.se3 import inverse
from showroom_ros.scene.block_store import BLOCK_EDGE, MESH_BLOCK_EDGE, WEIGHT_UNITS
from showroom_ros.scene.view import View
from showroom_ros.settings import MapSettings

TILE = 16
"""Edge in pixels of the tiles whose farthest depth is known."""
REACH = 2
"""How far away in pixels the neighbours are that must continue a pixel's surface."""
INVALID = np.float32(-1e9)
"""Depth of pixels that say nothing: every voxel is far behind them."""

_CHUNKS = 16


class Pixels(NamedTuple):
    """A view made ready.

    Attributes:
        depth: float32 [H, W], metres or ``INVALID``.
        image: uint8 [H, W, 3].
        provenance: uint8 [H, W], or empty where all is measured.
        confidence: float32 [H, W], or empty where all is certain.
        tile_max: float32 [ceil(H / 16), ceil(W / 16)], farthest valid depth per tile or ``INVALID``.
    """

    depth: NDArray[np.float32]
    image: NDArray[np.uint8]
    provenance: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    tile_max: NDArray[np.float32]


class Projection(NamedTuple):
    """How integer voxel positions map to pixels: ``(u z, v z, z) = start + columns @ voxel``.

    Attributes:
        start: float64 [3].
        columns: float64 [3, 3], in voxels.
        T_camera_world: float64 [4, 4].
        K: (fx, fy, cx, cy) in pixels.
    """

    start: NDArray[np.float64]
    columns: NDArray[np.float64]
    T_camera_world: NDArray[np.float64]
    K: tuple[float, float, float, float]

    @staticmethod
    def of(view: View, voxel_size_m: float) -> Projection:
        """Projection of voxels into ``view``; truncating (u, v) rounds to the nearest pixel."""
        camera, T_camera_world = view.camera, inverse(view.require_pose())
        to_pixels = np.array([[camera.fx, 0, camera.cx + 0.5], [0, camera.fy, camera.cy + 0.5], [0, 0, 1]])
        columns = to_pixels @ T_camera_world[:3, :3] * voxel_size_m
        K = (camera.fx, camera.fy, camera.cx, camera.cy)
        return Projection(to_pixels @ T_camera_world[:3, 3], columns, T_camera_world, K)


def prepare_pixels(view: View, settings: MapSettings) -> Pixels:
    """The planes ``update_blocks`` reads; depth out of range or of unknown provenance says nothing."""
    height, width = view.camera.height, view.camera.width
    none = np.zeros((0, 0))
    pixels = Pixels(
        np.empty((height, width), np.float32),
        np.ascontiguousarray(view.image),
        np.ascontiguousarray(none if view.provenance is None else view.provenance, np.uint8),
        np.ascontiguousarray(none if view.confidence is None else view.confidence, np.float32),
        np.empty((-(-height // TILE), -(-width // TILE)), np.float32),
    )
    _prepare(
        np.ascontiguousarray(view.require_depth()), pixels.provenance, pixels.confidence,
        np.float32(settings.min_depth_m), np.float32(settings.max_depth_m), *steepest(view, settings),
        pixels.depth, pixels.tile_max,
    )  # fmt: skip
    return pixels


def steepest(view: View, settings: MapSettings) -> tuple[np.float32, np.float32]:
    """Largest change of depth to a pixel ``REACH`` away along u and along v, as a share of the depth.

    A plane seen at angle a to its normal changes by tan(a) / f per pixel. A pixel is kept where one neighbour of
    the two along each axis continues it: so edges of objects stay, and pixels between two surfaces go.
    """
    if settings.max_incidence_deg >= 90:
        return np.float32(np.inf), np.float32(np.inf)
    slope = REACH * np.tan(np.radians(settings.max_incidence_deg))
    return np.float32(slope / view.camera.fx), np.float32(slope / view.camera.fy)


def ray_samples(settings: MapSettings, view: View) -> tuple[int, NDArray[np.float64]]:
    """Pixel stride and offsets in metres along depth at which blocks are allocated.

    Samples are at most half a block apart sideways and a third of one in depth.
    """
    block_m = settings.voxel_size_m * BLOCK_EDGE
    stride = int(np.clip(0.5 * block_m * min(view.camera.fx, view.camera.fy) / settings.max_depth_m, 1, 4))
    count = max(4, int(np.ceil(2 * settings.truncation_m / (block_m / 3))) + 1)
    return stride, np.linspace(-settings.truncation_m, settings.truncation_m, count)


def blocks_near_surface(pixels: Pixels, view: View, settings: MapSettings) -> NDArray[np.int32]:
    """Blocks int32 [N, 3] the truncation band of the depth passes through; may hold duplicates."""
    stride, offsets = ray_samples(settings, view)
    K = np.array([view.camera.fx, view.camera.fy, view.camera.cx, view.camera.cy])
    found, counts = _near_surface(
        pixels.depth, view.camera.height, view.camera.width, stride, offsets, K,
        view.require_pose(), 1.0 / (settings.voxel_size_m * BLOCK_EDGE),
    )  # fmt: skip
    return np.concatenate([found[chunk, :count] for chunk, count in enumerate(counts)])


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def _prepare(  # type: ignore[no-untyped-def]
    depth, provenance, confidence, min_depth, max_depth, steep_u, steep_v, valid_depth, tile_max
):
    height, width = depth.shape
    for tile_row in numba.prange(tile_max.shape[0]):
        rows = range(tile_row * TILE, min(height, tile_row * TILE + TILE))
        for v in rows:
            at_border = v < REACH or v >= height - REACH
            above, below = depth[v if at_border else v - REACH], depth[v if at_border else v + REACH]
            _usable_row(depth[v], above, below, min_depth, max_depth, steep_u, steep_v, valid_depth[v])
            if provenance.size > 0:
                for u in range(width):
                    if provenance[v, u] == 0 or provenance[v, u] > 3:
                        valid_depth[v, u] = INVALID
            if confidence.size > 0:
                for u in range(width):
                    if not confidence[v, u] * WEIGHT_UNITS >= 0.5:
                        valid_depth[v, u] = INVALID
        for tile in range(tile_max.shape[1]):
            farthest = INVALID
            for v in rows:
                for u in range(tile * TILE, min(width, tile * TILE + TILE)):
                    farthest = max(farthest, valid_depth[v, u])
            tile_max[tile_row, tile] = farthest


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _usable_row(row, above, below, min_depth, max_depth, steep_u, steep_v, out):  # type: ignore[no-untyped-def]
    """Keeps depth in range that some neighbour continues, along both axes."""
    for u in range(REACH, len(row) - REACH):
        d = row[u]
        smooth_u = (abs(row[u - REACH] - d) <= d * steep_u) | (abs(row[u + REACH] - d) <= d * steep_u)
        smooth_v = (abs(above[u] - d) <= d * steep_v) | (abs(below[u] - d) <= d * steep_v)
        keep = (d >= min_depth) & (d <= max_depth) & (d > 0) & smooth_u & smooth_v
        out[u] = d if keep else INVALID
    for side in range(2):
        for n in range(min(REACH, len(row))):
            u = n if side == 0 else len(row) - 1 - n
            d = row[u]
            smooth_v = (abs(above[u] - d) <= d * steep_v) | (abs(below[u] - d) <= d * steep_v)
            out[u] = d if (d >= min_depth) & (d <= max_depth) & (d > 0) & smooth_v else INVALID


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def _near_surface(depth, height, width, stride, offsets, K, T_world_camera, per_block):  # type: ignore[no-untyped-def]
    rows = (height + stride - 1) // stride
    rows_per_chunk = (rows + _CHUNKS - 1) // _CHUNKS
    columns = (width + stride - 1) // stride
    found = np.empty((_CHUNKS, rows_per_chunk * columns * len(offsets), 3), np.int32)
    counts = np.zeros(_CHUNKS, np.int64)
    T = T_world_camera
    for chunk in numba.prange(_CHUNKS):
        seen = np.full((1024, 3), -(2**31), np.int32)  # recently found blocks, direct mapped
        count = 0
        for row in range(chunk * rows_per_chunk, min(rows, (chunk + 1) * rows_per_chunk)):
            v = row * stride
            for u in range(0, width, stride):
                d = depth[v, u]
                if d < 0:
                    continue
                x, y = (u - K[2]) / K[0], (v - K[3]) / K[1]
                rx = (T[0, 0] * x + T[0, 1] * y + T[0, 2]) * per_block
                ry = (T[1, 0] * x + T[1, 1] * y + T[1, 2]) * per_block
                rz = (T[2, 0] * x + T[2, 1] * y + T[2, 2]) * per_block
                for n in range(len(offsets)):
                    z = max(d + offsets[n], 0.0)
                    bx = np.int32(np.floor(T[0, 3] * per_block + rx * z))
                    by = np.int32(np.floor(T[1, 3] * per_block + ry * z))
                    bz = np.int32(np.floor(T[2, 3] * per_block + rz * z))
                    at = (bx * 73 + by * 1031 + bz * 7919) & 1023
                    if seen[at, 0] != bx or seen[at, 1] != by or seen[at, 2] != bz:
                        seen[at, 0], seen[at, 1], seen[at, 2] = bx, by, bz
                        found[chunk, count, 0], found[chunk, count, 1], found[chunk, count, 2] = bx, by, bz
                        count += 1
        counts[chunk] = count
    return found, counts


def visible_blocks(
    mesh_block_index: NDArray[np.int32],
    children: NDArray[np.int32],
    child_count: NDArray[np.int32],
    projection: Projection,
    pixels: Pixels,
    view: View,
    settings: MapSettings,
) -> NDArray[np.int32]:
    """Slots int32 [N] of the allocated blocks with a voxel that may be in view and not far behind the depth."""
    slots = np.empty(int(child_count.sum()), np.int32)
    count = _visible(
        mesh_block_index, children, child_count, projection.T_camera_world, np.array(projection.K),
        view.camera.height, view.camera.width, pixels.tile_max, settings.voxel_size_m, settings.truncation_m, slots,
    )  # fmt: skip
    return slots[:count]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _may_see(x, y, z, half, T, K, height, width, tile_max, truncation):  # type: ignore[no-untyped-def]
    """Whether a cube (centre in the world, half edge) may hold a voxel the depth says something about."""
    cx = T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]
    cy = T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]
    cz = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
    ex = half * (abs(T[0, 0]) + abs(T[0, 1]) + abs(T[0, 2]))
    ey = half * (abs(T[1, 0]) + abs(T[1, 1]) + abs(T[1, 2]))
    ez = half * (abs(T[2, 0]) + abs(T[2, 1]) + abs(T[2, 2]))
    near, far = cz - ez, cz + ez
    if far <= 0:
        return False
    left, right, top, bottom = 0.0, width - 1.0, 0.0, height - 1.0
    if near > 1e-3:
        left = K[0] * min((cx - ex) / near, (cx - ex) / far) + K[2] - 1
        right = K[0] * max((cx + ex) / near, (cx + ex) / far) + K[2] + 1
        top = K[1] * min((cy - ey) / near, (cy - ey) / far) + K[3] - 1
        bottom = K[1] * max((cy + ey) / near, (cy + ey) / far) + K[3] + 1
        if right < 0 or left > width - 1 or bottom < 0 or top > height - 1:
            return False
    first_row, first_column = int(max(0.0, top)) // TILE, int(max(0.0, left)) // TILE
    last_row, last_column = int(min(height - 1.0, bottom)) // TILE, int(min(width - 1.0, right)) // TILE
    for row in range(first_row, last_row + 1):
        for column in range(first_column, last_column + 1):
            if tile_max[row, column] + truncation >= near:
                return True
    return False


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _visible(mesh_block_index, children, child_count, T, K, height, width, tile_max, voxel, truncation, slots):  # type: ignore[no-untyped-def]
    count = 0
    block = voxel * BLOCK_EDGE
    edge = block * MESH_BLOCK_EDGE
    # voxel n of a block lies at its corner + n voxels: the cube spanned by voxels is one voxel short
    half_block, half_mesh_block = 0.5 * (block - voxel), 0.5 * (edge - voxel)
    for row in range(len(mesh_block_index)):
        if child_count[row] == 0:
            continue
        x, y, z = mesh_block_index[row, 0] * edge, mesh_block_index[row, 1] * edge, mesh_block_index[row, 2] * edge
        h = half_mesh_block
        if not _may_see(x + h, y + h, z + h, h, T, K, height, width, tile_max, truncation):
            continue
        h = half_block
        for child in range(children.shape[1]):
            slot = children[row, child]
            if slot >= 0:
                bx, by, bz = x + block * (child & 3), y + block * (child >> 2 & 3), z + block * (child >> 4)
                if _may_see(bx + h, by + h, bz + h, h, T, K, height, width, tile_max, truncation):
                    slots[count] = slot
                    count += 1
    return count
