"""Parametric pieces of furniture.

Every function returns a ``Piece`` in its own frame: x to the side and centred, y away from the wall
(the back is at y = 0), z up from what it stands on. Pieces are made of closed solids and have no part
thinner than a depth camera can see.
"""

from __future__ import annotations

from dataclasses import replace
from math import cos, sin

import numpy as np
from numpy.random import Generator

from showroom_ros.datasets.synthetic.clutter import turned_vase
from showroom_ros.datasets.synthetic.palette import Palette
from showroom_ros.datasets.synthetic.pictures import poster
from showroom_ros.datasets.synthetic.piece import Light, Piece
from showroom_ros.datasets.synthetic.solids import Surface, box, retextured, revolved, soft
from showroom_ros.datasets.synthetic.textures import Image, Material


def _legs(width: float, depth: float, height: float, thick: float, material: Material) -> list[Surface]:
    x, near, far = width / 2 - thick, 0.0, depth - thick
    corners = [(-x - thick, near), (x, near), (-x - thick, far), (x, far)]
    return [s for cx, cy in corners for s in box((cx, cy, 0), (cx + thick, cy + thick, height), material)]


def table(rng: Generator, palette: Palette, width: float, depth: float, height: float) -> Piece:
    """A top on four legs."""
    del rng
    inner = _legs(width - 0.04, depth - 0.04, height - 0.04, 0.06, palette.wood)
    legs = [_shifted(s, 0, 0.02, 0) for s in inner]
    top = box((-width / 2, 0, height - 0.04), (width / 2, depth, height), palette.wood)
    return Piece("table", legs + top, width, depth, height, top_m=height)


def dining_table(rng: Generator, palette: Palette) -> Piece:
    """A table to eat or work at."""
    return table(rng, palette, rng.uniform(1.1, 1.4), rng.uniform(0.72, 0.85), rng.uniform(0.72, 0.76))


def large_table(rng: Generator, palette: Palette) -> Piece:
    """A table for six."""
    return table(rng, palette, rng.uniform(1.5, 1.9), rng.uniform(0.8, 0.95), rng.uniform(0.73, 0.76))


def coffee_table(rng: Generator, palette: Palette) -> Piece:
    """A low table before a sofa."""
    return table(rng, palette, rng.uniform(0.8, 1.05), rng.uniform(0.5, 0.6), rng.uniform(0.40, 0.46))


def chair(rng: Generator, palette: Palette) -> Piece:
    """Seat on four legs, back with two boards; the sitter looks along +y."""
    width, depth, seat = 0.44, 0.46, rng.uniform(0.44, 0.47)
    surfaces = _legs(width, depth, seat - 0.05, 0.05, palette.dark_wood)
    surfaces += box((-width / 2, 0, seat - 0.05), (width / 2, depth, seat), palette.dark_wood)
    surfaces += soft((0, depth / 2, seat + 0.015), (0.20, 0.21, 0.035), palette.pillow, 0.4)
    for x in (-width / 2, width / 2 - 0.05):
        surfaces += box((x, 0, seat), (x + 0.05, 0.045, 0.92), palette.dark_wood)
    for low, high in ((0.58, 0.68), (0.78, 0.90)):
        surfaces += box((-width / 2 + 0.05, 0.003, low), (width / 2 - 0.05, 0.042, high), palette.dark_wood)
    return Piece("chair", surfaces, width, depth, 0.92)


