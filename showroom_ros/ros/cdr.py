"""Messages written straight from numpy into CDR, to be published as bytes, and the way back.

Building ``geometry_msgs/Point`` objects takes a hundred times longer than copying the same numbers,
and what rclpy sends is these bytes either way: ``publisher.publish(mesh_bytes)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import pose_from, quat_from_rotation, quat_wxyz_from_xyzw, quat_xyzw_from_wxyz
from showroom_ros.ros.cdr_stream import CdrReader, CdrWriter
from showroom_ros.scene.camera_info import camera_from_info
from showroom_ros.scene.image_codec import RawImage
from showroom_ros.scene.view import View

_TRIANGLE_LIST = 11
_ADD, _DELETE, _DELETE_ALL = 0, 2, 3
_FLOAT32, _UINT8 = 7, 2
_POINT_FIELDS = (
    ("x", 0, _FLOAT32),
    ("y", 4, _FLOAT32),
    ("z", 8, _FLOAT32),
    ("rgb", 12, _FLOAT32),
    ("provenance", 16, _UINT8),
)
_POINT_DTYPE = np.dtype(
    {
        "names": ["xyz", "rgb", "provenance"],
        "formats": [("<f4", 3), "<u4", "u1"],
        "offsets": [0, 12, 16],
        "itemsize": 20,
    }
)
_IDENTITY_POSE = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class TriangleMarker:
    """One TRIANGLE_LIST marker; adding it again with the same namespace and id replaces it.

    Attributes:
        namespace, id: what identifies the marker in RViz.
        vertices: float [V, 3] metres, in the frame of the message.
        triangles: int [T, 3].
        colors: uint8 [V, 3] RGB.
        alpha: opacity in [0, 1].
    """

    namespace: str
    id: int
    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colors: NDArray[np.uint8]
    alpha: float = 1.0


@dataclass(frozen=True)
class DeleteMarker:
    """Removes one marker."""

    namespace: str
    id: int


@dataclass(frozen=True)
class DeleteAllMarkers:
    """Removes every marker of the topic."""


Marker = TriangleMarker | DeleteMarker | DeleteAllMarkers


def marker_array_bytes(markers: Sequence[Marker], frame_id: str, stamp_ns: int) -> bytes:
    """``visualization_msgs/MarkerArray`` of mesh blocks, serialised.

    Args:
        markers: in the order RViz shall obey them.
        frame_id: frame the vertices are given in.
        stamp_ns: stamp of every marker.
    """
    writer = CdrWriter()
    writer.write("I", len(markers))
    for marker in markers:
        _write_marker(writer, marker, frame_id, stamp_ns)
    return writer.bytes()


def point_cloud2_bytes(
    points: NDArray[np.float32],
    colors: NDArray[np.uint8],
    provenance: NDArray[np.uint8],
    frame_id: str,
    stamp_ns: int,
) -> bytes:
    """``sensor_msgs/PointCloud2`` with fields x, y, z, rgb (packed as RViz and PCL expect) and provenance.

    Args:
        points: float32 [N, 3] metres.
        colors: uint8 [N, 3] RGB.
        provenance: uint8 [N] of ``Provenance``.
        frame_id: frame of the points.
        stamp_ns: stamp of the message.

    Raises:
        InputError: the three arrays differ in length.
    """
    count = len(points)
    if len(colors) != count or len(provenance) != count:
        raise InputError(f"{count} points, {len(colors)} colors and {len(provenance)} provenances, expected the same")
    data = np.zeros(count, _POINT_DTYPE)
    data["xyz"] = points
    data["rgb"] = colors.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    data["provenance"] = provenance
    writer = CdrWriter()
    writer.header(stamp_ns, frame_id)
    writer.write("I", 1, count)
    writer.write("I", len(_POINT_FIELDS))
    for name, offset, datatype in (
        ("x", 0, 7),
        ("y", 4, 7),
        ("z", 8, 7),
        ("rgb", 12, _FLOAT32),
        ("provenance", 16, _UINT8),
    ):
        writer.string(name)
        writer.write("I", offset)
        writer.write("B", datatype)
        writer.write("I", 1)
    writer.write("?", False)
    writer.write("I", data.itemsize, data.nbytes)
    writer.sequence(data.view(np.uint8))
    writer.write("?", bool(np.isfinite(points).all()))
    return writer.bytes()


def image_bytes(image: NDArray, encoding: str, frame_id: str, stamp_ns: int) -> bytes:
    """``sensor_msgs/Image`` of [H, W] or [H, W, C], serialised; ``encoding`` must fit its dtype."""
    writer = CdrWriter()
    _write_image(writer, image, encoding, frame_id, stamp_ns)
    return writer.bytes()


def camera_info_bytes(camera: Camera, frame_id: str, stamp_ns: int) -> bytes:
    """``sensor_msgs/CameraInfo``, serialised."""
    writer = CdrWriter()
    _write_camera_info(writer, camera, frame_id, stamp_ns)
    return writer.bytes()


def view_bytes(view: View, world_frame: str) -> bytes:
    """``showroom_ros/View``, serialised."""
    writer = CdrWriter()
    stamp_ns, frame_id = view.stamp_ns, view.frame_id
    writer.header(stamp_ns, frame_id)
    _write_image(writer, view.image, "rgb8", frame_id, stamp_ns)
    _write_camera_info(writer, view.camera, frame_id, stamp_ns)
    for plane, encoding in ((view.depth, "32FC1"), (view.provenance, "8UC1"), (view.confidence, "32FC1")):
        _write_image(writer, np.zeros((0, 0), np.uint8) if plane is None else plane, encoding, frame_id, stamp_ns)
    writer.write("?", view.T_world_camera is not None)
    writer.string(world_frame)
    _write_pose(writer, view.T_world_camera)
    return writer.bytes()


def stamp_and_frame(data: bytes, what: str) -> tuple[int, str]:
    """Stamp in nanoseconds and frame id of any serialised message that begins with a header."""
    return CdrReader(data, what).header()


def read_image(data: bytes, what: str) -> RawImage:
    """A serialised ``sensor_msgs/Image`` without copying its pixels; ``what`` names it in errors."""
    return _read_image(CdrReader(data, what), what)


def read_camera_info(data: bytes, what: str, *, rectified: bool = False) -> Camera:
    """The camera of a serialised ``sensor_msgs/CameraInfo``; see ``scene.camera_info.camera_from_info``."""
    return _read_camera(CdrReader(data, what), what, rectified=rectified)


def read_compressed_image(data: bytes, what: str) -> tuple[str, memoryview]:
    """Format and bytes of a serialised ``sensor_msgs/CompressedImage``; ``what`` names it in errors."""
    reader = CdrReader(data, what)
    reader.header()
    return reader.string(), reader.octets()


def read_view(data: bytes, what: str = "view") -> tuple[View, str]:
    """A serialised ``showroom_ros/View`` and its world frame.

    Raises:
        InputError: the message is cut short, or a field is not what ``View`` demands.
    """
    reader = CdrReader(data, what)
    stamp_ns, frame_id = reader.header()
    image = _read_image(reader, f"{what}.image")
    camera = _read_camera(reader, f"{what}.camera_info", rectified=False)
    depth, provenance, confidence = (_read_image(reader, f"{what}.{n}") for n in ("depth", "provenance", "confidence"))
    has_pose, world_frame = reader.one("?"), reader.string()
    position, quat_xyzw = reader.read("d", 3), reader.read("d", 4)
    view = View(
        image=image.pixels(np.uint8, 3).copy(),
        camera=camera,
        depth=depth.pixels(np.float32).copy() if depth.height else None,
        provenance=provenance.pixels(np.uint8).copy() if provenance.height else None,
        confidence=confidence.pixels(np.float32).copy() if confidence.height else None,
        T_world_camera=pose_from(position, quat_wxyz_from_xyzw(quat_xyzw)) if has_pose else None,
        stamp_ns=stamp_ns,
        frame_id=frame_id,
    )
    return view, world_frame


def _write_marker(writer: CdrWriter, marker: Marker, frame_id: str, stamp_ns: int) -> None:
    is_mesh = isinstance(marker, TriangleMarker)
    action = _DELETE_ALL if isinstance(marker, DeleteAllMarkers) else _ADD if is_mesh else _DELETE
    writer.header(stamp_ns, frame_id)
    writer.string("" if isinstance(marker, DeleteAllMarkers) else marker.namespace)
    writer.write("i", 0 if isinstance(marker, DeleteAllMarkers) else marker.id, _TRIANGLE_LIST, action)
    writer.write("d", *_IDENTITY_POSE, 1.0, 1.0, 1.0)
    writer.write("f", 1.0, 1.0, 1.0, 1.0)  # colour: RViz hides what is transparent here, whatever its corners say
    writer.write("i", 0)  # lifetime: for ever
    writer.write("I", 0)
    writer.write("?", False)
    corners = marker.triangles.reshape(-1) if isinstance(marker, TriangleMarker) else np.zeros(0, np.int32)
    if isinstance(marker, TriangleMarker):
        writer.sequence(np.take(marker.vertices.astype(np.float64), corners, axis=0), len(corners))
        writer.sequence(np.take(_rgba(marker), corners, axis=0), len(corners))
    else:
        writer.write("I", 0, 0)
    writer.string("")  # texture_resource
    writer.header(0, "")  # texture
    writer.string("")
    writer.write("I", 0)
    writer.write("I", 0)  # uv_coordinates
    writer.string("")  # text
    writer.string("")  # mesh_resource
    writer.string("")  # mesh_file
    writer.write("I", 0)
    writer.write("?", False)  # mesh_use_embedded_materials


def _rgba(marker: TriangleMarker) -> NDArray[np.float32]:
    rgba = np.full((len(marker.vertices), 4), marker.alpha, np.float32)
    rgba[:, :3] = marker.colors * np.float32(1 / 255)
    return rgba


def _write_image(writer: CdrWriter, image: NDArray, encoding: str, frame_id: str, stamp_ns: int) -> None:
    height, width = image.shape[:2]
    writer.header(stamp_ns, frame_id)
    writer.write("I", height, width)
    writer.string(encoding if height else "")
    writer.write("B", 0)
    writer.write("I", image.nbytes // height if height else 0)
    flat = np.ascontiguousarray(image).reshape(-1)
    writer.sequence(flat.view(np.uint8) if height else np.zeros(0, np.uint8))


def _write_camera_info(writer: CdrWriter, camera: Camera, frame_id: str, stamp_ns: int) -> None:
    matrix = camera.matrix
    writer.header(stamp_ns, frame_id)
    writer.write("I", camera.height, camera.width)
    writer.string("plumb_bob" if camera.distortion_model == "none" else camera.distortion_model)
    writer.sequence(np.array(camera.distortion, np.float64))
    writer.array(matrix)
    writer.array(np.eye(3))
    writer.array(np.hstack([matrix, np.zeros((3, 1))]))
    writer.write("I", 0, 0, 0, 0, 0, 0)  # binning, region of interest
    writer.write("?", False)


def _write_pose(writer: CdrWriter, pose: NDArray[np.float64] | None) -> None:
    if pose is None:
        writer.write("d", *_IDENTITY_POSE)
    else:
        writer.write("d", *pose[:3, 3], *quat_xyzw_from_wxyz(quat_from_rotation(pose[:3, :3])))


def _read_image(reader: CdrReader, what: str) -> RawImage:
    reader.header()
    height, width = reader.read("I", 2)
    encoding, is_bigendian, step = reader.string(), bool(reader.one("B")), reader.one("I")
    return RawImage(encoding, height, width, step, reader.octets(), is_bigendian, what)


def _read_camera(reader: CdrReader, what: str, *, rectified: bool) -> Camera:
    reader.header()
    height, width = reader.read("I", 2)
    model, d = reader.string(), reader.sequence(np.float64)
    k, _, p = reader.read("d", 9), reader.read("d", 9), reader.read("d", 12)
    binning = reader.read("I", 2)
    left, top, roi_height, roi_width = reader.read("I", 4)
    reader.one("?")
    roi = (left, top, roi_width, roi_height)
    return camera_from_info(
        width, height, k, d.tolist(), model, p, binning=binning, roi=roi, rectified=rectified, name=what
    )
