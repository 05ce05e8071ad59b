#!/usr/bin/env python3
"""The ``showroom`` command: the one place that catches errors and prints."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
import threading
from types import ModuleType

from showroom_ros import __version__
from showroom_ros.errors import ShowroomError

COMMANDS = {
    "demo": "a made-up room, recorded, replayed through the nodes in real time, scored",
    "reconstruct": "a bag or data set folder into mesh, cloud, trajectory and report",
    "generate": "a scene from one image: cloud, mesh, Gaussian splats, pictures",
    "extend": "photos of one room: decide which side is missing, and make it up",
    "evaluate": "score results against the true mesh by a named protocol",
    "compare": "two runs side by side, with what is beyond noise marked",
    "run": "start the node graph (where 'ros2 launch' does not exist)",
    "convert": "a data set folder into a rosbag2",
    "make-room": "a made-up room: its exact mesh and a recording of it, or a sheet of many",
    "prepare": "a data set into what training and evaluation read: resumable, parallel, verified",
    "train": "a network on made-up rooms, prepared data sets or your own recordings",
    "data": "what a folder, file or data set is, what it holds and what is missing",
    "replay": "play a bag over real topics with /clock",
    "record": "write topics to a bag",
    "models": "the trained weights that come with the package: list, verify, add",
    "view": "show a mesh in the browser",
    "benchmark": "measure against a peer in the same run",
}
"""Subcommand -> what it does; each lives in ``showroom_ros.cli.<name>`` and is imported when used."""


def main(argv: list[str] | None = None) -> int:
    """Runs one subcommand; 0 done, 1 failed with a message, 2 wrong usage, 130 interrupted."""
    # OpenMP threads that spin between calls starve numba's (and the other way round).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="showroom", description="Streaming indoor 3D reconstruction.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if argv[:1] == [name]:
            _module(name).add_arguments(command)
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    if threading.current_thread() is threading.main_thread():
        # whoever ends us with SIGTERM wants the nodes stopped and nothing left half-written, as with Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(_module(arguments.command).run(arguments) or 0)
    except ShowroomError as error:
        print(f"showroom {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"showroom_ros.cli.{command.replace('-', '_')}")


if __name__ == "__main__":
    sys.exit(main())
