"""reconstruction_node in this process, views as keyframe_node would send them, and a client that follows the map."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
import rclpy.executors
from rclpy.action import ActionClient

from showroom_ros.nodes.map_client import MapClient
from showroom_ros.nodes.reconstruction_node import ReconstructionNode
from showroom_ros.ros.cdr import view_bytes
from showroom_ros.ros.interfaces import View as ViewMessage
from showroom_ros.ros.lifecycle import ShowroomNode
from showroom_ros.ros.qos import view_qos
from showroom_ros.ros.runner import run_nodes
from showroom_ros.scene.view import View

NAMESPACE = "shared"
"""Of the test that runs: discovery remembers the nodes of the one before for a while."""
_COUNTER = itertools.count()


def fresh_namespace() -> None:
    """For the next node."""
    global NAMESPACE
    NAMESPACE = f"test_{next(_COUNTER)}"


@contextmanager
def running_node(
    tmp_path: Path, *others: Callable[[], ShowroomNode], **parameters: object
) -> Iterator[ReconstructionNode]:
    """The node, spinning in this process, active; others beside it."""
    settings = {"map.voxel_size_m": 0.04, "map.truncation_m": 0.16, "output.output_dir": str(tmp_path), **parameters}
    arguments = ["--ros-args", "-r", f"__ns:=/{NAMESPACE}"]
    for name, value in settings.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        arguments += ["-p", f"{name}:={text}"]
    nodes: list[ReconstructionNode] = []

    def make() -> ReconstructionNode:
        nodes.append(ReconstructionNode())
        return nodes[-1]

    stop, codes = threading.Event(), []
    thread = threading.Thread(target=lambda: codes.append(run_nodes([make, *others], arguments, stop)))
    thread.start()
    try:
        wait_until(lambda: (nodes and state_of(nodes[0]) == "active") or not thread.is_alive(), "an active node", 240.0)
        yield nodes[0]
    finally:
        stop.set()
        thread.join(20)
    assert codes == [0]


def state_of(node: ReconstructionNode) -> str:
    """Of its life cycle."""
    return node._state_machine.current_state[1]


def follow() -> MapClient:
    """A client of the node under test."""
    return MapClient(f"{NAMESPACE}/reconstruction_node")


class ViewSender:
    """Publishes views as keyframe_node does."""

    def __init__(self) -> None:
        """A node of its own in a context of its own."""
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("view_sender", context=self.context, namespace=NAMESPACE)
        self.publisher = self.node.create_publisher(ViewMessage, "keyframe_node/view", view_qos())

    def send(self, *views: View | bytes, world_frame: str = "odom") -> None:
        """Publishes once somebody listens."""
        wait_until(lambda: self.publisher.get_subscription_count() > 0, "a subscriber of the views")
        for view in views:
            self.publisher.publish(view if isinstance(view, bytes) else view_bytes(view, world_frame))
            time.sleep(0.01)  # a burst longer than the history of the topic would lose views

    def close(self) -> None:
        """Ends the node."""
        self.node.destroy_node()
        self.context.try_shutdown()


class ActionCaller:
    """Calls an action of reconstruction_node from a context of its own; notes the feedback."""

    def __init__(self, action_type: Any, name: str) -> None:
        """Waits until it is offered."""
        self.type = action_type
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("action_caller", context=self.context, namespace=NAMESPACE)
        self.executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.action = ActionClient(self.node, action_type, f"reconstruction_node/{name}")
        self._thread = threading.Thread(target=self.executor.spin, daemon=True)
        self._thread.start()
        assert self.action.wait_for_server(30.0)
        self.feedback: list[Any] = []

    def start(self, **goal: Any) -> Any:
        """Sends a goal; returns its handle."""
        sent = self.action.send_goal_async(
            self.type.Goal(**goal), lambda message: self.feedback.append(message.feedback)
        )
        wait_until(sent.done, "an answer to the goal")
        return sent.result()

    def finish(self, handle: Any) -> Any:
        """Waits for the result."""
        result = handle.get_result_async()
        wait_until(result.done, "the result", 240.0)
        return result.result()

    def call(self, **goal: Any) -> Any:
        """Both."""
        return self.finish(self.start(**goal))

    def close(self) -> None:
        """Ends the node; not left to the garbage collector, which would do it in any thread."""
        self.executor.shutdown()
        self._thread.join(10)
        self.action.destroy()
        self.node.destroy_node()
        self.context.try_shutdown()


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
    """Polls; fails the test when ``condition`` does not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.02)


def wait_for_status(client: MapClient, *, within_s: float = 20.0, **expected: int) -> None:
    """Until the counts of ``~/status`` have reached these."""
    try:
        wait_until(
            lambda: client.status is not None and all(getattr(client.status, k) >= v for k, v in expected.items()),
            f"a status with {expected}",
            within_s,
        )
    except AssertionError as error:
        raise AssertionError(f"{error}; the last was {client.status}") from None
