"""``showroom benchmark multi_view``: poses and points of a few unposed photos, by every method, in one table.

``auc30`` is the mean average accuracy of relative poses at 30 degrees over all pairs of photos; pairs of which a photo
was not registered have failed. ``accuracy`` and ``completion`` are mean distances of pointmaps, laid on the truth by a
similarity, from the true points and back (``_median`` the medians); ``scale_error`` is how far the median of predicted
over true depth is from 1 when images alone, intrinsics too, or poses too are given (median over the sets). Of
folders of photos without truth, ``consistency`` is the share of points that agree with another photo's depth within
5 %, ``reprojection`` the mean distance of the classical points' sightings from their projections.

``ms`` is all of a method's time for a set of photos of which nothing else is given; ``ms_student_5views_cpu`` the
network's alone for 5 images of 256x192.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from showroom_ros.benchmarks.multi_view_data import (
    SPACING_S,
    JudgedPhotos,
    folders_beside,
    photo_folder,
    recorded_photos,
    synthetic_scenes,
)
from showroom_ros.benchmarks.multi_view_methods import METHODS, Method, Outcome, Student, network_ms
from showroom_ros.benchmarks.multi_view_scores import scale_ratio, scores_of
from showroom_ros.errors import InputError, MissingDependencyError, WeightsError
from showroom_ros.evaluation.benchmark import BenchmarkResult, Row
from showroom_ros.evaluation.protocol import mean_of

RECORDING = Path("../shared/data/redkitchen")
SCENES = 3
VIEWS = (5, 10, 20)

_UNITS = {
    "auc30": "score",
    "registered": "share",
    "accuracy_m": "m",
    "accuracy_median_m": "m",
    "completion_m": "m",
    "completion_median_m": "m",
    "reprojection_px": "px",
    "consistency": "share",
    "ms": "ms",
}

Say = Callable[[str], None]


def run(
    recording: Path | None = None,
    methods: Sequence[str] = tuple(METHODS),
    scenes: int = SCENES,
    views: Sequence[int] = VIEWS,
    device: str = "cpu",
    *,
    say: Say = lambda _: None,
) -> BenchmarkResult:
    """Measures all methods on made-up test rooms, on a recording, and on photos without truth beside it.

    Args:
        recording: with colour, depth and poses; None = RedKitchen where it lies beside the repository, else none.
        methods: names of ``METHODS``; ``student=FILE`` takes the weights of a file, ``classical=ENGINE`` an engine of
            ``structure_from_motion``.
        scenes: made-up rooms; 0 = none.
        views: how many photos of a room or recording, at least 2; 0 rooms and none of a recording leave the folders.
        device: where networks live and rooms are rendered.
        say: told what is done next.

    Raises:
        InputError: an unknown method, a negative number of scenes, fewer than 2 photos, nothing to run on.
        ShowroomError: a recording that was asked for cannot be used.
    """
    chosen = _chosen(methods)
    counts = sorted(set(views))
    if scenes < 0 or not counts or counts[0] < 2:
        raise InputError(f"scenes is {scenes}, views {list(views)}, expected 0 or more and numbers from 2 on")
    path = RECORDING if recording is None else recording
    left_out = {} if recording or path.is_dir() else {"recording": f"there is no {path}"}
    if left_out and not scenes:
        raise InputError(f"nothing to run on: 0 made-up rooms, {left_out['recording']}")
    made, missing = _made(chosen, device)
    missing.update(left_out)
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    described: list[dict[str, Any]] = []
    for photos in _sets(None if left_out else path, scenes, counts, device):
        for count in counts if photos.truth else [len(photos.images)]:
            if count > len(photos.images):
                missing[f"{photos.data}_{count}"] = f"{photos.name} has {len(photos.images)} such frames"
                continue
            part = photos.first(count)
            key = f"{photos.data}_{count}" if photos.truth else photos.data
            described.append({"photos": photos.name, "rows": key, "count": count, "scores": {}})
            for name, method in made.items():
                say(f"{photos.name}, {count} photos: {name}")
                scores = _measured(method, part)
                found.setdefault((key, name), []).append(scores)
                described[-1]["scores"][name] = scores
    rows = [row for (key, name), scores in found.items() for row in _rows(f"{key}_{name}", scores)]
    rows += _latency(chosen, made, missing, say)
    about = {**_about(device, counts), "sets": described, "missing": missing}
    about["methods"] = {name: method.about for name, method in made.items()}
    return BenchmarkResult("multi_view", about, sorted(rows, key=_order))


def _chosen(methods: Sequence[str]) -> dict[str, str]:
    """What stands behind "=" by the method's name."""
    chosen = {}
    for text in methods:
        name, _, value = text.partition("=")
        if name not in METHODS:
            raise InputError(f"method '{name}' is unknown, expected one of {', '.join(METHODS)}")
        chosen[name] = value
    return chosen


