"""RViz with the displays of the map."""

from launch import LaunchDescription
from showroom_ros.nodes.launch_actions import rviz_launch_description


def generate_launch_description() -> LaunchDescription:
    return rviz_launch_description()
