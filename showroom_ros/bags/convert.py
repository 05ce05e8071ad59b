"""Any ``Sequence`` as a rosbag2 that plays like a camera driver: images, calibration and transforms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.bags import messages
from showroom_ros.bags.writer import LATCHED, BagWriter
from showroom_ros.errors import InputError
from showroom_ros.scene.image_codec import encode_compressed_depth, encode_compressed_image, millimetres_from_depth
from showroom_ros.scene.view import SensorFrame, Sequence

WORLD_FRAME = "odom"
DEPTH_FRAME = "camera_depth_optical_frame"
COLOR_TOPIC = "/camera/color/image"
COLOR_INFO_TOPIC = "/camera/color/camera_info"
DEPTH_TOPIC = "/camera/depth/image"
DEPTH_INFO_TOPIC = "/camera/depth/camera_info"
IMAGE_FORMATS = ("raw", "jpeg", "png")


def convert(
    sequence: Sequence,
    out: str | Path,
    storage: str = "mcap",
    *,
    image_format: str = "raw",
    rate_hz: float | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes ``sequence`` to the rosbag2 ``out``; the same input gives the same bytes.

    Colour goes to ``/camera/color/image`` (rgb8), depth in millimetres to ``/camera/depth/image`` (16UC1),
    each with a camera_info; poses to ``/tf`` as ``odom -> <colour frame>``. Depth that is not registered
    has its own frame, whose place is in ``/tf_static``. Messages are recorded at the stamp of their frame.

    Args:
        sequence: what to convert.
        out: folder of the bag.
        storage: ``mcap`` or ``sqlite3``.
        image_format: ``raw``; ``jpeg`` or ``png`` write ``.../compressed`` and, for depth, ``.../compressedDepth``
            (png) instead.
        rate_hz: new stamps this far apart, from that of the first frame on; None keeps the stamps.
        overwrite: replace a bag of that name.
        progress: called with (frames done, frames in all).

    Raises:
        InputError: unknown format, a rate that is not positive, an empty sequence, stamps that do not rise.
        OutputError: the path is taken, or the bag cannot be written.
    """
    if image_format not in IMAGE_FORMATS:
        raise InputError(f"image format is '{image_format}', expected one of {', '.join(IMAGE_FORMATS)}")
    if rate_hz is not None and not rate_hz > 0:
        raise InputError(f"rate is {rate_hz} Hz, expected a positive number")
    if not len(sequence):
        raise InputError(f"{sequence.name} has no frames")
    with BagWriter(out, storage, overwrite=overwrite) as writer:
        recording = _Recording(writer, image_format)
        first_ns = 0
        in_parallel = getattr(sequence, "frames", None)  # sequences that are made offer their frames ahead of time
        frames = in_parallel() if in_parallel is not None else map(sequence.frame, range(len(sequence)))
        for index, frame in enumerate(frames):
            first_ns = first_ns or frame.stamp_ns
            stamp_ns = frame.stamp_ns if rate_hz is None else first_ns + round(index * 1e9 / rate_hz)
            recording.add(frame, stamp_ns)
            if progress is not None:
                progress(index + 1, len(sequence))


class _Recording:
    """Writes frames to topics, which are declared with the first frame that has something for them."""

    def __init__(self, writer: BagWriter, image_format: str) -> None:
        self._writer, self._format = writer, image_format
        self._declared: set[str] = set()
        self._last_ns = 0
        self._T_color_depth: NDArray[np.float64] | None = None

    def add(self, frame: SensorFrame, stamp_ns: int) -> None:
        if stamp_ns <= self._last_ns:
            raise InputError(f"stamp {stamp_ns} ns follows {self._last_ns} ns, expected rising stamps above 0")
        self._last_ns = stamp_ns
        if frame.T_world_camera is not None:
            self._add_transform("/tf", WORLD_FRAME, frame.frame_id, stamp_ns, frame.T_world_camera)
        info = messages.camera_info_message(frame.color_camera, frame.frame_id, stamp_ns)
        self._write(COLOR_INFO_TOPIC, messages.CAMERA_INFO, stamp_ns, info)
        self._add_color(frame, stamp_ns)
        if frame.depth is not None:
            self._add_depth(frame, frame.depth, stamp_ns)

    def _add_color(self, frame: SensorFrame, stamp_ns: int) -> None:
        if self._format == "raw":
            image = messages.image_message(frame.image, "rgb8", frame.frame_id, stamp_ns)
            self._write(COLOR_TOPIC, messages.IMAGE, stamp_ns, image)
            return
        fmt, data = encode_compressed_image(frame.image, self._format)
        image = messages.compressed_message(fmt, data, frame.frame_id, stamp_ns)
        self._write(f"{COLOR_TOPIC}/compressed", messages.COMPRESSED_IMAGE, stamp_ns, image)

    def _add_depth(self, frame: SensorFrame, depth: NDArray[np.float32], stamp_ns: int) -> None:
        frame_id = frame.frame_id if frame.T_color_depth is None else DEPTH_FRAME
        if frame.T_color_depth is not None:
            self._add_extrinsics(frame.frame_id, stamp_ns, frame.T_color_depth)
        info = messages.camera_info_message(frame.depth_camera or frame.color_camera, frame_id, stamp_ns)
        self._write(DEPTH_INFO_TOPIC, messages.CAMERA_INFO, stamp_ns, info)
        if self._format == "raw":
            image = messages.image_message(millimetres_from_depth(depth), "16UC1", frame_id, stamp_ns)
            self._write(DEPTH_TOPIC, messages.IMAGE, stamp_ns, image)
            return
        image = messages.compressed_message(*encode_compressed_depth(depth), frame_id, stamp_ns)
        self._write(f"{DEPTH_TOPIC}/compressedDepth", messages.COMPRESSED_IMAGE, stamp_ns, image)

    def _add_extrinsics(self, color_frame: str, stamp_ns: int, T_color_depth: NDArray[np.float64]) -> None:
        if self._T_color_depth is None:
            self._T_color_depth = T_color_depth
            self._add_transform("/tf_static", color_frame, DEPTH_FRAME, stamp_ns, T_color_depth)
        elif not np.allclose(self._T_color_depth, T_color_depth, atol=1e-9):
            raise InputError(f"T_color_depth changes at stamp {stamp_ns} ns, expected cameras fixed to each other")

    def _add_transform(
        self, topic: str, parent: str, child: str, stamp_ns: int, T_parent_child: NDArray[np.float64]
    ) -> None:
        message = messages.transforms_message(parent, child, stamp_ns, T_parent_child)
        self._write(topic, messages.TRANSFORMS, stamp_ns, message)

    def _write(self, topic: str, msgtype: str, stamp_ns: int, message: object) -> None:
        if topic not in self._declared:
            self._declared.add(topic)
            if topic == "/tf_static":
                self._writer.add_topic(topic, msgtype, (LATCHED,))
            else:
                self._writer.add_topic(topic, msgtype)
        self._writer.write(topic, stamp_ns, message)
