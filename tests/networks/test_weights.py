"""Weights in files: what was saved is loaded, and everything else is refused with words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_network import KIND, PRESETS, TinySettings, trained
from torch import Tensor

from showroom_ros.errors import OutputError, SettingsError, WeightsError
from showroom_ros.networks.manifest import sha256_of
from showroom_ros.networks.registry import NETWORKS, network_kind, preset_settings
from showroom_ros.networks.safetensors_file import read_safetensors, write_safetensors
from showroom_ros.networks.weights import load_weights, save_weights
from showroom_ros.settings import override, to_dict

WIDE = PRESETS["wide"]
TOLD = {"steps": 12, "data_id": "rooms-1", "command": "train tiny", "seed": 3}


def saved(path: Path, settings: TinySettings = WIDE, *, half: bool = False) -> dict[str, Tensor]:
    state = trained(settings).state_dict()
    save_weights(path, KIND, settings, state, TOLD, half=half)
    return state


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "weights.safetensors"
    state = saved(path)
    loaded = load_weights(path, KIND)
    assert loaded.settings == WIDE
    assert loaded.path == path
    assert not loaded.network.training
    assert {name: loaded.metadata[name] for name in ("network", "version", "preset", "steps", "data_id")} == {
        "network": "tiny", "version": "2", "preset": "wide", "steps": "12", "data_id": "rooms-1",
    }  # fmt: skip
    values = torch.randn(5, 2)
    assert torch.equal(loaded.network(values), trained(WIDE)(values))
    for name, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, state[name])
        assert tensor.dtype == state[name].dtype


def test_halves_take_half_and_are_loaded_as_float32(tmp_path: Path) -> None:
    settings = TinySettings(widths=(256, 256), scales=(0.5, 0.25))
    state = saved(tmp_path / "whole.safetensors", settings)
    saved(tmp_path / "half.safetensors", settings, half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * (tmp_path / "whole.safetensors").stat().st_size
    loaded = load_weights(tmp_path / "half.safetensors", KIND)
    assert loaded.settings == settings
    assert loaded.metadata["preset"] == ""
    for name, tensor in loaded.network.state_dict().items():
        assert tensor.dtype == state[name].dtype
        if tensor.ndim < 2:  # statistics of normalisation and biases stay as they are
            assert torch.equal(tensor, state[name])
        else:
            assert torch.allclose(tensor, state[name], rtol=2**-11, atol=2**-25)


def test_what_does_not_fit_into_half_is_kept_whole(tmp_path: Path) -> None:
    state = trained(WIDE).state_dict()
    state["layers.0.weight"][0, 0] = 1e6
    save_weights(tmp_path / "w.safetensors", KIND, WIDE, state, {})
    loaded = load_weights(tmp_path / "w.safetensors", KIND).network.state_dict()
    assert torch.equal(loaded["layers.0.weight"], state["layers.0.weight"])
    assert not torch.equal(loaded["layers.2.weight"], state["layers.2.weight"])


def test_the_same_weights_are_the_same_bytes_and_loading_draws_no_chance(tmp_path: Path) -> None:
    saved(tmp_path / "a.safetensors")
    saved(tmp_path / "b.safetensors")
    assert sha256_of(tmp_path / "a.safetensors") == sha256_of(tmp_path / "b.safetensors")
    before = torch.get_rng_state()
    load_weights(tmp_path / "a.safetensors", KIND)
    assert torch.equal(before, torch.get_rng_state())


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    saved(path)
    before = path.read_bytes()
    state = trained(WIDE).state_dict()
    state["layers.2.bias"][1] = float("nan")
    with pytest.raises(WeightsError, match=r"'layers\.2\.bias' holds values that are not finite"):
        save_weights(path, KIND, WIDE, state, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_takes_no_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        saved(tmp_path / "file" / "w.safetensors")


Break = Callable[[dict[str, Tensor], dict[str, str]], object]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda t, m: t.pop("layers.0.weight"), r"lacks 'layers\.0\.weight' of the 9 tensors"),
        (lambda t, m: t.clear(), r"lacks 'layers.0.weight', .* and 6 more of the 9 tensors"),
        (lambda t, m: t.update(more=torch.zeros(1)), r"holds 'more', expected only the 9 tensors"),
        (lambda t, m: t.update({"layers.2.bias": torch.zeros(7)}), r"'layers\.2\.bias' is \(7,\), expected \(8,\)"),
        (lambda t, m: t["layers.2.bias"].fill_(float("inf")), r"'layers\.2\.bias' holds values that are not finite"),
        (
            lambda t, m: t.update({"layers.2.bias": torch.zeros(8, dtype=torch.int64)}),
            r"'layers\.2\.bias' is torch\.int64, expected torch\.float32",
        ),
        (lambda t, m: m.update(network="other"), "weights are of the network 'other', expected 'tiny'"),
        (lambda t, m: m.clear(), "weights are not of a network of this package, expected 'tiny'"),
        (lambda t, m: m.update(version="1"), "weights are of version 1 of 'tiny', expected 2"),
        (lambda t, m: m.pop("version"), "weights are of version None of 'tiny', expected 2"),
        (lambda t, m: m.pop("settings"), "its metadata lacks 'settings'"),
        (lambda t, m: m.update(settings="{"), "settings are not JSON"),
        (lambda t, m: m.update(settings="3"), "its settings are 3, expected a mapping"),
        (lambda t, m: m.update(settings='{"width": 3}'), "unknown setting 'width'; did you mean 'widths'"),
        (lambda t, m: m.update(settings='{"widths": [0, 3]}'), "no 'tiny' can be built from its settings: widths are"),
        (lambda t, m: m.update(settings='{"gain": "high"}'), "'gain' is 'high', expected float"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, broken: Break, message: str) -> None:
    path = tmp_path / "w.safetensors"
    saved(path)
    tensors, metadata = read_safetensors(path)
    broken(tensors, metadata)
    write_safetensors(path, tensors, metadata)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(path, KIND)
    assert str(path) in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    missing = tmp_path / "none.safetensors"
    with pytest.raises(WeightsError, match=r"none\.safetensors: no such file, expected weights"):
        load_weights(missing, KIND)
    with pytest.raises(WeightsError, match="is a folder, expected a file"):
        load_weights(tmp_path, KIND)
    torch.save(trained(WIDE).state_dict(), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"is a file of torch\.save, expected safetensors"):
        load_weights(tmp_path / "w.pt", KIND)


def test_settings_a_file_does_not_name_are_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    saved(path)
    tensors, metadata = read_safetensors(path)
    settings = {name: value for name, value in json.loads(metadata["settings"]).items() if name == "widths"}
    write_safetensors(path, tensors, {**metadata, "settings": json.dumps(settings)})
    assert load_weights(path, KIND).settings == TinySettings(widths=WIDE.widths)


def test_devices(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    saved(path)
    with pytest.raises(SettingsError, match="device 'gpu': unknown, expected cpu or cuda"):
        load_weights(path, KIND, "gpu")
    if torch.cuda.is_available():
        assert next(load_weights(path, KIND, "cuda").network.parameters()).is_cuda
    else:
        with pytest.raises(SettingsError, match="finds no CUDA device, expected cpu here"):
            load_weights(path, KIND, "cuda")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_package_is_found_saved_and_loaded(name: str, tmp_path: Path) -> None:
    kind = network_kind(name)
    assert network_kind(name) is kind
    assert kind.settings() in kind.presets.values()
    for preset, preset_of_kind in kind.presets.items():
        assert override(kind.settings(), json.loads(json.dumps(to_dict(preset_of_kind)))) == preset_of_kind
        assert preset_settings(kind, preset) is preset_of_kind
    settings = kind.presets["tiny" if "tiny" in kind.presets else "small"]
    state = kind.build(settings).state_dict()
    save_weights(tmp_path / "w.safetensors", kind, settings, state, TOLD, half=False)
    loaded = load_weights(tmp_path / "w.safetensors", name)
    assert loaded.settings == settings
    assert all(torch.equal(tensor, state[key]) for key, tensor in loaded.network.state_dict().items())
    other = next(each for each in NETWORKS if each != name)
    with pytest.raises(WeightsError, match=f"weights are of the network '{name}', expected '{other}'"):
        load_weights(tmp_path / "w.safetensors", other)


def test_names_of_networks() -> None:
    with pytest.raises(SettingsError, match=r"unknown network 'plane_swep'.*plane_sweep.*did you mean 'plane_sweep'"):
        network_kind("plane_swep")
    with pytest.raises(SettingsError, match="tiny: unknown preset 'huge', expected one of small, wide"):
        preset_settings(KIND, "huge")
    assert network_kind("tiny", {"tiny": "tiny_network"}) is KIND
    with pytest.raises(SettingsError, match=r"tiny_network\.KIND is .*, expected the NetworkKind 'small'"):
        network_kind("small", {"small": "tiny_network"})
