"""Parametric pieces of kitchens, bathrooms and halls; conventions as in ``furniture``."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.random import Generator

from showroom_ros.datasets.synthetic.palette import Palette
from showroom_ros.datasets.synthetic.piece import Piece
from showroom_ros.datasets.synthetic.solids import Surface, box, revolved, soft
from showroom_ros.datasets.synthetic.textures import Material

_WORKTOP_M = 0.90
_UNIT_M = 0.60


def kitchen_run(rng: Generator, palette: Palette, units: int) -> Piece:
    """Base cabinets under one worktop with a sink, a hob over an oven, tiles behind, cabinets and a hood above."""
    width, depth = units * _UNIT_M, 0.60
    front = palette.lacquer if rng.random() < 0.7 else palette.wood
    left = -width / 2
    surfaces = box((left + 0.01, 0.01, 0), (-left - 0.01, depth - 0.06, 0.09), palette.dark_wood)
    surfaces += box((left, 0, 0.09), (-left, depth - 0.02, _WORKTOP_M - 0.04), palette.trim)
    surfaces += box((left, 0, _WORKTOP_M - 0.04), (-left, depth + 0.02, _WORKTOP_M), palette.worktop)
    hob, sink = (0, units - 1) if rng.random() < 0.5 else (units - 1, 0)
    if units > 3:
        hob = int(rng.integers(1, units - 1))
    for i in range(units):
        x = left + i * _UNIT_M
        surfaces += _oven(x, depth, palette) if i == hob else _base_front(rng, x, depth, front, palette)
    surfaces += _sink(left + (sink + 0.5) * _UNIT_M, palette) if sink != hob else []
    x = left + (hob + 0.5) * _UNIT_M
    surfaces += box((x - 0.27, 0.06, _WORKTOP_M), (x + 0.27, 0.54, _WORKTOP_M + 0.008), palette.screen)
    for dx, dy in ((-0.13, 0.19), (0.13, 0.19), (-0.13, 0.41), (0.13, 0.41)):
        surfaces += revolved([(0.08, 0.008), (0.08, 0.012)], (x + dx, dy, _WORKTOP_M), palette.metal, 16)
    surfaces += box((left, 0, _WORKTOP_M), (-left, 0.012, 1.45), palette.wall_tiles)
    open_shelf = int(rng.integers(units)) if units > 3 and rng.random() < 0.6 else -1
    for i in range(units):
        a = left + i * _UNIT_M
        if i == hob:
            surfaces += _hood(x, palette)
        elif i == open_shelf:
            surfaces += _shelf_with_jars(rng, a, palette)
        else:
            surfaces += box((a + 0.001, 0, 1.45), (a + _UNIT_M - 0.001, 0.33, 2.12), palette.trim)
            surfaces += box((a + 0.006, 0.33, 1.455), (a + _UNIT_M - 0.006, 0.35, 2.115), front)
            surfaces += box((a + 0.03, 0.35, 1.48), (a + 0.05, 0.37, 1.62), palette.metal)
    return Piece("kitchen", surfaces, width, depth + 0.05, 2.12)


def _base_front(rng: Generator, x: float, depth: float, front: Material, palette: Palette) -> list[Surface]:
    drawers = (0.10, 0.36, 0.62, 0.85) if rng.random() < 0.4 else (0.10, 0.85)
    surfaces = []
    for low, high in pairwise(drawers):
        surfaces += box((x + 0.006, depth - 0.02, low + 0.003), (x + _UNIT_M - 0.006, depth, high - 0.003), front)
        surfaces += box((x + 0.2, depth, high - 0.06), (x + _UNIT_M - 0.2, depth + 0.025, high - 0.04), palette.metal)
    return surfaces


def _oven(x: float, depth: float, palette: Palette) -> list[Surface]:
    surfaces = box((x + 0.004, depth - 0.02, 0.10), (x + _UNIT_M - 0.004, depth, 0.85), palette.steel)
    surfaces += box((x + 0.06, depth, 0.22), (x + _UNIT_M - 0.06, depth + 0.006, 0.62), palette.screen)
    surfaces += box((x + 0.06, depth, 0.66), (x + _UNIT_M - 0.06, depth + 0.04, 0.685), palette.metal)
    for i in range(4):
        surfaces += soft((x + 0.14 + 0.11 * i, depth + 0.01, 0.77), (0.022, 0.02, 0.022), palette.metal, 1.0, 10)
    return surfaces


def _sink(x: float, palette: Palette) -> list[Surface]:
    z, surfaces = _WORKTOP_M, []
    for low, high in (
        ((-0.24, 0.12), (0.24, 0.14)),
        ((-0.24, 0.50), (0.24, 0.52)),
        ((-0.24, 0.14), (-0.22, 0.50)),
        ((0.22, 0.14), (0.24, 0.50)),
    ):
        surfaces += box((x + low[0], low[1], z), (x + high[0], high[1], z + 0.02), palette.steel)
    surfaces += box((x - 0.22, 0.14, z), (x + 0.22, 0.50, z + 0.004), palette.metal)
    surfaces += revolved([(0.022, 0), (0.018, 0.26)], (x, 0.08, z), palette.steel, 12)
    return surfaces + box((x - 0.013, 0.08, z + 0.26), (x + 0.013, 0.26, z + 0.285), palette.steel)


def _hood(x: float, palette: Palette) -> list[Surface]:
    surfaces = box((x - 0.295, 0, 1.62), (x + 0.295, 0.48, 1.70), palette.steel)
    return surfaces + box((x - 0.12, 0, 1.70), (x + 0.12, 0.26, 2.12), palette.steel)


def _shelf_with_jars(rng: Generator, a: float, palette: Palette) -> list[Surface]:
    surfaces = []
    for z in (1.48, 1.82):
        surfaces += box((a + 0.002, 0, z), (a + _UNIT_M - 0.002, 0.24, z + 0.03), palette.wood)
        for i in range(4):
            r, tall = rng.uniform(0.04, 0.055), rng.uniform(0.10, 0.2)
            material = (palette.ceramic, palette.porcelain, palette.steel)[int(rng.integers(3))]
            surfaces += revolved(
                [(r, 0), (r, tall), (r * 0.7, tall + 0.02)], (a + 0.09 + 0.14 * i, 0.12, z + 0.03), material, 14
            )
    return surfaces


def fridge(rng: Generator, palette: Palette) -> Piece:
    """A tall fridge with a freezer below."""
    width, height = 0.62, rng.uniform(1.75, 1.95)
    body = palette.steel if rng.random() < 0.5 else palette.lacquer
    split = 0.62
    surfaces = box((-width / 2, 0, 0.03), (width / 2, 0.58, height), body)
    surfaces += box((-width / 2 + 0.03, 0.03, 0), (width / 2 - 0.03, 0.55, 0.03), palette.metal)
    for low, high in ((0.06, split - 0.006), (split + 0.006, height - 0.01)):
        surfaces += box((-width / 2 + 0.004, 0.58, low), (width / 2 - 0.004, 0.63, high), body)
        z = low + 0.05 if low > split else high - 0.35
        surfaces += box((width / 2 - 0.07, 0.63, z), (width / 2 - 0.045, 0.665, z + 0.3), palette.metal)
    return Piece("fridge", surfaces, width, 0.67, height)


def island(rng: Generator, palette: Palette) -> Piece:
    """A free-standing block with a worktop."""
    width, depth = rng.uniform(1.2, 1.6), rng.uniform(0.7, 0.85)
    surfaces = box((-width / 2 + 0.04, 0.04, 0), (width / 2 - 0.04, depth - 0.04, 0.87), palette.lacquer)
    surfaces += box((-width / 2, 0, 0.87), (width / 2, depth, 0.91), palette.worktop)
    return Piece("island", surfaces, width, depth, 0.91, top_m=0.91)


def bathtub(rng: Generator, palette: Palette) -> Piece:
    """A tub along the wall, half full of nothing: rim, sunk floor, mixer."""
    del rng
    width, depth, height, rim, bottom = 1.70, 0.75, 0.56, 0.07, 0.18
    p, w = palette.porcelain, 0.85
    surfaces = box((-w, 0, 0), (w, rim, height), p) + box((-w, depth - rim, 0), (w, depth, height), p)
    surfaces += box((-w, rim, 0), (-w + rim, depth - rim, height), p)
    surfaces += box((w - rim, rim, 0), (w, depth - rim, height), p)
    surfaces += box((-w + rim, rim, 0), (w - rim, depth - rim, bottom), p)
    surfaces += box((-0.09, 0, 0.70), (0.09, 0.06, 0.75), palette.steel)
    surfaces += box((-0.015, 0.06, 0.715), (0.015, 0.20, 0.74), palette.steel)
    return Piece("bathtub", surfaces, width, depth, 0.75)


def toilet(rng: Generator, palette: Palette) -> Piece:
    """Cistern, bowl and lid."""
    del rng
    p = palette.porcelain
    surfaces = box((-0.19, 0, 0.40), (0.19, 0.18, 0.80), p) + box((-0.20, 0, 0.80), (0.20, 0.19, 0.83), p)
    surfaces += soft((0, 0.42, 0.27), (0.18, 0.25, 0.14), p, 0.7, 22)
    surfaces += revolved([(0.12, 0), (0.10, 0.20)], (0, 0.34, 0), p, 18)
    surfaces += soft((0, 0.43, 0.42), (0.185, 0.25, 0.022), palette.trim, 0.6, 22)
    return Piece("toilet", surfaces, 0.40, 0.68, 0.83)


def washbasin(rng: Generator, palette: Palette) -> Piece:
    """A basin on a cabinet, with a mirror and a lamp above."""
    width = rng.uniform(0.6, 1.0)
    w, front = width / 2, palette.wood if rng.random() < 0.6 else palette.lacquer
    surfaces = box((-w + 0.01, 0, 0.25), (w - 0.01, 0.44, 0.80), front)
    surfaces += box((-0.004, 0.44, 0.27), (0.004, 0.443, 0.78), palette.metal)
    p = palette.porcelain
    for low, high in (
        ((-w, 0), (w, 0.14)),
        ((-w, 0.44), (w, 0.48)),
        ((-w, 0.14), (-w + 0.06, 0.44)),
        ((w - 0.06, 0.14), (w, 0.44)),
    ):
        surfaces += box((*low, 0.80), (*high, 0.90), p)
    surfaces += box((-w + 0.06, 0.14, 0.80), (w - 0.06, 0.44, 0.82), p)
    surfaces += revolved([(0.022, 0), (0.02, 0.14)], (0, 0.09, 0.90), palette.steel, 12)
    surfaces += box((-0.014, 0.09, 1.02), (0.014, 0.24, 1.04), palette.steel)
    surfaces += box((-w, 0, 1.12), (w, 0.02, 1.85), palette.dark_wood if rng.random() < 0.4 else palette.steel)
    glass = Material("mirror", palette.mirror.texture, (width - 0.04, 0.69))
    surfaces += box((-w + 0.02, 0.02, 1.14), (w - 0.02, 0.024, 1.83), glass, upright=True)
    surfaces += box((-0.25, 0, 1.90), (0.25, 0.07, 1.96), palette.lamp)
    return Piece("washbasin", surfaces, width, 0.48, 1.96)


def shower(rng: Generator, palette: Palette) -> Piece:
    """A tray, a tiled screen and a shower head."""
    del rng
    surfaces = box((-0.45, 0, 0), (0.45, 0.90, 0.07), palette.porcelain)
    surfaces += box((-0.45, 0.0, 0.07), (-0.41, 0.90, 2.0), palette.wall_tiles)
    surfaces += revolved([(0.012, 0.9), (0.012, 2.05)], (0.15, 0.05, 0), palette.steel, 10)
    surfaces += box((0.138, 0.05, 2.05), (0.162, 0.36, 2.07), palette.steel)
    surfaces += revolved([(0.11, 2.03), (0.03, 2.06)], (0.15, 0.36, 0), palette.steel, 20)
    surfaces += box((0.08, 0, 1.05), (0.22, 0.05, 1.10), palette.steel)
    return Piece("shower", surfaces, 0.90, 0.90, 2.08)


def towel_rail(rng: Generator, palette: Palette) -> Piece:
    """A heated rail with a towel; z = 0 is its lower end."""
    tall = rng.uniform(1.0, 1.4)
    surfaces = []
    for x in (-0.24, 0.22):
        surfaces += box((x, 0.03, 0), (x + 0.02, 0.05, tall), palette.porcelain)
    for i, z in enumerate(np.linspace(0.06, tall - 0.06, 9)):
        surfaces += box((-0.22, 0.03, z), (0.22, 0.05, z + 0.025), palette.porcelain)
        if i in (0, 8):
            surfaces += box((-0.01, 0, z), (0.01, 0.03, z + 0.02), palette.porcelain)
    surfaces += box((-0.18, 0.056, tall * 0.35), (0.12, 0.085, tall - 0.03), palette.pillow)
    return Piece("towel rail", surfaces, 0.50, 0.09, tall)


def radiator(rng: Generator, palette: Palette) -> Piece:
    """A ribbed radiator; z = 0 is its lower end."""
    width, height = rng.uniform(0.7, 1.2), rng.uniform(0.42, 0.5)
    surfaces = box((-width / 2, 0.03, 0), (width / 2, 0.07, height), palette.porcelain)
    count = int(width / 0.07)
    for i in range(count):
        x = -width / 2 + (i + 0.5) * width / count
        surfaces += box((x - 0.02, 0.07, 0.03), (x + 0.02, 0.09, height - 0.03), palette.porcelain)
    for x in (-width / 2 + 0.1, width / 2 - 0.1):
        surfaces += box((x - 0.015, 0, height * 0.5), (x + 0.015, 0.03, height * 0.5 + 0.03), palette.metal)
    return Piece("radiator", surfaces, width, 0.09, height)


def coat_rack(rng: Generator, palette: Palette) -> Piece:
    """A board with hooks and coats; z = 0 is the hem of the longest coat."""
    width, drop = rng.uniform(0.9, 1.3), rng.uniform(0.85, 1.0)
    surfaces = box((-width / 2, 0, drop), (width / 2, 0.025, drop + 0.14), palette.wood)
    count = int(width / 0.24)
    cloths = (palette.upholstery, palette.curtain, palette.pillow, palette.metal)
    for i in range(count):
        x = -width / 2 + (i + 0.5) * width / count
        surfaces += box((x - 0.01, 0.025, drop + 0.06), (x + 0.01, 0.10, drop + 0.08), palette.metal)
        if rng.random() < 0.7:
            long = (drop - 0.1) * rng.uniform(0.6, 0.98)
            cloth = cloths[int(rng.integers(len(cloths)))]
            wide = rng.uniform(0.085, 0.105)
            surfaces += soft((x, 0.09, drop - 0.05), (wide, 0.055, 0.11), cloth, 0.85, 18)
            surfaces += soft((x, 0.09, drop - 0.06 - long / 2), (wide * 1.02, 0.06, long / 2), cloth, 0.18, 18)
    return Piece("coat rack", surfaces, width, 0.18, drop + 0.14)


def shoe_cabinet(rng: Generator, palette: Palette) -> Piece:
    """A slim cabinet with flaps."""
    width, height, depth = rng.uniform(0.7, 1.0), rng.uniform(0.8, 1.05), 0.26
    surfaces = box((-width / 2, 0, 0), (width / 2, depth - 0.02, height), palette.lacquer)
    half = (height - 0.06) / 2
    for i in range(2):
        z = 0.04 + i * half
        surfaces += box(
            (-width / 2 + 0.01, depth - 0.02, z + 0.005), (width / 2 - 0.01, depth, z + half - 0.005), palette.wood
        )
        surfaces += box((-0.08, depth, z + half - 0.06), (0.08, depth + 0.02, z + half - 0.045), palette.metal)
    return Piece("shoe cabinet", surfaces, width, depth + 0.02, height, top_m=height)


def bench(rng: Generator, palette: Palette) -> Piece:
    """A bench with a cushion."""
    width = rng.uniform(0.9, 1.2)
    surfaces = box((-width / 2, 0, 0.38), (width / 2, 0.36, 0.42), palette.wood)
    for x in (-width / 2 + 0.04, width / 2 - 0.09):
        surfaces += box((x, 0.03, 0), (x + 0.05, 0.33, 0.38), palette.wood)
    surfaces += soft((0, 0.18, 0.45), (width / 2 - 0.03, 0.16, 0.04), palette.upholstery, 0.3, 24)
    return Piece("bench", surfaces, width, 0.36, 0.49)


def wall_mirror(rng: Generator, palette: Palette) -> Piece:
    """A framed mirror; z = 0 is its lower edge."""
    width, height = rng.uniform(0.4, 0.6), rng.uniform(0.9, 1.3)
    frame = palette.wood if rng.random() < 0.6 else palette.metal
    surfaces = box((-width / 2, 0, 0), (width / 2, 0.03, height), frame)
    glass = Material("mirror", palette.mirror.texture, (width - 0.06, height - 0.06))
    surfaces += box((-width / 2 + 0.03, 0.03, 0.03), (width / 2 - 0.03, 0.034, height - 0.03), glass, upright=True)
    return Piece("mirror", surfaces, width, 0.034, height)
