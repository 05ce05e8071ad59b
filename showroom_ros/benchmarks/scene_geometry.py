"""``showroom benchmark scene_geometry``: depth beyond what another view saw, see ``evaluation.completion``.

Pairs are frames ``start`` and ``start + 10`` for every 50th start; of a made-up room's walk every 20th. ``mae_m_ours``
is the network of this package, ``mae_m_baseline_monocular_aligned`` the same network without the sparse depth, fitted
to it by scale and offset, the others are learning-free. ``--methods`` also takes ``MODULE:FUNCTION`` of a model of
one's own: ``FUNCTION(image uint8 [H, W, 3], depth float32 [H, W] NaN unknown, camera) -> float32 [H, W]``.

Results are means over all pairs; a table per scene lies in ``settings.scenes`` of the JSON, and as CSV where asked for.
"""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.benchmarks.posed_rgb_data import synthetic_scenes
from showroom_ros.completion.depth import make_depth_completer
from showroom_ros.datasets.open import open_sequence
from showroom_ros.errors import DatasetError, InputError, ShowroomError, WeightsError
from showroom_ros.evaluation.benchmark import BenchmarkResult, Row
from showroom_ros.evaluation.completion import bright_enough, pair_score, rendered_depth, strided_pairs
from showroom_ros.geometry.camera import Camera
from showroom_ros.scene.output_file import atomic_output
from showroom_ros.scene.view import View

DATASETS = ("synthetic", "scannet", "folder")
METHODS = ("small", "monocular_aligned", "planes", "nearest", "diffusion", "opencv_ns", "opencv_telea")
OURS = "small"
SCENES = 3
COLUMNS = ("scene", "first", "second", "method", "mae_m", "legacy_mae_m", "judged", "judged_with_truth", "covered")

_STRIDE, _SYNTHETIC_STRIDE, _STEP = 50, 20, 10
_SIZE = 320, 240

Model = Callable[[NDArray[np.uint8], NDArray[np.float32], Camera], NDArray[np.float32]]
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Scene:
    """Posed views with true depth.

    Attributes:
        name: of it.
        pairs: first and second view, with the numbers of their frames.
    """

    name: str
    pairs: Iterator[tuple[int, View, int, View]]


def run(
    dataset: str = "synthetic",
    data: Path | None = None,
    methods: Sequence[str] = METHODS,
    scenes: int = SCENES,
    device: str = "cpu",
    *,
    csv_file: Path | None = None,
    say: Say = lambda _: None,
) -> BenchmarkResult:
    """Judges every method on the same pairs.

    Args:
        dataset: of ``DATASETS``; ``scannet`` leaves out dark pixels, as published.
        data: a recording with colour, depth and poses, or a folder of such; not for ``synthetic``.
        methods: names of ``make_depth_completer``, or ``MODULE:FUNCTION``.
        scenes: made-up rooms, or recordings of a folder, at most.
        device: where networks live.
        csv_file: a row per pair and method goes there.
        say: told what is done next.

    Raises:
        InputError: an unknown data set or method, or nothing to judge on.
        ShowroomError: a recording cannot be used.
    """
    if dataset not in DATASETS:
        raise InputError(f"dataset is '{dataset}', expected one of {', '.join(DATASETS)}")
    if dataset != "synthetic" and data is None:
        raise InputError(f"dataset {dataset} needs a folder or recording: --data PATH")
    made, missing = models_of(methods, device)
    rows: list[dict[str, Any]] = []
    for scene in _synthetic(scenes, device) if data is None else _recorded(data, scenes):
        say(scene.name)
        for first, one, second, other in scene.pairs:
            rows += _judged(scene.name, (first, one), (second, other), made, dark_is_judged=dataset != "scannet")
    if not rows:
        raise InputError(f"{data or dataset}: no pair of frames with depth and poses")
    if csv_file is not None:
        write_rows(csv_file, rows)
    pairs = len({(row["scene"], row["first"]) for row in rows})
    about = {"dataset": dataset, "data": str(data or ""), "pairs": pairs, "missing": missing, "scenes": by_scene(rows)}
    return BenchmarkResult("scene_geometry", about, _table(rows, list(made)))


