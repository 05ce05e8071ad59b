"""What a preparation is made of: items, and a function that prepares one of them into a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Item:
    """The unit of work that is done, skipped, verified and repeated as a whole.

    Attributes:
        key: where its results go below the output folder ("scene0000_00", "02691156/1a04e3"); unique.
        source: what it is made from.
    """

    key: str
    source: Path


@dataclass(frozen=True)
class NoSettings:
    """Settings of a recipe that has none."""


def nothing_to_combine(items: list[Item], out: Path, settings: Any) -> dict[str, bytes]:
    """``Recipe.combine`` of a recipe whose items stand alone."""
    del items, out, settings
    return {}


def any_settings(settings: Any) -> None:
    """``Recipe.check`` of a recipe that can work with all its settings."""
    del settings


@dataclass(frozen=True)
class Recipe:
    """How one data set is prepared.

    Attributes:
        name: what ``showroom prepare NAME`` is called.
        title: what comes out, in one line.
        find: items below the root of a data set (and of one of its splits), in a fixed order; raises
            ``DatasetError`` as ``Dataset.scenes`` does.
        prepare: ``prepare(item, out, settings)`` writes the results of one item into ``out``, an empty folder
            that becomes visible under its final name only once this returns, and returns what was skipped
            and why, one line each ("frame 12: pose is not finite"). It is a function of its arguments
            alone (no clock, no global random state), importable by name (it runs in other processes), and
            raises ``ShowroomError`` when nothing of the item can be used.
        settings: frozen dataclass with defaults whose fields (bool, int, float or str, made by
            ``showroom_ros.settings.setting`` so that they have a text and a range) become options of the command.
        combine: files of the whole output, by name, from all finished items ("pairs.csv"); same inputs,
            same bytes.
        check: called once before anything is made; raises ``ShowroomError`` for settings no item can be made with.
        version: raised whenever the same source and settings give other bytes than before, so that old
            results are made anew.
    """

    name: str
    title: str
    find: Callable[[Path, str | None], list[Item]]
    prepare: Callable[[Item, Path, Any], list[str]]
    settings: type = NoSettings
    combine: Callable[[list[Item], Path, Any], Mapping[str, bytes]] = nothing_to_combine
    check: Callable[[Any], object] = any_settings
    version: int = 1
