"""The ``.sens`` file of ScanNet (Dai et al., CVPR 2017), format version 4: one RGB-D recording in one file.

Little-endian: uint32 version; uint64 length and characters of the sensor's name; float32 [4, 4] (row by row) of
colour intrinsics, colour extrinsics, depth intrinsics, depth extrinsics; int32 colour and depth compression;
uint32 colour width, height, depth width, height; float32 depth units per metre; uint64 number of frames. Then per
frame: float32 [4, 4] camera-to-world, uint64 stamps of colour and depth in microseconds, uint64 sizes of the
colour and depth blobs, the blobs.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.files import decode_color
from showroom_ros.errors import DatasetError, InputError
from showroom_ros.geometry.camera import Camera

VERSION = 4
COLOR_COMPRESSIONS = {0: "raw", 1: "png", 2: "jpeg"}
DEPTH_COMPRESSIONS = {0: "raw_ushort", 1: "zlib_ushort"}

_LONGEST_NAME = 4096
_AFTER_NAME = struct.Struct("<64f2i4If")
_FRAME = struct.Struct("<16f4Q")


@dataclass(frozen=True)
class SensFrame:
    """Where a frame lies in the file.

    Attributes:
        T_world_camera: float64 [4, 4]; not finite where tracking was lost.
        stamp_us: time of the colour image in microseconds; 0 where the recording has none.
        offset: position of the colour blob in bytes; the depth blob follows it.
        color_bytes, depth_bytes: sizes of the blobs.
    """

    T_world_camera: NDArray[np.float64]
    stamp_us: int
    offset: int
    color_bytes: int
    depth_bytes: int


class SensFile:
    """An index of a ``.sens`` file; images are read and decoded when asked for.

    Attributes:
        path: the file.
        color_camera, depth_camera: intrinsics.
        depth_units_per_metre: of the stored depth.
        frames: the index.
    """

    def __init__(self, path: Path) -> None:
        """Reads the header and walks over the frames.

        Raises:
            DatasetError: no such file, another version, an unknown compression, or cut short; names the frame.
        """
        self.path = path
        if not path.is_file():
            raise DatasetError(f"{path}: no such file, expected a ScanNet .sens file")
        self._size = path.stat().st_size
        with path.open("rb") as file:
            count = self._read_header(file)
            self.frames = [self._read_frame_header(file, number, count) for number in range(count)]

    def color(self, index: int) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] RGB; raises ``DatasetError`` where it cannot be decoded."""
        frame, camera = self.frames[index], self.color_camera
        blob = self._blob(frame.offset, frame.color_bytes)
        if self._color_compression != "raw":
            return decode_color(blob, f"{self.path}, frame {index}, colour")
        self._check_size(index, "colour", len(blob), camera.width * camera.height * 3)
        return np.frombuffer(blob, np.uint8).reshape(camera.height, camera.width, 3).copy()

    def depth(self, index: int) -> NDArray[np.float32]:
        """float32 [H, W] metres, NaN unknown; raises ``DatasetError`` where it cannot be decompressed."""
        frame, camera = self.frames[index], self.depth_camera
        blob = self._blob(frame.offset + frame.color_bytes, frame.depth_bytes)
        if self._depth_compression == "zlib_ushort":
            try:
                blob = zlib.decompress(blob)
            except zlib.error as error:
                raise DatasetError(f"{self.path}, frame {index}, depth: cannot be decompressed: {error}") from error
        self._check_size(index, "depth", len(blob), camera.width * camera.height * 2)
        values = np.frombuffer(blob, "<u2").reshape(camera.height, camera.width)
        depth = values.astype(np.float32) / np.float32(self.depth_units_per_metre)
        depth[values == 0] = np.nan
        return depth

    def _read_header(self, file: IO[bytes]) -> int:
        (version,) = struct.unpack("<I", self._take(file, 4, "header"))
        if version != VERSION:
            raise DatasetError(f"{self.path}: is version {version} of the .sens format, expected {VERSION}")
        (length,) = struct.unpack("<Q", self._take(file, 8, "header"))
        if length > _LONGEST_NAME:
            raise DatasetError(f"{self.path}: the sensor's name has {length} characters, no .sens file")
        self._take(file, length, "header")
        values = _AFTER_NAME.unpack(self._take(file, _AFTER_NAME.size, "header"))
        color, depth = np.reshape(values[:16], (4, 4)), np.reshape(values[32:48], (4, 4))
        self._color_compression = self._compression(COLOR_COMPRESSIONS, values[64], "colour")
        self._depth_compression = self._compression(DEPTH_COMPRESSIONS, values[65], "depth")
        self.color_camera = self._camera(color, values[66], values[67], "colour")
        self.depth_camera = self._camera(depth, values[68], values[69], "depth")
        self.depth_units_per_metre = float(values[70])
        if not self.depth_units_per_metre > 0:
            raise DatasetError(f"{self.path}: {self.depth_units_per_metre} depth units per metre, expected 1000")
        (count,) = struct.unpack("<Q", self._take(file, 8, "header"))
        return int(count)

    def _read_frame_header(self, file: IO[bytes], number: int, count: int) -> SensFrame:
        where = f"frame {number} of {count}"
        *pose, color_us, _, color_bytes, depth_bytes = _FRAME.unpack(self._take(file, _FRAME.size, where))
        offset = file.tell()
        end = offset + color_bytes + depth_bytes
        if end > self._size:
            raise DatasetError(f"{self.path}: cut short in {where}: {self._size} bytes, expected {end} or more")
        file.seek(end)
        return SensFrame(np.reshape(pose, (4, 4)).astype(np.float64), color_us, offset, color_bytes, depth_bytes)

    def _take(self, file: IO[bytes], size: int, where: str) -> bytes:
        content = file.read(size)
        if len(content) < size:
            raise DatasetError(f"{self.path}: cut short in {where}: {self._size} bytes")
        return content

    def _blob(self, offset: int, size: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def _compression(self, known: dict[int, str], code: int, what: str) -> str:
        if code not in known:
            names = ", ".join(f"{number} ({name})" for number, name in known.items())
            raise DatasetError(f"{self.path}: {what} compression {code} is not supported, expected {names}")
        return known[code]

    def _camera(self, k: NDArray[np.float64], width: int, height: int, what: str) -> Camera:
        try:
            return Camera(width, height, float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]))
        except InputError as error:
            raise DatasetError(f"{self.path}: {what} {error}") from error

    def _check_size(self, index: int, what: str, found: int, expected: int) -> None:
        if found != expected:
            raise DatasetError(f"{self.path}, frame {index}, {what}: {found} bytes, expected {expected}")
