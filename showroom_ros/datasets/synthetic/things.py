"""More parametric furniture: round tables, office chairs, shelves and whiteboards, things that hang or lie about."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np
from numpy.random import Generator

from showroom_ros.datasets.synthetic.palette import Palette
from showroom_ros.datasets.synthetic.piece import Light, Piece
from showroom_ros.datasets.synthetic.solids import box, retextured, revolved, soft


def round_table(rng: Generator, palette: Palette) -> Piece:
    """A disc on a pillar."""
    r, height = rng.uniform(0.45, 0.6), 0.74
    profile = [(0.28, 0), (0.26, 0.03), (0.05, 0.06), (0.05, height - 0.035), (r, height - 0.035), (r, height)]
    return Piece("table", revolved(profile, (0, r, 0), palette.wood, 32), 2 * r, 2 * r, height, height, None, True)


def office_chair(rng: Generator, palette: Palette) -> Piece:
    """Five feet, a pillar, an upholstered seat and back."""
    surfaces = revolved([(0.03, 0.07), (0.025, 0.42)], (0, 0.28, 0), palette.metal, 12)
    for i in range(5):
        a = 2 * pi * i / 5 + 0.3
        x, y = 0.22 * cos(a), 0.28 + 0.22 * sin(a)
        surfaces += soft(
            (x / 2, 0.14 + y / 2, 0.08), (0.03 + abs(x) / 2, 0.03 + abs(y - 0.28) / 2, 0.022), palette.metal, 0.8, 12
        )
        surfaces += soft((x, y, 0.035), (0.03, 0.03, 0.035), palette.screen, 1.0, 10)
    cloth = palette.upholstery if rng.random() < 0.6 else palette.screen
    surfaces += soft((0, 0.29, 0.46), (0.24, 0.23, 0.05), cloth, 0.45, 24)
    surfaces += soft((0, 0.06, 0.80), (0.21, 0.05, 0.27), cloth, 0.5, 22)
    surfaces += box((-0.03, 0.03, 0.44), (0.03, 0.06, 0.62), palette.metal)
    return Piece("chair", surfaces, 0.52, 0.56, 1.07)


def stool(rng: Generator, palette: Palette) -> Piece:
    """A pouf or a wooden stool."""
    if rng.random() < 0.5:
        return Piece("pouf", soft((0, 0.24, 0.19), (0.24, 0.24, 0.19), palette.pillow, 0.5, 26), 0.48, 0.48, 0.38)
    surfaces = revolved([(0.17, 0.42), (0.17, 0.45)], (0, 0.18, 0), palette.wood, 20)
    for x, y in ((-0.1, 0.08), (0.1, 0.08), (-0.1, 0.28), (0.1, 0.28)):
        surfaces += revolved([(0.02, 0), (0.02, 0.42)], (x, y, 0), palette.wood, 8)
    return Piece("stool", surfaces, 0.36, 0.36, 0.45)


def filing_cabinet(rng: Generator, palette: Palette) -> Piece:
    """A steel cabinet with drawers."""
    rows = int(rng.integers(2, 5))
    height, w = 0.10 + 0.31 * rows, 0.22
    surfaces = box((-w, 0, 0), (w, 0.48, height), palette.steel)
    for i in range(rows):
        z = 0.05 + 0.31 * i
        surfaces += box((-w + 0.012, 0.48, z), (w - 0.012, 0.50, z + 0.295), palette.steel)
        surfaces += box((-0.07, 0.50, z + 0.2), (0.07, 0.52, z + 0.22), palette.metal)
    return Piece("filing cabinet", surfaces, 2 * w, 0.52, height, top_m=height)


def whiteboard(rng: Generator, palette: Palette) -> Piece:
    """A board to write on; z = 0 is its lower edge."""
    width, height = rng.uniform(1.2, 1.8), 0.95
    surfaces = box((-width / 2, 0, 0), (width / 2, 0.02, height), palette.steel)
    surfaces += box((-width / 2 + 0.02, 0.02, 0.02), (width / 2 - 0.02, 0.024, height - 0.02), palette.porcelain)
    surfaces += box((-0.3, 0.02, -0.02), (0.3, 0.08, 0.01), palette.steel)
    for i in range(int(rng.integers(4, 9))):
        x, z = rng.uniform(-width / 2 + 0.2, width / 2 - 0.25), 0.25 + 0.08 * i
        surfaces += box((x - 0.15, 0.024, z), (x + rng.uniform(0.0, 0.2), 0.0255, z + 0.012), palette.screen)
    return Piece("whiteboard", _raised(surfaces, 0.02), width, 0.08, height + 0.02)


def _raised(surfaces: list, z: float) -> list:
    pose = np.eye(4)
    pose[2, 3] = z
    return [s.moved(pose) for s in surfaces]


def wall_shelf(rng: Generator, palette: Palette) -> Piece:
    """A board on the wall with books and a vase on it; z = 0 is its lower side."""
    width = rng.uniform(0.7, 1.1)
    surfaces = box((-width / 2, 0, 0), (width / 2, 0.22, 0.035), palette.wood)
    x = -width / 2 + 0.04
    stop = rng.uniform(-0.1, width / 2 - 0.2)
    while x < stop:
        thick, tall = rng.uniform(0.025, 0.05), rng.uniform(0.18, 0.26)
        column = int(rng.integers(16)) * 0.04 + 0.02
        part = box((x, 0.03, 0.035), (x + thick, 0.19, 0.035 + tall), palette.books, upright=True)
        surfaces += [retextured(s, column, s.uv[:, 1:] / tall * 0.25) for s in part]
        x += thick + 0.001
    r, tall = rng.uniform(0.04, 0.06), rng.uniform(0.12, 0.2)
    shape = [(0.6 * r, 0), (r, 0.4 * tall), (0.5 * r, 0.85 * tall), (0.6 * r, tall)]
    surfaces += revolved(shape, (width / 2 - 0.11, 0.11, 0.035), palette.ceramic, 16)
    return Piece("shelf", surfaces, width, 0.22, 0.30)


def wall_television(rng: Generator, palette: Palette) -> Piece:
    """A flat screen on the wall; z = 0 is its lower edge."""
    half = rng.uniform(0.5, 0.65)
    tall = half * 1.13
    surfaces = box((-half, 0.02, 0), (half, 0.06, tall), palette.metal)
    surfaces += box((-0.15, 0, tall * 0.35), (0.15, 0.02, tall * 0.65), palette.metal)
    surfaces += box((-half + 0.012, 0.06, 0.012), (half - 0.012, 0.064, tall - 0.012), palette.screen)
    return Piece("television", surfaces, 2 * half, 0.064, tall)


def low_board(rng: Generator, palette: Palette) -> Piece:
    """A low sideboard with open compartments."""
    width, depth, height = rng.uniform(1.3, 1.8), 0.42, rng.uniform(0.42, 0.55)
    w, m = width / 2, palette.wood
    surfaces = box((-w, 0, 0), (w, depth, 0.04), m) + box((-w, 0, height - 0.04), (w, depth, height), m)
    surfaces += box((-w + 0.04, 0, 0.04), (w - 0.04, 0.02, height - 0.04), m)
    count = 3
    for i in range(count + 1):
        x = -w + i * (width - 0.04) / count
        surfaces += box((x, 0.0, 0.04), (x + 0.04, depth - 0.005, height - 0.04), m)
    for i in (0, 2):
        x = -w + i * (width - 0.04) / count + 0.045
        span = (width - 0.04) / count - 0.05
        surfaces += box((x, depth - 0.03, 0.045), (x + span, depth - 0.01, height - 0.045), palette.lacquer)
    return Piece("sideboard", surfaces, width, depth, height, top_m=height)


def hanging_lamp(rng: Generator, palette: Palette, drop: float) -> Piece:
    """A shade on a cord, to hang over a table."""
    r = rng.uniform(0.16, 0.24)
    lamp = revolved([(r, 0), (0.3 * r, 0.2)], (0, r, 0), palette.shade, 24)
    lamp += revolved([(0.012, 0.2), (0.012, drop)], (0, r, 0), palette.metal, 8)
    color = np.array(palette.mood.lamp_color) * 2.6 * palette.mood.lamps
    power = (float(color[0]), float(color[1]), float(color[2]))
    return Piece("hanging lamp", lamp, 2 * r, 2 * r, drop, light=Light((0, r, -0.02), power, 0.1))


def basket(rng: Generator, palette: Palette) -> Piece:
    """A basket, open at the top."""
    r, tall = rng.uniform(0.15, 0.2), rng.uniform(0.25, 0.35)
    profile = [(0.8 * r, 0), (r, tall), (r - 0.025, tall), (0.8 * r - 0.02, 0.04)]
    return Piece("basket", revolved(profile, (0, r, 0), palette.cardboard, 22), 2 * r, 2 * r, tall)


def carton(rng: Generator, palette: Palette) -> Piece:
    """A closed box."""
    w, d, h = rng.uniform(0.3, 0.5), rng.uniform(0.25, 0.4), rng.uniform(0.2, 0.35)
    return Piece("carton", box((-w / 2, 0, 0), (w / 2, d, h), palette.cardboard), w, d, h, top_m=h)


def ball(rng: Generator, palette: Palette) -> Piece:
    """A ball."""
    r = rng.uniform(0.09, 0.13)
    return Piece("ball", soft((0, r, r), (r, r, r), palette.ceramic, 1.0, 24), 2 * r, 2 * r, 2 * r)


def shoes(rng: Generator, palette: Palette) -> Piece:
    """A pair of shoes."""
    material = (palette.screen, palette.dark_wood, palette.pillow)[int(rng.integers(3))]
    surfaces = []
    for x in (-0.07, 0.07):
        surfaces += soft((x, 0.14, 0.035), (0.045, 0.14, 0.035), material, 0.6, 16)
        surfaces += soft((x, 0.07, 0.065), (0.042, 0.065, 0.05), material, 0.7, 14)
    return Piece("shoes", surfaces, 0.24, 0.28, 0.115)


def cushion(rng: Generator, palette: Palette) -> Piece:
    """A cushion on the floor."""
    r = rng.uniform(0.2, 0.26)
    return Piece("cushion", soft((0, r, 0.07), (r, r, 0.07), palette.pillow, 0.6, 22), 2 * r, 2 * r, 0.14)


def trash_can(rng: Generator, palette: Palette) -> Piece:
    """A bin with an open top."""
    r, tall = rng.uniform(0.12, 0.16), rng.uniform(0.28, 0.4)
    profile = [(0.75 * r, 0), (r, tall), (r - 0.02, tall), (0.75 * r - 0.015, 0.03)]
    return Piece("bin", revolved(profile, (0, r, 0), palette.metal, 20), 2 * r, 2 * r, tall)


ON_FLOOR = (basket, carton, ball, shoes, cushion, trash_can, stool)
"""Small things that lie about on the floor."""
