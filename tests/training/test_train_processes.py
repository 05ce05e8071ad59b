"""Training as processes of their own: killed, asked to stop, and two at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_task import TASK, tiny_recipe

from showroom_ros.training.checkpoint import Checkpoint, load_checkpoint
from showroom_ros.training.trainer import Trainer

SCRIPT = Path(__file__).with_name("tiny_run.py")
WAIT_S = 120.0


def start(out: Path, *settings: str, **environment: str) -> subprocess.Popen[str]:
    """``showroom train tiny`` on the recipe of ``tiny_recipe``, with settings changed."""
    short = ["steps=12", "batch=4", "learning_rate=0.01", "validate_every=4", "validation_batches=2"]
    assigned = [f"--set={text}" for text in (*short, "checkpoint_every=4", "log_every=2", *settings)]
    command = [
        sys.executable,
        str(SCRIPT),
        "tiny",
        "--data",
        "numbers",
        "--out",
        str(out),
        "--device",
        "cpu",
        "--resume",
    ]
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [*command, *assigned],
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until ``path`` is there."""
    end = time.monotonic() + WAIT_S
    while not path.exists():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"{path} did not appear: {process.communicate()[0]}")
        time.sleep(0.02)


def finish(process: subprocess.Popen[str]) -> str:
    """What it said; fails if it failed."""
    said = process.communicate(timeout=WAIT_S)[0]
    assert process.returncode == 0, said
    return said


def train(out: Path, *, resume: bool = False, **values: object) -> Checkpoint:
    """Trains to the end in this process, on one core as the others do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trainer = Trainer(TASK, tiny_recipe(**values), out, device="cpu")
        assert trainer.resume() is resume
        trainer.train()
    finally:
        torch.set_num_threads(threads)
    return load_checkpoint(out / "last.pt")


def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path) -> None:
    process = start(tmp_path / "killed", "task.delay_s=0.05", "ema_decay=0.9")
    wait_for(tmp_path / "killed" / "last.pt", process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=WAIT_S)
    at = load_checkpoint(tmp_path / "killed" / "last.pt").step
    assert 0 < at < 12
    train(tmp_path / "killed", resume=True, ema_decay=0.9)
    resumed = load_checkpoint(tmp_path / "killed" / "last.pt")
    whole = train(tmp_path / "whole", ema_decay=0.9)
    assert resumed.step == whole.step == 12
    for part in ("network", "averaged"):
        for name, tensor in getattr(whole, part).items():
            assert torch.equal(tensor, getattr(resumed, part)[name]), (part, name)
    moments = [checkpoint.optimizer["state"] for checkpoint in (whole, resumed)]
    for number, state in moments[0].items():
        assert all(torch.equal(value, moments[1][number][name]) for name, value in state.items())
    assert resumed.best_loss == whole.best_loss


def test_asked_to_stop_it_leaves_a_checkpoint(tmp_path: Path) -> None:
    process = start(tmp_path, "task.delay_s=0.05", "steps=100000", "workers=1")
    wait_for(tmp_path / "last.pt", process)
    process.send_signal(signal.SIGTERM)
    said = finish(process)
    assert "stopped: SIGTERM; go on with --resume" in said
    checkpoint = load_checkpoint(tmp_path / "last.pt")
    assert f"{checkpoint.step} of 100000 steps" in said
    assert (tmp_path / "weights_last.safetensors").is_file()


def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    settings = ("batch=2", "steps=3", "network_settings.dropout=0.0", "accumulate=2")
    both = [
        start(tmp_path / "two", *settings, RANK=rank, LOCAL_RANK=rank, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
              MASTER_PORT=port)
        for rank in ("0", "1")
    ]  # fmt: skip
    said = [finish(process) for process in both]
    assert "3 of 3 steps" in said[0]
    assert "of 3 steps" not in said[1]  # only one writes and talks
    one = train(tmp_path / "one", batch=4, steps=3, network_settings__dropout=0.0, accumulate=2)
    two = load_checkpoint(tmp_path / "two" / "last.pt")
    for name, tensor in one.network.items():
        torch.testing.assert_close(two.network[name], tensor, atol=1e-5, rtol=0, msg=name)
    begin = Trainer(TASK, tiny_recipe(network_settings__dropout=0.0), tmp_path, device="cpu").network.state_dict()
    assert not torch.allclose(begin["layers.0.weight"], two.network["layers.0.weight"], atol=1e-3)
