"""The exact mesh of a room, as fine and as coloured as a reconstruction of it should be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.synthetic.room import Room
from showroom_ros.datasets.synthetic.solids import split_long_edges
from showroom_ros.errors import InputError
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance


def exact_mesh(room: Room, edge_m: float = 0.05) -> Mesh:
    """The triangles that are rendered, split at their middles until no edge is longer than ``edge_m``.

    Splitting leaves the surface as it is; it gives the texture vertices to live in. Colours are what the
    camera's development makes of each vertex's radiance.

    Raises:
        InputError: ``edge_m`` is not positive.
    """
    if not edge_m > 0:
        raise InputError(f"edge_m is {edge_m}, expected a positive number of metres")
    material = np.zeros(len(room.vertices), np.float64)
    material[room.triangles] = room.material[:, None]
    attributes = np.column_stack([room.vertices, room.normals, room.uv, room.light, material]).astype(np.float64)
    triangles = room.triangles.astype(np.int64)
    attributes, triangles = split_long_edges(attributes, triangles, edge_m)
    normals = attributes[:, 3:6] / np.maximum(np.linalg.norm(attributes[:, 3:6], axis=1, keepdims=True), 1e-12)
    return Mesh(
        vertices=attributes[:, :3].astype(np.float32),
        triangles=triangles.astype(np.int32),
        colors=_colors(room, attributes[:, 6:8], attributes[:, 8:11], attributes[:, 11].astype(int)),
        normals=normals.astype(np.float32),
        provenance=np.full(len(attributes), Provenance.MEASURED, np.uint8),
    )


def _colors(
    room: Room, uv: NDArray[np.float64], light: NDArray[np.float64], material: NDArray[np.int64]
) -> NDArray[np.uint8]:
    colors = np.empty((len(uv), 3), np.uint8)
    for number, surface in enumerate(room.materials):
        mine = material == number
        size = surface.texture.shape[0] // 4
        small = (surface.texture.astype(np.float64) ** 2.2).reshape(size, 4, size, 4, 3).mean((1, 3))
        column = np.floor(uv[mine, 0] * size).astype(int) % size
        row = np.floor((1 - uv[mine, 1]) * size).astype(int) % size
        exposed = small[row, column] * light[mine] * room.exposure
        colors[mine] = np.round((1 - np.exp(-exposed)) ** (1 / 2.2) * 255)
    return colors
