"""The camera's pose at the time of an image: from TF, from an odometry or pose topic, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray

from showroom_ros.errors import InputError, TransformError
from showroom_ros.geometry.transform_tree import JUMP_BACK_NS, MissingFrameError, PoseHistory, TransformSource
from showroom_ros.ros.conversions import ns_from_stamp, pose_matrix
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.ros.qos import input_qos
from showroom_ros.settings import PoseSettings


class PoseSource:
    """Answers with ``T_world_camera``; this one looks into TF."""

    def __init__(self, transforms: TransformSource, world_frame: str) -> None:
        """Poses are given in ``world_frame``."""
        self._transforms, self._world_frame = transforms, world_frame

    def pose(self, camera_frame: str, stamp_ns: int) -> NDArray[np.float64] | None:
        """``T_world_camera`` [4, 4] at ``stamp_ns``, None where views have no poses.

        Raises:
            TransformError: it is not known, or not yet (``transforms.may_come``).
        """
        return self._transforms.lookup(self._world_frame, camera_frame, stamp_ns)

    def time_jumped_back(self, stamp_ns: int) -> None:
        """Forgets what was heard of before time was set back to ``stamp_ns``."""
        self._transforms.time_jumped_back(stamp_ns)

    def set_max_gap(self, max_gap_s: float) -> None:
        """Changes over how long a gap poses are interpolated."""


class NoPoses(PoseSource):
    """Views without poses."""

    def pose(self, camera_frame: str, stamp_ns: int) -> None:
        """Always None."""
        return None


class TopicPoses(PoseSource):
    """Poses of a topic, with TF only for what lies between its frames and ours.

    An ``Odometry`` says where ``child_frame_id`` is; a ``PoseStamped`` is taken for the pose of the
    camera's optical frame itself.
    """

    def __init__(self, transforms: TransformSource, settings: PoseSettings, topic: str) -> None:
        """``topic`` names the source in errors."""
        super().__init__(transforms, settings.world_frame)
        self._lock = threading.Lock()
        self._history = PoseHistory(int(settings.history_s * 1e9), int(settings.max_gap_s * 1e9), topic)
        self._topic = topic
        self._frames: tuple[str, str] | None = None
        self._has_jumped = False

    def insert(self, parent: str, child: str, stamp_ns: int, pose: NDArray[np.float64]) -> None:
        """Adds the pose of frame ``child`` (empty: the camera) in frame ``parent``.

        Raises:
            InputError: ``parent`` is empty.
        """
        if not parent:
            raise InputError(f"{self._topic}: header.frame_id is empty, expected the frame the pose is given in")
        with self._lock:
            newest_ns = self._history.newest_ns
            went_back = newest_ns is not None and newest_ns - stamp_ns >= JUMP_BACK_NS
            self._has_jumped = self._has_jumped or went_back
            if went_back or self._frames not in (None, (parent, child)):
                self._history.clear()
            self._frames = (parent, child)
            self._history.insert(stamp_ns, pose)

    def pose(self, camera_frame: str, stamp_ns: int) -> NDArray[np.float64]:
        """``T_world_camera`` [4, 4]; raises ``TransformError``."""
        with self._lock:
            if self._frames is None:
                raise MissingFrameError(f"{self._topic}: no pose has arrived")
            parent, child = self._frames
            T_parent_child = self._history.at(stamp_ns)
        try:
            T_world_parent = self._transforms.lookup(self._world_frame, parent, stamp_ns)
            T_child_camera = self._transforms.lookup(child or camera_frame, camera_frame, stamp_ns)
        except TransformError as error:
            raise type(error)(
                f"{self._topic}: pose of '{child or camera_frame}' in '{parent}', wanted '{camera_frame}' in "
                f"'{self._world_frame}' (pose.world_frame): {error}"
            ) from error
        return T_world_parent @ T_parent_child @ T_child_camera

    def time_jumped_back(self, stamp_ns: int) -> None:
        """Forgets poses of before the jump."""
        super().time_jumped_back(stamp_ns)
        with self._lock:
            newest_ns = self._history.newest_ns
            is_old = newest_ns is not None and newest_ns - stamp_ns >= JUMP_BACK_NS
            if is_old and not self._has_jumped:
                self._history.clear()
            self._has_jumped = False

    def set_max_gap(self, max_gap_s: float) -> None:
        """Changes over how long a gap poses are interpolated."""
        with self._lock:
            self._history.max_gap_ns = int(max_gap_s * 1e9)


def make_pose_source(
    node: ShowroomNode, settings: PoseSettings, transforms: TransformSource, on_update: Callable[[], None]
) -> PoseSource:
    """The source that ``pose.source`` names, listening while ``node`` is active; ``on_update`` after each pose."""
    if settings.source == "none":
        return NoPoses(transforms, settings.world_frame)
    if settings.source == "tf":
        return PoseSource(transforms, settings.world_frame)
    topic = node.resolve_topic_name(settings.source)
    poses = TopicPoses(transforms, settings, topic)

    def receive_odometry(message: Odometry) -> int:
        stamp_ns = ns_from_stamp(message.header.stamp)
        pose = pose_matrix(message.pose.pose, topic)
        poses.insert(message.header.frame_id, message.child_frame_id, stamp_ns, pose)
        on_update()
        return stamp_ns

    def receive_pose(message: PoseStamped) -> int:
        stamp_ns = ns_from_stamp(message.header.stamp)
        poses.insert(message.header.frame_id, "", stamp_ns, pose_matrix(message.pose, topic))
        on_update()
        return stamp_ns

    kind, callback = (Odometry, receive_odometry) if settings.source == "odom" else (PoseStamped, receive_pose)
    node.create_input(kind, settings.source, callback, input_qos("SENSOR_DATA", depth=100), raw=False)
    return poses
