"""The networks of this package by name; each is imported when it is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping

from showroom_ros.errors import SettingsError
from showroom_ros.networks.kind import NetworkKind

NETWORKS: Mapping[str, str] = {
    "plane_sweep": "showroom_ros.networks.plane_sweep",
    "ioar": "showroom_ros.networks.ioar",
    "fast3r": "showroom_ros.networks.fast3r",
    "depth_completion": "showroom_ros.networks.depth_completion",
    "inpainting": "showroom_ros.networks.inpainting",
    "room_layout": "showroom_ros.networks.room_layout",
}
"""Name -> module whose constant ``KIND`` is the ``NetworkKind``."""


def network_kind(name: str, networks: Mapping[str, str] = NETWORKS) -> NetworkKind:
    """The kind of network of that name, out of ``networks``.

    Raises:
        SettingsError: there is none; names those that are.
    """
    module = networks.get(name)
    if module is None:
        close = difflib.get_close_matches(name, networks, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise SettingsError(f"unknown network '{name}', expected one of {', '.join(networks)}{hint}")
    kind = importlib.import_module(module).KIND
    if not isinstance(kind, NetworkKind) or kind.name != name:
        raise SettingsError(f"{module}.KIND is {kind!r}, expected the NetworkKind '{name}'")
    return kind


def preset_settings(kind: NetworkKind, preset: str) -> object:
    """Settings of a preset of ``kind``.

    Raises:
        SettingsError: it has no such preset; names those it has.
    """
    if preset not in kind.presets:
        raise SettingsError(f"{kind.name}: unknown preset '{preset}', expected one of {', '.join(kind.presets)}")
    return kind.presets[preset]
