"""What furnishes a room: a list of placements per kind of room."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from showroom_ros.datasets.synthetic import furniture
from showroom_ros.datasets.synthetic.clutter import CLUTTER
from showroom_ros.datasets.synthetic.layout import Arrangement, FloorPlan, Placed
from showroom_ros.datasets.synthetic.palette import Palette
from showroom_ros.datasets.synthetic.piece import Piece

KINDS = ("living room", "bedroom", "study")


def furnish(rng: Generator, plan: FloorPlan, palette: Palette, kind: str) -> list[Placed]:
    """Furnishes a plan as one of ``KINDS``, then adds plants, clutter and pictures."""
    arrangement = Arrangement(plan)
    {"living room": _living_room, "bedroom": _bedroom, "study": _study}[kind](rng, arrangement, palette)
    arrangement.against_wall(rng, furniture.plant(rng, palette), corner=True)
    for _ in range(7):
        make = CLUTTER[int(rng.integers(len(CLUTTER)))]
        arrangement.on_top(rng, make(rng, palette))
    _pictures(rng, arrangement, palette)
    return arrangement.placed


def _at_walls(
    rng: Generator, arrangement: Arrangement, palette: Palette, *makers: Callable[..., Piece]
) -> list[Placed]:
    placed = (arrangement.against_wall(rng, make(rng, palette)) for make in makers)
    return [p for p in placed if p is not None]


def _living_room(rng: Generator, arrangement: Arrangement, palette: Palette) -> None:
    sofas = _at_walls(rng, arrangement, palette, furniture.sofa)
    for sofa in sofas:
        arrangement.facing(furniture.coffee_table(rng, palette), sofa, 0.38)
        arrangement.facing(furniture.rug(rng, palette), sofa, -0.25)
        arrangement.beside(furniture.floor_lamp(rng, palette), sofa)
    _at_walls(
        rng,
        arrangement,
        palette,
        furniture.bookcase,
        furniture.sideboard_with_tv,
        furniture.armchair,
        furniture.dresser,
    )
    tables = _at_walls(rng, arrangement, palette, furniture.dining_table)
    for table in tables:
        arrangement.facing(furniture.chair(rng, palette), table, 0.04)


def _bedroom(rng: Generator, arrangement: Arrangement, palette: Palette) -> None:
    for bed in _at_walls(rng, arrangement, palette, furniture.bed):
        arrangement.beside(furniture.nightstand(rng, palette), bed)
        arrangement.beside(furniture.nightstand(rng, palette), bed)
        arrangement.facing(furniture.rug(rng, palette), bed, -0.9)
    _at_walls(rng, arrangement, palette, furniture.wardrobe, furniture.dresser, furniture.bookcase)
    for desk in _at_walls(rng, arrangement, palette, furniture.desk):
        arrangement.facing(furniture.chair(rng, palette), desk, 0.06)
    _at_walls(rng, arrangement, palette, furniture.armchair)


def _study(rng: Generator, arrangement: Arrangement, palette: Palette) -> None:
    for desk in _at_walls(rng, arrangement, palette, furniture.desk, furniture.desk):
        arrangement.facing(furniture.chair(rng, palette), desk, 0.06)
    _at_walls(rng, arrangement, palette, furniture.bookcase, furniture.bookcase, furniture.sofa, furniture.dresser)
    table = arrangement.free_standing(rng, furniture.coffee_table(rng, palette), 1.0)
    if table is not None:
        arrangement.facing(furniture.rug(rng, palette), table, -1.0)
    arrangement.against_wall(rng, furniture.floor_lamp(rng, palette), corner=True)


def _pictures(rng: Generator, arrangement: Arrangement, palette: Palette) -> None:
    plan = arrangement.plan
    for wall in range(plan.wall_count):
        length = plan.wall(wall)[3]
        for _ in range(int(rng.integers(1, 4))):
            piece = furniture.picture(rng, palette)
            if length < piece.width + 0.4:
                continue
            along = rng.uniform(piece.width / 2 + 0.15, length - piece.width / 2 - 0.15)
            height = min(1.65 - piece.height / 2 + rng.uniform(-0.05, 0.1), plan.height_m - piece.height - 0.15)
            if height > np.float64(0.7):
                arrangement.at_wall(piece, wall, along, height)
