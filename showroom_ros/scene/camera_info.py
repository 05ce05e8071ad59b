"""``Camera`` from the fields of ``sensor_msgs/CameraInfo``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import DISTORTION_SIZES, Camera

_MODEL_NAMES = {"fisheye": "equidistant", "kannala_brandt4": "equidistant"}


def camera_from_info(
    width: int,
    height: int,
    k: Sequence[float],
    d: Sequence[float] = (),
    model: str = "",
    p: Sequence[float] | None = None,
    *,
    binning: tuple[int, int] = (0, 0),
    roi: tuple[int, int, int, int] = (0, 0, 0, 0),
    rectified: bool = False,
    name: str = "camera_info",
) -> Camera:
    """The camera of the images that come with a ``CameraInfo``.

    Args:
        width: pixels at full resolution.
        height: pixels at full resolution.
        k: K, 9 values by rows, for the full resolution.
        d: lens coefficients; all zero means an ideal lens (but for ``equidistant``).
        model: ``plumb_bob``, ``rational_polynomial``, ``equidistant`` (``fisheye``); empty with empty ``d``.
        p: P, 12 values by rows; needed where ``rectified``.
        binning: ``binning_x, binning_y``; 0 and 1 mean none.
        roi: ``x_offset, y_offset, width, height`` at full resolution; size 0 means the whole image.
        rectified: the images were undistorted already: intrinsics come from P, without distortion.
        name: topic, for error messages.

    Raises:
        InputError: zero or negative focal length (an uncalibrated camera), unknown lens model, wrong
            number of coefficients, or a region outside the image.
    """
    if len(k) != 9 or (p is not None and len(p) != 12):
        raise InputError(f"{name}: K has {len(k)} and P {len(p or ())} values, expected 9 and 12")
    if rectified and p is not None and p[0] != 0:
        fx, fy, cx, cy = (float(p[i]) for i in (0, 5, 2, 6))
    else:
        fx, fy, cx, cy = (float(k[i]) for i in (0, 4, 2, 5))
    lens, distortion = ("none", ()) if rectified else _lens(d, model, name)
    try:
        camera = Camera(int(width), int(height), fx, fy, cx, cy, lens, distortion)
        return _windowed(camera, binning, roi)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def camera_from_message(message: Any, name: str, *, rectified: bool = False) -> Camera:
    """``camera_from_info`` of a ``sensor_msgs/CameraInfo``, from rclpy or from a bag alike.

    Raises:
        InputError: as ``camera_from_info``.
    """
    roi = message.roi
    return camera_from_info(
        message.width,
        message.height,
        message.k,
        message.d,
        message.distortion_model,
        message.p,
        binning=(message.binning_x, message.binning_y),
        roi=(roi.x_offset, roi.y_offset, roi.width, roi.height),
        rectified=rectified,
        name=name,
    )


def _lens(d: Sequence[float], model: str, name: str) -> tuple[str, tuple[float, ...]]:
    lens = _MODEL_NAMES.get(model.lower(), model.lower())
    distortion = tuple(float(value) for value in d)
    if lens != "equidistant" and not any(distortion):
        return "none", ()
    if lens not in DISTORTION_SIZES or lens == "none":
        raise InputError(
            f"{name}: distortion_model '{model}' with {len(distortion)} coefficients is unknown, "
            f"expected one of {', '.join(sorted(set(DISTORTION_SIZES) - {'none'}))}"
        )
    return lens, distortion


def _windowed(camera: Camera, binning: tuple[int, int], roi: tuple[int, int, int, int]) -> Camera:
    left, top, width, height = (int(value) for value in roi)
    if width and height:
        camera = camera.cropped(left, top, width, height)
    columns, rows = max(int(binning[0]), 1), max(int(binning[1]), 1)
    if columns == rows == 1:
        return camera
    return camera.scaled(camera.width // columns, camera.height // rows)
