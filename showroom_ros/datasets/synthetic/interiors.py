"""What furnishes a room: a list of placements per kind of room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from showroom_ros.datasets.synthetic import fixtures, furniture, things
from showroom_ros.datasets.synthetic.assets import AssetLibrary
from showroom_ros.datasets.synthetic.clutter import CLUTTER
from showroom_ros.datasets.synthetic.floor_plan import FloorPlan
from showroom_ros.datasets.synthetic.layout import Arrangement, Placed
from showroom_ros.datasets.synthetic.palette import Palette
from showroom_ros.datasets.synthetic.pictures import picture_of
from showroom_ros.datasets.synthetic.piece import Piece

KINDS = ("living room", "bedroom", "study", "kitchen", "dining room", "office", "bathroom", "hallway")

Maker = Callable[[Generator, Palette], Piece]
_ASSET_SHARE = 0.6
_DRY = ("living room", "bedroom", "study", "dining room", "office", "hallway")


@dataclass(eq=False)
class Interior:
    """One room being furnished.

    Attributes:
        rng: source of every choice.
        arrangement: what stands so far.
        palette: materials of this room.
        library: models to use besides the parametric pieces, or None.
        images: picture files to hang besides drawn ones.
    """

    rng: Generator
    arrangement: Arrangement
    palette: Palette
    library: AssetLibrary | None = None
    images: tuple[Path, ...] = ()

    def piece(self, maker: Maker, category: str | None = None, share: float = _ASSET_SHARE) -> Piece:
        """A piece of ``maker``'s, or in a ``share`` of cases a model of ``category`` instead."""
        if self.library is not None and category is not None and self.rng.random() < share:
            model = self.library.piece(self.rng, category)
            if model is not None:
                return model
        return maker(self.rng, self.palette)

    def at_wall(self, maker: Maker, category: str | None = None, corner: bool = False) -> Placed | None:
        """Stands a piece against a wall; a model that finds no place gives way to a parametric piece."""
        piece = self.piece(maker, category)
        placed = self.arrangement.against_wall(self.rng, piece, corner)
        if placed is None and self.library is not None:
            placed = self.arrangement.against_wall(self.rng, maker(self.rng, self.palette), corner)
        return placed

    def chance(self, probability: float) -> bool:
        """Whether something happens."""
        return bool(self.rng.random() < probability)


def furnish(
    rng: Generator,
    plan: FloorPlan,
    palette: Palette,
    library: AssetLibrary | None = None,
    images: tuple[Path, ...] = (),
    clutter: float = 1.0,
) -> list[Placed]:
    """Furnishes a room as what its plan's ``kind`` says, then adds plants, clutter and pictures."""
    interior = Interior(rng, Arrangement(plan), palette, library, images)
    _FURNISHERS[plan.kind](interior)
    if plan.kind in _DRY and interior.chance(0.8):
        interior.arrangement.against_wall(rng, furniture.plant(rng, palette), corner=True)
    _radiators(interior)
    _clutter(interior, clutter)
    _pictures(interior)
    return interior.arrangement.placed


def _living_room(room: Interior) -> None:
    rng, arrangement, palette = room.rng, room.arrangement, room.palette
    sofa = room.at_wall(furniture.sofa, "sofa")
    if sofa is not None:
        table = room.piece(furniture.coffee_table, "coffee table")
        if not sofa.piece.corner:
            arrangement.facing(table, sofa, 0.38)
            arrangement.facing(furniture.rug(rng, palette), sofa, -0.25)
        arrangement.beside(furniture.floor_lamp(rng, palette), sofa)
    room.at_wall(furniture.bookcase, "bookcase")
    if room.chance(0.5):
        room.at_wall(furniture.sideboard_with_tv)
    else:
        _television(room)
    room.at_wall(furniture.armchair, "armchair")
    room.at_wall(furniture.dresser, "dresser")
    dining = room.at_wall(furniture.dining_table, "table") if room.chance(0.6) else None
    if dining is not None:
        arrangement.facing(room.piece(furniture.chair, "chair"), dining, 0.04)
    if room.library is not None and room.chance(0.35):
        _equipment(room)


def _television(room: Interior) -> None:
    """A low board with a screen on the wall above it."""
    board = room.at_wall(things.low_board, "sideboard")
    if board is None:
        return
    screen = room.piece(things.wall_television, "television")
    plan = room.arrangement.plan
    for wall in range(plan.wall_count):
        start, direction, normal, _ = plan.wall(wall)
        offset = board.pose[:2, 3] - start
        if abs(offset @ normal) < 0.1 and normal @ board.pose[:2, 1] > 0.9:
            room.arrangement.at_wall(screen, wall, float(offset @ direction), board.high_m + 0.28)
            return


