"""Depth on the wire: units, and ``compressedDepth`` as compressed_depth_image_transport sends it.

``compressedDepth`` is a 12-byte header (int32 format, float32 a, float32 b), then a 16-bit PNG or RVL.
A ``16UC1`` stream holds millimetres, 0 unknown; a ``32FC1`` stream holds quantised inverse depth v with
depth = a / (v - b), 0 unknown.
"""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError

Buffer = Any
"""Bytes: bytes, bytearray, memoryview, array of unsigned char or uint8 [N]."""

_HEADER = struct.Struct("<iff")
_INVERSE_DEPTH_FORMAT = 0
_RVL_SIZE = struct.Struct("<II")
_MAX_PIXELS = 1 << 26


def depth_from_millimetres(millimetres: NDArray[np.uint16]) -> NDArray[np.float32]:
    """uint16 [H, W] millimetres, 0 unknown, as float32 metres, NaN unknown (REP-118)."""
    depth = millimetres.astype(np.float32)
    depth /= np.float32(1000)
    depth[millimetres == 0] = np.nan
    return depth


def millimetres_from_depth(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """float32 [H, W] metres as uint16 millimetres, rounded; unknown or beyond 65.535 m becomes 0."""
    with np.errstate(invalid="ignore"):
        known = (depth > 0) & (depth < 65.535)
        return np.where(known, np.rint(depth.astype(np.float64) * 1000.0), 0).astype(np.uint16)


def depth_from_metres(metres: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [H, W] metres with zero, negative and infinite values made NaN (REP-117, REP-118)."""
    with np.errstate(invalid="ignore"):
        return np.where((metres > 0) & np.isfinite(metres), metres, np.float32(np.nan)).astype(np.float32, copy=False)


def decode_compressed_depth(fmt: str, data: Buffer, name: str = "compressed depth") -> NDArray[np.float32]:
    """float32 [H, W] metres, NaN unknown.

    Args:
        fmt: the message's format: ``"16UC1; compressedDepth png"``, ``"32FC1; compressedDepth rvl"``,
            or ``"16UC1; png compressed"``, a plain 16-bit PNG of millimetres without the header.
        data: the message's bytes.
        name: topic, for error messages.

    Raises:
        InputError: unknown format, or data that cannot be decoded.
    """
    payload = memoryview(data)
    if "compressedDepth" not in fmt:
        return depth_from_millimetres(_decode_png(payload, fmt, name))
    encoding = fmt.split(";")[0].strip()
    if encoding not in ("16UC1", "mono16", "32FC1"):
        raise InputError(f"{name}: format '{fmt}' is unknown, expected '16UC1; compressedDepth png' (or 32FC1, or rvl)")
    if len(payload) <= _HEADER.size:
        raise InputError(
            f"{name}: compressed depth has {len(payload)} bytes, expected more than its {_HEADER.size}-byte header"
        )
    _, a, b = _HEADER.unpack_from(payload)
    payload = payload[_HEADER.size :]
    values = _decode_rvl(payload, name) if "rvl" in fmt.lower() else _decode_png(payload, fmt, name)
    if encoding != "32FC1":
        return depth_from_millimetres(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        metres = np.float32(a) / (values.astype(np.float32) - np.float32(b))
    metres[values == 0] = np.nan
    return depth_from_metres(metres)


def encode_compressed_depth(depth: NDArray[np.float32], codec: str = "png") -> tuple[str, bytes]:
    """``(format, data)`` of a ``16UC1`` compressedDepth message of depth float32 [H, W] metres.

    Args:
        depth: NaN unknown; rounded to millimetres.
        codec: ``png`` or ``rvl`` (larger, ten times faster).

    Raises:
        InputError: unknown codec.
    """
    millimetres = millimetres_from_depth(depth)
    if codec == "png":
        payload = cv2.imencode(".png", millimetres, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()
    elif codec == "rvl":
        height, width = millimetres.shape
        words = np.zeros(millimetres.size * 2 + 4, np.uint32)
        count = _write_rvl(millimetres.ravel(), words)
        payload = _RVL_SIZE.pack(width, height) + words[:count].astype("<u4").tobytes()
    else:
        raise InputError(f"compressed depth codec is '{codec}', expected png or rvl")
    return f"16UC1; compressedDepth {codec}", _HEADER.pack(_INVERSE_DEPTH_FORMAT, 0.0, 0.0) + payload


def _decode_png(data: memoryview, fmt: str, name: str) -> NDArray[np.uint16]:
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if len(data) else None
    if values is None or values.dtype != np.uint16 or values.ndim != 2:
        found = "no image" if values is None else f"{values.dtype} {values.shape}"
        raise InputError(f"{name}: format '{fmt}' holds {found}, expected a 16-bit PNG with one channel")
    return values.astype(np.uint16, copy=False)


def _decode_rvl(data: memoryview, name: str) -> NDArray[np.uint16]:
    if len(data) < _RVL_SIZE.size:
        raise InputError(f"{name}: RVL depth has {len(data)} bytes, expected at least {_RVL_SIZE.size} for its size")
    width, height = _RVL_SIZE.unpack_from(data)
    if not 0 < width * height <= _MAX_PIXELS:
        raise InputError(f"{name}: RVL depth says it is {width}x{height}, expected 1 to {_MAX_PIXELS} pixels")
    stop = len(data) - (len(data) - _RVL_SIZE.size) % 4
    words = np.frombuffer(data[_RVL_SIZE.size : stop], "<u4")
    values = np.zeros(width * height, np.uint16)
    if not _read_rvl(words, values):
        raise InputError(f"{name}: RVL depth of {width}x{height} is cut short ({len(data)} bytes)")
    return values.reshape(height, width)


# RVL (Wilson, "Fast lossless depth image compression", ISS 2017): runs of zeros and of non-zero pixels
# alternate; the latter are zigzag differences. All numbers have 3 bits per nibble, low ones first, the
# nibble's top bit says that more follow; eight nibbles fill a word from its top.


@numba.njit(cache=True, nogil=True)
def _read_rvl(words, values):  # type: ignore[no-untyped-def]
    """Fills ``values`` uint16 [N] from ``words`` uint32; returns whether they sufficed."""
    position = 0
    done = 0
    previous = 0
    is_zero_run = True
    while done < values.size:
        length, position = _read_number(words, position)
        if position < 0 or done + length > values.size:
            return False
        if not is_zero_run:
            for i in range(done, done + length):
                zigzag, position = _read_number(words, position)
                if position < 0:
                    return False
                previous += (zigzag >> 1) ^ -(zigzag & 1)
                values[i] = np.uint16(previous & 0xFFFF)
        done += length
        is_zero_run = not is_zero_run
    return True


@numba.njit(cache=True, nogil=True)
def _read_number(words, position):  # type: ignore[no-untyped-def]
    value = 0
    shift = 0
    while position < words.size * 8 and shift <= 30:
        nibble = (np.int64(words[position >> 3]) >> (28 - 4 * (position & 7))) & 15
        position += 1
        value |= (nibble & 7) << shift
        if nibble < 8:
            return value, position
        shift += 3
    return 0, -1


@numba.njit(cache=True, nogil=True)
def _write_rvl(values, words):  # type: ignore[no-untyped-def]
    """Fills ``words`` uint32 (zeroed) from ``values`` uint16 [N]; returns how many words were used."""
    position = 0
    previous = np.int64(0)
    i = 0
    while i < values.size:
        start = i
        while i < values.size and values[i] == 0:
            i += 1
        position = _write_number(words, position, i - start)
        start = i
        while i < values.size and values[i] != 0:
            i += 1
        position = _write_number(words, position, i - start)
        for j in range(start, i):
            delta = np.int64(values[j]) - previous
            position = _write_number(words, position, (delta << 1) ^ (delta >> 63))
            previous = np.int64(values[j])
    return (position + 7) >> 3


@numba.njit(cache=True, nogil=True)
def _write_number(words, position, value):  # type: ignore[no-untyped-def]
    while True:
        nibble = value & 7
        value >>= 3
        if value:
            nibble |= 8
        words[position >> 3] |= np.uint32(nibble << (28 - 4 * (position & 7)))
        position += 1
        if not value:
            return position
