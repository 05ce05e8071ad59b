"""``showroom compare A.json B.json``: two runs side by side, with what is beyond noise marked."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from showroom_ros.evaluation.comparison import Comparison, Difference

_SHOWN_SETTINGS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom compare``."""
    parser.add_argument("first", type=Path, metavar="A.json", help="evaluation, benchmark or report of a run")
    parser.add_argument("second", type=Path, metavar="B.json", help="another of the same kind")
    parser.add_argument("--across-protocols", action="store_true", help="warn, where protocols differ, and go on")
    parser.add_argument("--json", type=Path, help="also write the comparison here")


def run(arguments: argparse.Namespace) -> None:
    """Compares, prints, writes the JSON."""
    from showroom_ros.cli.results import read_report
    from showroom_ros.errors import InputError
    from showroom_ros.evaluation.comparison import compare_reports, kind_of
    from showroom_ros.evaluation.report import write_json

    reports = []
    for path in (arguments.first, arguments.second):
        reports.append(read_report(path))
        try:
            kind_of(reports[-1])
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    comparison = compare_reports(reports[0], reports[1], across_protocols=arguments.across_protocols)
    print(format_comparison(comparison, str(arguments.first), str(arguments.second)))
    if arguments.json:
        write_json(arguments.json, comparison.to_dict())


def format_comparison(comparison: Comparison, first: str, second: str) -> str:
    """The comparison as text: figures, then what differs around them, then warnings."""
    lines = [f"A: {first}", f"B: {second}", ""]
    width = max(len(item.name) for item in comparison.differences)
    lines.append(f"{'':{width}} {'A':>12} {'B':>12} {'B - A':>12} {'noise':>10}")
    for item in comparison.differences:
        noise = "?" if item.noise is None else f"{item.noise:.3g}"
        lines.append(
            f"{item.name:{width}} {item.first:12.5g} {item.second:12.5g} {item.difference:+12.3g} {noise:>10}"
            f"  {_mark(item)}".rstrip()
        )
    sources = ", ".join(dict.fromkeys(item.noise_from for item in comparison.differences))
    lines += ["", "* differs beyond noise (95 %), ? noise unknown. Noise from: " + sources]
    if comparison.settings:
        lines += ["", "Not the same around them:"]
        lines += [f"  {name}: {a} | {b}" for name, a, b in comparison.settings[:_SHOWN_SETTINGS]]
    lines += [f"warning: {text}" for text in comparison.warnings]
    return "\n".join(lines)


def _mark(item: Difference) -> str:
    if item.beyond_noise is None:
        return "?"
    if not item.beyond_noise:
        return ""
    return "*" if item.better is None else ("* better" if item.better else "* worse")
