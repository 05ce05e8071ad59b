"""The one verb: a view goes into the map, and what changed comes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import showroom_ros
from showroom_ros.errors import InputError
from showroom_ros.reconstruction.estimator import Adjustable, Estimate, Estimator, Patient, WholeScene, make_estimator
from showroom_ros.scene.map_file import load_map, save_map
from showroom_ros.scene.mesh import MapUpdate
from showroom_ros.scene.view import View
from showroom_ros.scene.volume import IntegrationStats, Volume, make_volume
from showroom_ros.scene.voxels import Voxels
from showroom_ros.settings import Settings, to_dict


class Reconstructor:
    """Map of a scene that grows view by view.

    Attributes:
        volume: the map.
    """

    def __init__(self, settings: Settings, estimator: Estimator | None = None) -> None:
        """An empty map.

        Args:
            settings: of everything.
            estimator: where geometry comes from; None = what ``reconstruction.method`` names.

        Raises:
            SettingsError: the settings contradict each other.
            WeightsError: the weights of the method's network cannot be loaded.
            MissingDependencyError: they ask for a package that is not installed.
        """
        self._settings = settings
        self._estimator = make_estimator(settings) if estimator is None else estimator
        self._stamp_ns = 0
        self._newest_ns: int | None = None
        self._eye: NDArray[np.float64] = np.zeros(3)
        self.volume: Volume = make_volume(settings.map, settings.reconstruction.device)

    @property
    def settings(self) -> Settings:
        """The settings in force; setting them changes what may change in a live map.

        Raises:
            SettingsError: on setting, one that cannot change while the map lives did.
        """
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self.volume.settings = settings.map
        if isinstance(self._estimator, Adjustable):
            self._estimator.apply(settings)
        self._settings = settings

    def process(self, view: View, mesh: bool = True) -> MapUpdate:
        """Estimates the geometry of a view and fuses it; with ``mesh`` also meshes what changed since the last update.

        A view of which nothing can be said yet is no error: the counter ``views_without_depth`` and the note tell.
        Stamps that go back (a bag that loops) make the estimator forget its views; the map stays.

        Raises:
            InputError: the view has no pose, or nothing can ever be said of it; the map is unchanged.
        """
        self._check_pose(view)
        jump = self._follow_time(view.stamp_ns)
        estimate = self._estimator.estimate(view, self.volume)
        counters = self._fuse(estimate)
        counters["time_jumps"] = float(bool(jump))
        self._stamp_ns = view.stamp_ns
        update = self.mesh_update() if mesh else MapUpdate(view.stamp_ns, {})
        note = "; ".join(part for part in (jump, estimate.note) if part)
        return replace(update, counters=self._with_size(counters), view=estimate.view, note=note)

    def put(self, view: View) -> MapUpdate:
        """Fuses a posed view whose geometry is known already, whatever the method; meshes nothing.

        Raises:
            InputError: no pose or no depth.
        """
        view.require_pose()
        view.require_depth()
        return MapUpdate(view.stamp_ns, {}, counters=self._with_size(self._fuse(Estimate(view))), view=view)

    def leave_to_finish(self) -> None:
        """Nobody looks at the map before ``finish``: what that replaces need not be estimated before."""
        if isinstance(self._estimator, Patient):
            self._estimator.leave_to_finish()

    def finish(self) -> None:
        """At the end of a recording: what the estimator says of the whole scene replaces what it said before."""
        if isinstance(self._estimator, WholeScene):
            self._put_predicted(self._estimator.finish(self.volume))

    def _check_pose(self, view: View) -> None:
        if view.T_world_camera is None and self._estimator.needs_pose:
            raise InputError(
                f"the view of stamp {view.stamp_ns} has no pose, expected one: reconstruction.method "
                f"'{self._settings.reconstruction.method}' needs pose.source tf, odom or pose; 'multi_view' does not"
            )

    def _follow_time(self, stamp_ns: int) -> str:
        """Resets the estimator where stamps go back; returns what to say of it."""
        newest, self._newest_ns = self._newest_ns, stamp_ns
        if newest is None or stamp_ns >= newest:
            return ""
        self._estimator.reset()
        return f"stamps went back from {newest / 1e9:.3f} s to {stamp_ns / 1e9:.3f} s: earlier views are forgotten"

    def _fuse(self, estimate: Estimate) -> dict[str, float]:
        """Puts an estimate into the map; returns what that did, by name."""
        has_depth = estimate.view.depth is not None
        fused = self.volume.integrate(estimate.view) if has_depth else IntegrationStats(0, 0, 0, 0, 0)
        if estimate.view.T_world_camera is not None:
            self._eye = estimate.view.T_world_camera[:3, 3]
        predicted = self._put_predicted(estimate.voxels)
        counters = {name: float(value + getattr(predicted, name)) for name, value in vars(fused).items()}
        counters["voxels_predicted"] = float(predicted.voxels_updated)
        counters["views_without_depth"] = float(not has_depth and estimate.voxels is None)
        return counters

    def _put_predicted(self, voxels: Voxels | None) -> IntegrationStats:
        if voxels is None:
            return IntegrationStats(0, 0, 0, 0, 0)
        return self.volume.put_predicted(voxels, self._eye)

    def mesh_update(self, counters: dict[str, float] | None = None) -> MapUpdate:
        """Everything that changed since the last update that was meshed."""
        blocks, removed = self.volume.update_mesh()
        return MapUpdate(self._stamp_ns, blocks, removed, self._with_size(counters or {}))

    def reset(self) -> None:
        """Forgets the map; the next mesh update reports all of it as removed."""
        self.volume.clear()
        self._estimator.reset()
        self._newest_ns = None

    def save_map(self, path: str | Path, metadata: dict[str, Any] | None = None) -> None:
        """Saves the map with the settings and the code's version, atomically.

        Raises:
            OutputError: the file cannot be written.
        """
        known = {"code_version": showroom_ros.__version__, "stamp_ns": self._stamp_ns}
        save_map(path, self.volume, to_dict(self._settings), {**known, **(metadata or {})})

    def load_map(self, path: str | Path) -> None:
        """Replaces the map by a saved one; the next mesh update reports the difference.

        Raises:
            MapFileError: not a map that can be used here; the current map is unchanged.
        """
        loaded = load_map(path, self._settings.map, self._settings.reconstruction.device)
        loaded.take_over(self.volume)
        self.volume = loaded

    def _with_size(self, counters: dict[str, float]) -> dict[str, float]:
        return {**counters, "blocks": float(self.volume.block_count), "memory_bytes": float(self.volume.memory_bytes)}
