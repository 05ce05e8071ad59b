"""Which topics of a bag are the camera's, where they can be told from each other."""

from __future__ import annotations

from dataclasses import dataclass

from showroom_ros.bags import messages
from showroom_ros.bags.convert import COLOR_TOPIC, DEPTH_TOPIC
from showroom_ros.bags.reader import BagReader
from showroom_ros.errors import BagError

_TRANSPORTS = ("/compressedDepth", "/compressed")
_DEPTH_ENCODINGS = ("16UC1", "32FC1")
_IMAGES = (messages.IMAGE, messages.COMPRESSED_IMAGE)
_POSES = (messages.ODOMETRY, messages.POSE)


@dataclass(frozen=True)
class BagTopics:
    """Topics of one camera in a bag; what is None is guessed, and it is an error where that is ambiguous.

    Attributes:
        color: colour images, raw or compressed.
        color_info: their ``CameraInfo``.
        depth: depth images, raw, compressed or compressedDepth; empty = leave depth out.
        depth_info: their ``CameraInfo``; empty = depth is registered to colour.
        pose: ``Odometry`` or ``PoseStamped`` of the camera; empty = poses come from ``/tf``.
    """

    color: str | None = None
    color_info: str | None = None
    depth: str | None = None
    depth_info: str | None = None
    pose: str | None = None


def guess_topics(bag: BagReader, wanted: BagTopics) -> BagTopics:
    """``wanted`` with every None replaced by what the bag has.

    Raises:
        BagError: a topic is not in the bag, there is no colour topic, or there are several candidates;
            lists them.
    """
    bag.require([topic for topic in vars(wanted).values() if topic])
    color, depth = wanted.color, wanted.depth
    if color is None or depth is None:
        images = {topic: _is_depth(bag, topic) for topic in _of_types(bag, _IMAGES)}
        if color is None:
            color = _choose(bag, "color", [t for t, is_depth in images.items() if not is_depth], COLOR_TOPIC)
        if depth is None:
            depth = _choose(bag, "depth", [t for t, is_depth in images.items() if is_depth], DEPTH_TOPIC)
    if not color:
        raise BagError(
            f"{bag.path}: has no colour images, expected a topic of {' or '.join(_IMAGES)}; it has "
            f"{bag.describe_topics()}"
        )
    color_info = wanted.color_info if wanted.color_info is not None else _info_of(bag, color)
    if not color_info:
        raise BagError(f"{bag.path}: has no camera_info beside {color}; it has {bag.describe_topics()}")
    depth_info = wanted.depth_info if wanted.depth_info is not None else (depth and _info_of(bag, depth))
    pose = wanted.pose
    if pose is None:
        pose = "" if "/tf" in bag.topics else _choose(bag, "pose", _of_types(bag, _POSES), "/pose")
    return BagTopics(color, color_info, depth, depth_info, pose)


def _of_types(bag: BagReader, types: tuple[str, ...]) -> list[str]:
    return sorted(topic for topic, info in bag.topics.items() if info.type in types and info.count)


def _is_depth(bag: BagReader, topic: str) -> bool:
    """By what the first image says; a 16-bit grey image is depth if its topic says so."""
    first = next(bag.messages([topic])).message
    if bag.topics[topic].type == messages.COMPRESSED_IMAGE:
        return "compressedDepth" in first.format or first.format.startswith(_DEPTH_ENCODINGS)
    return first.encoding in _DEPTH_ENCODINGS or (first.encoding == "mono16" and "depth" in topic)


def _base(topic: str) -> str:
    """The topic without its transport."""
    return next((topic.removesuffix(suffix) for suffix in _TRANSPORTS if topic.endswith(suffix)), topic)


def _choose(bag: BagReader, role: str, candidates: list[str], default: str) -> str:
    """The only candidate, raw rather than compressed; ``default`` where it is among several; else empty."""
    bases = {_base(topic) for topic in candidates}
    if not bases:
        return ""
    if len(bases) > 1 and default not in bases:
        raise BagError(
            f"{bag.path}: several topics may be {role}: {', '.join(candidates)}; say which with BagTopics({role}=...)"
        )
    base = default if len(bases) > 1 else bases.pop()
    return min((topic for topic in candidates if _base(topic) == base), key=len)


def _info_of(bag: BagReader, topic: str) -> str:
    """The ``CameraInfo`` beside an image topic, empty where there is none."""
    info = f"{_base(topic).rpartition('/')[0]}/camera_info"
    return info if info in _of_types(bag, (messages.CAMERA_INFO,)) else ""
