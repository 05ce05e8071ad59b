"""``showroom prepare NAME ROOT --out DIR``: from a data set as published to what training reads."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from showroom_ros.cli.common import progress_bar
from showroom_ros.datasets.prepare.item import Outcome
from showroom_ros.datasets.prepare.recipe import Recipe
from showroom_ros.datasets.prepare.recipes import RECIPES
from showroom_ros.datasets.prepare.run import EXECUTORS, Summary, prepare
from showroom_ros.datasets.prepare.submit import Cluster
from showroom_ros.settings import SettingInfo, checked_value

LEFT_OUT_CODE = 3
"""Exit code when every item is there but frames were left out."""

_SHOWN_LINES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom prepare``; each recipe has those of its settings."""
    parser.epilog = "exit codes: 0 all items are there, 1 items failed, 2 wrong usage, 3 frames were left out"
    parser.add_argument("--list", action="store_true", help="what can be prepared")
    names = parser.add_subparsers(dest="recipe", metavar="NAME")
    for recipe in RECIPES:
        add_recipe_arguments(names.add_parser(recipe.name, help=recipe.title, description=recipe.title), recipe)


def add_recipe_arguments(parser: argparse.ArgumentParser, recipe: Recipe) -> None:
    """Arguments of one recipe."""
    parser.add_argument("root", type=Path, metavar="ROOT", help="root folder of the data set")
    parser.add_argument("--out", type=Path, required=True, help="output folder; finished items in it are skipped")
    parser.add_argument("--split", help="only this split of the data set")
    parser.add_argument("--workers", type=int, default=1, help="items made at the same time")
    parser.add_argument(
        "--executor",
        choices=EXECUTORS,
        default="local",
        help="local, slurm: jobs of submitit; processes: needs no submitit",
    )
    parser.add_argument("--sizes-only", action="store_true", help="verify finished items by file sizes, not contents")
    parser.add_argument("--allow-left-out", action="store_true", help="exit with 0 although frames were left out")
    cluster = parser.add_argument_group("cluster", "what every job asks of SLURM")
    cluster.add_argument("--partition", default="")
    cluster.add_argument("--time-min", type=int, default=Cluster.time_min, help="limit of a job in minutes")
    cluster.add_argument("--cpus", type=int, default=Cluster.cpus, help="cores of a job")
    cluster.add_argument("--memory-gb", type=int, default=Cluster.memory_gb, help="0 = the cluster's default")
    cluster.add_argument("--items-per-job", type=int, default=Cluster.items_per_job, help="0 = one job per worker")
    options = parser.add_argument_group(f"settings of {recipe.name}")
    for info in recipe_settings(recipe):
        text = f"{info.doc} (default {info.default})".replace("%", "%%")
        flag, name = f"--{info.name.replace('_', '-')}", f"setting_{info.name}"
        if info.type is bool:
            options.add_argument(flag, dest=name, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            metavar = None if info.choices else info.name.upper()
            options.add_argument(flag, dest=name, type=info.type, choices=info.choices, metavar=metavar, help=text)


def recipe_settings(recipe: Recipe) -> list[SettingInfo]:
    """The settings of a recipe; a field made without ``setting`` has neither text nor range."""
    hints, infos = typing.get_type_hints(recipe.settings), []
    for item in dataclasses.fields(recipe.settings):
        described = {key: item.metadata.get(key) for key in ("minimum", "maximum", "choices")}
        doc = item.metadata.get("doc", item.name.replace("_", " "))
        infos.append(SettingInfo(item.name, hints[item.name], item.default, doc, live=False, **described))
    return infos


def settings_of(recipe: Recipe, arguments: argparse.Namespace) -> Any:
    """The recipe's settings with what the command line gave.

    Raises:
        SettingsError: a value out of range.
    """
    given = {}
    for info in recipe_settings(recipe):
        value = getattr(arguments, f"setting_{info.name}")
        if value is not None:
            given[info.name] = checked_value(info, value, f"showroom prepare {recipe.name}")
    return recipe.settings(**given)


def run(arguments: argparse.Namespace, recipes: Sequence[Recipe] = RECIPES) -> int:
    """Prepares; 0 all there, 1 items failed, 2 wrong usage, 3 frames were left out."""
    if arguments.list or arguments.recipe is None:
        for recipe in recipes:
            print(f"{recipe.name:14}{recipe.title}")
        return 0 if arguments.list else 2
    recipe = next(one for one in recipes if one.name == arguments.recipe)
    summary = prepare(
        recipe,
        arguments.root,
        arguments.out,
        settings_of(recipe, arguments),
        split=arguments.split,
        workers=arguments.workers,
        executor=arguments.executor,
        cluster=Cluster(
            arguments.partition, arguments.time_min, arguments.cpus, arguments.memory_gb, arguments.items_per_job
        ),
        sizes_only=arguments.sizes_only,
        progress=progress_bar(f"preparing {recipe.name}", "item"),
    )
    print(table(summary))
    if not summary.is_complete:
        return 1
    return LEFT_OUT_CODE if summary.left_out and not arguments.allow_left_out else 0


def table(summary: Summary) -> str:
    """What became of the items: those with something to tell one by one, the others counted."""
    counts = ", ".join(f"{len(summary.of_state(state))} {state}" for state in ("done", "skipped", "failed"))
    lines = [f"{summary.out}: {len(summary.outcomes)} items of {summary.recipe}: {counts}"]
    lines[0] += f"; {summary.left_out} parts left out" if summary.left_out else ""
    lines += [f"  written: {summary.out / name}" for name in summary.combined]
    width = max((len(outcome.key) for outcome in summary.outcomes), default=0)
    for outcome in summary.outcomes:
        lines += [f"  {outcome.key:{width}}  {outcome.state:7}  {text}" for text in _texts(outcome)]
    return "\n".join(lines)


def _texts(outcome: Outcome) -> list[str]:
    shown = [f"left out: {line}" for line in outcome.skipped[:_SHOWN_LINES]]
    more = len(outcome.skipped) - len(shown)
    shown += [f"left out: {more} more, listed in its manifest"] if more else []
    return [*([outcome.reason] if outcome.reason else []), *shown]
