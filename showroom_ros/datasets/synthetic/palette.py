"""The materials of one home, chosen to go together; each is drawn when it is first used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from showroom_ros.datasets.synthetic import pictures, textures
from showroom_ros.datasets.synthetic.textures import Material, hsv

MOODS = ("day", "evening", "night")
"""When a room is seen: what comes through the windows, and which lamps are on."""

_WOODS = ((0.72, 0.55, 0.36), (0.55, 0.38, 0.23), (0.82, 0.68, 0.48), (0.42, 0.28, 0.19), (0.66, 0.46, 0.30))
_LAMPS = ((1.0, 0.82, 0.60), (1.0, 0.90, 0.76), (1.0, 0.97, 0.92), (0.92, 0.96, 1.0))
_WINDOW_GLOW = {"day": 1.3, "evening": 0.55, "night": 0.05}


@dataclass(frozen=True)
class Mood:
    """Light of a home.

    Attributes:
        name: one of ``MOODS``.
        lamp_color: RGB of the lamps, its largest about 1.
        daylight: RGB power per square metre of window.
        lamps: strength of the lamps, 0 = off.
        exposure: how much brighter (above 1) or darker than usual the camera is set.
    """

    name: str
    lamp_color: tuple[float, float, float]
    daylight: tuple[float, float, float]
    lamps: float
    exposure: float


def make_mood(rng: Generator, name: str | None = None) -> Mood:
    """Draws the light; ``name`` fixes the time of day."""
    drawn = str(rng.choice(MOODS, p=(0.6, 0.25, 0.15)))
    name = name or drawn
    lamp, warmth, strength = _LAMPS[int(rng.integers(len(_LAMPS)))], rng.uniform(-1, 1), rng.uniform(0.8, 1.25)
    lamps_on, exposure = rng.random() < 0.7, rng.uniform(0.85, 1.18)
    if name == "day":
        sky = np.array([4.6 + 0.5 * warmth, 4.8, 5.2 - 0.5 * warmth]) * strength
        return Mood(name, lamp, _triple(sky), 0.8 if lamps_on else 0.25, exposure)
    if name == "evening":
        return Mood(name, lamp, _triple(np.array([1.9, 1.3, 0.9]) * strength), 1.0, 0.95 * exposure)
    return Mood(name, lamp, _triple(np.array([0.10, 0.13, 0.22]) * strength), 1.0, 0.85 * exposure)


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def make_palette(rng: Generator, mood: Mood | None = None) -> Palette:
    """Draws woods, walls and cloths around one hue."""
    return Palette(int(rng.integers(2**31)), mood or make_mood(rng, "day"))


class _Shared(cached_property[Material]):
    """A material that all rooms of a home have in common."""

    def __get__(self, instance: Palette, owner: type[Palette] | None = None) -> Material:  # type: ignore[override]
        return super().__get__(instance.home, owner)


class Palette:
    """Materials by what they serve for.

    ``room(number)`` is the palette of another room of the same home: its floor, walls and rug are its
    own, everything else is shared.
    """

    def __init__(self, seed: int, mood: Mood, home: Palette | None = None) -> None:
        """Draws the colours."""
        self.seed = seed
        self.mood = mood
        self.home: Palette = home or self
        self.hue: float
        rng = np.random.default_rng([seed, 0])
        hue = textures.liked_hue(rng) if home is None else (home.hue + rng.normal(0, 0.07)) % 1
        self.hue = hue
        self.woods = [np.array(_WOODS[i]) for i in rng.permutation(len(_WOODS))[:3]]
        value = rng.uniform(0.80, 0.93)
        self.wall_color = hsv((hue + rng.normal(0, 0.05)) % 1, 0.015 + 0.11 * rng.random() ** 2, value)
        self.accent = hsv((hue + rng.choice([0.0, 0.5, 0.1])) % 1, rng.uniform(0.12, 0.38), rng.uniform(0.5, 0.82))
        self.sofa = hsv(textures.liked_hue(rng), rng.uniform(0.06, 0.42), rng.uniform(0.35, 0.75))
        self.warm = hsv(textures.liked_hue(rng), rng.uniform(0.25, 0.58), rng.uniform(0.6, 0.88))

    def room(self, number: int) -> Palette:
        """The palette of another room of this home."""
        return self if number == 0 else Palette(self.seed + 7919 * number, self.mood, self)

    def _rng(self, name: str) -> Generator:
        return np.random.default_rng([self.seed, crc32(name.encode())])

    def _plain(self, name: str, color: ArrayLike, grain: float, tile_m: float, emission: float = 0.0) -> Material:
        return Material(name, textures.plain(self._rng(name), color, grain), (tile_m, tile_m), emission)

    def _cloth(self, name: str, color: ArrayLike, second: ArrayLike | None = None, tile: float = 0.8) -> Material:
        return Material(name, textures.fabric(self._rng(name), color, second), (tile, tile))

    @cached_property
    def floor(self) -> Material:
        """Boards, parquet or carpet."""
        rng = self._rng("floor")
        color = self.woods[0]
        makers = (
            lambda: Material("floorboards", textures.planks(rng, color), (2.4, 1.44)),
            lambda: Material("floorboards", textures.planks(rng, color, 8, 1), (2.2, 1.6)),
            lambda: Material("parquet", textures.herringbone(rng, color), (1.28, 1.28)),
            lambda: Material("carpet", textures.fabric(rng, hsv(self.hue, 0.14, 0.62)), (1.0, 1.0)),
        )
        return makers[int(rng.choice(len(makers), p=(0.4, 0.22, 0.23, 0.15)))]()

    @cached_property
    def floor_tiles(self) -> Material:
        """Tiles for kitchens, bathrooms and halls: plain, chequered or stone."""
        rng = self._rng("floor tiles")
        pick = rng.random()
        if pick < 0.35:
            return Material(
                "checkered tiles", textures.checkers(rng, (0.88, 0.87, 0.84), self.accent * 0.55), (1.2, 1.2)
            )
        if pick < 0.65:
            return Material("stone", textures.stone(rng, (0.66, 0.64, 0.61)), (1.4, 1.4))
        grey = rng.uniform(0.5, 0.8)
        return Material(
            "floor tiles", textures.tiles(rng, (grey, grey * 0.97, grey * 0.93), (0.5, 0.49, 0.47)), (1.6, 1.6)
        )

    @cached_property
    def wall_tiles(self) -> Material:
        """Glazed tiles."""
        rng = self._rng("wall tiles")
        color = (0.90, 0.90, 0.88) if rng.random() < 0.5 else hsv(self.hue, 0.18, 0.86)
        rows, columns, bond = ((6, 3, 0.5), (5, 5, 0.0))[int(rng.integers(2))]
        return Material("wall tiles", textures.tiles(rng, color, (0.68, 0.67, 0.65), rows, columns, bond), (0.75, 0.75))

    @cached_property
    def ceiling(self) -> Material:
        """White paint."""
        return Material("ceiling paint", textures.plaster(self._rng("ceiling"), (0.94, 0.94, 0.92)), (2.0, 2.0))

    @cached_property
    def wall(self) -> Material:
        """Painted plaster."""
        return Material("plaster", textures.plaster(self._rng("wall"), self.wall_color), (1.6, 1.6))

    @cached_property
    def accent_wall(self) -> Material:
        """Brick, wallpaper, dark paint or boards for one wall."""
        rng = self._rng("accent wall")
        pick = rng.random()
        if pick < 0.2:
            return Material(
                "brick", textures.tiles(rng, (0.66, 0.36, 0.27), (0.72, 0.69, 0.65), 8, 3, 0.5), (0.72, 0.64)
            )
        if pick < 0.4:
            return Material("painted wall", textures.plaster(rng, self.accent), (1.6, 1.6))
        if pick < 0.5:
            return Material("wall boards", textures.planks(rng, self.woods[1], 8, 2), (2.4, 1.2))
        return Material("wallpaper", textures.wallpaper(rng, self.accent), (0.9, 0.9))

    @cached_property
    def panelling(self) -> Material:
        """Paint of a wainscot."""
        pale = hsv(self.hue, self._rng("panelling").uniform(0.0, 0.3), 0.8)
        return Material("panelling", textures.panelling(self._rng("panelling"), pale), (0.9, 0.85))

    @_Shared
    def trim(self) -> Material:
        """White gloss paint of doors and frames."""
        return self._plain("trim", (0.93, 0.92, 0.89), 0.015, 1.0)

    @_Shared
    def wood(self) -> Material:
        """The furniture's wood."""
        return Material("wood", textures.wood(self._rng("wood"), self.woods[1]), (1.2, 0.6))

    @_Shared
    def dark_wood(self) -> Material:
        """A second wood."""
        return Material("dark wood", textures.wood(self._rng("dark wood"), self.woods[2]), (1.2, 0.6))

    @cached_property
    def lacquer(self) -> Material:
        """Lacquered fronts."""
        return self._plain("lacquer", hsv(self.hue, 0.12, 0.82), 0.01, 1.0)

    @_Shared
    def metal(self) -> Material:
        """Dark metal."""
        return self._plain("metal", (0.36, 0.36, 0.38), 0.04, 0.4)

    @_Shared
    def steel(self) -> Material:
        """Brushed steel."""
        return Material("steel", textures.wood(self._rng("steel"), (0.66, 0.67, 0.68), 0.05), (0.6, 0.3))

    @cached_property
    def worktop(self) -> Material:
        """Stone of a kitchen worktop."""
        grey = self._rng("worktop").choice([0.22, 0.5, 0.82])
        return Material("worktop", textures.stone(self._rng("worktop"), (grey, grey, grey * 0.97), 0), (0.9, 0.9))

    @cached_property
    def upholstery(self) -> Material:
        """Cloth of sofas."""
        return self._cloth("upholstery", self.sofa)

    @cached_property
    def pillow(self) -> Material:
        """Cloth of pillows."""
        return self._cloth("pillow", self.warm, hsv(self.hue, 0.1, 0.92), 0.5)

    @cached_property
    def linen(self) -> Material:
        """Bed linen."""
        second = self.accent if self._rng("linen").random() < 0.6 else None
        return self._cloth("linen", hsv(self.hue, 0.06, 0.93), second, 1.2)

    @cached_property
    def curtain(self) -> Material:
        """Cloth of curtains."""
        hue = (self.hue + self._rng("curtain hue").choice([0.0, 0.08, 0.5])) % 1
        return self._cloth("curtain", hsv(hue, 0.16, 0.82), None, 0.6)

    @_Shared
    def books(self) -> Material:
        """Spines of books."""
        return Material("books", textures.spines(self._rng("books")), (0.64, 0.25))

    @_Shared
    def leaves(self) -> Material:
        """Foliage."""
        return Material("leaves", textures.foliage(self._rng("leaves"), (0.22, 0.40, 0.16)), (0.5, 0.5))

    @cached_property
    def ceramic(self) -> Material:
        """Coloured ceramic."""
        return self._plain("ceramic", self.warm, 0.05, 0.5)

    @cached_property
    def porcelain(self) -> Material:
        """White glaze of baths and basins."""
        return self._plain("porcelain", (0.93, 0.93, 0.92), 0.006, 1.0)

    @cached_property
    def mirror(self) -> Material:
        """A mirror, which shows a pale blur."""
        return Material("mirror", pictures.mirror(self._rng("mirror"), self.wall_color), (1.0, 1.0))

    @cached_property
    def cardboard(self) -> Material:
        """Boxes and baskets."""
        return self._cloth("cardboard", (0.66, 0.52, 0.36), None, 0.3)

    @_Shared
    def screen(self) -> Material:
        """A dark screen."""
        return self._plain("screen", (0.10, 0.11, 0.13), 0.06, 1.0)

    @_Shared
    def shade(self) -> Material:
        """Lamp shades; they glow when the lamps are on."""
        glow = np.array([0.98, 0.90, 0.74]) * (0.4 + 0.6 * np.array(self.mood.lamp_color))
        return self._plain("lamp shade", glow, 0.02, 0.5, 1.1 * self.mood.lamps)

    @_Shared
    def lamp(self) -> Material:
        """Glass of ceiling lamps."""
        return self._plain("ceiling lamp", 0.97 * np.array(self.mood.lamp_color), 0.01, 1.0, 1.8 * self.mood.lamps)

    @_Shared
    def outdoors(self) -> Material:
        """What the windows show."""
        view = pictures.outdoors(self._rng("outdoors"), self.mood.name)
        return Material("window view", view, (1.4, 1.3), _WINDOW_GLOW[self.mood.name])

    @cached_property
    def rug(self) -> Material:
        """A carpet to lay on the floor."""
        rng = self._rng("rug size")
        wide = rng.uniform(1.6, 2.3)
        return Material("rug", textures.rug(self._rng("rug")), (wide, wide * rng.uniform(0.62, 0.72)))
