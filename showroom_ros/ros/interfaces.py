"""The only place that imports messages which are generated, not installed: ours and ``tf2_msgs``."""

from __future__ import annotations

from showroom_ros.errors import MissingDependencyError

try:
    from tf2_msgs.msg import TFMessage

    from showroom_ros.action import CompleteScene, ReconstructImages
    from showroom_ros.msg import Status, View
    from showroom_ros.srv import FilePath
except ImportError as error:
    raise MissingDependencyError(
        f"the ROS messages of showroom_ros were not built for this Python ({error}); "
        "run './run demo' once, or build the package with colcon and source its setup file"
    ) from error

__all__ = ["CompleteScene", "FilePath", "ReconstructImages", "Status", "TFMessage", "View"]
