"""Reading and writing CDR, the wire format of ROS 2 messages, straight from and to numpy.

A serialised message is a 4-byte header (00 01 00 00: plain CDR, little endian) and the fields in
order, each aligned to its own size counted from the end of the header (OMG DDS-XTypes 1.3, 7.4.3,
encoding version 1). ``rclpy.serialization`` is the reference, byte for byte, in the tests.
"""

from __future__ import annotations

import struct
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from showroom_ros.errors import InputError

HEADER_LITTLE_ENDIAN = b"\x00\x01\x00\x00"
NANOSECONDS = 1_000_000_000


class CdrWriter:
    """Collects fields; ``bytes()`` joins them once.

    Attributes:
        padding: the byte written where alignment leaves a gap; its value means nothing.
    """

    padding = b"\0"

    def __init__(self) -> None:
        """Starts an empty message."""
        self._chunks: list[Any] = [HEADER_LITTLE_ENDIAN]
        self._size = 0

    def write(self, code: str, *values: float) -> None:
        """Fields of one ``struct`` type code (``b B i I q d f ?``), one after the other."""
        data = struct.pack(f"<{len(values)}{code}", *values)
        self._append(data, len(data), len(data) // len(values))

    def string(self, text: str) -> None:
        """A string: length with the closing zero, UTF-8, zero."""
        data = text.encode() + b"\0"
        self.write("I", len(data))
        self._append(data, len(data), 1)

    def array(self, values: NDArray) -> None:
        """The items of ``values`` in C order, without a length (fixed size arrays and plain structs)."""
        if not values.size:
            return
        values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        self._append(values.data.cast("B"), values.nbytes, values.itemsize)

    def sequence(self, values: NDArray, count: int | None = None) -> None:
        """``count`` (default ``len(values)``) as length, then the items: a sequence of plain structs."""
        self.write("I", len(values) if count is None else count)
        self.array(values)

    def header(self, stamp_ns: int, frame_id: str) -> None:
        """``std_msgs/Header``."""
        seconds, nanoseconds = divmod(stamp_ns, NANOSECONDS)
        self.write("i", seconds)
        self.write("I", nanoseconds)
        self.string(frame_id)

    def bytes(self) -> bytes:
        """The whole message."""
        return b"".join(self._chunks)

    def _append(self, data: Any, size: int, alignment: int) -> None:
        padding = -self._size % alignment
        if padding:
            self._chunks.append(self.padding * padding)
        self._chunks.append(data)
        self._size += padding + size


class CdrReader:
    """Takes fields off a serialised message, checking every length against what is there."""

    def __init__(self, data: bytes, what: str) -> None:
        """``what`` names the message in errors, e.g. its topic.

        Raises:
            InputError: the message has no plain CDR header.
        """
        if len(data) < 4 or data[0] != 0 or data[1] not in (0, 1):
            raise InputError(f"{what}: {len(data)} bytes starting {bytes(data[:4]).hex()!r} are no CDR message")
        self._data = data
        self._what = what
        self._order: Literal["<", ">"] = "<" if data[1] else ">"
        self._position = 0

    def read(self, code: str, count: int = 1) -> tuple[Any, ...]:
        """``count`` fields of one ``struct`` type code."""
        size = struct.calcsize(f"<{code}")
        return struct.unpack_from(f"{self._order}{count}{code}", self._data, self._take(size * count, size))

    def one(self, code: str) -> Any:
        """One field."""
        return self.read(code)[0]

    def string(self) -> str:
        """A string.

        Raises:
            InputError: it runs past the end of the message or is no UTF-8.
        """
        length = self.one("I")
        start = self._take(length, 1)
        try:
            return self._data[start : start + max(length - 1, 0)].decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{self._what}: a text field is no UTF-8: {error}") from error

    def octets(self) -> memoryview:
        """A ``uint8[]`` without copying it."""
        length = self.one("I")
        start = self._take(length, 1)
        return memoryview(self._data)[start : start + length]

    def sequence(self, dtype: DTypeLike) -> NDArray:
        """A sequence of numbers as a read-only array."""
        kind = np.dtype(dtype).newbyteorder(self._order)
        count = self.one("I")
        start = self._take(count * kind.itemsize, kind.itemsize if count else 1)
        return np.frombuffer(self._data, kind, count, start)

    def structs(self, dtype: DTypeLike, width: int) -> NDArray:
        """A sequence of structs of ``width`` equal numbers each, as a read-only [N, width] array."""
        kind = np.dtype(dtype).newbyteorder(self._order)
        count = self.one("I") * width
        start = self._take(count * kind.itemsize, kind.itemsize if count else 1)
        return np.frombuffer(self._data, kind, count, start).reshape(-1, width)

    def header(self) -> tuple[int, str]:
        """``std_msgs/Header`` as stamp in nanoseconds and frame id."""
        return self.one("i") * NANOSECONDS + self.one("I"), self.string()

    def _take(self, size: int, alignment: int) -> int:
        self._position += -self._position % alignment
        start = self._position + 4
        if start + size > len(self._data):
            raise InputError(
                f"{self._what}: message is cut short: needs {size} bytes at {start}, has {len(self._data)} in all"
            )
        self._position += size
        return start
