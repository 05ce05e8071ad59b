"""Sensor overlays: the topics of a known camera driver, and the settings it needs (``config/sensors/*.yaml``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from showroom_ros.errors import SettingsError
from showroom_ros.settings import Settings, override

INPUTS = (
    "camera/color/image",
    "camera/color/camera_info",
    "camera/depth/image",
    "camera/depth/camera_info",
    "odom",
    "pose",
)
"""Names the nodes subscribe to, before remapping."""
_IMAGES = ("camera/color/image", "camera/depth/image")
_TRANSPORTS = ("compressed", "compressedDepth")


@dataclass(frozen=True)
class SensorOverlay:
    """What a camera driver calls things.

    Attributes:
        topics: the driver's topic by the name of our input, one of ``INPUTS``.
        settings: dotted names and values, on top of the defaults.
    """

    topics: Mapping[str, str]
    settings: Mapping[str, Any]


def load_sensor(name: str, folder: Path) -> SensorOverlay:
    """The overlay ``name`` of ``folder``, or of any file when ``name`` is a path to one; '' is an empty overlay.

    Raises:
        SettingsError: no such overlay (lists those there are), unknown input or setting.
    """
    if not name:
        return SensorOverlay({}, {})
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise SettingsError(f"sensor '{name}': no file {path}, expected a path or one of {known}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict) or not set(content) <= {"topics", "settings"}:
        raise SettingsError(f"{path}: expected a mapping with 'topics' and 'settings'")
    topics, settings = content.get("topics") or {}, content.get("settings") or {}
    for topic in topics:
        if topic not in INPUTS:
            raise SettingsError(f"{path}: '{topic}' is no input, expected one of {', '.join(INPUTS)}")
    override(Settings(), settings, str(path))
    return SensorOverlay(topics, settings)


def remappings_of(topics: Mapping[str, str]) -> list[tuple[str, str]]:
    """Remappings of these inputs; an image brings its compressed forms along, which are topics of their own."""
    remappings = []
    for source, target in topics.items():
        remappings.append((source, target))
        if source in _IMAGES:
            remappings += [(f"{source}/{form}", f"{target}/{form}") for form in _TRANSPORTS]
    return remappings


def split_transport(topic: str) -> tuple[str, str]:
    """Base topic and transport of an image topic: ``/c/image/compressed`` gives ``/c/image`` and ``compressed``."""
    base, _, last = topic.rpartition("/")
    return (base, last) if base and last in _TRANSPORTS else (topic, "")
