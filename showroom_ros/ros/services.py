"""Services that run on a worker, between its items: one thread touches what it owns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from std_srvs.srv import Trigger

from showroom_ros.errors import ShowroomError
from showroom_ros.ros.interfaces import FilePath
from showroom_ros.ros.worker import Worker

TIMEOUT_S = 300.0
"""A service gives up when the worker was busy for longer."""


class WorkerServices:
    """Services below a node's name whose answer is a success flag and a message."""

    def __init__(
        self,
        node: Node,
        worker: Worker[Any],
        triggers: Mapping[str, Callable[[], str]],
        file_services: Mapping[str, Callable[[str], str]],
    ) -> None:
        """Offers them.

        Args:
            node: owns the services ``~/<name>``.
            worker: runs them.
            triggers: ``std_srvs/Trigger`` services; the function returns what was done.
            file_services: ``showroom_ros/FilePath`` services; the function gets the request's path.
        """
        self._node, self._worker = node, worker
        group = MutuallyExclusiveCallbackGroup()

        def triggered(action: Callable[[], str]) -> Callable[[Any, Any], Any]:
            return lambda request, response: self._answer(action, response)

        def filed(action: Callable[[str], str]) -> Callable[[Any, Any], Any]:
            return lambda request, response: self._answer(lambda: action(request.file_path), response)

        self._services = [
            *(node.create_service(Trigger, f"~/{n}", triggered(a), callback_group=group) for n, a in triggers.items()),
            *(
                node.create_service(FilePath, f"~/{n}", filed(a), callback_group=group)
                for n, a in file_services.items()
            ),
        ]

    def close(self) -> None:
        """Withdraws them."""
        for service in self._services:
            self._node.destroy_service(service)

    def _answer(self, action: Callable[[], str], response: Any) -> Any:
        """What went wrong is the answer, not an exception."""
        try:
            response.message = self._worker.call(action, timeout_s=TIMEOUT_S, ahead=True)
            response.success = True
        except ShowroomError as error:
            response.success, response.message = False, str(error)
        return response
