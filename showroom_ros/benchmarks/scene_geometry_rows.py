"""What ``showroom benchmark scene_geometry`` measures: a row per pair and method, as CSV and as a table of means."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.benchmarks.scene_geometry_pair import Pair
from showroom_ros.benchmarks.scene_geometry_scenes import scene_pairs
from showroom_ros.completion.depth import make_depth_completer
from showroom_ros.completion.edges import continued_depth
from showroom_ros.datasets.files import read_csv
from showroom_ros.datasets.prepare.recipe import Item
from showroom_ros.errors import DatasetError, InputError, WeightsError
from showroom_ros.evaluation.benchmark import Row
from showroom_ros.evaluation.completion import bright_enough, pair_score
from showroom_ros.geometry.camera import Camera

OURS = "small"
COLUMNS: Mapping[str, type] = {
    "scene": str,
    "first": int,
    "second": int,
    "method": str,
    "mae_m": float,
    "legacy_mae_m": float,
    "judged": int,
    "judged_with_truth": int,
    "covered": float,
}
"""Of the CSV."""

Model = Callable[[NDArray[np.uint8], NDArray[np.float32], Camera], NDArray[np.float32]]


def models_of(methods: Sequence[str], device: str) -> tuple[dict[str, Model], dict[str, str]]:
    """What completes depth, by name, and why others cannot; ours is joined to what is known, as in the nodes.

    Raises:
        InputError: a function that cannot be imported, or no method can be run.
        SettingsError: an unknown name, or a device that is not there.
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
            completer = make_depth_completer(name, device=device)
        except WeightsError as error:
            missing[name] = str(error)
            continue
        made[name] = partial(continued_depth, completer) if name == OURS else completer.complete
    if not made:
        raise InputError(f"no method can be run: {'; '.join(missing.values())}")
    return made, missing


def scene_rows(
    dataset: str, item: Item, made: Mapping[str, Model], device: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Judges every method on the pairs of one scene.

    Args:
        dataset: of ``DATASETS``; ``scannet`` leaves out dark pixels, as published.
        item: the scene.
        made: methods by name.
        device: where made-up rooms are rendered.

    Returns:
        Rows with ``COLUMNS``, and what was left out and why, one line each.

    Raises:
        ShowroomError: the scene cannot be used.
    """
    left_out: list[str] = []
    rows: list[dict[str, Any]] = []
    for pair in scene_pairs(dataset, item, device, left_out):
        rows += _judged(item.key, pair, made, dark_is_judged=dataset != "scannet")
    if not rows:
        left_out.append("no pair of frames was found")
    return rows, left_out


def _judged(scene: str, pair: Pair, made: Mapping[str, Model], *, dark_is_judged: bool) -> list[dict[str, Any]]:
    rows = []
    for name, model in made.items():
        row: dict[str, Any] = {"scene": scene, "first": pair.first, "second": pair.second, "method": name}
        if pair.image is None:  # as published
            judged = int((~pair.rendered.covered).sum())
            share = float(pair.rendered.covered.mean())
            rows.append({**row, **_figures(float("nan"), 0.0, judged, 0, share)})
            continue
        predicted = np.asarray(model(pair.image, pair.rendered.sparse.copy(), pair.camera), np.float32)
        may_judge = None if dark_is_judged else bright_enough(pair.image)
        score = pair_score(predicted, pair.depth, pair.rendered, may_judge)
        figures = score.mae_m, score.legacy_mae_m, score.judged, score.judged_with_truth, score.covered_share
        rows.append({**row, **_figures(*figures)})
    return rows


def _figures(mae_m: float, legacy_mae_m: float, judged: int, with_truth: int, covered: float) -> dict[str, Any]:
    return dict(zip(list(COLUMNS)[4:], (mae_m, legacy_mae_m, judged, with_truth, covered), strict=True))


def table_of(rows: Sequence[Mapping[str, Any]], methods: Iterable[str]) -> list[Row]:
    """Means over all pairs, by method: ``mae_m_...`` and, as published, ``mae_m_legacy_...``."""
    table = []
    ours = _mean(rows, OURS, "mae_m")
    for name in methods:
        label = "ours" if name == OURS else f"baseline_{name}"
        for kind, key in (("mae_m", "mae_m"), ("mae_m_legacy", "legacy_mae_m")):
            value = _mean(rows, name, key)
            if value is not None:
                ratio = None if ours is None or name == OURS or key != "mae_m" else ours / value
                table.append(Row(f"{kind}_{label}", value, "m", reference=ours if ratio else None, ratio=ratio))
    return table


def _mean(rows: Sequence[Mapping[str, Any]], method: str, key: str) -> float | None:
    values = [row[key] for row in rows if row["method"] == method and np.isfinite(row[key])]
    return float(np.mean(values)) if values else None


def by_scene(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Mean absolute error by scene and method, metres."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    scenes: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        scenes.setdefault(row["scene"], []).append(row)
    return {name: {method: _mean(of_it, method, "mae_m") for method in methods} for name, of_it in scenes.items()}


def rows_csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A CSV with ``COLUMNS``; floats are written so that ``read_rows`` gives the same ones back."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def read_rows(*paths: Path) -> list[dict[str, Any]]:
    """The rows of CSVs made by ``rows_csv``, one after the other.

    Raises:
        DatasetError: a file is missing, empty or lacks a column, a value is no number, or a pair was judged by a
            method twice; names the file and the line.
    """
    rows: list[dict[str, Any]] = []
    seen: dict[tuple[Any, ...], Path] = {}
    for path in paths:
        for line, texts in enumerate(read_csv(path, tuple(COLUMNS)), 2):
            try:
                row = {name: kind(texts[name]) for name, kind in COLUMNS.items()}
            except ValueError as error:
                raise DatasetError(f"{path}, line {line}: {error}, expected a number") from error
            key = tuple(row[name] for name in ("scene", "first", "second", "method"))
            if key in seen:
                raise DatasetError(f"{path}, line {line}: {key} is there already, from {seen[key]}; expected once")
            seen[key] = path
            rows.append(row)
    return rows
