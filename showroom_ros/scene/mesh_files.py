"""Meshes on disk: PLY (everything we know), GLB and OBJ (what other programs show)."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError, OutputError
from showroom_ros.geometry.se3 import transform_points
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.output_file import atomic_output
from showroom_ros.scene.view import Provenance

SUFFIXES = (".ply", ".glb", ".obj")

_Y_UP_Z_UP = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])  # T of glTF's axes to ours

_PLY_VERTEX = np.dtype(
    [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    + [(name, "u1") for name in ("red", "green", "blue", "provenance")]
)
_PLY_FACE = np.dtype([("count", "u1"), ("vertices", "<i4", 3)])
_PLY_TYPES = {
    "char": "i1", "uchar": "u1", "short": "<i2", "ushort": "<u2", "int": "<i4", "uint": "<u4", "float": "<f4",
    "double": "<f8", "int8": "i1", "uint8": "u1", "int16": "<i2", "uint16": "<u2", "int32": "<i4", "uint32": "<u4",
    "float32": "<f4", "float64": "<f8",
}  # fmt: skip
_PLY_NAMES = {"<f4": "float", "u1": "uchar", "|u1": "uchar"}


def save_mesh(path: str | Path, mesh: Mesh) -> None:
    """Writes ``mesh`` in the format its suffix names, atomically.

    PLY is binary with normals, colours and a ``provenance`` per vertex. GLB has normals, colours, a
    ``_PROVENANCE`` attribute and glTF's y-up convention (a node turns our z up). OBJ has normals and colours.

    Raises:
        OutputError: another suffix, an empty mesh in a format that has none, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{path}: mesh format '{path.suffix}' is unknown, expected {', '.join(SUFFIXES)}")
    if path.suffix.lower() != ".ply" and not len(mesh.triangles):
        raise OutputError(f"{path}: the mesh has no triangles, and {path.suffix} cannot hold an empty mesh; use .ply")
    with atomic_output(path) as file:
        {".ply": _write_ply, ".glb": _write_glb, ".obj": _write_obj}[path.suffix.lower()](file, mesh)


