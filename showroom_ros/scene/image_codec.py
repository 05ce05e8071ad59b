"""Pixels and calibration of ROS messages as arrays: every common encoding, padding, byte order, compression.

Nothing here knows ROS: arguments are the fields of ``sensor_msgs`` messages, so that live nodes and bag
readers decode with the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from showroom_ros.errors import InputError
from showroom_ros.scene.depth_codec import (
    Buffer,
    decode_compressed_depth,
    depth_from_metres,
    depth_from_millimetres,
    encode_compressed_depth,
    millimetres_from_depth,
)
from showroom_ros.scene.output_file import atomic_output

__all__ = [
    "RawImage",
    "decode_compressed_depth",
    "decode_compressed_image",
    "decode_depth",
    "decode_image",
    "encode_compressed_depth",
    "encode_compressed_image",
    "millimetres_from_depth",
    "write_picture",
]

JPEG_QUALITY = 95


@dataclass(frozen=True, eq=False)
class RawImage:
    """Fields of ``sensor_msgs/Image``, not yet checked."""

    encoding: str
    height: int
    width: int
    step: int
    data: memoryview
    is_bigendian: bool
    name: str

    def pixels(self, dtype: DTypeLike, channels: int = 1) -> NDArray:
        """[H, W] or [H, W, channels] in native byte order; a view of ``data`` where that is possible."""
        kind = np.dtype(dtype)
        if self.height <= 0 or self.width <= 0:
            raise InputError(f"{self.name}: image is empty ({self.width}x{self.height})")
        row = self.width * channels * kind.itemsize
        if self.step < row:
            raise InputError(
                f"{self.name}: step is {self.step} bytes, expected at least {row} "
                f"for {self.width} pixels of {self.encoding}"
            )
        if len(self.data) != self.step * self.height:
            raise InputError(
                f"{self.name}: data has {len(self.data)} bytes, expected {self.step * self.height} "
                f"(step {self.step} x height {self.height})"
            )
        rows = np.frombuffer(self.data, np.uint8).reshape(self.height, self.step)[:, :row]
        stored = np.ascontiguousarray(rows).view(kind.newbyteorder(">" if self.is_bigendian else "<"))
        values = stored.astype(kind, copy=False)
        return values.reshape(self.height, self.width, channels) if channels > 1 else values


Decoder = Callable[[RawImage], NDArray]


def _uint8(pixels: NDArray) -> NDArray[np.uint8]:
    return pixels  # OpenCV's type stubs do not know that uint8 stays uint8


def _converted(channels: int, code: int) -> Decoder:
    return lambda image: cv2.cvtColor(image.pixels(np.uint8, channels), code)


def _high_byte(channels: int, code: int | None) -> Decoder:
    def decode(image: RawImage) -> NDArray[np.uint8]:
        pixels = (image.pixels(np.uint16, channels) >> 8).astype(np.uint8)
        return pixels if code is None else _uint8(cv2.cvtColor(pixels, code))

    return decode


def _yuv(code: int) -> Decoder:
    def decode(image: RawImage) -> NDArray[np.uint8]:
        if image.width % 2:
            raise InputError(f"{image.name}: width is {image.width}, expected an even number for {image.encoding}")
        return _uint8(cv2.cvtColor(image.pixels(np.uint8, 2), code))

    return decode


_COLOR_DECODERS: dict[str, Decoder] = {
    "rgb8": lambda image: image.pixels(np.uint8, 3).copy(),
    "bgr8": _converted(3, cv2.COLOR_BGR2RGB),
    "rgba8": _converted(4, cv2.COLOR_RGBA2RGB),
    "bgra8": _converted(4, cv2.COLOR_BGRA2RGB),
    "8UC3": _converted(3, cv2.COLOR_BGR2RGB),  # OpenCV's order, as cv_bridge writes it
    "8UC4": _converted(4, cv2.COLOR_BGRA2RGB),
    "mono8": _converted(1, cv2.COLOR_GRAY2RGB),
    "8UC1": _converted(1, cv2.COLOR_GRAY2RGB),
    "mono16": _high_byte(1, cv2.COLOR_GRAY2RGB),
    "rgb16": _high_byte(3, None),
    "bgr16": _high_byte(3, cv2.COLOR_BGR2RGB),
    "yuv422": _yuv(cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": _yuv(cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": _yuv(cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": _yuv(cv2.COLOR_YUV2RGB_YUY2),
    "bayer_rggb8": _converted(1, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr8": _converted(1, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg8": _converted(1, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg8": _converted(1, cv2.COLOR_BayerGRBG2RGB),
}

_DEPTH_DECODERS: dict[str, Decoder] = {
    "16UC1": lambda image: depth_from_millimetres(image.pixels(np.uint16)),
    "mono16": lambda image: depth_from_millimetres(image.pixels(np.uint16)),
    "32FC1": lambda image: depth_from_metres(image.pixels(np.float32)),
}


def decode_image(
    encoding: str, height: int, width: int, step: int, data: Buffer, is_bigendian: bool = False, name: str = "image"
) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB of a colour or grey ``sensor_msgs/Image``; the result owns its memory.

    Args:
        encoding: as in ``sensor_msgs/image_encodings.hpp``; grey is repeated over the channels.
        height: pixels.
        width: pixels.
        step: bytes per row, padding included.
        data: ``step * height`` bytes.
        is_bigendian: byte order of values wider than a byte.
        name: topic, for error messages.

    Raises:
        InputError: unknown encoding (the known ones are listed), empty image, wrong ``step`` or length.
    """
    image = RawImage(encoding, height, width, step, memoryview(data), bool(is_bigendian), name)
    return _decoder(image, _COLOR_DECODERS, "colour")(image)


