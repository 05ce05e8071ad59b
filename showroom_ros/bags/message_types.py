"""Message definitions for bags: those of ROS 2 Jazzy, our own, and whatever is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from showroom_ros.errors import BagError

OWN_TYPES = ("showroom_ros/msg/View", "showroom_ros/msg/Status")


@lru_cache(maxsize=1)
def jazzy_types() -> Typestore:
    """The message types of ROS 2 Jazzy and of this package; ``require_type`` adds to it."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for msgtype in OWN_TYPES:
        require_type(store, msgtype)
    return store


def require_type(store: Typestore, msgtype: str) -> None:
    """Adds ``msgtype`` (``package/msg/Name``) and what it consists of to ``store``, from installed ``.msg`` files.

    Raises:
        BagError: its definition is not installed; names the folders that were searched.
    """
    if msgtype in store.fielddefs:
        return
    fields = get_types_from_msg(definition_file(msgtype).read_text(encoding="utf-8"), msgtype)
    for _, description in fields[msgtype][1]:
        for name in _names_in(description):
            if name != msgtype:
                require_type(store, name)
    store.register(fields)


def definition_file(msgtype: str) -> Path:
    """The ``.msg`` file of ``package/msg/Name`` in an installed share folder (or in this source tree).

    Raises:
        BagError: there is none.
    """
    package, _, name = msgtype.partition("/msg/")
    folders = [prefix / "share" / package / "msg" for prefix in _prefixes()]
    if package == "showroom_ros":
        folders.insert(0, Path(__file__).parents[2] / "msg")
    for folder in folders:
        if name and (folder / f"{name}.msg").is_file():
            return folder / f"{name}.msg"
    raise BagError(
        f"the definition of {msgtype} is not installed, expected {name}.msg in {' or '.join(map(str, folders))}"
    )


def _prefixes() -> list[Path]:
    prefixes = [Path(item) for item in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if item]
    return [*prefixes, Path(sys.prefix), *Path(__file__).resolve().parents[2:]]


def _names_in(description: Any) -> Iterator[str]:
    """Message types a field refers to: the field itself or the elements of its array."""
    kind, content = description
    if kind == Nodetype.NAME:
        yield content
    elif kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        yield from _names_in(content[0])
