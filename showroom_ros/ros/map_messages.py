"""Mesh blocks as RViz markers: stable ids, one namespace per provenance, messages of bounded size."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np

from showroom_ros.ros.cdr import DeleteMarker, Marker, TriangleMarker, marker_array_bytes
from showroom_ros.scene.mesh import BlockIndex, Mesh
from showroom_ros.scene.view import Provenance

MAX_MESSAGE_BYTES = 4_000_000
"""A whole map goes out in several messages of about this size, so that none outgrows the transport."""

_BYTES_PER_TRIANGLE = 3 * (24 + 16)
_BYTES_PER_MARKER = 200
_ALPHA = {Provenance.GENERATED: 0.5}


class MarkerBook:
    """Remembers which marker shows which block, so that changed blocks replace and emptied ones vanish.

    Args:
        visible: provenances that are shown; may be assigned while running, then send the map again.
    """

    def __init__(self, visible: Collection[Provenance] = tuple(Provenance)) -> None:
        """An empty book."""
        self.visible = frozenset(visible)
        self._ids: dict[BlockIndex, int] = {}
        self._shown: dict[BlockIndex, dict[str, int]] = {}

    @property
    def triangles(self) -> int:
        """Triangles in all markers shown."""
        return sum(sum(counts.values()) for counts in list(self._shown.values()))

    def markers(self, blocks: Mapping[BlockIndex, Mesh], removed: Iterable[BlockIndex] = ()) -> Iterator[Marker]:
        """Markers that bring a subscriber from the map before to the map after an update."""
        for index in removed:
            yield from self._delete(index, keep=frozenset())
        for index, mesh in blocks.items():
            parts = split_by_provenance(mesh, self.visible)
            shown = {provenance.name.lower(): len(part.triangles) for provenance, part in parts.items()}
            yield from self._delete(index, keep=frozenset(shown))
            marker_id = self._ids.setdefault(index, len(self._ids))
            for provenance, part in parts.items():
                yield TriangleMarker(
                    provenance.name.lower(),
                    marker_id,
                    part.vertices,
                    part.triangles,
                    part.colors,
                    alpha=_ALPHA.get(provenance, 1.0),
                )
            self._shown[index] = shown

    def clear(self) -> None:
        """Forgets what is shown (after a DELETEALL); ids stay stable."""
        self._shown.clear()

    def _delete(self, index: BlockIndex, keep: frozenset[str]) -> Iterator[Marker]:
        for name in sorted(self._shown.pop(index, {}).keys() - keep):
            yield DeleteMarker(name, self._ids[index])


def split_by_provenance(mesh: Mesh, visible: Collection[Provenance]) -> dict[Provenance, Mesh]:
    """The mesh's triangles by the worst provenance of their corners; only what is visible and not empty."""
    if not len(mesh.triangles):
        return {}
    worst = mesh.provenance[mesh.triangles].max(axis=1)
    parts = {}
    for value in np.unique(worst):
        provenance = Provenance(int(value))
        if provenance in visible:
            triangles = mesh.triangles if (worst == value).all() else mesh.triangles[worst == value]
            parts[provenance] = Mesh(mesh.vertices, triangles, mesh.colors, mesh.normals, mesh.provenance)
    return parts


def marker_messages(markers: Iterable[Marker], frame_id: str, stamp_ns: int) -> Iterator[bytes]:
    """Serialised ``MarkerArray`` messages of at most about ``MAX_MESSAGE_BYTES`` each."""
    batch: list[Marker] = []
    size = 0
    for marker in markers:
        added = _BYTES_PER_MARKER
        if isinstance(marker, TriangleMarker):
            added += len(marker.triangles) * _BYTES_PER_TRIANGLE
        if batch and size + added > MAX_MESSAGE_BYTES:
            yield marker_array_bytes(batch, frame_id, stamp_ns)
            batch, size = [], 0
        batch.append(marker)
        size += added
    if batch:
        yield marker_array_bytes(batch, frame_id, stamp_ns)
