"""Rosbags without ROS: read ROS 1 and ROS 2 bags, write rosbag2."""