def decode_depth(
    encoding: str, height: int, width: int, step: int, data: Buffer, is_bigendian: bool = False, name: str = "depth"
) -> NDArray[np.float32]:
    """float32 [H, W] metres, NaN unknown, of a ``16UC1`` (millimetres) or ``32FC1`` (metres) image.

    Arguments and errors as ``decode_image``.
    """
    image = RawImage(encoding, height, width, step, memoryview(data), bool(is_bigendian), name)
    return _decoder(image, _DEPTH_DECODERS, "depth")(image)


def decode_compressed_image(fmt: str, data: Buffer, name: str = "compressed image") -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB of ``sensor_msgs/CompressedImage`` data (JPEG, PNG or what OpenCV reads).

    Raises:
        InputError: not decodable; names ``name`` and ``fmt``.
    """
    stored = np.frombuffer(data, np.uint8)
    bgr = cv2.imdecode(stored, cv2.IMREAD_COLOR) if stored.size else None
    if bgr is None:
        raise InputError(
            f"{name}: {stored.size} bytes of format '{fmt}' cannot be decoded, expected a JPEG or PNG image"
        )
    return _uint8(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def encode_compressed_image(image: NDArray[np.uint8], codec: str = "jpeg") -> tuple[str, bytes]:
    """``(format, data)`` of a ``sensor_msgs/CompressedImage`` of uint8 [H, W, 3] RGB; ``jpeg`` or ``png``.

    Raises:
        InputError: unknown codec.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if codec == "jpeg":
        stored = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    elif codec == "png":
        stored = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1]
    else:
        raise InputError(f"compressed image codec is '{codec}', expected jpeg or png")
    return f"rgb8; {codec} compressed bgr8", stored.tobytes()


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes uint8 [H, W, 3] RGB as PNG, atomically; makes the folder.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_output(path) as file:
        file.write(encode_compressed_image(image, "png")[1])


def _decoder(image: RawImage, decoders: Mapping[str, Decoder], kind: str) -> Decoder:
    decoder = decoders.get(image.encoding)
    if decoder is None:
        raise InputError(
            f"{image.name}: encoding '{image.encoding}' is no {kind} encoding, expected one of {', '.join(decoders)}"
        )
    return decoder
