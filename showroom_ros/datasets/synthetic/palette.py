"""The materials of one room, chosen to go together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from showroom_ros.datasets.synthetic import textures
from showroom_ros.datasets.synthetic.textures import Material, hsv

_WOODS = ((0.72, 0.55, 0.36), (0.55, 0.38, 0.23), (0.82, 0.68, 0.48), (0.42, 0.28, 0.19), (0.66, 0.46, 0.30))


@dataclass(frozen=True, eq=False)
class Palette:
    """Materials by what they serve for."""

    floor: Material
    ceiling: Material
    wall: Material
    accent_wall: Material
    trim: Material
    wood: Material
    dark_wood: Material
    lacquer: Material
    metal: Material
    upholstery: Material
    pillow: Material
    linen: Material
    curtain: Material
    books: Material
    leaves: Material
    ceramic: Material
    screen: Material
    shade: Material
    lamp: Material
    outdoors: Material
    rug: Material


def make_palette(rng: Generator) -> Palette:
    """Draws floor, walls, woods and cloths around one hue."""
    hue = rng.random()
    woods = [np.array(_WOODS[i]) for i in rng.permutation(len(_WOODS))[:3]]
    wall_color = hsv((hue + rng.normal(0, 0.05)) % 1, rng.uniform(0.03, 0.14), rng.uniform(0.84, 0.94))
    accent = hsv((hue + rng.choice([0.0, 0.5, 0.1])) % 1, rng.uniform(0.15, 0.35), rng.uniform(0.62, 0.85))
    sofa = hsv((hue + rng.choice([0.45, 0.55, 0.1])) % 1, rng.uniform(0.2, 0.5), rng.uniform(0.4, 0.75))
    warm = hsv((hue + 0.5 + rng.normal(0, 0.08)) % 1, rng.uniform(0.4, 0.7), rng.uniform(0.7, 0.9))
    floor = (
        Material("floorboards", textures.planks(rng, woods[0]), (2.4, 1.44))
        if rng.random() < 0.75
        else Material("floor tiles", textures.tiles(rng, (0.78, 0.74, 0.68), (0.5, 0.48, 0.45)), (1.6, 1.6))
    )
    accent_wall = (
        Material("brick", textures.tiles(rng, (0.66, 0.36, 0.27), (0.72, 0.69, 0.65), 8, 3, 0.5), (0.72, 0.64))
        if rng.random() < 0.2
        else Material("wallpaper", textures.wallpaper(rng, accent), (0.9, 0.9))
    )

    def cloth(name: str, color: np.ndarray, second: np.ndarray | None = None, tile: float = 0.8) -> Material:
        return Material(name, textures.fabric(rng, color, second), (tile, tile))

    return Palette(
        floor=floor,
        ceiling=Material("ceiling paint", textures.plaster(rng, (0.94, 0.94, 0.92)), (2.0, 2.0)),
        wall=Material("plaster", textures.plaster(rng, wall_color), (1.6, 1.6)),
        accent_wall=accent_wall,
        trim=Material("trim", textures.plain(rng, (0.93, 0.92, 0.89)), (1.0, 1.0)),
        wood=Material("wood", textures.wood(rng, woods[1]), (1.2, 0.6)),
        dark_wood=Material("dark wood", textures.wood(rng, woods[2]), (1.2, 0.6)),
        lacquer=Material("lacquer", textures.plain(rng, hsv(hue, 0.12, 0.82), 0.01), (1.0, 1.0)),
        metal=Material("metal", textures.plain(rng, (0.36, 0.36, 0.38), 0.04), (0.4, 0.4)),
        upholstery=cloth("upholstery", sofa),
        pillow=cloth("pillow", warm, hsv(hue, 0.1, 0.92), 0.5),
        linen=cloth("linen", hsv(hue, 0.06, 0.93), accent if rng.random() < 0.6 else None, 1.2),
        curtain=cloth("curtain", hsv((hue + 0.5) % 1, 0.22, 0.8), None, 0.6),
        books=Material("books", textures.spines(rng), (0.64, 0.25)),
        leaves=Material("leaves", textures.foliage(rng, (0.22, 0.40, 0.16)), (0.5, 0.5)),
        ceramic=Material("ceramic", textures.plain(rng, warm, 0.05), (0.5, 0.5)),
        screen=Material("screen", textures.plain(rng, (0.10, 0.11, 0.13), 0.06), (1.0, 1.0)),
        shade=Material("lamp shade", textures.plain(rng, (0.98, 0.88, 0.68), 0.02), (0.5, 0.5), emission=1.1),
        lamp=Material("ceiling lamp", textures.plain(rng, (1.0, 0.96, 0.88), 0.01), (1.0, 1.0), emission=1.8),
        outdoors=Material("window view", textures.outdoors(rng), (1.4, 1.3), emission=1.3),
        rug=Material("rug", textures.rug(rng), (2.0, 1.4)),
    )
