"""Averaging one view into voxel blocks (Curless and Levoy, 1996; Niessner et al., 2013), in numba."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from showroom_ros.scene.block_store import BLOCK_EDGE, BLOCK_VOXELS, HAS_COLOR, TSDF_UNITS, WEIGHT_UNITS
from showroom_ros.scene.view import View
from showroom_ros.scene.view_pixels import INVALID, Pixels, Projection
from showroom_ros.settings import MapSettings

COLOR_TOLERANCE = 16
"""Change of colour (of 255) that counts as much as the mesh tolerance."""
APPEARED = 1 << 30
"""Change of a voxel that was not there before, or had another provenance."""


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
    _update(
        slots, np.ascontiguousarray(starts.T.astype(np.float32)), steps.astype(np.float32), tsdf, weight, color,
        *pixels[:4], np.float32(settings.truncation_m),
        np.int32(settings.max_weight * WEIGHT_UNITS), min_weight_units(settings),
        np.float32(1 / tolerance if tolerance > 0 else np.inf),
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
def _average_distances(sdf, seen, tsdf, weight, share, truncation, highest, max_units, min_units):  # type: ignore[no-untyped-def]
    """Running average of a block's distances; ``share`` is the observation's part in it, 0 where it has none.

    Returns how many voxels took part, and the largest change.
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
        moved = np.int32(APPEARED) if appeared else abs(new - old)
        changed = moved if moved > changed else changed
    return updated, changed


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _average_colors(image, pixel, sdf, truncation, share, seen, color):  # type: ignore[no-untyped-def]
    """Running average of the colours of voxels in the band; returns the largest change, R + G + B, times 4."""
    for i in range(BLOCK_VOXELS):
        at = np.uint32(3 * pixel[i])
        seen[i] = np.int32(image[at]) | np.int32(image[at + 1]) << 8 | np.int32(image[at + 2]) << 16
        outside = np.float32(-1) if share[i] == 1 else np.float32(0)  # a voxel begun anew in free space has no colour
        share[i] = share[i] if sdf[i] < truncation else outside
    half = np.float32(0.5)
    changed = np.int32(0)
    for i in range(BLOCK_VOXELS):
        old, new, part = np.int32(color[i]), seen[i], share[i]
        old = old if part >= 0 else np.int32(0)
        part = part if part > 0 else np.float32(0)
        part = np.float32(1) if (part > 0) & (old & HAS_COLOR == 0) else part
        r, g, b = old & 1023, old >> 10 & 1023, old >> 20 & 1023
        dr = np.int32(np.float32(r) + np.float32((new << 2 & 1020) - r) * part + half) - r
        dg = np.int32(np.float32(g) + np.float32((new >> 6 & 1020) - g) * part + half) - g
        db = np.int32(np.float32(b) + np.float32((new >> 14 & 1020) - b) * part + half) - b
        flag = HAS_COLOR if part > 0 else old & HAS_COLOR
        color[i] = (r + dr) | (g + dg) << 10 | (b + db) << 20 | flag
        moved = abs(dr) + abs(dg) + abs(db)
        changed = moved if moved > changed else changed
    return changed


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
def _update(  # type: ignore[no-untyped-def]
    slots, starts, steps, tsdf, weight, color, depth, image, provenance, confidence, truncation, max_units,
    min_units, per_tolerance, per_color_tolerance, carve, updated, change,
):  # fmt: skip
    highest = np.float32(1e8) if carve else truncation
    for n in numba.prange(len(slots)):
        slot = slots[n]
        sdf, share = np.empty(BLOCK_VOXELS, np.float32), np.empty(BLOCK_VOXELS, np.float32)
        pixel, seen = np.empty(BLOCK_VOXELS, np.int32), np.empty(BLOCK_VOXELS, np.int32)
        _signed_distances(starts[n, 0], starts[n, 1], starts[n, 2], steps, depth, pixel, sdf)
        _observations(pixel, provenance.reshape(-1), confidence.reshape(-1), seen)
        updated[n], moved = _average_distances(
            sdf, seen, tsdf[slot], weight[slot], share, truncation, highest, max_units, min_units
        )
        change[n] = np.float32(moved) * per_tolerance if moved > 0 else np.float32(0)
        if updated[n] > 0:
            painted = _average_colors(image.reshape(-1), pixel, sdf, truncation, share, seen, color[slot])
            if painted > 0:
                change[n] = max(change[n], np.float32(painted) * per_color_tolerance)
