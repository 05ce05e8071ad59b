"""Makes one item of a preparation so that it is there whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from showroom_ros.datasets.prepare.claim import claimed
from showroom_ros.datasets.prepare.manifest import (
    MANIFEST,
    Manifest,
    damage,
    described_files,
    identity,
    read_manifest,
    write_manifest,
)
from showroom_ros.datasets.prepare.recipe import Item, Recipe
from showroom_ros.errors import DatasetError, OutputError, ShowroomError

DONE, SKIPPED, FAILED = "done", "skipped", "failed"


@dataclass(frozen=True)
class Job:
    """What is the same for all items of a run.

    Attributes:
        recipe: how they are made.
        root: of the data set.
        out: where their folders go.
        settings: of the recipe.
        sizes_only: whether finished items are verified by the sizes of their files alone.
    """

    recipe: Recipe
    root: Path
    out: Path
    settings: Any
    sizes_only: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of an item.

    Attributes:
        key: of the item.
        state: ``done``, ``skipped`` (it was there already, verified) or ``failed``.
        reason: why it failed, or why an earlier result was made anew.
        skipped: what was left out of it and why, one line each.
    """

    key: str
    state: str
    reason: str = ""
    skipped: tuple[str, ...] = ()


def make_items(job: Job, items: Iterable[Item], report: Callable[[Outcome], None]) -> None:
    """Makes items one after the other; those that another run is at come last."""
    busy = [item for item in items if not _reported(make_item(job, item, wait=False), report)]
    for item in busy:
        _reported(make_item(job, item), report)


def make_item(job: Job, item: Item, *, wait: bool = True) -> Outcome | None:
    """Makes the item unless its verified result is there; None if another run is at it and we do not wait.

    Whatever goes wrong is told in the outcome; an earlier result that is damaged or was made with other settings
    and cannot be made anew is removed.
    """
    try:
        return _claimed_and_made(job, item, wait)
    except OutputError as error:  # no workspace can be had: the disk is full or gone
        return Outcome(item.key, FAILED, str(error))


def _claimed_and_made(job: Job, item: Item, wait: bool) -> Outcome | None:
    with claimed(job.out, item.key, wait=wait) as workspace:
        if workspace is None:
            return None
        try:
            return _made(job, item, workspace)
        except ShowroomError as error:
            reason = str(error)
        except OSError as error:
            reason = f"{error.filename or job.out / item.key}: {error.strerror or error}"
        except Exception as error:  # a defect of a recipe must not take the other items of a night with it
            logging.getLogger(__name__).exception("%s: defect in recipe %s", item.key, job.recipe.name)
            last = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{item.source}: {type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
        _set_aside(job.out / item.key, workspace)
    return Outcome(item.key, FAILED, reason)


def _made(job: Job, item: Item, workspace: Path) -> Outcome:
    folder = job.out / item.key
    source = identity(item.source, job.root)
    settings = json.loads(json.dumps(asdict(job.settings)))
    wanted = Manifest(job.recipe.name, job.recipe.version, settings, source, {}, ())
    fault = _fault(folder, wanted, job.sizes_only)
    if folder.exists() and not fault:
        return Outcome(item.key, SKIPPED, skipped=read_manifest(folder).skipped)
    result = workspace / "result"
    result.mkdir()
    lines = job.recipe.prepare(item, result, job.settings)
    skipped = tuple(line.replace(f"{result}/", "").replace(f"{job.root}/", "") for line in lines)
    files = described_files(result)
    if not files:
        raise DatasetError(f"{item.source}: nothing was prepared from it" + "".join(f"; {line}" for line in skipped))
    write_manifest(result, Manifest(job.recipe.name, job.recipe.version, settings, source, files, skipped))
    _flush(result)
    _set_aside(folder, workspace)
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.rename(result, folder)
    _flush_folder(folder.parent)
    return Outcome(item.key, DONE, fault, skipped)


def _fault(folder: Path, wanted: Manifest, sizes_only: bool) -> str:
    """Why the result in ``folder`` cannot stay; "" if it can, or if there is none.

    Raises:
        OutputError: the folder is there and no preparation made it, so that it is not ours to replace.
    """
    if not folder.exists():
        return ""
    if not (folder / MANIFEST).is_file():
        raise OutputError(
            f"{folder}: is there already without {MANIFEST}, so no preparation made it; expected another --out"
        )
    try:
        manifest = read_manifest(folder)
    except DatasetError as error:
        return str(error)
    if manifest.origin != wanted.origin:
        return f"{folder}: was made by another recipe, version, settings or from another source"
    return damage(folder, manifest, sizes_only=sizes_only)


def _set_aside(folder: Path, workspace: Path) -> None:
    """Moves an earlier result, if it is one, to where it will be removed."""
    if (folder / MANIFEST).is_file():
        os.rename(folder, workspace / "earlier")


def _reported(outcome: Outcome | None, report: Callable[[Outcome], None]) -> bool:
    if outcome is not None:
        report(outcome)
    return outcome is not None


def _flush(folder: Path) -> None:
    """Makes everything below a folder survive a power cut."""
    for parent, _, files in os.walk(folder):
        for name in files:
            handle = os.open(Path(parent) / name, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        _flush_folder(Path(parent))


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
