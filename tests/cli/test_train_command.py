"""``showroom train``: a network to use at the end, friendly errors on the way."""

from __future__ import annotations

import argparse
import json
import sys
import types
from pathlib import Path

import pytest

from showroom_ros.cli import train
from showroom_ros.cli.main import main
from showroom_ros.errors import ShowroomError
from showroom_ros.networks.weights import load_weights
from showroom_ros.training.tasks import TASKS

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

import tiny_task

SHORT = ("--data", "numbers", "--steps", "6", "--device", "cpu", "--set", "validate_every=3", "--set", "log_every=1")


def run(*arguments: str) -> int:
    """``showroom train tiny ...`` in this process."""
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return train.run(parser.parse_args(["tiny", *SHORT, *arguments]), tiny_task.TASKS)


def test_trains_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path)]
    assert run(*out) == 0
    assert f"{tmp_path}: 6 of 6 steps, best validation loss" in capsys.readouterr().out
    with pytest.raises(ShowroomError, match=r"last.pt: a training is there; go on with --resume"):
        run(*out)
    assert run(*out, "--resume", "--steps", "9", "--max-minutes", "5") == 0
    assert ": 9 of 9 steps" in capsys.readouterr().out
    assert run(*out, "--overwrite", "--steps", "2", "--set", "validate_every=0") == 0
    assert not (tmp_path / "best.pt").exists()  # that of the old training
    assert json.loads((tmp_path / "card.json").read_text())["steps"] == 2


def test_fine_tunes(tmp_path: Path) -> None:
    run("--out", str(tmp_path / "first"))
    weights = tmp_path / "first" / "weights.safetensors"
    assert run("--out", str(tmp_path / "second"), "--init", str(weights), "--data", "letters") == 0
    second = load_weights(tmp_path / "second" / "weights.safetensors", tiny_task.KIND)
    assert second.metadata["data_id"] == "letters, seed 0"


def test_shows_the_recipe_it_would_train_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--set", "learning_rate=1e-2", "--set", "task.trouble.nan_at=5", "--preset", "wide", "--seed", "4"]
    assert run("--show-recipe", *settings) == 0
    text = capsys.readouterr().out
    recipe = json.loads(text)
    assert (recipe["preset"], recipe["seed"], recipe["steps"], recipe["learning_rate"]) == ("wide", 4, 6, 0.01)
    assert recipe["task"]["trouble"]["nan_at"] == 5
    (tmp_path / "mine.json").write_text(text)
    assert run("--show-recipe", "--recipe", str(tmp_path / "mine.json")) == 0
    assert json.loads(capsys.readouterr().out) == recipe


def test_overfits_one_batch(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--overfit", "30", "--set", "learning_rate=0.03", "--preset", "plain") == 0
    assert "one batch, 30 steps: loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--out DIR is missing"),
        (["--out", "{tmp}", "--preset", "huge"], "unknown preset 'huge', expected one of small, wide, plain"),
        (["--out", "{tmp}", "--set", "steps"], "--set 'steps': expected NAME=VALUE"),
        (["--out", "{tmp}", "--set", "stepz=3"], "--set: unknown setting 'stepz'; did you mean 'steps'"),
        (["--out", "{tmp}", "--batch", "0"], "command line: 'batch' is 0"),
        (["--out", "{tmp}", "--recipe", "{tmp}/none.yaml"], "none.yaml: cannot be read"),
        (["--out", "{tmp}", "--recipe", "{tmp}/ioar.json"], "is for the network 'ioar', expected 'tiny'"),
        (["--out", "{tmp}", "--init", "{tmp}/none.safetensors"], "none.safetensors"),
        (["--out", "{tmp}/ioar.json"], "ioar.json"),
        (["--out", "{tmp}", "--set", "task.trouble.nan_at=5"], "loss is nan"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, arguments: list[str], expected: str) -> None:
    (tmp_path / "ioar.json").write_text('{"network": "ioar"}')
    with pytest.raises(ShowroomError) as caught:
        run(*[argument.replace("{tmp}", str(tmp_path)) for argument in arguments])
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["resnet"], "no task trains a network 'resnet', expected one of plane_sweep, ioar"),
        (["plane_sweep", "--preset", "huge"], "unknown preset 'huge', expected one of"),
        (["plane_sweep", "--data", "nowhere/at/all"], "nowhere/at/all"),
        (["plane_sweep", "--data", "synthetic:seven"], "synthetic:seven"),
        (["ioar", "--data", "nowhere/at/all"], "nowhere/at/all"),
    ],
)
def test_errors_of_the_real_networks_take_one_line(
    tmp_path: Path, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *arguments, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err.strip()
    assert expected in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_the_recipe_of_the_package_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "plane_sweep", "--show-recipe", "--steps", "77"]) == 0
    recipe = json.loads(capsys.readouterr().out)
    assert (recipe["schedule"], recipe["ema_decay"], recipe["steps"]) == ("cosine", 0.998, 77)


def test_works_where_only_torch_and_numpy_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    absent: dict[str, types.ModuleType | None] = dict.fromkeys(("yaml", "tqdm", "cv2", "tensorboard", "safetensors"))
    for name, module in absent.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    assert run("--out", str(tmp_path / "out"), "--set", "picture_every=3") == 0
    assert load_weights(tmp_path / "out" / "weights.safetensors", tiny_task.KIND).metadata["steps"] in ("3", "6")
    assert not (tmp_path / "out" / "tensorboard").exists()
    assert main(["train", "plane_sweep", "--show-recipe"]) == 0
    assert "plane_sweep_small.yaml is not read, PyYAML is not installed" in caplog.text
    (tmp_path / "mine.yaml").write_text("steps: 3")
    with pytest.raises(ShowroomError, match="pip install PyYAML"):
        run("--out", str(tmp_path / "out2"), "--recipe", str(tmp_path / "mine.yaml"))


def test_help_names_every_network_that_can_be_trained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in TASKS)
