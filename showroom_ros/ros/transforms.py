"""The transform tree, which bags use without ROS too: see ``geometry.transform_tree``."""

from showroom_ros.geometry.transform_tree import (
    DisconnectedError,
    GapError,
    Matrix,
    MissingFrameError,
    NotYetError,
    PoseHistory,
    TooOldError,
    TransformBuffer,
    TransformSource,
    may_come,
)

__all__ = [
    "DisconnectedError",
    "GapError",
    "Matrix",
    "MissingFrameError",
    "NotYetError",
    "PoseHistory",
    "TooOldError",
    "TransformBuffer",
    "TransformSource",
    "may_come",
]
