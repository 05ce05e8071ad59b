"""``showroom record BAG``: writes topics to a bag until Ctrl-C."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom record``."""
    parser.add_argument("bag", type=Path, help="the bag to write (a folder)")
    parser.add_argument("topics", nargs="*", help="topics to record; none = all")
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="stop after this time")


def run(arguments: argparse.Namespace) -> None:
    """Records."""
    from showroom_ros.nodes.bag_recorder_node import record_bag

    count = record_bag(arguments.bag, arguments.topics, storage=arguments.storage, duration_s=arguments.duration)
    print(f"{arguments.bag}: {count} messages")
