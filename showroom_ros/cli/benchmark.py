"""``showroom benchmark NAME``: measures against a peer and writes one form of JSON."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from showroom_ros.errors import InputError

if TYPE_CHECKING:
    from showroom_ros.evaluation.benchmark import BenchmarkResult

DATASETS = ("synthetic", "scannet", "hypersim", "folder")


def _whole_number(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}', expected a whole number of at least {least}")
        return int(text)

    return number


def _as_it_is(value: Any) -> Any:
    return value


def _sequence(source: str) -> Any:
    from showroom_ros.datasets.open import open_sequence

    return open_sequence(source)


@dataclass(frozen=True)
class Option:
    """What is asked for on the command line to make one argument of a benchmark's ``run``.

    Attributes:
        flags: those of the command line, each with what ``add_argument`` takes.
        made: the argument, of the values of the flags in their order, None for those that were not given; where
            none was given the argument is None.
        default: constant of the benchmark's module that stands in for None.
    """

    flags: Mapping[str, Mapping[str, Any]]
    made: Callable[..., Any] = _as_it_is
    default: str = ""

    def value(self, arguments: argparse.Namespace, module: ModuleType) -> Any:
        """The argument of ``run``.

        Raises:
            InputError: flags that do not go together.
        """
        values = [getattr(arguments, _destination(flag)) for flag in self.flags]
        if self.default and values == [None]:
            values = [getattr(module, self.default)]
        return None if values == [None] * len(values) else self.made(*values)


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark measures and takes.

    Attributes:
        title: in one line.
        options: by the name of the argument of ``run``.
        says: whether ``run`` takes ``say`` too.
    """

    title: str
    options: Mapping[str, Option]
    says: bool = True

    @property
    def flags(self) -> dict[str, Mapping[str, Any]]:
        """All flags but ``--json``, which every benchmark takes."""
        return {flag: about for option in self.options.values() for flag, about in option.flags.items()}


def _jobs(out: Path | None, *values: Any) -> Any:
    """``Jobs`` of the flags of ``_JOBS`` in their order, None without ``--out``."""
    flags = list(_JOBS.flags)[1:]
    given = {_destination(flag): value for flag, value in zip(flags, values, strict=True) if value is not None}
    if out is None:
        if given:
            flag = next(flag for flag in flags if _destination(flag) in given)
            raise InputError(f"{flag} means nothing without --out FOLDER, expected both or neither")
        return None
    from showroom_ros.benchmarks.scene_geometry_jobs import Jobs
    from showroom_ros.cli.common import progress_bar
    from showroom_ros.datasets.prepare.submit import Cluster

    of_jobs = {name: given.pop(name) for name in ("workers", "executor", "sizes_only") if name in given}
    cluster = Cluster(**{"items_per_job": 1, **given})
    return Jobs(out, cluster=cluster, progress=progress_bar("benchmark scene_geometry", "scene"), **of_jobs)


def _option(flag: str, made: Callable[..., Any] = _as_it_is, default: str = "", **about: Any) -> Option:
    return Option({flag: about}, made, default)


def _methods(text: str, default: str = "METHODS") -> Option:
    return _option("--methods", tuple, default, nargs="+", metavar="NAME", help=f"{text} (default: all)")


def _data(text: str) -> Option:
    return _option("--data", type=Path, help=text)


def _scenes(text: str, default: str = "SCENES", least: int = 1) -> Option:
    return _option("--scenes", default=default, type=_whole_number(least), metavar="N", help=text)


_SEQUENCE = Option(
    {"--data": {"default": "synthetic:7", "help": "bag, data set folder or synthetic:SEED (default synthetic:7)"}},
    _sequence,
)
_REDKITCHEN = "recording with colour, depth and poses (default ../shared/data/redkitchen"
_RECORDING = _data(f"{_REDKITCHEN}, left out where that is absent)")
_ROOMS_TEXT = "made-up test rooms (default 3)"
_ROOMS, _ROOMS_OR_NONE = _scenes(_ROOMS_TEXT), _scenes(_ROOMS_TEXT, least=0)
_DEVICE = Option({"--device": {"default": "cpu", "help": "torch device (default cpu)"}})
_FILLS = "small, monocular_aligned, planes, nearest, diffusion, opencv_ns, opencv_telea, MODULE:FUNCTION"
_JOBS = Option(
    {
        "--out": {"type": Path, "help": "folder for a CSV per scene and one of all; finished scenes in it are skipped"},
        "--workers": {"type": int, "help": "scenes at the same time (default 1)"},
        "--executor": {
            "choices": ("local", "slurm", "processes"),
            "help": "local (default), slurm: jobs of submitit; processes: needs no submitit",
        },
        "--sizes-only": {
            "action": "store_true",
            "default": None,
            "help": "verify finished scenes by file sizes, not contents",
        },
        "--partition": {"help": "of SLURM"},
        "--time-min": {"type": int, "help": "limit of a job in minutes (default 1440)"},
        "--cpus": {"type": int, "help": "cores of a job (default 4)"},
        "--memory-gb": {"type": int, "help": "of a job (default 0, the cluster's default)"},
        "--items-per-job": {"type": int, "help": "scenes of a job (default 1); 0 = one job per worker"},
    },
    _jobs,
)