def seating(rng: Generator, palette: Palette, seats: int) -> Piece:
    """A sofa or, with one seat, an armchair."""
    arm, seat_width, depth, seat = 0.16, rng.uniform(0.58, 0.66), rng.uniform(0.84, 0.92), 0.42
    width = seats * seat_width + 2 * arm
    cloth = palette.upholstery
    surfaces = box((-width / 2 + arm, 0.10, 0.08), (width / 2 - arm, depth - 0.05, 0.27), cloth)
    surfaces += box((-width / 2, 0, 0.08), (width / 2, 0.20, 0.78), cloth)
    for x in (-width / 2, width / 2 - arm):
        surfaces += box((x, 0.20, 0.08), (x + arm, depth, 0.60), cloth)
    for sx in (-1, 1):
        for y in (0.04, depth - 0.12):
            x = sx * (width / 2 - 0.08)
            surfaces += box((x - 0.035, y, 0), (x + 0.035, y + 0.07, 0.08), palette.dark_wood)
    for i in range(seats):
        x = -width / 2 + arm + (i + 0.5) * seat_width
        half = seat_width / 2 - 0.004
        surfaces += soft((x, 0.20 + (depth - 0.22) / 2, 0.345), (half, (depth - 0.22) / 2, 0.085), cloth, 0.3, 28)
        surfaces += soft((x, 0.27, 0.62), (half - 0.01, 0.10, 0.22), cloth, 0.4, 24)
        if rng.random() < 0.7:
            surfaces += soft(
                (x + rng.uniform(-0.06, 0.06), 0.44, seat + 0.17), (0.19, 0.075, 0.17), palette.pillow, 0.6
            )
    return Piece("sofa" if seats > 1 else "armchair", surfaces, width, depth, 0.84)


def sofa(rng: Generator, palette: Palette) -> Piece:
    """A sofa for two or three."""
    return seating(rng, palette, int(rng.integers(2, 4)))


def armchair(rng: Generator, palette: Palette) -> Piece:
    """A sofa for one."""
    return seating(rng, palette, 1)


def _books(
    rng: Generator, palette: Palette, x0: float, x1: float, front: float, z: float, room: float
) -> list[Surface]:
    surfaces, x = [], x0 + 0.01
    while x < x1 - 0.06:
        thick, tall, deep = rng.uniform(0.025, 0.05), rng.uniform(0.65, 0.92) * room, rng.uniform(0.16, 0.20)
        part = box((x, front - deep, z), (x + thick, front, z + tall), palette.books, upright=True)
        column = int(rng.integers(16)) * 0.04
        for side in part:
            half = 0.02 * (side.uv[:, :1] > side.uv[:, :1].mean())
            surfaces.append(retextured(side, column + half, side.uv[:, 1:] / tall * 0.25))
        x += thick + 0.001
        if rng.random() < 0.06:
            x += rng.uniform(0.08, 0.2)
    return surfaces


def bookcase(rng: Generator, palette: Palette) -> Piece:
    """Open shelves full of books and a few ornaments."""
    width, depth, board = rng.uniform(0.8, 1.1), 0.30, 0.035
    shelves = int(rng.integers(4, 6))
    pitch = rng.uniform(0.33, 0.37)
    height = shelves * pitch + board + 0.06
    material = palette.wood
    inner = width / 2 - board
    surfaces = box((-width / 2, 0, 0), (-inner, depth, height), material)
    surfaces += box((inner, 0, 0), (width / 2, depth, height), material)
    surfaces += box((-inner, 0, 0), (inner, 0.03, height - 0.002), material)
    surfaces += box((-inner, 0.03, 0), (inner, depth - 0.01, 0.06), material)
    for level in range(shelves + 1):
        z = 0.06 + level * pitch
        surfaces += box((-inner, 0.03, z), (inner, depth - 0.004, z + board), material)
        if level == shelves:
            break
        stop = rng.uniform(-0.1, inner)
        surfaces += _books(rng, palette, -inner, stop, depth - 0.04, z + board, pitch - board)
        if inner - stop > 0.22:
            radius, tall = rng.uniform(0.05, 0.07), rng.uniform(0.14, 0.22)
            surfaces += turned_vase(((stop + inner) / 2, 0.17, z + board), radius, tall, palette.ceramic)
    return Piece("bookcase", surfaces, width, depth, height + board, top_m=None)


