"""Reading bags of ROS 1 and ROS 2 without ROS."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from rosbags.convert.converter import is_same_wireformat, migrate_bytes
from rosbags.highlevel import AnyReader
from rosbags.interfaces import ConnectionExtRosbag1, ConnectionExtRosbag2, Qos
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from showroom_ros.bags.message_types import jazzy_types
from showroom_ros.bags.qos import make_qos
from showroom_ros.errors import BagError

STORAGE_SUFFIXES = (".bag", ".mcap", ".db3")
_ROS1_NAMES = {"tf/msg/tfMessage": "tf2_msgs/msg/TFMessage"}


@dataclass(frozen=True)
class TopicInfo:
    """What a bag says of one topic.

    Attributes:
        type: ROS 2 name of the message type, ``package/msg/Name``.
        count: number of messages.
        qos: profiles of its publishers, as far as they were recorded.
        type_hash: RIHS01 hash of the type, empty where it was not recorded.
    """

    type: str
    count: int
    qos: tuple[Qos, ...]
    type_hash: str


class BagMessage(NamedTuple):
    """One message: its topic, when it was recorded (ns), and its object or serialised bytes."""

    topic: str
    stamp_ns: int
    message: Any


class BagReader:
    """A ROS 1 ``.bag``, a rosbag2 folder (sqlite3 or mcap), or a bare ``.mcap`` or ``.db3`` file.

    ROS 1 messages are given as their ROS 2 counterparts, and topics always start with a slash.

    Attributes:
        path: the bag.
        topics: what is in it, by name.
        start_ns: when the first message was recorded.
        end_ns: when the last message was recorded.
    """

    def __init__(self, path: str | Path) -> None:
        """Opens the bag and reads its index.

        Raises:
            BagError: no bag there, truncated or damaged, or without a single message.
        """
        self.path = Path(path)
        storage = find_storage(self.path)
        with _reported(self.path):
            self._reader = AnyReader([storage], default_typestore=jazzy_types())
            self._reader.open()
        if not self._reader.message_count:
            self.close()
            raise BagError(f"{self.path}: the bag is empty, expected messages")
        self._types, self._converters = _cdr_types(self._reader)
        self.topics = _topics(self._reader)
        self.start_ns = int(self._reader.start_time)
        self.end_ns = int(self._reader.end_time) - 1

    def __enter__(self) -> BagReader:
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the bag."""
        self.close()

    def close(self) -> None:
        """Closes the bag; harmless when done twice."""
        if self._reader.stack:
            self._reader.close()

    @property
    def duration_s(self) -> float:
        """Seconds from the first message to the last."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def message_count(self) -> int:
        """Messages of all topics."""
        return sum(info.count for info in self.topics.values())

    def require(self, topics: Collection[str]) -> None:
        """Raises ``BagError`` unless the bag has all ``topics``; the message lists what it has."""
        missing = [topic for topic in topics if topic not in self.topics]
        if missing:
            raise BagError(f"{self.path}: has no topic {', '.join(missing)}; it has {self.describe_topics()}")

    def describe_topics(self) -> str:
        """All topics with types and counts, for messages to the user."""
        return ", ".join(f"{name} ({info.type}, {info.count})" for name, info in sorted(self.topics.items()))

    def raw_messages(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """Serialised messages (CDR, as ROS 2 sends them) in the order of recording.

        Args:
            topics: only these; None = all.
            start_ns: not those recorded before.
            stop_ns: only those recorded before.

        Raises:
            BagError: a topic is not in the bag, or the bag is damaged.
        """
        if topics is not None:
            self.require(topics)
        connections = [c for c in self._reader.connections if topics is None or _absolute(c.topic) in topics]
        if not connections:
            return
        messages = self._reader.messages(connections, start_ns, stop_ns)
        while True:
            with _reported(self.path):
                try:
                    connection, stamp_ns, data = next(messages)
                except StopIteration:
                    return
                serialised = self._converters[connection.msgtype](data)
            yield BagMessage(_absolute(connection.topic), stamp_ns, serialised)

    def messages(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """Like ``raw_messages``, with message objects that have the fields of the ROS 2 types."""
        for topic, stamp_ns, data in self.raw_messages(topics, start_ns, stop_ns):
            yield BagMessage(topic, stamp_ns, self.deserialize(data, topic))

    def deserialize(self, data: bytes | memoryview, topic: str) -> Any:
        """The message object of serialised ``data`` from ``topic``.

        Raises:
            BagError: the bytes are no message of the topic's type.
        """
        with _reported(f"{self.path}: {topic}"):
            return self._types.deserialize_cdr(data, self.topics[topic].type)


def find_storage(path: Path) -> Path:
    """The file or folder to open for ``path``.

    Raises:
        BagError: nothing there, an empty file, or no bag; says what was expected.
    """
    if not path.exists():
        raise BagError(f"{path}: no such file or folder, expected a bag")
    if path.is_dir():
        if (path / "metadata.yaml").is_file():
            return path
        storages = [item for item in sorted(path.iterdir()) if item.suffix in (".mcap", ".db3")]
        if len(storages) != 1:
            found = ", ".join(item.name for item in storages) or "neither"
            raise BagError(f"{path}: no bag, expected metadata.yaml or one .mcap or .db3 file, found {found}")
        path = storages[0]
    if path.suffix not in STORAGE_SUFFIXES:
        raise BagError(f"{path}: no bag, expected a rosbag2 folder or a file ending in {', '.join(STORAGE_SUFFIXES)}")
    if path.stat().st_size == 0:
        raise BagError(f"{path}: the file is empty (0 bytes)")
    return path


def looks_like_bag(path: Path) -> bool:
    """Whether the path is a rosbag2 folder or has the suffix of a bag; it may still be damaged."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or any(path.glob("*.mcap")) or any(path.glob("*.db3"))
    return path.suffix in STORAGE_SUFFIXES


