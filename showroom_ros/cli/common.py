"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import yaml
from tqdm import tqdm

from showroom_ros.cli.method import with_method
from showroom_ros.errors import SettingsError
from showroom_ros.settings import Settings, load_settings, override

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


def add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds ``--params-file`` and ``--set``."""
    parser.add_argument(
        "--params-file", type=Path, action="append", default=[], help="YAML that overrides defaults; repeatable"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="one setting, e.g. map.voxel_size_m=0.03"
    )


def settings_from(arguments: argparse.Namespace, base: Settings | None = None) -> Settings:
    """``base`` (the defaults if None), then the YAML files in order, then ``--set``, then ``--method`` and the like.

    Raises:
        SettingsError: unreadable file, unknown name, value out of range, ``--set`` without ``=``.
    """
    settings = load_settings(*arguments.params_file, base=base)
    for assignment in arguments.set:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise SettingsError(f"--set '{assignment}': expected NAME=VALUE")
        settings = override(settings, {name: yaml.safe_load(value)}, "--set")
    return with_method(settings, arguments)


def progress_bar(description: str, unit: str = "frame") -> Progress:
    """A progress bar on standard error that a ``Progress`` callback moves."""
    seconds = 0.1 if sys.stderr.isatty() else 10.0  # a log file needs few lines
    bar = tqdm(desc=description, unit=unit, leave=True, mininterval=seconds)

    def move(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return move
