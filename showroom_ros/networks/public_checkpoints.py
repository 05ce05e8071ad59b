"""Public checkpoints that their users bring: where they lie, under which licence, and whether they are still the same.

They are no part of this package. A file of the user (``models.yaml`` in ``$SHOWROOM_MODELS``, else in
``~/.local/share/showroom_ros``) names them; nothing is fetched before the licence was shown and accepted.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from showroom_ros.errors import InputError, MissingDependencyError, WeightsError
from showroom_ros.networks.manifest import sha256_of
from showroom_ros.networks.safetensors_file import write_atomically

HUB = "hub:"
KNOWN_LICENCES = {
    "jedyang97/Fast3R_ViT_Large_512": "FAIR Noncommercial Research License: research only, no commercial use",
    **{f"depth-anything/DA3-{size}": "Apache 2.0" for size in ("SMALL", "BASE")},
    **{f"depth-anything/DA3-{size}": "CC BY-NC 4.0" for size in ("LARGE", "LARGE-1.1", "GIANT", "GIANT-1.1")},
}
"""Of checkpoints on the hub that this package reads."""
_FILES = ("model.safetensors", "config.json")


@dataclass(frozen=True)
class PublicCheckpoint:
    """One entry.

    Attributes:
        name: by which ``reconstruction.model_file`` finds it.
        path: of the checkpoint: a file, or a folder with ``model.safetensors``.
        source: where it came from, a path or ``hub:OWNER/NAME``.
        licence: that was accepted.
        sha256: of the file, 64 hexadecimal digits.
    """

    name: str
    path: str
    source: str
    licence: str
    sha256: str


def list_file() -> Path:
    """The file that names them."""
    folder = os.environ.get("SHOWROOM_MODELS") or str(Path.home() / ".local" / "share" / "showroom_ros")
    return Path(folder) / "models.yaml"


def public_checkpoints(file: Path | None = None) -> list[PublicCheckpoint]:
    """Those the user has; none where there is no file.

    Raises:
        WeightsError: the file is broken; says where.
    """
    file = file or list_file()
    if not file.is_file():
        return []
    yaml = _yaml()
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or []
        return [PublicCheckpoint(**{key: str(value) for key, value in entry.items()}) for entry in content]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, AttributeError) as error:
        raise WeightsError(f"{file}: is no list of checkpoints: {error}") from error


def checked_path(checkpoint: PublicCheckpoint) -> Path:
    """Its path, after its sha256 was compared.

    Raises:
        WeightsError: missing or changed.
    """
    path = Path(checkpoint.path)
    found = sha256_of(weights_of(path))
    if found != checkpoint.sha256:
        raise WeightsError(
            f"{path}: sha256 is {found[:12]}..., expected {checkpoint.sha256[:12]}... of '{checkpoint.name}': it is "
            f"another file than the one that was added"
        )
    return path


def named_checkpoint(name: str) -> Path | None:
    """The checked path of the checkpoint of that name; None where the user has none.

    Raises:
        WeightsError: missing or changed, or the list is broken.
    """
    found = next((entry for entry in public_checkpoints() if entry.name == name), None)
    return None if found is None else checked_path(found)


def licence_of(source: str, told: str) -> str:
    """The licence of a source: the known one, or what its user tells.

    Raises:
        InputError: neither is there.
    """
    licence = KNOWN_LICENCES.get(source.removeprefix(HUB), told)
    if not licence:
        raise InputError(f"{source}: its licence is not known here, name it: --licence 'CC BY-NC 4.0'")
    return licence


def add_checkpoint(
    name: str, source: str, licence: str, sha256: str = "", file: Path | None = None
) -> PublicCheckpoint:
    """Enters a checkpoint whose licence was accepted; what is on the hub is fetched.

    Args:
        name: new, or that of an entry to replace.
        source: path, or ``hub:OWNER/NAME``.
        licence: that was accepted.
        sha256: the file must have it; empty = whatever it has is remembered.
        file: that names them; None = ``list_file()``.

    Raises:
        WeightsError: no such file, or another sha256.
        MissingDependencyError: the hub needs a package that is not installed.
    """
    file = file or list_file()
    path = _fetched(source.removeprefix(HUB)) if source.startswith(HUB) else Path(source).resolve()
    found = sha256_of(weights_of(path))
    if sha256 and found != sha256.lower():
        raise WeightsError(f"{path}: sha256 is {found}, expected {sha256.lower()}")
    new = PublicCheckpoint(name, str(path), source, licence, found)
    entries = [*(entry for entry in public_checkpoints(file) if entry.name != name), new]
    text = _yaml().safe_dump([dataclasses.asdict(entry) for entry in entries], sort_keys=False, allow_unicode=True)
    write_atomically(file, str(text).encode())
    return new


def weights_of(path: Path) -> Path:
    """The file of weights of a checkpoint: itself, or that in its folder."""
    return path / _FILES[0] if path.is_dir() else path


def _fetched(identity: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingDependencyError(
            f"hub:{identity} needs huggingface_hub: pip install huggingface_hub, or fetch it yourself"
        ) from error
    try:
        return Path(snapshot_download(identity, allow_patterns=list(_FILES)))
    except Exception as error:  # of network, hub and permissions, many kinds
        raise WeightsError(f"hub:{identity} cannot be fetched: {error}") from error


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingDependencyError("the list of checkpoints needs PyYAML: pip install PyYAML") from error
    return yaml
