"""The trained weights that come with the package: ``models/manifest.yaml``, checked against their sha256."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from showroom_ros.errors import MissingDependencyError, ShowroomError, WeightsError
from showroom_ros.installation import share_file
from showroom_ros.networks.safetensors_file import write_atomically

MANIFEST = "manifest.yaml"
_HEADER = """\
# Weights that come with the package; written by 'showroom models add', checked by 'showroom models verify'.
# The first entry of a network is its default. Files and cards lie in this folder.
"""


@dataclass(frozen=True)
class ShippedModel:
    """One entry of the manifest.

    Attributes:
        name: by which ``load_weights`` and ``--model`` find it.
        file: of its weights, in the folder of the manifest.
        network: kind of network, see ``networks.registry``.
        preset: of the network's settings; empty = none of them.
        sha256: of the file, 64 hexadecimal digits.
        licence: of the weights.
        input: what the network was trained to take, for people (``320x240 colour, poses``).
        card: file that says how it was trained and what it reaches, in the folder of the manifest.
    """

    name: str
    file: str
    network: str
    preset: str
    sha256: str
    licence: str
    input: str
    card: str


def models_folder() -> Path:
    """The folder of the manifest: in the source tree, or in the share folder of an installation.

    Raises:
        WeightsError: it is in neither.
    """
    try:
        return share_file("models", MANIFEST).parent
    except ShowroomError as error:
        raise WeightsError(f"no weights come with this installation ({error}); pass a file of weights") from error


def read_manifest(folder: Path | None = None) -> list[ShippedModel]:
    """The entries of the manifest in ``folder`` (default: ``models_folder()``), in their order.

    Raises:
        WeightsError: missing, not YAML, an unknown or missing key, a value that is no string, a name twice, a file
            outside the folder, or a sha256 that is none.
        MissingDependencyError: PyYAML is not installed.
    """
    path = (folder or models_folder()) / MANIFEST
    content = _read_yaml(path)
    entries = content.get("models") if isinstance(content, dict) and set(content) == {"models"} else None
    if not isinstance(entries, list):
        raise WeightsError(f"{path}: holds {content!r:.80}, expected 'models:' and a list")
    models = [_model(entry, f"{path}: entry {number}") for number, entry in enumerate(entries)]
    names = [model.name for model in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise WeightsError(f"{path}: '{twice[0]}' is there {names.count(twice[0])} times, expected once")
    return models


def write_manifest(models: list[ShippedModel], folder: Path) -> None:
    """Writes the manifest of ``folder``.

    Raises:
        OutputError: it cannot be written.
        MissingDependencyError: PyYAML is not installed.
    """
    content = {"models": [dataclasses.asdict(model) for model in models]}
    text = _HEADER + str(_yaml().safe_dump(content, sort_keys=False, allow_unicode=True, width=120))
    write_atomically(folder / MANIFEST, text.encode())


def shipped_weights(network_name: str, preset: str = "", folder: Path | None = None) -> Path:
    """The file of weights that comes with the package for a network: the first entry that fits.

    Args:
        network_name: as in ``networks.registry``.
        preset: only of this preset; empty = of any.
        folder: of the manifest; default: ``models_folder()``.

    Raises:
        WeightsError: none comes with the package, or the manifest or the file is missing or broken.
        MissingDependencyError: PyYAML is not installed.
    """
    folder = folder or models_folder()
    models = read_manifest(folder)
    of_network = [model for model in models if model.network == network_name]
    for model in of_network:
        if preset in ("", model.preset):
            return _existing(folder / model.file, model)
    others = f" (of '{network_name}' there are {', '.join(m.name for m in of_network)})" if of_network else ""
    raise WeightsError(
        f"{folder / MANIFEST}: no weights of '{network_name}'{f', preset {preset!r}' if preset else ''} are shipped"
        f"{others}; train them (showroom train {network_name} --preset {preset or 'small'} --data synthetic:train "
        f"--out DIR) and pass DIR/weights.safetensors as reconstruction.model_file"
    )


def named_model(name: str, folder: Path) -> ShippedModel:
    """The entry of that name.

    Raises:
        WeightsError: there is none; names those that are.
    """
    models = read_manifest(folder)
    found = next((model for model in models if model.name == name), None)
    if found is None:
        known = ", ".join(model.name for model in models) or "none"
        raise WeightsError(f"'{name}' is no file and none of the shipped weights of {folder / MANIFEST} ({known})")
    return found


def check_sha256(path: Path, folder: Path | None = None) -> None:
    """Compares a file of weights with its entry in the manifest; files the manifest does not name pass.

    Args:
        path: of the weights.
        folder: of the manifest; default: ``models_folder()``, if there is one.

    Raises:
        WeightsError: the file is another than the manifest says, or the manifest is broken.
    """
    if folder is None:
        try:
            folder = models_folder()
        except WeightsError:
            return
    if path.resolve().parent != folder.resolve():
        return
    for model in read_manifest(folder):
        if model.file == path.name:
            _check_sha256(path, model)


def verify_models(folder: Path) -> Iterator[tuple[ShippedModel, str]]:
    """Each entry of the manifest with what is wrong with its files; empty where nothing is.

    Raises:
        WeightsError: the manifest itself is broken.
    """
    for model in read_manifest(folder):
        try:
            _check_sha256(_existing(folder / model.file, model), model)
            _existing(folder / model.card, model)
            yield model, ""
        except WeightsError as error:
            yield model, str(error)


def sha256_of(path: Path) -> str:
    """Sha-256 of a file, 64 hexadecimal digits.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error


def _check_sha256(path: Path, model: ShippedModel) -> None:
    found = sha256_of(path)
    if found != model.sha256:
        raise WeightsError(
            f"{path}: sha256 is {found[:12]}..., expected {model.sha256[:12]}... of '{model.name}' in the manifest: "
            f"the file was changed or not fetched whole"
        )


def _existing(path: Path, model: ShippedModel) -> Path:
    if not path.is_file():
        raise WeightsError(f"{path}: no such file, expected it for '{model.name}' of the manifest")
    return path


def _model(entry: Any, where: str) -> ShippedModel:
    keys = [field.name for field in dataclasses.fields(ShippedModel)]
    if not isinstance(entry, dict) or set(entry) != set(keys):
        found = ", ".join(map(str, entry)) if isinstance(entry, dict) else repr(entry)
        raise WeightsError(f"{where}: holds {found or 'nothing'}, expected {', '.join(keys)}")
    for key, value in entry.items():
        if not isinstance(value, str) or (not value and key != "preset"):
            raise WeightsError(f"{where}: '{key}' is {value!r}, expected text")
    for key in ("file", "card"):
        if Path(entry[key]).name != entry[key]:
            raise WeightsError(f"{where}: '{key}' is '{entry[key]}', expected a file in the folder of the manifest")
    if len(entry["sha256"]) != 64 or set(entry["sha256"]) - set("0123456789abcdef"):
        raise WeightsError(f"{where}: 'sha256' is '{entry['sha256']}', expected 64 hexadecimal digits")
    return ShippedModel(**entry)


def _read_yaml(path: Path) -> Any:
    yaml = _yaml()
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WeightsError(f"{path}: cannot be read as YAML: {error}") from error


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingDependencyError("the manifest of weights needs PyYAML: pip install PyYAML") from error
    return yaml
