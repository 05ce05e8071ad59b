"""Reads ``visualization_msgs/MarkerArray`` straight from CDR into numpy: the other half of ``cdr.marker_array_bytes``.

``rclpy.serialization`` is the reference in the tests; it takes a hundred times longer, because it makes an
object of every corner.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.ros.cdr_stream import CdrReader
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance

ADD, DELETE, DELETE_ALL = 0, 2, 3
TRIANGLE_LIST = 11

MarkerKey = tuple[str, int]
"""Namespace and id: what identifies a marker on its topic."""


@dataclass(frozen=True, eq=False)
class ReceivedMarker:
    """What a mesh subscriber needs of one marker.

    Attributes:
        stamp_ns: stamp of its header.
        frame_id: frame of its points.
        namespace, id: what identifies it.
        kind: its ``type`` field.
        action: ``ADD``, ``DELETE`` or ``DELETE_ALL``.
        points: float64 [N, 3] metres, read-only.
        colors: float32 [N, 4] RGBA in [0, 1], read-only; or [0, 4].
    """

    stamp_ns: int
    frame_id: str
    namespace: str
    id: int
    kind: int
    action: int
    points: NDArray[np.float64]
    colors: NDArray[np.float32]

    @property
    def key(self) -> MarkerKey:
        """Namespace and id."""
        return self.namespace, self.id

    def mesh(self) -> Mesh:
        """Its triangles, three vertices of their own each, with the triangles' normals.

        The provenance is that of the namespace (``measured``, ...), UNKNOWN for any other name.

        Raises:
            InputError: it is no triangle list, or its points are no whole triangles.
        """
        if self.kind != TRIANGLE_LIST or len(self.points) % 3:
            raise InputError(
                f"marker {self.namespace}/{self.id} has type {self.kind} and {len(self.points)} points, "
                f"expected {TRIANGLE_LIST} (TRIANGLE_LIST) and a multiple of 3"
            )
        count = len(self.points)
        vertices = self.points.astype(np.float32)
        colors = np.full((count, 3), 255, np.uint8)
        if len(self.colors) == count:
            colors = np.clip(np.rint(self.colors[:, :3] * np.float32(255)), 0, 255).astype(np.uint8)
        return Mesh(
            vertices,
            np.arange(count, dtype=np.int32).reshape(-1, 3),
            colors,
            _corner_normals(vertices),
            np.full(count, provenance_of(self.namespace), np.uint8),
        )


class MarkerBlocks:
    """Follows a stream of markers: which mesh blocks each message changes and removes."""

    def __init__(self) -> None:
        """No blocks yet."""
        self._shown: set[MarkerKey] = set()

    def apply(self, markers: Iterable[ReceivedMarker]) -> tuple[dict[MarkerKey, Mesh], set[MarkerKey]]:
        """Changed blocks and removed ones, after all ``markers`` were obeyed in order.

        Raises:
            InputError: a marker is no triangle list.
        """
        blocks: dict[MarkerKey, Mesh] = {}
        removed: set[MarkerKey] = set()
        for marker in markers:
            if marker.action == DELETE_ALL:
                removed |= self._shown
                blocks.clear()
            elif marker.action == DELETE:
                removed.add(marker.key)
                blocks.pop(marker.key, None)
            else:
                blocks[marker.key] = marker.mesh()
        removed -= blocks.keys()
        self._shown = (self._shown - removed) | blocks.keys()
        return blocks, removed


def read_marker_array(data: bytes, what: str = "mesh") -> list[ReceivedMarker]:
    """All markers of a serialised ``MarkerArray``; ``what`` names the message in errors.

    Raises:
        InputError: the message is cut short or no CDR.
    """
    reader = CdrReader(data, what)
    return [_read_marker(reader) for _ in range(reader.one("I"))]


def provenance_of(namespace: str) -> Provenance:
    """The provenance a marker namespace stands for."""
    return Provenance.__members__.get(namespace.upper(), Provenance.UNKNOWN)


def _read_marker(reader: CdrReader) -> ReceivedMarker:
    stamp_ns, frame_id = reader.header()
    namespace = reader.string()
    marker_id, kind, action = reader.read("i", 3)
    reader.read("d", 7 + 3)  # pose, scale
    reader.read("f", 4)  # colour
    reader.read("i")  # lifetime
    reader.read("I")
    reader.one("?")  # frame_locked
    points = reader.structs(np.float64, 3)
    colors = reader.structs(np.float32, 4)
    reader.string()  # texture_resource
    reader.header()  # texture
    reader.string()
    reader.octets()
    reader.structs(np.float32, 2)  # uv_coordinates
    for _ in range(3):  # text, mesh_resource, mesh_file.filename
        reader.string()
    reader.octets()  # mesh_file.data
    reader.one("?")  # mesh_use_embedded_materials
    return ReceivedMarker(stamp_ns, frame_id, namespace, marker_id, kind, action, points, colors)


def _corner_normals(vertices: NDArray[np.float32]) -> NDArray[np.float32]:
    corners = vertices.reshape(-1, 3, 3)
    (ux, uy, uz), (vx, vy, vz) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    normals = np.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], axis=1)  # np.cross is slow
    lengths = np.sqrt(np.einsum("ij,ij->i", normals, normals))
    normals /= np.maximum(lengths, np.finfo(np.float32).tiny)[:, None]
    return normals.repeat(3, axis=0)
