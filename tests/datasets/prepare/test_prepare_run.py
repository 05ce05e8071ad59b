"""A preparation that is killed, damaged, repeated, shared and fed rubbish."""

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
from made_up_recipe import RECIPE, MadeUpSettings, manifest_of, tree, write_made_up

from showroom_ros.datasets.prepare.claim import UNFINISHED, claimed, remove_leftovers
from showroom_ros.datasets.prepare.recipe import Item, Recipe
from showroom_ros.datasets.prepare.run import Summary, prepare
from showroom_ros.datasets.prepare.submit import Cluster
from showroom_ros.errors import DatasetError, MissingDependencyError, OutputError, SettingsError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_made_up(tmp_path / "root")


@pytest.fixture
def undisturbed(root: Path, tmp_path: Path) -> dict[str, str]:
    prepare(RECIPE, root, tmp_path / "undisturbed", executor="processes")
    return tree(tmp_path / "undisturbed")


def states(summary: Summary) -> list[str]:
    return [outcome.state for outcome in summary.outcomes]


def test_what_comes_out(root: Path, tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    summary = prepare(
        RECIPE, root, tmp_path / "out", executor="processes", progress=lambda *counts: progress.append(counts)
    )
    assert (states(summary), summary.is_complete, summary.combined) == (["done"] * 4, True, ("keys.json",))
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (tmp_path / "out/part1/a3/text.txt").read_text() == "text 3\ntext 3\n"
    manifest = manifest_of(tmp_path / "out/part1/a3")
    assert (manifest["recipe"], manifest["version"], manifest["settings"]["repeat"]) == ("made-up", 1, 2)
    assert (manifest["source"]["name"], manifest["source"]["bytes"]) == ("part1/a3.txt", 7)
    assert list(manifest["files"]) == ["more/sign.txt", "text.txt"]
    assert not (tmp_path / "out" / UNFINISHED).exists()
    for path in (tmp_path / "out").rglob("*.json"):
        assert str(tmp_path) not in path.read_text()


def test_the_second_run_skips_all(root: Path, tmp_path: Path, undisturbed: dict[str, str]) -> None:
    out = tmp_path / "undisturbed"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("text.txt")}
    assert states(prepare(RECIPE, root, out, executor="processes")) == ["skipped"] * 4
    assert {path: path.stat().st_mtime_ns for path in out.rglob("text.txt")} == before
    assert tree(out) == undisturbed


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


@pytest.mark.parametrize("executor", ["processes", "local"])
def test_two_workers_and_submitit_give_the_same(
    root: Path, tmp_path: Path, undisturbed: dict[str, str], executor: str
) -> None:
    pytest.importorskip("submitit")
    summary = prepare(RECIPE, root, tmp_path / "out", executor=executor, workers=2)
    assert states(summary) == ["done"] * 4
    assert tree(tmp_path / "out") == undisturbed
    assert states(prepare(RECIPE, root, tmp_path / "out", executor=executor, workers=2)) == ["skipped"] * 4


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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.txt", b"text 1\ntext 2\n"),
        ("text.txt", b"text"),
        ("text.txt", None),
        ("showroom_manifest.json", b"{"),
        ("showroom_manifest.json", b"[]"),
    ],
)
def test_damage_is_noticed_and_made_good(
    root: Path, tmp_path: Path, undisturbed: dict[str, str], name: str, content: bytes | None
) -> None:
    path = tmp_path / "undisturbed" / "part1" / "a1" / name
    path.unlink() if content is None else path.write_bytes(content)
    summary = prepare(RECIPE, root, tmp_path / "undisturbed", executor="processes")
    assert [(outcome.key, outcome.state) for outcome in summary.of_state("done")] == [("part1/a1", "done")]
    assert name in summary.of_state("done")[0].reason
    assert tree(tmp_path / "undisturbed") == undisturbed


