"""ROS messages to the types of this package and back.

Each ``InputError`` names the topic or field, what was found and what was expected.
"""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, Transform
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import pose_from, quat_from_rotation, quat_wxyz_from_xyzw, quat_xyzw_from_wxyz
from showroom_ros.ros.cdr_stream import NANOSECONDS
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.scene.camera_info import camera_from_message
from showroom_ros.scene.image_codec import (
    RawImage,
    decode_compressed_depth,
    decode_compressed_image,
    decode_depth,
    decode_image,
)
from showroom_ros.scene.view import View


def ns_from_stamp(stamp: Time) -> int:
    """Nanoseconds of a ROS stamp."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def stamp_from_ns(stamp_ns: int) -> Time:
    """A ROS stamp of nanoseconds."""
    seconds, nanoseconds = divmod(stamp_ns, NANOSECONDS)
    return Time(sec=int(seconds), nanosec=int(nanoseconds))


def raw_image(message: Image, name: str) -> RawImage:
    """The message's size, encoding and bytes, not yet decoded; ``name`` is its topic."""
    data = memoryview(message.data)
    return RawImage(
        message.encoding, message.height, message.width, message.step, data, bool(message.is_bigendian), name
    )


def color_from_raw(raw: RawImage) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB; raises ``InputError`` for what ``image_codec.decode_image`` refuses."""
    return decode_image(raw.encoding, raw.height, raw.width, raw.step, raw.data, raw.is_bigendian, raw.name)


def depth_from_raw(raw: RawImage) -> NDArray[np.float32]:
    """float32 [H, W] metres, NaN unknown; raises ``InputError`` for what ``image_codec.decode_depth`` refuses."""
    return decode_depth(raw.encoding, raw.height, raw.width, raw.step, raw.data, raw.is_bigendian, raw.name)


def color_from_image(message: Image, name: str) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB of a message."""
    return color_from_raw(raw_image(message, name))


def depth_from_image(message: Image, name: str) -> NDArray[np.float32]:
    """float32 [H, W] metres, NaN unknown, of a message."""
    return depth_from_raw(raw_image(message, name))


def color_from_compressed(message: CompressedImage, name: str) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB of a JPEG or PNG message."""
    return decode_compressed_image(message.format, memoryview(message.data), name)


def depth_from_compressed(message: CompressedImage, name: str) -> NDArray[np.float32]:
    """float32 [H, W] metres of a ``compressedDepth`` (or plain 16-bit PNG) message."""
    return decode_compressed_depth(message.format, memoryview(message.data), name)


def image_message(image: NDArray, encoding: str, frame_id: str, stamp_ns: int) -> Image:
    """``sensor_msgs/Image`` of [H, W] or [H, W, C]; ``encoding`` must fit its dtype."""
    message = Image(height=image.shape[0], width=image.shape[1], encoding=encoding)
    message.header.stamp = stamp_from_ns(stamp_ns)
    message.header.frame_id = frame_id
    message.step = image.nbytes // max(image.shape[0], 1)
    message.data = array.array("B", np.ascontiguousarray(image).tobytes())
    return message


def camera_info_message(camera: Camera, frame_id: str, stamp_ns: int) -> CameraInfo:
    """``sensor_msgs/CameraInfo`` of a camera."""
    message = CameraInfo(width=camera.width, height=camera.height)
    message.header.stamp = stamp_from_ns(stamp_ns)
    message.header.frame_id = frame_id
    message.distortion_model = "plumb_bob" if camera.distortion_model == "none" else camera.distortion_model
    message.d = list(camera.distortion)
    message.k = camera.matrix.ravel()
    message.r = np.eye(3).ravel()
    message.p = np.hstack([camera.matrix, np.zeros((3, 1))]).ravel()
    return message


def pose_matrix(message: Pose, name: str) -> NDArray[np.float64]:
    """[4, 4] of ``geometry_msgs/Pose``; raises ``InputError`` if not finite or the quaternion is no unit one."""
    return _matrix(message.position, message.orientation, name)


def transform_matrix(message: Transform, name: str) -> NDArray[np.float64]:
    """[4, 4] of ``geometry_msgs/Transform``; raises ``InputError`` as ``pose_matrix`` does."""
    return _matrix(message.translation, message.rotation, name)


def pose_message(pose: NDArray[np.float64]) -> Pose:
    """``geometry_msgs/Pose`` of [4, 4]."""
    message = Pose()
    _fill(message.position, message.orientation, pose)
    return message


def transform_message(pose: NDArray[np.float64]) -> Transform:
    """``geometry_msgs/Transform`` of [4, 4]."""
    message = Transform()
    _fill(message.translation, message.rotation, pose)
    return message


def view_message(view: View, world_frame: str) -> ViewMessage:
    """``showroom_ros/View`` as an object; ``cdr.view_bytes`` is the fast way to publish one."""
    message = ViewMessage(world_frame=world_frame, has_pose=view.T_world_camera is not None)
    message.header.stamp = stamp_from_ns(view.stamp_ns)
    message.header.frame_id = view.frame_id
    message.image = image_message(view.image, "rgb8", view.frame_id, view.stamp_ns)
    message.camera_info = camera_info_message(view.camera, view.frame_id, view.stamp_ns)
    for field, encoding in (("depth", "32FC1"), ("provenance", "8UC1"), ("confidence", "32FC1")):
        plane = getattr(view, field)
        image = np.zeros((0, 0), np.uint8) if plane is None else plane
        name = "" if plane is None else encoding
        setattr(message, field, image_message(image, name, view.frame_id, view.stamp_ns))
    if view.T_world_camera is not None:
        message.pose = pose_message(view.T_world_camera)
    return message


def view_from_message(message: ViewMessage, name: str = "view") -> View:
    """The ``View`` of its message.

    Raises:
        InputError: a field is not what ``View`` demands; the message starts with ``name``.
    """
    planes: dict[str, Any] = {}
    for field, dtype in (("depth", np.float32), ("provenance", np.uint8), ("confidence", np.float32)):
        image = getattr(message, field)
        planes[field] = raw_image(image, f"{name}.{field}").pixels(dtype).copy() if image.height else None
    try:
        return View(
            image=raw_image(message.image, f"{name}.image").pixels(np.uint8, 3).copy(),
            camera=camera_from_message(message.camera_info, f"{name}.camera_info"),
            T_world_camera=pose_matrix(message.pose, f"{name}.pose") if message.has_pose else None,
            stamp_ns=ns_from_stamp(message.header.stamp),
            frame_id=message.header.frame_id,
            **planes,
        )
    except InputError as error:
        raise error if str(error).startswith(name) else InputError(f"{name}: {error}") from error


def _matrix(position: Any, orientation: Any, name: str) -> NDArray[np.float64]:
    quat_xyzw = (orientation.x, orientation.y, orientation.z, orientation.w)
    try:
        return pose_from((position.x, position.y, position.z), quat_wxyz_from_xyzw(quat_xyzw))
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _fill(position: Any, orientation: Any, pose: NDArray[np.float64]) -> None:
    position.x, position.y, position.z = (float(value) for value in pose[:3, 3])
    quat_xyzw = quat_xyzw_from_wxyz(quat_from_rotation(pose[:3, :3]))
    orientation.x, orientation.y, orientation.z, orientation.w = (float(value) for value in quat_xyzw)
