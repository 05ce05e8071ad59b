"""Small things that stand on furniture."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, sin

from numpy.random import Generator

from showroom_ros.datasets.synthetic.palette import Palette
from showroom_ros.datasets.synthetic.piece import Light, Piece
from showroom_ros.datasets.synthetic.solids import Surface, box, retextured, revolved, soft
from showroom_ros.datasets.synthetic.textures import Material


def turned_vase(center: tuple[float, float, float], radius: float, tall: float, material: Material) -> list[Surface]:
    """A bellied vase."""
    shape = ((0.6, 0), (1.0, 0.35), (0.95, 0.6), (0.45, 0.85), (0.55, 1.0))
    return revolved([(r * radius, z * tall) for r, z in shape], center, material, 18)


def vase(rng: Generator, palette: Palette) -> Piece:
    """A vase for a table."""
    radius, tall = rng.uniform(0.06, 0.09), rng.uniform(0.18, 0.30)
    return Piece("vase", turned_vase((0, radius, 0), radius, tall, palette.ceramic), 2 * radius, 2 * radius, tall)


def book_stack(rng: Generator, palette: Palette) -> Piece:
    """Books lying on each other."""
    surfaces, z = [], 0.0
    for _ in range(int(rng.integers(2, 5))):
        thick, w, d = rng.uniform(0.025, 0.045), rng.uniform(0.22, 0.28), rng.uniform(0.16, 0.20)
        column = int(rng.integers(16)) * 0.04 + 0.02
        part = box((-w / 2, 0.1 - d / 2, z), (w / 2, 0.1 + d / 2, z + thick), palette.books)
        surfaces += [retextured(s, column, s.uv[:, 1:] * 0.5) for s in part]
        z += thick
    return Piece("books", surfaces, 0.28, 0.20, z)


def table_lamp(rng: Generator, palette: Palette) -> Piece:
    """A small lamp with a round foot."""
    del rng
    surfaces = revolved(
        [(0.05, 0), (0.085, 0.08), (0.05, 0.16), (0.025, 0.2), (0.025, 0.3)], (0, 0.14, 0), palette.ceramic, 16
    )
    surfaces += revolved([(0.14, 0.26), (0.09, 0.44)], (0, 0.14, 0), palette.shade, 20)
    return Piece("table lamp", surfaces, 0.28, 0.28, 0.44, light=Light((0, 0.14, 0.35), (1.0, 0.75, 0.45), 0.15))


def bowl(rng: Generator, palette: Palette) -> Piece:
    """A fruit bowl."""
    surfaces = revolved([(0.06, 0), (0.14, 0.08), (0.11, 0.08), (0.05, 0.035)], (0, 0.15, 0), palette.trim, 18)
    for i in range(4):
        center = (0.05 * cos(i * 1.7), 0.15 + 0.05 * sin(i * 1.7), 0.08 + 0.01 * (i % 2))
        surfaces += soft(center, (0.042, 0.042, 0.042), palette.ceramic if i % 2 else palette.leaves, 1.0, 12)
    del rng
    return Piece("bowl", surfaces, 0.30, 0.30, 0.13)


CLUTTER: tuple[Callable[[Generator, Palette], Piece], ...] = (vase, book_stack, table_lamp, bowl)
"""Small things that stand on others."""
