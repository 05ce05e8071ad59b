"""``showroom models``: weights are entered, listed and verified; mistakes are named and change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from showroom_ros.cli.main import main
from showroom_ros.networks.manifest import read_manifest, shipped_weights, write_manifest
from showroom_ros.networks.registry import network_kind
from showroom_ros.networks.weights import load_weights, save_weights

LICENCE = ["--licence", "MIT", "--input", "320x240 colour and poses"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    write_manifest([], path)
    return path


def trained(path: Path, seed: int = 0) -> Path:
    """What a training run leaves: weights and their card."""
    kind = network_kind("plane_sweep")
    torch.manual_seed(seed)
    settings = kind.presets["tiny"]
    save_weights(path / "weights.safetensors", kind, settings, kind.build(settings).state_dict(), {"steps": 10})
    (path / "card.json").write_text('{"steps": 10}')
    return path / "weights.safetensors"


def add(file: Path, folder: Path, *arguments: str) -> int:
    return main(["models", "add", str(file), *LICENCE, "--folder", str(folder), *arguments])


def test_weights_are_added_listed_verified_and_found(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = trained(tmp_path / "run")
    assert main(["models", "list", "--folder", str(folder)]) == 0
    assert f"{folder}: no weights are shipped" in capsys.readouterr().out
    assert add(file, folder, "--name", "sweep_tiny") == 0
    assert add(trained(tmp_path / "other", 1), folder, "--name", "sweep_other", "--default") == 0
    capsys.readouterr()
    assert main(["models", "list", "--folder", str(folder)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("sweep_other (default): plane_sweep tiny, 320x240 colour and poses, 0.")
    assert second.startswith("sweep_tiny: plane_sweep tiny, 320x240 colour and poses, 0.")
    assert main(["models", "verify", "--folder", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == ["sweep_other: as it should be", "sweep_tiny: as it should be"]
    assert shipped_weights("plane_sweep", folder=folder) == folder / "sweep_other.safetensors"
    assert (folder / "sweep_tiny.safetensors").read_bytes() == file.read_bytes()
    assert (folder / "sweep_tiny.json").read_text() == '{"steps": 10}'
    assert load_weights("sweep_tiny", "plane_sweep", models=folder).metadata["steps"] == "10"


def test_an_entry_is_replaced_only_when_asked(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert add(trained(tmp_path / "run"), folder, "--name", "sweep") == 0
    before = read_manifest(folder)
    better = trained(tmp_path / "better", 1)
    assert add(better, folder, "--name", "sweep") == 1
    assert "'sweep' is in the manifest already, expected a new name or --replace" in capsys.readouterr().err
    assert read_manifest(folder) == before
    assert add(better, folder, "--name", "sweep", "--replace") == 0
    after = read_manifest(folder)
    assert len(after) == 1
    assert after[0].sha256 != before[0].sha256
    assert main(["models", "verify", "--folder", str(folder)]) == 0
    # weights made anew in their place are entered as well
    trained(folder, 2).rename(folder / "sweep.safetensors")
    assert main(["models", "verify", "--folder", str(folder)]) == 1
    assert add(folder / "sweep.safetensors", folder, "--name", "sweep", "--replace") == 0
    assert main(["models", "verify", "--folder", str(folder)]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "weights.safetensors: no such file, expected weights"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "weights.safetensors: is broken or cut short"),
        (lambda path: path.with_name("card.json").unlink(), "card.json: no such file, expected a card"),
    ],
)
def test_what_cannot_be_added(
    tmp_path: Path, folder: Path, change: object, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = trained(tmp_path / "run")
    change(file)  # type: ignore[operator]
    assert add(file, folder, "--name", "sweep") == 1
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.yaml"]


def test_weights_of_others_and_bad_names(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from showroom_ros.networks.safetensors_file import write_safetensors

    file = trained(tmp_path / "run")
    assert add(file, folder, "--name", "../sweep") == 1
    assert "--name '../sweep': expected lower-case letters" in capsys.readouterr().err
    write_safetensors(file, {"w": torch.zeros(2)}, {})
    assert add(file, folder, "--name", "sweep") == 1
    assert "not weights of a network of this package: it names none" in capsys.readouterr().err
    write_safetensors(file, {"w": torch.zeros(2)}, {"network": "other"})
    assert add(file, folder, "--name", "sweep") == 1
    assert "unknown network 'other', expected one of plane_sweep, ioar" in capsys.readouterr().err
    assert read_manifest(folder) == []


def test_verify_names_what_is_wrong(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert add(trained(tmp_path / "run"), folder, "--name", "sweep") == 0
    (folder / "sweep.safetensors").write_bytes((folder / "sweep.safetensors").read_bytes() + b"\0")
    capsys.readouterr()
    assert main(["models", "verify", "--folder", str(folder)]) == 1
    assert "sha256 is" in capsys.readouterr().out
    assert main(["models", "verify", "--folder", str(tmp_path / "none")]) == 1
    assert "manifest.yaml: cannot be read" in capsys.readouterr().err
