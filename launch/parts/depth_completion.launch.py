"""depth_completion_node alone."""

from launch import LaunchDescription
from showroom_ros.nodes.launch_actions import node_launch_description


def generate_launch_description() -> LaunchDescription:
    return node_launch_description("depth_completion_node")
