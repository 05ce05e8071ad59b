"""The one verb: a view goes into the map, and what changed comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import showroom_ros
from showroom_ros.reconstruction.estimator import Estimator, make_estimator
from showroom_ros.scene.map_file import load_map, save_map
from showroom_ros.scene.mesh import MapUpdate
from showroom_ros.scene.view import View
from showroom_ros.scene.volume import Volume, make_volume
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
            MissingDependencyError: they ask for a package that is not installed.
        """
        self._settings = settings
        self._estimator = make_estimator(settings) if estimator is None else estimator
        self._stamp_ns = 0
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
        self._settings = settings

    def process(self, view: View, mesh: bool = True) -> MapUpdate:
        """Fuses a view; with ``mesh`` also meshes what changed since the last update.

        Raises:
            InputError: the view has no pose, or no depth and none can be estimated; the map is unchanged.
        """
        view.require_pose()
        stats = self.volume.integrate(self._estimator.estimate(view, self.volume).view)
        self._stamp_ns = view.stamp_ns
        counters = {name: float(value) for name, value in vars(stats).items()}
        return self.mesh_update(counters) if mesh else MapUpdate(view.stamp_ns, {}, (), self._with_size(counters))

    def mesh_update(self, counters: dict[str, float] | None = None) -> MapUpdate:
        """Everything that changed since the last update that was meshed."""
        blocks, removed = self.volume.update_mesh()
        return MapUpdate(self._stamp_ns, blocks, removed, self._with_size(counters or {}))

    def reset(self) -> None:
        """Forgets the map; the next mesh update reports all of it as removed."""
        self.volume.clear()
        self._estimator.reset()

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