def _equipment(room: Interior) -> None:
    assert room.library is not None
    model = room.library.piece(room.rng, "equipment")
    if model is not None:
        room.arrangement.free_standing(room.rng, model, 0.3)


def _bedroom(room: Interior) -> None:
    rng, arrangement, palette = room.rng, room.arrangement, room.palette
    bed = room.at_wall(furniture.bed, "bed")
    if bed is not None:
        stands = room.piece(furniture.nightstand, "nightstand")
        arrangement.beside(stands, bed)
        arrangement.beside(stands, bed)
        arrangement.facing(furniture.rug(rng, palette), bed, -0.9)
    room.at_wall(furniture.wardrobe, "wardrobe")
    room.at_wall(furniture.dresser, "dresser")
    if room.chance(0.6):
        room.at_wall(furniture.bookcase, "bookcase")
    desk = room.at_wall(furniture.desk, "desk")
    if desk is not None:
        arrangement.facing(room.piece(furniture.chair, "chair"), desk, 0.06)
    if room.chance(0.6):
        room.at_wall(furniture.armchair, "armchair")


def _study(room: Interior) -> None:
    rng, arrangement, palette = room.rng, room.arrangement, room.palette
    for _ in range(2):
        desk = room.at_wall(furniture.desk, "desk")
        if desk is not None:
            arrangement.facing(room.piece(things.office_chair, "chair"), desk, 0.06)
    room.at_wall(furniture.bookcase, "bookcase")
    room.at_wall(furniture.bookcase)
    room.at_wall(furniture.sofa, "sofa")
    room.at_wall(furniture.dresser, "dresser")
    table = arrangement.free_standing(rng, furniture.coffee_table(rng, palette), 1.0)
    if table is not None:
        arrangement.facing(furniture.rug(rng, palette), table, -1.0)
    arrangement.against_wall(rng, furniture.floor_lamp(rng, palette), corner=True)


def _kitchen(room: Interior) -> None:
    rng, arrangement, palette = room.rng, room.arrangement, room.palette
    for units in (6, 5, 4, 3):
        run = arrangement.against_wall(rng, fixtures.kitchen_run(rng, palette, units), corner=units > 3)
        if run is not None:
            fridge = room.piece(fixtures.fridge, "fridge")
            if arrangement.beside(fridge, run, 0.035) is None:
                arrangement.against_wall(rng, fridge, corner=True)
            break
    if room.chance(0.35) and arrangement.plan.area_m2 > 12:
        arrangement.central(fixtures.island(rng, palette))
    else:
        table = room.piece(furniture.dining_table if room.chance(0.5) else things.round_table, "table")
        placed = arrangement.free_standing(rng, table, 0.75) or arrangement.against_wall(rng, table)
        if placed is not None:
            arrangement.around(rng, [room.piece(furniture.chair, "chair")] * 4, placed)
    room.at_wall(furniture.dresser, "dresser")
    room.at_wall(things.trash_can, corner=True)
    for _ in range(2):
        _high_on_wall(room, things.wall_shelf(rng, palette), 1.45)


def _dining_room(room: Interior) -> None:
    rng, arrangement, palette = room.rng, room.arrangement, room.palette
    maker = things.round_table if room.chance(0.3) else furniture.large_table
    placed = arrangement.central(maker(rng, palette))
    if placed is not None:
        chair = room.piece(furniture.chair, "chair")
        arrangement.around(rng, [chair] * 6, placed)
        center = placed.pose[:2, 3] + placed.pose[:2, 1] * placed.piece.depth / 2
        top = float(arrangement.plan.ceiling_at(center))
        lamp = None if room.library is None else room.library.piece(rng, "hanging lamp")
        if lamp is None or room.chance(0.5) or top - lamp.height < 1.5:
            lamp = things.hanging_lamp(rng, palette, top - 1.55)
        arrangement.hanging(lamp, center, top)
        rug = furniture.rug(rng, palette)
        if placed.piece.width < rug.width + 0.5:
            arrangement.hanging(rug, center, rug.height)
    room.at_wall(things.low_board, "sideboard")
    room.at_wall(furniture.dresser, "dresser")
    room.at_wall(furniture.bookcase, "bookcase")
    if room.chance(0.5):
        room.at_wall(furniture.armchair, "armchair")


def _office(room: Interior) -> None:
    rng, arrangement, palette = room.rng, room.arrangement, room.palette
    for _ in range(int(rng.integers(2, 5))):
        desk = room.at_wall(furniture.desk, "desk")
        if desk is not None:
            arrangement.facing(room.piece(things.office_chair, "chair"), desk, 0.06)
    _high_on_wall(room, things.whiteboard(rng, palette), 0.95)
    placed = arrangement.central(furniture.large_table(rng, palette))
    if placed is not None:
        arrangement.around(rng, [things.office_chair(rng, palette)] * int(rng.integers(3, 7)), placed)
    for _ in range(2):
        room.at_wall(things.filing_cabinet)
    room.at_wall(furniture.bookcase, "bookcase")
    room.at_wall(furniture.wardrobe, "wardrobe")
    room.at_wall(things.trash_can, corner=True)


