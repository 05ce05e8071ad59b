"""Camera or bag in, map out: ``ros2 launch showroom_ros showroom.launch.py --show-args`` lists the arguments.

What wins when a thing is set twice: launch arguments, then params_file, then the sensor overlay, then the
defaults in showroom_ros/settings.py.

    ros2 launch showroom_ros showroom.launch.py sensor:=realsense_d435 rviz:=true
    ros2 launch showroom_ros showroom.launch.py rosbag:=my_bag rosbag_args:="--rate 0.5" viewer:=true
"""

from launch import LaunchDescription
from showroom_ros.nodes.launch_actions import showroom_launch_description


def generate_launch_description() -> LaunchDescription:
    return showroom_launch_description()
