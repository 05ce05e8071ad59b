"""A preparation that is repeated, damaged, changed, run elsewhere and fed rubbish."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fake_slurm import install_fake_slurm
from made_up_recipe import RECIPE, MadeUpSettings, manifest_of, tree, write_made_up

from showroom_ros.datasets.prepare.claim import UNFINISHED
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


@pytest.mark.parametrize("executor", ["processes", "local"])
def test_two_workers_and_submitit_give_the_same(
    root: Path, tmp_path: Path, undisturbed: dict[str, str], executor: str
) -> None:
    pytest.importorskip("submitit")
    summary = prepare(RECIPE, root, tmp_path / "out", executor=executor, workers=2)
    assert states(summary) == ["done"] * 4
    assert tree(tmp_path / "out") == undisturbed
    assert states(prepare(RECIPE, root, tmp_path / "out", executor=executor, workers=2)) == ["skipped"] * 4


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


def test_slurm(root: Path, tmp_path: Path, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Against stand-ins for the commands of SLURM that run an array's jobs at once."""
    pytest.importorskip("submitit")
    install_fake_slurm(tmp_path / "bin", monkeypatch)
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
