"""Textured primitives from which rooms and furniture are made: flat panels, boxes, turned and soft solids.

All triangles are counter-clockwise seen from the free side and no edge is much longer than ``EDGE_M``,
so that light baked into vertices has somewhere to live.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.datasets.synthetic.textures import Material

Array = NDArray[np.float64]

EDGE_M = 0.14
"""Longest edge of a panel's cells."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A piece of textured surface.

    Attributes:
        vertices: float64 [V, 3], metres.
        normals: float64 [V, 3], unit length, towards the free side.
        uv: float64 [V, 2], metres along the surface, v upwards.
        triangles: int64 [T, 3].
        material: what it is made of.
    """

    vertices: Array
    normals: Array
    uv: Array
    triangles: NDArray[np.int64]
    material: Material

    def moved(self, pose: Array) -> Surface:
        """The surface under a rigid transform [4, 4]."""
        rotation = pose[:3, :3]
        return replace(self, vertices=self.vertices @ rotation.T + pose[:3, 3], normals=self.normals @ rotation.T)


def cells(length: float, breaks: Iterable[float] = ()) -> Array:
    """Positions from 0 to ``length`` that include ``breaks`` and are at most ``EDGE_M`` apart."""
    inner = sorted({round(float(b), 12) for b in breaks if 1e-9 < b < length - 1e-9})
    if not inner:
        return np.linspace(0.0, length, max(1, ceil(length / EDGE_M - 1e-6)) + 1)
    stops = [0.0, *inner, length]
    parts = [np.linspace(a, b, max(1, int(np.ceil((b - a) / EDGE_M - 1e-6))) + 1)[:-1] for a, b in pairwise(stops)]
    return np.concatenate([*parts, [length]])


def panel(
    origin: ArrayLike,
    u_axis: ArrayLike,
    v_axis: ArrayLike,
    us: Array,
    vs: Array,
    material: Material,
    holes: Iterable[tuple[float, float, float, float]] = (),
) -> Surface:
    """A flat grid ``origin + u * u_axis + v * v_axis`` whose normal is ``u_axis x v_axis``.

    Args:
        origin: [3], lower left corner seen from the free side.
        u_axis: [3], unit vector to the right.
        v_axis: [3], unit vector upwards.
        us: grid lines along u, [U].
        vs: grid lines along v, [W].
        material: of the surface.
        holes: rectangles (u0, v0, u1, v1) left out; their edges must be grid lines.
    """
    a, b = np.asarray(u_axis, np.float64), np.asarray(v_axis, np.float64)
    grid = np.empty((len(vs), len(us), 2))
    grid[..., 0], grid[..., 1] = us, vs[:, None]
    uv = grid.reshape(-1, 2)
    vertices = np.asarray(origin, np.float64) + uv[:, :1] * a + uv[:, 1:] * b
    normals = np.broadcast_to(_cross(a, b), vertices.shape)
    blocked = list(holes)
    if not blocked:
        return Surface(vertices, normals, uv, _lattice(len(vs) - 1, len(us) - 1), material)
    middle_u, middle_v = np.meshgrid((us[1:] + us[:-1]) / 2, (vs[1:] + vs[:-1]) / 2)
    keep = np.ones(middle_u.shape, bool)
    for u0, v0, u1, v1 in blocked:
        keep &= ~((middle_u > u0) & (middle_u < u1) & (middle_v > v0) & (middle_v < v1))
    row, column = np.nonzero(keep)
    first = row * len(us) + column
    above = first + len(us)
    triangles = np.concatenate([np.stack([first, first + 1, above + 1], -1), np.stack([first, above + 1, above], -1)])
    return Surface(vertices, normals, uv, triangles, material)


def _cross(a: Array, b: Array) -> Array:
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


_FACES = (
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
    ((0, 0, -1), (-1, 0, 0), (0, 1, 0)),
)


def box(low: ArrayLike, high: ArrayLike, material: Material, upright: bool = False) -> list[Surface]:
    """A closed box between two corners [3]; its grain (u) runs along the longer edge of each face.

    ``upright`` keeps u horizontal on the sides whatever their proportions, as pictures need it.
    """
    low_, high_ = np.asarray(low, np.float64), np.asarray(high, np.float64)
    middle, half = (low_ + high_) / 2, (high_ - low_) / 2
    surfaces = []
    for normal, u_axis, v_axis in (np.array(face, np.float64) for face in _FACES):
        width, height = 2 * np.abs(u_axis) @ half, 2 * np.abs(v_axis) @ half
        if height > width and not upright:
            u_axis, v_axis, width, height = v_axis, -u_axis, height, width
        origin = middle + normal * half - (u_axis * width + v_axis * height) / 2
        surfaces.append(panel(origin, u_axis, v_axis, cells(width), cells(height), material))
    return surfaces


def revolved(profile: ArrayLike, center: ArrayLike, material: Material, segments: int = 20) -> list[Surface]:
    """A closed solid of revolution about z.

    Args:
        profile: [P, 2] radius and height from the bottom to the top; its ends are capped at radius 0.
        center: [3], where height 0 on the axis lies.
        material: of the surface.
        segments: facets around.
    """
    points = np.asarray(profile, np.float64)
    points = np.concatenate([[[0.0, points[0, 1]]], points, [[0.0, points[-1, 1]]]])
    rings = [points[i : i + 2] for i in range(len(points) - 1) if np.linalg.norm(points[i + 1] - points[i]) > 1e-9]
    return [_ring(ring, np.asarray(center, np.float64), material, segments) for ring in rings]


def _ring(ends: Array, center: Array, material: Material, segments: int) -> Surface:
    slant = float(np.linalg.norm(ends[1] - ends[0]))
    rows = max(1, int(np.ceil(slant / EDGE_M)))
    share = np.linspace(0, 1, rows + 1)[:, None]
    radius, height = (ends[0] + share * (ends[1] - ends[0])).T
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    r, a = np.broadcast_arrays(radius[:, None], angle[None, :])
    vertices = np.stack([r * np.cos(a), r * np.sin(a), np.broadcast_to(height[:, None], r.shape)], -1).reshape(-1, 3)
    outward, upward = (ends[1, 1] - ends[0, 1]) / slant, -(ends[1, 0] - ends[0, 0]) / slant
    normals = np.stack([outward * np.cos(a), outward * np.sin(a), np.full(a.shape, upward)], -1).reshape(-1, 3)
    if abs(upward) > 0.999:
        uv = vertices[:, :2].copy()
    else:
        uv = np.stack([a * radius.max(), np.broadcast_to(share * slant, a.shape)], -1).reshape(-1, 2)
    return Surface(vertices + center, normals, uv, _lattice(rows, segments), material)


@lru_cache(maxsize=512)
def _lattice(rows: int, columns: int) -> NDArray[np.int64]:
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    first = (row * (columns + 1) + column).ravel()
    above = first + columns + 1
    return np.concatenate([np.stack([first, first + 1, above + 1], -1), np.stack([first, above + 1, above], -1)])


def soft(
    center: ArrayLike, radii: ArrayLike, material: Material, square: float = 1.0, segments: int = 20
) -> list[Surface]:
    """A superellipsoid (Barr, 1981): ``square`` 1 is an ellipsoid, towards 0 a box with round edges."""
    r = np.asarray(radii, np.float64)
    rows = max(6, segments // 2)
    latitude, longitude = np.meshgrid(
        np.linspace(-np.pi / 2, np.pi / 2, rows + 1), np.linspace(-np.pi, np.pi, segments + 1), indexing="ij"
    )

    def power(value: Array, exponent: float) -> Array:
        return np.sign(value) * np.abs(np.where(np.abs(value) < 1e-12, 0, value)) ** exponent

    cl, sl, co, so = np.cos(latitude), np.sin(latitude), np.cos(longitude), np.sin(longitude)
    shape = np.stack(
        [power(cl, square) * power(co, square), power(cl, square) * power(so, square), power(sl, square)], -1
    )
    other = 2 - square
    normals = np.stack([power(cl, other) * power(co, other), power(cl, other) * power(so, other), power(sl, other)], -1)
    normals = normals.reshape(-1, 3) / r
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    vertices = shape.reshape(-1, 3) * r
    uv = vertices[:, :2] + vertices[:, 2:] * (0.7, 1.0)  # slanted, so that no side is seen edge-on
    return [Surface(vertices + np.asarray(center, np.float64), normals, uv, _lattice(rows, segments), material)]


def curtain(low: ArrayLike, width: float, height: float, material: Material, folds: int = 5) -> list[Surface]:
    """A hanging cloth of 5 cm in waves; x along it, y towards the room, closed all around.

    Args:
        low: [3], lower corner at small x on the side of the wall.
        width: along x.
        height: along z.
        material: of the cloth.
        folds: waves over the width.
    """
    columns = max(8 * folds, int(np.ceil(width / EDGE_M)))
    x = np.linspace(0, width, columns + 1)
    wave = 0.025 * np.sin(2 * np.pi * folds * x / width)
    z = cells(height)
    front, back = 0.09 + wave, 0.04 + wave
    front_line, back_line = np.stack([x, front], -1)[::-1], np.stack([x, back], -1)
    ends = [np.stack([back_line[-1], front_line[0]]), np.stack([front_line[-1], back_line[0]])]
    sides = [_upright(line, z, material) for line in (back_line, front_line, *ends)]
    start = np.asarray(low, np.float64)
    caps = [_strip(x, back, front, height, 1.0, material), _strip(x, back, front, 0.0, -1.0, material)]
    return [replace(s, vertices=s.vertices + start) for s in (*sides, *caps)]


def _upright(line: Array, z: Array, material: Material) -> Surface:
    """A wall over a line [N, 2], smooth along it; its free side is on the right of the line."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    tangent = np.gradient(line, axis=0)
    normal = np.column_stack([tangent[:, 1], -tangent[:, 0], np.zeros(len(line))])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    vertices = np.concatenate([np.column_stack([line, np.full(len(line), level)]) for level in z])
    uv = np.concatenate([np.column_stack([along, np.full(len(line), level)]) for level in z])
    return Surface(vertices, np.tile(normal, (len(z), 1)), uv, _lattice(len(z) - 1, len(line) - 1), material)


