"""reconstruction_node over real topics: geometry, services, late joiners, limits, bad input."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("showroom_ros.msg")

import node_bench
from node_bench import ViewSender, follow, running_node, state_of, wait_for_status, wait_until
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from sensor_msgs.msg import PointCloud2

from showroom_ros.errors import ShowroomError
from showroom_ros.evaluation.mesh import evaluate_mesh
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.render import render_mesh
from showroom_ros.geometry.se3 import look_at
from showroom_ros.nodes.map_client import MapClient
from showroom_ros.ros.cdr import view_bytes
from showroom_ros.ros.qos import map_qos
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.mesh_files import load_mesh
from showroom_ros.scene.view import Provenance, View

pytestmark = pytest.mark.ros


@pytest.fixture(autouse=True)
def namespace() -> None:
    node_bench.fresh_namespace()


@pytest.fixture
def sender() -> Iterator[ViewSender]:
    sender = ViewSender()
    yield sender
    sender.close()


CAMERA = Camera(160, 120, 130.0, 130.0, 79.5, 59.5)


def room() -> Mesh:
    """A 3 x 2.4 x 2.2 m box seen from inside; every wall has its own colour."""
    size = np.array([3.0, 2.4, 2.2])
    vertices, triangles, colors, normals = [], [], [], []
    for axis in range(3):
        for side in (0, 1):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            for a, b in ((0, 0), (1, 0), (1, 1), (0, 1)):
                corner = np.zeros(3)
                corner[axis], corner[u], corner[v] = side, a, b
                vertices.append(corner * size - size / 2)
                normals.append(np.eye(3)[axis] * (1 - 2 * side))
                colors.append([60 + 70 * axis, 200 - 120 * side, 40 + 90 * side])
            first = len(vertices) - 4
            quad = [[0, 1, 2], [0, 2, 3]] if side == 0 else [[0, 2, 1], [0, 3, 2]]
            triangles += [[first + i for i in corner] for corner in quad]
    return Mesh(
        np.array(vertices, np.float32),
        np.array(triangles, np.int32),
        np.array(colors, np.uint8),
        np.array(normals, np.float32),
        np.ones(len(vertices), np.uint8),
    )


ROOM = room()


def room_view(index: int, **changes: object) -> View:
    """View ``index`` of 40 that together show all of the room: eight directions, five elevations."""
    azimuth, elevation = 2 * np.pi * (index % 8) / 8, np.radians((0, 40, -40, 75, -75)[index // 8 % 5])
    direction = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    eye = -0.1 * direction
    pose = look_at(eye, eye + direction)
    rendered = render_mesh(ROOM.vertices, ROOM.triangles, CAMERA, pose, ROOM.colors)
    view = View(
        rendered.require_rgb(),
        CAMERA,
        rendered.depth,
        T_world_camera=pose,
        stamp_ns=1_000_000_000 + index * 100_000_000,
    )
    return dataclasses.replace(view, **changes)


def test_room_over_topics_is_scored(tmp_path: Path, sender: ViewSender) -> None:
    with running_node(tmp_path) as node, follow() as client:
        wait_until(
            lambda: node.count_subscribers(f"/{node_bench.NAMESPACE}/reconstruction_node/mesh") > 0,
            "the mesh subscriber",
        )
        sender.send(*(room_view(i) for i in range(40)))
        wait_for_status(client, views_fused=40)
        wait_until(lambda: client.arrivals and client.arrivals[-1][0] == room_view(39).stamp_ns, "the newest mesh")
        time.sleep(0.5)
        scores = evaluate_mesh(client.mesh(), ROOM, samples=50_000)
        assert scores.f_score[0.05] > 0.97
        assert scores.f_score[0.02] > 0.9
        assert scores.color_error < 12
        assert set(client.mesh().provenance) == {Provenance.MEASURED}
        assert client.status.views_dropped == 0

        with follow() as late:
            wait_until(lambda: late.arrivals, "the map at a late joiner")
            wait_until(lambda: len(late.mesh().triangles) == len(client.mesh().triangles), "the whole map")
            np.testing.assert_allclose(
                np.sort(late.mesh().vertices, axis=0), np.sort(client.mesh().vertices, axis=0), atol=1e-6
            )


def test_services(tmp_path: Path, sender: ViewSender) -> None:
    with running_node(tmp_path) as node, follow() as client:
        sender.send(*(room_view(i) for i in range(6)))
        wait_for_status(client, views_fused=6)
        client.file_service("save_mesh", "room.ply")
        saved = load_mesh(tmp_path / "room.ply")
        assert evaluate_mesh(saved, ROOM, samples=20_000).precision[0.05] > 0.97
        for suffix in (".glb", ".obj"):
            client.file_service("save_mesh", f"room{suffix}")
            assert (tmp_path / f"room{suffix}").stat().st_size > 1000
        client.file_service("save_map", "maps/room.map")

        wait_until(lambda: len(client.mesh().triangles), "a mesh")
        client.trigger("reset")
        wait_until(lambda: not len(client.mesh().triangles), "an empty map")
        client.file_service("load_map", "maps/room.map")
        wait_until(lambda: len(client.mesh().triangles), "the loaded map")
        client.file_service("save_mesh", "again.ply")
        np.testing.assert_allclose(load_mesh(tmp_path / "again.ply").vertices, saved.vertices, atol=1e-5)

        client.trigger("pause")
        fused = client.status.views_fused
        sender.send(room_view(7))
        wait_for_status(client, views_received=7)
        client.trigger("resume")
        assert client.status.views_fused == fused
        sender.send(room_view(8))
        wait_for_status(client, views_fused=fused + 1)
        assert "blocks" in client.trigger("publish_map")
        assert state_of(node) == "active"


def test_bad_views_are_counted_and_the_map_lives(tmp_path: Path, sender: ViewSender) -> None:
    good = room_view(0)
    with running_node(tmp_path) as node, follow() as client:
        sender.send(good)
        wait_for_status(client, views_fused=1)
        wait_until(lambda: len(client.mesh().triangles), "a mesh")
        before = client.mesh()
        bad: list[tuple[View | bytes, str]] = [
            (view_bytes(good, "odom")[:1000], "view"),
            (dataclasses.replace(good, depth=None), "depth"),
            (dataclasses.replace(good, T_world_camera=None), "pose"),
        ]
        for count, (view, word) in enumerate(bad, start=1):
            sender.send(view)
            wait_for_status(client, views_rejected=count)
            assert word in client.status.last_error
        sender.send(room_view(1), world_frame="map")
        wait_for_status(client, views_rejected=4)
        assert "map" in client.status.last_error
        sender.send(dataclasses.replace(room_view(1), depth=np.full((120, 160), np.nan, np.float32)))
        wait_for_status(client, views_fused=2)
        assert len(client.mesh().triangles) == len(before.triangles)
        sender.send(room_view(2))
        wait_for_status(client, views_fused=3)
        wait_until(lambda: len(client.mesh().triangles) > len(before.triangles), "a larger map")
        assert state_of(node) == "active"


def test_save_while_views_stream_in(tmp_path: Path, sender: ViewSender) -> None:
    with running_node(tmp_path), follow() as client:
        streaming = threading.Thread(target=lambda: [sender.send(room_view(i)) or time.sleep(0.03) for i in range(40)])
        streaming.start()
        wait_for_status(client, views_fused=2)
        for _ in range(4):
            client.file_service("save_mesh", "live.ply")
            client.file_service("save_map", "live.map")
            assert len(load_mesh(tmp_path / "live.ply").triangles)
        streaming.join()
        wait_for_status(client, views_fused=40)
        assert client.status.views_dropped == 0


def test_looped_views_stay_under_the_cap_and_time_may_jump_back(tmp_path: Path, sender: ViewSender) -> None:
    with (
        running_node(tmp_path, **{"map.max_bytes": 1_000_000, "map.voxel_size_m": 0.03}) as node,
        follow() as client,
    ):
        for loop in range(3):
            sender.send(*(room_view(i) for i in range(40)))
            wait_for_status(client, views_fused=40 * (loop + 1))
            assert node._reconstructor.volume.memory_bytes <= 1_000_000
        wait_until(lambda: client.status.blocks_evicted > 0, "a report of evicted blocks")
        assert client.status.map_bytes <= client.status.map_max_bytes == 1_000_000
        assert len(client.mesh().triangles)


def test_points_carry_provenance_and_live_settings_hide_it(tmp_path: Path, sender: ViewSender) -> None:
    clouds: list[PointCloud2] = []
    with running_node(tmp_path, **{"publish.points_rate_hz": 10.0}) as node, follow() as client:
        client._node.create_subscription(
            PointCloud2, f"{node_bench.NAMESPACE}/reconstruction_node/points", clouds.append, map_qos()
        )
        sender.send(*(room_view(i) for i in range(3)))
        wait_until(lambda: clouds and clouds[-1].width > 100, "points")
        cloud = clouds[-1]
        assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb", "provenance"]
        raw = np.frombuffer(bytes(cloud.data), np.uint8).reshape(-1, cloud.point_step)
        assert set(raw[:, 16]) == {Provenance.MEASURED}
        wait_until(lambda: len(client.mesh().triangles), "a mesh")
        parameters = AsyncParameterClient(client._node, node.get_fully_qualified_name())
        assert parameters.wait_for_services(10)
        future = parameters.set_parameters([Parameter("publish.measured", value=False)])
        wait_until(future.done, "the answer")
        assert future.result().results[0].successful
        wait_until(lambda: not len(client.mesh().triangles), "hidden measured surface")
        refused = parameters.set_parameters([Parameter("map.max_depth_m", value=-1.0)])
        wait_until(refused.done, "the answer")
        assert not refused.result().results[0].successful


@pytest.mark.parametrize(
    ("service", "path", "expected"),
    [
        ("save_mesh", "../escape.ply", "output_dir"),
        ("save_mesh", "/tmp/escape.ply", "output_dir"),
        ("save_mesh", "", "file name"),
        ("save_mesh", "room.stl", ".ply"),
        ("load_map", "nothing.map", "nothing.map"),
        ("load_map", "no_map.map", "no_map.map"),
        ("save_mesh", "no_map.map/room.ply", "no_map.map"),
    ],
)
def test_bad_paths_are_answered_not_obeyed(
    tmp_path: Path, shared_node: tuple[Path, MapClient], service: str, path: str, expected: str
) -> None:
    folder, client = shared_node
    (folder / "no_map.map").write_text("no map")
    with pytest.raises(ShowroomError, match=expected):
        client.file_service(service, path)
    assert not (folder.parent / "escape.ply").exists()
    assert not Path("/tmp/escape.ply").exists()


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, MapClient]]:
    folder = tmp_path_factory.mktemp("output")
    with running_node(folder), follow() as client:
        yield folder, client