def models_of(methods: Sequence[str], device: str) -> tuple[dict[str, Model], dict[str, str]]:
    """What completes depth, by name, and why others cannot.

    Raises:
        InputError: an unknown name, or none that can be run.
    """
    made: dict[str, Model] = {}
    missing = {}
    for name in methods:
        module, separator, function = name.partition(":")
        if separator and "." in module:
            try:
                made[function] = getattr(importlib.import_module(module), function)
            except (ImportError, AttributeError) as error:
                raise InputError(f"--methods {name}: cannot be imported: {error}") from error
            continue
        try:
            made[name] = make_depth_completer(name, device=device).complete
        except WeightsError as error:
            missing[name] = str(error)
    if not made:
        raise InputError(f"no method can be run: {'; '.join(missing.values())}")
    return made, missing


def _synthetic(scenes: int, device: str) -> Iterator[Scene]:
    from showroom_ros.datasets.synthetic.sequence import SyntheticSequence
    from showroom_ros.datasets.synthetic.splits import seed_of, settings_of
    from showroom_ros.geometry.camera import assumed_camera

    for number in synthetic_scenes(scenes):
        seed = seed_of("test", number)
        sequence = SyntheticSequence(
            seed, settings=settings_of(seed), registered=True, noisy=False, device=device, width=_SIZE[0],
            height=_SIZE[1], color_camera=assumed_camera(*_SIZE, 70.0),
        )  # fmt: skip
        yield Scene(f"synthetic:test/{number}", _pairs_of(sequence, _SYNTHETIC_STRIDE))


def _recorded(data: Path, scenes: int) -> Iterator[Scene]:
    try:
        sequences = [open_sequence(data)]
    except DatasetError:
        if not data.is_dir():
            raise
        sequences = [open_sequence(path) for path in sorted(data.iterdir()) if path.is_dir()][:scenes]
    for sequence in sequences:
        yield Scene(sequence.name, _pairs_of(sequence, _STRIDE))


def _pairs_of(sequence: Any, stride: int) -> Iterator[tuple[int, View, int, View]]:
    """Pairs both of whose frames have depth and a pose."""
    for first, second in strided_pairs(len(sequence), stride, _STEP):
        try:
            views = sequence[first], sequence[second]
        except ShowroomError:
            continue
        if all(view.depth is not None and view.T_world_camera is not None for view in views):
            yield first, views[0], second, views[1]


def _judged(
    scene: str, one: tuple[int, View], other: tuple[int, View], made: dict[str, Model], *, dark_is_judged: bool
) -> list[dict[str, Any]]:
    (first, source), (second, target) = one, other
    rendered = rendered_depth(
        source.require_depth(), source.camera, source.require_pose(), target.camera, target.require_pose()
    )
    if not np.isfinite(rendered.sparse).any():
        return []
    rows = []
    for name, model in made.items():
        predicted = np.asarray(model(target.image, rendered.sparse.copy(), target.camera), np.float32)
        may_judge = None if dark_is_judged else bright_enough(target.image)
        score = pair_score(predicted, target.require_depth(), rendered, may_judge)
        rows.append(
            {
                "scene": scene,
                "first": first,
                "second": second,
                "method": name,
                "mae_m": score.mae_m,
                "legacy_mae_m": score.legacy_mae_m,
                "judged": score.judged,
                "judged_with_truth": score.judged_with_truth,
                "covered": score.covered_share,
            }
        )
    return rows


def _table(rows: list[dict[str, Any]], methods: list[str]) -> list[Row]:
    table = []
    ours = _mean(rows, OURS, "mae_m") if OURS in methods else None
    for name in methods:
        label = "ours" if name == OURS else f"baseline_{name}"
        for kind, key in (("mae_m", "mae_m"), ("mae_m_legacy", "legacy_mae_m")):
            value = _mean(rows, name, key)
            if value is not None:
                ratio = None if ours is None or name == OURS or key != "mae_m" else ours / value
                table.append(Row(f"{kind}_{label}", value, "m", reference=ours if ratio else None, ratio=ratio))
    return table


def _mean(rows: list[dict[str, Any]], method: str, key: str) -> float | None:
    values = [row[key] for row in rows if row["method"] == method and np.isfinite(row[key])]
    return float(np.mean(values)) if values else None


def by_scene(rows: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Mean absolute error by scene and method, metres."""
    names = list(dict.fromkeys(row["scene"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    return {
        name: {method: _mean([row for row in rows if row["scene"] == name], method, "mae_m") for method in methods}
        for name in names
    }


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """A CSV with ``COLUMNS``, atomically.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    with atomic_output(path) as file:
        file.write(text.getvalue().encode())
