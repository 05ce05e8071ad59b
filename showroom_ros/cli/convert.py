"""``showroom convert FOLDER BAG``: a data set as a rosbag2."""

from __future__ import annotations

import argparse
from pathlib import Path

from showroom_ros.cli.common import progress_bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom convert``."""
    parser.add_argument("source", help="7-Scenes or TUM folder, bag, or synthetic:SEED")
    parser.add_argument("bag", type=Path, help="the bag to write (a folder)")
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap")
    parser.add_argument(
        "--image-format", choices=("raw", "jpeg", "png"), default="raw", help="jpeg and png write compressed topics"
    )
    parser.add_argument("--rate-hz", type=float, help="new stamps at this rate; default: keep the recording's")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing bag")


def run(arguments: argparse.Namespace) -> None:
    """Converts."""
    from showroom_ros.bags.convert import convert
    from showroom_ros.datasets.open import open_sequence

    sequence = open_sequence(arguments.source)
    convert(
        sequence,
        arguments.bag,
        storage=arguments.storage,
        image_format=arguments.image_format,
        rate_hz=arguments.rate_hz,
        overwrite=arguments.overwrite,
        progress=progress_bar("converting"),
    )
    print(f"{arguments.bag}: {len(sequence)} frames of {sequence.name}")
