"""The one form every benchmark of the project has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import showroom_ros
from showroom_ros.evaluation.environment import environment
from showroom_ros.evaluation.report import write_json


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        name: stable, in snake case with its unit.
        value: ours.
        unit: of value and reference.
        reference: the peer's, measured in the same run; None where there is no peer.
        ratio: value over reference; None where there is no peer.
        repeats: values of single repeats, where there are some: ``showroom compare`` tells the noise from them.
    """

    name: str
    value: float
    unit: str
    reference: float | None = None
    ratio: float | None = None
    repeats: tuple[float, ...] = ()


@dataclass(frozen=True)
class BenchmarkResult:
    """What a benchmark measured, under which settings."""

    benchmark: str
    settings: Mapping[str, Any]
    rows: Sequence[Row]


def write_benchmark(path: str | Path, benchmark: str, settings: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Writes ``{benchmark, version, hardware, settings, rows}`` as JSON, atomically.

    Rows have ``repeats`` only where they hold some.

    Raises:
        OutputError: the file cannot be written.
    """
    content = {
        "benchmark": benchmark,
        "version": showroom_ros.__version__,
        "hardware": environment(),
        "settings": settings,
        "rows": [{k: v for k, v in dataclasses.asdict(row).items() if k != "repeats" or v} for row in rows],
    }
    write_json(path, content)


def format_table(rows: Sequence[Row]) -> str:
    """The rows as text in columns."""
    width = max(26, *(len(row.name) for row in rows)) if rows else 26
    lines = [f"{'name':{width}} {'value':>12} {'unit':7} {'reference':>12} {'ratio':>8}"]
    for row in rows:
        reference = "" if row.reference is None else f"{row.reference:.4g}"
        ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
        lines.append(f"{row.name:{width}} {row.value:12.4g} {row.unit:7} {reference:>12} {ratio:>8}")
    return "\n".join(lines)
