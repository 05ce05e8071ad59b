"""``showroom train NETWORK --data DATA --out DIR``; needs torch and numpy alone where recipes are JSON."""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from showroom_ros.errors import MissingDependencyError, OutputError, SettingsError, ShowroomError
from showroom_ros.installation import share_file

if TYPE_CHECKING:
    from showroom_ros.training.recipe import Recipe
    from showroom_ros.training.task import TaskKind

_log = logging.getLogger(__name__)

FLAGS = ("preset", "data", "validation_data", "steps", "batch", "seed", "workers")
"""Settings of the recipe that have a flag of their own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom train``."""
    parser.epilog = (
        "several processes: torchrun --nproc-per-node N -m showroom_ros.cli.main train ... ; the recipe's batch is "
        "that of each process"
    )
    parser.add_argument(
        "network", metavar="NETWORK", help="plane_sweep, ioar, fast3r, depth_completion, inpainting, room_layout"
    )
    parser.add_argument("--preset", help="size of the network (default: small)")
    parser.add_argument("--data", help="synthetic:train, a folder of 'showroom prepare', scannet:PATH, bag:PATH, ...")
    parser.add_argument("--validation-data", help="used whole; default: what is held back of --data")
    parser.add_argument("--out", type=Path, help="folder of checkpoints, weights, metrics and pictures")
    parser.add_argument("--recipe", type=Path, help="YAML or JSON (default: config/recipes/NETWORK_PRESET.yaml)")
    for name, text in (
        ("steps", "optimizer steps"),
        ("batch", "samples of a batch"),
        ("seed", "of weights and samples"),
        ("workers", "processes that make samples"),
    ):
        parser.add_argument(f"--{name}", type=int, help=text)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="anything of the recipe, e.g. amp=bf16",
    )
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out, if there is one")
    begin.add_argument("--overwrite", action="store_true", help="begin anew although --out holds a training")
    parser.add_argument("--init", type=Path, metavar="FILE", help="begin with these weights (fine-tuning)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--max-minutes", type=float, help="end with a checkpoint after this time")
    parser.add_argument("--overfit", type=int, metavar="N", help="only check that N steps on one batch lower its loss")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--show-recipe", action="store_true", help="print the whole recipe as JSON, train nothing")


def run(arguments: argparse.Namespace, tasks: Mapping[str, str] | None = None) -> int:
    """Trains; 0 = done or stopped with a checkpoint.

    Args:
        arguments: of ``add_arguments``.
        tasks: network -> module of its task; default: those of this package.
    """
    torch = _torch()
    from showroom_ros.training.processes import Processes
    from showroom_ros.training.recipe import plain_recipe
    from showroom_ros.training.sanity import overfit
    from showroom_ros.training.tasks import TASKS, task_kind
    from showroom_ros.training.trainer import Trainer

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    kind = task_kind(arguments.network, TASKS if tasks is None else tasks)
    recipe = recipe_of(arguments, kind)
    if arguments.show_recipe:
        print(json.dumps(plain_recipe(recipe), indent=2))
        return 0
    if arguments.overfit:
        before, after = overfit(kind, recipe, arguments.overfit, device=arguments.device, init=arguments.init)
        print(f"one batch, {arguments.overfit} steps: loss {before:.6g} -> {after:.6g}")
        return 0
    if arguments.out is None:
        raise SettingsError("--out DIR is missing: where checkpoints and weights go")
    trainer = Trainer(
        kind,
        recipe,
        arguments.out,
        device=arguments.device,
        processes=Processes.of_environment(),
        command=shlex.join(["showroom", *sys.argv[1:]]),
    )
    if arguments.init:
        trainer.initialise(arguments.init)
    return _train(trainer, arguments)


def _train(trainer: Any, arguments: argparse.Namespace) -> int:
    from showroom_ros.training.stopping import StopRequest

    _begin(trainer, arguments)
    result = trainer.train(StopRequest(arguments.max_minutes))
    if not trainer.processes.leads:
        return 0
    best = "" if result.best_loss is None else f", best validation loss {result.best_loss:.6g} at {trainer.best_step}"
    print(f"{arguments.out}: {result.steps} of {trainer.recipe.total_steps} steps{best}")
    if result.stopped:
        print(f"stopped: {result.stopped}; go on with --resume")
    return 0


def _begin(trainer: Any, arguments: argparse.Namespace) -> None:
    """From a checkpoint or from the beginning; never over a training that is there."""
    from showroom_ros.training.trainer import FILES, LAST

    last = arguments.out / LAST
    if arguments.resume and trainer.resume():
        _log.info("%s: going on at step %d", last, trainer.step)
    elif last.exists() and not arguments.overwrite:
        raise OutputError(f"{last}: a training is there; go on with --resume, begin anew with --overwrite")
    if arguments.overwrite and trainer.processes.leads:
        for name in FILES:
            (arguments.out / name).unlink(missing_ok=True)


def recipe_of(arguments: argparse.Namespace, kind: TaskKind) -> Recipe:
    """Defaults, then the recipe file, then ``--set``, then the flags.

    Raises:
        SettingsError: unreadable file, unknown preset or setting, value out of range.
    """
    from showroom_ros.networks.registry import preset_settings
    from showroom_ros.training.recipe import PRESET, make_recipe, read_recipe

    layers: dict[str, dict[str, Any]] = {}
    assigned = dict(_assignment(text) for text in arguments.set)
    preset = arguments.preset or assigned.get("preset") or PRESET
    if arguments.recipe:
        layers[str(arguments.recipe)] = read_recipe(arguments.recipe)
    else:
        preset_settings(kind.network, preset)
        layers.update(_default_recipe(kind.network.name, preset))
    layers["--set"] = assigned
    given = {name: getattr(arguments, name) for name in FLAGS}
    layers["command line"] = {name: value for name, value in given.items() if value is not None}
    return make_recipe(kind, layers)


def _default_recipe(network: str, preset: str) -> dict[str, dict[str, Any]]:
    """The recipe that comes with the package, by its path; nothing where there is none for that network."""
    from showroom_ros.training.recipe import read_recipe

    try:
        path = share_file("config", "recipes", f"{network}_{preset}.yaml")
    except ShowroomError:
        _log.warning("no recipe comes with %s, preset %s: the trainer's defaults are used", network, preset)
        return {"preset": {"preset": preset}}
    try:
        return {str(path): {"preset": preset, **read_recipe(path)}}
    except MissingDependencyError:
        _log.warning("%s is not read, PyYAML is not installed: the trainer's defaults are used", path)
        return {"preset": {"preset": preset}}


def _assignment(text: str) -> tuple[str, Any]:
    """``NAME=VALUE``; the value as JSON, else as text."""
    name, separator, value = text.partition("=")
    if not separator:
        raise SettingsError(f"--set '{text}': expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("training needs torch: pip install torch") from error
    return torch
