"""Public checkpoints: named by their users, checked, never without their licence."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from test_fast3r import SMALL, build, saved, state_of

from showroom_ros.cli.main import main
from showroom_ros.cli.method import weights_file
from showroom_ros.errors import InputError, WeightsError
from showroom_ros.networks.public_checkpoints import (
    add_checkpoint,
    checked_path,
    licence_of,
    list_file,
    public_checkpoints,
)
from showroom_ros.reconstruction.multi_view_torch import load_pointmap_network
from showroom_ros.settings import Settings, override


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOWROOM_MODELS", str(tmp_path / "mine"))
    torch.manual_seed(0)
    return saved(tmp_path / "theirs.safetensors", state_of(build(SMALL)))


def test_a_checkpoint_is_found_by_its_name_and_checked(checkpoint, capsys):
    command = ["models", "add-public", str(checkpoint), "--name", "theirs", "--licence", "CC BY-NC 4.0"]
    assert main(command) != 0  # the licence was shown and not accepted
    assert "CC BY-NC 4.0" in capsys.readouterr().out
    assert not public_checkpoints()
    assert main([*command, "--accept-licence"]) == 0
    network = load_pointmap_network("theirs")
    settings = override(Settings(), {"reconstruction.method": "multi_view", "reconstruction.model_file": "theirs"})
    assert weights_file(settings) == checkpoint
    assert not network.metric
    assert (network.image_size, network.patch) == (512, 16)
    assert main(["models", "list"]) == 0
    assert "theirs: public" in capsys.readouterr().out
    with checkpoint.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(WeightsError, match="another file than the one that was added"):
        load_pointmap_network("theirs")
    assert main(["models", "verify"]) != 0
    assert "theirs: " in capsys.readouterr().out


def test_the_licence_must_be_known_or_told():
    assert "Noncommercial" in licence_of("hub:jedyang97/Fast3R_ViT_Large_512", "")
    with pytest.raises(InputError, match=r"not known here, name it"):
        licence_of("hub:somebody/else", "")


def test_a_wrong_sha256_a_missing_file_and_a_broken_list_are_named(checkpoint):
    with pytest.raises(WeightsError, match="expected 0123"):
        add_checkpoint("x", str(checkpoint), "MIT", sha256="0123")
    with pytest.raises(WeightsError, match=r"gone\.safetensors"):
        add_checkpoint("x", "gone.safetensors", "MIT")
    assert not list_file().exists()
    list_file().parent.mkdir(parents=True)
    list_file().write_text("- 3\n")
    with pytest.raises(WeightsError, match="is no list of checkpoints"):
        public_checkpoints()


def test_the_hub_is_asked_for_weights_and_settings_only(checkpoint, monkeypatch):
    asked = []
    hub = types.ModuleType("huggingface_hub")
    (checkpoint.parent / "snapshot").mkdir()
    checkpoint.rename(checkpoint.parent / "snapshot" / "model.safetensors")

    def snapshot_download(identity, allow_patterns):
        asked.append((identity, allow_patterns))
        return str(checkpoint.parent / "snapshot")

    hub.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    added = add_checkpoint("released", "hub:owner/name", "research only")
    assert asked == [("owner/name", ["model.safetensors", "config.json"])]
    assert checked_path(added).is_dir()
    assert load_pointmap_network("released").patch == 16
