"""``showroom benchmark`` as it is typed: what each benchmark takes, gets and refuses."""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from layout_box_room import write_box_room

from showroom_ros.benchmarks import scene_geometry
from showroom_ros.benchmarks.scene_geometry_jobs import Jobs
from showroom_ros.cli import benchmark as command
from showroom_ros.cli import prepare as prepare_command
from showroom_ros.cli.main import main
from showroom_ros.datasets.prepare.recipes import RECIPES
from showroom_ros.datasets.prepare.submit import Cluster
from showroom_ros.evaluation.benchmark import BenchmarkResult, Row

README = Path(__file__).parents[2] / "README.md"


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def measured_with(monkeypatch: pytest.MonkeyPatch, *words: str) -> dict:
    """What ``run`` of a stand-in for the benchmark gets."""
    got: dict = {}
    result = BenchmarkResult("b", {"missing": {"ioar": "no weights"}}, [Row("x_ms", 2.0, "ms")])
    stand_in = SimpleNamespace(
        run=lambda **given: got.update(given) or result, METHODS={"one": 1, "two": 2}, SCENES=4, VIEWS=(5, 10)
    )
    monkeypatch.setitem(sys.modules, f"showroom_ros.benchmarks.{words[0]}", stand_in)
    assert command.run(parsed(*words)) == 0
    assert callable(got.pop("say", print))
    return got


DEFAULTS = {
    "rooms": {"device": "cpu"},
    "posed_rgb": {"recording": None, "methods": ("one", "two"), "scenes": 4, "device": "cpu"},
    "completion": {"methods": ("one", "two"), "scenes": 4, "device": "cpu", "data": None, "pictures": None},
    "inpainting": {"methods": ("one", "two"), "scenes": 4, "device": "cpu"},
    "scene_geometry": {
        "dataset": None, "data": None, "split": None, "methods": None, "scenes": None, "device": "cpu", "jobs": None,
        "rows": None, "csv_file": None,
    },
    "depth_holes": {"data": None, "methods": ("one", "two"), "device": "cpu"},
    "multi_view": {"recording": None, "methods": ("one", "two"), "scenes": 4, "views": (5, 10), "device": "cpu"},
}  # fmt: skip


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert measured_with(monkeypatch, name) == DEFAULTS[name]


def test_what_is_given_arrives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    room = write_box_room(tmp_path, 4)
    assert len(measured_with(monkeypatch, "fusion", "--data", str(room))["sequence"]) == 4
    assert parsed("stream").data == "synthetic:7"
    words = "--data a --methods swept --scenes 2 --views 3 5 --device cuda:1"
    got = measured_with(monkeypatch, "multi_view", *words.split())
    assert got == {
        "recording": Path("a"), "methods": ("swept",), "scenes": 2, "views": (3, 5), "device": "cuda:1",
    }  # fmt: skip
    words = "--dataset hypersim --data d --split val --methods small --scenes 9 --csv c --out o --workers 3 "
    words += "--executor slurm --partition p --time-min 5 --cpus 2 --memory-gb 1 --sizes-only"
    got = measured_with(monkeypatch, "scene_geometry", *words.split())
    jobs = got.pop("jobs")
    assert got == {
        "dataset": "hypersim", "data": Path("d"), "split": "val", "methods": ("small",), "scenes": 9, "device": "cpu",
        "rows": None, "csv_file": Path("c"),
    }  # fmt: skip
    assert (jobs.out, jobs.workers, jobs.executor, jobs.sizes_only) == (Path("o"), 3, "slurm", True)
    assert jobs.cluster == Cluster("p", 5, 2, 1, 1)


@pytest.mark.parametrize("name", command.BENCHMARKS)
def test_every_benchmark_takes_what_it_is_given(name: str) -> None:
    benchmark = command.BENCHMARKS[name]
    module = importlib.import_module(f"showroom_ros.benchmarks.{name}")
    parameters = inspect.signature(module.run).parameters
    needed = {one.name for one in parameters.values() if one.default is inspect.Parameter.empty}
    assert needed <= set(benchmark.options) <= set(parameters)
    assert benchmark.says == ("say" in parameters)
    assert all(hasattr(module, option.default) for option in benchmark.options.values() if option.default)


def test_data_sets_are_those_of_the_benchmark() -> None:
    assert command.DATASETS == scene_geometry.DATASETS


def test_jobs_are_asked_for_as_prepare_does() -> None:
    parser = argparse.ArgumentParser()
    prepare_command.add_recipe_arguments(parser, RECIPES[0])
    theirs = {flag: action for action in parser._actions for flag in action.option_strings}
    ours = command.BENCHMARKS["scene_geometry"].options["jobs"].flags
    for flag, about in ours.items():
        action = theirs[flag]
        assert (about.get("type"), about.get("choices")) == (action.type, action.choices), flag
        assert (about.get("action") == "store_true") == isinstance(action, argparse._StoreTrueAction), flag
    jobs = command.BENCHMARKS["scene_geometry"].options["jobs"].value(parsed("scene_geometry", "--out", "o"), None)
    for name in ("workers", "executor", "sizes_only"):
        assert getattr(jobs, name) == getattr(Jobs(Path("o")), name) == parser.get_default(name)


REFUSED = [
    (("fusion", "--views", "5"), "'--views' means nothing for fusion, expected --data, --json"),
    (("rooms", "--methods", "small"), "'--methods' means nothing for rooms, expected --device, --json"),
    (("depth_holes", "--scenes", "1"), "'--scenes' means nothing for depth_holes, expected --data, --methods"),
    (("posed_rgb", "--csv", "x"), "'--csv' means nothing for posed_rgb"),
    (("rooms", "redkitchen"), "'redkitchen' means nothing for rooms"),
    (("paint",), "argument NAME: invalid choice: 'paint' (choose from"),
    ((), "the following arguments are required: NAME"),
    (("completion", "--scenes", "0"), "argument --scenes: '0', expected a whole number of at least 1"),
    (("multi_view", "--views", "5", "ten"), "argument --views: 'ten', expected a whole number of at least 1"),
    (("scene_geometry", "--dataset", "nyu"), "argument --dataset: invalid choice: 'nyu'"),
    (("scene_geometry", "--executor", "cloud"), "argument --executor: invalid choice: 'cloud'"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_wrong_usage(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["benchmark", *words])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--workers", "2"), "--workers means nothing without --out FOLDER"),
        (("--sizes-only",), "--sizes-only means nothing without --out FOLDER"),
        (("--out", "o", "--cpus", "0"), "cpus is 0, expected at least 1"),
        (("--rows", "a.csv", "--data", "b"), "--rows computes nothing, expected none of --dataset, --data"),
        (("--dataset", "hypersim"), "dataset hypersim needs a folder or recording: --data PATH"),
        (("--data", "a", "--dataset", "synthetic"), "synthetic takes no --data"),
    ],
)
def test_options_that_do_not_go_together(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", "scene_geometry", *words]) == 1
    assert message in capsys.readouterr().err