def _strip(x: Array, back: Array, front: Array, level: float, up: float, material: Material) -> Surface:
    vertices = np.concatenate([np.column_stack([x, y, np.full(len(x), level)]) for y in (back, front)])
    triangles = _lattice(1, len(x) - 1)
    normals = np.broadcast_to((0.0, 0.0, up), vertices.shape)
    return Surface(vertices, normals, vertices[:, :2], triangles if up > 0 else triangles[:, ::-1], material)


def retextured(surface: Surface, u: ArrayLike, v: ArrayLike) -> Surface:
    """The surface with other texture coordinates, each [V, 1] or a number."""
    uv = np.empty_like(surface.uv)
    uv[:, :1], uv[:, 1:] = u, v
    return replace(surface, uv=uv)


def split_long_edges(attributes: Array, triangles: NDArray[np.int64], edge_m: float) -> tuple[Array, NDArray[np.int64]]:
    """Splits triangles at the middle of their longest edge until no edge is longer than ``edge_m``.

    Args:
        attributes: float64 [V, A] of the vertices, positions first; the others are interpolated alike.
        triangles: int64 [T, 3].
        edge_m: longest edge that may stay.
    """
    while len(triangles):
        corners = attributes[triangles, :3]
        lengths = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
        if lengths.max() <= edge_m:
            break
        attributes, triangles = _split(attributes, triangles, lengths, edge_m)
    return attributes, triangles


def _split(
    attributes: Array, triangles: NDArray[np.int64], lengths: Array, edge_m: float
) -> tuple[Array, NDArray[np.int64]]:
    """Bisects the longest edge of every triangle that has one too long; neighbours share the new vertex."""
    number, longest = np.arange(len(triangles)), lengths.argmax(1)
    long = lengths[number, longest] > edge_m
    ends = np.stack([triangles, np.roll(triangles, -1, axis=1)], -1)
    split = np.sort(ends[number[long], longest[long]], axis=1)
    edges, inverse = np.unique(split, axis=0, return_inverse=True)
    middle = len(attributes) + inverse.reshape(-1)
    fresh = (attributes[edges[:, 0]] + attributes[edges[:, 1]]) / 2
    turned = np.take_along_axis(triangles[long], (longest[long][:, None] + np.arange(3)) % 3, 1)
    first, second, third = turned.T
    halves = [np.stack([first, middle, third], -1), np.stack([middle, second, third], -1)]
    return np.concatenate([attributes, fresh]), np.concatenate([triangles[~long], *halves])
