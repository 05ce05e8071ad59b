"""Receives the map as any subscriber would: keeps the mesh, and notes when each message arrived."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from types import TracebackType

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Path
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from showroom_ros.errors import ShowroomError
from showroom_ros.ros.cdr_stream import CdrReader
from showroom_ros.ros.conversions import ns_from_stamp
from showroom_ros.ros.dds import configure_dds
from showroom_ros.ros.interfaces import FilePath, Status
from showroom_ros.ros.marker_reader import MarkerBlocks, MarkerKey, read_marker_array
from showroom_ros.ros.qos import map_qos, mesh_qos
from showroom_ros.scene.mesh import Mesh


class MapClient:
    """A node of its own in a thread of its own that follows one ``reconstruction_node``.

    Mesh messages are kept as they came and read when ``mesh`` is asked for, so that measuring does not
    slow down what is measured.

    Attributes:
        arrivals: ``(stamp_ns of its first marker, wall clock in ns)`` of every mesh message.
        bytes_received: size of all mesh messages.
        status: the newest ``~/status``; None before the first.
        keyframe_stamps_ns: stamps of the poses in ``~/path``.
        diagnostics: newest values by status name and key, of all nodes.
    """

    def __init__(self, reconstruction: str = "reconstruction_node") -> None:
        """Subscribes; use as a context manager.

        Args:
            reconstruction: name of the node to follow.
        """
        configure_dds(os.environ)
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node("map_client", context=self._context)
        self._name = reconstruction
        self._lock = threading.Lock()
        self._follower = MarkerBlocks()
        self._blocks: dict[MarkerKey, Mesh] = {}
        self._unread: list[bytes] = []
        self.arrivals: list[tuple[int, int]] = []
        self.bytes_received = 0
        self.status: Status | None = None
        self.keyframe_stamps_ns: list[int] = []
        self.diagnostics: dict[str, dict[str, str]] = {}
        self._node.create_subscription(MarkerArray, f"{reconstruction}/mesh", self._on_mesh, mesh_qos(), raw=True)
        self._node.create_subscription(Status, f"{reconstruction}/status", self._on_status, map_qos())
        self._node.create_subscription(Path, f"{reconstruction}/path", self._on_path, map_qos())
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="map_client", daemon=True)

    def __enter__(self) -> MapClient:
        """Starts receiving."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops receiving."""
        self._context.try_shutdown()
        self._thread.join(timeout=5.0)
        self._node.destroy_node()

    def mesh(self) -> Mesh:
        """What a subscriber shows now, all blocks as one mesh."""
        with self._lock:
            unread, self._unread = self._unread, []
            for data in unread:
                changed, removed = self._follower.apply(read_marker_array(data))
                for key in removed:
                    self._blocks.pop(key, None)
                self._blocks.update(changed)
            return Mesh.concatenate(self._blocks.values()).welded()

    def trigger(self, service: str, timeout_s: float = 60.0) -> str:
        """Calls ``~/<service>`` (std_srvs/Trigger) and returns its message; a failure is a ``ShowroomError``."""
        return self._call(Trigger, Trigger.Request(), service, timeout_s)

    def file_service(self, service: str, file_path: str, timeout_s: float = 60.0) -> str:
        """Calls ``~/<service>`` (FilePath) and returns its message; a failure is a ``ShowroomError``."""
        return self._call(FilePath, FilePath.Request(file_path=file_path), service, timeout_s)

    def _call(self, kind: type, request: object, service: str, timeout_s: float) -> str:
        client = self._node.create_client(kind, f"{self._name}/{service}")
        try:
            if not client.wait_for_service(timeout_s):
                raise ShowroomError(f"no service {client.srv_name} within {timeout_s} s")
            done = threading.Event()
            future = client.call_async(request)
            future.add_done_callback(lambda _: done.set())
            if not done.wait(timeout_s):
                raise ShowroomError(f"no answer from {client.srv_name} within {timeout_s} s")
            response = future.result()
        finally:
            self._node.destroy_client(client)
        if not response.success:
            raise ShowroomError(f"{service}: {response.message}")
        return response.message

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _on_status(self, status: Status) -> None:
        self.status = status

    def _on_path(self, path: Path) -> None:
        self.keyframe_stamps_ns = [ns_from_stamp(pose.header.stamp) for pose in path.poses]

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            self.diagnostics[status.name] = {item.key: item.value for item in status.values}

    def _on_mesh(self, data: bytes) -> None:
        arrived_ns = time.time_ns()
        reader = CdrReader(data, "mesh")
        if reader.one("I"):
            self.arrivals.append((reader.header()[0], arrived_ns))
        self.bytes_received += len(data)
        with self._lock:
            self._unread.append(data)
