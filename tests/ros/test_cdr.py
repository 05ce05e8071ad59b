"""The CDR writer against rclpy's own serialiser, byte for byte."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy")

from geometry_msgs.msg import Point
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import pose_from
from showroom_ros.ros import cdr
from showroom_ros.ros.cdr_stream import CdrReader, CdrWriter
from showroom_ros.ros.conversions import (
    camera_info_message,
    image_message,
    stamp_from_ns,
    view_from_message,
    view_message,
)
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.scene.view import View

pytestmark = pytest.mark.ros
FRAMES = st.text(alphabet="abcdefg_/é", max_size=9)
STAMPS = st.integers(0, 2**31 * 10**9 - 1)


def assert_equal_but_padding(write, reference):
    """Fast CDR leaves the bytes between fields as they are in its buffer; ours are found by writing other ones."""
    data = write()
    with patch.object(CdrWriter, "padding", b"\xff"):
        other = write()
    assert len(data) == len(reference)
    is_field = np.frombuffer(data, np.uint8) == np.frombuffer(other, np.uint8)
    assert is_field.mean() > 0.6
    np.testing.assert_array_equal(np.frombuffer(data, np.uint8)[is_field], np.frombuffer(reference, np.uint8)[is_field])


def a_view(rng, height=5, width=7, *, has_depth=True, has_pose=True, frame_id="cam"):
    """A view with every plane filled."""
    depth = rng.uniform(0.5, 4.0, (height, width)).astype(np.float32)
    depth[0, 0] = np.nan
    return View(
        image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        camera=Camera(width, height, 5.5, 6.5, 3.25, 2.75),
        depth=depth if has_depth else None,
        provenance=rng.integers(1, 4, (height, width), dtype=np.uint8) if has_depth else None,
        confidence=rng.random((height, width), dtype=np.float32) if has_depth else None,
        T_world_camera=pose_from([1.0, -2.0, 0.5], [0.5, 0.5, -0.5, 0.5]) if has_pose else None,
        stamp_ns=1_700_000_000_123_456_789,
        frame_id=frame_id,
    )


def marker_reference(marker, frame_id, stamp_ns):
    """The marker as rclpy objects, the slow way."""
    message = Marker(type=Marker.TRIANGLE_LIST, action=Marker.ADD)
    message.header.frame_id, message.header.stamp = frame_id, stamp_from_ns(stamp_ns)
    message.pose.orientation.w = 1.0
    message.scale.x = message.scale.y = message.scale.z = 1.0
    message.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
    if isinstance(marker, cdr.DeleteAllMarkers):
        message.action = Marker.DELETEALL
        return message
    message.ns, message.id = marker.namespace, marker.id
    if isinstance(marker, cdr.DeleteMarker):
        message.action = Marker.DELETE
        return message
    for corner in marker.triangles.ravel():
        x, y, z = (float(value) for value in marker.vertices[corner])
        r, g, b = (float(np.float32(value) * np.float32(1 / 255)) for value in marker.colors[corner])
        message.points.append(Point(x=x, y=y, z=z))
        message.colors.append(ColorRGBA(r=r, g=g, b=b, a=float(np.float32(marker.alpha))))
    return message


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(3, 9), st.integers(0, 6)), max_size=4),
    namespace=st.text(alphabet="abc", max_size=6),
    frame_id=FRAMES,
    stamp_ns=STAMPS,
    seed=st.integers(0, 2**32 - 1),
)
def test_marker_array_equals_rclpy(sizes, namespace, frame_id, stamp_ns, seed):
    rng = np.random.default_rng(seed)
    markers = [cdr.DeleteAllMarkers(), cdr.DeleteMarker(namespace, -7)]
    for number, (vertices, triangles) in enumerate(sizes):
        markers.append(
            cdr.TriangleMarker(
                namespace,
                number,
                rng.normal(size=(vertices, 3)).astype(np.float32),
                rng.integers(0, vertices, (triangles, 3)).astype(np.int32),
                rng.integers(0, 256, (vertices, 3), dtype=np.uint8),
                alpha=0.25,
            )
        )
    reference = MarkerArray(markers=[marker_reference(marker, frame_id, stamp_ns) for marker in markers])
    assert_equal_but_padding(lambda: cdr.marker_array_bytes(markers, frame_id, stamp_ns), serialize_message(reference))


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 40), frame_id=FRAMES, stamp_ns=STAMPS, has_nan=st.booleans())
def test_point_cloud_equals_rclpy(count, frame_id, stamp_ns, has_nan):
    rng = np.random.default_rng(count)
    points = rng.normal(size=(count, 3)).astype(np.float32)
    if has_nan and count:
        points[-1, 1] = np.nan
    colors = rng.integers(0, 256, (count, 3), dtype=np.uint8)
    provenance = rng.integers(1, 4, count, dtype=np.uint8)
    arguments = (points, colors, provenance, frame_id, stamp_ns)
    message = deserialize_message(cdr.point_cloud2_bytes(*arguments), PointCloud2)
    assert_equal_but_padding(lambda: cdr.point_cloud2_bytes(*arguments), serialize_message(message))
    assert [(f.name, f.offset, f.datatype) for f in message.fields] == [
        ("x", 0, PointField.FLOAT32),
        ("y", 4, PointField.FLOAT32),
        ("z", 8, PointField.FLOAT32),
        ("rgb", 12, PointField.FLOAT32),
        ("provenance", 16, PointField.UINT8),
    ]
    assert (message.height, message.width, message.row_step) == (1, count, count * message.point_step)
    assert message.is_dense == (not (has_nan and count))
    raw = np.frombuffer(message.data, np.uint8).reshape(count, message.point_step)
    np.testing.assert_array_equal(raw[:, :12].copy().view(np.float32), points)
    np.testing.assert_array_equal(raw[:, 12:15][:, ::-1], colors)  # PCL: 0x00rrggbb, little endian
    np.testing.assert_array_equal(raw[:, 16], provenance)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 6), width=st.integers(1, 7), frame_id=FRAMES, stamp_ns=STAMPS)
def test_image_and_camera_info_equal_rclpy(height, width, frame_id, stamp_ns):
    image = np.random.default_rng(height * 10 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    message = image_message(image, "bgr8", frame_id, stamp_ns)
    data = cdr.image_bytes(image, "bgr8", frame_id, stamp_ns)
    assert_equal_but_padding(lambda: cdr.image_bytes(image, "bgr8", frame_id, stamp_ns), serialize_message(message))
    read = cdr.read_image(data, "topic")
    assert cdr.stamp_and_frame(data, "topic") == (stamp_ns, frame_id)
    assert read.encoding == "bgr8"
    np.testing.assert_array_equal(read.pixels(np.uint8, 3), image)
    camera = Camera(width, height, 3.0, 4.0, 1.0, 2.0, "plumb_bob", (0.1, 0.2, 0.3, 0.4, 0.5))
    expected = serialize_message(camera_info_message(camera, frame_id, stamp_ns))
    assert_equal_but_padding(lambda: cdr.camera_info_bytes(camera, frame_id, stamp_ns), expected)
    assert cdr.read_camera_info(expected, "topic") == camera


@pytest.mark.parametrize("has_depth", [True, False])
@pytest.mark.parametrize("has_pose", [True, False])
@pytest.mark.parametrize("frame_id", ["", "camera", "camera_color_optical_frame"])
def test_view_equals_rclpy_and_survives(has_depth, has_pose, frame_id):
    view = a_view(np.random.default_rng(3), has_depth=has_depth, has_pose=has_pose, frame_id=frame_id)
    data = cdr.view_bytes(view, "odom")
    assert_equal_but_padding(lambda: cdr.view_bytes(view, "odom"), serialize_message(view_message(view, "odom")))
    read, world_frame = cdr.read_view(data)
    assert world_frame == "odom"
    for other in (read, view_from_message(deserialize_message(data, ViewMessage))):
        assert (other.camera, other.stamp_ns, other.frame_id) == (view.camera, view.stamp_ns, view.frame_id)
        for name in ("image", "depth", "provenance", "confidence"):
            expected, actual = getattr(view, name), getattr(other, name)
            assert (expected is None) == (actual is None)
            if expected is not None:
                np.testing.assert_array_equal(actual, expected)
                assert actual.flags.writeable
                assert actual.dtype == expected.dtype
        if has_pose:
            np.testing.assert_allclose(other.T_world_camera, view.T_world_camera, atol=1e-12)
        else:
            assert other.T_world_camera is None


def test_compressed_image_is_read():
    message = CompressedImage(format="jpeg", data=b"12345")
    fmt, data = cdr.read_compressed_image(serialize_message(message), "topic")
    assert (fmt, bytes(data)) == ("jpeg", b"12345")


def test_every_truncation_of_a_view_is_an_input_error():
    data = cdr.view_bytes(a_view(np.random.default_rng(1), 2, 3), "odom")
    for length in range(len(data)):
        with pytest.raises(InputError, match="my_topic"):
            cdr.read_view(data[:length], "my_topic")


def test_big_endian_messages_are_read():
    little = serialize_message(Image(height=3, width=4, encoding="mono8", step=4, data=bytes(12)))
    reader = CdrReader(b"\x00\x00\x00\x00" + bytes([0, 0, 0, 5, 0, 0, 0, 7, 0, 0, 0, 2]) + b"a\0", "topic")
    assert reader.header() == (5_000_000_007, "a")
    assert cdr.read_image(little, "topic").height == 3


def test_lengths_that_differ_are_refused():
    with pytest.raises(InputError, match="2 points, 1 colors and 2 provenances"):
        cdr.point_cloud2_bytes(
            np.zeros((2, 3), np.float32), np.zeros((1, 3), np.uint8), np.zeros(2, np.uint8), "map", 0
        )
