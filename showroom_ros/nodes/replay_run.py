"""A bag through the real nodes over real topics, and what a subscriber got: for the demo, benchmarks and tests."""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from showroom_ros.errors import ShowroomError
from showroom_ros.nodes.bag_player_node import BagPlayer
from showroom_ros.nodes.graph import GraphOptions, NodeGraph
from showroom_ros.nodes.map_client import MapClient
from showroom_ros.ros.map_status import is_dealt_with
from showroom_ros.scene.mesh import Mesh
from showroom_ros.settings import Settings

COLOR_TOPICS = ("/camera/color/image", "/camera/color/image/compressed")
_START_TIMEOUT_S = 120.0
_SETTLE_S = 2.0
_SETTLE_TIMEOUT_S = 30.0


@dataclass(frozen=True, eq=False)
class ReplayResult:
    """What came back over topics.

    Attributes:
        mesh: all mesh blocks received.
        frames_in: colour images played.
        frames_received: colour images that reached keyframe_node (inputs are best effort).
        keyframes: views the reconstruction node received.
        keyframes_dropped: frames or views lost in any queue of the graph.
        latency_ms: per keyframe, from playing its image to having received the mesh that holds it.
        peak_memory_mb: resident memory of all node processes at their peaks, added up.
        bytes_received: size of all mesh messages.
        duration_s: length of the replay.
        cpu_s: processor time of all node processes during the replay.
    """

    mesh: Mesh
    frames_in: int
    frames_received: int
    keyframes: int
    keyframes_dropped: int
    latency_ms: np.ndarray
    peak_memory_mb: float
    bytes_received: int
    duration_s: float
    cpu_s: float


def replay_through_nodes(
    bag: Path,
    settings: Settings,
    *,
    rate: float = 1.0,
    log_file: Path | None = None,
    extra_nodes: tuple[str, ...] = (),
    one_process: bool = False,
    progress: Callable[[int, int], None] | None = None,
    before_stop: Callable[[], None] = lambda: None,
) -> ReplayResult:
    """Starts the graph, plays ``bag`` in real time times ``rate``, waits until all is meshed, stops the graph.

    Args:
        bag: rosbag2 with ``/camera/color/image`` (raw or compressed).
        settings: for all nodes.
        rate: speed of the replay.
        log_file: where the nodes' output goes.
        extra_nodes: started beside keyframe and reconstruction node (``viewer_node``).
        one_process: all nodes in one process instead of one each.
        progress: called with (done, total) messages.
        before_stop: called while the graph still runs.

    Raises:
        ShowroomError: a node did not come up, or ended early.
    """
    nodes = ("keyframe_node", "reconstruction_node", *extra_nodes)
    options = GraphOptions(nodes=nodes, one_process=one_process, use_sim_time=True, log_file=log_file)
    with MapClient() as client, NodeGraph(settings, options) as graph:
        _wait_until_up(client, graph)
        cpu_before_s = cpu_seconds(graph)
        with BagPlayer(bag, rate=rate, wait_for_subscribers_s=_START_TIMEOUT_S, progress=progress) as player:
            started = time.monotonic()
            player.play()
            duration_s = time.monotonic() - started
            published = {stamp: wall for topic in COLOR_TOPICS for stamp, wall in player.image_times(topic)}
        cpu_s = cpu_seconds(graph) - cpu_before_s
        _wait_until_settled(client, graph)
        peak_memory_mb = sum(_peak_memory_mb(pid) for pid in graph.process_ids.values())
        before_stop()
    status = client.status
    if status is None:
        raise ShowroomError("no status arrived from reconstruction_node")
    return ReplayResult(
        mesh=client.mesh(),
        frames_in=len(published),
        frames_received=_received(client.diagnostics),
        keyframes=status.views_received,
        keyframes_dropped=status.views_dropped + _dropped(client.diagnostics),
        latency_ms=keyframe_latencies_ms(client.keyframe_stamps_ns, client.arrivals, published),
        peak_memory_mb=peak_memory_mb,
        bytes_received=client.bytes_received,
        duration_s=duration_s,
        cpu_s=cpu_s,
    )


def keyframe_latencies_ms(
    keyframe_stamps_ns: list[int], arrivals: list[tuple[int, int]], published: dict[int, int]
) -> np.ndarray:
    """Per keyframe, milliseconds from playing its image to the last message of the mesh that holds it.

    That is the first mesh whose stamp is at least the keyframe's; large ones come in several messages.

    Args:
        keyframe_stamps_ns: stamps of the keyframes.
        arrivals: ``(newest stamp, wall clock ns)`` per mesh message, in order of arrival.
        published: wall clock ns at which the image of a stamp was played.
    """
    stamps = [stamp for stamp, _ in arrivals]
    latencies = []
    for stamp in keyframe_stamps_ns:
        first = bisect.bisect_left(stamps, stamp)
        if first < len(arrivals) and stamp in published:
            last = bisect.bisect_right(stamps, stamps[first]) - 1
            latencies.append((arrivals[last][1] - published[stamp]) / 1e6)
    return np.array(latencies)


def _wait_until_up(client: MapClient, graph: NodeGraph) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while client.status is None:
        graph.check_alive()
        if time.monotonic() > deadline:
            raise ShowroomError(f"reconstruction_node sent no status within {_START_TIMEOUT_S:g} s")
        time.sleep(0.05)


def _wait_until_settled(client: MapClient, graph: NodeGraph) -> None:
    """Until nothing has arrived for a while and every view received was dealt with, or nothing goes on any more."""
    last: tuple[int, ...] = ()
    since = time.monotonic()
    while time.monotonic() - since < _SETTLE_TIMEOUT_S:
        graph.check_alive()
        status = client.status
        views = (status.views_received, status.views_fused, status.views_without_depth) if status is not None else ()
        state = (len(client.arrivals), *views, len(client.keyframe_stamps_ns))
        if state != last:
            last, since = state, time.monotonic()
        elif status is not None and is_dealt_with(status) and time.monotonic() - since > _SETTLE_S:
            return
        time.sleep(0.05)


def _received(diagnostics: dict[str, dict[str, str]]) -> int:
    """Colour images keyframe_node has counted."""
    return max(
        (int(values["received"]) for values in diagnostics.values() if values.get("topic") in COLOR_TOPICS), default=0
    )


def _dropped(diagnostics: dict[str, dict[str, str]]) -> int:
    """Frames lost in the queues of keyframe_node."""
    counts = [
        int(value)
        for name, values in diagnostics.items()
        if "keyframe_node" in name
        for key, value in values.items()
        if key.startswith("dropped")
    ]
    return sum(counts)


def cpu_seconds(graph: NodeGraph) -> float:
    """Processor time all node processes have used so far."""
    import psutil

    times = [psutil.Process(pid).cpu_times() for pid in graph.process_ids.values()]
    return sum(item.user + item.system for item in times)


def _peak_memory_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
