"""``showroom benchmark stream``: what the running graph holds, sends and costs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import rclpy
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from showroom_ros.bags.convert import convert
from showroom_ros.evaluation.benchmark import BenchmarkResult, Row
from showroom_ros.nodes.graph import GraphOptions, NodeGraph
from showroom_ros.nodes.map_client import MapClient
from showroom_ros.nodes.replay_run import ReplayResult, cpu_seconds, replay_through_nodes
from showroom_ros.ros.cdr import TriangleMarker, marker_array_bytes
from showroom_ros.ros.qos import mesh_qos
from showroom_ros.scene.view import SensorFrame, Sequence, View
from showroom_ros.settings import Settings, to_dict

CAMERA_RATE_HZ = 30.0
SPEEDS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_CLIP_FRAMES = 120
_BLOCKS, _TRIANGLES = 100, 300
_REPEATS = 9
_IDLE_S = 5.0


def run(sequence: Sequence, max_frames: int = _CLIP_FRAMES) -> BenchmarkResult:
    """Plays the first frames of ``sequence`` as raw images ever faster, then measures publishing and idling.

    Args:
        sequence: RGB-D recording at about 30 Hz.
        max_frames: length of the clip.
    """
    settings = Settings()
    with tempfile.TemporaryDirectory(prefix="showroom_stream_") as folder:
        bag = Path(folder) / "clip"
        convert(Clip(sequence, max_frames), bag, rate_hz=CAMERA_RATE_HZ)
        speed, result = _fastest_without_drops(bag, settings)
    rows = [
        Row("max_rate_hz", speed * CAMERA_RATE_HZ, "Hz", CAMERA_RATE_HZ, speed),
        *_replay_rows(result),
        _publishing_row(),
        Row("idle_cpu_cores", _idle_cores(settings), "cores", None, None),
    ]
    return BenchmarkResult("stream", to_dict(settings), rows)


class Clip:
    """The first frames of a sequence."""

    def __init__(self, sequence: Sequence, frames: int) -> None:
        """The first ``frames`` of ``sequence``."""
        self._sequence, self._frames = sequence, min(frames, len(sequence))
        self.name = sequence.name

    def __len__(self) -> int:
        """Number of frames."""
        return self._frames

    def __getitem__(self, index: int) -> View:
        """The frame as a view."""
        return self._sequence[index]

    def frame(self, index: int) -> SensorFrame:
        """The frame as the sensor delivered it."""
        return self._sequence.frame(index)


def _fastest_without_drops(bag: Path, settings: Settings) -> tuple[float, ReplayResult]:
    """The highest speed at which every image and every keyframe got through; speed 0 if none did."""
    best_speed, best = 0.0, None
    for speed in SPEEDS:
        result = replay_through_nodes(bag, settings, rate=speed)
        if result.keyframes_dropped or result.frames_received < result.frames_in:
            best = best or result
            break
        best_speed, best = speed, result
    assert best is not None  # SPEEDS is not empty
    return best_speed, best


def _replay_rows(result: ReplayResult) -> list[Row]:
    latencies = result.latency_ms if len(result.latency_ms) else np.array([np.nan])
    return [
        Row("latency_p50_ms", float(np.percentile(latencies, 50)), "ms", None, None),
        Row("latency_p95_ms", float(np.percentile(latencies, 95)), "ms", None, None),
        Row("published_bytes_per_s", result.bytes_received / result.duration_s, "B/s", None, None),
        Row("graph_cpu_cores", result.cpu_s / result.duration_s, "cores", None, None),
    ]


def _publishing_row() -> Row:
    """30,000 coloured triangles, from arrays to sent: our CDR writer and the lists of message objects."""
    rng = np.random.default_rng(0)
    vertices = rng.random((_BLOCKS, _TRIANGLES * 3, 3), np.float32)
    colors = rng.integers(0, 256, (_BLOCKS, _TRIANGLES * 3, 3), np.uint8)
    triangles = np.arange(_TRIANGLES * 3, dtype=np.int32).reshape(-1, 3)

    def ours() -> bytes:
        markers = [TriangleMarker("measured", i, vertices[i], triangles, colors[i]) for i in range(_BLOCKS)]
        return marker_array_bytes(markers, "odom", 0)

    def objects() -> MarkerArray:
        return MarkerArray(markers=[_object_marker(i, vertices[i], colors[i]) for i in range(_BLOCKS)])

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("publishing_benchmark", context=context)
    publisher = node.create_publisher(MarkerArray, "benchmark_mesh", mesh_qos())
    ours_ms, objects_ms = _alternate([lambda: publisher.publish(ours()), lambda: publisher.publish(objects())])
    node.destroy_node()
    context.try_shutdown()
    return Row("publish_mesh_ms", ours_ms, "ms", objects_ms, ours_ms / objects_ms)


def _object_marker(index: int, vertices: np.ndarray, colors: np.ndarray) -> Marker:
    marker = Marker(ns="measured", id=index, type=Marker.TRIANGLE_LIST)
    marker.header.frame_id = "odom"
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in vertices.astype(float).tolist()]
    marker.colors = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in (colors / 255).tolist()]
    return marker


def _alternate(actions: list[Callable[[], object]]) -> list[float]:
    """Median milliseconds of each action, measured in turn."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(_REPEATS):
        for action, measured in zip(actions, times, strict=True):
            start = time.perf_counter()
            action()
            measured.append((time.perf_counter() - start) * 1e3)
    return [median(measured) for measured in times]


def _idle_cores(settings: Settings) -> float:
    """Processor use of the started graph without any input."""
    with MapClient() as client, NodeGraph(settings, GraphOptions()) as graph:
        while client.status is None:
            graph.check_alive()
            time.sleep(0.1)
        before_s = cpu_seconds(graph)
        time.sleep(_IDLE_S)
        return (cpu_seconds(graph) - before_s) / _IDLE_S
