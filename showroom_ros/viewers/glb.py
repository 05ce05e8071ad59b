"""A mesh as binary glTF 2.0 (https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html), straight from numpy."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAGIC, _VERSION = b"glTF", 2
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942
_FLOAT, _UINT16, _UINT32 = 5126, 5123, 5125
_ARRAY_BUFFER, _INDEX_BUFFER = 34962, 34963


def glb_bytes(
    vertices: NDArray[np.float32],
    normals: NDArray[np.float32],
    colors: NDArray[np.uint8],
    triangles: NDArray[np.int32],
    opacity: float = 1.0,
) -> bytes:
    """A file with one mesh, coloured per vertex, seen from the front side only.

    Args:
        vertices: float32 [V, 3], V > 0.
        normals: float32 [V, 3], unit length.
        colors: uint8 [V, 3], sRGB as in photographs; glTF wants linear light, so they are converted.
        triangles: int32 [T, 3], T > 0.
        opacity: in (0, 1].
    """
    rgba = np.full((len(colors), 4), 65535, np.uint16)
    rgba[:, :3] = _LINEAR_FROM_SRGB[colors]
    arrays: tuple[tuple[str, NDArray, int, str], ...] = (
        ("POSITION", vertices.astype(np.float32), _FLOAT, "VEC3"),
        ("NORMAL", normals.astype(np.float32), _FLOAT, "VEC3"),
        ("COLOR_0", rgba, _UINT16, "VEC4"),
        ("indices", triangles.astype(np.uint32).reshape(-1), _UINT32, "SCALAR"),
    )
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []
    offset = 0
    for index, (name, array, component, kind) in enumerate(arrays):
        target = _INDEX_BUFFER if name == "indices" else _ARRAY_BUFFER
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": array.nbytes, "target": target})
        accessors.append({"bufferView": index, "componentType": component, "count": len(array), "type": kind})
        offset += array.nbytes
    accessors[0].update(min=vertices.min(axis=0).tolist(), max=vertices.max(axis=0).tolist())
    accessors[2]["normalized"] = True
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [_primitive()]}],
        "materials": [_material(opacity)],
        "buffers": [{"byteLength": offset}],
        "bufferViews": views,
        "accessors": accessors,
    }
    return _container(document, b"".join(array.tobytes() for _, array, _, _ in arrays))


def _primitive() -> dict[str, Any]:
    return {"attributes": {"POSITION": 0, "NORMAL": 1, "COLOR_0": 2}, "indices": 3, "material": 0}


def _material(opacity: float) -> dict[str, Any]:
    surface = {"baseColorFactor": [1.0, 1.0, 1.0, opacity], "metallicFactor": 0.0, "roughnessFactor": 1.0}
    return {"pbrMetallicRoughness": surface, "alphaMode": "OPAQUE" if opacity >= 1.0 else "BLEND"}


def _container(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    size = 12 + 8 + len(text) + 8 + len(binary)
    return b"".join(
        (
            struct.pack("<4sII", _MAGIC, _VERSION, size),
            struct.pack("<II", len(text), _JSON_CHUNK),
            text,
            struct.pack("<II", len(binary), _BINARY_CHUNK),
            binary,
        )
    )


def _linear_table() -> NDArray[np.uint16]:
    srgb = np.arange(256) / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.round(linear * 65535).astype(np.uint16)


_LINEAR_FROM_SRGB = _linear_table()
