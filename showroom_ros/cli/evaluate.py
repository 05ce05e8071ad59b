"""``showroom evaluate RESULTS...``: meshes and trajectories against the truth, by a protocol that is named."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from showroom_ros.cli.results import Job
    from showroom_ros.cli.scene_evaluation import HowToJudge
    from showroom_ros.evaluation.pictures import Picture

_PROTOCOLS = ("A", "A-NeuralRecon", "B", "C", "D", "showroom")
_PICTURED_SCENES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom evaluate``."""
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULTS",
        help="folder written by 'showroom reconstruct', mesh file, or (with --root) a folder with one per scene",
    )  # fmt: skip
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--sequence", action="append", metavar="S",
        help="recording the results are of: bag, data set folder or synthetic:SEED; once, or once per result",
    )  # fmt: skip
    source.add_argument("--root", type=Path, help="root folder of a data set: every scene of --split is judged")
    parser.add_argument("--split", help="of the data set below --root; default: all scenes")
    parser.add_argument("--dataset", help="kind of the data set below --root; default: told from its files")
    parser.add_argument("--protocol", choices=_PROTOCOLS, default="showroom", help="default: showroom")
    parser.add_argument("--truth", metavar="FILE", help="true mesh instead of the recording's own; {scene} in it")
    parser.add_argument(
        "--occlusion", metavar="FILE.npy",
        help="official occlusion mask of protocol C, world2grid.txt beside it; {scene} in it; default: from depth",
    )  # fmt: skip
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every N-th frame; protocols use all")
    parser.add_argument("--samples", type=int, default=200_000, help="points on a surface; protocols use 200000")
    parser.add_argument("--seed", type=int, default=0, help="of the points on a surface")
    parser.add_argument("--repeats", type=int, default=1, help="sample so often, for 'compare' to know the noise")
    parser.add_argument(
        "--depth", choices=("auto", "sensor", "mesh", "off"), default="auto", dest="depth_truth",
        help="what rendered depth is compared with; auto: the sensor's, of synthetic rooms the mesh's",
    )  # fmt: skip
    parser.add_argument(
        "--align", choices=("se3", "sim3", "none", "off"), default="se3",
        help="of the trajectory before it is compared; off: it is not",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="write the report here")
    parser.add_argument("--html", type=Path, help="write the page here")


def run(arguments: argparse.Namespace) -> None:
    """Judges every scene, prints the table, writes the files."""
    from showroom_ros.evaluation.report import write_html, write_json
    from showroom_ros.evaluation.scene_table import text_table

    how, jobs = how_to_judge(arguments), find_jobs(arguments)
    report, pictures = evaluate(jobs, how, arguments)
    print(text_table(report))
    if arguments.json:
        write_json(arguments.json, report)
    if arguments.html:
        write_html(arguments.html, report, pictures, title=f"Evaluation by protocol {how.protocol.name}")


def how_to_judge(arguments: argparse.Namespace) -> HowToJudge:
    """The settings of a run.

    Raises:
        InputError: a number out of range.
    """
    from showroom_ros.cli.scene_evaluation import HowToJudge
    from showroom_ros.errors import InputError
    from showroom_ros.evaluation.protocol import protocol_named

    for name in ("every", "repeats", "samples"):
        if getattr(arguments, name) < 1:
            raise InputError(f"--{name} is {getattr(arguments, name)}, expected at least 1")
    if arguments.seed < 0:
        raise InputError(f"--seed is {arguments.seed}, expected at least 0")
    return HowToJudge(
        protocol_named(arguments.protocol),
        every=arguments.every,
        seed=arguments.seed,
        repeats=arguments.repeats,
        samples=arguments.samples,
        truth_file=arguments.truth,
        occlusion_file=arguments.occlusion,
        depth_truth=arguments.depth_truth,
        alignment=None if arguments.align == "off" else arguments.align,
    )


def find_jobs(arguments: argparse.Namespace) -> list[Job]:
    """The scenes to be judged.

    Raises:
        InputError: the results do not fit the sequences or the data set.
    """
    from showroom_ros.cli.results import jobs_of_root, jobs_of_sequences
    from showroom_ros.errors import InputError

    if arguments.sequence:
        return jobs_of_sequences(arguments.results, arguments.sequence)
    if len(arguments.results) != 1:
        raise InputError(f"{len(arguments.results)} results with --root, expected one folder with one per scene")
    return jobs_of_root(arguments.results[0], arguments.root, arguments.split, arguments.dataset)


def evaluate(jobs: list[Job], how: HowToJudge, arguments: argparse.Namespace) -> tuple[dict[str, Any], list[Picture]]:
    """The report of all scenes, and pictures of the first few."""
    from showroom_ros.cli.scene_evaluation import evaluate_scene
    from showroom_ros.evaluation.environment import environment
    from showroom_ros.evaluation.plain_values import plain
    from showroom_ros.evaluation.protocol import mean_of

    rows: list[dict[str, Any]] = []
    pictures: list[Picture] = []
    for job in jobs:
        draw = arguments.html is not None and len(rows) < _PICTURED_SCENES
        row, drawn = evaluate_scene(job, how, draw=draw)
        rows.append(row)
        pictures += drawn
    scores = [{k: v for k, v in row.items() if k not in ("repeats", "frames")} for row in rows]
    mean = mean_of(scores)
    settings = {k: v for k, v in vars(arguments).items() if k not in ("command", "json", "html", "results")}
    report = {
        "protocol": how.protocol.to_dict(),
        "data": ", ".join(arguments.sequence or [str(arguments.root)]),
        "results": [str(path) for path in arguments.results],
        "scenes": rows,
        "mean": mean,
        "summary": _summary(jobs, mean, how),
        "settings": settings,
        "environment": environment(),
    }
    return plain(report), pictures


def _summary(jobs: list[Job], mean: dict[str, Any], how: HowToJudge) -> dict[str, Any]:
    threshold = f"{how.protocol.threshold_m:g}"
    return {
        "protocol": how.protocol.name,
        "f_score": mean["f_score"][threshold],
        "precision": mean["precision"][threshold],
        "recall": mean["recall"][threshold],
        "accuracy_m": mean["accuracy_m"],
        "completeness_m": mean["completeness_m"],
        "scenes": len(jobs),
        "scenes_missing": sum(job.mesh_file is None for job in jobs),
    }
