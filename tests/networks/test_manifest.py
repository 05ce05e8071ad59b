"""The manifest of shipped weights: what is found, and what is said of a broken one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_network import KIND, PRESETS, trained

from showroom_ros.errors import WeightsError
from showroom_ros.networks.manifest import (
    ShippedModel,
    models_folder,
    read_manifest,
    sha256_of,
    shipped_weights,
    verify_models,
    write_manifest,
)
from showroom_ros.networks.weights import load_weights, save_weights


def shipped(folder: Path, name: str, preset: str, network: str = "tiny") -> ShippedModel:
    """Weights and card of a trained network, and their entry."""
    settings = PRESETS[preset]
    file, card = folder / f"{name}.safetensors", folder / f"{name}.json"
    save_weights(file, KIND, settings, trained(settings).state_dict(), {})
    card.write_text("{}")
    return ShippedModel(name, file.name, network, preset, sha256_of(file), "MIT", "two numbers", card.name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    models = [shipped(tmp_path, "tiny_small", "small"), shipped(tmp_path, "tiny_wide", "wide")]
    write_manifest(models, tmp_path)
    return tmp_path


def test_the_manifest_of_this_package_is_whole() -> None:
    assert models_folder() == Path(__file__).parents[2] / "models"
    assert [(model.name, fault) for model, fault in verify_models(models_folder()) if fault] == []


def test_what_was_written_is_read(folder: Path) -> None:
    models = read_manifest(folder)
    assert [model.name for model in models] == ["tiny_small", "tiny_wide"]
    write_manifest(models, folder)
    assert read_manifest(folder) == models
    assert (folder / "manifest.yaml").read_text().startswith("# Weights that come with the package")
    write_manifest([], folder)
    assert read_manifest(folder) == []


def test_shipped_weights_are_found_by_network_preset_and_name(folder: Path) -> None:
    assert shipped_weights("tiny", folder=folder) == folder / "tiny_small.safetensors"
    assert shipped_weights("tiny", "wide", folder) == folder / "tiny_wide.safetensors"
    assert load_weights("", KIND, models=folder).settings == PRESETS["small"]
    assert load_weights("tiny_wide", KIND, models=folder).settings == PRESETS["wide"]
    assert load_weights(folder / "tiny_wide.safetensors", KIND, models=folder).settings == PRESETS["wide"]


def test_where_none_is_shipped_it_says_how_to_get_one(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"no weights of 'ioar' are shipped; train them \(showroom train ioar "):
        shipped_weights("ioar", folder=folder)
    with pytest.raises(WeightsError, match=r"'tiny', preset 'huge' are shipped \(of 'tiny' there are tiny_small, tiny"):
        shipped_weights("tiny", "huge", folder)
    with pytest.raises(WeightsError, match=r"'tiny_huge' is no file and none of the shipped.*\(tiny_small, tiny_wide"):
        load_weights("tiny_huge", KIND, models=folder)


def test_a_file_that_was_changed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = trained(PRESETS["small"], seed=1).state_dict()
    path = folder / "tiny_small.safetensors"
    save_weights(path, KIND, PRESETS["small"], other, {})
    for given in ("", "tiny_small", path):
        with pytest.raises(WeightsError, match=r"sha256 is .*, expected .* of 'tiny_small' in the manifest"):
            load_weights(given, KIND, models=folder)
    elsewhere = tmp_path_factory.mktemp("else") / path.name  # the manifest speaks of the files beside it only
    elsewhere.write_bytes(path.read_bytes())
    loaded = load_weights(elsewhere, KIND, models=folder).network.state_dict()
    assert torch.equal(loaded["layers.0.bias"], other["layers.0.bias"])
    faults = {model.name: fault for model, fault in verify_models(folder)}
    assert "sha256" in faults["tiny_small"]
    assert faults["tiny_wide"] == ""


def test_files_that_are_missing(folder: Path) -> None:
    (folder / "tiny_small.safetensors").unlink()
    (folder / "tiny_wide.json").unlink()
    with pytest.raises(WeightsError, match=r"tiny_small\.safetensors: no such file, expected it for 'tiny_small'"):
        shipped_weights("tiny", folder=folder)
    faults = {model.name: fault for model, fault in verify_models(folder)}
    assert "tiny_small.safetensors: no such file" in faults["tiny_small"]
    assert "tiny_wide.json: no such file" in faults["tiny_wide"]


GOOD: dict[str, Any] = dataclasses.asdict(
    ShippedModel("a", "a.safetensors", "tiny", "", "0" * 64, "MIT", "numbers", "a.json")
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("models: [", "cannot be read as YAML"),
        ("", "holds None, expected 'models:' and a list"),
        ("- a", "expected 'models:' and a list"),
        ("models: {}", "expected 'models:' and a list"),
        ("models: []\nmore: 1", "expected 'models:' and a list"),
        ({"models": ["a"]}, "entry 0: holds 'a', expected name, file, network"),
        ({"models": [GOOD, {"name": "b"}]}, "entry 1: holds name, expected name, file, network"),
        ({"models": [GOOD | {"licence": ""}]}, "'licence' is '', expected text"),
        ({"models": [GOOD | {"name": 3}]}, "'name' is 3, expected text"),
        ({"models": [GOOD | {"file": "../w.safetensors"}]}, "'file' is '../w.safetensors', expected a file in the"),
        ({"models": [GOOD | {"card": "/etc/passwd"}]}, "'card' is '/etc/passwd', expected a file in the folder"),
        ({"models": [GOOD | {"sha256": "0" * 63}]}, "'sha256' is '0+', expected 64 hexadecimal digits"),
        ({"models": [GOOD | {"sha256": "G" * 64}]}, "'sha256' is 'G+', expected 64 hexadecimal digits"),
        ({"models": [GOOD, GOOD]}, "'a' is there 2 times, expected once"),
    ],
)
def test_broken_manifests(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    with pytest.raises(WeightsError, match=message) as caught:
        read_manifest(tmp_path)
    assert str(path) in str(caught.value)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"manifest\.yaml: cannot be read as YAML: .*No such file"):
        read_manifest(tmp_path)
