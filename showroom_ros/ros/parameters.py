"""Settings as ROS parameters of the same dotted names: declared, checked and changed live."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from showroom_ros.errors import SettingsError, ShowroomError
from showroom_ros.settings import SettingInfo, Settings, checked_value, override, setting_infos

_FOREIGN = ("use_sim_time", "qos_overrides.", "start_type_description_service")


class SettingsParameters:
    """The settings of one node, kept equal to its parameters.

    The node must be made with ``automatically_declare_parameters_from_overrides=True``, which is how
    values from files and the command line, unknown ones too, can be seen.

    Attributes:
        settings: the current ``Settings``; replaced, never changed.
    """

    def __init__(
        self,
        node: Node,
        groups: Iterable[str],
        own: Iterable[str] = (),
        on_change: Callable[[Settings, Settings], None] | None = None,
    ) -> None:
        """Declares every leaf of ``groups``.

        Args:
            node: gets the parameters.
            groups: top-level groups of ``Settings`` this node uses; values for others are ignored.
            own: names of further parameters of the node, which are no settings.
            on_change: called with the old and the new settings after a live change; a
                ``ShowroomError`` from it refuses the change.

        Raises:
            SettingsError: unknown name, wrong type or value out of range, naming the node.
        """
        self._node, self._on_change = node, on_change
        self._groups = tuple(groups)
        self._source = f"parameters of {node.get_fully_qualified_name()}"
        given = {
            name: cast(Parameter, parameter).value for name, parameter in node.get_parameters_by_prefix("").items()
        }
        known = {info.name for info in setting_infos()}
        overrides = {name: value for name, value in given.items() if not self._is_foreign(name, own)}
        self.settings: Settings = override(Settings(), overrides, self._source)
        for name in known & given.keys():
            node.undeclare_parameter(name)
        for info in self._infos():
            node.declare_parameter(info.name, info.default, describe(info), ignore_override=True)
        node.add_on_set_parameters_callback(self._on_set)

    def _is_foreign(self, name: str, own: Iterable[str]) -> bool:
        return name in own or name.startswith(_FOREIGN)

    def _infos(self) -> list[SettingInfo]:
        return [info for info in setting_infos(self.settings) if info.name.split(".")[0] in self._groups]

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        infos = {info.name: info for info in self._infos()}
        changes = {p.name: p.value for p in parameters if p.name in infos}
        if not changes:
            return SetParametersResult(successful=True)
        try:
            for name, value in changes.items():
                _check_live(infos[name], value, self._source)
            new = override(self.settings, changes, self._source)
            if self._on_change is not None:
                self._on_change(self.settings, new)
        except ShowroomError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.settings = new
        return SetParametersResult(successful=True)


def describe(info: SettingInfo) -> ParameterDescriptor:
    """What tools show of a setting: documentation, range, choices, and whether it may change."""
    text = info.doc if info.choices is None else f"{info.doc}; one of {', '.join(info.choices)}"
    # dynamic typing lets "1" stand for 1.0; checked_value refuses all other types
    descriptor = ParameterDescriptor(description=text, read_only=not info.live, dynamic_typing=info.type is float)
    if info.minimum is not None and info.maximum is not None:
        if info.type is int:
            descriptor.integer_range = [IntegerRange(from_value=int(info.minimum), to_value=int(info.maximum))]
        elif info.type is float:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(info.minimum), to_value=float(info.maximum))
            ]
    return descriptor


def _check_live(info: SettingInfo, value: Any, source: str) -> None:
    if not info.live:
        raise SettingsError(f"{source}: '{info.name}' cannot be changed while the node runs")
    checked_value(info, value, source)
