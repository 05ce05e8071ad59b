"""``showroom replay BAG``: plays a bag over real topics with ``/clock``."""

from __future__ import annotations

import argparse
from pathlib import Path

from showroom_ros.cli.common import progress_bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom replay``."""
    parser.add_argument("bag", type=Path)
    parser.add_argument("--rate", type=float, default=1.0, help="speed relative to the recording")
    parser.add_argument("--loop", action="store_true", help="start again at the end")
    parser.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="skip this much of the bag")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="play only this much")
    parser.add_argument("--topics", nargs="*", help="play only these topics")
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="wait this long for subscribers")


def run(arguments: argparse.Namespace) -> None:
    """Plays."""
    from showroom_ros.nodes.bag_player_node import play_bag

    play_bag(
        arguments.bag,
        rate=arguments.rate,
        loop=arguments.loop,
        start_s=arguments.start,
        duration_s=arguments.duration,
        topics=arguments.topics,
        wait_for_subscribers_s=arguments.wait,
        progress=progress_bar("replaying", "msg"),
    )
