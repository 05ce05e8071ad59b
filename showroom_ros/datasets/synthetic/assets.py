"""Furniture from a folder of GLB models (metres, z up), used beside the parametric pieces.

What a model is follows from its name, or else from its size; which way it faces from its shape: the
side where it is high is its back (seats, beds, hoods), or the side with more detail is its front.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from showroom_ros.datasets.synthetic.gltf import GlbPart, read_glb
from showroom_ros.datasets.synthetic.pictures import fitted
from showroom_ros.datasets.synthetic.piece import Light, Piece
from showroom_ros.datasets.synthetic.solids import Surface, split_long_edges
from showroom_ros.datasets.synthetic.textures import SIZE, Image, Material
from showroom_ros.errors import DatasetError

Array = NDArray[np.float64]

IGNORED = "ignored"
_WORDS = (
    (
        r"floor|wall(?!shelf)|ceiling|door|window|curtain|carpet|rug|handle|board$|pillow|quilt|blanket|cookingbench",
        IGNORED,
    ),
    (r"aircondition|hood|utensil", IGNORED),
    (r"coffeetable|teatable|balconytable", "coffee table"),
    (r"nightstand|bedside", "nightstand"),
    (r"desk(?!portrait)", "desk"),
    (r"deskportrait|tablet|tableware|vase|seasoning|light|cup|bowl|camera|book$|clock", "small thing"),
    (r"kitchencabinet", "kitchen"),
    (r"tvcabinet|tvstand|sideboard", "sideboard"),
    (r"dumbbell|ball|trash|bin|basket|toy", "floor thing"),
    (r"fitness|treadmill|piano", "equipment"),
    (r"portrait|picture|painting|poster", "picture"),
    (r"^tv|television", "television"),
    (r"chandelier|pendant", "hanging lamp"),
    (r"fridge|refrigerator", "fridge"),
    (r"wardrobe|closet", "wardrobe"),
    (r"shoerack|shoecabinet", "shoe cabinet"),
    (r"bookcase|bookshelf|shelf|rack", "bookcase"),
    (r"dresser|drawer|cabinet|commode", "dresser"),
    (r"armchair", "armchair"),
    (r"sofa|couch", "sofa"),
    (r"chair|stool", "chair"),
    (r"bed", "bed"),
    (r"table", "table"),
    (r"plant|tree|flower", "plant"),
    (r"lamp", "small thing"),
)
"""What a model is by its name, first match first; names are compared in lower case without digits and marks."""

_WALL_DEPTH_M = 0.09
_EDGE_M = 0.18
_MOST_TRIANGLES = 12_000


def category_of(name: str, extent_m: Array | None = None) -> str | None:
    """What a model of a name is; by its extent [3] where the name says nothing, None if that is not given."""
    plain = re.sub(r"[^a-z]", "", re.sub(r"[_-][a-z]?\d+$", "", name.lower()))
    for pattern, category in _WORDS:
        if re.search(pattern, plain):
            return category
    if extent_m is None:
        return None
    flat, tall = sorted(extent_m[:2]), float(extent_m[2])
    if flat[1] > 3.5 or tall > 2.4 or tall < 0.02:
        return IGNORED
    if flat[0] < _WALL_DEPTH_M and tall > 0.25:
        return "picture"
    if flat[1] < 0.45 and tall < 0.45:
        return "small thing"
    if tall > 1.2:
        return "wardrobe" if flat[1] > 0.5 else IGNORED
    return "equipment" if tall < 0.95 else "dresser"


class AssetLibrary:
    """The models of a folder by what they are; each is read when it is first used."""

    def __init__(self, folder: Path) -> None:
        """Lists the models.

        Raises:
            DatasetError: no such folder, no GLB files in it, or a broken one among those that must be read.
        """
        if not folder.is_dir():
            raise DatasetError(f"asset folder {folder} is not there")
        self.folder = folder
        self.models: dict[str, list[Path]] = {}
        paths = sorted(folder.glob("*.glb"))
        if not paths:
            raise DatasetError(f"asset folder {folder} holds no .glb models")
        for path in paths:
            category = category_of(path.stem)
            if category is None:
                vertices = np.concatenate([part.vertices for part in read_glb(path)])
                category = category_of(path.stem, vertices.max(0) - vertices.min(0))
            assert category is not None
            self.models.setdefault(category, []).append(path)

    def piece(self, rng: Generator, category: str) -> Piece | None:
        """Some model of a category, or None where there is none.

        Raises:
            DatasetError: the model is broken.
        """
        paths = self.models.get(category, [])
        if not paths:
            return None
        path = paths[int(rng.integers(len(paths)))]
        return _loaded(path, path.stat().st_mtime_ns, category)


@lru_cache(maxsize=256)
def _loaded(path: Path, changed_ns: int, category: str) -> Piece | None:
    del changed_ns  # part of the cache's key
    parts = read_glb(path)
    if sum(len(part.triangles) for part in parts) > _MOST_TRIANGLES:
        return None
    turn = _turn_to_front(parts, category)
    low, high = _bounds([part.vertices @ turn.T for part in parts])
    shift = -np.array([(low[0] + high[0]) / 2, low[1], low[2]])
    surfaces = [_surface(part, turn, shift) for part in parts if len(part.triangles)]
    width, depth, height = (float(x) for x in high - low)
    if category == "sofa" and width < 1.2:
        category = "armchair"
    return Piece(
        category,
        surfaces,
        width,
        depth,
        height,
        top_m=_top(surfaces, width, depth, height),
        light=Light((0, depth / 2, height * 0.25), (4.0, 3.5, 2.8), 0.25) if category == "hanging lamp" else None,
        corner=_corner(surfaces, width) if category in ("sofa", "kitchen") else 0,
    )


def _bounds(vertices: list[Array]) -> tuple[Array, Array]:
    together = np.concatenate(vertices)
    return together.min(0), together.max(0)


def _turn_to_front(parts: list[GlbPart], category: str) -> Array:
    """Rotation about z [3, 3] that brings the front to +y."""
    low, high = _bounds([part.vertices for part in parts])
    extent = high - low
    points, colors, normals = _samples(parts)
    if category in ("chair", "sofa", "bed", "kitchen"):
        upper = points[points[:, 2] > low[2] + 0.72 * extent[2]]
        lean = (upper[:, :2].mean(0) - (low + high)[:2] / 2) / extent[:2]
        axis = int(np.argmax(np.abs(lean)))
        front = -np.sign(lean[axis]) * np.eye(2)[axis]
    else:
        axis = int(np.argmin(extent[:2]))
        middles = np.concatenate([part.vertices[part.triangles].mean(1) for part in parts])[:, axis]
        detail = []
        for sign, side in ((1, high), (-1, low)):
            rim = sign * (side[axis] - middles) < 0.2 * extent[axis]
            facing = sign * normals[:, axis] > 0.7
            spread = colors[facing].std(0).sum() if facing.sum() > 8 else 0.0
            detail.append(spread + float(rim.mean()))
        front = (1.0 if detail[0] > detail[1] else -1.0) * np.eye(2)[axis]
    x, y = front
    return np.array([[y, -x, 0.0], [x, y, 0.0], [0.0, 0.0, 1.0]])


def _samples(parts: list[GlbPart], count: int = 3000) -> tuple[Array, Array, Array]:
    """Points [N, 3] spread over a model's surface, their colours [N, 3] in [0, 1] and normals [N, 3]."""
    corners = np.concatenate([part.vertices[part.triangles] for part in parts])
    owner = np.repeat(np.arange(len(parts)), [len(part.triangles) for part in parts])
    uv = np.concatenate([part.uv[part.triangles] for part in parts])
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normals, axis=1)
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(area), count, p=area / area.sum())
    weights = rng.dirichlet((1, 1, 1), count)
    points, texel = (np.einsum("nk,nkd->nd", weights, table[chosen]) for table in (corners, uv))
    colors = np.empty((count, 3))
    for number, part in enumerate(parts):
        mine = owner[chosen] == number
        colors[mine] = part.color
        if part.image is not None:
            size = np.array(part.image.shape[1::-1])
            column, row = (np.floor(texel[mine] * size).astype(int) % size).T
            colors[mine] = part.image[row, column] / 255
    return points, colors, normals[chosen] / np.maximum(area[chosen, None], 1e-12)