def cabinet(rng: Generator, palette: Palette, width: float, depth: float, height: float, rows: int, name: str) -> Piece:
    """A body on a plinth with drawers or doors that stand proud of it."""
    columns = max(1, round(width / 0.5))
    body = palette.wood if rng.random() < 0.6 else palette.lacquer
    front = palette.lacquer if body is palette.wood and rng.random() < 0.5 else body
    inside = depth - 0.02
    surfaces = box((-width / 2 + 0.02, 0.01, 0), (width / 2 - 0.02, inside - 0.03, 0.07), palette.dark_wood)
    surfaces += box((-width / 2, 0, 0.07), (width / 2, inside, height - 0.03), body)
    surfaces += box((-width / 2 - 0.01, 0, height - 0.03), (width / 2 + 0.01, depth + 0.005, height), body)
    w, h = width / columns, (height - 0.12) / rows
    for column in range(columns):
        for row in range(rows):
            x, z = -width / 2 + column * w, 0.085 + row * h
            surfaces += box((x + 0.008, inside, z + 0.008), (x + w - 0.008, depth, z + h - 0.008), front)
            knob_x = x + w / 2 if rows > 1 else x + (w - 0.06 if column % 2 == 0 else 0.06)
            surfaces += soft((knob_x, depth + 0.012, z + h * 0.55), (0.025, 0.018, 0.025), palette.metal, 1.0, 12)
    top = height if height < 1.4 else None
    return Piece(name, surfaces, width + 0.02, depth + 0.03, height, top_m=top)


def dresser(rng: Generator, palette: Palette) -> Piece:
    """Drawers, waist high."""
    return cabinet(rng, palette, rng.uniform(0.9, 1.3), 0.45, rng.uniform(0.75, 0.95), 3, "dresser")


def nightstand(rng: Generator, palette: Palette) -> Piece:
    """A small cabinet beside a bed."""
    return cabinet(rng, palette, 0.45, 0.40, 0.50, 2, "nightstand")


def wardrobe(rng: Generator, palette: Palette) -> Piece:
    """A tall cabinet with doors."""
    return cabinet(rng, palette, rng.uniform(1.0, 1.5), 0.58, rng.uniform(1.9, 2.1), 1, "wardrobe")


def sideboard_with_tv(rng: Generator, palette: Palette) -> Piece:
    """A low cabinet with a television on it."""
    low = cabinet(rng, palette, rng.uniform(1.3, 1.6), 0.42, 0.48, 1, "tv stand")
    z, half = 0.48, rng.uniform(0.48, 0.56)
    surfaces = low.surfaces + box((-0.22, 0.12, z), (0.22, 0.32, z + 0.04), palette.metal)
    surfaces += box((-0.05, 0.17, z + 0.04), (0.05, 0.23, z + 0.12), palette.metal)
    surfaces += box((-half, 0.17, z + 0.10), (half, 0.23, z + 0.12 + half * 1.15), palette.metal)
    surfaces += box((-half + 0.03, 0.23, z + 0.13), (half - 0.03, 0.236, z + 0.09 + half * 1.15), palette.screen)
    return Piece("tv", surfaces, low.width, low.depth, z + 0.12 + half * 1.15)


def bed(rng: Generator, palette: Palette) -> Piece:
    """Frame, mattress, blanket, pillows and a headboard."""
    width, length = rng.choice([1.2, 1.4, 1.6]), 2.05
    surfaces = box((-width / 2, 0, 0), (width / 2, 0.06, rng.uniform(0.9, 1.1)), palette.wood)
    surfaces += box((-width / 2, 0.06, 0.0), (width / 2, length, 0.28), palette.wood)
    surfaces += soft(
        (0, 0.06 + (length - 0.06) / 2, 0.36), (width / 2 - 0.02, (length - 0.08) / 2, 0.13), palette.linen, 0.2, 40
    )
    surfaces += soft((0, 1.30, 0.40), (width / 2 + 0.02, 0.72, 0.13), palette.upholstery, 0.25, 40)
    for i in range(2):
        x = (i - 0.5) * width * 0.46
        surfaces += soft((x, 0.32, 0.53), (width * 0.21, 0.20, 0.08), palette.pillow if i else palette.linen, 0.55, 24)
    return Piece("bed", surfaces, width + 0.04, length, 1.1)


