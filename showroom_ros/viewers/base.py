"""What a viewer is told, and the one that shows nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import View

BlockKey = Hashable
"""What identifies a mesh block to its sender: its ``BlockIndex``, or namespace and id of a marker."""


class Viewer(Protocol):
    """Shows a growing map. Every method returns at once and may be called from any thread."""

    @property
    def wants_points(self) -> bool:
        """Whether ``update_points`` would be seen at the moment."""
        ...

    def update_blocks(self, blocks: Mapping[Any, Mesh], removed: Iterable[BlockKey] = ()) -> None:
        """Replaces changed blocks of the mesh and takes away removed ones (unknown keys are ignored)."""
        ...

    def update_points(
        self, points: NDArray[np.float32], colors: NDArray[np.uint8], provenance: NDArray[np.uint8]
    ) -> None:
        """Replaces the whole cloud.

        Args:
            points: float32 [N, 3], metres, world frame.
            colors: uint8 [N, 3], RGB.
            provenance: uint8 [N] of ``Provenance``.
        """
        ...

    def update_camera(self, view: View) -> None:
        """Shows the newest keyframe: its image, and its frustum where it has a pose."""
        ...

    def update_path(self, positions: NDArray[np.float64]) -> None:
        """Replaces the camera's path: float64 [N, 3], metres, world frame."""
        ...

    def update_status(self, status: Mapping[str, Any]) -> None:
        """Replaces the table of figures: what is shown in front of each value, in order."""
        ...

    def reset(self) -> None:
        """Forgets everything shown."""
        ...

    def close(self) -> None:
        """Stops showing; the viewer is of no use after that."""
        ...


class NullViewer:
    """Shows nothing, so that nobody has to ask whether there is a viewer."""

    wants_points = False

    def update_blocks(self, blocks: Mapping[Any, Mesh], removed: Iterable[BlockKey] = ()) -> None:
        """Does nothing."""

    def update_points(
        self, points: NDArray[np.float32], colors: NDArray[np.uint8], provenance: NDArray[np.uint8]
    ) -> None:
        """Does nothing."""

    def update_camera(self, view: View) -> None:
        """Does nothing."""

    def update_path(self, positions: NDArray[np.float64]) -> None:
        """Does nothing."""

    def update_status(self, status: Mapping[str, Any]) -> None:
        """Does nothing."""

    def reset(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""
