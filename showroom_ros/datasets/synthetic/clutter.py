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
    color = [c * palette.mood.lamps for c in (1.0, 0.75, 0.45)]
    surfaces = revolved(
        [(0.05, 0), (0.085, 0.08), (0.05, 0.16), (0.025, 0.2), (0.025, 0.3)], (0, 0.14, 0), palette.ceramic, 16
    )
    surfaces += revolved([(0.14, 0.26), (0.09, 0.44)], (0, 0.14, 0), palette.shade, 20)
    return Piece(
        "table lamp", surfaces, 0.28, 0.28, 0.44, light=Light((0, 0.14, 0.35), (color[0], color[1], color[2]), 0.15)
    )


def bowl(rng: Generator, palette: Palette) -> Piece:
    """A fruit bowl."""
    surfaces = revolved([(0.06, 0), (0.14, 0.08), (0.11, 0.08), (0.05, 0.035)], (0, 0.15, 0), palette.trim, 18)
    for i in range(4):
        center = (0.05 * cos(i * 1.7), 0.15 + 0.05 * sin(i * 1.7), 0.08 + 0.01 * (i % 2))
        surfaces += soft(center, (0.042, 0.042, 0.042), palette.ceramic if i % 2 else palette.leaves, 1.0, 12)
    del rng
    return Piece("bowl", surfaces, 0.30, 0.30, 0.13)


def mugs(rng: Generator, palette: Palette) -> Piece:
    """Two cups."""
    surfaces = []
    for x in (-0.06, 0.07):
        material = palette.porcelain if rng.random() < 0.5 else palette.ceramic
        profile = [(0.035, 0), (0.04, 0.09), (0.032, 0.09), (0.028, 0.02)]
        surfaces += revolved(profile, (x, 0.05, 0), material, 16)
    return Piece("mugs", surfaces, 0.24, 0.10, 0.09)


def laptop(rng: Generator, palette: Palette) -> Piece:
    """An open laptop."""
    del rng
    surfaces = box((-0.16, 0.04, 0), (0.16, 0.26, 0.018), palette.steel)
    surfaces += box((-0.16, 0.012, 0), (0.16, 0.03, 0.22), palette.steel)
    surfaces += box((-0.145, 0.03, 0.025), (0.145, 0.034, 0.21), palette.screen)
    return Piece("laptop", surfaces, 0.32, 0.26, 0.22)


def plates(rng: Generator, palette: Palette) -> Piece:
    """A stack of plates."""
    surfaces = []
    for i in range(int(rng.integers(1, 5))):
        surfaces += revolved(
            [(0.07, 0), (0.12, 0.02), (0.112, 0.02), (0.06, 0.006)], (0, 0.13, 0.022 * i), palette.porcelain, 24
        )
    return Piece("plates", surfaces, 0.26, 0.26, 0.022 * i + 0.02)


def bottle(rng: Generator, palette: Palette) -> Piece:
    """A bottle."""
    tall = rng.uniform(0.24, 0.32)
    shape = [(0.036, 0), (0.038, 0.6 * tall), (0.014, 0.75 * tall), (0.015, tall)]
    material = palette.leaves if rng.random() < 0.4 else palette.ceramic
    return Piece("bottle", revolved(shape, (0, 0.04, 0), material, 16), 0.08, 0.08, tall)


def small_plant(rng: Generator, palette: Palette) -> Piece:
    """A pot with a small bush."""
    surfaces = revolved([(0.05, 0), (0.07, 0.11), (0.06, 0.11), (0.055, 0.09)], (0, 0.11, 0), palette.porcelain, 16)
    for i in range(5):
        a = i * 2.4
        center = (0.045 * cos(a), 0.11 + 0.045 * sin(a), 0.15 + 0.02 * i)
        surfaces += soft(center, (0.055, 0.055, 0.05), palette.leaves, rng.uniform(0.9, 1.3), 12)
    return Piece("small plant", surfaces, 0.22, 0.22, 0.28)


def small_box(rng: Generator, palette: Palette) -> Piece:
    """A box with a lid."""
    w, d, h = rng.uniform(0.14, 0.24), rng.uniform(0.12, 0.18), rng.uniform(0.08, 0.14)
    material = palette.cardboard if rng.random() < 0.5 else palette.pillow
    surfaces = box((-w / 2 + 0.005, 0.005, 0), (w / 2 - 0.005, d - 0.005, h - 0.03), material)
    surfaces += box((-w / 2, 0, h - 0.03), (w / 2, d, h), material)
    return Piece("box", surfaces, w, d, h)


CLUTTER: tuple[Callable[[Generator, Palette], Piece], ...] = (
    vase,
    book_stack,
    table_lamp,
    bowl,
    mugs,
    laptop,
    plates,
    bottle,
    small_plant,
    small_box,
)
"""Small things that stand on others."""
