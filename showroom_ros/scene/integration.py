"""Fusing one depth image into voxel blocks (Curless and Levoy, 1996; Niessner et al., 2013), in numba.

Three steps, each parallel: ``prepare_pixels`` turns the view into two padded planes, ``blocks_near_surface``
lists the blocks the depth's truncation band passes through, ``visible_blocks`` finds the blocks the view can
say something about, and ``update_blocks`` averages its signed distances into them.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.se3 import inverse
from showroom_ros.scene.block_store import BLOCK_EDGE, BLOCK_VOXELS, MESH_BLOCK_EDGE, TSDF_UNITS, WEIGHT_UNITS
from showroom_ros.scene.view import View
from showroom_ros.settings import MapSettings

TILE = 16
"""Edge in pixels of the tiles whose farthest depth is known."""
INVALID = np.float32(-1e9)
"""Depth of pixels that say nothing: every voxel is far behind them."""
NEAR_VOXELS = 2.0
"""Only voxels this near to the surface can move it."""
COLOR_TOLERANCE = 16
"""Change of colour (of 255) that counts as much as the mesh tolerance."""

_CHUNKS = 16

HAS_COLOR = 1 << 30
APPEARED = 1 << 30


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
        np.float32(settings.min_depth_m), np.float32(settings.max_depth_m), pixels.depth, pixels.tile_max,
    )  # fmt: skip
    return pixels


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
def _prepare(depth, provenance, confidence, min_depth, max_depth, valid_depth, tile_max):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    for tile_row in numba.prange(tile_max.shape[0]):
        for v in range(tile_row * TILE, min(height, tile_row * TILE + TILE)):
            for u in range(width):
                d = depth[v, u]
                valid = (d >= min_depth) & (d <= max_depth) & (d > 0)
                valid_depth[v, u] = d if valid else INVALID
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
            for v in range(tile_row * TILE, min(height, tile_row * TILE + TILE)):
                for u in range(tile * TILE, min(width, tile * TILE + TILE)):
                    farthest = max(farthest, valid_depth[v, u])
            tile_max[tile_row, tile] = farthest


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
    for row in range(max(0.0, top) // TILE, min(height - 1.0, bottom) // TILE + 1):
        for column in range(max(0.0, left) // TILE, min(width - 1.0, right) // TILE + 1):
            if tile_max[np.int64(row), np.int64(column)] + truncation >= near:
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


def update_blocks(
    slots: NDArray[np.int32],
    block_index: NDArray[np.int32],
    tsdf: NDArray[np.int16],
    weight: NDArray[np.uint16],
    color: NDArray[np.uint32],
    pixels: Pixels,
    projection: Projection,
    view: View,
    settings: MapSettings,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Averages a view into the voxels of ``slots``.

    Returns:
        Voxels updated per slot, int32 [N], and how far the surface may have moved per slot in units of
        ``settings.mesh_tolerance_m``, float32 [N]; infinite where voxels appeared or changed provenance.
    """
    n = np.arange(BLOCK_VOXELS)
    steps = projection.columns @ np.stack([n % 8, n // 8 % 8, n // 64]).astype(np.float64)
    starts = projection.start[:, None] + projection.columns @ (block_index[slots].T.astype(np.float64) * BLOCK_EDGE)
    updated = np.zeros(len(slots), np.int32)
    change = np.zeros(len(slots), np.float32)
    tolerance = settings.mesh_tolerance_m / settings.truncation_m * TSDF_UNITS
    near = np.int32(
        NEAR_VOXELS * settings.voxel_size_m / settings.truncation_m * TSDF_UNITS if tolerance > 0 else APPEARED
    )
    _update(
        slots, np.ascontiguousarray(starts.T.astype(np.float32)), steps.astype(np.float32), tsdf, weight, color,
        *pixels[:4], np.float32(settings.truncation_m),
        np.int32(settings.max_weight * WEIGHT_UNITS), min_weight_units(settings),
        near, np.float32(1 / tolerance if tolerance > 0 else np.inf),
        np.float32(1 / (3 * 4 * COLOR_TOLERANCE) if tolerance > 0 else np.inf), settings.carve, updated, change,
    )  # fmt: skip
    return updated, change


def min_weight_units(settings: MapSettings) -> np.int32:
    """Stored weight from which a voxel takes part in the mesh."""
    return np.int32(max(1, np.ceil(settings.min_weight * WEIGHT_UNITS)))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _rounded(value):  # type: ignore[no-untyped-def]
    """To the nearest integer, for values within +-65536; far cheaper than rint."""
    return np.int32(value + np.float32(65536.5)) - np.int32(65536)


# The loops over a block's voxels below are free of branches, and read and write few arrays each, so that they
# are vectorised: four times faster than one obvious loop. ``volume_reference`` is that loop.


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _signed_distances(x0, y0, z0, steps, depth, pixel, sdf):  # type: ignore[no-untyped-def]
    """Pixel each voxel falls on, and its signed distance: depth minus z, hugely negative where unknown."""
    width = np.int32(depth.shape[1])
    u_end, v_end = np.float32(depth.shape[1]), np.float32(depth.shape[0])
    one, zero = np.float32(1), np.float32(0)
    for i in range(BLOCK_VOXELS):
        z = z0 + steps[2, i]
        in_front = z > np.float32(1e-3)
        per_z = one / (z if in_front else one)
        u = (x0 + steps[0, i]) * per_z
        v = (y0 + steps[1, i]) * per_z
        seen = in_front & (u >= zero) & (v >= zero) & (u < u_end) & (v < v_end)
        pixel[i] = np.int32(v if seen else zero) * width + np.int32(u if seen else zero)
        sdf[i] = z if seen else -INVALID
    flat = depth.reshape(-1)
    for i in range(BLOCK_VOXELS):
        sdf[i] = flat[np.uint32(pixel[i])] - sdf[i]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _observations(pixel, provenance, confidence, seen):  # type: ignore[no-untyped-def]
    """Weight << 2 | provenance of what each voxel's pixel says."""
    for i in range(BLOCK_VOXELS):
        seen[i] = WEIGHT_UNITS << 2 | 1
    if provenance.size > 0 or confidence.size > 0:
        for i in range(BLOCK_VOXELS):
            at = np.uint32(pixel[i])
            kind = np.int32(provenance[at]) if provenance.size > 0 else np.int32(1)
            sure = min(confidence[at], np.float32(1)) if confidence.size > 0 else np.float32(1)
            seen[i] = np.int32(sure * np.float32(WEIGHT_UNITS) + np.float32(0.5)) << 2 | kind


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _average_distances(sdf, seen, tsdf, weight, share, truncation, highest, max_units, min_units, near):  # type: ignore[no-untyped-def]
    """Running average of a block's distances; ``share`` is the observation's part in it, 0 where it has none.

    Returns how many voxels took part, and the largest change near the surface.
    """
    to_units = np.float32(TSDF_UNITS) / truncation
    updated, changed = np.int32(0), np.int32(0)
    for i in range(BLOCK_VOXELS):
        s = sdf[i]
        stored, said = np.int32(weight[i]), np.int32(seen[i])
        before, kind_before = stored >> np.int32(2), stored & np.int32(3)
        units, kind = said >> np.int32(2), said & np.int32(3)
        ok = (s >= -truncation) & (s <= highest) & ((before == 0) | (kind <= kind_before))
        kept = before if kind == kind_before else np.int32(0)
        part = np.float32(units) / np.float32(kept + units) if ok else np.float32(0)
        s = s if s < truncation else truncation
        s = s if s > -truncation else -truncation
        old = np.int32(tsdf[i])
        new = old + _rounded((s * to_units - np.float32(old)) * part)
        new = np.int32(1) if ok & (new == 0) else new
        after = kept + units if kept + units < max_units else max_units
        tsdf[i] = new
        weight[i] = after << np.int32(2) | kind if ok else stored
        share[i] = part
        updated += np.int32(1) if ok else np.int32(0)
        appeared = ok & ((kind != kind_before) | ((before < min_units) & (after >= min_units)))
        is_near = (abs(new) < near) | (abs(old) < near) | ((new < 0) != (old < 0))
        moved = abs(new - old) if is_near else np.int32(0)
        moved = np.int32(APPEARED) if appeared else moved
        changed = moved if moved > changed else changed
    return updated, changed


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _average_colors(image, pixel, sdf, truncation, share, seen, color):  # type: ignore[no-untyped-def]
    """Running average of the colours of voxels in the band; returns the largest change, R + G + B, times 4."""
    for i in range(BLOCK_VOXELS):
        at = np.uint32(3 * pixel[i])
        seen[i] = np.int32(image[at]) | np.int32(image[at + 1]) << 8 | np.int32(image[at + 2]) << 16
        share[i] = share[i] if sdf[i] < truncation else np.float32(0)
    half = np.float32(0.5)
    changed = np.int32(0)
    for i in range(BLOCK_VOXELS):
        old, new, part = np.int32(color[i]), seen[i], share[i]
        part = np.float32(1) if (part > 0) & (old & HAS_COLOR == 0) else part
        r, g, b = np.float32(old & 1023), np.float32(old >> 10 & 1023), np.float32(old >> 20 & 1023)
        dr = (np.float32(new << 2 & 1020) - r) * part
        dg = (np.float32(new >> 6 & 1020) - g) * part
        db = (np.float32(new >> 14 & 1020) - b) * part
        flag = HAS_COLOR if part > 0 else old & HAS_COLOR
        color[i] = np.int32(r + dr + half) | np.int32(g + dg + half) << 10 | np.int32(b + db + half) << 20 | flag
        moved = np.int32(abs(dr) + abs(dg) + abs(db))
        changed = moved if moved > changed else changed
    return changed


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def _update(  # type: ignore[no-untyped-def]
    slots, starts, steps, tsdf, weight, color, depth, image, provenance, confidence, truncation, max_units,
    min_units, near, per_tolerance, per_color_tolerance, carve, updated, change,
):  # fmt: skip
    highest = np.float32(1e8) if carve else truncation
    for n in numba.prange(len(slots)):
        slot = slots[n]
        sdf, share = np.empty(BLOCK_VOXELS, np.float32), np.empty(BLOCK_VOXELS, np.float32)
        pixel, seen = np.empty(BLOCK_VOXELS, np.int32), np.empty(BLOCK_VOXELS, np.int32)
        _signed_distances(starts[n, 0], starts[n, 1], starts[n, 2], steps, depth, pixel, sdf)
        _observations(pixel, provenance.reshape(-1), confidence.reshape(-1), seen)
        updated[n], moved = _average_distances(
            sdf, seen, tsdf[slot], weight[slot], share, truncation, highest, max_units, min_units, near
        )
        change[n] = np.float32(moved) * per_tolerance if moved > 0 else np.float32(0)
        if updated[n] > 0:
            painted = _average_colors(image.reshape(-1), pixel, sdf, truncation, share, seen, color[slot])
            if painted > 0:
                change[n] = max(change[n], np.float32(painted) * per_color_tolerance)
