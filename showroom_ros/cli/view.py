"""``showroom view FILE``: a mesh in the browser."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from showroom_ros.cli.common import add_settings_arguments, settings_from
from showroom_ros.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom view``."""
    parser.add_argument("file", type=Path, help="mesh (.ply), or a folder that holds mesh.ply")
    add_settings_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Serves the page until Ctrl-C."""
    from showroom_ros.scene.mesh_files import load_mesh
    from showroom_ros.viewers.browser import show_mesh

    path = arguments.file / "mesh.ply" if arguments.file.is_dir() else arguments.file
    if not path.is_file():
        raise InputError(f"{path}: no such mesh, expected a .ply file or a folder with mesh.ply")
    viewer = show_mesh(load_mesh(path), settings_from(arguments).viewer)
    try:
        while True:
            time.sleep(1.0)
    finally:
        viewer.close()
