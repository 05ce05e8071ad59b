"""Predicted voxels into a map: they replace what was predicted there before and yield to what was measured.

A prediction of signed distances speaks of whole blocks: where it says nothing, nothing predicted stays, so that
predicting anew leaves nothing stale. What was measured stays to the last bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.scene.block_store import BLOCK_VOXELS, TSDF_UNITS, check_in_world
from showroom_ros.scene.integration import COLOR_TOLERANCE, min_weight_units
from showroom_ros.scene.view import Provenance
from showroom_ros.scene.voxels import Voxels
from showroom_ros.settings import MapSettings


def check_predicted(voxels: Voxels) -> None:
    """Raises ``InputError`` unless these are blocks in the world, each once, that hold PREDICTED voxels only."""
    check_in_world(voxels.position)
    count = len(voxels.position)
    for name in ("tsdf", "weight", "color"):
        array: NDArray = getattr(voxels, name)
        if array.shape != (count, BLOCK_VOXELS):
            raise InputError(f"voxels.{name} is {array.shape}, expected {(count, BLOCK_VOXELS)}")
    if len(np.unique(voxels.position, axis=0)) < count:
        raise InputError("predicted voxels name a block twice")
    kinds = set(np.unique(voxels.weight[voxels.weight >> 2 > 0] & 3).tolist()) - {Provenance.PREDICTED}
    if kinds:
        names = ", ".join(Provenance(kind).name for kind in sorted(kinds))
        raise InputError(f"predicted voxels hold voxels that are {names}, expected PREDICTED")


def is_filled(voxels: Voxels) -> NDArray[np.bool_]:
    """Which blocks hold anything, bool [N]."""
    return np.asarray((voxels.weight >> 2 > 0).any(1))


def merge_predicted(
    old: Voxels, new: Voxels, settings: MapSettings
) -> tuple[Voxels, NDArray[np.float32], NDArray[np.int64]]:
    """What the map's blocks hold once a prediction is in them.

    Args:
        old: the map's blocks.
        new: the prediction of the same blocks in the same order; weight 0 where it says nothing.
        settings: the map's.

    Returns:
        The merged blocks; how far the surface may have moved per block, float32 [N] in mesh tolerances (infinite
        where voxels appeared, vanished or changed provenance); and how many voxels changed per block, int64 [N].
    """
    measured = (old.weight >> 2 > 0) & (old.weight & 3 == Provenance.MEASURED)
    known = new.weight >> 2 > 0

    def chosen(held: NDArray, predicted: NDArray) -> NDArray:
        return np.where(measured, held, np.where(known, predicted, predicted.dtype.type(0)))

    merged = Voxels(
        new.position, chosen(old.tsdf, new.tsdf), chosen(old.weight, new.weight), chosen(old.color, new.color)
    )
    changed = (merged.tsdf != old.tsdf) | (merged.weight != old.weight) | (merged.color != old.color)
    return merged, _change(old, merged, settings), changed.sum(1)


def _change(old: Voxels, new: Voxels, settings: MapSettings) -> NDArray[np.float32]:
    """Largest change of distance and colour per block in mesh tolerances, as ``integration`` measures it."""
    least = min_weight_units(settings)
    meshed = [np.where(voxels.weight >> 2 >= least, voxels.weight & 3, 0) for voxels in (old, new)]
    appeared = (meshed[0] != meshed[1]).any(1)
    moved = np.abs(new.tsdf.astype(np.int32) - old.tsdf).max(1, initial=0).astype(np.float32)
    painted = np.zeros(old.color.shape, np.int32)
    for channel in range(3):
        levels = [(voxels.color >> np.uint32(10 * channel) & 1023).astype(np.int32) for voxels in (old, new)]
        painted += np.abs(levels[1] - levels[0])
    most_painted = painted.max(1, initial=0).astype(np.float32)
    if settings.mesh_tolerance_m == 0:
        return np.where(appeared | (moved > 0) | (most_painted > 0), np.inf, 0).astype(np.float32)
    per_unit = settings.truncation_m / settings.mesh_tolerance_m / TSDF_UNITS
    in_tolerances = np.maximum(moved * per_unit, most_painted / (3 * 4 * COLOR_TOLERANCE))
    return np.where(appeared, np.inf, in_tolerances).astype(np.float32)
