"""An action that works on one goal at a time; others are refused as soon as one is accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node

from showroom_ros.errors import ShowroomError


class CancelledError(ShowroomError):
    """Nobody wants the rest any more."""


class OneGoalServer:
    """Offers an action.

    Attributes:
        is_busy: whether a goal was accepted and is not through yet.
    """

    def __init__(self, node: Node, action_type: type, name: str, execute: Callable[[Any], Any]) -> None:
        """Offers it.

        Args:
            node: owns it.
            action_type: of the goals.
            name: of the action.
            execute: works on the handle of a goal and returns its result; cancelling is always accepted.
        """
        self.is_busy = False
        self._work = execute
        self._server = ActionServer(
            node,
            action_type,
            name,
            execute_callback=self._execute,
            goal_callback=self._accepted,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
        )

    def close(self) -> None:
        """Withdraws it."""
        self._server.destroy()

    def _accepted(self, goal: Any) -> GoalResponse:
        if self.is_busy:
            return GoalResponse.REJECT
        self.is_busy = True  # until ``_execute``, which follows, is through
        return GoalResponse.ACCEPT

    def _execute(self, handle: Any) -> Any:
        try:
            return self._work(handle)
        finally:
            self.is_busy = False
