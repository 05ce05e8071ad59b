"""One camera stream: its images in any transport, kept serialised until somebody wants the pixels."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.ros.cdr import read_camera_info, read_compressed_image, read_image, stamp_and_frame
from showroom_ros.ros.conversions import color_from_raw, depth_from_raw
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.ros.qos import input_qos
from showroom_ros.scene.image_codec import decode_compressed_depth, decode_compressed_image

_AFTER_STAMP = 12
"""Bytes of a serialised message before what follows the stamp."""


@dataclass(frozen=True, eq=False)
class StreamMessage:
    """A serialised image and what its header says.

    Attributes:
        stream: 0 for colour, 1 for depth.
        stamp_ns, frame_id: the header.
        data: the whole message.
        arrived_s: monotonic time of arrival.
    """

    stream: int
    stamp_ns: int
    frame_id: str
    data: bytes
    arrived_s: float


class ImageStream:
    """Subscribes to ``<base>/image`` (or its compressed form) and ``<base>/camera_info``.

    Attributes:
        topic: resolved name of the image topic.
        info_topic: resolved name of the camera_info topic.
    """

    def __init__(
        self,
        node: ShowroomNode,
        base: str,
        stream: int,
        submit: Callable[[StreamMessage], None],
        transport: str,
        qos: str,
        is_rectified: bool,
    ) -> None:
        """Starts listening.

        Args:
            node: gets the subscriptions.
            base: ``camera/color`` or ``camera/depth``.
            stream: number the messages carry: 0 colour, 1 depth.
            submit: gets each image on an executor thread.
            transport: ``raw``, ``compressed`` or ``compressedDepth``.
            qos: name of a profile, see ``qos.input_qos``.
            is_rectified: the images were undistorted already.
        """
        self._stream, self._submit, self._is_rectified = stream, submit, is_rectified
        self._transport = transport
        self._info: bytes = b""
        self._camera: Camera | InputError | None = None
        suffix, kind = ("", Image) if transport == "raw" else (f"/{transport}", CompressedImage)
        profile, is_color = input_qos(qos), stream == 0
        images = node.create_input(kind, f"{base}/image{suffix}", self._on_image, profile, is_required=is_color)
        info = node.create_input(CameraInfo, f"{base}/camera_info", self._on_info, profile, is_required=is_color)
        self.topic, self.info_topic = images.topic, info.topic

    def camera(self) -> Camera | None:
        """The calibration heard last, None before the first.

        Raises:
            InputError: it is no calibration.
        """
        if isinstance(self._camera, InputError):
            raise self._camera
        return self._camera

    def color(self, message: StreamMessage) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] RGB; raises ``InputError``."""
        if self._transport == "raw":
            return color_from_raw(read_image(message.data, self.topic))
        fmt, data = read_compressed_image(message.data, self.topic)
        return decode_compressed_image(fmt, data, self.topic)

    def depth(self, message: StreamMessage) -> NDArray[np.float32]:
        """float32 [H, W] metres, NaN unknown; raises ``InputError``, also when no pixel is known."""
        if self._transport == "raw":
            depth = depth_from_raw(read_image(message.data, self.topic))
        else:
            fmt, data = read_compressed_image(message.data, self.topic)
            depth = decode_compressed_depth(fmt, data, self.topic)
        if not np.isfinite(depth).any():
            raise InputError(f"{self.topic}: no pixel of {depth.shape[1]}x{depth.shape[0]} has a valid depth")
        return depth

    def _on_image(self, data: bytes) -> int:
        stamp_ns, frame_id = stamp_and_frame(data, self.topic)
        if stamp_ns <= 0:
            raise InputError(f"{self.topic}: header.stamp is {stamp_ns / 1e9:g} s, expected the time of exposure")
        self._submit(StreamMessage(self._stream, stamp_ns, frame_id, data, time.monotonic()))
        return stamp_ns

    def _on_info(self, data: bytes) -> int:
        stamp_ns, _ = stamp_and_frame(data, self.info_topic)
        calibration = data[_AFTER_STAMP:]
        if calibration != self._info:
            self._info = calibration
            try:
                self._camera = read_camera_info(data, self.info_topic, rectified=self._is_rectified)
            except InputError as error:
                self._camera = error
                raise
        return stamp_ns
