"""``showroom benchmark scene_geometry`` by jobs: those of ``datasets.prepare``, one item per scene.

Each scene has a folder below the output folder with its ``rows.csv``, visible once it is whole, and the rows of all in
``rows.csv`` beside them. Finished scenes are not computed again unless the data set, its files, the methods, the device
or the weights are others; a function of one's own is known by its name alone, so another one needs another folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from showroom_ros.benchmarks.scene_geometry_rows import Model, models_of, read_rows, rows_csv, scene_rows
from showroom_ros.benchmarks.scene_geometry_scenes import scene_items
from showroom_ros.datasets.prepare.manifest import identity
from showroom_ros.datasets.prepare.output import write_bytes
from showroom_ros.datasets.prepare.recipe import Item, Recipe
from showroom_ros.datasets.prepare.run import prepare
from showroom_ros.datasets.prepare.submit import Cluster
from showroom_ros.errors import InputError
from showroom_ros.networks.manifest import sha256_of, shipped_weights

ROWS = "rows.csv"


@dataclass(frozen=True)
class Jobs:
    """How scenes are shared out; see ``datasets.prepare.run.prepare``.

    Attributes:
        out: output folder; finished scenes in it are not computed again.
        workers: scenes at the same time.
        executor: of ``EXECUTORS``.
        cluster: what every job asks of SLURM; one scene per job unless it says otherwise.
        sizes_only: verify finished scenes by file sizes.
        progress: called with (done, total).
    """

    out: Path
    workers: int = 1
    executor: str = "local"
    cluster: Cluster = field(default_factory=lambda: Cluster(items_per_job=1))
    sizes_only: bool = False
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class SceneSettings:
    """What decides the rows of a scene.

    Attributes:
        dataset: of ``DATASETS``.
        methods: as ``models_of`` takes them.
        weights: per method, what tells its weights from others; "" where it has none.
        device: where networks live.
    """

    dataset: str
    methods: tuple[str, ...]
    weights: tuple[str, ...]
    device: str


@dataclass(frozen=True)
class SharedOut:
    """What came of all scenes.

    Attributes:
        rows: of the finished ones, in the order of the scenes.
        left_out: of the finished ones, by scene.
        failed: why the others failed, by scene.
    """

    rows: list[dict[str, Any]]
    left_out: dict[str, list[str]]
    failed: dict[str, str]


def rows_by_jobs(
    dataset: str,
    root: Path,
    methods: Sequence[str],
    device: str,
    jobs: Jobs,
    *,
    split: str | None = None,
    scenes: int | None = None,
) -> SharedOut:
    """Judges every method on all scenes, by jobs.

    Args:
        dataset: of ``DATASETS``.
        root: as ``scene_items`` takes it.
        methods: such as can be run.
        device: where networks live.
        jobs: how.
        split: only this split of the data set.
        scenes: so many at most.

    Raises:
        InputError: no scene has a pair; names the first that failed.
        ShowroomError: what ``prepare`` raises.
    """
    settings = SceneSettings(dataset, tuple(methods), tuple(_weights(name) for name in methods), device)
    recipe = Recipe(
        name="scene_geometry",
        title="depth beyond what another view saw, judged",
        find=partial(_find, dataset, scenes),
        prepare=_prepare,
        settings=SceneSettings,
        combine=_combine,
    )
    summary = prepare(
        recipe, root, jobs.out, settings, split=split, workers=jobs.workers, executor=jobs.executor,
        cluster=jobs.cluster, sizes_only=jobs.sizes_only, progress=jobs.progress,
    )  # fmt: skip
    failed = {outcome.key: outcome.reason for outcome in summary.of_state("failed")}
    left_out = {outcome.key: list(outcome.skipped) for outcome in summary.outcomes if outcome.skipped}
    if ROWS not in summary.combined:
        reasons = [f"{key}: {reason}" for key, reason in failed.items()]
        reasons += [f"{key}: {line}" for key, lines in left_out.items() for line in lines]
        raise InputError(f"{root}: no scene could be judged; first: {reasons[0]}")
    return SharedOut(read_rows(summary.out / ROWS), left_out, failed)


def _find(dataset: str, scenes: int | None, root: Path, split: str | None) -> list[Item]:
    return scene_items(dataset, root, split, scenes)


def _prepare(item: Item, out: Path, settings: SceneSettings) -> list[str]:
    made = _models(settings.methods, settings.device)
    rows, left_out = scene_rows(settings.dataset, item, made, settings.device)
    write_bytes(out / ROWS, rows_csv(rows))
    return left_out


def _combine(items: list[Item], out: Path, settings: SceneSettings) -> dict[str, bytes]:
    """The rows of all scenes; nothing where there are none."""
    del settings
    header, lines = rows_csv([]), b""
    for item in items:
        lines += (out / item.key / ROWS).read_bytes().removeprefix(header)
    return {ROWS: header + lines} if lines else {}


@lru_cache(maxsize=1)
def _models(methods: tuple[str, ...], device: str) -> dict[str, Model]:
    """Loaded once for all scenes of a job."""
    made, missing = models_of(methods, device)
    if missing:
        raise InputError("; ".join(f"method {name} cannot be run: {reason}" for name, reason in missing.items()))
    return made


def _weights(method: str) -> str:
    kind, _, path = method.partition(":")
    if method in ("small", "monocular_aligned"):
        return sha256_of(shipped_weights("depth_completion"))
    return str(identity(Path(path), Path(path))["names_and_sizes_sha256"]) if kind == "transformers" else ""
