"""Reading clouds: our own, and those of other programs."""

import array

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import PointCloud2, PointField

from showroom_ros.errors import InputError
from showroom_ros.ros.cdr import point_cloud2_bytes
from showroom_ros.ros.cloud_reader import read_cloud
from showroom_ros.scene.view import Provenance

pytestmark = pytest.mark.ros


def test_our_cloud_comes_back():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(500, 3)).astype(np.float32)
    colors = rng.integers(0, 256, (500, 3), dtype=np.uint8)
    provenance = rng.integers(0, 4, 500).astype(np.uint8)

    message = deserialize_message(point_cloud2_bytes(points, colors, provenance, "odom", 7), PointCloud2)
    read = read_cloud(message)

    for ours, theirs in zip((points, colors, provenance), read, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def organised(order="<", is_bigendian=False, padding=0) -> tuple[PointCloud2, np.ndarray]:
    """A 2 x 3 cloud as a depth camera's driver sends it: x, y, z in doubles, no colour, one invalid point."""
    kind = np.dtype({"names": ["x", "y", "z"], "formats": [f"{order}f8"] * 3, "offsets": [0, 8, 16], "itemsize": 32})
    values = np.arange(18, dtype=np.float64).reshape(2, 3, 3)
    values[1, 1, 2] = np.nan
    records = np.zeros((2, 3), kind)
    for i, name in enumerate("xyz"):
        records[name] = values[..., i]
    rows = b"".join(row.tobytes() + bytes(padding) for row in records)
    message = PointCloud2(height=2, width=3, point_step=32, row_step=96 + padding, is_bigendian=is_bigendian)
    message.fields = [PointField(name=n, offset=8 * i, datatype=8, count=1) for i, n in enumerate("xyz")]
    message.data = array.array("B", rows)
    return message, values.reshape(-1, 3)


@pytest.mark.parametrize("padding", [0, 8])
@pytest.mark.parametrize(("order", "is_bigendian"), [("<", False), (">", True)])
def test_foreign_clouds_are_read_too(order, is_bigendian, padding):
    message, values = organised(order, is_bigendian, padding)
    points, colors, provenance = read_cloud(message)
    np.testing.assert_array_equal(points, values[np.isfinite(values).all(axis=1)])
    assert len(points) == len(colors) == len(provenance) == 5
    assert set(provenance) == {Provenance.UNKNOWN}


def broken(**changes):
    message, _ = organised()
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (broken(fields=[PointField(name="x", datatype=8, count=1)]), r"points: fields are x, expected x, y and z"),
        (broken(fields=[]), r"points: fields are none, expected x, y and z"),
        (broken(data=array.array("B", bytes(10))), r"points: 10 bytes in rows of 96, expected at least 2 rows of 96"),
        (broken(row_step=5), r"rows of 5, expected at least 2 rows of 96"),
        (broken(fields=[PointField(name=n, datatype=9, count=1) for n in "xyz"]), r"'x' has datatype 9, expected 1 to"),
        (broken(point_step=4), r"point_step is 4, expected at least 24"),
    ],
)
def test_broken_clouds_are_named(message, expected):
    with pytest.raises(InputError, match=expected):
        read_cloud(message)


def test_an_empty_cloud_is_one():
    message, _ = organised()
    message.height = message.width = message.row_step = 0
    message.data = array.array("B")
    assert [len(part) for part in read_cloud(message)] == [0, 0, 0]
