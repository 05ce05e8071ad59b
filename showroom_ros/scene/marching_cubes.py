"""The table of marching cubes, derived instead of copied.

On each face of a cell the surface's contour is drawn by one rule that looks at that face only: inside
corners that meet only across the face's diagonal stay apart. Two cells that share a face therefore agree on
it, and the surface has no cracks (the ambiguity of Lorensen and Cline, 1987, resolved face by face). The
contours of the six faces close to loops around the cell; each loop is cut into triangles such that no cut
lies in a face, so that no edge is ever used by more than two triangles.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

Edge = tuple[int, int]
"""A cell's edge by its two corners, the lower first; corner = x + 2 y + 4 z."""

EDGES: tuple[Edge, ...] = tuple((a, a | bit) for bit in (1, 2, 4) for a in range(8) if not a & bit)
"""The 12 edges: 4 along x, 4 along y, 4 along z, each by its corners."""


@cache
def triangle_table() -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Triangles of the 256 cases.

    A case is the sum of ``1 << corner`` over the corners inside (negative). Triangles are counter-clockwise
    seen from outside (positive).

    Returns:
        counts int8 [256], and table int8 [256, T, 3] of indices into ``EDGES``, padded with -1.
    """
    cases = [_case_triangles(case) for case in range(256)]
    counts = np.array([len(triangles) for triangles in cases], np.int8)
    table = np.full((256, int(counts.max()), 3), -1, np.int8)
    for case, triangles in enumerate(cases):
        for row, triangle in enumerate(triangles):
            table[case, row] = triangle
    return counts, table


def _case_triangles(case: int) -> list[tuple[int, int, int]]:
    return [triangle for loop in _loops(case) for triangle in _triangulated(loop)]


def _faces() -> list[tuple[int, int, int, int]]:
    """The six faces as corner cycles, counter-clockwise seen from outside the cell."""
    faces = []
    for axis, side in product(range(3), (0, 1)):
        u, v = 1 << (axis + 1) % 3, 1 << (axis + 2) % 3
        base = side << axis
        cycle = (base, base | u, base | u | v, base | v)
        faces.append(cycle if side else cycle[::-1])
    return faces


def _loops(case: int) -> list[list[int]]:
    """Closed contours of the surface on the cell's faces, as lists of edges, inside on the right."""
    following: dict[int, int] = {}
    for face in _faces():
        inside = [bool(case >> corner & 1) for corner in face]
        for start in range(4):
            if not inside[start] and inside[(start + 1) % 4]:  # the contour leaves here, and enters where inside ends
                end = start + 1
                while inside[(end + 1) % 4]:
                    end += 1
                first = _edge_number(face[start], face[(start + 1) % 4])
                last = _edge_number(face[end % 4], face[(end + 1) % 4])
                following[first] = last
    loops = []
    while following:
        loop = [next(iter(following))]
        while (after := following.pop(loop[-1])) != loop[0]:
            loop.append(after)
        loops.append(loop)
    return loops


def _edge_number(a: int, b: int) -> int:
    return EDGES.index((min(a, b), max(a, b)))


def _triangulated(loop: list[int]) -> list[tuple[int, int, int]]:
    """The first fan of ``loop`` whose diagonals do not lie in a face of the cell."""
    for start in range(len(loop)):
        turned = loop[start:] + loop[:start]
        if not any(_share_face(turned[0], other) for other in turned[2:-1]):
            return [(turned[0], turned[i], turned[i + 1]) for i in range(1, len(turned) - 1)]
    raise ValueError(f"no fan of {loop} stays inside the cell")


def _share_face(a: int, b: int) -> bool:
    corners = {*EDGES[a], *EDGES[b]}
    return any(corners <= set(face) for face in _faces())
