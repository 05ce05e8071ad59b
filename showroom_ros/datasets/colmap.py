"""Sparse models of COLMAP (Schoenberger and Frahm, CVPR 2016) in their text form: cameras.txt and images.txt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.files import read_text
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, pose_from

# where each parameter of a model goes: fx, fy, cx, cy, then the coefficients of the lens
_MODELS: dict[str, tuple[str, tuple[int, ...], tuple[int | None, ...]]] = {
    "SIMPLE_PINHOLE": ("none", (0, 0, 1, 2), ()),
    "PINHOLE": ("none", (0, 1, 2, 3), ()),
    "SIMPLE_RADIAL": ("plumb_bob", (0, 0, 1, 2), (3, None, None, None)),
    "RADIAL": ("plumb_bob", (0, 0, 1, 2), (3, 4, None, None)),
    "OPENCV": ("plumb_bob", (0, 1, 2, 3), (4, 5, 6, 7)),
    "FULL_OPENCV": ("rational_polynomial", (0, 1, 2, 3), (4, 5, 6, 7, 8, 9, 10, 11)),
    "SIMPLE_RADIAL_FISHEYE": ("equidistant", (0, 0, 1, 2), (3, None, None, None)),
    "RADIAL_FISHEYE": ("equidistant", (0, 0, 1, 2), (3, 4, None, None)),
    "OPENCV_FISHEYE": ("equidistant", (0, 1, 2, 3), (4, 5, 6, 7)),
}


@dataclass(frozen=True)
class ColmapImage:
    """A registered image.

    Attributes:
        name: its file below the image folder.
        camera_id: which camera took it.
        T_world_camera: float64 [4, 4].
    """

    name: str
    camera_id: int
    T_world_camera: NDArray[np.float64]


def camera_of(model: str, width: int, height: int, params: list[float], where: str) -> Camera:
    """A ``Camera`` of a COLMAP model and its parameters.

    COLMAP's pixel (0, 0) is the corner of the first pixel, ours is its centre: the principal point moves by half
    a pixel.

    Raises:
        DatasetError: an unknown model or the wrong number of parameters; the message starts with ``where``.
    """
    if model not in _MODELS:
        raise DatasetError(f"{where}: camera model '{model}' is unknown, expected one of {', '.join(_MODELS)}")
    lens, intrinsics, coefficients = _MODELS[model]
    count = 1 + max(*intrinsics, *(i for i in coefficients if i is not None))
    if len(params) != count:
        raise DatasetError(f"{where}: {len(params)} parameters, camera model {model} has {count}")
    fx, fy, cx, cy = (params[i] for i in intrinsics)
    distortion = tuple(0.0 if i is None else params[i] for i in coefficients)
    try:
        return Camera(width, height, fx, fy, cx - 0.5, cy - 0.5, lens, distortion)
    except InputError as error:
        raise DatasetError(f"{where}: {error}") from error


def read_cameras(path: Path) -> dict[int, Camera]:
    """The cameras of ``cameras.txt`` by id (lines ``id model width height parameters``).

    Raises:
        DatasetError: missing, empty, or a line that is no camera; names the line.
    """
    cameras = {}
    for where, line in _lines(path):
        words = line.split()
        if not words:
            continue
        try:
            camera_id, model, width, height = int(words[0]), words[1], int(words[2]), int(words[3])
            params = [float(word) for word in words[4:]]
        except (ValueError, IndexError):
            raise DatasetError(f"{where}: '{line[:60]}', expected id, model, width, height, parameters") from None
        cameras[camera_id] = camera_of(model, width, height, params, where)
    if not cameras:
        raise DatasetError(f"{path}: has no cameras")
    return cameras


def read_images(path: Path) -> list[ColmapImage]:
    """The images of ``images.txt`` by name; every second line (the key points) is passed over.

    A line is ``id qw qx qy qz tx ty tz camera_id name`` and its pose maps the world to the camera.

    Raises:
        DatasetError: missing, empty, or a line that is no image; names the line.
    """
    lines = _lines(path)
    while lines and not lines[0][1]:
        lines.pop(0)
    images = [_image(where, line) for where, line in lines[::2] if line]
    if not images:
        raise DatasetError(f"{path}: has no images")
    return sorted(images, key=lambda image: image.name)


def _image(where: str, line: str) -> ColmapImage:
    words = line.split(maxsplit=9)
    try:
        numbers, camera_id, name = [float(word) for word in words[1:8]], int(words[8]), words[9]
    except (ValueError, IndexError):
        expected = "id, qw qx qy qz, tx ty tz, camera id, name"
        raise DatasetError(f"{where}: '{line[:60]}', expected {expected}") from None
    try:
        return ColmapImage(name, camera_id, inverse(pose_from(numbers[4:], numbers[:4])))
    except InputError as error:
        raise DatasetError(f"{where}: {error}") from error


def _lines(path: Path) -> list[tuple[str, str]]:
    """Where each line is and the line, without comments; empty lines stay (an image without key points)."""
    lines = enumerate(read_text(path).splitlines(), 1)
    return [(f"{path}, line {number}", line.strip()) for number, line in lines if not line.startswith("#")]
