"""Reads GLB models (glTF 2.0 binary): node transforms, triangles, normals, texture coordinates, base colours.

Source: Khronos glTF 2.0 specification, sections 3 and 4. Skins, morph targets, sparse accessors and
compressed meshes are not read. Pillow or OpenCV decodes the embedded images.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import DatasetError, MissingDependencyError
from showroom_ros.geometry.se3 import rotation_from_quat

_MAGIC, _JSON, _BINARY = 0x46546C67, 0x4E4F534A, 0x004E4942
_COMPONENTS = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_TRIANGLES = 4


@dataclass(frozen=True, eq=False)
class GlbPart:
    """One primitive of a model, in the model's frame.

    Attributes:
        vertices: float64 [V, 3], metres.
        normals: float64 [V, 3], unit length.
        uv: float64 [V, 2], texture coordinates, v downwards as in glTF; 0 where the file has none.
        triangles: int64 [T, 3], counter-clockwise seen from outside.
        image: uint8 [H, W, 3] sRGB of the base colour texture, or None.
        color: float64 [3], linear base colour factor in [0, 1].
        two_sided: whether it is meant to be seen from behind too.
    """

    vertices: NDArray[np.float64]
    normals: NDArray[np.float64]
    uv: NDArray[np.float64]
    triangles: NDArray[np.int64]
    image: NDArray[np.uint8] | None
    color: NDArray[np.float64]
    two_sided: bool


def read_glb(path: Path) -> list[GlbPart]:
    """All triangle primitives of a model's default scene.

    Raises:
        DatasetError: the file is missing, cut short, no GLB, or uses what is not read.
        MissingDependencyError: the model has images and neither Pillow nor OpenCV is installed.
    """
    try:
        parts = _Glb(path).parts()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise DatasetError(f"{path} is a broken GLB model: {type(error).__name__} {error}") from error
    if not parts:
        raise DatasetError(f"{path} holds no triangles, expected at least one mesh")
    return parts


class _Glb:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
        if len(content) < 20:
            raise DatasetError(f"{path} has {len(content)} bytes, too few for a GLB model")
        magic, version, length = struct.unpack_from("<III", content)
        if magic != _MAGIC or version != 2:
            raise DatasetError(f"{path} is no GLB model of version 2 (magic {magic:#x}, version {version})")
        if length > len(content):
            raise DatasetError(f"{path} is cut short: {len(content)} of {length} bytes")
        chunks: dict[int, bytes] = {}
        start = 12
        while start + 8 <= length:
            size, kind = struct.unpack_from("<II", content, start)
            chunks.setdefault(kind, content[start + 8 : start + 8 + size])
            start += 8 + size
        if _JSON not in chunks:
            raise DatasetError(f"{path} has no JSON chunk")
        self.json: dict[str, Any] = json.loads(chunks[_JSON])
        self.binary = chunks.get(_BINARY, b"")
        if required := self.json.get("extensionsRequired"):
            raise DatasetError(f"{path} needs glTF extensions {', '.join(required)}, which are not read")
        self._images: dict[int, NDArray[np.uint8]] = {}

    def parts(self) -> list[GlbPart]:
        scenes = self.json.get("scenes")
        nodes = self.json.get("nodes", [])
        roots = scenes[self.json.get("scene", 0)].get("nodes", []) if scenes else range(len(nodes))
        found: list[GlbPart] = []
        waiting = [(int(root), np.eye(4), 0) for root in roots]
        while waiting:
            number, parent, deep = waiting.pop()
            if deep > len(nodes):
                raise DatasetError(f"{self.path} has a cycle of nodes through node {number}")
            node = nodes[number]
            pose = parent @ _transform(node)
            if "mesh" in node:
                primitives = self.json["meshes"][node["mesh"]]["primitives"]
                found += [self._part(p, pose) for p in primitives if p.get("mode", _TRIANGLES) == _TRIANGLES]
            waiting += [(int(child), pose, deep + 1) for child in reversed(node.get("children", []))]
        return found

    def _part(self, primitive: dict[str, Any], pose: NDArray[np.float64]) -> GlbPart:
        attributes = primitive["attributes"]
        local = self._accessor(attributes["POSITION"]).astype(np.float64)
        vertices = local @ pose[:3, :3].T + pose[:3, 3]
        if not np.isfinite(vertices).all():
            raise DatasetError(f"{self.path} has vertices that are not finite")
        if "indices" in primitive:
            triangles = self._accessor(primitive["indices"]).reshape(-1, 3).astype(np.int64)
        else:
            triangles = np.arange(len(vertices), dtype=np.int64).reshape(-1, 3)
        if len(triangles) and triangles.max() >= len(vertices):
            raise DatasetError(f"{self.path} names vertex {triangles.max()} of {len(vertices)}")
        if np.linalg.det(pose[:3, :3]) < 0:
            triangles = triangles[:, ::-1]
        if "NORMAL" in attributes:
            normals = self._accessor(attributes["NORMAL"]).astype(np.float64) @ np.linalg.inv(pose[:3, :3])
        else:
            vertices, triangles, normals = _flat(vertices, triangles)
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        uv = np.zeros((len(vertices), 2))
        if "TEXCOORD_0" in attributes and "NORMAL" in attributes:
            uv = self._accessor(attributes["TEXCOORD_0"]).astype(np.float64)
        image, color, two_sided = self._material(primitive.get("material"))
        return GlbPart(vertices, normals, uv, triangles, image, color, two_sided)

    def _accessor(self, number: int) -> NDArray:
        accessor = self.json["accessors"][number]
        if "sparse" in accessor or "bufferView" not in accessor:
            raise DatasetError(f"{self.path} has a sparse or empty accessor {number}, which is not read")
        view = self.json["bufferViews"][accessor["bufferView"]]
        kind, width, count = (
            np.dtype(_COMPONENTS[accessor["componentType"]]),
            _WIDTH[accessor["type"]],
            accessor["count"],
        )
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        stride = view.get("byteStride", kind.itemsize * width)
        end = start + stride * (count - 1) + kind.itemsize * width
        if end > len(self.binary):
            raise DatasetError(f"{self.path}: accessor {number} ends at byte {end} of {len(self.binary)}")
        table = np.ndarray((count, width), kind, self.binary, start, (stride, kind.itemsize))
        if accessor.get("normalized") and kind.kind in "iu":
            return table / float(2 ** (8 * kind.itemsize - (kind.kind == "i")) - 1)
        return table

    def _material(self, number: int | None) -> tuple[NDArray[np.uint8] | None, NDArray[np.float64], bool]:
        if number is None:
            return None, np.ones(3), False
        material = self.json["materials"][number]
        surface = material.get("pbrMetallicRoughness", {})
        color = np.clip(np.array(surface.get("baseColorFactor", (1, 1, 1, 1))[:3], np.float64), 0, 1)
        texture = surface.get("baseColorTexture")
        image = None if texture is None else self._image(self.json["textures"][texture["index"]]["source"])
        return image, color, bool(material.get("doubleSided", False))

    def _image(self, number: int) -> NDArray[np.uint8]:
        if number not in self._images:
            entry = self.json["images"][number]
            if "bufferView" not in entry:
                raise DatasetError(f"{self.path}: image {number} lies outside the file, expected it embedded")
            view = self.json["bufferViews"][entry["bufferView"]]
            start = view.get("byteOffset", 0)
            self._images[number] = decoded_image(self.binary[start : start + view["byteLength"]], str(self.path))
        return self._images[number]


def decoded_image(content: bytes, name: str) -> NDArray[np.uint8]:
    """JPEG or PNG bytes as uint8 [H, W, 3] RGB; ``name`` is for the error.

    Raises:
        DatasetError: the bytes are no image.
        MissingDependencyError: neither Pillow nor OpenCV is installed.
    """
    try:
        from PIL import Image
    except ImportError:
        return _decoded_by_opencv(content, name)
    try:
        with Image.open(BytesIO(content)) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"{name}: an image cannot be decoded: {error}") from error


def _decoded_by_opencv(content: bytes, name: str) -> NDArray[np.uint8]:
    try:
        import cv2
    except ImportError as error:
        raise MissingDependencyError("textures of models need Pillow or OpenCV: pip install pillow") from error
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError(f"{name}: an image cannot be decoded")
    return np.ascontiguousarray(image[..., ::-1], dtype=np.uint8)


def _transform(node: dict[str, Any]) -> NDArray[np.float64]:
    """Node to parent [4, 4]; glTF stores matrices by columns and quaternions as x, y, z, w."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    pose = np.eye(4)
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    pose[:3, :3] = rotation_from_quat(np.array([w, x, y, z])) * np.array(node.get("scale", (1.0, 1.0, 1.0)))
    pose[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return pose


def _flat(
    vertices: NDArray[np.float64], triangles: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Faceted shading where a file has no normals, as the specification asks (3.7.2.1)."""
    corners = vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return corners.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3), np.repeat(normals, 3, 0)
