"""``showroom reconstruct BAG|FOLDER``: the map of a recording, offline and deterministic."""

from __future__ import annotations

import argparse
from pathlib import Path

from showroom_ros.cli.common import add_settings_arguments, progress_bar, settings_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom reconstruct``."""
    parser.add_argument("source", help="bag, data set folder or synthetic:SEED")
    parser.add_argument("--out", type=Path, default=Path("outputs/reconstruct"), help="folder for mesh, cloud, trajectory, report")
    parser.add_argument("--keyframes-only", action="store_true", help="fuse what the live node would select, not every frame")
    parser.add_argument("--reference", choices=("open3d",), help="also fuse with this peer and score against its mesh")
    parser.add_argument("--json", type=Path, help="also write report.json here")
    add_settings_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Reconstructs and reports."""
    from showroom_ros.cli.offline import reconstruct, report_reconstruction
    from showroom_ros.datasets.open import open_sequence

    settings = settings_from(arguments)
    sequence = open_sequence(arguments.source)
    result = reconstruct(sequence, settings, keyframes_only=arguments.keyframes_only, progress=progress_bar("fusing"))
    report = report_reconstruction(result, sequence, settings, arguments.out, reference=arguments.reference)
    if arguments.json:
        from showroom_ros.evaluation.report import write_json

        write_json(arguments.json, report)
    for name, value in report["summary"].items():
        print(f"{name:24} {value}")
    print(f"written to {arguments.out}")
