"""``depth.bin`` of the iPhone videos of ScanNet++: all depth images of a recording, compressed.

Two forms exist: one deflate stream of float32 metres for all frames, or per frame a uint32 size and a blob, which
is deflate of float32 metres or LZ4 of uint16 millimetres. Images are 256x192.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import DatasetError, MissingDependencyError

WIDTH, HEIGHT = 256, 192
_PIXELS = WIDTH * HEIGHT
_CHUNK_BYTES = 1 << 16


class DepthBin:
    """Depth images by frame number, decompressed when asked for.

    A file that is one stream is read in order; going back starts it anew.
    """

    def __init__(self, path: Path) -> None:
        """Finds out which form it is; raises ``DatasetError`` where it is neither."""
        self.path = path
        self._blobs = _blobs(path)
        self._restart()
        if self._blobs is None and len(self._read_stream(1)) < 1:
            raise DatasetError(f"{path}: neither sizes and blobs nor one deflate stream ({path.stat().st_size} bytes)")
        self._restart()

    def __contains__(self, number: int) -> bool:
        """Whether a frame is in the file; for one stream this is not known before it is read."""
        return self._blobs is None or 0 <= number < len(self._blobs)

    def __getitem__(self, number: int) -> NDArray[np.float32]:
        """float32 [192, 256] metres, NaN unknown; raises ``DatasetError`` where it cannot be decompressed."""
        depth = self._from_stream(number) if self._blobs is None else self._from_blob(number)
        depth = depth.reshape(HEIGHT, WIDTH).copy()
        depth[~(depth > 0)] = np.nan
        return depth

    def _from_blob(self, number: int) -> NDArray[np.float32]:
        assert self._blobs is not None
        offset, size = self._blobs[number]
        with self.path.open("rb") as file:
            file.seek(offset)
            blob = file.read(size)
        try:
            return self._checked(zlib.decompress(blob, wbits=-zlib.MAX_WBITS), number, 4).view("<f4")
        except zlib.error:
            millimetres = self._checked(self._lz4(blob, number), number, 2).view("<u2")
            return millimetres.astype(np.float32) / np.float32(1000)

    def _lz4(self, blob: bytes, number: int) -> bytes:
        try:
            import lz4.block
        except ImportError as error:
            raise MissingDependencyError(f"{self.path}: is compressed with LZ4; install the extra 'data'") from error
        try:
            return bytes(lz4.block.decompress(blob, uncompressed_size=_PIXELS * 2))
        except lz4.block.LZ4BlockError as error:
            raise DatasetError(f"{self.path}, frame {number}: cannot be decompressed: {error}") from error

    def _checked(self, content: bytes, number: int, bytes_per_pixel: int) -> NDArray[np.uint8]:
        if len(content) != _PIXELS * bytes_per_pixel:
            found = f"{len(content)} bytes, expected {_PIXELS * bytes_per_pixel}"
            raise DatasetError(f"{self.path}, frame {number}: {found} for {WIDTH}x{HEIGHT} pixels")
        return np.frombuffer(content, np.uint8)

    def _from_stream(self, number: int) -> NDArray[np.float32]:
        if number < self._next:
            self._restart()
        while self._next < number:
            self._checked(self._read_stream(_PIXELS * 4), self._next, 4)
            self._next += 1
        content = self._read_stream(_PIXELS * 4)
        self._next += 1
        return self._checked(content, number, 4).view("<f4")

    def _restart(self) -> None:
        self._stream, self._offset, self._next = zlib.decompressobj(wbits=-zlib.MAX_WBITS), 0, 0

    def _read_stream(self, size: int) -> bytes:
        """The next ``size`` bytes of the one stream; fewer where it ends or is broken."""
        parts, left = [], size
        with self.path.open("rb") as file:
            file.seek(self._offset)
            while left and not self._stream.eof:
                waiting = self._stream.unconsumed_tail
                fresh = b"" if waiting else file.read(_CHUNK_BYTES)
                if not waiting and not fresh:
                    break
                try:
                    parts.append(self._stream.decompress(waiting or fresh, left))
                except zlib.error:
                    break
                self._offset += len(fresh)
                left -= len(parts[-1])
        return b"".join(parts)

    def __getstate__(self) -> dict[str, object]:
        """For worker processes: each reads the stream from its start."""
        return {"path": self.path, "_blobs": self._blobs}

    def __setstate__(self, state: dict[str, object]) -> None:
        """As unpickled in a worker process."""
        self.__dict__.update(state)
        self._restart()


def _blobs(path: Path) -> list[tuple[int, int]] | None:
    """Offset and size of each frame's blob; None where the file is not a row of sizes and blobs."""
    blobs, at, end = [], 0, path.stat().st_size
    with path.open("rb") as file:
        while at < end:
            file.seek(at)
            size = int.from_bytes(file.read(4), "little")
            if size == 0 or at + 4 + size > end:
                return None
            blobs.append((at + 4, size))
            at += 4 + size
    return blobs or None
