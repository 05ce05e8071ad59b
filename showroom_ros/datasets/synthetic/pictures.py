"""Pictures that are shown once: posters, views out of windows, mirrors, and images from files.

They are drawn at half the size of a texture and doubled: a picture is seldom seen from near.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from showroom_ros.datasets.synthetic.gltf import decoded_image
from showroom_ros.datasets.synthetic.textures import SIZE, Image, Plane, blend, hsv, noise, tinted
from showroom_ros.errors import DatasetError

_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")


def _half_grid() -> tuple[Plane, Plane]:
    """Column and row coordinates u, v in [0, 1), v upwards, [S/2, S/2] each."""
    u = (np.arange(SIZE // 2, dtype=np.float32) + 0.5) / (SIZE // 2)
    return np.broadcast_to(u[None, :], (len(u), len(u))), np.broadcast_to(u[::-1, None], (len(u), len(u)))


def _half_noise(rng: Generator, beta: float) -> Plane:
    return noise(rng, beta)[::2, ::2]


def _doubled(image: NDArray) -> Image:
    return np.clip(image, 0, 1).astype(np.float32).repeat(2, 0).repeat(2, 1)


def fitted(image: NDArray[np.uint8]) -> Image:
    """An image uint8 [H, W, 3] of any size as a texture float32 [S, S, 3], averaged where it is larger."""
    pixels = image.astype(np.float32) / 255
    for axis in (0, 1):
        length = pixels.shape[axis]
        shrink = max(1, length // SIZE)
        pixels = np.moveaxis(pixels, axis, 0)
        whole = pixels[: length // shrink * shrink]
        pixels = whole.reshape(-1, shrink, *pixels.shape[1:]).mean(1)
        place = (np.arange(SIZE) + 0.5) * len(pixels) / SIZE - 0.5
        low = np.clip(np.floor(place).astype(int), 0, len(pixels) - 1)
        share = np.clip(place - low, 0, 1).astype(np.float32)[:, None, None]
        pixels = pixels[low] * (1 - share) + pixels[np.minimum(low + 1, len(pixels) - 1)] * share
        pixels = np.moveaxis(pixels, 0, axis)
    return np.ascontiguousarray(pixels, dtype=np.float32)


def image_files(folder: Path) -> list[Path]:
    """The JPEG and PNG files of a folder, sorted.

    Raises:
        DatasetError: no such folder, or none in it.
    """
    if not folder.is_dir():
        raise DatasetError(f"texture folder {folder} is not there")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGE_ENDINGS)
    if not found:
        raise DatasetError(f"texture folder {folder} holds no images, expected {', '.join(_IMAGE_ENDINGS)}")
    return found


def picture_of(path: Path) -> tuple[Image, float]:
    """An image file as a texture, and its height over its width.

    Raises:
        DatasetError: the file cannot be read or decoded.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    image = decoded_image(content, str(path))
    return fitted(image), image.shape[0] / image.shape[1]


def mirror(rng: Generator, color: ArrayLike) -> Image:
    """What a mirror shows, very roughly: a pale blur of the room's wall."""
    _, v = _half_grid()
    pale = 0.45 * np.asarray(color, np.float32) + np.array([0.46, 0.49, 0.50], np.float32)
    return _doubled(tinted(0.86 + 0.14 * v + 0.02 * _half_noise(rng, 2.4), pale))


def outdoors(rng: Generator, mood: str = "day") -> Image:
    """What a window shows by day, in the evening or at night: sky over trees or houses."""
    u, v = _half_grid()
    low, high = {
        "day": ((0.97, 0.98, 1.0), (0.72, 0.85, 1.0)),
        "evening": ((1.0, 0.74, 0.50), (0.52, 0.56, 0.78)),
        "night": ((0.30, 0.32, 0.42), (0.12, 0.14, 0.24)),
    }[mood]
    sky = blend(tinted(np.ones_like(u), low), high, v)
    if rng.random() < 0.5:
        skyline = 0.26 + 0.05 * _half_noise(rng, 2.4)[0][None, :]
        front = tinted(1 + 0.15 * _half_noise(rng, 1.4), (0.45, 0.58, 0.38))
    else:
        count = int(rng.integers(5, 9))
        house = (u * count).astype(int)
        skyline = rng.uniform(0.2, 0.6, count).astype(np.float32)[house]
        tone = rng.uniform(0.55, 0.85, count).astype(np.float32)[house]
        pane = ((u * count * 4) % 1 < 0.45) & ((v * 24) % 1 < 0.5)
        lit = rng.random((24, count * 4)).astype(np.float32)[(v * 24).astype(int), (u * count * 4).astype(int)] < 0.3
        front = tinted(tone, (0.80, 0.74, 0.68))
        glow = (1.0, 0.9, 0.6) if mood != "day" else (0.45, 0.52, 0.58)
        front = blend(front, glow, (pane & (lit | (mood == "day"))).astype(np.float32))
    shade = {"day": 1.0, "evening": 0.55, "night": 0.35}[mood]
    return _doubled(blend(sky, front * np.float32(shade), np.clip((skyline - v) * 40, 0, 1).astype(np.float32)))


def poster(rng: Generator) -> Image:
    """A picture for the wall: a landscape or an abstract composition."""
    return _landscape(rng) if rng.random() < 0.5 else _composition(rng)


def _landscape(rng: Generator) -> Image:
    u, v = _half_grid()
    hue = rng.random()
    image = blend(tinted(np.ones_like(u), hsv(hue, 0.5, 0.95)), hsv((hue + 0.1) % 1, 0.3, 0.98), v)
    sun = np.hypot(u - rng.uniform(0.2, 0.8), v - rng.uniform(0.6, 0.85)) < rng.uniform(0.05, 0.12)
    image = blend(image, (1.0, 0.95, 0.75), sun.astype(np.float32))
    for layer in range(4):
        ridge = 0.62 - 0.14 * layer + 0.06 * _half_noise(rng, 2.5)[layer * 3][None, :]
        color = hsv((hue + 0.5 + 0.03 * layer) % 1, 0.35 + 0.1 * layer, 0.7 - 0.14 * layer)
        image = blend(image, color, np.clip((ridge - v) * 200, 0, 1).astype(np.float32))
    return _doubled(image * (1 + 0.03 * _half_noise(rng, 0.8))[..., None])


def _composition(rng: Generator) -> Image:
    u, v = _half_grid()
    image = tinted(1 + 0.03 * _half_noise(rng, 1.2), hsv(rng.random(), rng.uniform(0.05, 0.3), 0.92))
    hue = rng.random()
    for _ in range(int(rng.integers(6, 12))):
        x, y, r = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0.06, 0.28)
        shape, flat = int(rng.integers(3)), rng.uniform(0.2, 1.0)
        if shape == 0:
            figure = np.hypot(u - x, v - y) < r
        elif shape == 1:
            figure = (np.abs(u - x) < r) & (np.abs(v - y) < r * flat)
        else:
            figure = np.abs((u - x) * np.cos(6 * r) + (v - y) * np.sin(6 * r)) < 0.15 * r
        color = hsv((hue + rng.normal(0, 0.12)) % 1, rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.95))
        image[figure] = 0.1 * image[figure] + 0.9 * color
    return _doubled(image)
