"""The base of every node here: settings from parameters, lifecycle with autostart, diagnostics, guarded inputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from showroom_ros.errors import ShowroomError
from showroom_ros.ros.diagnostics import Diagnostics, ErrorLog, InputMonitor
from showroom_ros.ros.parameters import SettingsParameters
from showroom_ros.ros.qos import overridable
from showroom_ros.settings import Settings

_NAME_CHECK_PERIOD_S = 0.25
_NAME_CHECKS = 12
_JUMP_BACK_S = 1.0
_START_TIMEOUT_S = 60.0


class ShowroomNode(LifecycleNode):
    """A lifecycle node that starts itself unless told not to.

    Subclasses override ``configure``, ``activate``, ``deactivate``, ``cleanup`` (a ``ShowroomError``
    from them fails the transition with its message), ``on_settings``, ``on_time_jump`` and
    ``diagnostic_values``. ``report`` counts and logs what a user can cause; ``fail`` stops the process.

    Attributes:
        errors: what was reported.
        fatal_error: what ``fail`` was given; ``runner.spin_nodes`` ends with it.
        steady_clock: for timers that must run whatever ROS time does.
    """

    def __init__(self, name: str, groups: Iterable[str], **node_options: Any) -> None:
        """Declares the parameters of the settings ``groups`` and of the node itself.

        Raises:
            SettingsError: a parameter that is unknown or out of range.
        """
        super().__init__(name, automatically_declare_parameters_from_overrides=True, **node_options)
        self.errors = ErrorLog(self)
        self.fatal_error: BaseException | None = None
        self._is_finalized = False
        self._start_lock = threading.RLock()
        self._closers: list[Callable[[], None]] = []
        self._inputs: list[tuple[Subscription, InputMonitor]] = []
        self._diagnostics: Diagnostics | None = None
        self._settings_parameters = SettingsParameters(self, groups, ("autostart",), self._settings_changed)
        if not self.has_parameter("autostart"):
            self.declare_parameter("autostart", True)
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-_JUMP_BACK_S), on_clock_change=False)
        self._jump_handle = self.get_clock().create_jump_callback(threshold, post_callback=self._jumped)
        self._name_checks_left = 2 * _NAME_CHECKS
        self._name_taken_checks = 0
        # simulated time may stand still, or not have begun
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._start_timer = self.create_timer(0.0, self._start, clock=self.steady_clock)
        self._name_timer = self.create_timer(_NAME_CHECK_PERIOD_S, self._check_name, clock=self.steady_clock)

    @property
    def settings(self) -> Settings:
        """The current settings; live changes replace the whole object."""
        return self._settings_parameters.settings

    def configure(self) -> None:
        """Allocates: volumes, models, publishers, services."""

    def activate(self) -> None:
        """Opens the inputs."""

    def deactivate(self) -> None:
        """Stops work; inputs are closed already."""

    def cleanup(self) -> None:
        """Frees what ``configure`` allocated."""

    def on_settings(self, old: Settings, new: Settings) -> None:
        """Takes over a live change, or refuses it with a ``ShowroomError``."""

    def on_time_jump(self) -> None:
        """ROS time went backwards (a looping bag, a restarted simulation)."""

    def diagnostic_values(self) -> Mapping[str, Any]:
        """Counters for ``/diagnostics``."""
        return {}

    def report(self, error: ShowroomError) -> None:
        """Counts and logs an error the node survives."""
        self.errors.report(error)

    def fail(self, error: BaseException) -> None:
        """Stops the process with ``error``: a defect, or something it cannot run with."""
        self.fatal_error = self.fatal_error or error
        if self.executor is not None:
            self.executor.wake()

    def shut_down(self) -> None:
        """Goes to the final state from whichever it is in, after a start that is under way; does nothing there."""
        if not self._start_lock.acquire(timeout=_START_TIMEOUT_S):
            raise ShowroomError(f"{self.get_fully_qualified_name()} is still starting after {_START_TIMEOUT_S:g} s")
        try:
            if not self._is_finalized:
                self.trigger_shutdown()
        finally:
            self._start_lock.release()

    def create_input(
        self,
        message_type: type,
        topic: str,
        callback: Callable[[Any], int | None],
        qos: QoSProfile,
        *,
        raw: bool = True,
        is_required: bool = True,
        group: CallbackGroup | None = None,
    ) -> InputMonitor:
        """Subscribes while the node is active.

        Args:
            message_type: of the topic.
            topic: name, before remapping.
            callback: gets the message (serialised if ``raw``); may return its stamp for the diagnostics.
                A ``ShowroomError`` from it is reported, anything else stops the node.
            qos: wished profile, which parameters ``qos_overrides.*`` may change.
            raw: deliver serialised bytes.
            is_required: whether silence is an error in the diagnostics.
            group: callback group.
        """

        def guarded(message: Any) -> None:
            try:
                stamp_ns = callback(message)
                monitor.note(stamp_ns)
            except ShowroomError as error:
                monitor.note()
                self.report(error)

        subscription = self.create_subscription(
            message_type, topic, guarded, qos, raw=raw, callback_group=group, qos_overriding_options=overridable()
        )
        monitor = InputMonitor(self, subscription.topic_name, subscription.qos_profile, is_required=is_required)
        self._inputs.append((subscription, monitor))
        if self._diagnostics is not None:
            self._diagnostics.inputs.append(monitor)
        return monitor

    def close_input(self, monitor: InputMonitor) -> None:
        """Unsubscribes one input again; does nothing when the node has closed it already."""
        for item in [item for item in self._inputs if item[1] is monitor]:
            self._inputs.remove(item)
            self.destroy_subscription(item[0])
            if self._diagnostics is not None and monitor in self._diagnostics.inputs:
                self._diagnostics.inputs.remove(monitor)

    def on_close(self, close: Callable[[], None]) -> None:
        """Has ``close`` called when the inputs are closed: for inputs that ``create_input`` did not make."""
        self._closers.append(close)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle transition."""
        managed = super().on_configure
        return self._transition("configure", self._configure, lambda: managed(state))

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle transition."""
        managed = super().on_activate
        return self._transition("activate", self._activate, lambda: managed(state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle transition."""
        managed = super().on_deactivate
        return self._transition("deactivate", self._deactivate, lambda: managed(state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle transition."""
        managed = super().on_cleanup
        return self._transition("clean up", self._cleanup, lambda: managed(state))

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle transition."""
        return self._transition(
            "shut down", lambda: self._shutdown(state.label), lambda: super(ShowroomNode, self).on_shutdown(state)
        )

    def _configure(self) -> None:
        self._diagnostics = Diagnostics(self, self.settings.publish.status_rate_hz, self.diagnostic_values, self.errors)
        try:
            self.configure()
        except BaseException:
            self._close_diagnostics()
            raise

    def _activate(self) -> None:
        try:
            self.activate()
        except BaseException:
            self._close_inputs()
            raise

    def _deactivate(self) -> None:
        self._close_inputs()
        self.deactivate()

    def _cleanup(self) -> None:
        self._close_diagnostics()
        self.cleanup()

    def _shutdown(self, label: str) -> None:
        self._is_finalized = True
        if label == "active":
            self._deactivate()
        if label in ("active", "inactive"):
            self._cleanup()

    def _transition(
        self, verb: str, hook: Callable[[], None], managed: Callable[[], TransitionCallbackReturn]
    ) -> TransitionCallbackReturn:
        try:
            hook()
            return managed()
        except ShowroomError as error:
            self.get_logger().error(f"cannot {verb}: {error}")
            self.errors.last = str(error)
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # rclpy would swallow it
            self.fail(error)
            return TransitionCallbackReturn.ERROR

    def _close_inputs(self) -> None:
        for subscription, _ in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs.clear()
        while self._closers:
            self._closers.pop()()
        if self._diagnostics is not None:
            self._diagnostics.inputs.clear()

    def _close_diagnostics(self) -> None:
        if self._diagnostics is not None:
            self._diagnostics.close()
            self._diagnostics = None

    def _start(self) -> None:
        self._start_timer.cancel()
        with self._start_lock:
            if self._is_finalized or not self.get_parameter("autostart").value:
                return
            for trigger in (self.trigger_configure, self.trigger_activate):
                if trigger() != TransitionCallbackReturn.SUCCESS:
                    self.fail(ShowroomError(f"{self.get_fully_qualified_name()} could not start: {self.errors.last}"))
                    return

    def _check_name(self) -> None:
        """A node that starts on a taken name gives way; both would answer the same services."""
        own = (self.get_name(), self.get_namespace())
        # one that has just ended is seen a little longer: only a name that stays taken counts
        is_taken = self.get_node_names_and_namespaces().count(own) > 1
        self._name_taken_checks = self._name_taken_checks + 1 if is_taken else 0
        if self._name_taken_checks >= _NAME_CHECKS:
            self.fail(
                ShowroomError(
                    f"another node is named {self.get_fully_qualified_name()} already; start this one with "
                    "--ros-args -r __node:=OTHER_NAME or -r __ns:=/NAMESPACE (the name of a node that was killed "
                    "is free again after 20 s)"
                )
            )
        self._name_checks_left -= 1
        if self._name_checks_left <= 0 or self.fatal_error is not None:
            self._name_timer.cancel()

    def _settings_changed(self, old: Settings, new: Settings) -> None:
        self.on_settings(old, new)

    def _jumped(self, jump: TimeJump) -> None:
        self.get_logger().warning(f"time went back by {-jump.delta.nanoseconds / 1e9:.1f} s")
        self.on_time_jump()
