"""Small meshes with known answers."""

from __future__ import annotations

import numpy as np

from showroom_ros.scene.mesh import Mesh


def mesh_of(vertices: np.ndarray, triangles: np.ndarray, color: tuple[int, int, int] = (128, 128, 128)) -> Mesh:
    vertices = np.asarray(vertices, np.float32)
    triangles = np.asarray(triangles, np.int32)
    normals = np.zeros_like(vertices)
    corners = vertices[triangles]
    for i in range(3):
        np.add.at(normals, triangles[:, i], np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    colors = np.tile(np.array(color, np.uint8), (len(vertices), 1))
    return Mesh(vertices, triangles, colors, normals.astype(np.float32), np.ones(len(vertices), np.uint8))


def plane(size: float = 2.0, z: float = 0.0, cells: int = 10, color: tuple[int, int, int] = (128, 128, 128)) -> Mesh:
    """A square in x and y, facing up."""
    steps = np.linspace(0, size, cells + 1)
    x, y = np.meshgrid(steps, steps)
    vertices = np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], axis=1)
    first = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    a, b, c, d = first, first + 1, first + cells + 1, first + cells + 2
    return mesh_of(vertices, np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)]), color)


def sphere(radius: float = 1.0, center: tuple[float, float, float] = (0, 0, 0), steps: int = 48) -> Mesh:
    """Facing out; vertices lie on the sphere."""
    theta, phi = np.meshgrid(np.linspace(0, np.pi, steps + 1), np.linspace(0, 2 * np.pi, 2 * steps + 1), indexing="ij")
    points = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1).reshape(-1, 3)
    first = (np.arange(steps)[:, None] * (2 * steps + 1) + np.arange(2 * steps)).ravel()
    a, b, c, d = first, first + 1, first + 2 * steps + 1, first + 2 * steps + 2
    triangles = np.concatenate([np.stack([a, c, d], 1), np.stack([a, d, b], 1)])
    return mesh_of(points * radius + center, triangles)


def room(size: tuple[float, float, float] = (4.0, 3.0, 2.5), cells: int = 24) -> Mesh:
    """A box seen from inside, each wall with its own coloured pattern; z up, floor at 0."""
    frames = [  # origin, along, across: across x along looks into the room
        ((0, 0, 0), (1, 0, 0), (0, 1, 0)),
        ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
        ((0, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((1, 0, 0), (0, 0, 1), (0, 1, 0)),
        ((0, 0, 0), (0, 0, 1), (1, 0, 0)),
        ((0, 1, 0), (1, 0, 0), (0, 0, 1)),
    ]
    parts = []
    for number, (origin, along, across) in enumerate(frames):
        flat = plane(1.0, cells=cells)
        s, t = flat.vertices[:, :1], flat.vertices[:, 1:2]
        vertices = (np.array(origin) + s * np.array(along) + t * np.array(across)) * size
        part = mesh_of(vertices, flat.triangles)
        waves = np.concatenate([np.sin(19 * s + number), np.cos(23 * t - number), np.sin(17 * (s + t))], axis=1)
        part.colors[:] = 128 + 90 * waves
        parts.append(part)
    return Mesh.concatenate(parts)
