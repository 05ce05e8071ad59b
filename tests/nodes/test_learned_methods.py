"""Colour images and poses in, predicted surface out over topics; with a depth camera's holes filled, too."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("showroom_ros.msg")

import node_bench
import rclpy
from node_bench import ViewSender, follow, running_node, state_of, wait_for_status, wait_until
from posed_pictures import PLANE_SWEEP, SECOND_NS, SMALL, StereoRoom, counts
from rclpy.parameter import Parameter
from stereo_room import sideways, true_surface

from showroom_ros.bags.convert import convert
from showroom_ros.evaluation.mesh import evaluate_mesh
from showroom_ros.nodes import reconstruction_node
from showroom_ros.nodes.reconstruction_node import ReconstructionNode
from showroom_ros.nodes.replay_run import replay_through_nodes
from showroom_ros.reconstruction.estimator import Estimate
from showroom_ros.scene.view import Provenance, View
from showroom_ros.settings import Settings, override

pytestmark = pytest.mark.ros


def test_a_bag_of_colour_and_poses_becomes_a_scored_mesh(tmp_path: Path) -> None:
    room = StereoRoom(sideways(10, 0.12))
    convert(room, tmp_path / "bag", image_format="raw")
    settings = override(Settings(), {**PLANE_SWEEP, **SMALL, "keyframes.use_depth": False})
    result = replay_through_nodes(tmp_path / "bag", settings, one_process=True, log_file=tmp_path / "nodes.log")
    assert (result.frames_in, result.keyframes, result.keyframes_dropped) == (10, 10, 0)
    assert set(result.mesh.provenance) == {Provenance.PREDICTED}
    scores = evaluate_mesh(result.mesh, true_surface(room.poses), samples=20_000)
    assert scores.f_score[0.05] > 0.8, scores  # 0.91 measured
    assert scores.color_error < 25, scores


class Slow:
    """Takes its time with depth that is given; notes the settings it is told."""

    needs_pose = True

    def __init__(self) -> None:
        self.settings: Settings | None = None

    def estimate(self, view: View, volume: object) -> Estimate:
        if view.stamp_ns >= SECOND_NS:  # not while warming up
            time.sleep(0.5)
        return Estimate(dataclasses.replace(view, depth=np.full(view.image.shape[:2], 1.0, np.float32)))

    def reset(self) -> None:
        """Nothing is remembered."""

    def apply(self, settings: Settings) -> None:
        self.settings = settings


def test_services_answer_between_views_and_the_queue_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    monkeypatch.setattr(reconstruction_node, "make_estimator", lambda settings: slow)
    node_bench.fresh_namespace()
    sender = ViewSender()
    with running_node(tmp_path, **SMALL, **{"reconstruction.queue_size": 6}) as node, follow() as client:
        sender.send(*StereoRoom(sideways(20, 0.01)))
        wait_for_status(client, views_received=20, views_fused=1)
        assert "are still to be fused" in client.trigger("pause")
        assert "are still to be fused" in client.file_service("save_map", "between.map")
        assert (tmp_path / "between.map").is_file()
        surer = Parameter("reconstruction.min_confidence", value=0.6)
        assert node.set_parameters([surer])[0].successful
        assert slow.settings is not None
        assert slow.settings.reconstruction.min_confidence == 0.6
        assert node._worker.waiting, "all of that was answered before the last view"
        wait_until(lambda: not node._worker.waiting, "the rest")
        wait_for_status(client, views_dropped=1)
        time.sleep(1.5)
        status = client.status
        assert status.views_fused + status.views_dropped == 20
        assert status.estimate_ms >= 500
        assert status.estimate_ms > status.integrate_ms
    sender.close()


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny IOAR network that has learnt nothing."""
    torch = pytest.importorskip("torch")
    from showroom_ros.networks.ioar import KIND
    from showroom_ros.networks.ioar_settings import IoarSettings
    from showroom_ros.networks.weights import save_weights

    settings = IoarSettings(
        backbone="light",
        pyramid_channels=8,
        feature_channels=(8, 4, 4),
        attention_layers=(0, 0, 0),
        unet_widths=(2, 2, 2),
        voxel_norm="layer",
        fine_classes=False,
    )
    path = tmp_path_factory.mktemp("weights") / "ioar.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_weights(path, KIND, settings, KIND.build(settings).state_dict(), {})
    return path


def test_ioar_runs_in_the_node(tmp_path: Path, random_weights: Path) -> None:
    node_bench.fresh_namespace()
    sender = ViewSender()
    settings = {"reconstruction.method": "ioar", "reconstruction.model_file": str(random_weights)}
    with running_node(tmp_path, **SMALL, **settings) as node, follow() as client:
        sender.send(*StereoRoom(sideways(3, 0.3)))
        wait_until(lambda: client.status and sum(counts(client)) == 3, "three views", 240.0)
        fused, without_depth, rejected = counts(client)
        assert (without_depth, rejected) == (1, 0), client.status
        assert fused == 2, "predicted voxels"
        assert set(client.mesh().provenance) <= {Provenance.PREDICTED}
        assert client.status.views_dropped == 0
        assert state_of(node) == "active"
    sender.close()


@pytest.mark.parametrize(
    ("method", "model_file", "message"),
    [
        ("plane_sweep", "{tmp}/nothing.safetensors", "nothing.safetensors"),
        ("plane_sweep", "{tmp}/broken.safetensors", "broken.safetensors"),
        ("plane_sweep", "{ioar}", "weights are of the network 'ioar', expected 'plane_sweep'"),
        ("ioar", "none", "cannot do without a network"),
    ],
)
def test_weights_that_cannot_be_used_fail_configure(
    tmp_path: Path, random_weights: Path, method: str, model_file: str, message: str
) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      and then nothing")
    context = rclpy.Context()
    rclpy.init(context=context)
    values = {
        "autostart": False,
        "reconstruction.method": method,
        "reconstruction.model_file": model_file.format(tmp=tmp_path, ioar=random_weights),
    }
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = ReconstructionNode(context=context, parameter_overrides=overrides)
    try:
        node.trigger_configure()
        assert state_of(node) == "unconfigured"
        assert message in node.errors.last
        assert node.fatal_error is None
    finally:
        node.destroy_node()
        context.try_shutdown()
