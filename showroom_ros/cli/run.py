"""``showroom run``: the node graph of the launch file where ``ros2 launch`` does not exist."""

from __future__ import annotations

import argparse
from pathlib import Path

from showroom_ros.cli.common import add_settings_arguments, progress_bar, settings_from
from showroom_ros.cli.method import add_method_arguments
from showroom_ros.errors import SettingsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``showroom run``; their names are those of the launch file."""
    parser.add_argument("--rosbag", type=Path, help="replay this bag through the graph (implies use_sim_time)")
    parser.add_argument("--rate", type=float, default=1.0, help="speed of the replay")
    parser.add_argument("--loop", action="store_true", help="replay for ever")
    parser.add_argument(
        "--sensor", default="", help="topics and settings of a camera driver (config/sensors), or a file"
    )
    parser.add_argument("--viewer", action="store_true", help="serve the browser page")
    parser.add_argument("--one-process", action="store_true", help="all nodes in this process")
    parser.add_argument("--namespace", default="", help="put before every node and topic")
    parser.add_argument("--remap", action="append", default=[], metavar="FROM:=TO", help="topic remapping; repeatable")
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warn", "error"))
    add_method_arguments(parser)
    add_settings_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs until Ctrl-C, or until the bag ends."""
    from showroom_ros.nodes.bag_player_node import play_bag
    from showroom_ros.nodes.graph import GraphOptions, NodeGraph
    from showroom_ros.nodes.sensors import load_sensor, remappings_of
    from showroom_ros.ros.dds import config_file
    from showroom_ros.settings import Settings, override

    sensor = load_sensor(arguments.sensor, config_file("showroom.yaml").parent / "sensors")
    settings = settings_from(arguments, override(Settings(), sensor.settings, f"sensor {arguments.sensor}"))
    options = GraphOptions(
        nodes=[
            "keyframe_node",
            "reconstruction_node",
            *(["viewer_node"] if arguments.viewer else []),
            *(["inpainting_node", "depth_completion_node"] if settings.completion.mode != "off" else []),
        ],
        one_process=arguments.one_process,
        use_sim_time=arguments.rosbag is not None,
        namespace=arguments.namespace,
        remappings={**dict(remappings_of(sensor.topics)), **parse_remappings(arguments.remap)},
        log_level=arguments.log_level,
    )
    with NodeGraph(settings, options) as graph:
        if arguments.rosbag is None:
            return graph.wait()
        play_bag(
            arguments.rosbag,
            rate=arguments.rate,
            loop=arguments.loop,
            wait_for_subscribers_s=20.0,
            progress=progress_bar("replaying", "msg"),
        )
        if not arguments.viewer:
            return 0
        print("the bag has ended; the page stays up until Ctrl-C")
        return graph.wait()


def parse_remappings(items: list[str]) -> dict[str, str]:
    """``FROM:=TO`` strings as a dictionary.

    Raises:
        SettingsError: an item without ``:=``.
    """
    remappings = {}
    for item in items:
        source, separator, target = item.partition(":=")
        if not separator or not source or not target:
            raise SettingsError(f"--remap '{item}': expected FROM:=TO")
        remappings[source] = target
    return remappings
