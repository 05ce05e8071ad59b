"""Colour images and poses in, predicted surface out over topics; with a depth camera's holes filled, too."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("showroom_ros.msg")

import node_bench
import ros_harness
from node_bench import ViewSender, follow, running_node, state_of, wait_for_status, wait_until
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from stereo_room import BALL, BALL_RADIUS_M, picture, sideways, true_depth, true_surface
from tsdf_scenes import triangle_set

from showroom_ros.bags.convert import convert
from showroom_ros.evaluation.mesh import evaluate_mesh
from showroom_ros.geometry.se3 import look_at, transform_points
from showroom_ros.nodes import reconstruction_node
from showroom_ros.nodes.map_client import MapClient
from showroom_ros.nodes.reconstruction_node import ReconstructionNode
from showroom_ros.nodes.replay_run import replay_through_nodes
from showroom_ros.reconstruction.estimator import Estimate
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.ros.cdr import read_image, read_view
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.ros.qos import output_qos, view_qos
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance, SensorFrame, View
from showroom_ros.settings import Settings, override

pytestmark = pytest.mark.ros

SECOND_NS = 1_000_000_000
PLANE_SWEEP = {"reconstruction.method": "plane_sweep", "reconstruction.model_file": "none"}
"""Without a network, so that what is asserted does not depend on weights."""
SMALL = {"map.voxel_size_m": 0.04, "map.truncation_m": 0.16, "reconstruction.image_width": 128}
PATIENT_S = 120.0


@pytest.fixture
def sender() -> Iterator[ViewSender]:
    sender = ViewSender()
    yield sender
    sender.close()


@pytest.fixture(scope="module")
def predicting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ReconstructionNode, MapClient]]:
    """One node for several tests, each of which begins with an empty map."""
    node_bench.fresh_namespace()
    with running_node(tmp_path_factory.mktemp("output"), **PLANE_SWEEP, **SMALL) as node, follow() as client:
        yield node, client


@pytest.fixture
def emptied(predicting: tuple[ReconstructionNode, MapClient]) -> tuple[ReconstructionNode, MapClient]:
    _, client = predicting
    wait_for_status(client)
    client.trigger("reset")
    wait_until(lambda: not len(client.mesh().triangles), "an empty map")
    return predicting


class StereoRoom:
    """The patterned room as a recording of colour and poses alone."""

    name = "stereo room"

    def __init__(self, poses: list[np.ndarray]) -> None:
        self.poses = poses

    def __len__(self) -> int:
        return len(self.poses)

    def __getitem__(self, index: int) -> View:
        return picture(self.poses[index], stamp_ns=SECOND_NS + index * SECOND_NS // 5)

    def frame(self, index: int) -> SensorFrame:
        view = self[index]
        return SensorFrame(view.image, view.camera, T_world_camera=view.T_world_camera, stamp_ns=view.stamp_ns)


def with_depth_but_of_the_ball(view: View) -> View:
    """The view of a depth camera that the ball swallows the light of."""
    pose = view.require_pose()
    depth = true_depth(view.camera, pose)
    points = transform_points(pose, view.camera.back_project(depth))
    hole = np.linalg.norm(points - BALL, axis=-1) < BALL_RADIUS_M + 0.01
    return dataclasses.replace(view, depth=np.where(hole, np.nan, depth).astype(np.float32))


def part_of(mesh: Mesh, provenance: Provenance) -> Mesh:
    """The triangles all of whose corners have it."""
    kept = (mesh.provenance[mesh.triangles] == provenance).all(axis=1)
    return dataclasses.replace(mesh, triangles=mesh.triangles[kept])


def counts(client: MapClient) -> tuple[int, int, int]:
    """Views dealt with: fused, without depth, rejected."""
    status = client.status
    assert status is not None
    return status.views_fused, status.views_without_depth, status.views_rejected


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


def test_holes_are_predicted_and_what_was_measured_stays_to_the_last_bit(
    emptied: tuple[ReconstructionNode, MapClient], sender: ViewSender
) -> None:
    node, client = emptied
    fused, without_depth, rejected = counts(client)
    views = [with_depth_but_of_the_ball(view) for view in StereoRoom(sideways(5, 0.12))]
    sender.send(*views)
    wait_for_status(client, within_s=PATIENT_S, views_fused=fused + 5)
    assert counts(client) == (fused + 5, without_depth, rejected)
    wait_until(lambda: client.arrivals[-1][0] == views[-1].stamp_ns, "the newest mesh")
    alone = Reconstructor(override(node.settings, {"reconstruction.method": "sensor_depth"}))
    for view in views:
        alone.process(view, mesh=False)

    expected = triangle_set(Mesh.concatenate(alone.volume.mesh_blocks().values()))
    wait_until(lambda: triangle_set(part_of(client.mesh(), Provenance.MEASURED)) == expected, "measured surface", 20.0)
    predicted = part_of(client.mesh(), Provenance.PREDICTED)
    assert len(predicted.triangles) > 300
    corners = predicted.vertices[predicted.triangles].reshape(-1, 3)
    off_ball_m = np.abs(np.linalg.norm(corners - BALL, axis=1) - BALL_RADIUS_M)
    assert (off_ball_m < 0.05).mean() > 0.7


def test_views_are_published_as_fused_with_their_confidence(
    emptied: tuple[ReconstructionNode, MapClient], sender: ViewSender
) -> None:
    node, client = emptied
    topics = {"view": ViewMessage, "depth/image": Image, "depth/confidence": Image, "depth/camera_info": CameraInfo}
    got: dict[str, list] = {name: [] for name in topics}
    base = node.get_fully_qualified_name()
    for name, kind in topics.items():
        qos = view_qos() if name == "view" else output_qos()
        raw = name != "depth/camera_info"
        client._node.create_subscription(kind, f"{base}/{name}", got[name].append, qos, raw=raw)
    wait_until(lambda: all(node.count_subscribers(f"{base}/{name}") for name in topics), "all subscriptions")
    views = list(StereoRoom(sideways(3, 0.12)))
    sender.send(*views)
    wait_until(lambda: len(got["view"]) == 3 and all(len(got[name]) >= 2 for name in topics), "views", PATIENT_S)

    assert {name: len(messages) for name, messages in got.items() if name != "view"} == dict.fromkeys(
        ["depth/image", "depth/confidence", "depth/camera_info"], 2
    ), "the first view has no depth yet"
    seen = [read_view(data)[0] for data in got["view"]]
    assert [view.stamp_ns for view in seen] == [view.stamp_ns for view in views]
    assert seen[0].depth is None
    for index, view in enumerate(seen[1:]):
        depth = read_image(got["depth/image"][index], "depth").pixels(np.float32)
        confidence = read_image(got["depth/confidence"][index], "confidence").pixels(np.float32)
        np.testing.assert_array_equal(depth, view.depth)
        np.testing.assert_array_equal(confidence, view.confidence)
        known = np.isfinite(depth)
        assert known.mean() > 0.5
        assert (confidence[known] >= node.settings.reconstruction.min_confidence).all()
        assert confidence.max() <= 1
        assert (view.provenance[known] == Provenance.PREDICTED).all()
        assert (got["depth/camera_info"][index].width, got["depth/camera_info"][index].height) == depth.shape[::-1]


def test_a_camera_that_only_turns_makes_no_surface_and_is_told_why(
    emptied: tuple[ReconstructionNode, MapClient], sender: ViewSender
) -> None:
    _, client = emptied
    fused, without_depth, rejected = counts(client)
    eye = np.array([-1.1, 0.0, 0.1])
    ways = [np.array([np.cos(angle), np.sin(angle), -0.1]) for angle in np.radians([0, 8, 16, 24])]
    poses = [look_at(eye, eye + way) for way in ways]
    sender.send(*StereoRoom(poses))
    wait_for_status(client, within_s=PATIENT_S, views_without_depth=without_depth + 4)
    assert counts(client) == (fused, without_depth + 4, rejected)
    assert client.status.note.startswith("no depth"), client.status.note
    wait_until(lambda: client.diagnostics.get("reconstruction_node: state", {}).get("note"), "a note in diagnostics")
    assert not len(client.mesh().triangles)
    unposed = dataclasses.replace(picture(poses[0], stamp_ns=9 * SECOND_NS), T_world_camera=None)
    sender.send(unposed)
    wait_for_status(client, views_rejected=rejected + 1)
    assert "has no pose" in client.status.last_error
    assert "plane_sweep" in client.status.last_error


def test_a_bag_that_loops_is_noticed_once_and_the_map_stays(
    emptied: tuple[ReconstructionNode, MapClient], sender: ViewSender
) -> None:
    node, client = emptied
    jumps = node.diagnostic_values()["time_jumps"]
    fused, without_depth, _ = counts(client)
    views = list(StereoRoom(sideways(3, 0.12)))
    for loop in (1, 2):
        sender.send(*views)
        wait_for_status(client, within_s=PATIENT_S, views_fused=fused + 2 * loop)
    assert counts(client)[1] == without_depth + 2, "the first view of each loop has nothing to be compared with"
    assert node.diagnostic_values()["time_jumps"] == jumps + 1
    assert len(client.mesh().triangles) > 1000


class Slow:
    """Takes its time with depth that is given; notes the settings it is told."""

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
    ros_harness.init()
    values = {
        "autostart": False,
        "reconstruction.method": method,
        "reconstruction.model_file": model_file.format(tmp=tmp_path, ioar=random_weights),
    }
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = ReconstructionNode(parameter_overrides=overrides)
    try:
        node.trigger_configure()
        assert state_of(node) == "unconfigured"
        assert message in node.errors.last
        assert node.fatal_error is None
    finally:
        node.destroy_node()
