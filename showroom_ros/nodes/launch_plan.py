"""What ``showroom.launch.py`` does, without ROS launch: from its arguments to remappings, parameters and parts.

What wins when a thing is set twice: launch arguments, then ``params_file``, then the sensor overlay, then
the defaults in ``showroom_ros.settings``.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from showroom_ros.errors import SettingsError
from showroom_ros.nodes.sensors import load_sensor, remappings_of, split_transport
from showroom_ros.settings import Settings, checked_value, setting_infos

KEYFRAMES, RECONSTRUCTION, VIEWER = "keyframe_node", "reconstruction_node", "viewer_node"
COMPLETION = ("inpainting_node", "depth_completion_node")
ALL = (KEYFRAMES, RECONSTRUCTION, VIEWER, *COMPLETION)
WAIT_FOR_SUBSCRIBERS_S = 30.0
"""A bag starts once the nodes listen; the first start compiles for some seconds."""


@dataclass(frozen=True)
class Argument:
    """One launch argument.

    Attributes:
        name, default, doc: as ``ros2 launch --show-args`` prints them.
        parameter: dotted name of the node parameter it sets unless it is empty.
        nodes: which nodes have that parameter.
        topic: the input it remaps unless it is empty.
    """

    name: str
    default: str
    doc: str
    parameter: str = ""
    nodes: tuple[str, ...] = ()
    topic: str = ""


ARGUMENTS = (
    Argument("rosbag", "", "bag to replay (rosbag2 folder or file, ROS 1 .bag); empty = live camera"),
    Argument("rosbag_args", "", "as for ros2 bag play: --rate 0.5 --loop --start-offset 3 --playback-duration 10"),
    Argument("use_sim_time", "", "true or false; empty = true when a rosbag is replayed"),
    Argument("rviz", "false", "open RViz"),
    Argument("rviz_cfg", "", "RViz configuration; empty = config/rviz/showroom.rviz"),
    Argument("viewer", "false", "serve the browser page"),
    Argument("params_file", "", "YAML that overrides defaults, see config/showroom.yaml"),
    Argument("sensor", "", "overlay in config/sensors/ by name, or a path: topics and settings of a camera driver"),
    Argument("namespace", "", "put before every node and relative topic"),
    Argument("log_level", "info", "debug, info, warn or error"),
    Argument("autostart", "true", "configure and activate the nodes", "autostart", ALL),
    Argument("method", "", "sensor_depth, plane_sweep, ioar or multi_view", "reconstruction.method", (RECONSTRUCTION,)),
    Argument("device", "", "where map and network live: cpu or cuda", "reconstruction.device", (RECONSTRUCTION,)),
    Argument(
        "model_file",
        "",
        "weights of the method's network; empty = those shipped; none = plane_sweep without a network",
        "reconstruction.model_file",
        (RECONSTRUCTION,),
    ),
    Argument(
        "completion", "", "what no camera saw: off, on_request or continuous", "completion.mode", (RECONSTRUCTION,)
    ),
    Argument(
        "inpainter", "", "who paints it: small, telea, lama, diffusers:FOLDER", "completion.inpainter", COMPLETION
    ),
    Argument("depth_completer", "", "who gives it depth: small, planes...", "completion.depth_completer", COMPLETION),
    Argument("use_depth", "", "false: colour alone", "keyframes.use_depth", (KEYFRAMES,)),
    Argument("pose_source", "", "tf, odom, pose or none", "pose.source", (KEYFRAMES, RECONSTRUCTION)),
    Argument("world_frame", "", "frame the map is built in", "pose.world_frame", (KEYFRAMES, RECONSTRUCTION)),
    Argument("color_transport", "", "raw or compressed", "sync.color_transport", (KEYFRAMES,)),
    Argument("depth_transport", "", "raw, compressed or compressedDepth", "sync.depth_transport", (KEYFRAMES,)),
    Argument("rgb_topic", "", "colour images; may end in /compressed", topic="camera/color/image"),
    Argument("camera_info_topic", "", "calibration of colour", topic="camera/color/camera_info"),
    Argument("depth_topic", "", "depth images; may end in /compressedDepth", topic="camera/depth/image"),
    Argument("depth_camera_info_topic", "", "calibration of depth", topic="camera/depth/camera_info"),
    Argument("odom_topic", "", "odometry, for pose_source odom", topic="odom"),
    Argument("pose_topic", "", "poses, for pose_source pose", topic="pose"),
    Argument("host", "", "interface of the browser page", "viewer.host", (VIEWER,)),
    Argument("port", "", "port of the browser page", "viewer.port", (VIEWER,)),
)


@dataclass(frozen=True)
class LaunchPlan:
    """What is started, and how.

    Attributes:
        nodes: names of the nodes to start.
        use_sim_time: whether they follow ``/clock``.
        remappings: from our inputs to the camera's topics.
        sensor_settings: dotted names and values below everything else.
        bag_parameters: parameters of ``bag_player_node``; None = no bag.
        rviz_config: file; None = no RViz.
        rviz_remappings: from the topics in that file to those below the namespace.
        world_frame: fixed frame of RViz; empty = as in its file.
    """

    nodes: tuple[str, ...]
    use_sim_time: bool
    remappings: list[tuple[str, str]] = field(default_factory=list)
    sensor_settings: dict[str, Any] = field(default_factory=dict)
    bag_parameters: dict[str, Any] | None = None
    rviz_config: Path | None = None
    rviz_remappings: list[tuple[str, str]] = field(default_factory=list)
    world_frame: str = ""


def make_plan(values: Mapping[str, str], share: Path) -> LaunchPlan:
    """The plan for launch arguments ``values``; ``share`` is the folder that holds ``config``.

    Raises:
        SettingsError: a file that is not there, or a value out of range; names the argument.
    """
    _check_files(values)
    for node in ALL:
        node_parameters(node, values)
    sensor = load_sensor(values["sensor"], share / "config" / "sensors")
    rosbag = values["rosbag"]
    sim_time = as_bool("use_sim_time", values["use_sim_time"]) if values["use_sim_time"] else bool(rosbag)
    rviz_config = Path(values["rviz_cfg"] or share / "config" / "rviz" / "showroom.rviz")
    with_rviz = as_bool("rviz", values["rviz"])
    return LaunchPlan(
        nodes=(
            KEYFRAMES,
            RECONSTRUCTION,
            *((VIEWER,) if as_bool("viewer", values["viewer"]) else ()),
            *(COMPLETION if values["completion"] not in ("", "off") else ()),
        ),
        use_sim_time=sim_time,
        remappings=remappings_of({**sensor.topics, **topics_of(values)}),
        sensor_settings=dict(sensor.settings),
        bag_parameters=bag_parameters(rosbag, values["rosbag_args"]) if rosbag else None,
        rviz_config=rviz_config if with_rviz else None,
        rviz_remappings=rviz_remappings(rviz_config, values["namespace"]) if with_rviz else [],
        world_frame=values["world_frame"],
    )


def topics_of(values: Mapping[str, str]) -> dict[str, str]:
    """The camera's topic by our input, for the topic arguments that were given."""
    return {item.topic: split_transport(values[item.name])[0] for item in ARGUMENTS if item.topic and values[item.name]}


