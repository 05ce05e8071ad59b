"""The safetensors format (huggingface/safetensors): length of the header, JSON header, raw tensors. No code in it.

Written here rather than by the library for two reasons: files made from the same tensors are the same bytes (the
library's metadata comes in any order), and machines that only train need nothing but torch.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from showroom_ros.errors import OutputError, WeightsError

_MAX_HEADER_BYTES = 100_000_000
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def write_safetensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes tensors and strings into one file, whole or not at all; missing folders are made.

    Args:
        path: the file; what is there is replaced.
        tensors: name -> tensor of any shape and device.
        metadata: strings that go into the header.

    Raises:
        OutputError: it cannot be written, or a tensor has a type the format does not know.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    blobs, begin = [], 0
    # the widest types first: each tensor then begins at a multiple of its item's size
    for name in sorted(tensors, key=lambda name: (-tensors[name].element_size(), name)):
        tensor = tensors[name]
        if tensor.dtype not in _NAMES:
            raise OutputError(f"{path}: tensor '{name}' is {tensor.dtype}, expected one of {', '.join(_DTYPES)}")
        blobs.append(_bytes(tensor))
        end = begin + len(blobs[-1])
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_atomically(path, len(text).to_bytes(8, "little") + text + b"".join(blobs))


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors (on the CPU) and metadata of a safetensors file.

    Raises:
        WeightsError: no such file, or one that is not whole: names what was found.
    """
    path = Path(path)
    content = _content(path)
    begin = 8 + int.from_bytes(content[:8], "little")
    if len(content) < 8 or begin - 8 > _MAX_HEADER_BYTES or begin > len(content):
        if content[:2] == b"PK" or content[:1] == b"\x80":
            raise WeightsError(f"{path}: is a file of torch.save, expected safetensors: export it with its trainer")
        raise WeightsError(f"{path}: is broken or cut short: {len(content)} bytes do not hold a safetensors header")
    try:
        header = json.loads(content[8:begin].decode())
        metadata = header.pop("__metadata__", {})
        items = [
            (str(name), item["dtype"], [int(size) for size in item["shape"]], *map(int, item["data_offsets"]))
            for name, item in header.items()
        ]
        if not all(isinstance(text, str) for text in metadata.values()):
            raise TypeError("metadata must be strings")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path}: is broken: its header is not that of a safetensors file: {error}") from error
    tensors, expected = {}, 0
    for name, dtype, shape, first, last in sorted(items, key=lambda item: item[3:]):
        if dtype not in _DTYPES:
            raise WeightsError(f"{path}: tensor '{name}' is of type {dtype}, expected one of {', '.join(_DTYPES)}")
        size = math.prod(shape) * _DTYPES[dtype].itemsize
        if first != expected or last - first != size or any(side < 0 for side in shape):
            raise WeightsError(
                f"{path}: is broken: tensor '{name}' of {size} bytes lies at {first} to {last}, expected to begin at "
                f"{expected}"
            )
        expected = last
        if begin + last > len(content):
            break
        tensors[name] = _tensor(content[begin + first : begin + last], _DTYPES[dtype], shape)
    expected = max((item[4] for item in items), default=0)
    if begin + expected != len(content):
        raise WeightsError(f"{path}: is broken or cut short: {len(content)} bytes, expected {begin + expected}")
    return tensors, metadata


def read_metadata(path: str | Path) -> dict[str, str]:
    """The strings in a file's header, which alone is read; empty where it has none or is not of this format."""
    try:
        with Path(path).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length).decode()) if length <= _MAX_HEADER_BYTES else {}
        metadata = header.get("__metadata__", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return {name: text for name, text in metadata.items() if isinstance(text, str)}


def write_atomically(path: str | Path, content: bytes) -> None:
    """Writes a file that is whole or not there.

    Raises:
        OutputError: it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        if temporary.exists():
            temporary.unlink()


def _content(path: Path) -> bytes:
    if not path.exists():
        raise WeightsError(f"{path}: no such file, expected weights in the safetensors format")
    if path.is_dir():
        raise WeightsError(f"{path}: is a folder, expected a file of weights in the safetensors format")
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def _tensor(content: bytes, dtype: torch.dtype, shape: list[int]) -> Tensor:
    if not content:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(content), dtype=dtype).reshape(shape)
