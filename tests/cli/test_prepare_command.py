"""``showroom prepare`` as it is typed."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_up_recipe import RECIPE, tree, write_made_up

from showroom_ros.cli import prepare as command
from showroom_ros.cli.main import main
from showroom_ros.datasets.prepare.recipes import RECIPES
from showroom_ros.errors import SettingsError


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_recipe_arguments(parser, RECIPE)
    return argparse.Namespace(**vars(parser.parse_args(words)), list=False, recipe=RECIPE.name)


def test_settings_are_options() -> None:
    arguments = parsed("root", "--out", "out", "--repeat", "3", "--upper", "--sign", "?")
    assert command.settings_of(RECIPE, arguments) == RECIPE.settings(3, True, "?")
    assert command.settings_of(RECIPE, parsed("root", "--out", "out")) == RECIPE.settings()
    with pytest.raises(SettingsError, match="showroom prepare made-up: 'repeat' is 10, expected 1 to 9"):
        command.settings_of(RECIPE, parsed("root", "--out", "out", "--repeat", "10"))


def test_exit_codes_and_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = write_made_up(tmp_path / "root"), tmp_path / "out"
    words = (str(root), "--out", str(out), "--executor", "processes")
    assert command.run(parsed(*words), [RECIPE]) == 0
    printed = capsys.readouterr().out
    assert f"{out}: 4 items of made-up: 4 done, 0 skipped, 0 failed\n  written: {out}/keys.json" in printed
    (root / "part0/a0.txt").write_text("an odd text\n")
    assert command.run(parsed(*words), [RECIPE]) == 3
    assert command.run(parsed(*words, "--allow-left-out"), [RECIPE]) == 0
    assert "part0/a0  skipped  left out: line 1 of part0/a0.txt is odd" in capsys.readouterr().out
    (root / "part0/a2.txt").write_text("a broken text\n")
    assert command.run(parsed(*words), [RECIPE]) == 1
    printed = capsys.readouterr().out
    assert "0 done, 3 skipped, 1 failed; 1 parts left out" in printed
    assert f"part0/a2  failed   {root}/part0/a2.txt: is broken" in printed


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "--list"]) == 0
    printed = capsys.readouterr().out
    assert all(f"{recipe.name:14}{recipe.title}" in printed for recipe in RECIPES)
    assert main(["prepare"]) == 2


@pytest.mark.parametrize(
    ("workers", "executor", "moment"),
    [
        ("1", "processes", "begun"),
        ("2", "processes", "begun"),
        ("2", "processes", "importing"),
        ("2", "local", "begun"),
    ],
)
def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path, workers: str, executor: str, moment: str) -> None:
    root, out = write_made_up(tmp_path / "root", 2), tmp_path / "out"
    script = tmp_path / "slow_recipe.py"
    script.write_text(
        "import dataclasses, signal, sys, time\nimport made_up_recipe\n"
        "from showroom_ros.cli import main, prepare\n"
        "from pathlib import Path\n"
        "if __name__ == '__mp_main__':\n"  # in a process that is being started: it has time to say what it got
        "    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
        f"    Path({str(tmp_path)!r}, 'importing').touch()\n"
        "    time.sleep(1)\n"
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})\n"
        "def slow(item, out, settings):\n"
        "    made_up_recipe.make(item, out, settings)\n"
        f"    Path({str(tmp_path)!r}, 'begun').touch()\n"
        "    time.sleep(60)\n"
        "RECIPES = [dataclasses.replace(made_up_recipe.RECIPE, prepare=slow)]\n"
        "if __name__ == '__main__':\n"
        "    prepare.RECIPES = RECIPES\n"
        "    prepare.run.__defaults__ = (RECIPES,)\n"
        "    sys.exit(main.main(sys.argv[1:]))\n"
    )
    words = ("--workers", workers, "--executor", executor)
    process = subprocess.Popen(
        [sys.executable, str(script), "prepare", "made-up", str(root), "--out", str(out), *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(600):
        if (tmp_path / moment).exists():
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert executor == "local" or "Traceback" not in errors  # submitit's own process prints one
    assert tree(out) == {}
