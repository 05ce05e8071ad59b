"""A preparation that is killed, interrupted or shared, and started again."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import made_up_recipe
import pytest
from made_up_recipe import RECIPE, MadeUpSettings, tree, write_made_up

from showroom_ros.datasets.prepare.claim import UNFINISHED, claimed, remove_leftovers
from showroom_ros.datasets.prepare.recipe import Item, Recipe
from showroom_ros.datasets.prepare.run import prepare


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_made_up(tmp_path / "root")


def kill_at(step: int, work: Callable[[], object]) -> bool:
    """Runs ``work`` in a child that kills itself before its ``step``-th change of the disk; whether it did."""
    child = os.fork()
    if child == 0:
        left = step

        def counted(function: Callable) -> Callable:
            def call(*arguments: object, **options: object) -> object:
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return call

        for name in ("rename", "replace", "fsync", "unlink", "mkdir", "rmdir", "open"):
            setattr(os, name, counted(getattr(os, name)))
        write = Path.write_bytes

        def write_half(path: Path, content: bytes) -> int:
            nonlocal left
            left -= 1
            if left < 0:
                write(path, content[: len(content) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return write(path, content)

        Path.write_bytes = write_half
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_killed_at_every_step_and_started_again(tmp_path: Path) -> None:
    root = write_made_up(tmp_path / "root", 2)
    whole = tmp_path / "whole"
    prepare(RECIPE, root, whole, executor="processes")
    expected, kills, step = tree(whole), 0, 0
    while True:
        out = tmp_path / f"out{step}"
        if not kill_at(step, lambda out=out: prepare(RECIPE, root, out, executor="processes")):
            break
        kills += 1
        for folder in out.glob("part*/*"):  # what is visible is whole, at any time
            name = folder.relative_to(out).as_posix()
            assert {f"{name}/{path}": value for path, value in tree(folder).items()}.items() <= expected.items()
            assert (folder / "more/sign.txt").is_file()
        prepare(RECIPE, root, out, executor="processes")
        assert tree(out) == expected
        step += 1
    assert kills > 40


def test_killed_while_old_results_are_replaced(tmp_path: Path) -> None:
    root = write_made_up(tmp_path / "root", 1)
    settings = MadeUpSettings(repeat=3)
    prepare(RECIPE, root, tmp_path / "whole", settings, executor="processes")
    expected, step = tree(tmp_path / "whole"), 0
    while True:
        out = tmp_path / f"out{step}"
        prepare(RECIPE, root, out, executor="processes")
        if not kill_at(step, lambda out=out: prepare(RECIPE, root, out, settings, executor="processes")):
            break
        prepare(RECIPE, root, out, settings, executor="processes")
        assert tree(out) == expected
        step += 2
    assert step > 20


def test_two_runs_share_an_output_folder(root: Path, tmp_path: Path) -> None:
    write_made_up(root, 30)
    prepare(RECIPE, root, tmp_path / "alone", executor="processes")
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0 if prepare(RECIPE, root, tmp_path / "out", executor="processes").is_complete else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert tree(tmp_path / "out") == tree(tmp_path / "alone")


@pytest.mark.parametrize("executor", ["processes", "local"])
def test_a_process_that_dies_costs_its_item(root: Path, tmp_path: Path, executor: str) -> None:
    pytest.importorskip("submitit")
    (root / "part1/a3.txt").write_text("die\n")
    summary = prepare(RECIPE, root, tmp_path / "out", executor=executor, workers=2)
    assert [outcome.key for outcome in summary.of_state("failed")] == ["part1/a3"]
    assert ("died with exit code -9" if executor == "processes" else "ended before it") in summary.of_state("failed")[
        0
    ].reason
    assert not (tmp_path / "out" / UNFINISHED).exists()


@pytest.mark.parametrize("executor", ["processes", "local"])
def test_killed_with_its_workers_at_work_and_started_again(root: Path, tmp_path: Path, executor: str) -> None:
    pytest.importorskip("submitit")
    write_made_up(root, 8)
    slow = Recipe("slow", "t", RECIPE.find, made_up_recipe.make_slowly, MadeUpSettings, RECIPE.combine)
    prepare(slow, root, tmp_path / "whole", executor="processes")
    child = os.fork()
    if child == 0:

        def die(done: int, total: int) -> None:
            if done == 3:
                os.kill(os.getpid(), signal.SIGKILL)

        prepare(slow, root, tmp_path / "out", executor=executor, workers=2, progress=die)
        os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    summary = prepare(slow, root, tmp_path / "out", executor=executor, workers=2)  # while orphaned jobs still work
    assert summary.is_complete
    assert len(summary.of_state("skipped")) >= 3
    for _ in range(100):  # orphans remove what they claimed when they end
        if not (tmp_path / "out" / UNFINISHED).exists():
            break
        time.sleep(0.1)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_an_interrupt_leaves_nothing_unfinished(root: Path, tmp_path: Path) -> None:
    def interrupt(item: Item, out: Path, settings: MadeUpSettings) -> list[str]:
        made_up_recipe.make(item, out, settings)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(Recipe("r", "t", RECIPE.find, interrupt, MadeUpSettings), root, tmp_path / "out", executor="processes")
    assert tree(tmp_path / "out") == {}


def test_a_claim_is_for_one_at_a_time(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with claimed(tmp_path, "x") as workspace:
            order.append("second")
            assert list(workspace.iterdir()) == []

    with claimed(tmp_path, "x") as workspace:
        (workspace / "file").write_text("half")
        thread = threading.Thread(target=second)
        thread.start()
        with claimed(tmp_path, "x", wait=False) as busy, claimed(tmp_path, "y", wait=False) as other:
            assert busy is None
            assert other is not None
        remove_leftovers(tmp_path)  # takes nothing from the living
        time.sleep(0.05)
        order.append("first")
        assert (workspace / "file").read_text() == "half"
    thread.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_claims_that_come_and_go_at_the_same_time(tmp_path: Path) -> None:
    """The folder of unfinished work appears and vanishes all the time, under everybody's feet."""

    def claim_often(number: int) -> None:
        for _ in range(200):
            with claimed(tmp_path, f"item {number}") as workspace:
                assert workspace is not None
            remove_leftovers(tmp_path)

    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            try:
                claim_often(number)
            finally:
                os._exit(sys.exc_info()[0] is not None)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert list(tmp_path.iterdir()) == []
