"""Pixels of ROS images as arrays: every common encoding, padding, byte order and compression.

Nothing here imports ROS: a ``RawImage`` is made from a message or from its serialised bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from showroom_ros.errors import InputError

Buffer = bytes | bytearray | memoryview
ColorDecoder = Callable[["RawImage"], NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class RawImage:
    """``sensor_msgs/Image`` as it came: size, encoding and bytes, not yet checked.

    Attributes:
        height, width: pixels.
        encoding: name as in ``sensor_msgs/image_encodings.hpp``.
        is_bigendian: byte order of values wider than a byte.
        step: bytes per row, padding included.
        data: ``step * height`` bytes.
        stamp_ns, frame_id: the header.
        name: topic or field, for error messages.
    """

    height: int
    width: int
    encoding: str
    is_bigendian: bool
    step: int
    data: Buffer
    stamp_ns: int
    frame_id: str
    name: str = "image"

    def pixels(self, dtype: DTypeLike, channels: int = 1) -> NDArray:
        """The pixels [H, W] or [H, W, channels] in native byte order; no copy where none is needed.

        Raises:
            InputError: the image is empty, or ``step`` or the length of ``data`` do not fit its size.
        """
        kind = np.dtype(dtype)
        if self.height == 0 or self.width == 0:
            raise InputError(f"{self.name}: image is empty ({self.width}x{self.height})")
        row = self.width * channels * kind.itemsize
        if self.step < row:
            raise InputError(
                f"{self.name}: step is {self.step} bytes, "
                f"expected at least {row} for {self.width} pixels of {self.encoding}"
            )
        if len(self.data) != self.step * self.height:
            raise InputError(
                f"{self.name}: data has {len(self.data)} bytes, expected {self.step * self.height} "
                f"(step {self.step} x height {self.height})"
            )
        rows = np.frombuffer(self.data, np.uint8).reshape(self.height, self.step)
        values = np.ascontiguousarray(rows[:, :row]).view(kind.newbyteorder(">" if self.is_bigendian else "<"))
        values = values.astype(kind, copy=False)
        return values.reshape(self.height, self.width, channels) if channels > 1 else values


def _rgb(image: object) -> NDArray[np.uint8]:
    return cast(NDArray[np.uint8], image)


def _reorder(channels: int, code: int | None) -> ColorDecoder:
    def decode(image: RawImage) -> NDArray[np.uint8]:
        pixels = image.pixels(np.uint8, channels)
        return _rgb(pixels.copy() if code is None else cv2.cvtColor(pixels, code))

    return decode


def _mono16(image: RawImage) -> NDArray[np.uint8]:
    return _rgb(cv2.cvtColor((image.pixels(np.uint16) >> 8).astype(np.uint8), cv2.COLOR_GRAY2RGB))


def _even(code: int, channels: int) -> ColorDecoder:
    def decode(image: RawImage) -> NDArray[np.uint8]:
        if image.width % 2:
            raise InputError(f"{image.name}: width is {image.width}, expected an even number for {image.encoding}")
        return _rgb(cv2.cvtColor(image.pixels(np.uint8, channels), code))

    return decode


_COLOR_DECODERS: dict[str, ColorDecoder] = {
    "rgb8": _reorder(3, None),
    "bgr8": _reorder(3, cv2.COLOR_BGR2RGB),
    "rgba8": _reorder(4, cv2.COLOR_RGBA2RGB),
    "bgra8": _reorder(4, cv2.COLOR_BGRA2RGB),
    "8UC3": _reorder(3, cv2.COLOR_BGR2RGB),  # OpenCV's order, as cv_bridge writes it
    "8UC4": _reorder(4, cv2.COLOR_BGRA2RGB),
    "mono8": _reorder(1, cv2.COLOR_GRAY2RGB),
    "8UC1": _reorder(1, cv2.COLOR_GRAY2RGB),
    "mono16": _mono16,
    "yuv422": _even(cv2.COLOR_YUV2RGB_UYVY, 2),
    "uyvy": _even(cv2.COLOR_YUV2RGB_UYVY, 2),
    "yuv422_yuy2": _even(cv2.COLOR_YUV2RGB_YUY2, 2),
    "yuyv": _even(cv2.COLOR_YUV2RGB_YUY2, 2),
    "bayer_rggb8": _reorder(1, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr8": _reorder(1, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg8": _reorder(1, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg8": _reorder(1, cv2.COLOR_BayerGRBG2RGB),
}


def depth_from_millimetres(millimetres: NDArray[np.uint16]) -> NDArray[np.float32]:
    """uint16 [H, W] millimetres, 0 unknown, as float32 metres with NaN unknown (REP-118)."""
    depth = millimetres.astype(np.float32)
    depth *= np.float32(0.001)
    depth[millimetres == 0] = np.nan
    return depth


def depth_from_metres(metres: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [H, W] metres with zero, negative and infinite values made NaN (REP-117, REP-118)."""
    return np.where((metres > 0) & np.isfinite(metres), metres, np.float32(np.nan))


_DEPTH_DECODERS: dict[str, Callable[[RawImage], NDArray[np.float32]]] = {
    "16UC1": lambda image: depth_from_millimetres(image.pixels(np.uint16)),
    "mono16": lambda image: depth_from_millimetres(image.pixels(np.uint16)),
    "32FC1": lambda image: depth_from_metres(image.pixels(np.float32)),
}


def decode_color(image: RawImage) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB of a colour or grey image.

    Raises:
        InputError: unknown encoding (the known ones are listed), empty image, wrong ``step`` or length.
    """
    return _decoder(image, _COLOR_DECODERS, "colour")(image)


def decode_depth(image: RawImage) -> NDArray[np.float32]:
    """float32 [H, W] metres, NaN unknown, of a depth image.

    Raises:
        InputError: unknown encoding (the known ones are listed), empty image, wrong ``step`` or length.
    """
    return _decoder(image, _DEPTH_DECODERS, "depth")(image)


def decode_compressed_color(data: Buffer, fmt: str, name: str) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB of ``sensor_msgs/CompressedImage`` data (JPEG, PNG or what OpenCV reads).

    Raises:
        InputError: not decodable; names ``name`` and ``fmt``.
    """
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if len(data) else None
    if bgr is None:
        raise InputError(f"{name}: {len(data)} bytes of format '{fmt}' cannot be decoded, expected a JPEG or PNG image")
    return _rgb(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def _decoder(
    image: RawImage, decoders: Mapping[str, Callable[[RawImage], NDArray]], kind: str
) -> Callable[[RawImage], NDArray]:
    decoder = decoders.get(image.encoding)
    if decoder is None:
        known = ", ".join(decoders)
        raise InputError(f"{image.name}: encoding '{image.encoding}' is no {kind} encoding, expected one of {known}")
    return decoder
