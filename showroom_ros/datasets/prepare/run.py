"""Runs a preparation: finds the items, has them made, combines, sums up."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from showroom_ros.datasets.open import SCHEMES
from showroom_ros.datasets.prepare.claim import claimed, remove_leftovers
from showroom_ros.datasets.prepare.item import DONE, FAILED, SKIPPED, Job, Outcome, make_items
from showroom_ros.datasets.prepare.manifest import forget_listings
from showroom_ros.datasets.prepare.output import write_bytes
from showroom_ros.datasets.prepare.recipe import Item, Recipe
from showroom_ros.datasets.prepare.submit import Cluster, make_in_jobs
from showroom_ros.datasets.prepare.workers import make_in_processes
from showroom_ros.errors import DatasetError, OutputError, SettingsError, ShowroomError

EXECUTORS = ("local", "slurm", "processes")
"""Who makes the items: jobs of submitit on this machine or a SLURM cluster, or processes of our own."""

COMBINED = "(combined files)"
"""Key of the outcome that stands for ``Recipe.combine`` when it failed."""


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        recipe: its name.
        out: output folder.
        outcomes: of all items, in their order.
        combined: names of the files made from all finished items.
    """

    recipe: str
    out: Path
    outcomes: tuple[Outcome, ...]
    combined: tuple[str, ...] = ()

    def of_state(self, state: str) -> list[Outcome]:
        """The outcomes that are ``done``, ``skipped`` or ``failed``."""
        return [outcome for outcome in self.outcomes if outcome.state == state]

    @property
    def is_complete(self) -> bool:
        """Whether every item is there, although frames may have been left out."""
        return not self.of_state(FAILED)

    @property
    def left_out(self) -> int:
        """Frames and the like that were left out of finished items."""
        return sum(len(outcome.skipped) for outcome in self.outcomes)


def prepare(
    recipe: Recipe,
    root: str | Path,
    out: str | Path,
    settings: Any = None,
    *,
    split: str | None = None,
    workers: int = 1,
    executor: str = "local",
    cluster: Cluster | None = None,
    sizes_only: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Prepares a data set below ``out``, one folder per item.

    An item whose folder has a manifest of the same recipe, settings and source and whose files verify is skipped;
    everything else is made anew. The bytes in ``out`` do not depend on how often the run was killed and started
    again, on the number of workers or on the executor; several runs may share an output folder and the work.

    Args:
        recipe: what is made.
        root: of the data set.
        out: output folder; made if needed.
        settings: of the recipe; None = its defaults.
        split: of the data set; None = all.
        workers: items made at the same time.
        executor: one of ``EXECUTORS``.
        cluster: what jobs ask of the cluster.
        sizes_only: verify finished items by the sizes of their files, not by their content.
        progress: called with (items finished, items).

    Raises:
        DatasetError: no such root or split, or nothing in it.
        OutputError: ``out`` cannot be written, or lies in what is prepared.
        SettingsError: unknown executor, fewer than one worker, or settings the recipe cannot work with.
        MissingDependencyError: the executor needs submitit.
    """
    if executor not in EXECUTORS:
        raise SettingsError(f"executor is '{executor}', expected one of {', '.join(EXECUTORS)}")
    if workers < 1:
        raise SettingsError(f"workers is {workers}, expected at least 1")
    root, out = _absolute(Path(root)), Path(out).absolute()
    items = _items(recipe, root, out, split)
    job = Job(recipe, root, out, recipe.settings() if settings is None else settings, sizes_only)
    recipe.check(job.settings)
    _check_writable(out)
    forget_listings()
    outcomes: dict[str, Outcome] = {}

    def report(outcome: Outcome) -> None:
        outcomes[outcome.key] = outcome
        if progress is not None:
            progress(len(outcomes), len(items))

    try:
        if executor != "processes":
            make_in_jobs(job, items, executor, workers, cluster or Cluster(), report)
        elif workers > 1:
            make_in_processes(job, items, workers, report)
        else:
            make_items(job, items, report)
    finally:
        remove_leftovers(out)
    return _combined(job, items, outcomes)


def _absolute(root: Path) -> Path:
    """The root as an absolute path; ``scheme:rest`` stays as it is."""
    if root.exists():
        return root.absolute()
    if str(root).partition(":")[0] in SCHEMES:
        return root
    raise DatasetError(f"{root}: no such file or folder, expected the root of a data set")


def _items(recipe: Recipe, root: Path, out: Path, split: str | None) -> list[Item]:
    items = recipe.find(root, split)
    if not items:
        raise DatasetError(f"{root}: nothing to prepare for {recipe.name}" + (f" in split '{split}'" if split else ""))
    keys = Counter(item.key for item in items)
    twice = sorted(key for key, count in keys.items() if count > 1)
    if twice:
        raise DatasetError(f"{root}: {len(twice)} names occur more than once, the first is '{twice[0]}'")
    inside_root = out.resolve().is_relative_to(root.resolve())
    for item in items:
        parts = PurePosixPath(item.key).parts
        if not parts or parts[0] == "/" or any(part.startswith(".") for part in parts):
            raise DatasetError(f"{root}: '{item.key}' cannot be the name of an output folder")
        within = [str(parent) for parent in PurePosixPath(item.key).parents if str(parent) in keys]
        if within:
            raise DatasetError(f"{root}: the output of '{item.key}' would lie inside that of '{within[0]}'")
        if inside_root and item.source.is_dir() and out.resolve().is_relative_to(item.source.resolve()):
            raise OutputError(f"{out}: lies inside {item.source}, which is prepared; expected another output folder")
    return items


def _check_writable(out: Path) -> None:
    """Raises ``OutputError`` unless the folder can be written; removes what dead runs left in it."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: cannot be written: it is a file, expected a folder")
    with claimed(out, f"a run of process {os.getpid()}"):
        remove_leftovers(out)


def _combined(job: Job, items: list[Item], outcomes: dict[str, Outcome]) -> Summary:
    """Writes the files made from all finished items, and sums up."""
    ordered = [outcomes[item.key] for item in items]
    finished = [item for item in items if outcomes[item.key].state in (DONE, SKIPPED)]
    names: list[str] = []
    try:
        for name, content in sorted(job.recipe.combine(finished, job.out, job.settings).items()):
            with claimed(job.out, f"combined {name}") as workspace:
                assert workspace is not None
                write_bytes(workspace / "file", content)
                with (workspace / "file").open("rb") as file:
                    os.fsync(file.fileno())
                (job.out / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(workspace / "file", job.out / name)
            names.append(name)
    except (ShowroomError, OSError) as error:
        ordered.append(Outcome(COMBINED, FAILED, str(error)))
    return Summary(job.recipe.name, job.out, tuple(ordered), tuple(names))