def _made(chosen: dict[str, str], device: str) -> tuple[dict[str, Method], dict[str, str]]:
    """The methods, and why others cannot be run."""
    made, missing = {}, {}
    for name, value in chosen.items():
        try:
            made[name] = METHODS[name](value, device)
        except (WeightsError, MissingDependencyError) as error:
            missing[name] = str(error)
    return made, missing


def _sets(path: Path | None, scenes: int, counts: list[int], device: str) -> Iterator[JudgedPhotos]:
    if scenes:
        yield from synthetic_scenes(scenes, counts[-1], device=device)
    if path is not None:
        yield recorded_photos(path, counts[-1])
        for folder in folders_beside(path):
            yield photo_folder(folder)


def _measured(method: Method, photos: JudgedPhotos) -> dict[str, Any]:
    """Scores with nothing given, and how far the scale is off with more and more given."""
    start = time.perf_counter()
    outcome = method(photos.photos())
    ms = (time.perf_counter() - start) * 1e3
    scores: dict[str, Any] = {**scores_of(photos, outcome), "ms": ms, "scale_error": {}}
    for kind in method.kinds if photos.truth else ():
        given: Outcome = outcome if kind == "free" else method(photos.photos(kind))
        ratio = scale_ratio(given, photos.truth)
        scores["scale_error"][kind] = None if ratio is None else abs(ratio - 1)
    return scores


def _rows(ending: str, found: list[dict[str, Any]]) -> list[Row]:
    """Means over the sets of one kind; of scale errors the median."""
    mean = mean_of(found)
    rows = [
        Row(f"{name.removesuffix('_m').removesuffix('_px')}_{ending}", mean[name], unit)
        for name, unit in _UNITS.items()
        if mean.get(name) is not None
    ]
    for kind in ("free", "intrinsics", "poses"):
        errors = [scores["scale_error"][kind] for scores in found if scores["scale_error"].get(kind) is not None]
        if errors:
            rows.append(Row(f"scale_error_{ending}_{kind}", median(errors), "ratio"))
    return rows


def _latency(chosen: dict[str, str], made: dict[str, Method], missing: dict[str, str], say: Say) -> list[Row]:
    """The network alone, on the CPU."""
    name = "ms_student_5views_cpu"
    if "student" not in chosen:
        return []
    if "student" not in made:
        missing[name] = missing["student"]
        return []
    say("latency of the network")
    student = METHODS["student"](chosen["student"], "cpu")
    if not isinstance(student, Student):
        return []
    times_ms = network_ms(student.network)
    return [Row(name, median(times_ms), "ms", repeats=tuple(times_ms))]


def _order(row: Row) -> int:
    """Poses first, then the network's latency, then the rest."""
    order = ("auc30_", "registered_", "accuracy_", "completion_", "scale_error_", "ms_student")
    return next((i for i, start in enumerate(order) if row.name.startswith(start)), len(order))


def _about(device: str, counts: list[int]) -> dict[str, Any]:
    import torch

    return {
        "device": device,
        "device_name": torch.cuda.get_device_name(device) if device.startswith("cuda") else "",
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "numpy": np.__version__,
        "views": counts,
        "truth": f"made-up rooms: exact; recordings: measured depth and poses, a frame every {SPACING_S:.3f} s",
    }
