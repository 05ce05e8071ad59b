"""The whole graph as users start it: a bag through real processes, a scored mesh back over topics."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("showroom_ros.msg")

from showroom_ros.bags.convert import convert
from showroom_ros.cli.scoring import visible_part
from showroom_ros.datasets.synthetic.sequence import SyntheticSequence
from showroom_ros.errors import ShowroomError
from showroom_ros.evaluation.mesh import evaluate_mesh
from showroom_ros.nodes.graph import GraphOptions, NodeGraph
from showroom_ros.nodes.map_client import MapClient
from showroom_ros.nodes.replay_run import keyframe_latencies_ms, replay_through_nodes
from showroom_ros.scene.view import Provenance
from showroom_ros.settings import Settings, override

pytestmark = pytest.mark.ros

ROOM = SyntheticSequence(5, frames=90, width=320, height=240)
SETTINGS = override(Settings(), {"map.voxel_size_m": 0.03, "map.truncation_m": 0.1})


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bag") / "room"
    convert(ROOM, path, image_format="jpeg")
    return path


@pytest.mark.parametrize("one_process", [False, True])
def test_bag_in_scored_mesh_out(bag: Path, tmp_path: Path, one_process: bool) -> None:
    settings = override(SETTINGS, {"sync.color_transport": "compressed", "sync.depth_transport": "compressedDepth"})
    result = replay_through_nodes(bag, settings, log_file=tmp_path / "nodes.log", one_process=one_process)
    assert result.frames_in == 90
    assert result.keyframes >= 4
    assert result.keyframes_dropped == 0
    assert np.isfinite(result.latency_ms).all()
    assert len(result.latency_ms) == result.keyframes
    scores = evaluate_mesh(result.mesh, ROOM.mesh, samples=50_000, visible=visible_part(ROOM, SETTINGS.map))
    assert scores.precision[0.05] > 0.95, scores
    assert scores.f_score[0.05] > 0.85, scores  # keyframes only, noisy depth with holes
    assert scores.color_error < 25, scores
    assert set(result.mesh.provenance) == {Provenance.MEASURED}


def test_latency_counts_the_last_message_of_the_first_mesh_that_holds_a_keyframe() -> None:
    arrivals = [(10, 1_000_000), (20, 5_000_000), (20, 7_000_000), (30, 9_000_000)]
    latencies = keyframe_latencies_ms([10, 15, 20, 99], arrivals, {10: 0, 15: 2_000_000, 20: 4_000_000, 99: 0})
    np.testing.assert_allclose(latencies, [1.0, 5.0, 3.0])


def test_ctrl_c_ends_every_node_cleanly(tmp_path: Path) -> None:
    with MapClient() as client:
        graph = NodeGraph(SETTINGS, GraphOptions(log_file=tmp_path / "nodes.log"))
        graph.start()
        deadline = time.monotonic() + 240
        while client.status is None and time.monotonic() < deadline:
            graph.check_alive()
            time.sleep(0.1)
        codes = graph.stop()
    assert codes == {"keyframe_node": 0, "reconstruction_node": 0}
    assert "Traceback" not in (tmp_path / "nodes.log").read_text()


def test_a_node_that_cannot_start_is_named(tmp_path: Path) -> None:
    settings = override(SETTINGS, {"reconstruction.device": "cuda"})
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    options = GraphOptions(nodes=("reconstruction_node",), log_file=tmp_path / "log")
    with NodeGraph(settings, options) as graph, pytest.raises(ShowroomError, match="reconstruction_node"):
        wait_for_its_end(graph)
    assert "cuda" in (tmp_path / "log").read_text().lower()


def wait_for_its_end(graph: NodeGraph) -> None:
    for _ in range(600):
        graph.check_alive()
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_showroom_run_stops_its_nodes_when_told_to_end(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "showroom_ros.cli.main", "run", "--log-level", "warn"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    with MapClient() as client:
        deadline = time.monotonic() + 240
        while client.status is None and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        assert client.status is not None
    nodes = psutil.Process(process.pid).children()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert len(nodes) == 2
    assert not any(node.is_running() for node in nodes)
