"""Signed distances predicted from many posed images (IOAR): tile by tile as keyframes come, or a whole scene at once.

Every new keyframe makes the tiles it sees stale; per view the stalest few are predicted anew from the best of the
keyframes remembered, and replace what was predicted there before. At the end of a recording ``finish`` predicts all
of it in one go: there the 3D networks run over the whole scene.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError, MissingDependencyError, SettingsError
from showroom_ros.reconstruction.estimator import Estimate
from showroom_ros.reconstruction.keyframe_memory import Keyframe, KeyframeMemory
from showroom_ros.reconstruction.predicted_field import PredictedField
from showroom_ros.reconstruction.tiles import Tile, TileGrid, grid_rotation, has_moved
from showroom_ros.scene.view import View
from showroom_ros.scene.volume import Volume
from showroom_ros.scene.voxels import Voxels
from showroom_ros.settings import Settings

if TYPE_CHECKING:
    from showroom_ros.reconstruction.volumetric_torch import Region, VolumetricNetwork

_LOG = logging.getLogger(__name__)
_PATIENT_KEYFRAMES = 1024
_SIDE_MULTIPLE = 16
_SMALLEST_SIDE = 32
_EMPTY_TILE_SHARE = 0.25
"""How urgent a tile is in which nothing was found, compared to others."""


@dataclass(frozen=True)
class VolumetricOptions:
    """How much is looked at; the defaults are for the small network on a CPU.

    Attributes:
        tiles_per_view: tiles predicted anew per view at most; 0 leaves it all to ``finish``.
        views_per_tile: keyframes that are looked into for a tile, at most.
        max_keyframes: keyframes remembered at most (each 0.5 MB at 320x240 with the small network, 0.6 with the full).
        max_tiles: tiles whose predictions are remembered at most (about 0.1 MB each); the map keeps all.
        reach_m: depth at which viewing frusta are cut.
        min_parallax_deg: nothing is predicted where the views look from directions more alike than this.
        margin_voxels: fine voxels predicted around a tile and thrown away, so that its rim knows its surroundings;
            a multiple of 4.
        image_width: of the network's input, pixels.
        min_confidence: predictions less sure than this are dropped.
        device: where the network is.
    """

    tiles_per_view: int = 2
    views_per_tile: int = 10
    max_keyframes: int = 256
    max_tiles: int = 512
    reach_m: float = 3.0
    min_parallax_deg: float = 1.0
    margin_voxels: int = 4
    image_width: int = 320
    min_confidence: float = 0.2
    device: str = "cpu"


FULL_OPTIONS = VolumetricOptions(tiles_per_view=4, views_per_tile=60, reach_m=4.0, margin_voxels=8)
"""For the full network on a GPU."""


def make_volumetric(settings: Settings) -> VolumetricEstimator:
    """The estimator of ``reconstruction.method`` ioar.

    Raises:
        SettingsError: the settings contradict each other.
        WeightsError: the weights cannot be loaded.
        MissingDependencyError: torch is not installed.
    """
    chosen = settings.reconstruction
    if chosen.model_file == "none":
        raise SettingsError("reconstruction.model_file is 'none', but method 'ioar' cannot do without a network")
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("reconstruction.method 'ioar' needs torch: pip install torch") from error
    from showroom_ros.networks.weights import load_weights, shipped_weights

    loaded = load_weights(chosen.model_file or shipped_weights("ioar"), "ioar", chosen.device)
    loaded.network.eval()
    options = VolumetricOptions() if loaded.settings.backbone == "light" else FULL_OPTIONS
    options = dataclasses.replace(
        options, image_width=chosen.image_width, min_confidence=chosen.min_confidence, device=chosen.device
    )
    return VolumetricEstimator(cast("VolumetricNetwork", loaded.network), settings, options)


class VolumetricEstimator:
    """Remembers keyframes and predicts the tiles they see.

    Measured depth of a view passes through: it is fused and wins over predictions.

    Attributes:
        options: may be replaced while it lives.
    """

    needs_pose = True

    def __init__(
        self,
        network: VolumetricNetwork,
        settings: Settings,
        options: VolumetricOptions | None = None,
        grid: TileGrid | None = None,
    ) -> None:
        """Nothing seen yet.

        Args:
            network: ``networks.ioar.IoarNet`` in evaluation mode on ``options.device``, or what behaves like it.
            settings: ``reconstruction.up`` is used.
            options: how much is looked at.
            grid: where tiles are; voxels of 4 cm.

        Raises:
            SettingsError: ``reconstruction.up`` is no axis, or the margin is not a whole number of coarse voxels.
        """
        self.options = options or VolumetricOptions()
        if self.options.margin_voxels % 4:
            raise SettingsError(f"margin_voxels is {self.options.margin_voxels}, expected a multiple of 4")
        self._network = network
        self._grid = grid or TileGrid()
        self._T_world_grid = np.eye(4)
        self._T_world_grid[:3, :3] = grid_rotation(settings.reconstruction.up)
        self.reset()

    def reset(self) -> None:
        """Forgets all views and predictions."""
        self._memory = KeyframeMemory(self._grid, self.options.max_keyframes)
        self._field = PredictedField(self._grid, self._T_world_grid[:3, :3], self.options.max_tiles)
        self._stale: dict[Tile, int] = {}
        self._last_pose: NDArray[np.float64] | None = None
        self._last_stamp_ns: int | None = None
        self._input_size: tuple[int, int] | None = None

    def apply(self, settings: Settings) -> None:
        """Takes over ``reconstruction.min_confidence`` for what is predicted from now on."""
        self.options = dataclasses.replace(self.options, min_confidence=settings.reconstruction.min_confidence)

    def leave_to_finish(self) -> None:
        """From now on views are only remembered, and more of them: ``finish`` will predict all that they see."""
        self.options = dataclasses.replace(self.options, tiles_per_view=0, max_keyframes=_PATIENT_KEYFRAMES)
        self._memory.capacity = _PATIENT_KEYFRAMES

    def estimate(self, view: View, volume: Volume) -> Estimate:
        """Predicts the stalest tiles with what is known after ``view``.

        Raises:
            InputError: the view has no pose, its image is too small, or the device's memory is full.
        """
        view.require_pose()
        if min(view.camera.width, view.camera.height) < _SMALLEST_SIDE:
            raise InputError(
                f"the image of stamp {view.stamp_ns} is {view.camera.width}x{view.camera.height}, expected sides of at "
                f"least {_SMALLEST_SIDE} pixels"
            )
        notes = self._follow_time(view)
        self._remember(view)
        tiles, blind = self._due_tiles(view)
        if tiles:
            eye_grid_m = self._in_grid(view)[:3, 3]
            for tile in tiles:
                self._predict([tile], self.options.margin_voxels)
            self._field.forget_far(eye_grid_m)
        elif blind:
            notes.append(self._why_nothing())
        voxels = self._voxels(tiles, volume) if tiles else None
        return Estimate(view, voxels, "; ".join(notes))

    def finish(self, volume: Volume) -> Voxels | None:
        """All that the remembered keyframes see, predicted at once; None where no tile is seen with parallax.

        Per level the views are fused tile by tile, then the 3D networks run once over the whole scene; tile by tile
        where the device has too little memory for that.

        Args:
            volume: the map, to look at; the voxels returned replace the predictions in it.

        Raises:
            InputError: the device's memory is too small even for a tile.
        """
        tiles = sorted(tile for tile in self._memory.tiles() if self._has_parallax(tile))
        if not tiles:
            return None
        try:
            self._predict(tiles, 0)
        except InputError as error:
            _LOG.warning("%s; predicting tile by tile instead", error)
            for tile in tiles:
                self._predict([tile], self.options.margin_voxels)
        voxels = self._voxels(tiles, volume)
        last = self._memory.keyframes[-1]
        self._field.forget_far(last.T_grid_camera[:3, 3])
        self._stale.clear()
        return voxels

    def _follow_time(self, view: View) -> list[str]:
        """Starts anew where the stamps go back, as at the loop of a recording."""
        notes = []
        if self._last_stamp_ns is not None and view.stamp_ns < self._last_stamp_ns:
            notes.append(
                f"stamps went back from {self._last_stamp_ns} to {view.stamp_ns} ns: earlier keyframes are forgotten"
            )
            self.reset()
        self._last_stamp_ns = view.stamp_ns
        return notes

    def _remember(self, view: View) -> None:
        """Keeps ``view`` if its camera moved since the last one kept, and marks what it sees as stale."""
        from showroom_ros.reconstruction.volumetric_torch import view_features

        pose = view.require_pose()
        if self._last_pose is not None and not has_moved(self._last_pose, pose):
            return
        small = self._resized(view)
        T_grid_camera = self._in_grid(view)
        features = view_features(self._network, small, T_grid_camera, self.options.device)
        tiles = self._grid.seen(small.camera, T_grid_camera, self.options.reach_m)
        self._memory.add(Keyframe(small, T_grid_camera, features, tiles))
        self._last_pose = pose
        remembered = self._memory.tiles()
        self._stale = {tile: count for tile, count in self._stale.items() if tile in remembered}
        for tile in tiles:
            self._stale[tile] = self._stale.get(tile, 0) + 1

    def _resized(self, view: View) -> View:
        """``view`` at the network's input size, which is that of the first keyframe for all: their maps are stacked."""
        if self._input_size is None:
            width = _rounded(self.options.image_width)
            self._input_size = (width, _rounded(width * view.camera.height / view.camera.width))
        width, height = self._input_size
        shrinks = width <= view.camera.width
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(view.image, (width, height), interpolation=interpolation), np.uint8)
        return View(
            image, view.camera.scaled(width, height), T_world_camera=view.T_world_camera, stamp_ns=view.stamp_ns
        )

    def _in_grid(self, view: View) -> NDArray[np.float64]:
        """``T_grid_camera`` [4, 4] of a view."""
        return self._T_world_grid.T @ view.require_pose()

    def _due_tiles(self, view: View) -> tuple[list[Tile], bool]:
        """The tiles to predict now, the stalest first and of equally stale ones the nearest.

        Returns:
            At most ``tiles_per_view`` tiles, and whether there are stale ones that cannot be predicted for want of
            parallax.
        """
        eye = self._in_grid(view)[:3, 3]

        def urgency(tile: Tile) -> tuple[float, float, Tile]:
            empty = tile in self._field and self._field.surface_voxels(tile) == 0
            stale = self._stale[tile] * (_EMPTY_TILE_SHARE if empty else 1.0)
            return -stale, float(np.linalg.norm(self._grid.centre_m(tile) - eye)), tile

        chosen: list[Tile] = []
        blind = False
        for tile in sorted(self._stale, key=urgency):
            if len(chosen) == self.options.tiles_per_view:
                break
            if self._has_parallax(tile):
                chosen.append(tile)
            else:
                blind = True
        return chosen, blind

    def _views(self, tile: Tile) -> list[Keyframe]:
        return self._memory.best_views(tile, self.options.views_per_tile)

    def _has_parallax(self, tile: Tile) -> bool:
        return self._memory.has_parallax(tile, self._views(tile), self.options.min_parallax_deg)

    def _why_nothing(self) -> str:
        count = len(self._memory.keyframes)
        if count < 2:
            return f"{count} keyframe so far, at least 2 from different places are needed"
        return (
            f"no parallax: the {count} keyframes see nothing from directions {self.options.min_parallax_deg:g} degrees "
            "apart; move the camera sideways"
        )

    def _predict(self, tiles: Sequence[Tile], margin: int) -> None:
        """Predicts ``tiles`` together and notes the result."""
        from showroom_ros.reconstruction.volumetric_torch import predict_distances

        known = predict_distances(
            self._network,
            [self._region(tile, margin) for tile in tiles],
            self._grid.voxel_size_m,
            self.options.min_confidence,
            self.options.min_parallax_deg,
            self.options.device,
        )
        self._field.put(tiles, known)
        for tile in tiles:
            self._stale.pop(tile, None)

    def _region(self, tile: Tile, margin: int) -> Region:
        from showroom_ros.reconstruction.volumetric_torch import Region

        views = self._views(tile)
        x, y, z = self._grid.shape
        return Region(
            self._grid.low(tile) - margin,
            (x + 2 * margin, y + 2 * margin, z + 2 * margin),
            [view.features for view in views],
            np.stack([view.T_grid_camera[:3, 3] for view in views]),
        )

    def _voxels(self, tiles: Sequence[Tile], volume: Volume) -> Voxels:
        """What the map should hold of ``tiles`` now."""
        return self._field.voxels(
            tiles, lambda tile: [keyframe.view for keyframe in self._views(tile)], volume.settings, volume.contains
        )


def _rounded(pixels: float) -> int:
    """To the nearest side the network likes."""
    return max(_SMALLEST_SIDE, _SIDE_MULTIPLE * round(pixels / _SIDE_MULTIPLE))
