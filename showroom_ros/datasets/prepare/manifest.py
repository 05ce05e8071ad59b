"""The manifest of a prepared item: what it was made from, how, and what its files must hold."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from showroom_ros.datasets.prepare.digest import sha256_of_file
from showroom_ros.datasets.prepare.output import write_json
from showroom_ros.errors import DatasetError

MANIFEST = "showroom_manifest.json"
"""Name of the manifest in the folder of every prepared item."""


@dataclass(frozen=True)
class Manifest:
    """What is known of a prepared item.

    Attributes:
        recipe: name of the recipe.
        version: of the recipe.
        settings: its settings, plain values by name.
        source: identity of what it was made from, see ``identity``.
        files: per file, by its path below the item's folder, ``{"bytes": ..., "sha256": ...}``.
        skipped: what was left out and why, one line each.
    """

    recipe: str
    version: int
    settings: Mapping[str, Any]
    source: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]
    skipped: tuple[str, ...]

    @property
    def origin(self) -> tuple[Any, ...]:
        """What decides the files: same origin, same bytes."""
        return self.recipe, self.version, dict(self.settings), dict(self.source)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes it into the item's folder."""
    write_json(folder / MANIFEST, dataclasses.asdict(manifest))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an item's folder.

    Raises:
        DatasetError: there is none, or it cannot be read as one.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Manifest(**{**content, "skipped": tuple(content["skipped"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"{path}: cannot be read as a manifest: {error}") from error


def described_files(folder: Path) -> dict[str, dict[str, Any]]:
    """``Manifest.files`` of what lies in a folder, in the order of the names."""
    return {name: _described(folder / name) for name in _names(folder) if name != MANIFEST}


def damage(folder: Path, manifest: Manifest, *, sizes_only: bool = False) -> str:
    """The first file of the manifest that is missing or holds something else, and how; "" if all is well.

    Files that the manifest does not name do not matter.
    """
    for name, expected in sorted(manifest.files.items()):
        path = folder / name
        try:
            size = path.stat().st_size
            if size != expected["bytes"]:
                return f"{path}: has {size} bytes, its manifest says {expected['bytes']}"
            if not sizes_only and sha256_of_file(path) != expected["sha256"]:
                return f"{path}: its content is not what its manifest says"
        except OSError as error:
            return f"{path}: cannot be read: {error.strerror}"
    return ""


def identity(source: Path, root: Path) -> dict[str, Any]:
    """What tells a source from another without reading it: its name below ``root`` and its files' names and sizes.

    A file that was replaced by another of the same size is not noticed.
    """
    name = source.relative_to(root).as_posix() if source.is_relative_to(root) else source.name
    return {"name": name, **_listing(source)}


def forget_listings() -> None:
    """Makes ``identity`` look at the disk again: a source changes between runs, not within one."""
    _listing.cache_clear()


@lru_cache(maxsize=64)
def _listing(source: Path) -> dict[str, Any]:
    if source.is_dir():
        sizes = [(name, (source / name).stat().st_size) for name in _names(source)]
    elif source.is_file():
        sizes = [(source.name, source.stat().st_size)]
    else:
        sizes = []
    digest = hashlib.sha256("".join(f"{name}\0{size}\n" for name, size in sizes).encode("utf-8", "surrogateescape"))
    return {"files": len(sizes), "bytes": sum(size for _, size in sizes), "names_and_sizes_sha256": digest.hexdigest()}


def _names(folder: Path) -> list[str]:
    """Files below a folder by their paths from it, sorted."""
    names = []
    for parent, _, files in os.walk(folder):
        names += [(Path(parent) / file).relative_to(folder).as_posix() for file in files]
    return sorted(names)


def _described(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
