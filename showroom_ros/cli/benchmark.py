"""``showroom benchmark NAME``: measures against a peer and writes one form of JSON."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

BENCHMARKS = {
    "fusion": "TSDF integration and incremental meshing beside Open3D's VoxelBlockGrid",
    "stream": "input rate held, publishing, idle load of the node graph",
    "rooms": "making and rendering made-up rooms beside Open3D's ray casting",
}

_WITHOUT_DATA = ("rooms",)
"""Benchmarks that make what they measure on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom benchmark``."""
    parser.add_argument("name", choices=BENCHMARKS, help="; ".join(f"{k}: {v}" for k, v in BENCHMARKS.items()))
    parser.add_argument(
        "--data", default="synthetic:7", help="bag, data set folder or synthetic:SEED (fusion and stream)"
    )
    parser.add_argument("--device", default="cpu", help="torch device (rooms)")
    parser.add_argument("--json", type=Path, help="also write the table as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Measures, prints the table, writes the JSON."""
    from showroom_ros.datasets.open import open_sequence
    from showroom_ros.evaluation.benchmark import format_table, write_benchmark

    benchmark = importlib.import_module(f"showroom_ros.benchmarks.{arguments.name}")
    if arguments.name in _WITHOUT_DATA:
        result = benchmark.run(arguments.device)
    else:
        result = benchmark.run(open_sequence(arguments.data))
    print(format_table(result.rows))
    if arguments.json:
        write_benchmark(arguments.json, result.benchmark, result.settings, result.rows)