def test_sizes_only_misses_what_only_the_content_tells(root: Path, tmp_path: Path, undisturbed: dict[str, str]) -> None:
    out = tmp_path / "undisturbed"
    (out / "part1/a1/text.txt").write_bytes(b"text 1\ntext 2\n")
    assert states(prepare(RECIPE, root, out, executor="processes", sizes_only=True)) == ["skipped"] * 4
    (out / "part1/a1/text.txt").write_bytes(b"text 1\n")
    assert len(prepare(RECIPE, root, out, executor="processes", sizes_only=True).of_state("done")) == 1
    assert tree(out) == undisturbed


def test_other_settings_version_or_source_are_made_anew(
    root: Path, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    out = tmp_path / "undisturbed"
    assert states(prepare(RECIPE, root, out, MadeUpSettings(upper=True), executor="processes")) == ["done"] * 4
    assert (out / "part0/a0/text.txt").read_text() == "TEXT 0\nTEXT 0\n"
    assert states(prepare(RECIPE, root, out, executor="processes")) == ["done"] * 4
    assert tree(out) == undisturbed
    (root / "part0/a0.txt").write_text("another text\n")
    assert states(prepare(RECIPE, root, out, executor="processes")) == ["done", *["skipped"] * 3]
    newer = Recipe(RECIPE.name, RECIPE.title, RECIPE.find, RECIPE.prepare, RECIPE.settings, RECIPE.combine, version=2)
    assert states(prepare(newer, root, out, executor="processes")) == ["done"] * 4


@pytest.mark.parametrize("executor", ["processes", "local"])
def test_failures_do_not_stop_the_others(root: Path, tmp_path: Path, executor: str) -> None:
    pytest.importorskip("submitit")
    (root / "part0/a0.txt").write_text("broken\n")
    (root / "part0/a2.txt").write_text("an odd text\n")
    (root / "part1/a1.txt").write_text("defect\n")
    out = tmp_path / "out"
    summary = prepare(RECIPE, root, out, executor=executor, workers=2)
    assert not summary.is_complete
    reasons = {outcome.key: outcome.reason for outcome in summary.of_state("failed")}
    assert reasons["part0/a0"] == f"{root}/part0/a0.txt: is broken"
    assert f"{root}/part1/a1.txt: ZeroDivisionError: a defect (made_up_recipe.py:" in reasons["part1/a1"]
    assert [outcome.skipped for outcome in summary.of_state("done")] == [("line 1 of part0/a2.txt is odd",), ()]
    assert sorted(tree(out)) == [
        "keys.json", "part0", "part0/a2", "part0/a2/more", "part0/a2/more/sign.txt", "part0/a2/showroom_manifest.json",
        "part0/a2/text.txt", "part1", "part1/a3", "part1/a3/more", "part1/a3/more/sign.txt",
        "part1/a3/showroom_manifest.json", "part1/a3/text.txt",
    ]  # fmt: skip
    again = prepare(RECIPE, root, out, executor=executor, workers=2)
    assert [len(again.of_state(state)) for state in ("done", "skipped", "failed")] == [0, 2, 2]
    assert again.left_out == 1


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


def test_a_full_disk_is_told(root: Path, tmp_path: Path) -> None:
    def full(item: Item, out: Path, settings: MadeUpSettings) -> list[str]:
        raise OSError(28, "No space left on device", str(out / "text.txt"))

    recipe = Recipe("r", "t", RECIPE.find, full, MadeUpSettings)
    summary = prepare(recipe, root, tmp_path / "out", executor="processes")
    assert all("text.txt: No space left on device" in outcome.reason for outcome in summary.of_state("failed"))
    assert len(summary.of_state("failed")) == 4
    assert tree(tmp_path / "out") == {}


def test_combined_files_that_cannot_be_made_are_a_failure(root: Path, tmp_path: Path) -> None:
    def broken(items: list[Item], out: Path, settings: MadeUpSettings) -> dict[str, bytes]:
        raise DatasetError("no pairs")

    recipe = Recipe("r", "t", RECIPE.find, RECIPE.prepare, MadeUpSettings, broken)
    summary = prepare(recipe, root, tmp_path / "out", executor="processes")
    assert [(outcome.key, outcome.reason) for outcome in summary.of_state("failed")] == [
        ("(combined files)", "no pairs")
    ]


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


FAKE_SLURM = {
    "sbatch": """#!/bin/bash
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
grep -q -- --partition=rooms "$1" || exit 1
echo Submitted batch job 4242
export SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_ARRAY_JOB_ID=4242
for task in $(seq 0 "$last"); do
    SLURM_JOB_ID=$((5000 + task)) SLURM_ARRAY_TASK_ID=$task bash "$1" > /dev/null 2>&1 &
done
""",
    "srun": """#!/bin/bash
shift 5  # --unbuffered --output FILE --error FILE
exec "$@"
""",
    "sacct": "#!/bin/bash\necho 'JobID|State|NodeList'\n",
}


def test_slurm(root: Path, tmp_path: Path, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Against stand-ins for the commands of SLURM that run an array's jobs at once."""
    pytest.importorskip("submitit")
    for name, script in FAKE_SLURM.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    cluster = Cluster(partition="rooms", time_min=5, cpus=1, memory_gb=1, items_per_job=2)
    summary = prepare(RECIPE, root, tmp_path / "out", executor="slurm", workers=2, cluster=cluster)
    assert states(summary) == ["done"] * 4
    assert tree(tmp_path / "out") == undisturbed
    with pytest.raises(SettingsError, match="cpus is 0, expected at least 1"):
        Cluster(cpus=0)


def test_without_submitit(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(MissingDependencyError, match=r"showroom_ros\[data\].*or use the executor 'processes'"):
        prepare(RECIPE, root, tmp_path / "out")


def test_an_old_result_that_cannot_be_made_anew_goes(root: Path, tmp_path: Path, undisturbed: dict[str, str]) -> None:
    (root / "part0/a0.txt").write_text("broken text\n")
    summary = prepare(RECIPE, root, tmp_path / "undisturbed", executor="processes")
    assert states(summary) == ["failed", *["skipped"] * 3]
    assert not (tmp_path / "undisturbed/part0/a0").exists()


def test_folders_that_are_not_ours_stay(root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out/part0/a0/notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("keep me")
    summary = prepare(RECIPE, root, tmp_path / "out", executor="processes")
    assert "is there already without showroom_manifest.json" in summary.of_state("failed")[0].reason
    assert mine.read_text() == "keep me"


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


def nested(root: Path, split: str | None) -> list[Item]:
    return [Item("a", root), Item("a/b", root)]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"root": "gone"}, DatasetError, "gone: no such file or folder, expected the root of a data set"),
        ({"split": "third"}, DatasetError, "split 'third' is unknown, expected one of part0, part1"),
        ({"out": "root/part0/a0.txt"}, OutputError, "a0.txt: cannot be written: it is a file, expected a folder"),
        ({"out": "/proc/nowhere"}, OutputError, "/proc/nowhere/.unfinished"),
        ({"executor": "cloud"}, SettingsError, "executor is 'cloud', expected one of local, slurm, processes"),
        ({"executor": "slurm"}, SettingsError, "executor 'slurm' cannot be used on this machine"),
        ({"workers": 0}, SettingsError, "workers is 0, expected at least 1"),
        ({"find": nested}, DatasetError, "the output of 'a/b' would lie inside that of 'a'"),
        ({"find": lambda root, split: []}, DatasetError, "nothing to prepare for made-up"),
        ({"find": lambda root, split: [Item("x", root)] * 2}, DatasetError, "1 names occur more than once"),
        ({"find": lambda root, split: [Item("../x", root)]}, DatasetError, "'../x' cannot be the name of an output"),
        ({"find": lambda root, split: [Item("x", root)], "out": "root/out"}, OutputError, "root/out: lies inside"),
    ],
)
def test_bad_input(root: Path, tmp_path: Path, change: dict, error: type[Exception], message: str) -> None:
    options = {"root": "root", "out": "out", "executor": "processes", "split": None, "workers": 1, **change}
    recipe = Recipe("made-up", "", options.pop("find", RECIPE.find), RECIPE.prepare, RECIPE.settings)
    with pytest.raises(error, match=message.replace("(", r"\(")):
        prepare(recipe, tmp_path / options.pop("root"), tmp_path / options.pop("out"), **options)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


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
