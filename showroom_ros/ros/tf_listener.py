"""Feeds transforms from topics: ``tf2_ros`` where it is installed, our own buffer otherwise."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.time import Time

from showroom_ros.errors import InputError, ShowroomError, TransformError
from showroom_ros.geometry.transform_tree import (
    DisconnectedError,
    MissingFrameError,
    NotYetError,
    TooOldError,
    TransformBuffer,
    TransformSource,
)
from showroom_ros.ros.conversions import ns_from_stamp, transform_matrix
from showroom_ros.ros.interfaces import TFMessage
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.ros.qos import tf_qos, tf_static_qos
from showroom_ros.settings import PoseSettings


def make_transform_listener(
    node: ShowroomNode, settings: PoseSettings, on_update: Callable[[], None]
) -> TransformSource:
    """Starts listening to ``/tf`` and ``/tf_static`` while the node is active.

    Args:
        node: gets the subscriptions.
        settings: history and gap.
        on_update: called when transforms have arrived, on an executor thread.
    """
    if importlib.util.find_spec("tf2_ros") is not None:
        return Tf2Buffer(node, settings.history_s)
    buffer = TransformBuffer(settings.history_s, settings.max_gap_s)
    listen(node, buffer, on_update)
    return buffer


def listen(node: ShowroomNode, buffer: TransformBuffer, on_update: Callable[[], None]) -> None:
    """Subscribes ``buffer`` to ``/tf`` and ``/tf_static``; bad transforms are reported and left out."""

    def receive(message: TFMessage, is_static: bool) -> int | None:
        stamp_ns = None
        for item in message.transforms:
            stamp_ns = ns_from_stamp(item.header.stamp)
            try:
                name = f"/tf: {item.header.frame_id} <- {item.child_frame_id}"
                matrix = transform_matrix(item.transform, name)
                buffer.insert(item.header.frame_id, item.child_frame_id, stamp_ns, matrix, is_static=is_static)
            except (InputError, TransformError) as error:
                node.report(error)
        on_update()
        return stamp_ns

    node.create_input(TFMessage, "/tf", lambda message: receive(message, False), tf_qos(), raw=False, is_required=False)
    node.create_input(
        TFMessage, "/tf_static", lambda message: receive(message, True), tf_static_qos(), raw=False, is_required=False
    )


class Tf2Buffer:
    """``tf2_ros`` with the errors of this package; it interpolates over gaps of any length."""

    def __init__(self, node: ShowroomNode, history_s: float) -> None:
        """Starts the listener on the node's own executor."""
        import tf2_ros

        self._tf2: Any = tf2_ros
        # node= lets the buffer see simulated time going backwards
        self._buffer = tf2_ros.Buffer(cache_time=Duration(seconds=history_s), node=node)
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)
        node.on_close(self._listener.unregister)

    def lookup(self, target: str, source: str, stamp_ns: int) -> NDArray[np.float64]:
        """``T_target_source`` [4, 4] at ``stamp_ns``; raises ``TransformError``."""
        try:
            found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
        except self._tf2.TransformException as error:
            raise self._translated(error) from error
        return transform_matrix(found.transform, f"/tf: {target} <- {source}")

    def time_jumped_back(self, stamp_ns: int) -> None:
        """Forgets what was heard; ``tf2`` clears itself only when simulated time goes back."""
        self._buffer.clear()

    def _translated(self, error: Exception) -> ShowroomError:
        text = f"/tf: {error}"
        if isinstance(error, self._tf2.LookupException):
            return MissingFrameError(text)
        if isinstance(error, self._tf2.ConnectivityException):
            return DisconnectedError(text)
        if isinstance(error, self._tf2.ExtrapolationException):
            return TooOldError(text) if "past" in str(error) else NotYetError(text)
        return TransformError(text)
