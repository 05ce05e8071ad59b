"""What completion asks of a map, and a volume that offers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.camera import Camera
from showroom_ros.scene.coverage import Coverage
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.raycast import raycast
from showroom_ros.scene.view import View
from showroom_ros.scene.volume import Volume

LOOK_PX = 160
"""Width of the pictures by which a finished map tells what was seen to be free."""


class CompletableMap(Protocol):
    """A map that completion looks at and adds to; each call leaves it whole, and it may change between two calls."""

    @property
    def cell_m(self) -> float:
        """Edge of a free cell in metres."""
        ...

    def free_cells(self) -> NDArray[np.float64]:
        """Centres [N, 3] of the cells that were seen to be free, metres, world frame."""
        ...

    def is_free(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which points [..., 3] lie in such cells, bool [...]."""
        ...

    def mesh(self) -> Mesh:
        """All of its surface, as it is now."""
        ...

    def put(self, view: View) -> None:
        """Fuses a posed view with depth."""
        ...


class VolumeMap:
    """A volume and its coverage as a ``CompletableMap``, for one thread.

    Attributes:
        volume: the map.
        coverage: free space; what is generated does not change it.
    """

    def __init__(self, volume: Volume, coverage: Coverage) -> None:
        """Changes neither."""
        self.volume, self.coverage = volume, coverage

    @property
    def cell_m(self) -> float:
        """See ``CompletableMap``."""
        return self.coverage.cell_m

    def free_cells(self) -> NDArray[np.float64]:
        """See ``CompletableMap``."""
        return self.coverage.free_cells()

    def is_free(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See ``CompletableMap``."""
        return self.coverage.is_free(points)

    def mesh(self) -> Mesh:
        """See ``CompletableMap``."""
        return self.volume.extract_mesh()

    def put(self, view: View) -> None:
        """See ``CompletableMap``."""
        self.volume.integrate(view)


def map_of_views(views: Sequence[View], volume: Volume) -> VolumeMap:
    """The map of posed views with depth, fused into an empty ``volume``.

    Raises:
        InputError: a view without pose or depth.
    """
    coverage = Coverage(max_depth_m=volume.settings.max_depth_m)
    for view in views:
        volume.integrate(view)
        coverage.observe(view)
    return VolumeMap(volume, coverage)


def map_seen_from(volume: Volume, camera: Camera, poses: NDArray[np.float64]) -> VolumeMap:
    """A finished map: what lies in front of its surface, seen from where the cameras were, is free.

    Args:
        volume: is not changed.
        camera: undistorted; pictures ``LOOK_PX`` wide are enough for free cells.
        poses: float64 [N, 4, 4], ``T_world_camera``.
    """
    camera = camera.of_width(min(LOOK_PX, camera.width))
    coverage = Coverage(max_depth_m=volume.settings.max_depth_m)
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    for pose in poses:
        coverage.observe(View(image, camera, raycast(volume, camera, pose).depth, T_world_camera=pose))
    return VolumeMap(volume, coverage)
