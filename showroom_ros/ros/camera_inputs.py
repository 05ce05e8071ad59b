"""The colour and the depth stream of one camera, and how their images become a ``SensorFrame``."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError, TransformError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.transform_tree import NotYetError, TransformSource
from showroom_ros.ros.frame_assembly import COLOR, DEPTH, RawFrame
from showroom_ros.ros.image_stream import ImageStream, StreamMessage
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.scene.view import SensorFrame
from showroom_ros.settings import Settings

_DISCOVERY_S = 0.5
"""A publisher of camera_info is found within this time of the first image."""


class CameraInputs:
    """Subscribes to both streams and decodes the frames that are wanted."""

    def __init__(
        self,
        node: ShowroomNode,
        settings: Settings,
        transforms: TransformSource,
        submit: Callable[[StreamMessage], None],
    ) -> None:
        """Starts listening; ``submit`` gets every image, still serialised."""
        self._node, self._transforms = node, transforms
        self._camera_frame = settings.pose.camera_frame
        sync = settings.sync
        self._color = ImageStream(
            node, "camera/color", COLOR, submit, sync.color_transport, sync.input_qos, sync.color_is_rectified
        )
        self._depth = None
        if settings.keyframes.use_depth:
            self._depth = ImageStream(
                node, "camera/depth", DEPTH, submit, sync.depth_transport, sync.input_qos, sync.depth_is_rectified
            )
        self._first_depth_s: float | None = None

    def camera_frame(self, frame: RawFrame) -> str:
        """The colour camera's optical frame.

        Raises:
            InputError: neither the image nor the setting names one.
        """
        name = self._camera_frame or frame.color.frame_id
        if not name:
            raise InputError(
                f"{self._color.topic}: header.frame_id is empty, expected a frame (or pose.camera_frame set)"
            )
        return name

    def decode(self, frame: RawFrame, T_world_camera: NDArray[np.float64] | None) -> SensorFrame:
        """The frame's pixels with their calibration.

        Raises:
            NotYetError: a camera_info has not arrived.
            TransformError: where the depth camera is, is not known (yet).
            InputError: an image or calibration is wrong; names the topic.
        """
        color_camera = self._color.camera()
        if color_camera is None:
            raise NotYetError(f"{self._color.info_topic}: no camera_info has arrived, expected one with every image")
        depth, depth_camera, T_color_depth = None, None, None
        if frame.depth is not None and self._depth is not None:
            depth_camera = self._depth_camera(self._depth)
            T_color_depth = self._extrinsics(frame, frame.depth) if depth_camera is not None else None
            depth = self._depth.depth(frame.depth)
        try:
            return SensorFrame(
                image=self._color.color(frame.color),
                color_camera=color_camera,
                depth=depth,
                depth_camera=depth_camera,
                T_color_depth=T_color_depth,
                T_world_camera=T_world_camera,
                stamp_ns=frame.color.stamp_ns,
                frame_id=self.camera_frame(frame),
            )
        except InputError as error:
            raise self._named(error) from error

    def _depth_camera(self, stream: ImageStream) -> Camera | None:
        """None where depth has no calibration of its own: it is registered to colour then."""
        camera = stream.camera()
        if camera is None:
            now_s = time.monotonic()
            self._first_depth_s = self._first_depth_s or now_s
            is_announced = self._node.count_publishers(stream.info_topic) > 0
            if is_announced or now_s - self._first_depth_s < _DISCOVERY_S:
                raise NotYetError(f"{stream.info_topic}: no camera_info has arrived")
        return camera

    def _extrinsics(self, frame: RawFrame, depth: StreamMessage) -> NDArray[np.float64] | None:
        color_frame = self.camera_frame(frame)
        if depth.frame_id in (color_frame, frame.color.frame_id, ""):
            return None
        try:
            return self._transforms.lookup(color_frame, depth.frame_id, frame.color.stamp_ns)
        except TransformError as error:
            raise type(error)(f"where depth is seen from colour: {error}") from error

    def _named(self, error: InputError) -> InputError:
        text = str(error)
        if text.startswith("/"):
            return error
        topic = self._depth.topic if self._depth is not None and text.startswith("depth") else self._color.topic
        return InputError(f"{topic}: {text}")