def _surface(part: GlbPart, turn: Array, shift: Array) -> Surface:
    vertices = part.vertices @ turn.T + shift
    metres = _metres_per_texture(vertices, part)
    uv = np.column_stack([part.uv[:, 0], 1 - part.uv[:, 1]]) * metres
    attributes = np.column_stack([vertices, part.normals @ turn.T, uv])
    attributes, triangles = split_long_edges(attributes, _solid(vertices, part.triangles), _EDGE_M)
    normals = attributes[:, 3:6] / np.maximum(np.linalg.norm(attributes[:, 3:6], axis=1, keepdims=True), 1e-12)
    if part.two_sided:
        count = len(attributes)
        triangles = np.concatenate([triangles, triangles[:, ::-1] + count])
        attributes, normals = np.concatenate([attributes, attributes]), np.concatenate([normals, -normals])
    material = Material("model", _texture(part), (metres, metres))
    return Surface(attributes[:, :3], normals, attributes[:, 6:8], triangles, material)


def _solid(vertices: Array, triangles: NDArray[np.int64]) -> NDArray[np.int64]:
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    return triangles[np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-9]


def _metres_per_texture(vertices: Array, part: GlbPart) -> float:
    """Edge in metres of the square that one unit of texture coordinates covers on average."""
    a, b, c = (vertices[part.triangles[:, i]] for i in range(3))
    p, q, r = (part.uv[part.triangles[:, i]] for i in range(3))
    world = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()
    texture = np.abs((q - p)[:, 0] * (r - p)[:, 1] - (q - p)[:, 1] * (r - p)[:, 0]).sum()
    return float(np.clip(np.sqrt(world / max(texture, 1e-9)), 0.05, 20.0))


def _texture(part: GlbPart) -> Image:
    image = np.ones((SIZE, SIZE, 3), np.float32) if part.image is None else fitted(part.image)
    return np.clip(image * part.color ** (1 / 2.2), 0, 0.96).astype(np.float32)


def _top(surfaces: list[Surface], width: float, depth: float, height: float) -> float | None:
    """Height of the flat top, where most of the piece's uppermost side is one."""
    flat = 0.0
    for surface in surfaces:
        a, b, c = (surface.vertices[surface.triangles[:, i]] for i in range(3))
        vector = np.cross(b - a, c - a) / 2
        level = np.minimum(np.minimum(a[:, 2], b[:, 2]), c[:, 2]) > height - 0.012
        flat += float(vector[level & (vector[:, 2] > 0), 2].sum())
    return height if flat > 0.6 * width * depth and 0.25 < height < 1.3 else None


def _corner(surfaces: list[Surface], width: float) -> int:
    """At which side of x a corner sofa or kitchen has its second back, 0 for straight ones."""
    points = np.concatenate([s.vertices for s in surfaces])
    high = points[:, 2] > 0.72 * points[:, 2].max()
    depth = points[:, 1].max()
    front = high & (points[:, 1] > 0.5 * depth)
    if front.sum() < 0.05 * high.sum():
        return 0
    lean = points[front, 0].mean() / width
    return int(np.sign(lean)) if abs(lean) > 0.2 and depth > 1.3 else 0
