"""A triangle mesh whose texture is looked up at every pixel, not at the vertices only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.se3 import transform_points
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance

NO_TEXTURE = -1


@dataclass(frozen=True, eq=False)
class TexturedModel:
    """A mesh and what it is painted with.

    Attributes:
        mesh: its vertex colours are those of the materials; white where there is a texture.
        uv: float64 [V, 2], places in the texture: (0, 0) its lower left corner, (1, 1) its upper right; it repeats.
        texture: int32 [T], which of ``textures`` each triangle has; -1 = none.
        textures: uint8 [h, w, 3] each, RGB, first row on top.
    """

    mesh: Mesh
    uv: NDArray[np.float64]
    texture: NDArray[np.int32]
    textures: tuple[NDArray[np.uint8], ...] = ()

    @staticmethod
    def plain(mesh: Mesh) -> TexturedModel:
        """A mesh with its vertex colours."""
        return TexturedModel(
            mesh, np.zeros((len(mesh.vertices), 2)), np.full(len(mesh.triangles), NO_TEXTURE, np.int32)
        )

    def paint(
        self, triangles: NDArray[np.int32], points: NDArray[np.float64], colors: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """``colors`` [N, 3] with the texture at points [N, 3] of triangles [N] instead, where they have one."""
        painted = colors.copy()
        texture = self.texture[triangles]
        for number in np.unique(texture[texture != NO_TEXTURE]):
            here = texture == number
            corners = self.mesh.triangles[triangles[here]]
            weights = barycentric(self.mesh.vertices[corners].astype(np.float64), points[here])
            uv = np.einsum("nc,ncd->nd", weights, self.uv[corners])
            painted[here] = sampled(self.textures[number], uv)
        return painted


def barycentric(corners: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights [N, 3] of the corners [N, 3, 3] of triangles at points [N, 3] on them (Ericson 2004, section 3.4)."""
    along, across, to_point = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    d00, d01, d11 = (np.sum(a * b, axis=1) for a, b in ((along, along), (along, across), (across, across)))
    d20, d21 = np.sum(to_point * along, axis=1), np.sum(to_point * across, axis=1)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-300)
    second, third = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    return np.clip(np.stack([1 - second - third, second, third], axis=1), 0, 1)


def sampled(texture: NDArray[np.uint8], uv: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colours float64 [N, 3] of a repeating texture [h, w, 3] at places [N, 2], bilinear."""
    height, width = texture.shape[:2]
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    colors = np.zeros((len(uv), 3))
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            colors += wx * wy * texture[(top + dy) % height, (left + dx) % width]
    return colors


def load_textured_model(path: Path) -> TexturedModel:
    """Reads an OBJ, PLY or GLB with its materials and textures, in the axes of the file.

    Raises:
        InputError: not a file, no triangle mesh, or one that names vertices it has not.
    """
    import trimesh

    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a mesh")
    try:
        scene = trimesh.load_scene(path, process=False)
        nodes = [(*scene.graph[name], name) for name in scene.graph.nodes_geometry]
        parts = [(scene.geometry[geometry], transform) for transform, geometry, _ in nodes]
        parts = [part for part in parts if isinstance(part[0], trimesh.Trimesh) and len(part[0].faces)]
    except Exception as error:  # its readers raise whatever went wrong inside
        raise InputError(f"{path}: cannot be read as a mesh: {error}") from error
    if not parts:
        raise InputError(f"{path}: the mesh has no triangles")
    meshes, uvs, texture = [], [], []
    textures: list[NDArray[np.uint8]] = []
    for model, transform in parts:
        painted = _texture_of(model)
        meshes.append(_mesh_of(model, transform, textured=painted is not None, path=path))
        uvs.append(np.zeros((len(model.vertices), 2)) if painted is None else painted[0])
        texture.append(np.full(len(model.faces), NO_TEXTURE if painted is None else len(textures), np.int32))
        textures += [] if painted is None else [painted[1]]
    return TexturedModel(Mesh.concatenate(meshes), np.concatenate(uvs), np.concatenate(texture), tuple(textures))


def _mesh_of(model: Any, transform: NDArray[np.float64], *, textured: bool, path: Path) -> Mesh:
    faces = np.ascontiguousarray(model.faces, np.int32)
    if faces.min() < 0 or faces.max() >= len(model.vertices):
        raise InputError(f"{path}: a triangle names vertex {faces.max()}, the mesh has {len(model.vertices)}")
    count = len(model.vertices)
    if textured:
        colors = np.full((count, 3), 255, np.uint8)
    elif getattr(model.visual, "kind", None) == "texture":
        colors = np.tile(np.asarray(model.visual.material.main_color, np.uint8)[:3], (count, 1))
    else:
        colors = np.ascontiguousarray(model.visual.vertex_colors[:, :3], np.uint8)
    vertices = transform_points(transform, model.vertices).astype(np.float32)
    unknown = np.full(count, Provenance.UNKNOWN, np.uint8)
    return Mesh(vertices, faces, colors, np.zeros((count, 3), np.float32), unknown)


def _texture_of(model: Any) -> tuple[NDArray[np.float64], NDArray[np.uint8]] | None:
    """Places [V, 2] and texture [h, w, 3]; None where the model has none that can be read."""
    uv = getattr(model.visual, "uv", None)
    material = getattr(model.visual, "material", None)
    image = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    if uv is None or image is None or len(uv) != len(model.vertices) or not np.isfinite(uv).all():
        return None
    return np.asarray(uv, np.float64), np.asarray(image.convert("RGB"), np.uint8)
