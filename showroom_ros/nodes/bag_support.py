"""What the bag nodes need of ROS: message classes by name, and quality of service as bags store it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import rclpy
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import Qos, QosDurability, QosReliability

from showroom_ros.bags.qos import make_qos
from showroom_ros.errors import MissingDependencyError, SettingsError

_QUEUE_DEPTH = 10
_PLAYER_DEPTH = 100
"""A late writer sends what is due at once: a shorter history would overwrite what nobody has got yet."""
_LATCHED_DEPTH = 1000
_RECORDER_DEPTH = 1000


def message_class(msgtype: str) -> Any:
    """The Python class of ``package/msg/Name``.

    Raises:
        MissingDependencyError: the package or the message is not installed.
    """
    package, kind, name = msgtype.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), name)
    except (ImportError, AttributeError) as error:
        raise MissingDependencyError(f"message type {msgtype} is not installed ({error})") from error


def player_qos(topic: str, recorded: Sequence[Qos]) -> QoSProfile:
    """What a player offers: what was recorded where all publishers agreed, reliable otherwise.

    Static transforms are kept for late joiners even where nothing was recorded.
    """
    durability = {qos.durability for qos in recorded}
    reliability = {qos.reliability for qos in recorded}
    is_latched = durability == {QosDurability.TRANSIENT_LOCAL} or (not recorded and topic == "/tf_static")
    is_best_effort = reliability == {QosReliability.BEST_EFFORT}
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=_LATCHED_DEPTH if is_latched else max([_PLAYER_DEPTH, *(min(qos.depth, 1000) for qos in recorded)]),
        reliability=ReliabilityPolicy.BEST_EFFORT if is_best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
    )


def recorder_qos(offered: Sequence[QoSProfile]) -> QoSProfile:
    """What a recorder asks for so that it hears all publishers: the least that one of them offers."""
    is_reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered)
    is_latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=_LATCHED_DEPTH if is_latched else _RECORDER_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
    )


def recorded_qos(offered: Sequence[QoSProfile]) -> list[Qos]:
    """Publishers' profiles as a bag stores them (discovery does not tell their history)."""
    profiles = []
    for profile in offered:
        is_best_effort = profile.reliability == ReliabilityPolicy.BEST_EFFORT
        is_latched = profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        profiles.append(
            make_qos(
                "best_effort" if is_best_effort else "reliable",
                "transient_local" if is_latched else "volatile",
                depth=profile.depth or _QUEUE_DEPTH,
            )
        )
    return profiles


def read_parameters(name: str, defaults: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """ROS parameters given on the command line to a node called ``name``; empty strings leave lists.

    Raises:
        SettingsError: a parameter has another type than its default.
    """
    context = rclpy.Context()
    rclpy.init(args=list(arguments), context=context)
    node = rclpy.create_node(name, context=context)
    try:
        values = {key: node.declare_parameter(key, default).value for key, default in defaults.items()}
    except InvalidParameterTypeException as error:
        raise SettingsError(f"{name}: {error}") from error
    finally:
        node.destroy_node()
        context.try_shutdown()
    return {
        key: [item for item in value if item] if isinstance(value, list) else value for key, value in values.items()
    }
