"""A bag as a ``Sequence``: read directly, with all transforms known, instead of racing a replay."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.bags import messages
from showroom_ros.bags.reader import BagReader
from showroom_ros.bags.topics import BagTopics, guess_topics
from showroom_ros.errors import BagError, TransformError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.transform_tree import PoseHistory, TransformBuffer
from showroom_ros.scene.association import associate
from showroom_ros.scene.camera_info import camera_from_message
from showroom_ros.scene.rectification import rectify
from showroom_ros.scene.view import SensorFrame, View

_FOREVER_S = 1e9
_WORLD_FRAMES = ("odom", "map", "world")


@dataclass(frozen=True)
class _Entry:
    """Where one image is in the bag."""

    topic: str
    stamp_ns: int
    frame_id: str
    recorded_ns: int
    repeat: int
    """How many messages of the topic were recorded at the same time before it."""


@dataclass(frozen=True)
class _Posed:
    """A frame: its images and its pose."""

    color: _Entry
    depth: _Entry | None
    T_world_camera: NDArray[np.float64] | None


@dataclass
class _Index:
    """What one pass over the bag collects."""

    images: dict[str, list[_Entry]]
    cameras: dict[str, Camera]
    transforms: TransformBuffer
    poses: PoseHistory
    pose_frames: tuple[str, str] | None = None
    skipped: dict[str, int] = field(default_factory=dict)


class BagSequence:
    """The frames of a bag: every colour image with its depth and pose.

    Poses come from ``/tf``, or from an ``Odometry`` or ``PoseStamped`` topic, interpolated at the stamp of
    the colour image. Images without a depth partner (where the bag has depth) or without a pose (where
    it has poses) are left out and counted. The first ``CameraInfo`` of each stream counts for all images.

    Attributes:
        name: name of the bag.
        topics: the topics that are read.
        world_frame: frame of the poses, empty where there are none.
        skipped: colour images left out, by reason.
    """

    def __init__(
        self,
        path: str | Path,
        topics: BagTopics | None = None,
        *,
        world_frame: str = "",
        camera_frame: str = "",
        rectified: bool = False,
        slop_s: float = 0.02,
        max_gap_s: float = 0.5,
    ) -> None:
        """Opens the bag and reads stamps, calibration and poses, but no pixels.

        Args:
            path: any bag ``BagReader`` reads.
            topics: where the names cannot be guessed.
            world_frame: frame the poses are wanted in; empty = ``odom``, ``map`` or ``world``, the first there is.
            camera_frame: optical frame of the colour camera; empty = the images' frame_id.
            rectified: the images were undistorted already: intrinsics come from P.
            slop_s: largest difference between stamps of colour and depth.
            max_gap_s: poses further apart are not interpolated.

        Raises:
            BagError: no bag, topics missing or ambiguous, or no frame has all it needs (says why).
            InputError: a calibration or pose in it is wrong.
        """
        self._bag = BagReader(path)
        self.name = Path(path).name
        self.topics = guess_topics(self._bag, topics or BagTopics())
        self._camera_frame, self._rectified = camera_frame, rectified
        index = self._read_index(int(max_gap_s * 1e9))
        self._cameras, self._transforms = index.cameras, index.transforms
        self.world_frame = world_frame or _guess_world(index)
        self._frames = self._assemble(index, int(slop_s * 1e9))
        self.skipped = index.skipped

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View``: undistorted, depth registered to colour."""
        return rectify(self.frame(index))

    def frame(self, index: int) -> SensorFrame:
        """The frame as the sensors delivered it; raises ``InputError`` where an image cannot be decoded."""
        item = self._frames[index]
        depth, depth_camera, T_color_depth = None, None, None
        if item.depth is not None:
            depth = messages.depth_of(self._message(item.depth), self._type(item.depth.topic), item.depth.topic)
            if self.topics.depth_info:
                depth_camera = self._cameras[self.topics.depth_info]
                T_color_depth = self._extrinsics(item.color, item.depth)
        return SensorFrame(
            image=messages.color_of(self._message(item.color), self._type(item.color.topic), item.color.topic),
            color_camera=self._cameras[self.topics.color_info or ""],
            depth=depth,
            depth_camera=depth_camera,
            T_color_depth=T_color_depth,
            T_world_camera=item.T_world_camera,
            stamp_ns=item.color.stamp_ns,
            frame_id=self._frame_of(item.color),
        )

    def close(self) -> None:
        """Closes the bag."""
        self._bag.close()

    def _type(self, topic: str) -> str:
        return self._bag.topics[topic].type

    def _frame_of(self, entry: _Entry) -> str:
        return self._camera_frame or entry.frame_id

    def _message(self, entry: _Entry) -> object:
        found = self._bag.messages([entry.topic], entry.recorded_ns, entry.recorded_ns + 1)
        for _ in range(entry.repeat):
            next(found)
        return next(found).message

    def _extrinsics(self, color: _Entry, depth: _Entry) -> NDArray[np.float64] | None:
        if depth.frame_id in (self._frame_of(color), color.frame_id, ""):
            return None
        return self._transforms.lookup(self._frame_of(color), depth.frame_id, color.stamp_ns)

    def _read_index(self, max_gap_ns: int) -> _Index:
        wanted = [topic for topic in vars(self.topics).values() if topic]
        wanted += [topic for topic in ("/tf", "/tf_static") if topic in self._bag.topics]
        images: dict[str, list[_Entry]] = {topic: [] for topic in (self.topics.color, self.topics.depth) if topic}
        poses = PoseHistory(int(_FOREVER_S * 1e9), max_gap_ns, self.topics.pose or "/tf")
        index = _Index(images, {}, TransformBuffer(_FOREVER_S, max_gap_ns / 1e9), poses)
        moving: list[tuple[int, str, str, NDArray[np.float64]]] = []
        for topic, recorded_ns, data in self._bag.raw_messages(wanted):
            if topic in images:
                stamp_ns, frame_id = messages.stamp_and_frame(data)
                last = images[topic][-1] if images[topic] else None
                repeat = last.repeat + 1 if last and last.recorded_ns == recorded_ns else 0
                images[topic].append(_Entry(topic, stamp_ns, frame_id, recorded_ns, repeat))
            elif topic in (self.topics.color_info, self.topics.depth_info):
                if topic not in index.cameras:
                    info = self._bag.deserialize(data, topic)
                    index.cameras[topic] = camera_from_message(info, topic, rectified=self._rectified)
            elif topic == self.topics.pose:
                _read_pose(index, self._bag.deserialize(data, topic), topic)
            else:
                for item in self._bag.deserialize(data, topic).transforms:
                    parent, child = item.header.frame_id, item.child_frame_id
                    pose = messages.transform_of(item.transform, f"{topic}: {parent} <- {child}")
                    if topic == "/tf_static":
                        index.transforms.insert(parent, child, 0, pose, is_static=True)
                    else:
                        moving.append((messages.stamp_ns_of(item), parent, child, pose))
        for stamp_ns, parent, child, pose in sorted(moving, key=lambda item: item[0]):
            index.transforms.insert(parent, child, stamp_ns, pose)
        return index

    def _assemble(self, index: _Index, slop_ns: int) -> list[_Posed]:
        """Pairs colour with depth and looks up poses; raises ``BagError`` where no frame is left."""
        colors = index.images[self.topics.color or ""]
        depths = index.images.get(self.topics.depth or "", [])
        partners = associate([item.stamp_ns for item in colors], [item.stamp_ns for item in depths], slop_ns)
        has_poses = bool(self.topics.pose or index.transforms.frames())
        frames: list[_Posed] = []
        reason: Exception | None = None
        for color, partner in zip(colors, partners, strict=True):
            if self.topics.depth and partner is None:
                _count(index.skipped, "no depth")
                continue
            try:
                pose = self._pose(index, color) if has_poses else None
            except TransformError as error:
                reason = reason or error
                _count(index.skipped, "no pose")
                continue
            frames.append(_Posed(color, None if partner is None else depths[partner], pose))
        if not frames:
            counts = ", ".join(f"{count} with {what}" for what, count in index.skipped.items())
            raise BagError(
                f"{self._bag.path}: none of {len(colors)} colour images can be used ({counts}): {reason or ''}"
            )
        return frames

    def _pose(self, index: _Index, color: _Entry) -> NDArray[np.float64]:
        camera = self._frame_of(color)
        if not self.topics.pose:
            return index.transforms.lookup(self.world_frame, camera, color.stamp_ns)
        parent, child = index.pose_frames or ("", "")
        T_parent_child = index.poses.at(color.stamp_ns)
        T_world_parent = index.transforms.lookup(self.world_frame, parent, color.stamp_ns)
        T_child_camera = index.transforms.lookup(child or camera, camera, color.stamp_ns)
        return T_world_parent @ T_parent_child @ T_child_camera


def _read_pose(index: _Index, message: object, topic: str) -> None:
    """An ``Odometry`` says where ``child_frame_id`` is, a ``PoseStamped`` where the camera is."""
    inner = getattr(message.pose, "pose", message.pose)  # type: ignore[attr-defined]
    index.pose_frames = (message.header.frame_id, getattr(message, "child_frame_id", ""))  # type: ignore[attr-defined]
    index.poses.insert(messages.stamp_ns_of(message), messages.pose_of(inner, topic))


def _guess_world(index: _Index) -> str:
    if index.pose_frames:
        return index.pose_frames[0]
    frames = index.transforms.frames()
    return next((name for name in _WORLD_FRAMES if name in frames), _WORLD_FRAMES[0] if frames else "")


def _count(counts: dict[str, int], what: str) -> None:
    counts[what] = counts.get(what, 0) + 1
