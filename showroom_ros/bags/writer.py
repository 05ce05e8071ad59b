"""Writing rosbag2 folders without ROS, so that no half bag is ever found under the bag's name."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

from showroom_ros.bags.message_types import jazzy_types, require_type
from showroom_ros.bags.qos import make_qos
from showroom_ros.errors import OutputError

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
RELIABLE = make_qos()
LATCHED = make_qos(durability="transient_local", depth=1)
METADATA_VERSION: Literal[9] = 9
"""As ROS 2 Jazzy writes it."""


class BagWriter:
    """A rosbag2 in the making; a context manager that closes it, or discards it after an exception.

    The bag grows in a folder ``<name>.partial-*`` beside its place and is moved there when complete.

    Attributes:
        path: where the bag will be.
        message_count: messages written so far.
    """

    def __init__(self, path: str | Path, storage: str = "mcap", *, overwrite: bool = False) -> None:
        """Opens the bag.

        Args:
            path: folder of the bag.
            storage: ``mcap`` or ``sqlite3``.
            overwrite: replace a bag of that name when this one is complete.

        Raises:
            OutputError: unknown storage, the path is taken, or the folder cannot be made.
        """
        self.path = Path(path).absolute()
        self.message_count = 0
        self._overwrite = overwrite
        if storage not in STORAGES:
            raise OutputError(f"bag storage is '{storage}', expected {' or '.join(STORAGES)}")
        _check_free(self.path, overwrite)
        with _reported(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f"{self.path.name}.partial-", dir=self.path.parent))
            # the storage file is named after its folder, so the folder inside has the final name already
            self._writer = Writer(
                self._folder / self.path.name, version=METADATA_VERSION, storage_plugin=STORAGES[storage]
            )
            self._writer.open()
        self._types = jazzy_types()
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> BagWriter:
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the bag, or discards it after an exception."""
        if kind is None:
            self.close()
        else:
            self.discard()

    def add_topic(self, topic: str, msgtype: str, qos: Sequence[Qos] = (RELIABLE,)) -> str:
        """Declares a topic before its first message.

        Args:
            topic: absolute name.
            msgtype: ``package/msg/Name``.
            qos: profiles of its publishers, for players.

        Returns:
            RIHS01 hash of the type as it is written to the bag.

        Raises:
            BagError: the definition of the type is not installed.
            OutputError: declared twice, or the bag cannot be written.
        """
        if topic in self._connections:
            raise OutputError(f"{self.path}: topic {topic} was declared twice")
        require_type(self._types, msgtype)
        with _reported(self.path):
            connection = self._writer.add_connection(
                topic, msgtype, typestore=self._types, offered_qos_profiles=list(qos)
            )
        self._connections[topic] = connection
        return connection.digest

    def write(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Adds a message object of ``jazzy_types()``, recorded at ``stamp_ns``."""
        connection = self._connection(topic)
        self.write_raw(topic, stamp_ns, self._types.serialize_cdr(message, connection.msgtype))

    def write_raw(self, topic: str, stamp_ns: int, data: bytes | memoryview) -> None:
        """Adds a serialised message (CDR), recorded at ``stamp_ns``.

        Raises:
            OutputError: the topic was not declared, or the bag cannot be written (disk full).
        """
        connection = self._connection(topic)
        with _reported(self.path):
            self._writer.write(connection, stamp_ns, data)
        self.message_count += 1

    def close(self) -> None:
        """Completes the bag and moves it to its place.

        Raises:
            OutputError: it cannot be written; nothing is left, and an old bag is as it was.
        """
        try:
            with _reported(self.path):
                self._writer.close()
                _sync(self._writer.path)
                _check_free(self.path, self._overwrite)
                if self.path.exists():
                    os.replace(self.path, self._folder / "replaced")
                os.replace(self._writer.path, self.path)
                _sync_folder(self.path.parent)
        finally:
            self.discard()

    def discard(self) -> None:
        """Removes what was written, unless ``close`` has moved it to its place."""
        replaced = self._folder / "replaced"
        if replaced.exists() and not self.path.exists():
            os.replace(replaced, self.path)
        with suppress(Exception):
            self._writer.abort()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _connection(self, topic: str) -> Connection:
        if topic not in self._connections:
            raise OutputError(
                f"{self.path}: topic {topic} was not declared, expected one of {sorted(self._connections)}"
            )
        return self._connections[topic]


def _check_free(path: Path, overwrite: bool) -> None:
    if not path.exists() and not path.is_symlink():
        return
    if not overwrite:
        raise OutputError(f"{path}: exists already; choose another name or allow to overwrite it")
    if not (path / "metadata.yaml").is_file():
        raise OutputError(f"{path}: exists and is no rosbag2 folder, so it is not overwritten")


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error, WriterError) as error:
        raise OutputError(f"{path}: the bag cannot be written: {error}") from error


def _sync(folder: Path) -> None:
    for item in folder.iterdir():
        descriptor = os.open(item, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