BENCHMARKS: Mapping[str, Benchmark] = {
    "fusion": Benchmark(
        "TSDF integration and incremental meshing beside Open3D's VoxelBlockGrid", {"sequence": _SEQUENCE}, says=False
    ),
    "stream": Benchmark(
        "input rate held, publishing, idle load of the node graph", {"sequence": _SEQUENCE}, says=False
    ),
    "rooms": Benchmark(
        "making and rendering made-up rooms beside Open3D's ray casting", {"device": _DEVICE}, says=False
    ),
    "posed_rgb": Benchmark(
        "meshes from colour and poses: learning-free, plane sweep without and with hints of the map, IOAR",
        {
            "recording": _RECORDING,
            "methods": _methods("learning_free, plane_sweep, plane_sweep_hints, ioar, each =FILE with other weights"),
            "scenes": _ROOMS_OR_NONE,
            "device": _DEVICE,
        },
    ),
    "completion": Benchmark(
        "rooms scanned in part, before and after what nobody saw was generated",
        {
            "methods": _methods("planes, small, diffusion, nearest or INPAINTER+COMPLETER, each also with _alone"),
            "scenes": _ROOMS,
            "device": _DEVICE,
            "data": _data("a recording with colour, depth and poses in place of made-up rooms"),
            "pictures": _option("--pictures", type=Path, help="folder for pictures of the rooms before and after"),
        },
    ),
    "inpainting": Benchmark(
        "images with holes painted: our network beside fills without one",
        {"methods": _methods("inpainters"), "scenes": _scenes("made-up test rooms"), "device": _DEVICE},
    ),
    "scene_geometry": Benchmark(
        "depth beyond what another view saw: our network, fills, aligned monocular depth",
        {
            "dataset": _option(
                "--dataset",
                choices=DATASETS,
                help="what --data is (default folder; without it synthetic: made-up rooms)",
            ),
            "data": _data("a recording with colour, depth and poses, or a folder of such"),
            "split": _option("--split", help="only this split of the data set; hypersim has 'benchmark' too"),
            "methods": _methods(_FILLS, default=""),
            "scenes": _scenes("at most (default 3 made-up rooms, or all recordings)", default=""),
            "device": _DEVICE,
            "jobs": _JOBS,
            "rows": _option("--rows", type=Path, nargs="+", metavar="CSV", help="only the table, of CSVs made before"),
            "csv_file": _option("--csv", type=Path, help="also write a row per pair and method"),
        },
    ),
    "depth_holes": Benchmark(
        "holes of a depth camera filled: our network beside fills without one",
        {"data": _data(f"{_REDKITCHEN})"), "methods": _methods(_FILLS), "device": _DEVICE},
    ),
    "multi_view": Benchmark(
        "poses and points of unposed photos: the pointmap network, structure from motion, the same swept",
        {
            "recording": _RECORDING,
            "methods": _methods("student, student=FILE, classical, classical=ENGINE, swept, swept=FILE"),
            "scenes": _ROOMS_OR_NONE,
            "views": _option(
                "--views",
                tuple,
                "VIEWS",
                type=_whole_number(1),
                nargs="+",
                metavar="N",
                help="photos (default 5 10 20)",
            ),
            "device": _DEVICE,
        },
    ),
}


class _OneBenchmark(argparse.ArgumentParser):
    """Says what it takes where it is given something else."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def, override]
        namespace, others = super().parse_known_args(args, namespace)
        if others:
            name = self.prog.split()[-1]
            takes = ", ".join([*BENCHMARKS[name].flags, "--json"])
            self.error(f"'{others[0]}' means nothing for {name}, expected {takes}")
        return namespace, others


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom benchmark``; each benchmark has its own."""
    names = parser.add_subparsers(dest="name", metavar="NAME", required=True, parser_class=_OneBenchmark)
    for name, benchmark in BENCHMARKS.items():
        one = names.add_parser(name, help=benchmark.title, description=f"{benchmark.title}.")
        for flag, about in benchmark.flags.items():
            one.add_argument(flag, **about)
        one.add_argument("--json", type=Path, help="also write the table as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measures, prints the table, writes the JSON; 1 where a scene could not be measured."""
    from showroom_ros.evaluation.benchmark import format_table, write_benchmark

    result = _measured(BENCHMARKS[arguments.name], arguments)
    print(format_table(result.rows))
    for kind in ("missing", "failed"):
        for what, reason in result.settings.get(kind, {}).items():
            print(f"{kind}: {what}: {reason}")
    for scene, lines in result.settings.get("left_out", {}).items():
        print(f"left out: {scene}: {lines[0]}" + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""))
    if arguments.json:
        write_benchmark(arguments.json, result.benchmark, result.settings, result.rows)
    return 1 if result.settings.get("failed") else 0


def _measured(benchmark: Benchmark, arguments: argparse.Namespace) -> BenchmarkResult:
    module = importlib.import_module(f"showroom_ros.benchmarks.{arguments.name}")
    given = {name: option.value(arguments, module) for name, option in benchmark.options.items()}
    if benchmark.says:
        given["say"] = lambda what: print(what, file=sys.stderr, flush=True)
    result: BenchmarkResult = module.run(**given)
    return result


def _destination(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
