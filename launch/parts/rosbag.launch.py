"""Replays a bag over topics, with /clock."""

from launch import LaunchDescription
from showroom_ros.nodes.launch_actions import rosbag_launch_description


def generate_launch_description() -> LaunchDescription:
    return rosbag_launch_description()
