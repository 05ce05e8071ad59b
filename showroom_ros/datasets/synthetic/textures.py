"""Procedural image textures: every function draws one from a random generator and nothing else.

Textures are float32 [S, S, 3] sRGB in [0, 1]. The plain ones tile without a seam (their noise is made
in the Fourier domain, so it is periodic); pictures, rugs and views do not and are shown once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Image = NDArray[np.float32]
Plane = NDArray[np.float32]

SIZE = 512
"""Edge of every texture in texels."""


@dataclass(frozen=True, eq=False)
class Material:
    """A texture and the size it is laid out in.

    Attributes:
        name: what it is made of.
        texture: float32 [S, S, 3], sRGB in [0, 1]; row 0 is the top.
        tile_m: width and height in metres after which the texture repeats.
        emission: radiance it sends out by itself per albedo; 0 for everything but lamps and panes.
    """

    name: str
    texture: Image
    tile_m: tuple[float, float]
    emission: float = 0.0


def noise(rng: Generator, beta: float = 2.0, stretch: tuple[float, float] = (1.0, 1.0)) -> Plane:
    """Periodic fractal noise [S, S], mean 0, deviation 1, power spectrum 1 / f^beta.

    ``stretch`` (rows, columns) lengthens its grains along an axis. Two shifted copies of the same plane
    are mixed, so a plane costs its Fourier transform once in a process.
    """
    plane = _noise_plane(beta, stretch)
    (row, column), (other_row, other_column) = rng.integers(0, SIZE, (2, 2))
    shifted = np.roll(plane, (row, column), (0, 1))
    if rng.random() < 0.5:
        shifted = shifted[::-1]
    return np.float32(0.8) * shifted + np.float32(0.6) * np.roll(plane, (other_row, other_column), (0, 1))


@lru_cache(maxsize=64)
def _noise_plane(beta: float, stretch: tuple[float, float]) -> Plane:
    rng = np.random.default_rng([int(beta * 100), int(stretch[0] * 10), int(stretch[1] * 10)])
    fy = np.fft.fftfreq(SIZE)[:, None] * SIZE * stretch[0]
    fx = np.fft.rfftfreq(SIZE)[None, :] * SIZE * stretch[1]
    frequency = np.sqrt(fy * fy + fx * fx)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((SIZE, SIZE), np.float32)) * frequency ** (-beta / 2)
    plane = np.fft.irfft2(spectrum, (SIZE, SIZE))
    return (plane / plane.std()).astype(np.float32)


def grid() -> tuple[Plane, Plane]:
    """Column and row coordinates u, v in [0, 1), v upwards, [S, S] each."""
    u = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    return np.broadcast_to(u[None, :], (SIZE, SIZE)), np.broadcast_to(u[::-1, None], (SIZE, SIZE))


def tinted(value: Plane, color: ArrayLike) -> Image:
    """``color`` [3] made lighter and darker by a factor plane [S, S]."""
    return np.clip(value[..., None] * np.asarray(color, np.float32), 0, 1).astype(np.float32)


def blend(a: Image, b: ArrayLike, weight: Plane) -> Image:
    """``a`` where the weight is 0, ``b`` (image or colour) where it is 1."""
    return (a + (np.asarray(b, np.float32) - a) * weight[..., None]).astype(np.float32)


def hsv(hue: float, saturation: float, value: float) -> NDArray[np.float32]:
    """SRGB [3] of hue, saturation and value in [0, 1]."""
    k = (np.array([5, 3, 1]) + hue * 6) % 6
    return (value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)).astype(np.float32)


def liked_hue(rng: Generator) -> float:
    """Mostly one that people paint rooms in: sand, blue, green or rose."""
    liked = (0.09, 0.11, 0.57, 0.62, 0.30, 0.42, 0.97)[int(rng.integers(7))]
    return float((liked + rng.normal(0, 0.03)) % 1 if rng.random() < 0.8 else rng.random())


def plain(rng: Generator, color: ArrayLike, grain: float = 0.015) -> Image:
    """Paint, lacquer or ceramic: one colour with a faint cloudiness."""
    return tinted(1 + grain * noise(rng, 1.6), color)


def plaster(rng: Generator, color: ArrayLike) -> Image:
    """Painted plaster: fine roller grain over slow clouds."""
    return tinted(1 + 0.020 * noise(rng, 0.6) + 0.025 * noise(rng, 2.4), color)


def wood(rng: Generator, color: ArrayLike, contrast: float = 0.16) -> Image:
    """Straight-grained wood; the grain runs along u."""
    u, v = grid()
    del u
    warp = noise(rng, 2.6, (1.0, 6.0))
    rings = np.sin(2 * np.pi * (rng.integers(5, 9) * v + 0.35 * warp))
    fibre = noise(rng, 1.0, (1.0, 14.0))
    return tinted(1 + contrast * (0.45 * rings + 0.30 * fibre + 0.35 * warp), color)


def planks(rng: Generator, color: ArrayLike, rows: int = 12, boards: int = 2) -> Image:
    """Floor boards along u: every board its own tone and grain, dark joints."""
    u, v = grid()
    row = np.minimum((v * rows).astype(int), rows - 1)
    shift = rng.random(rows).astype(np.float32)[row]
    along = (u * boards + shift) % boards
    board = along.astype(int)
    tone = rng.normal(1, 0.10, (rows, boards)).astype(np.float32)[row, board]
    warmth = rng.normal(0, 0.03, (rows, boards)).astype(np.float32)[row, board]
    offset = rng.integers(0, SIZE, (rows, boards))[row, board]
    columns, lines = (u * SIZE).astype(int), (v * SIZE).astype(int)
    grain = (0.6 * noise(rng, 1.1, (1.0, 16.0)) + 0.5 * noise(rng, 2.4, (1.0, 5.0)))[lines, (columns + offset) % SIZE]
    joint = np.minimum((v * rows) % 1 * (SIZE / rows), (along % 1) * (SIZE / boards)) < 1.6
    image = tinted(tone * (1 + 0.09 * grain) * np.where(joint, 0.55, 1), color)
    image[..., 2] = np.clip(image[..., 2] - warmth, 0, 1)
    return image


def tiles(
    rng: Generator, color: ArrayLike, mortar: ArrayLike, rows: int = 4, columns: int = 4, bond: float = 0.0
) -> Image:
    """Ceramic tiles or, with ``bond`` 0.5, bricks; each of its own tone, in mortar."""
    u, v = grid()
    row = np.minimum((v * rows).astype(int), rows - 1)
    along = (u * columns + bond * (row % 2)) % columns
    column = np.minimum(along.astype(int), columns - 1)
    tone = rng.normal(1, 0.07, (rows, columns)).astype(np.float32)[row, column]
    y, x = (v * rows) % 1 * SIZE / rows, along % 1 * SIZE / columns
    edge = np.minimum(np.minimum(x, SIZE / columns - x), np.minimum(y, SIZE / rows - y))
    body = tinted(tone * (1 + 0.04 * noise(rng, 1.5)), color)
    return blend(body, tinted(1 + 0.05 * noise(rng, 0.8), mortar), np.clip(3.5 - edge, 0, 1).astype(np.float32))


def wallpaper(rng: Generator, color: ArrayLike) -> Image:
    """Paper with stripes, diamonds or a small repeated flower, one shade off the ground colour."""
    u, v = grid()
    kind, count = int(rng.integers(3)), int(rng.integers(3, 6))
    if kind == 0:
        figure = 0.5 + 0.5 * np.tanh(6 * np.sin(2 * np.pi * count * u))
    elif kind == 1:
        figure = 0.5 + 0.5 * np.tanh(5 * (np.cos(2 * np.pi * count * u) + np.cos(2 * np.pi * count * v)))
    else:
        x, y = (u * count) % 1 - 0.5, (v * count) % 1 - 0.5
        petals = 0.24 + 0.10 * np.cos(int(rng.integers(4, 7)) * np.arctan2(y, x))
        figure = np.clip((petals - np.hypot(x, y)) * 25, 0, 1)
    ground = plaster(rng, color)
    return blend(ground, ground * np.float32(rng.choice([0.80, 0.86, 0.9])), figure.astype(np.float32))


def fabric(rng: Generator, color: ArrayLike, accent: ArrayLike | None = None) -> Image:
    """Woven cloth; with ``accent`` striped or checked in a second colour."""
    u, v = grid()
    weave = 0.05 * np.sin(2 * np.pi * 128 * u) * np.sin(2 * np.pi * 128 * v)
    cloth = tinted(1 + weave + 0.06 * noise(rng, 0.7) + 0.03 * noise(rng, 2.2), color)
    if accent is None:
        return cloth
    count, width = int(rng.integers(3, 7)), rng.uniform(0.25, 0.5)
    stripes = ((u * count) % 1 < width).astype(np.float32)
    if rng.random() < 0.4:
        stripes = 0.5 * stripes + 0.5 * ((v * count) % 1 < width)
    return blend(cloth, tinted(1 + weave, accent), 0.85 * stripes)


def foliage(rng: Generator, color: ArrayLike) -> Image:
    """Leaves, seen as a mottled green."""
    spots = np.clip(noise(rng, 1.2), -2, 2)
    return blend(tinted(1 + 0.22 * spots, color), np.array([0.55, 0.66, 0.25]), np.clip(spots - 0.9, 0, 1) * 0.6)


def spines(rng: Generator) -> Image:
    """Book covers side by side: 16 coloured columns with a title bar each."""
    u, v = grid()
    column = (u * 16).astype(int)
    hues, values = rng.random(16), rng.uniform(0.25, 0.85, 16)
    colors = np.stack([hsv(h, s, x) for h, s, x in zip(hues, rng.uniform(0.2, 0.75, 16), values, strict=True)])
    image = colors[column] * (1 + 0.04 * noise(rng, 1.0))[..., None]
    title = ((v > 0.6) & (v < 0.75)) | ((v > 0.08) & (v < 0.12))
    return np.clip(blend(image.astype(np.float32), np.array([0.9, 0.86, 0.7]), 0.8 * title.astype(np.float32)), 0, 1)


def rug(rng: Generator) -> Image:
    """A carpet: border bands around a field of medallions."""
    u, v = grid()
    hue = liked_hue(rng)
    palette = [hsv((hue + d) % 1, rng.uniform(0.15, 0.48), rng.uniform(0.3, 0.8)) for d in (0, 0.05, 0.08, 0.0)]
    edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
    count = int(rng.integers(3, 6))
    x, y = (u * count) % 1 - 0.5, (v * count) % 1 - 0.5
    medallion = np.sin(2 * np.pi * (np.abs(x) + np.abs(y)) * 3)
    image = blend(tinted(np.ones_like(u), palette[0]), palette[1], (medallion > 0.2).astype(np.float32))
    for inner, color in ((0.14, palette[2]), (0.11, palette[3]), (0.04, palette[0])):
        image = blend(image, color, (edge < inner).astype(np.float32))
    return np.clip(image * (1 + 0.07 * noise(rng, 0.5))[..., None], 0, 1).astype(np.float32)


def herringbone(rng: Generator, color: ArrayLike, blocks: int = 4, across: int = 4) -> Image:
    """Parquet of square blocks whose staves run along u and v by turns."""
    u, v = grid()
    column, row = (u * blocks).astype(int) % blocks, (v * blocks).astype(int) % blocks
    turned = (column + row) % 2 == 1
    x, y = (u * blocks) % 1, (v * blocks) % 1
    position = np.where(turned, x, y) * across
    stave = np.minimum(position.astype(int), across - 1)
    tone = rng.normal(1, 0.09, (blocks, blocks, across)).astype(np.float32)[row, column, stave]
    fibre = noise(rng, 1.1, (1.0, 12.0))
    grain = np.where(turned, fibre.T, fibre)
    texel = SIZE / blocks
    joint = np.minimum(position % 1 * (texel / across), np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) * texel)
    return tinted(tone * (1 + 0.08 * grain) * np.where(joint < 1.2, 0.6, 1), color)


def checkers(rng: Generator, light: ArrayLike, dark: ArrayLike, count: int = 4) -> Image:
    """Tiles of two colours by turns."""
    u, v = grid()
    odd = ((u * count).astype(int) + (v * count).astype(int)) % 2 == 1
    x, y = (u * count) % 1, (v * count) % 1
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) * SIZE / count
    image = np.where(
        odd[..., None], tinted(1 + 0.05 * noise(rng, 1.8), dark), tinted(1 + 0.03 * noise(rng, 1.8), light)
    )
    return blend(image, np.array([0.55, 0.54, 0.52]), np.clip(2.2 - edge, 0, 1).astype(np.float32))


def stone(rng: Generator, color: ArrayLike, slabs: int = 2) -> Image:
    """Veined stone, in ``slabs`` x ``slabs`` plates with thin joints (0: without)."""
    vein = np.exp(-np.abs(noise(rng, 2.6)) * 14) * (0.5 + 0.5 * np.clip(noise(rng, 2.2), -1, 1))
    image = tinted(1 + 0.05 * noise(rng, 1.5) + 0.06 * noise(rng, 2.4) - 0.22 * vein, color)
    if not slabs:
        return image
    u, v = grid()
    x, y = (u * slabs) % 1, (v * slabs) % 1
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) * SIZE / slabs
    return image * np.where(edge < 1.5, np.float32(0.7), np.float32(1))[..., None]


def panelling(rng: Generator, color: ArrayLike) -> Image:
    """A painted panel in its frame, with the light of its moulding painted on."""
    u, v = grid()
    edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
    groove = np.exp(-(((edge - 0.12) / 0.012) ** 2)) * 0.18 - np.exp(-(((edge - 0.145) / 0.01) ** 2)) * 0.06
    return tinted(1 - groove + 0.012 * noise(rng, 1.6), color)