def desk(rng: Generator, palette: Palette) -> Piece:
    """A table against the wall with a monitor and a keyboard."""
    base = table(rng, palette, rng.uniform(1.1, 1.4), 0.65, 0.74)
    x, z = rng.uniform(-0.1, 0.1), 0.74
    surfaces = base.surfaces + box((x - 0.12, 0.12, z), (x + 0.12, 0.30, z + 0.03), palette.metal)
    surfaces += box((x - 0.03, 0.15, z + 0.03), (x + 0.03, 0.20, z + 0.12), palette.metal)
    surfaces += box((x - 0.30, 0.17, z + 0.10), (x + 0.30, 0.215, z + 0.46), palette.metal)
    surfaces += box((x - 0.28, 0.215, z + 0.12), (x + 0.28, 0.220, z + 0.44), palette.screen)
    surfaces += box((x - 0.21, 0.40, z), (x + 0.21, 0.54, z + 0.025), palette.lacquer)
    return Piece("desk", surfaces, base.width, base.depth, z + 0.46)


def floor_lamp(rng: Generator, palette: Palette) -> Piece:
    """Foot, pole and a glowing shade."""
    tall = rng.uniform(1.45, 1.65)
    surfaces = revolved([(0.15, 0), (0.15, 0.03), (0.025, 0.045), (0.025, tall)], (0, 0.2, 0), palette.metal, 20)
    surfaces += revolved([(0.20, tall - 0.12), (0.14, tall + 0.16)], (0, 0.2, 0), palette.shade, 24)
    on = palette.mood.lamps
    light = Light((0, 0.2, tall), (2.0 * on, 1.5 * on, 0.95 * on), 0.25)
    return Piece("floor lamp", surfaces, 0.4, 0.4, tall + 0.16, light=light)


def plant(rng: Generator, palette: Palette) -> Piece:
    """A pot with a bush."""
    tall = rng.uniform(0.9, 1.4)
    surfaces = revolved([(0.13, 0), (0.18, 0.32), (0.15, 0.32), (0.15, 0.29)], (0, 0.27, 0), palette.ceramic, 20)
    surfaces += revolved([(0.03, 0.28), (0.025, tall * 0.75)], (0, 0.27, 0), palette.dark_wood, 10)
    for i in range(9):
        share = i / 8
        angle, reach = i * 2.4, 0.13 * (1 - 0.5 * share)
        center = (reach * cos(angle), 0.27 + reach * sin(angle), 0.55 + share * (tall - 0.65))
        radius = rng.uniform(0.10, 0.13)
        surfaces += soft(center, (radius, radius, radius * 0.75), palette.leaves, rng.uniform(0.9, 1.3), 14)
    return Piece("plant", surfaces, 0.54, 0.54, tall + 0.05)


def picture(rng: Generator, palette: Palette, image: tuple[Image, float] | None = None) -> Piece:
    """A framed picture, drawn or an ``image`` with its height over its width; z = 0 is its lower edge."""
    width = rng.uniform(0.45, 0.9)
    height = width * float(rng.choice([0.7, 1.0, 1.35]))
    texture = poster(rng)
    if image is not None:
        texture, slim = image
        width = min(width, 1.1 / slim)
        height = (width - 0.08) * slim + 0.08
    canvas = Material("picture", texture, (width - 0.08, height - 0.08))
    frame = palette.dark_wood if rng.random() < 0.6 else palette.trim
    surfaces = box((-width / 2, 0, 0), (width / 2, 0.03, height), frame)
    surfaces += box((-width / 2 + 0.04, 0.03, 0.04), (width / 2 - 0.04, 0.034, height - 0.04), canvas, upright=True)
    return Piece("picture", surfaces, width, 0.034, height)


def rug(rng: Generator, palette: Palette) -> Piece:
    """A carpet of 1.2 cm."""
    del rng
    width, depth = palette.rug.tile_m
    return Piece("rug", box((-width / 2, 0, 0), (width / 2, depth, 0.012), palette.rug), width, depth, 0.012)


def _shifted(surface: Surface, x: float, y: float, z: float) -> Surface:
    return replace(surface, vertices=surface.vertices + np.array([x, y, z]))
