"""Reading MarkerArray from bytes, against rclpy's own deserialisation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from geometry_msgs.msg import Point
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray, UVCoordinate

from showroom_ros.errors import InputError
from showroom_ros.ros.cdr import DeleteAllMarkers, DeleteMarker, TriangleMarker, marker_array_bytes
from showroom_ros.ros.conversions import ns_from_stamp
from showroom_ros.ros.marker_reader import DELETE, DELETE_ALL, MarkerBlocks, read_marker_array
from showroom_ros.scene.view import Provenance

pytestmark = pytest.mark.ros
TEXT = st.text(alphabet="abc/é", max_size=9)


def random_marker(rng, namespace, frame_id):
    """A marker with every field filled, as another program might send it."""
    marker = Marker(ns=namespace, id=int(rng.integers(-99, 99)), type=11, action=int(rng.integers(0, 4)))
    marker.header.frame_id = frame_id
    marker.header.stamp.sec, marker.header.stamp.nanosec = int(rng.integers(2**31)), int(rng.integers(10**9))
    marker.pose.position.x, marker.scale.y, marker.lifetime.sec = 0.5, 2.0, 3
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in rng.normal(size=(3 * int(rng.integers(4)), 3))]
    marker.colors = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in rng.random((len(marker.points), 3))]
    marker.text, marker.mesh_resource, marker.texture_resource = namespace, frame_id, namespace
    marker.texture.format, marker.texture.data = frame_id, bytes(rng.integers(0, 256, rng.integers(5), np.uint8))
    marker.uv_coordinates = [UVCoordinate(u=0.25, v=0.5)] * int(rng.integers(3))
    marker.mesh_file.filename, marker.mesh_file.data = namespace, bytes(int(rng.integers(4)))
    return marker


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), texts=st.lists(st.tuples(TEXT, TEXT), max_size=4))
def test_equals_rclpy_on_any_markers(seed, texts):
    rng = np.random.default_rng(seed)
    message = MarkerArray(markers=[random_marker(rng, *text) for text in texts])
    data = serialize_message(message)

    markers = read_marker_array(data)

    reference = deserialize_message(data, MarkerArray).markers
    assert len(markers) == len(reference)
    for ours, theirs in zip(markers, reference, strict=True):
        assert ours.stamp_ns == ns_from_stamp(theirs.header.stamp)
        assert ours.frame_id == theirs.header.frame_id
        assert (ours.namespace, ours.id, ours.kind, ours.action) == (theirs.ns, theirs.id, theirs.type, theirs.action)
        assert ours.points.tolist() == [[p.x, p.y, p.z] for p in theirs.points]
        np.testing.assert_array_equal(
            ours.colors, np.array([[c.r, c.g, c.b, c.a] for c in theirs.colors]).reshape(-1, 4)
        )


def triangle(namespace="measured", marker_id=0, shift=0.0):
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32) + np.float32(shift)
    return TriangleMarker(
        namespace, marker_id, vertices, np.array([[0, 1, 2]]), np.array([[255, 0, 0], [0, 128, 3], [7, 8, 9]], np.uint8)
    )


def test_what_we_write_comes_back_as_a_mesh():
    marker = triangle("generated", 5)

    (received,) = read_marker_array(marker_array_bytes([marker], "odom", 12))
    mesh = received.mesh()

    assert received.key == ("generated", 5)
    assert (received.stamp_ns, received.frame_id) == (12, "odom")
    np.testing.assert_array_equal(mesh.vertices[mesh.triangles], marker.vertices[marker.triangles])
    np.testing.assert_array_equal(mesh.colors, marker.colors)
    np.testing.assert_array_equal(mesh.normals, [[0, 0, 1]] * 3)
    assert set(mesh.provenance) == {Provenance.GENERATED}


def test_blocks_follow_changes_deletes_and_resets():
    blocks = MarkerBlocks()

    changed, removed = blocks.apply(
        received([triangle("measured", 0), triangle("predicted", 0), triangle("measured", 1)])
    )
    assert set(changed) == {("measured", 0), ("predicted", 0), ("measured", 1)}
    assert removed == set()

    changed, removed = blocks.apply(received([DeleteMarker("predicted", 0), triangle("measured", 1, shift=2.0)]))
    assert set(changed) == {("measured", 1)}
    assert changed["measured", 1].vertices.min() == 2.0
    assert removed == {("predicted", 0)}

    changed, removed = blocks.apply(received([triangle("measured", 9), DeleteAllMarkers(), triangle("measured", 0)]))
    assert set(changed) == {("measured", 0)}
    assert removed == {("measured", 1)}, "what comes again right after a reset need not vanish first"


def received(markers):
    return read_marker_array(marker_array_bytes(markers, "odom", 0))


def test_actions_are_told_apart():
    assert [m.action for m in received([triangle(), DeleteMarker("measured", 0), DeleteAllMarkers()])] == [
        0,
        DELETE,
        DELETE_ALL,
    ]


@pytest.mark.parametrize("cut", [1, 3, 4, 7, 40, 150, -1])
def test_a_message_cut_short_is_refused(cut):
    data = marker_array_bytes([triangle()], "odom", 0)
    with pytest.raises(InputError, match="mesh"):
        read_marker_array(data[:cut])


@pytest.mark.parametrize(("kind", "corners"), [(1, 3), (11, 4)])
def test_what_is_no_triangle_list_is_refused(kind, corners):
    marker = Marker(ns="measured", id=3, type=kind, points=[Point()] * corners)
    (received_marker,) = read_marker_array(serialize_message(MarkerArray(markers=[marker])))
    with pytest.raises(InputError, match=r"measured/3 has type .* expected 11"):
        received_marker.mesh()
