"""The training tasks of this package by the name of their network; each is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from showroom_ros.errors import SettingsError
from showroom_ros.training.task import TaskKind

TASKS: Mapping[str, str] = {
    "plane_sweep": "showroom_ros.training.plane_sweep",
    "ioar": "showroom_ros.training.ioar",
    "fast3r": "showroom_ros.training.fast3r",
    "depth_completion": "showroom_ros.training.depth_completion",
    "inpainting": "showroom_ros.training.inpainting",
    "room_layout": "showroom_ros.training.room_layout",
}
"""Name of a network -> module whose constant ``TASK`` is the ``TaskKind`` that trains it."""


def task_kind(network: str, tasks: Mapping[str, str] = TASKS) -> TaskKind:
    """What trains a network, out of ``tasks``.

    Raises:
        SettingsError: no task trains a network of that name; names those that can be trained.
    """
    module = tasks.get(network)
    if module is None:
        raise SettingsError(f"no task trains a network '{network}', expected one of {', '.join(tasks)}")
    kind = importlib.import_module(module).TASK
    if not isinstance(kind, TaskKind):
        raise SettingsError(f"{module}.TASK is {kind!r}, expected a TaskKind")
    return kind