def node_parameters(node: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Parameters of one node that launch arguments set, with the types the node expects.

    Raises:
        SettingsError: a value out of range; names the argument.
    """
    infos = {info.name: info for info in setting_infos()}
    parameters: dict[str, Any] = {}
    for item in ARGUMENTS:
        text = values.get(item.name, "") or _transport_in_topic(item.name, values)
        if not text or node not in item.nodes:
            continue
        if item.parameter == "autostart":
            parameters[item.parameter] = as_bool(item.name, text)
            continue
        info = infos[item.parameter]
        value = text if info.type is str else yaml.safe_load(text)
        parameters[item.parameter] = checked_value(info, value, f"launch argument {item.name}")
    _check_model_file(values)
    return parameters


def bag_parameters(rosbag: str, rosbag_args: str) -> dict[str, Any]:
    """Parameters of ``bag_player_node`` from arguments in the style of ``ros2 bag play``.

    Raises:
        SettingsError: an argument the player does not have, or a value that is no number.
    """
    parser = _BagArguments(prog="rosbag_args", add_help=False, allow_abbrev=False)
    parser.add_argument("-r", "--rate", type=float, default=1.0)
    parser.add_argument("-l", "--loop", action="store_true")
    parser.add_argument("--start-offset", dest="start_s", type=float, default=0.0)
    parser.add_argument("--playback-duration", dest="duration_s", type=float, default=0.0)
    parser.add_argument("--clock", dest="clock_rate_hz", type=float, default=100.0)
    parser.add_argument("--topics", nargs="+", default=argparse.SUPPRESS)
    options = vars(parser.parse_args(shlex.split(rosbag_args)))
    return {"bag": rosbag, "wait_for_subscribers_s": WAIT_FOR_SUBSCRIBERS_S, **options}


def rviz_remappings(config: Path, namespace: str) -> list[tuple[str, str]]:
    """From every topic of the nodes in an RViz file to the one below ``namespace``; none without a namespace."""
    if not namespace.strip("/"):
        return []
    topics = sorted(topic for topic in set(_topics_in(yaml.safe_load(config.read_text()))) if topic.count("/") > 1)
    return [(topic, f"/{namespace.strip('/')}{topic}") for topic in topics]


def as_bool(name: str, text: str) -> bool:
    """``true`` or ``false`` in any case, as ROS launch takes them."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise SettingsError(f"launch argument {name} is '{text}', expected true or false")
    return text.lower() in ("true", "1")


class _BagArguments(argparse.ArgumentParser):
    """Raises instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"launch argument rosbag_args: {message}; {self.format_usage().strip()}")


def _transport_in_topic(name: str, values: Mapping[str, str]) -> str:
    """The transport an image topic's own name tells: ``rgb_topic:=/c/image/compressed``."""
    topic = {"color_transport": "rgb_topic", "depth_transport": "depth_topic"}.get(name, "")
    return split_transport(values.get(topic, ""))[1]


def _check_files(values: Mapping[str, str]) -> None:
    for name in ("rosbag", "params_file", "rviz_cfg"):
        if values[name] and not Path(values[name]).exists():
            raise SettingsError(f"launch argument {name}: no such file {values[name]}")


def _check_model_file(values: Mapping[str, str]) -> None:
    method = values.get("method") or ("" if values.get("params_file") else Settings().reconstruction.method)
    if values.get("model_file") and method == "sensor_depth":
        raise SettingsError(
            f"launch argument model_file is '{values['model_file']}', but method {method} has no network; leave it out"
        )


def _topics_in(node: Any) -> list[str]:
    """Every ``Topic: {Value: NAME}`` below a YAML node."""
    if isinstance(node, list):
        return [topic for item in node for topic in _topics_in(item)]
    if not isinstance(node, dict):
        return []
    topic = node.get("Topic")
    own = [topic["Value"]] if isinstance(topic, dict) and topic.get("Value") else []
    return own + [found for item in node.values() for found in _topics_in(item)]
