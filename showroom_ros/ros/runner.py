"""Runs nodes until somebody stops them: signals, clean shutdown, exit codes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import rclpy
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from showroom_ros.errors import ShowroomError
from showroom_ros.ros.dds import configure_dds
from showroom_ros.ros.lifecycle import ShowroomNode

_THREADS = 4
_POLL_S = 0.2
_DRAIN_S = 2.0


class DrainingExecutor(MultiThreadedExecutor):
    """Survives subscriptions that are destroyed while it spins, and can wait for the callbacks it has handed out."""

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Waits for one callback and hands it to the pool; raises what an earlier one raised."""
        # a message that was ready when its subscription was destroyed (a node was deactivated)
        with contextlib.suppress(InvalidHandle):
            super().spin_once(timeout_sec)

    def drain(self, timeout_s: float) -> bool:
        """Waits until no callback runs any more; returns whether that came true within ``timeout_s``."""
        deadline_s = time.monotonic() + timeout_s
        while any(not task.done() for task in self._futures):
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.005)
        return True


def run_node(factory: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """The main function of a node: initialises ROS, makes the node, spins it, cleans up.

    Returns:
        Exit code: 0 after a signal or shutdown, 1 where a ``ShowroomError`` ended it.
    """
    return run_nodes([factory], args)


def run_nodes(
    factories: Sequence[Callable[[], Node]], args: Sequence[str] | None = None, stop: threading.Event | None = None
) -> int:
    """Like ``run_node`` for several nodes in one process; ``stop`` ends it from another thread."""
    configure_dds(os.environ)
    rclpy.init(args=list(sys.argv if args is None else args), signal_handler_options=SignalHandlerOptions.NO)
    nodes: list[Node] = []
    try:
        for factory in factories:
            nodes.append(factory())
        spin_nodes(nodes, stop)
        return 0
    except ShowroomError as error:
        get_logger("showroom").fatal(str(error))
        return 1
    finally:
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()


def spin_nodes(nodes: Sequence[Node], stop: threading.Event | None = None) -> None:
    """Spins ``nodes`` until SIGINT, SIGTERM, ``stop`` or the end of the ROS context, then shuts them down.

    ROS must be initialised without its own signal handlers, as ``run_nodes`` does, so that the nodes
    can still publish while they shut down.

    Raises:
        ShowroomError: what a node could not run with.
        Exception: a defect in a callback or worker.
    """
    stop = stop or threading.Event()
    executor = DrainingExecutor(num_threads=_THREADS)
    for node in nodes:
        executor.add_node(node)
    with stopped_by_signals(stop):
        try:
            while rclpy.ok() and not stop.is_set():
                executor.spin_once(timeout_sec=_POLL_S)
                _raise_fatal(nodes)
        except (KeyboardInterrupt, ExternalShutdownException):
            pass
        finally:
            executor.drain(_DRAIN_S)
            for node in nodes:
                _shut_down(node)
            executor.shutdown()
    _raise_fatal(nodes)


@contextlib.contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Sets ``stop`` on SIGINT and SIGTERM while in the block; a second SIGINT ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        stop.set()

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _raise_fatal(nodes: Sequence[Node]) -> None:
    for node in nodes:
        error = getattr(node, "fatal_error", None)
        if error is not None:
            raise error


def _shut_down(node: Node) -> None:
    if isinstance(node, ShowroomNode) and rclpy.ok():
        node.shut_down()