def load_mesh(path: str | Path) -> Mesh:
    """Reads a mesh; what the file does not hold is grey, without normal (0), of unknown provenance.

    Raises:
        InputError: not a file, another suffix, or not a triangle mesh in a form we read.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: mesh format '{path.suffix}' is unknown, expected {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a mesh")
    return _read_ply(path) if path.suffix.lower() == ".ply" and _is_binary_ply(path) else _read_by_trimesh(path)


def _write_ply(file: IO[bytes], mesh: Mesh) -> None:
    vertices = np.empty(len(mesh.vertices), _PLY_VERTEX)
    for column, name in enumerate(("x", "y", "z")):
        vertices[name], vertices["n" + name] = mesh.vertices[:, column], mesh.normals[:, column]
    for column, name in enumerate(("red", "green", "blue")):
        vertices[name] = mesh.colors[:, column]
    vertices["provenance"] = mesh.provenance
    faces = np.empty(len(mesh.triangles), _PLY_FACE)
    faces["count"], faces["vertices"] = 3, mesh.triangles
    kinds = ", ".join(f"{kind.value} {kind.name}" for kind in Provenance)
    properties = [f"property {_PLY_NAMES[_PLY_VERTEX[name].str]} {name}" for name in _PLY_VERTEX.names or ()]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment provenance: {kinds}",
        f"element vertex {len(vertices)}",
    ]
    header += [*properties, f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    file.write("\n".join(header).encode("ascii"))
    file.write(vertices.tobytes())
    file.write(faces.tobytes())


def _write_glb(file: IO[bytes], mesh: Mesh) -> None:
    import trimesh

    model = _as_trimesh(mesh)
    model.vertex_attributes["_PROVENANCE"] = mesh.provenance.astype(np.float32)
    scene = trimesh.Scene()
    scene.add_geometry(model, transform=_Y_UP_Z_UP)
    file.write(scene.export(file_type="glb", include_normals=True))


def _write_obj(file: IO[bytes], mesh: Mesh) -> None:
    text = _as_trimesh(mesh).export(file_type="obj", include_normals=True, include_color=True, digits=6)
    file.write(text.encode("utf-8"))


def _as_trimesh(mesh: Mesh):  # type: ignore[no-untyped-def]
    import trimesh

    return trimesh.Trimesh(
        mesh.vertices, mesh.triangles, vertex_normals=mesh.normals, vertex_colors=mesh.colors, process=False
    )


def _read_by_trimesh(path: Path) -> Mesh:
    import trimesh

    try:
        scene = trimesh.load_scene(path, process=False)
    except Exception as error:  # its readers raise whatever went wrong inside
        raise InputError(f"{path}: cannot be read as a mesh: {error}") from error
    parts = []
    for name in scene.graph.nodes_geometry:
        transform, geometry = scene.graph[name]
        model = scene.geometry[geometry]
        if not isinstance(model, trimesh.Trimesh) or not len(model.vertices):
            raise InputError(f"{path}: cannot be read as a mesh: has no triangles")
        to_ours = _Y_UP_Z_UP.T @ transform if path.suffix.lower() == ".glb" else transform
        attributes = getattr(model, "vertex_attributes", {})
        provenance = attributes.get("_PROVENANCE", np.zeros(len(model.vertices)))
        vertices, normals = transform_points(to_ours, model.vertices), model.vertex_normals @ to_ours[:3, :3].T
        parts.append(_from_arrays(path, vertices, model.faces, _vertex_colors(model), normals, provenance))
    return Mesh.concatenate(parts)


def _vertex_colors(model) -> NDArray:  # type: ignore[no-untyped-def]
    """RGBA [V, 4] of a trimesh: its colours, its texture at the vertices, or the plain colour of its material."""
    import trimesh

    visual = model.visual
    if isinstance(visual, trimesh.visual.ColorVisuals):
        return visual.vertex_colors
    colors = visual.to_color().vertex_colors if visual.uv is not None and _has_texture(visual.material) else None
    if colors is None or len(colors) != len(model.vertices):
        return np.tile(np.asarray(visual.material.main_color, np.uint8), (len(model.vertices), 1))
    return colors


def _has_texture(material) -> bool:  # type: ignore[no-untyped-def]
    return getattr(material, "image", None) is not None or getattr(material, "baseColorTexture", None) is not None


def _from_arrays(
    path: Path, vertices: NDArray, triangles: NDArray, colors: NDArray, normals: NDArray, provenance: NDArray
) -> Mesh:
    if len(triangles) and not 0 <= int(triangles.min()) <= int(triangles.max()) < len(vertices):
        raise InputError(f"{path}: a triangle names vertex {int(triangles.max())}, the mesh has {len(vertices)}")
    return Mesh(
        np.ascontiguousarray(vertices, np.float32),
        np.ascontiguousarray(triangles, np.int32),
        np.ascontiguousarray(np.asarray(colors)[:, :3], np.uint8),
        np.ascontiguousarray(normals, np.float32),
        np.ascontiguousarray(np.asarray(provenance).reshape(-1), np.uint8),
    )


def _is_binary_ply(path: Path) -> bool:
    """Whether we read it ourselves: little-endian, as nearly all are (not text, not big-endian)."""
    with path.open("rb") as file:
        start = file.read(200)
    return not start.startswith(b"ply") or b"format binary_little_endian 1.0" in start


def _read_ply(path: Path) -> Mesh:
    content = path.read_bytes()
    end = content.find(b"end_header\n")
    if not content.startswith(b"ply") or end < 0:
        raise InputError(f"{path}: not a PLY file")
    header = content[:end].decode("ascii", "replace").splitlines()
    elements = _ply_elements(path, header)
    at, read = end + len(b"end_header\n"), {}
    for name, count, dtype in elements:
        if at + count * dtype.itemsize > len(content):
            raise InputError(
                f"{path}: cut short: {len(content)} bytes, element {name} needs {at + count * dtype.itemsize}"
            )
        read[name] = np.frombuffer(content, dtype, count, at)
        at += count * dtype.itemsize
    return _ply_mesh(path, read)


def _ply_elements(path: Path, header: list[str]) -> list[tuple[str, int, np.dtype]]:
    elements: list[tuple[str, int, list]] = []
    for line in header:
        words = line.split()
        if words[:1] == ["element"]:
            elements.append((words[1], int(words[2]), []))
        elif words[:2] == ["property", "list"]:  # triangles are lists of fixed length 3
            elements[-1][2].extend([("count", _PLY_TYPES[words[2]]), ("vertices", _PLY_TYPES[words[3]], 3)])
        elif words[:1] == ["property"]:
            if words[1] not in _PLY_TYPES:
                raise InputError(f"{path}: PLY property type '{words[1]}' is unknown")
            elements[-1][2].append((words[2], _PLY_TYPES[words[1]]))
    return [(name, count, np.dtype(fields)) for name, count, fields in elements]


def _ply_mesh(path: Path, read: dict[str, NDArray]) -> Mesh:
    vertices, faces = read.get("vertex"), read.get("face")
    if vertices is None or not {"x", "y", "z"} <= set(vertices.dtype.names or ()):
        raise InputError(f"{path}: no vertices with x, y, z")
    if faces is not None and len(faces) and not (faces["count"] == 3).all():
        raise InputError(f"{path}: holds polygons, expected triangles only")

    def columns(names: tuple[str, ...], default: float) -> NDArray:
        has = set(names) <= set(vertices.dtype.names or ())
        return np.stack([vertices[name] for name in names], 1) if has else np.full((len(vertices), len(names)), default)

    return _from_arrays(
        path, columns(("x", "y", "z"), 0), np.zeros((0, 3), np.int32) if faces is None else faces["vertices"],
        columns(("red", "green", "blue"), 128), columns(("nx", "ny", "nz"), 0), columns(("provenance",), 0),
    )  # fmt: skip
