"""Cost by the number of views, without upstream's module: that is not here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from showroom_ros.benchmarks.fast3r_cost import costs, main
from showroom_ros.errors import InputError
from showroom_ros.networks.fast3r_settings import Fast3rSettings

SMALL = Fast3rSettings(
    encoder_width=32,
    encoder_depth=1,
    encoder_heads=2,
    decoder_width=32,
    decoder_depth=4,
    decoder_heads=2,
    head_channels=(8, 8, 8, 8),
    head_width=8,
    head_last=8,
)


def test_every_number_of_views_has_its_time() -> None:
    found = costs(SMALL, (1, 3), 32, 32, "cpu")
    assert set(found) == {"ms_1", "ms_3"}
    assert min(found.values()) > 0


def test_the_table_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--preset", "tiny", "--views", "2", "--size", "32", "32", "--device", "cpu"]
    assert main([*options, "--json", str(tmp_path / "t.json")]) == 0
    assert json.loads((tmp_path / "t.json").read_text())["ms_2"] > 0
    assert "ms_2" in capsys.readouterr().out


def test_what_is_no_checkout_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a checkout of facebookresearch/fast3r"):
        costs(SMALL, (2,), 32, 32, "cpu", tmp_path)


def test_a_gpu_that_is_not_there_is_named() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="torch finds none"):
        costs(SMALL, (2,), 32, 32, "cuda")
