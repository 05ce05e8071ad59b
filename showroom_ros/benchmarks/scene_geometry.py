"""``showroom benchmark scene_geometry``: depth beyond what another view saw, see ``evaluation.completion``.

Which frames are pairs: ``scene_geometry_scenes`` and, for Hypersim, ``scene_geometry_hypersim``. ``mae_m_ours``
is the network of this package, ``mae_m_baseline_monocular_aligned`` the same network without the sparse depth, fitted
to it by scale and offset, the others are learning-free. ``--methods`` also takes ``MODULE:FUNCTION`` of a model of
one's own: ``FUNCTION(image uint8 [H, W, 3], depth float32 [H, W] NaN unknown, camera) -> float32 [H, W]``.

Results are means over all pairs; a table per scene lies in ``settings.scenes`` of the JSON, and as CSV where asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from showroom_ros.benchmarks.scene_geometry_jobs import Jobs, SharedOut, rows_by_jobs
from showroom_ros.benchmarks.scene_geometry_rows import (
    OURS,
    Model,
    by_scene,
    models_of,
    read_rows,
    rows_csv,
    scene_rows,
    table_of,
)
from showroom_ros.benchmarks.scene_geometry_scenes import DATASETS, SCENES, SYNTHETIC_ROOT, scene_items
from showroom_ros.errors import InputError
from showroom_ros.evaluation.benchmark import BenchmarkResult
from showroom_ros.scene.output_file import atomic_output

__all__ = ["DATASETS", "METHODS", "OURS", "SCENES", "Jobs", "models_of", "run"]

METHODS = ("small", "monocular_aligned", "planes", "nearest", "diffusion", "opencv_ns", "opencv_telea")

Say = Callable[[str], None]


def run(
    dataset: str | None = None,
    data: Path | None = None,
    methods: Sequence[str] | None = None,
    scenes: int | None = None,
    device: str = "cpu",
    *,
    split: str | None = None,
    jobs: Jobs | None = None,
    rows: Sequence[Path] | None = None,
    csv_file: Path | None = None,
    say: Say = lambda _: None,
) -> BenchmarkResult:
    """Judges every method on the same pairs.

    Args:
        dataset: of ``DATASETS``; None = ``folder`` where there is ``data``, else ``synthetic``.
        data: a recording with colour, depth and poses, or a folder of such; not for ``synthetic``.
        methods: names of ``make_depth_completer``, or ``MODULE:FUNCTION``; None = ``METHODS``.
        scenes: so many at most; None = ``SCENES`` made-up rooms, or all recordings.
        device: where networks live.
        split: only this split of the data set; see ``hypersim_items`` for its default there.
        jobs: who computes; None = this process, and a scene that cannot be used ends it.
        rows: CSVs that runs have written (``csv_file``, or ``rows.csv`` of jobs): nothing is computed, no scene or
            method is chosen.
        csv_file: a row per pair and method goes there.
        say: told what is done next.

    Raises:
        InputError: an unknown data set or method, or nothing to judge on.
        ShowroomError: a recording cannot be used, or a file of ``rows`` is no such CSV or has what another has.
    """
    if rows is not None:
        if [dataset, data, methods, scenes, split, jobs] != [None] * 6:
            raise InputError(
                "--rows computes nothing, expected none of --dataset, --data, --methods, --scenes, "
                "--split, --out with it"
            )
        return _result({"rows": [str(file) for file in rows]}, read_rows(*rows), csv_file)
    methods = METHODS if methods is None else methods
    dataset = dataset or ("synthetic" if data is None else "folder")
    if dataset not in DATASETS:
        raise InputError(f"dataset is '{dataset}', expected one of {', '.join(DATASETS)}")
    if dataset == "synthetic" and (data or split) is not None:
        raise InputError("dataset synthetic takes no --data and no --split, expected another --dataset with them")
    if dataset != "synthetic" and data is None:
        raise InputError(f"dataset {dataset} needs a folder or recording: --data PATH")
    root = SYNTHETIC_ROOT if data is None else data
    made, missing = models_of(methods, "cpu" if jobs else device)  # jobs may find another machine
    if jobs is None:
        done = _in_this_process(dataset, root, made, device, split, scenes, say)
    else:
        runnable = [name for name in methods if name not in missing]
        done = rows_by_jobs(dataset, root, runnable, device, jobs, split=split, scenes=scenes)
    if not done.rows:
        lines = [f"; {key}: {line}" for key, lines in done.left_out.items() for line in lines]
        raise InputError(f"{root}: no pair of frames with depth and poses" + "".join(lines[:1]))
    about = {"dataset": dataset, "data": str(data or ""), "split": split or "", "missing": missing}
    return _result({**about, "left_out": done.left_out, "failed": done.failed}, done.rows, csv_file)


def _in_this_process(
    dataset: str, root: Path, made: dict[str, Model], device: str, split: str | None, scenes: int | None, say: Say
) -> SharedOut:
    rows: list[dict[str, Any]] = []
    left_out: dict[str, list[str]] = {}
    for item in scene_items(dataset, root, split, scenes):
        say(item.key)
        of_it, lines = scene_rows(dataset, item, made, device)
        rows += of_it
        left_out |= {item.key: lines} if lines else {}
    return SharedOut(rows, left_out, {})


def _result(about: dict[str, Any], rows: list[dict[str, Any]], csv_file: Path | None) -> BenchmarkResult:
    if csv_file is not None:
        with atomic_output(csv_file) as file:
            file.write(rows_csv(rows))
    pairs = len({(row["scene"], row["first"], row["second"]) for row in rows})
    methods = dict.fromkeys(row["method"] for row in rows)
    return BenchmarkResult(
        "scene_geometry", {**about, "pairs": pairs, "scenes": by_scene(rows)}, table_of(rows, methods)
    )
