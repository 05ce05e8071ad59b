"""What it costs to publish a mesh: our CDR writer beside lists of message objects."""

from __future__ import annotations

import time
from statistics import median

import numpy as np
import rclpy
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from showroom_ros.ros.cdr import TriangleMarker, marker_array_bytes
from showroom_ros.ros.qos import mesh_qos

_BLOCKS, _TRIANGLES = 100, 300
_REPEATS = 9


def time_publishing(seed: int = 0) -> tuple[float, float]:
    """Publishes 100 blocks of 300 coloured triangles both ways in turn.

    Returns:
        Median milliseconds from arrays to sent: by CDR from numpy, and by message objects.
    """
    rng = np.random.default_rng(seed)
    vertices = rng.random((_BLOCKS, _TRIANGLES * 3, 3), np.float32)
    colors = rng.integers(0, 256, (_BLOCKS, _TRIANGLES * 3, 3), np.uint8)
    triangles = np.arange(_TRIANGLES * 3, dtype=np.int32).reshape(-1, 3)

    def from_numpy() -> bytes:
        markers = [TriangleMarker("measured", i, vertices[i], triangles, colors[i]) for i in range(_BLOCKS)]
        return marker_array_bytes(markers, "odom", 0)

    def from_objects() -> MarkerArray:
        return MarkerArray(markers=[_object_marker(i, vertices[i], colors[i]) for i in range(_BLOCKS)])

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("publish_timing", context=context)
    publisher = node.create_publisher(MarkerArray, "publish_timing/mesh", mesh_qos())
    times_ms: tuple[list[float], list[float]] = ([], [])
    for _ in range(_REPEATS):
        for make, measured in zip((from_numpy, from_objects), times_ms, strict=True):
            start = time.perf_counter()
            publisher.publish(make())
            measured.append((time.perf_counter() - start) * 1e3)
    node.destroy_node()
    context.try_shutdown()
    return median(times_ms[0]), median(times_ms[1])


def _object_marker(index: int, vertices: NDArray[np.float32], colors: NDArray[np.uint8]) -> Marker:
    marker = Marker(ns="measured", id=index, type=Marker.TRIANGLE_LIST)
    marker.header.frame_id = "odom"
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in vertices.astype(float).tolist()]
    marker.colors = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in (colors / 255).tolist()]
    return marker
