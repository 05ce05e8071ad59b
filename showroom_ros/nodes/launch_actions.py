"""The plan of ``launch_plan`` as actions of ROS launch (Jazzy). The files in ``launch/`` are thin fronts of this."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_context import LaunchContext
from launch.launch_description import LaunchDescription
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, SetParameter, SetParametersFromFile, SetRemap

from showroom_ros.nodes.launch_plan import (
    ARGUMENTS,
    Argument,
    LaunchPlan,
    bag_parameters,
    make_plan,
    node_parameters,
    rviz_remappings,
)
from showroom_ros.ros.dds import configure_dds

PACKAGE = "showroom_ros"
PARTS = {
    "keyframe_node": "keyframes.launch.py",
    "reconstruction_node": "reconstruction.launch.py",
    "viewer_node": "viewer.launch.py",
    "inpainting_node": "inpainting.launch.py",
    "depth_completion_node": "depth_completion.launch.py",
}
_FOR_EVERY_NODE = ("namespace", "params_file", "log_level")


def showroom_launch_description() -> LaunchDescription:
    """Everything ``showroom.launch.py`` starts."""
    return LaunchDescription([*_declared(ARGUMENTS), OpaqueFunction(function=_compose)])


def node_launch_description(node: str) -> LaunchDescription:
    """A part that starts one node; its arguments are those of the whole that concern this node."""
    arguments = arguments_of(node)

    def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
        values = _values(context, arguments)
        overrides = node_parameters(node, values)
        files = [values["params_file"]] if values["params_file"] else []
        files += [_parameter_file(overrides, f"/**/{node}")] if overrides else []
        return [
            Node(
                package=PACKAGE,
                executable=node,
                name=node,
                namespace=values["namespace"],
                parameters=files,
                ros_arguments=["--log-level", values["log_level"]],
                output="screen",
            )
        ]

    return LaunchDescription([*_declared(arguments), OpaqueFunction(function=start)])


def rosbag_launch_description() -> LaunchDescription:
    """A part that replays a bag."""
    arguments = [item for item in ARGUMENTS if item.name in ("rosbag", "rosbag_args")]

    def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
        # a file, because launch_ros writes lists in dictionaries as tuples, which only Python reads
        parameters = _parameter_file(bag_parameters(**_values(context, arguments)))
        return [
            Node(
                package=PACKAGE,
                executable="bag_player_node",
                name="bag_player_node",
                parameters=[parameters],
                output="screen",
            )
        ]

    return LaunchDescription([*_declared(arguments), OpaqueFunction(function=start)])


def rviz_launch_description() -> LaunchDescription:
    """A part that opens RViz."""
    arguments = [item for item in ARGUMENTS if item.name in ("rviz_cfg", "namespace", "world_frame")]

    def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
        values = _values(context, arguments)
        config = Path(values["rviz_cfg"] or share_folder() / "config" / "rviz" / "showroom.rviz")
        frame = ["--fixed-frame", values["world_frame"]] if values["world_frame"] else []
        return [
            Node(
                package="rviz2",
                executable="rviz2",
                name="rviz2",
                arguments=["--display-config", str(config), *frame],
                remappings=rviz_remappings(config, values["namespace"]),
                output="log",
            )
        ]

    return LaunchDescription([*_declared(arguments), OpaqueFunction(function=start)])


def arguments_of(node: str) -> list[Argument]:
    """The launch arguments one node's part takes."""
    transports = ("rgb_topic", "depth_topic") if node == "keyframe_node" else ()
    names = (*_FOR_EVERY_NODE, *transports)
    return [item for item in ARGUMENTS if node in item.nodes or item.name in names]


def share_folder() -> Path:
    """The installed share folder of this package."""
    return Path(get_package_share_directory(PACKAGE))


def _compose(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = _values(context, ARGUMENTS)
    share = share_folder()
    plan = make_plan(values, share)
    parts = [_include(share, PARTS[node], values, arguments_of(node)) for node in plan.nodes]
    if plan.rviz_config is not None:
        rviz_values = {**values, "rviz_cfg": str(plan.rviz_config)}
        parts.append(_include(share, "rviz.launch.py", rviz_values, ("rviz_cfg", "namespace", "world_frame")))
    actions: list[LaunchDescriptionEntity] = [
        *(SetEnvironmentVariable(name, value) for name, value in _dds_environment().items()),
        GroupAction([*_common(plan), *parts]),
    ]
    if plan.bag_parameters is not None:
        actions.append(_include(share, "rosbag.launch.py", values, ("rosbag", "rosbag_args")))
    return actions


def _common(plan: LaunchPlan) -> list[LaunchDescriptionEntity]:
    """What holds for all nodes of the group; parameters set here lose against every other."""
    actions: list[LaunchDescriptionEntity] = [SetParameter("use_sim_time", plan.use_sim_time)]
    if plan.sensor_settings:
        actions.append(SetParametersFromFile(_parameter_file(plan.sensor_settings)))
    return actions + [SetRemap(source, target) for source, target in plan.remappings]


def _include(
    share: Path, part: str, values: Mapping[str, str], arguments: Iterable[Argument | str]
) -> IncludeLaunchDescription:
    names = [item if isinstance(item, str) else item.name for item in arguments]
    source = PythonLaunchDescriptionSource(str(share / "launch" / "parts" / part))
    return IncludeLaunchDescription(source, launch_arguments=[(name, values[name]) for name in names])


def _declared(arguments: Iterable[Argument]) -> list[DeclareLaunchArgument]:
    return [DeclareLaunchArgument(item.name, default_value=item.default, description=item.doc) for item in arguments]


def _values(context: LaunchContext, arguments: Iterable[Argument]) -> dict[str, str]:
    return {item.name: LaunchConfiguration(item.name).perform(context) for item in arguments}


def _dds_environment() -> dict[str, str]:
    """What ``configure_dds`` adds to this process's environment."""
    added = configure_dds(dict(os.environ))
    return {name: value for name, value in added.items() if os.environ.get(name) != value}


def _parameter_file(settings: Mapping[str, Any], nodes: str = "/**") -> str:
    """A ROS parameter file for ``nodes``.

    Among files, ROS lets the entry win whose name (``/**``, ``/ns/node``) came up last, wherever its values
    stand; ``/**/node`` is a name that no other file uses, so that launch arguments win against them all.
    """
    with tempfile.NamedTemporaryFile("w", prefix="showroom_", suffix=".yaml", delete=False) as file:
        yaml.safe_dump({nodes: {"ros__parameters": dict(settings)}}, file)
        return file.name
