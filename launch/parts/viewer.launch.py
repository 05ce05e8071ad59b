"""viewer_node alone: the browser page of a map that is already running."""

from launch import LaunchDescription
from showroom_ros.nodes.launch_actions import node_launch_description


def generate_launch_description() -> LaunchDescription:
    return node_launch_description("viewer_node")
