"""The TSDF volume: views go in, a mesh comes out, block by block or whole (numba engine)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError, MissingDependencyError, SettingsError
from showroom_ros.scene.block_store import BLOCK_EDGE, MESH_BLOCK_EDGE, WORLD_LIMIT_BLOCKS, BlockStore
from showroom_ros.scene.extraction import extract_blocks, extract_whole
from showroom_ros.scene.integration import min_weight_units, update_blocks
from showroom_ros.scene.mesh import BlockIndex, Mesh
from showroom_ros.scene.predicted import check_predicted, is_filled, merge_predicted
from showroom_ros.scene.view import View
from showroom_ros.scene.view_pixels import Projection, blocks_near_surface, prepare_pixels, visible_blocks
from showroom_ros.scene.voxels import Voxels
from showroom_ros.settings import MapSettings

_FIXED_SETTINGS = ("voxel_size_m", "truncation_m", "min_weight", "max_bytes")


@dataclass(frozen=True)
class IntegrationStats:
    """What one view did to the volume.

    Attributes:
        blocks_allocated: new voxel blocks.
        blocks_touched: blocks with at least one voxel updated.
        voxels_updated: voxels updated.
        blocks_evicted: blocks dropped, by the byte cap or the radius.
        blocks_refused: new blocks not made, because they would be the first to be dropped.
    """

    blocks_allocated: int
    blocks_touched: int
    voxels_updated: int
    blocks_evicted: int
    blocks_refused: int


class PublishedBlocks:
    """Which mesh blocks a consumer holds, so that it can be told when one becomes empty."""

    def __init__(self) -> None:
        """Nothing handed out yet."""
        self._indices: set[BlockIndex] = set()

    @property
    def indices(self) -> frozenset[BlockIndex]:
        """Mesh blocks handed out and not taken back."""
        return frozenset(self._indices)

    def adopt(self, indices: frozenset[BlockIndex]) -> None:
        """Takes over what another volume had handed out."""
        self._indices |= indices

    def settle(self, changed: dict[BlockIndex, Mesh], examined: set[BlockIndex]) -> tuple[BlockIndex, ...]:
        """Notes ``changed`` as handed out; returns those of ``examined`` that had been and are empty now."""
        removed = tuple(sorted(self._indices & (examined - changed.keys())))
        self._indices.difference_update(removed)
        self._indices.update(changed)
        return removed


class Volume(Protocol):
    """What both engines offer."""

    @property
    def settings(self) -> MapSettings:
        """Voxel size, truncation, ranges, caps."""
        ...

    @settings.setter
    def settings(self, settings: MapSettings) -> None: ...

    @property
    def block_count(self) -> int:
        """Voxel blocks alive."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Bytes the map holds, never above ``settings.max_bytes``."""
        ...

    @property
    def mesh_block_size_m(self) -> float:
        """Edge of a mesh block in metres."""
        ...

    def integrate(self, view: View) -> IntegrationStats:
        """Fuses a view with pose and depth."""
        ...

    def update_mesh(self) -> tuple[dict[BlockIndex, Mesh], tuple[BlockIndex, ...]]:
        """Mesh blocks changed since the last call, and indices of those that became empty."""
        ...

    def mesh_blocks(self) -> dict[BlockIndex, Mesh]:
        """The whole map as mesh blocks."""
        ...

    def extract_mesh(self) -> Mesh:
        """The whole map as one mesh."""
        ...

    def voxels(self) -> Voxels:
        """A copy of all blocks."""
        ...

    def insert(self, voxels: Voxels) -> None:
        """Puts blocks in, over those at the same place."""
        ...

    def contains(self, position: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of the blocks int32 [N, 3] are alive, bool [N]."""
        ...

    def put_predicted(self, voxels: Voxels, eye: NDArray[np.float64]) -> IntegrationStats:
        """Replaces all that was not measured in these blocks by a prediction."""
        ...

    def clear(self) -> None:
        """Forgets everything."""
        ...

    @property
    def published(self) -> frozenset[BlockIndex]:
        """Mesh blocks handed out by ``update_mesh`` and not reported as removed."""
        ...

    def take_over(self, old: Volume) -> None:
        """Makes the next ``update_mesh`` report what ``old`` had handed out and this volume lacks as removed."""
        ...


def make_volume(settings: MapSettings, device: str = "cpu") -> Volume:
    """The engine for ``device``: numba for ``cpu``, torch for ``cuda``.

    Raises:
        SettingsError: unknown device, or truncation below the voxel size.
        MissingDependencyError: ``cuda`` without torch.
    """
    if device == "cpu":
        return TsdfVolume(settings)
    if device.split(":")[0] != "cuda":
        raise SettingsError(f"reconstruction.device is '{device}', expected cpu or cuda")
    try:
        from showroom_ros.scene.volume_torch import TorchTsdfVolume
    except ImportError as error:
        raise MissingDependencyError("reconstruction.device 'cuda' needs torch: pip install torch") from error
    return TorchTsdfVolume(settings, device)


def checked_settings(old: MapSettings | None, new: MapSettings) -> MapSettings:
    """``new``, if a volume with settings ``old`` can go on with it.

    Raises:
        SettingsError: the truncation is below 1.5 voxels or beyond what a ray can sample, ``min_depth_m`` is
            not below ``max_depth_m``, or a setting changed that a map cannot change.
    """
    if new.truncation_m < 1.5 * new.voxel_size_m:
        raise SettingsError(
            f"map.truncation_m is {new.truncation_m}, expected at least 1.5 voxels of {new.voxel_size_m} m"
        )
    if new.min_depth_m >= new.max_depth_m:
        raise SettingsError(f"map.min_depth_m is {new.min_depth_m}, expected below map.max_depth_m {new.max_depth_m}")
    for name in _FIXED_SETTINGS if old is not None else ():
        if getattr(new, name) != getattr(old, name):
            raise SettingsError(
                f"map.{name} of a live map is {getattr(old, name)} and cannot become {getattr(new, name)}: reset first"
            )
    return new


def check_reach(view: View, settings: MapSettings) -> None:
    """Raises ``InputError`` where blocks the view may touch cannot be addressed."""
    far_m = float(np.abs(view.require_pose()[:3, 3]).max()) + settings.max_depth_m + settings.truncation_m
    limit_m = WORLD_LIMIT_BLOCKS * BLOCK_EDGE * settings.voxel_size_m
    if far_m >= limit_m:
        raise InputError(
            f"the view of stamp {view.stamp_ns} reaches {far_m:.0f} m from the origin, expected below {limit_m:.0f}"
        )


class TsdfVolume:
    """Truncated signed distances with colour and provenance in sparse voxel blocks, on the CPU.

    A voxel averages the distances and colours of the views that see it. Where provenances meet the better one
    stays: an observation never alters a voxel of better provenance, and replaces one of worse. Free space
    counts like surface (``settings.carve``), so what moved away vanishes.

    Not thread-safe: one caller at a time.
    """

    def __init__(self, settings: MapSettings) -> None:
        """An empty volume.

        Raises:
            SettingsError: the settings contradict each other.
        """
        self._settings = checked_settings(None, settings)
        self._store = BlockStore(settings.max_bytes)
        self._published = PublishedBlocks()

    @property
    def store(self) -> BlockStore:
        """The voxels themselves, to look at."""
        return self._store

    @property
    def settings(self) -> MapSettings:
        """The settings in force; those a map can change while it lives may be set."""
        return self._settings

    @settings.setter
    def settings(self, settings: MapSettings) -> None:
        self._settings = checked_settings(self._settings, settings)

    @property
    def block_count(self) -> int:
        """Voxel blocks (8^3) alive."""
        return self._store.block_count

    @property
    def memory_bytes(self) -> int:
        """Bytes the map holds, never above ``settings.max_bytes``."""
        return self._store.memory_bytes

    @property
    def mesh_block_size_m(self) -> float:
        """Edge of a mesh block in metres."""
        return self._settings.voxel_size_m * BLOCK_EDGE * MESH_BLOCK_EDGE

    def integrate(self, view: View) -> IntegrationStats:
        """Fuses a view.

        Raises:
            InputError: the view has no pose or no depth, or lies outside the world; the map is unchanged.
        """
        view.require_depth(), view.require_pose()
        settings, store = self._settings, self._store
        check_reach(view, settings)
        pixels = prepare_pixels(view, settings)
        near = blocks_near_surface(pixels, view, settings)
        allocated, evicted, refused = self._allocate(store.missing(near), view.require_pose()[:3, 3])
        projection, rows = Projection.of(view, settings.voxel_size_m), store.mesh_block_slots
        visible = visible_blocks(
            store.mesh_block_index[:rows], store.children[:rows], store.child_count[:rows],
            projection, pixels, view, settings,
        )  # fmt: skip
        updated, change = update_blocks(
            visible, store.block_index, store.tsdf, store.weight, store.color, pixels, projection, view, settings
        )
        store.note_change(visible, change)
        return IntegrationStats(allocated, int((updated > 0).sum()), int(updated.sum()), evicted, refused)

    def _allocate(self, new: NDArray[np.int32], eye: NDArray[np.float64]) -> tuple[int, int, int]:
        """Makes room for ``new`` blocks int32 [N, 3] and inserts them; returns allocated, evicted, refused."""
        store, before = self._store, self._store.block_count
        evicted, refused = 0, 0
        if self._settings.radius_m > 0:
            slots = store.slots()
            far = slots[self._distances(store.block_index[slots], eye) > self._settings.radius_m]
            store.remove(far)
            near = self._distances(new, eye) <= self._settings.radius_m
            evicted, refused, new = len(far), int((~near).sum()), new[near]
        if store.block_count + len(new) > store.capacity:
            new = np.unique(new, axis=0)
        if store.block_count + len(new) > store.capacity:
            wanted = len(new)
            new, dropped = self._keep_nearest(new, eye)
            evicted, refused = evicted + dropped, refused + wanted - len(new)
        store.insert(new)
        return store.block_count - before + evicted, evicted, refused

    def _keep_nearest(self, new: NDArray[np.int32], eye: NDArray[np.float64]) -> tuple[NDArray[np.int32], int]:
        """Drops the farthest of old and new blocks until the rest fits; returns the new ones left, and evictions."""
        store = self._store
        slots = store.slots()
        distances = self._distances(np.concatenate([store.block_index[slots], new]), eye)
        kept = np.zeros(len(distances), bool)
        kept[np.argsort(distances, kind="stable")[: store.capacity]] = True
        store.remove(slots[~kept[: len(slots)]])
        return new[kept[len(slots) :]], int((~kept[: len(slots)]).sum())

    def _distances(self, index: NDArray[np.int32], eye: NDArray[np.float64]) -> NDArray[np.float64]:
        """Metres from ``eye`` [3] to the centres of blocks int32 [N, 3]."""
        centre = (index + 0.5) * (self._settings.voxel_size_m * BLOCK_EDGE)
        return np.linalg.norm(centre - eye, axis=1)

    def update_mesh(self) -> tuple[dict[BlockIndex, Mesh], tuple[BlockIndex, ...]]:
        """Mesh blocks that changed since the last call, and the indices of those that became empty.

        Surface that moved less than ``settings.mesh_tolerance_m`` since it was last meshed may be left out.
        """
        store = self._store
        ids = store.mesh_block_ids(only_dirty=True)
        changed = extract_blocks(store, ids, self._settings.voxel_size_m, min_weight_units(self._settings))
        store.change[ids] = 0
        examined = {(x, y, z) for x, y, z in store.mesh_block_index[ids].tolist()} | store.take_freed_mesh_blocks()
        return changed, self._published.settle(changed, examined)

    def mesh_blocks(self) -> dict[BlockIndex, Mesh]:
        """The whole map as mesh blocks, as it is now; leaves what ``update_mesh`` owes untouched."""
        ids = self._store.mesh_block_ids()
        return extract_blocks(self._store, ids, self._settings.voxel_size_m, min_weight_units(self._settings))

    def extract_mesh(self) -> Mesh:
        """The whole map as one mesh with shared vertices."""
        return extract_whole(self._store, self._settings.voxel_size_m, min_weight_units(self._settings))

    def voxels(self) -> Voxels:
        """A copy of all blocks, in the order of their position."""
        store = self._store
        slots = store.slots()
        slots = slots[np.lexsort(store.block_index[slots].T)]
        return Voxels(store.block_index[slots], store.tsdf[slots], store.weight[slots], store.color[slots])

    def insert(self, voxels: Voxels) -> None:
        """Puts blocks in, over those at the same place.

        Raises:
            InputError: they do not fit under ``settings.max_bytes``.
        """
        slots = self._store.insert(voxels.position)
        self._store.tsdf[slots] = voxels.tsdf
        self._store.weight[slots] = voxels.weight
        self._store.color[slots] = voxels.color
        self._store.mark_dirty(slots)

    def contains(self, position: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of the blocks int32 [N, 3] are alive, bool [N]."""
        return self._store.contains(np.ascontiguousarray(position, np.int32))

    def put_predicted(self, voxels: Voxels, eye: NDArray[np.float64]) -> IntegrationStats:
        """Replaces all that was not measured in these blocks by a prediction; blocks left empty go.

        Args:
            voxels: PREDICTED voxels, each block once; where they have no weight nothing is predicted.
            eye: float64 [3], where the camera is: past the byte cap or the radius the blocks farthest from it go.

        Raises:
            InputError: not voxels as above; the map is unchanged.
        """
        check_predicted(voxels)
        store = self._store
        new = voxels.position[is_filled(voxels) & ~store.contains(voxels.position)]
        allocated, evicted, refused = self._allocate(new, eye)
        voxels = voxels.rows(store.contains(voxels.position))
        slots = store.insert(voxels.position)
        old = Voxels(voxels.position, store.tsdf[slots], store.weight[slots], store.color[slots])
        merged, change, updated = merge_predicted(old, voxels, self._settings)
        store.tsdf[slots], store.weight[slots], store.color[slots] = merged[1:]
        store.note_change(slots, change)
        store.remove(slots[~is_filled(merged)])
        return IntegrationStats(allocated, int((updated > 0).sum()), int(updated.sum()), evicted, refused)

    def clear(self) -> None:
        """Forgets everything; the next ``update_mesh`` reports all mesh blocks as removed."""
        self._store = BlockStore(self._settings.max_bytes)
        self._store.freed_mesh_blocks |= self._published.indices

    def take_over(self, old: Volume) -> None:
        """Makes the next ``update_mesh`` report what ``old`` had handed out and this volume lacks as removed."""
        self._published.adopt(old.published)
        self._store.freed_mesh_blocks |= old.published

    @property
    def published(self) -> frozenset[BlockIndex]:
        """Mesh blocks handed out by ``update_mesh`` and not reported as removed."""
        return self._published.indices
