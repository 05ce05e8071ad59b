"""The safetensors format: equal to the library, and nothing broken passes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from showroom_ros.errors import OutputError, WeightsError
from showroom_ros.networks.safetensors_file import read_safetensors, write_safetensors

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
METADATA = {"network": "Ofen über 1 m", "settings": '{"a": [1, 2]}'}


def tensors_of_every_type() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = {str(t): torch.randint(0, 2, (3, 5), generator=generator).to(t) for t in DTYPES}
    tensors |= {"scalar": torch.tensor(-1.5), "none": torch.empty(0, 4), "turned": torch.rand(4, 6).T}
    tensors["strided"] = torch.rand(8, 8, generator=generator)[::2, 1::3]
    return tensors


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return set(one) == set(other) and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and torch.equal(one[name], other[name])
        for name in one
    )


def test_what_was_written_is_read(tmp_path: Path) -> None:
    tensors = tensors_of_every_type()
    write_safetensors(tmp_path / "deep" / "t.safetensors", tensors, METADATA)
    found, metadata = read_safetensors(tmp_path / "deep" / "t.safetensors")
    assert metadata == METADATA
    assert same(found, tensors)
    write_safetensors(tmp_path / "empty.safetensors", {}, {})
    assert read_safetensors(tmp_path / "empty.safetensors") == ({}, {})


def test_equals_the_library(tmp_path: Path) -> None:
    torch_library = pytest.importorskip("safetensors.torch")
    from safetensors import safe_open

    tensors = {name: tensor.contiguous() for name, tensor in tensors_of_every_type().items()}
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    write_safetensors(ours, tensors, METADATA)
    torch_library.save_file(tensors, theirs, METADATA)
    assert same(torch_library.load_file(ours), tensors)
    with safe_open(ours, "pt") as file:
        assert file.metadata() == METADATA
    found, metadata = read_safetensors(theirs)
    assert metadata == METADATA
    assert same(found, tensors)


def test_the_bytes_do_not_depend_on_the_order(tmp_path: Path) -> None:
    tensors = tensors_of_every_type()
    write_safetensors(tmp_path / "a", tensors, METADATA)
    write_safetensors(tmp_path / "b", dict(reversed(tensors.items())), METADATA)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@given(st.data())
def test_no_file_that_was_cut_is_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.safetensors"
    write_safetensors(path, {"w": torch.arange(6.0), "b": torch.zeros(2, dtype=torch.int64)}, METADATA)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(WeightsError, match="broken or cut short"):
        read_safetensors(path)


@given(st.binary(max_size=200))
def test_no_noise_is_read(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0" + noise)
    with pytest.raises(WeightsError, match=r"noise\.safetensors: is broken"):
        read_safetensors(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ([1, 2], "header is not that of a safetensors file"),
        ({"w": {"dtype": "F32", "shape": [2]}}, "header is not that of a safetensors file: 'data_offsets'"),
        ({"w": 3}, "header is not that of a safetensors file"),
        ({"__metadata__": {"steps": 3}}, "metadata must be strings"),
        ({"w": {"dtype": "F4", "shape": [2], "data_offsets": [0, 8]}}, "tensor 'w' is of type F4, expected one of F64"),
        ({"w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, "'w' of 12 bytes lies at 0 to 8"),
        ({"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, -8]}}, "is broken: tensor 'w'"),
        ({"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, "lies at 4 to 8, expected to begin at 0"),
        ({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, "broken or cut short: .* bytes, expected"),
        (
            {n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"},
            "tensor 'b' of 8 bytes lies at 0 to 8, expected to begin at 8",
        ),
    ],
)
def test_headers_that_lie(tmp_path: Path, header: object, message: str) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(WeightsError, match=message):
        read_safetensors(path)


def test_types_the_format_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"tensor 'z' is torch\.complex64, expected one of F64"):
        write_safetensors(tmp_path / "w.safetensors", {"z": torch.zeros(2, dtype=torch.complex64)}, {})
    assert list(tmp_path.iterdir()) == []
