"""``showroom benchmark NAME``: measures against a peer and writes one form of JSON."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from showroom_ros.evaluation.benchmark import BenchmarkResult

BENCHMARKS = {
    "fusion": "TSDF integration and incremental meshing beside Open3D's VoxelBlockGrid",
    "stream": "input rate held, publishing, idle load of the node graph",
    "rooms": "making and rendering made-up rooms beside Open3D's ray casting",
    "posed_rgb": "meshes from colour and poses: learning-free, plane sweep without and with hints of the map, IOAR",
    "completion": "rooms scanned in part, before and after what nobody saw was generated",
    "scene_geometry": "depth beyond what another view saw: our network, fills, aligned monocular depth",
    "depth_holes": "holes of a depth camera filled: our network beside fills without one",
    "multi_view": "poses and points of unposed photos: the pointmap network, structure from motion, the same swept",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom benchmark``."""
    parser.add_argument("name", choices=BENCHMARKS, help="; ".join(f"{k}: {v}" for k, v in BENCHMARKS.items()))
    parser.add_argument(
        "--data",
        help="fusion and stream: bag, data set folder or synthetic:SEED (default synthetic:7); posed_rgb and "
        "multi_view: recording with colour, depth and poses (default ../shared/data/redkitchen, left out where that is "
        "absent)",
    )
    parser.add_argument("--device", default="cpu", help="torch device (rooms, posed_rgb, multi_view)")
    parser.add_argument(
        "--methods",
        nargs="+",
        metavar="NAME[=FILE]",
        help="completion: small, planes, diffusion, nearest or INPAINTER+COMPLETER; "
        "posed_rgb: learning_free, plane_sweep, plane_sweep_hints, ioar, with other weights than those shipped; "
        "multi_view: student, student=FILE, classical, classical=ENGINE, swept, swept=FILE (default: all)",
    )
    parser.add_argument(
        "--scenes", type=int, metavar="N", help="posed_rgb, completion, multi_view: made-up test rooms (default 3)"
    )
    parser.add_argument("--views", type=int, nargs="+", metavar="N", help="multi_view: photos (default 5 10 20)")
    parser.add_argument(
        "--dataset",
        choices=("synthetic", "scannet", "folder"),
        default="synthetic",
        help="scene_geometry: what --data is",
    )
    parser.add_argument("--csv", type=Path, help="scene_geometry: also write a row per pair and method")
    parser.add_argument("--json", type=Path, help="also write the table as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Measures, prints the table, writes the JSON."""
    from showroom_ros.evaluation.benchmark import format_table, write_benchmark

    result = _measured(arguments)
    print(format_table(result.rows))
    for what, reason in result.settings.get("missing", {}).items():
        print(f"missing: {what}: {reason}")
    if arguments.json:
        write_benchmark(arguments.json, result.benchmark, result.settings, result.rows)


def _measured(arguments: argparse.Namespace) -> BenchmarkResult:
    from showroom_ros.datasets.open import open_sequence

    benchmark = importlib.import_module(f"showroom_ros.benchmarks.{arguments.name}")
    result: BenchmarkResult
    if arguments.name == "rooms":
        result = benchmark.run(arguments.device)
    elif arguments.name == "posed_rgb":
        result = benchmark.run(
            Path(arguments.data) if arguments.data else None,
            arguments.methods or tuple(benchmark.METHODS),
            benchmark.SCENES if arguments.scenes is None else arguments.scenes,
            arguments.device,
            say=lambda what: print(what, file=sys.stderr, flush=True),
        )
    elif arguments.name == "scene_geometry":
        result = benchmark.run(
            arguments.dataset,
            Path(arguments.data) if arguments.data else None,
            arguments.methods or benchmark.METHODS,
            benchmark.SCENES if arguments.scenes is None else arguments.scenes,
            arguments.device,
            csv_file=arguments.csv,
            say=lambda what: print(what, file=sys.stderr, flush=True),
        )
    elif arguments.name == "depth_holes":
        result = benchmark.run(
            Path(arguments.data) if arguments.data else None,
            arguments.methods or benchmark.METHODS,
            arguments.device,
            say=lambda what: print(what, file=sys.stderr, flush=True),
        )
    elif arguments.name == "completion":
        result = benchmark.run(
            arguments.methods or tuple(benchmark.METHODS),
            benchmark.SCENES if arguments.scenes is None else arguments.scenes,
            arguments.device,
            say=lambda what: print(what, file=sys.stderr, flush=True),
        )
    elif arguments.name == "multi_view":
        result = benchmark.run(
            Path(arguments.data) if arguments.data else None,
            arguments.methods or tuple(benchmark.METHODS),
            benchmark.SCENES if arguments.scenes is None else arguments.scenes,
            arguments.views or benchmark.VIEWS,
            arguments.device,
            say=lambda what: print(what, file=sys.stderr, flush=True),
        )
    else:
        result = benchmark.run(open_sequence(arguments.data or "synthetic:7"))
    return result
