"""Reads ``sensor_msgs/PointCloud2`` into numpy: the other half of ``cdr.point_cloud2_bytes``."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2

from showroom_ros.errors import InputError
from showroom_ros.scene.view import Provenance

_FORMATS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_GREY = 180


def read_cloud(
    message: PointCloud2, name: str = "points"
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
    """Points with colour and provenance; clouds of other programs lack the latter and are grey or UNKNOWN.

    Args:
        message: needs fields x, y, z; ``rgb`` or ``rgba`` (packed) and ``provenance`` where there are any.
        name: its topic, for error messages.

    Returns:
        float32 [N, 3] metres, uint8 [N, 3] RGB and uint8 [N] ``Provenance``; points that are not finite are left out.

    Raises:
        InputError: a coordinate is missing, a field is of no known type, or the data is too short.
    """
    records = _records(message, name)
    points = np.stack([records[axis] for axis in "xyz"], axis=-1).astype(np.float32)
    count = len(points)
    colors = np.full((count, 3), _GREY, np.uint8)
    packed = next((field for field in ("rgb", "rgba") if field in (records.dtype.names or ())), None)
    if packed is not None and records[packed].dtype.itemsize == 4:
        bits = np.ascontiguousarray(records[packed]).view(np.dtype("u4").newbyteorder(records[packed].dtype.byteorder))
        colors = np.stack([bits >> 16, bits >> 8, bits], axis=-1).astype(np.uint8)
    provenance = np.full(count, Provenance.UNKNOWN, np.uint8)
    if "provenance" in (records.dtype.names or ()):
        provenance = records["provenance"].astype(np.uint8)
    finite = np.isfinite(points).all(axis=1)
    return (points, colors, provenance) if finite.all() else (points[finite], colors[finite], provenance[finite])


def _records(message: PointCloud2, name: str) -> NDArray[np.void]:
    fields = {field.name: field for field in message.fields}
    missing = [axis for axis in "xyz" if axis not in fields]
    if missing:
        raise InputError(f"{name}: fields are {', '.join(fields) or 'none'}, expected x, y and z among them")
    unknown = [field.name for field in message.fields if field.datatype not in _FORMATS]
    if unknown:
        raise InputError(f"{name}: field '{unknown[0]}' has datatype {fields[unknown[0]].datatype}, expected 1 to 8")
    formats = {key: np.dtype(_FORMATS[field.datatype]) for key, field in fields.items()}
    least_step = max(field.offset + formats[key].itemsize for key, field in fields.items())
    if message.point_step < least_step:
        raise InputError(f"{name}: point_step is {message.point_step}, expected at least {least_step} for its fields")
    order: Literal["<", ">"] = ">" if message.is_bigendian else "<"
    layout: Any = {
        "names": list(fields),
        "formats": [kind.newbyteorder(order) for kind in formats.values()],
        "offsets": [field.offset for field in fields.values()],
        "itemsize": message.point_step,
    }
    record = np.dtype(layout)
    row_bytes = message.width * message.point_step
    data = np.frombuffer(message.data, np.uint8)
    if message.row_step < row_bytes or len(data) < message.row_step * message.height:
        raise InputError(
            f"{name}: {len(data)} bytes in rows of {message.row_step}, expected at least {message.height} rows of "
            f"{row_bytes} ({message.width} points of {message.point_step} bytes)"
        )
    rows = data[: message.row_step * message.height].reshape(message.height, message.row_step)[:, :row_bytes]
    return np.ascontiguousarray(rows).reshape(-1).view(record)