def _bathroom(room: Interior) -> None:
    rng, arrangement, palette = room.rng, room.arrangement, room.palette
    tub = arrangement.against_wall(rng, fixtures.bathtub(rng, palette), corner=True)
    if tub is None or room.chance(0.3):
        arrangement.against_wall(rng, fixtures.shower(rng, palette), corner=True)
    room.at_wall(fixtures.washbasin)
    room.at_wall(fixtures.toilet)
    _high_on_wall(room, fixtures.towel_rail(rng, palette), 0.55)
    room.at_wall(furniture.nightstand, "nightstand")
    room.at_wall(things.basket, corner=True)
    mat = furniture.rug(rng, palette)
    if tub is not None and mat.width < 2.0:
        arrangement.facing(mat, tub, 0.05)


def _hallway(room: Interior) -> None:
    rng, palette = room.rng, room.palette
    room.at_wall(fixtures.shoe_cabinet, "shoe cabinet")
    room.at_wall(fixtures.bench)
    _high_on_wall(room, fixtures.coat_rack(rng, palette), 0.75)
    _high_on_wall(room, fixtures.wall_mirror(rng, palette), 0.6)
    if room.chance(0.5):
        room.at_wall(furniture.wardrobe, "wardrobe")
    if room.chance(0.6):
        center = (room.arrangement.plan.low + room.arrangement.plan.high) / 2
        rug = furniture.rug(rng, palette)
        room.arrangement.hanging(rug, center, rug.height)


_FURNISHERS: dict[str, Callable[[Interior], None]] = {
    "living room": _living_room,
    "bedroom": _bedroom,
    "study": _study,
    "kitchen": _kitchen,
    "dining room": _dining_room,
    "office": _office,
    "bathroom": _bathroom,
    "hallway": _hallway,
}


def _high_on_wall(room: Interior, piece: Piece, height_m: float) -> Placed | None:
    """Hangs a piece on some wall where nothing stands before it."""
    plan, rng = room.arrangement.plan, room.rng
    for _ in range(12):
        wall = int(rng.integers(plan.wall_count))
        length = plan.wall(wall)[3]
        if length > piece.width + 0.3:
            along = rng.uniform(piece.width / 2 + 0.12, length - piece.width / 2 - 0.12)
            if (placed := room.arrangement.at_wall(piece, wall, along, height_m)) is not None:
                return placed
    return None


def _radiators(room: Interior) -> None:
    """A radiator under the windows that leave room for one."""
    for opening in room.arrangement.plan.openings:
        if opening.kind == "window" and opening.low_m > 0.75 and room.chance(0.6):
            piece = fixtures.radiator(room.rng, room.palette)
            middle = (opening.start_m + opening.end_m) / 2
            room.arrangement.at_wall(piece, opening.wall, middle, 0.12)


def _clutter(room: Interior, amount: float) -> None:
    rng = room.rng
    for _ in range(round(8 * amount)):
        maker = CLUTTER[int(rng.integers(len(CLUTTER)))]
        room.arrangement.on_top(rng, room.piece(maker, "small thing"))
    for _ in range(round(3 * amount)):
        maker = things.ON_FLOOR[int(rng.integers(len(things.ON_FLOOR)))]
        piece = room.piece(maker, "floor thing", 0.25)
        if room.chance(0.6):
            room.arrangement.against_wall(rng, piece)
        else:
            room.arrangement.free_standing(rng, piece, 0.05, turned=True)


def _pictures(room: Interior) -> None:
    plan, rng = room.arrangement.plan, room.rng
    if plan.kind == "bathroom":
        return
    for wall in range(plan.wall_count):
        length = plan.wall(wall)[3]
        for _ in range(int(rng.integers(1, 4))):
            piece = _picture(room)
            if length < piece.width + 0.4:
                continue
            along = rng.uniform(piece.width / 2 + 0.15, length - piece.width / 2 - 0.15)
            height = min(1.65 - piece.height / 2 + rng.uniform(-0.05, 0.1), plan.height_m - piece.height - 0.15)
            if height > np.float64(0.7):
                room.arrangement.at_wall(piece, wall, along, height)


def _picture(room: Interior) -> Piece:
    if room.images and room.chance(0.7):
        path = room.images[int(room.rng.integers(len(room.images)))]
        return furniture.picture(room.rng, room.palette, picture_of(path))
    return room.piece(furniture.picture, "picture")
