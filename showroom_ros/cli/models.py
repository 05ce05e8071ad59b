"""``showroom models list|verify|add``: the trained weights that come with the package."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from showroom_ros.errors import InputError, MissingDependencyError, ShowroomError, WeightsError

if TYPE_CHECKING:
    from showroom_ros.networks.manifest import ShippedModel

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_NONE = "{folder}: no weights are shipped; train them with 'showroom train'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom models``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="what comes with the package")
    verify = actions.add_parser("verify", help="check every file: there, whole, unchanged, loads into its network")
    add = actions.add_parser("add", help="copy weights and their card beside the manifest, and enter them there")
    add.add_argument("file", type=Path, metavar="FILE", help="weights.safetensors of a training run")
    add.add_argument("--name", required=True, help="by which they are found, e.g. plane_sweep_small")
    add.add_argument("--licence", required=True, help="of the weights, e.g. MIT")
    add.add_argument("--input", required=True, help="what the network takes, for people: '320x240 colour and poses'")
    add.add_argument("--card", type=Path, metavar="FILE", help="how they were trained (default: that beside FILE)")
    add.add_argument("--default", action="store_true", help="make them their network's default")
    add.add_argument("--replace", action="store_true", help="replace the entry of that name")
    public = actions.add_parser("add-public", help="name a public checkpoint of yours; its licence is shown first")
    public.add_argument("source", metavar="PATH|hub:OWNER/NAME", help="of a network of this package, e.g. Fast3R's")
    public.add_argument("--name", required=True, help="by which reconstruction.model_file finds it")
    public.add_argument("--licence", default="", help="where it is not known here")
    public.add_argument("--sha256", default="", help="the file must have it")
    public.add_argument("--accept-licence", action="store_true", help="you have read it, and your use is allowed")
    for action in (listing, verify, add):
        action.add_argument("--folder", type=Path, help="of the manifest (default: that of this installation)")


def run(arguments: argparse.Namespace) -> int:
    """Runs one action; ``verify`` returns 1 if a file is not as it should be."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("showroom models needs torch: pip install torch") from error
    from showroom_ros.networks.manifest import models_folder

    if arguments.action == "add-public":
        return _add_public(arguments)
    folder: Path = arguments.folder or models_folder()
    if arguments.action == "list":
        return _list(folder)
    return _verify(folder) if arguments.action == "verify" else _add(arguments, folder)


def _list(folder: Path) -> int:
    from showroom_ros.networks.manifest import read_manifest
    from showroom_ros.networks.public_checkpoints import public_checkpoints

    models = read_manifest(folder)
    if not models:
        print(_NONE.format(folder=folder))
    defaults = {model.network: model.name for model in reversed(models)}
    for model in models:
        path = folder / model.file
        size = f"{path.stat().st_size / 1e6:.1f} MB" if path.is_file() else "missing"
        default = " (default)" if defaults[model.network] == model.name else ""
        print(f"{model.name}{default}: {model.network} {model.preset}, {model.input}, {size}, {model.licence}, {path}")
    for mine in public_checkpoints():
        print(f"{mine.name}: public, {mine.source}, {mine.licence}, {mine.path}")
    return 0


def _verify(folder: Path) -> int:
    from showroom_ros.networks.manifest import verify_models
    from showroom_ros.networks.public_checkpoints import checked_path, public_checkpoints
    from showroom_ros.networks.weights import load_weights

    checked = list(verify_models(folder))
    if not checked:
        print(_NONE.format(folder=folder))
    faults = 0
    for model, fault in checked:
        if not fault:
            try:
                load_weights(folder / model.file, model.network, models=folder)
            except ShowroomError as error:
                fault = str(error)
        faults += bool(fault)
        print(f"{model.name}: {fault or 'as it should be'}")
    for mine in public_checkpoints():
        try:
            checked_path(mine)
            print(f"{mine.name}: as it was added")
        except WeightsError as error:
            faults += 1
            print(f"{mine.name}: {error}")
    return 1 if faults else 0


def _add_public(arguments: argparse.Namespace) -> int:
    from showroom_ros.networks.public_checkpoints import add_checkpoint, licence_of

    if not _NAME.fullmatch(arguments.name):
        raise InputError(f"--name '{arguments.name}': expected lower-case letters, digits, '_', '-' and '.'")
    licence = licence_of(arguments.source, arguments.licence)
    print(f"{arguments.source}: {licence}")
    if not arguments.accept_licence:
        raise InputError("nothing was added: say that you accept this licence with --accept-licence")
    added = add_checkpoint(arguments.name, arguments.source, licence, arguments.sha256)
    print(f"{added.name}: {added.path}, sha256 {added.sha256}")
    return 0


def _add(arguments: argparse.Namespace, folder: Path) -> int:
    from showroom_ros.networks.manifest import ShippedModel, read_manifest, sha256_of, write_manifest
    from showroom_ros.networks.registry import network_kind
    from showroom_ros.networks.safetensors_file import read_safetensors
    from showroom_ros.networks.weights import read_weights

    name: str = arguments.name
    if not _NAME.fullmatch(name):
        raise InputError(f"--name '{name}': expected lower-case letters, digits, '_', '-' and '.'")
    models = read_manifest(folder)
    if any(model.name == name for model in models) and not arguments.replace:
        raise InputError(f"{folder}: '{name}' is in the manifest already, expected a new name or --replace")
    card: Path = arguments.card or arguments.file.with_name(arguments.file.stem.replace("weights", "card") + ".json")
    if not card.is_file():
        raise InputError(f"{card}: no such file, expected a card that says how the weights were trained (--card)")
    _, metadata = read_safetensors(arguments.file)
    if "network" not in metadata:
        raise WeightsError(f"{arguments.file}: not weights of a network of this package: it names none")
    loaded = read_weights(arguments.file, network_kind(metadata["network"]))
    target, card_target = folder / f"{name}.safetensors", folder / f"{name}{card.suffix}"
    _copy(arguments.file, target)
    _copy(card, card_target)
    model = ShippedModel(
        name=name,
        file=target.name,
        network=loaded.metadata["network"],
        preset=loaded.metadata.get("preset", ""),
        sha256=sha256_of(target),
        licence=arguments.licence,
        input=arguments.input,
        card=card_target.name,
    )
    write_manifest(_with(models, model, first=arguments.default), folder)
    print(f"{name}: {model.network} {model.preset}, sha256 {model.sha256}, in {target}")
    return 0


def _with(models: list[ShippedModel], model: ShippedModel, *, first: bool) -> list[ShippedModel]:
    """The entries with ``model`` in the place of its namesake, at the end, or first of all."""
    names = [other.name for other in models]
    if first:
        return [model, *(other for other in models if other.name != model.name)]
    if model.name in names:
        return [model if other.name == model.name else other for other in models]
    return [*models, model]


def _copy(source: Path, target: Path) -> None:
    from showroom_ros.networks.safetensors_file import write_atomically

    if source.resolve() != target.resolve():
        write_atomically(target, source.read_bytes())
