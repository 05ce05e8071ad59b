"""Message objects of ``rosbags`` to arrays and back; no rclpy."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from showroom_ros.bags.message_types import jazzy_types
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import pose_from, quat_from_rotation, quat_wxyz_from_xyzw, quat_xyzw_from_wxyz
from showroom_ros.scene.image_codec import (
    decode_compressed_depth,
    decode_compressed_image,
    decode_depth,
    decode_image,
)

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TRANSFORMS = "tf2_msgs/msg/TFMessage"
ODOMETRY = "nav_msgs/msg/Odometry"
POSE = "geometry_msgs/msg/PoseStamped"

_SECOND_NS = 1_000_000_000


def stamp_and_frame(data: bytes | memoryview) -> tuple[int, str]:
    """Stamp (ns) and frame of a serialised message that starts with a header, without decoding the rest.

    Raises:
        InputError: too short to hold a header.
    """
    view = memoryview(data)
    if len(view) < 16:
        raise InputError(f"serialised message has {len(view)} bytes, expected a header of at least 16")
    order = "<" if view[1] & 1 else ">"
    seconds, nanoseconds, length = struct.unpack_from(f"{order}iII", view, 4)
    if len(view) < 16 + length:
        raise InputError(f"serialised message has {len(view)} bytes, its frame_id alone {length}")
    return seconds * _SECOND_NS + nanoseconds, bytes(view[16 : 16 + max(length - 1, 0)]).decode(errors="replace")


def stamp_ns_of(message: Any) -> int:
    """Nanoseconds of ``message.header.stamp``."""
    return int(message.header.stamp.sec) * _SECOND_NS + int(message.header.stamp.nanosec)


def color_of(message: Any, msgtype: str, name: str) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB of an ``Image`` or ``CompressedImage``; raises ``InputError``."""
    if msgtype == COMPRESSED_IMAGE:
        return decode_compressed_image(message.format, message.data, name)
    return decode_image(*_raw(message), name=name)


def depth_of(message: Any, msgtype: str, name: str) -> NDArray[np.float32]:
    """float32 [H, W] metres, NaN unknown, of an ``Image`` or ``CompressedImage``; raises ``InputError``."""
    if msgtype == COMPRESSED_IMAGE:
        return decode_compressed_depth(message.format, message.data, name)
    return decode_depth(*_raw(message), name=name)


def transform_of(message: Any, name: str) -> NDArray[np.float64]:
    """[4, 4] of a ``Transform``; raises ``InputError``."""
    return _matrix(message.translation, message.rotation, name)


def pose_of(message: Any, name: str) -> NDArray[np.float64]:
    """[4, 4] of a ``Pose``; raises ``InputError``."""
    return _matrix(message.position, message.orientation, name)


def image_message(pixels: NDArray, encoding: str, frame_id: str, stamp_ns: int) -> Any:
    """``Image`` of [H, W] or [H, W, C]; ``encoding`` must fit its dtype."""
    pixels = np.ascontiguousarray(pixels)
    return _new(
        IMAGE,
        header=header(frame_id, stamp_ns),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.nbytes // pixels.shape[0],
        data=pixels.view(np.uint8).reshape(-1),
    )


def compressed_message(fmt: str, data: bytes, frame_id: str, stamp_ns: int) -> Any:
    """``CompressedImage`` of bytes in the form ``fmt`` says."""
    return _new(COMPRESSED_IMAGE, header=header(frame_id, stamp_ns), format=fmt, data=np.frombuffer(data, np.uint8))


def camera_info_message(camera: Camera, frame_id: str, stamp_ns: int) -> Any:
    """``CameraInfo``; a camera without distortion has five zeros of ``plumb_bob``."""
    model, distortion = camera.distortion_model, camera.distortion
    if model == "none":
        model, distortion = "plumb_bob", (0.0,) * 5
    return _new(
        CAMERA_INFO,
        header=header(frame_id, stamp_ns),
        height=camera.height,
        width=camera.width,
        distortion_model=model,
        d=np.array(distortion, np.float64),
        k=camera.matrix.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack([camera.matrix, np.zeros((3, 1))]).ravel(),
        binning_x=0,
        binning_y=0,
        roi=_new("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    )


def transforms_message(parent: str, child: str, stamp_ns: int, T_parent_child: NDArray[np.float64]) -> Any:
    """``TFMessage`` with one transform."""
    x, y, z = (float(value) for value in T_parent_child[:3, 3])
    qx, qy, qz, qw = (float(v) for v in quat_xyzw_from_wxyz(quat_from_rotation(T_parent_child[:3, :3])))
    transform = _new(
        "geometry_msgs/msg/Transform",
        translation=_new("geometry_msgs/msg/Vector3", x=x, y=y, z=z),
        rotation=_new("geometry_msgs/msg/Quaternion", x=qx, y=qy, z=qz, w=qw),
    )
    stamped = _new(
        "geometry_msgs/msg/TransformStamped",
        header=header(parent, stamp_ns),
        child_frame_id=child,
        transform=transform,
    )
    return _new(TRANSFORMS, transforms=[stamped])


def header(frame_id: str, stamp_ns: int) -> Any:
    """``Header``."""
    seconds, nanoseconds = divmod(int(stamp_ns), _SECOND_NS)
    stamp = _new("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
    return _new("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def _new(msgtype: str, **fields: Any) -> Any:
    return jazzy_types().types[msgtype](**fields)


def _raw(message: Any) -> tuple[str, int, int, int, Any, bool]:
    return message.encoding, message.height, message.width, message.step, message.data, bool(message.is_bigendian)


def _matrix(position: Any, orientation: Any, name: str) -> NDArray[np.float64]:
    quat_xyzw = (orientation.x, orientation.y, orientation.z, orientation.w)
    try:
        return pose_from((position.x, position.y, position.z), quat_wxyz_from_xyzw(quat_xyzw))
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
