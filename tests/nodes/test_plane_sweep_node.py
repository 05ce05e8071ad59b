"""One reconstruction_node that sweeps planes: what it publishes of which views, beside a depth camera and without."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("showroom_ros.msg")

import node_bench
from node_bench import ViewSender, follow, running_node, wait_for_status, wait_until
from posed_pictures import PLANE_SWEEP, SECOND_NS, SMALL, StereoRoom, counts
from sensor_msgs.msg import CameraInfo, Image
from stereo_room import BALL, BALL_RADIUS_M, picture, sideways, true_depth
from tsdf_scenes import triangle_set

from showroom_ros.geometry.se3 import look_at, transform_points
from showroom_ros.nodes.map_client import MapClient
from showroom_ros.nodes.reconstruction_node import ReconstructionNode
from showroom_ros.reconstruction.reconstructor import Reconstructor
from showroom_ros.ros.cdr import read_image, read_view
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.ros.qos import output_qos, view_qos
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance, View
from showroom_ros.settings import override

pytestmark = pytest.mark.ros

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
    client.status = None  # the last may be older than the last view
    wait_until(lambda: client.status, "a new status")
    return predicting


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
    assert (off_ball_m < 0.05).mean() > 0.55  # 0.70 measured


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
