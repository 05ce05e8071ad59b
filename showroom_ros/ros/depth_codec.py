"""``compressedDepth``: 16-bit PNG or RVL with a 12-byte header, as compressed_depth_image_transport sends it.

The header is an int32 and two float32 (a, b). A ``16UC1`` stream holds millimetres; a ``32FC1`` stream
holds quantised inverse depth v with depth = a / (v - b), v = 0 unknown.
"""

from __future__ import annotations

import struct
from typing import cast

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.ros.images import Buffer, depth_from_metres, depth_from_millimetres

_HEADER_BYTES = 12


def decode_compressed_depth(data: Buffer, fmt: str, name: str) -> NDArray[np.float32]:
    """float32 [H, W] metres, NaN unknown.

    Args:
        data: the message's bytes.
        fmt: its format: ``"16UC1; compressedDepth png"``, ``"32FC1; compressedDepth rvl"``,
            or plain ``"16UC1; png compressed"`` without the 12-byte header.
        name: topic, for error messages.

    Raises:
        InputError: unknown format, or data that cannot be decoded.
    """
    encoding = fmt.split(";")[0].strip()
    if "compressedDepth" not in fmt:
        return depth_from_millimetres(_png(data, fmt, name))
    if encoding not in ("16UC1", "mono16", "32FC1"):
        raise InputError(f"{name}: format '{fmt}' is unknown, expected '16UC1; compressedDepth png' (or 32FC1, or rvl)")
    if len(data) <= _HEADER_BYTES:
        raise InputError(
            f"{name}: compressed depth has {len(data)} bytes, expected more than the {_HEADER_BYTES} of its header"
        )
    _, a, b = struct.unpack_from("<iff", data)
    payload = memoryview(data)[_HEADER_BYTES:]
    values = _rvl(payload, name) if "rvl" in fmt.lower() else _png(payload, fmt, name)
    if encoding != "32FC1":
        return depth_from_millimetres(values)
    with np.errstate(divide="ignore"):
        metres = np.float32(a) / (values.astype(np.float32) - np.float32(b))
    metres[values == 0] = np.nan
    return depth_from_metres(metres)


def _png(data: Buffer, fmt: str, name: str) -> NDArray[np.uint16]:
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if len(data) else None
    if values is None or values.dtype != np.uint16 or values.ndim != 2:
        found = "no image" if values is None else f"{values.dtype} {values.shape}"
        raise InputError(f"{name}: format '{fmt}' holds {found}, expected a 16-bit PNG with one channel")
    return cast(NDArray[np.uint16], values)


def _rvl(data: memoryview, name: str) -> NDArray[np.uint16]:
    if len(data) < 8:
        raise InputError(f"{name}: RVL depth has {len(data)} bytes, expected at least 8 for its size")
    width, height = struct.unpack_from("<II", data)
    if not 0 < width * height <= 1 << 26:
        raise InputError(f"{name}: RVL depth says it is {width}x{height}")
    words = np.frombuffer(data[8 : 8 + (len(data) - 8) // 4 * 4], "<u4")
    values = np.zeros(width * height, np.uint16)
    if not decode_rvl(words, values):
        raise InputError(f"{name}: RVL depth of {width}x{height} is cut short ({len(data)} bytes)")
    return values.reshape(height, width)


@numba.njit(cache=True, nogil=True)
def decode_rvl(words, values):  # type: ignore[no-untyped-def]
    """Fills ``values`` uint16 [N] from RVL ``words`` uint32 (Wilson, "Fast lossless depth image compression", 2017).

    Runs of zeros and of non-zero pixels alternate; the latter are stored as zigzag differences, all as
    variable length numbers of 3 bits per nibble. Returns whether the words sufficed.
    """
    nibble_index = 0
    nibble_count = words.size * 8
    done = 0
    previous = 0
    is_zero_run = True
    while done < values.size:
        length, nibble_index = _read_number(words, nibble_index, nibble_count)
        if nibble_index < 0 or done + length > values.size:
            return False
        if not is_zero_run:
            for i in range(done, done + length):
                zigzag, nibble_index = _read_number(words, nibble_index, nibble_count)
                if nibble_index < 0:
                    return False
                previous += (zigzag >> 1) ^ -(zigzag & 1)
                values[i] = np.uint16(previous & 0xFFFF)
        done += length
        is_zero_run = not is_zero_run
    return True


@numba.njit(cache=True, nogil=True)
def _read_number(words, nibble_index, nibble_count):  # type: ignore[no-untyped-def]
    value = 0
    shift = 0
    while True:
        if nibble_index >= nibble_count or shift > 30:
            return 0, -1
        nibble = (np.int64(words[nibble_index >> 3]) >> (28 - 4 * (nibble_index & 7))) & 15
        nibble_index += 1
        value |= (nibble & 7) << shift
        if nibble < 8:
            return value, nibble_index
        shift += 3
