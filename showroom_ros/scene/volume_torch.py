"""The TSDF volume in torch, for CUDA: the same map as ``volume.TsdfVolume``.

Everything that grows with the number of voxels happens on the device; meshing copies the blocks it needs to
the CPU, where ``extraction`` works on them.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showroom_ros.errors import InputError
from showroom_ros.scene.block_store import (
    BLOCK_EDGE,
    BLOCK_VOXELS,
    HAS_COLOR,
    MESH_BLOCK_EDGE,
    TSDF_UNITS,
    WEIGHT_UNITS,
    BlockStore,
    check_in_world,
)
from showroom_ros.scene.block_store_torch import TorchBlockStore, keys_of, positions_of
from showroom_ros.scene.extraction import extract_blocks, extract_whole
from showroom_ros.scene.integration import COLOR_TOLERANCE, min_weight_units
from showroom_ros.scene.mesh import BlockIndex, Mesh
from showroom_ros.scene.predicted import check_predicted, is_filled, merge_predicted
from showroom_ros.scene.view import View
from showroom_ros.scene.view_pixels import Projection
from showroom_ros.scene.view_pixels_torch import TorchPixels, blocks_near_surface, prepare_pixels, visible_blocks
from showroom_ros.scene.volume import IntegrationStats, PublishedBlocks, Volume, check_reach, checked_settings
from showroom_ros.scene.voxels import Voxels
from showroom_ros.settings import MapSettings

_BATCH = 2048
"""Blocks updated at a time: bounds the memory of intermediate results."""


class TorchTsdfVolume:
    """``volume.TsdfVolume`` on a torch device; see there for what it does."""

    def __init__(self, settings: MapSettings, device: str = "cuda") -> None:
        """An empty volume on ``device``.

        Raises:
            SettingsError: the settings contradict each other.
            InputError: the device is not there.
        """
        self._settings = checked_settings(None, settings)
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise InputError(f"device is '{device}', but torch finds no CUDA device here")
        self._device = torch.device(device)
        n = torch.arange(BLOCK_VOXELS, device=self._device)
        self._voxel = torch.stack([n % 8, n // 8 % 8, n // 64], 1).double()
        self._store = TorchBlockStore(settings.max_bytes, self._device)
        self._change: dict[BlockIndex, float] = {}
        self._published = PublishedBlocks()

    @property
    def store(self) -> TorchBlockStore:
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
        return len(self._store.keys)

    @property
    def memory_bytes(self) -> int:
        """Bytes the map holds, never above ``settings.max_bytes``."""
        return self._store.memory_bytes

    @property
    def mesh_block_size_m(self) -> float:
        """Edge of a mesh block in metres."""
        return self._settings.voxel_size_m * BLOCK_EDGE * MESH_BLOCK_EDGE

    @property
    def published(self) -> frozenset[BlockIndex]:
        """Mesh blocks handed out by ``update_mesh`` and not reported as removed."""
        return self._published.indices

    def integrate(self, view: View) -> IntegrationStats:
        """Fuses a view.

        Raises:
            InputError: the view has no pose or no depth, or lies outside the world; the map is unchanged.
        """
        view.require_depth()
        check_reach(view, self._settings)
        pixels = prepare_pixels(view, self._settings, self._device)
        eye = torch.as_tensor(view.require_pose()[:3, 3], device=self._device)
        new = self._store.missing(blocks_near_surface(pixels, view, self._settings))
        allocated, evicted, refused = self._allocate(new, eye)
        projection = Projection.of(view, self._settings.voxel_size_m)
        rows = torch.nonzero(visible_blocks(self._store.positions, pixels, projection, view, self._settings))[:, 0]
        touched, updated = 0, 0
        for batch in rows.split(_BATCH):
            counts = self._update(batch, pixels, projection)
            touched, updated = touched + int((counts > 0).sum()), updated + int(counts.sum())
        return IntegrationStats(allocated, touched, updated, evicted, refused)

    def _distances(self, keys: Tensor, eye: Tensor) -> Tensor:
        centre = (positions_of(keys).double() + 0.5) * (self._settings.voxel_size_m * BLOCK_EDGE)
        return (centre - eye).norm(dim=1)

    def _allocate(self, new: Tensor, eye: Tensor) -> tuple[int, int, int]:
        """Makes room for ``new`` sorted keys and inserts them; returns allocated, evicted, refused."""
        store, wanted, before = self._store, len(new), self.block_count
        if self._settings.radius_m > 0:
            new = new[self._distances(new, eye) <= self._settings.radius_m]
            self._remove(self._distances(store.keys, eye) > self._settings.radius_m)
        if self.block_count + len(new) > store.max_blocks:
            both = torch.cat([store.keys, new])
            kept = torch.zeros_like(both, dtype=torch.bool)
            kept[torch.argsort(self._distances(both, eye), stable=True)[: store.max_blocks]] = True
            new, drop = new[kept[len(store.keys) :]], ~kept[: len(store.keys)]
            self._remove(drop)
        evicted = before - self.block_count
        store.insert(new)
        return len(new), evicted, wanted - len(new)

    def _remove(self, drop: Tensor) -> None:
        self._mark_dirty(self._store.keys[drop])
        self._store.remove(drop)

    def _update(self, rows: Tensor, pixels: TorchPixels, projection: Projection) -> Tensor:
        """Averages the view into the blocks of ``rows``; returns voxels updated per block."""
        settings, store, slots = self._settings, self._store, self._store.slots[rows]
        sdf, pixel = self._signed_distances(positions_of(store.keys[rows]), pixels, projection)
        said, old = pixels.seen.flatten()[pixel], store.tsdf[slots].float()
        units, kind = said >> 2, said & 3
        before, kind_before = store.weight[slots].int(), store.kind[slots].int()
        ok = (sdf >= -settings.truncation_m) & ((before == 0) | (kind <= kind_before))
        if not settings.carve:
            ok &= sdf <= settings.truncation_m
        kept = torch.where(kind == kind_before, before, 0)
        part = torch.where(ok, units.float() / (kept + units), 0)
        target = sdf.nan_to_num(0).clamp(-settings.truncation_m, settings.truncation_m)
        new = old + ((target * (TSDF_UNITS / settings.truncation_m) - old) * part + 0.5).floor()
        new = torch.where(ok & (new == 0), 1, new)
        after = (kept + units).clamp(max=int(settings.max_weight * WEIGHT_UNITS))
        store.tsdf[slots] = new.to(torch.int16)
        store.weight[slots] = torch.where(ok, after, before).to(torch.int16)
        store.kind[slots] = torch.where(ok, kind, kind_before).to(torch.uint8)

        in_band = torch.where(ok & (sdf < settings.truncation_m), part, 0)
        painted = self._paint(slots, in_band, ok & (kept == 0), pixels.rgb.flatten()[pixel])
        least = int(min_weight_units(settings))
        appeared = ok & ((kind != kind_before) | ((before < least) & (after >= least)))
        change = torch.where(appeared.any(1), torch.inf, self._in_tolerances((new - old).abs().amax(1), painted))
        self._spread_change(positions_of(store.keys[rows]), change)
        return ok.sum(1)

    def _signed_distances(
        self, positions: Tensor, pixels: TorchPixels, projection: Projection
    ) -> tuple[Tensor, Tensor]:
        """Depth minus z (NaN where unknown), and the pixel each voxel falls on, [N, 512]."""
        columns = torch.as_tensor(projection.columns, device=self._device)
        start = torch.as_tensor(projection.start, device=self._device) + positions.double() * BLOCK_EDGE @ columns.T
        uvz = start.float()[:, None] + (self._voxel @ columns.T).float()
        z = uvz[..., 2]
        u, v = uvz[..., 0] / z, uvz[..., 1] / z
        height, width = pixels.depth.shape
        inside = (z > 1e-3) & (u >= 0) & (v >= 0) & (u < width) & (v < height)
        pixel = torch.where(inside, v, 0).long() * width + torch.where(inside, u, 0).long()
        return torch.where(inside, pixels.depth.flatten()[pixel] - z, torch.nan), pixel

    def _paint(self, slots: Tensor, part: Tensor, anew: Tensor, rgb: Tensor) -> Tensor:
        """Averages colours; returns the largest change per block, R + G + B in quarter levels."""
        old = torch.where(anew, 0, self._store.color[slots])
        part = torch.where((part > 0) & (old & HAS_COLOR == 0), 1, part)
        mixed, changed = old & HAS_COLOR, torch.zeros_like(old)
        for channel in range(3):
            c_old = (old >> 10 * channel & 1023).float()
            c_new = (c_old + ((rgb >> 8 * channel & 255) * 4 - c_old) * part + 0.5).int()
            mixed = mixed | c_new << 10 * channel
            changed += (c_new - c_old.int()).abs()
        self._store.color[slots] = torch.where(part > 0, mixed | HAS_COLOR, old)
        return changed.amax(1)

    def _in_tolerances(self, moved: Tensor, painted: Tensor) -> Tensor:
        """Largest changes of distance and colour per block, in mesh tolerances."""
        settings = self._settings
        if settings.mesh_tolerance_m == 0:
            return torch.where((moved > 0) | (painted > 0), torch.inf, 0.0)
        per_unit = settings.truncation_m / settings.mesh_tolerance_m / TSDF_UNITS
        return torch.maximum(moved * per_unit, painted / (3 * 4 * COLOR_TOLERANCE))

    def _mark_dirty(self, keys: Tensor) -> None:
        """Makes every mesh block that reads voxels of these blocks due."""
        self._spread_change(positions_of(keys), torch.full_like(keys, torch.inf, dtype=torch.float32))

    def _spread_change(self, positions: Tensor, change: Tensor) -> None:
        """Adds the largest change per block to every mesh block that reads voxels of it."""
        positions, change = positions[change > 0], change[change > 0]
        around = torch.cartesian_prod(*[torch.tensor([-1, 0, 1], device=self._device)] * 3)
        readers = (positions[:, None] + around).reshape(-1, 3) >> 2
        readers, number = torch.unique(readers, dim=0, return_inverse=True)
        largest = torch.zeros(len(readers), device=self._device)
        largest.scatter_reduce_(0, number, change.repeat_interleave(len(around)), "amax")
        for (x, y, z), moved in zip(readers.tolist(), largest.tolist(), strict=True):
            self._change[x, y, z] = self._change.get((x, y, z), 0.0) + moved

    def update_mesh(self) -> tuple[dict[BlockIndex, Mesh], tuple[BlockIndex, ...]]:
        """Mesh blocks that changed since the last call, and the indices of those that became empty."""
        due = {index for index, change in self._change.items() if change >= 1}
        for index in due:
            del self._change[index]
        changed = self._mesh(due) if due else {}
        return changed, self._published.settle(changed, due)

    def _mesh(self, wanted: set[BlockIndex]) -> dict[BlockIndex, Mesh]:
        """Meshes of some mesh blocks, from a copy of their blocks and a rim of one for cells and gradients."""
        reach = np.arange(-1, MESH_BLOCK_EDGE + 1)
        children = np.stack(np.meshgrid(reach, reach, reach), -1).reshape(-1, 3)
        positions = (np.array(sorted(wanted), np.int64)[:, None] * MESH_BLOCK_EDGE + children).reshape(-1, 3)
        rows, found = self._store.find(torch.unique(keys_of(torch.as_tensor(positions, device=self._device))))
        store = _store_of(self._store.voxels(rows[found]))
        ids = store.mesh_block_ids()
        ids = ids[[tuple(index) in wanted for index in store.mesh_block_index[ids].tolist()]]
        return extract_blocks(store, ids, self._settings.voxel_size_m, min_weight_units(self._settings))

    def mesh_blocks(self) -> dict[BlockIndex, Mesh]:
        """The whole map as mesh blocks, as it is now; leaves what ``update_mesh`` owes untouched."""
        store = _store_of(self.voxels())
        units = min_weight_units(self._settings)
        return extract_blocks(store, store.mesh_block_ids(), self._settings.voxel_size_m, units)

    def extract_mesh(self) -> Mesh:
        """The whole map as one mesh with shared vertices."""
        return extract_whole(_store_of(self.voxels()), self._settings.voxel_size_m, min_weight_units(self._settings))

    def voxels(self) -> Voxels:
        """A copy of all blocks, in the order of their position."""
        return self._store.voxels(torch.arange(self.block_count, device=self._device))

    def insert(self, voxels: Voxels) -> None:
        """Puts blocks in, over those at the same place.

        Raises:
            InputError: they do not fit under ``settings.max_bytes``.
        """
        check_in_world(voxels.position)
        positions = torch.as_tensor(voxels.position, device=self._device).long()
        new = self._store.missing(positions)
        if self.block_count + len(new) > self._store.max_blocks:
            cap = self._settings.max_bytes
            raise InputError(f"{len(new)} new voxel blocks do not fit under the map's cap of {cap} bytes")
        self._store.insert(new)
        self._store.put(keys_of(positions), voxels)
        self._mark_dirty(keys_of(positions))

    def contains(self, position: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of the blocks int32 [N, 3] are alive, bool [N]."""
        return self._store.find(self._keys_of(position))[1].cpu().numpy()

    def put_predicted(self, voxels: Voxels, eye: NDArray[np.float64]) -> IntegrationStats:
        """Replaces all that was not measured in these blocks by a prediction; see ``volume.TsdfVolume``."""
        check_predicted(voxels)
        store = self._store
        new = store.missing(torch.as_tensor(voxels.position[is_filled(voxels)], device=self._device).long())
        allocated, evicted, refused = self._allocate(new, torch.as_tensor(eye, device=self._device))
        voxels = voxels.rows(self.contains(voxels.position))
        keys = torch.sort(self._keys_of(voxels.position))[0]
        old = store.voxels(store.find(keys)[0])
        merged, change, updated = merge_predicted(old, voxels.rows(np.lexsort(voxels.position.T)), self._settings)
        keys = self._keys_of(merged.position)
        store.put(keys, merged)
        self._spread_change(positions_of(keys), torch.as_tensor(change, device=self._device))
        drop = torch.zeros(self.block_count, dtype=torch.bool, device=self._device)
        drop[store.find(keys[torch.as_tensor(~is_filled(merged), device=self._device)])[0]] = True
        self._remove(drop)
        return IntegrationStats(allocated, int((updated > 0).sum()), int(updated.sum()), evicted, refused)

    def _keys_of(self, position: NDArray[np.int32]) -> Tensor:
        return keys_of(torch.as_tensor(position, device=self._device).long())

    def clear(self) -> None:
        """Forgets everything; the next ``update_mesh`` reports all mesh blocks as removed."""
        self._store = TorchBlockStore(self._settings.max_bytes, self._device)
        self._change = dict.fromkeys(self._published.indices, np.inf)

    def take_over(self, old: Volume) -> None:
        """Makes the next ``update_mesh`` report what ``old`` had handed out and this volume lacks as removed."""
        self._published.adopt(old.published)
        self._change.update(dict.fromkeys(old.published, np.inf))


def _store_of(voxels: Voxels) -> BlockStore:
    """The blocks in the form the CPU extractor reads."""
    store = BlockStore(max_bytes=(len(voxels.position) + 64) * 8192)
    slots = store.insert(voxels.position)
    store.tsdf[slots], store.weight[slots], store.color[slots] = voxels.tsdf, voxels.weight, voxels.color
    return store
