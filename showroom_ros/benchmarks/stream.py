"""``showroom benchmark stream``: what the running graph holds, sends and costs, also while it completes the scene."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from showroom_ros.bags.convert import convert
from showroom_ros.evaluation.benchmark import BenchmarkResult, Row
from showroom_ros.nodes.graph import GraphOptions, NodeGraph
from showroom_ros.nodes.map_client import MapClient
from showroom_ros.nodes.publish_timing import time_publishing
from showroom_ros.nodes.replay_run import ReplayResult, cpu_seconds, replay_through_nodes
from showroom_ros.scene.view import Provenance, SensorFrame, Sequence, View
from showroom_ros.settings import Settings, to_dict

CAMERA_RATE_HZ = 30.0
SPEEDS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_CLIP_FRAMES = 120
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
        completing = _completing_rows(bag, settings)
    rows = [
        Row("max_rate_hz", speed * CAMERA_RATE_HZ, "Hz", CAMERA_RATE_HZ, speed),
        *_replay_rows(result),
        *completing,
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


def _completing_rows(bag: Path, settings: Settings) -> list[Row]:
    """At the camera's rate, with completion going on all the time; the reference is the same without."""
    completion = replace(settings.completion, mode="continuous")
    alone = replay_through_nodes(bag, settings)
    result = replay_through_nodes(
        bag, replace(settings, completion=completion), extra_nodes=("inpainting_node", "depth_completion_node")
    )
    medians = [float(np.median(one.latency_ms)) if len(one.latency_ms) else np.nan for one in (result, alone)]
    generated = float((result.mesh.provenance == Provenance.GENERATED).mean()) if len(result.mesh.provenance) else 0.0
    return [
        Row("completing_keyframes", result.keyframes, "count", alone.keyframes, result.keyframes / alone.keyframes),
        Row("completing_dropped", result.keyframes_dropped, "count", alone.keyframes_dropped, None),
        Row("completing_latency_p50_ms", medians[0], "ms", medians[1], medians[0] / medians[1]),
        Row("completing_generated_share", generated, "share", None, None),
    ]


def _publishing_row() -> Row:
    ours_ms, objects_ms = time_publishing()
    return Row("publish_mesh_ms", ours_ms, "ms", objects_ms, ours_ms / objects_ms)


def _idle_cores(settings: Settings) -> float:
    """Processor use of the started graph without any input."""
    with MapClient() as client, NodeGraph(settings, GraphOptions()) as graph:
        while client.status is None:
            graph.check_alive()
            time.sleep(0.1)
        before_s = cpu_seconds(graph)
        time.sleep(_IDLE_S)
        return (cpu_seconds(graph) - before_s) / _IDLE_S