@contextmanager
def _reported(what: Path | str) -> Iterator[None]:
    """Whatever the parsers of a damaged file raise, as ``BagError``."""
    try:
        yield
    except BagError:
        raise
    except Exception as error:
        text = str(error) or type(error).__name__
        raise BagError(f"{what}: truncated, damaged or not a bag ({text})") from error


def _absolute(topic: str) -> str:
    return topic if topic.startswith("/") else f"/{topic}"


def _topics(reader: AnyReader) -> dict[str, TopicInfo]:
    topics: dict[str, TopicInfo] = {}
    for connection in reader.connections:
        name = _absolute(connection.topic)
        kind = _ROS1_NAMES.get(connection.msgtype, connection.msgtype)
        qos: tuple[Qos, ...] = ()
        if isinstance(connection.ext, ConnectionExtRosbag2):
            qos = tuple(connection.ext.offered_qos_profiles)
        elif isinstance(connection.ext, ConnectionExtRosbag1) and connection.ext.latching:
            qos = (make_qos(durability="transient_local"),)
        count, known = connection.msgcount, topics.get(name)
        if known is not None:
            if known.type != kind:
                raise BagError(f"{reader.paths[0]}: topic {name} has two types, {known.type} and {kind}")
            count, qos = count + known.count, known.qos + qos
        type_hash = connection.digest if connection.digest.startswith("RIHS01_") else ""
        topics[name] = TopicInfo(kind, count, qos, type_hash)
    return topics


Converter = Callable[[bytes | memoryview], bytes | memoryview]


def _cdr_types(reader: AnyReader) -> tuple[Typestore, dict[str, Converter]]:
    """The types of the messages we give out, and per recorded type what makes CDR of its bytes."""
    jazzy = jazzy_types().fielddefs
    kinds = {connection.msgtype for connection in reader.connections}
    if reader.is2 and kinds <= set(reader.typestore.fielddefs):
        return reader.typestore, dict.fromkeys(kinds, _unchanged)
    store = get_typestore(Stores.EMPTY)
    if reader.is2:
        store.register({**jazzy, **reader.typestore.fielddefs})
        return store, dict.fromkeys(kinds, _unchanged)
    store.register({**reader.typestore.fielddefs, **jazzy})
    return store, {kind: _from_ros1(reader.typestore, store, kind) for kind in kinds}


def _unchanged(data: bytes | memoryview) -> bytes | memoryview:
    return data


def _from_ros1(source: Typestore, target: Typestore, kind: str) -> Converter:
    """Re-aligns bytes where only the alignment differs, else carries fields over by name."""
    new_kind = _ROS1_NAMES.get(kind, kind)
    if is_same_wireformat(source, target, kind, new_kind):
        return lambda data: target.ros1_to_cdr(data, new_kind)
    cache: dict[str, object] = {}
    return lambda data: migrate_bytes(source, target, kind, new_kind, cache, data, src_is2=False, dst_is2=True)
