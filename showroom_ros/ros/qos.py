"""The quality of service of every kind of topic, in one place."""

from __future__ import annotations

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
    qos_profile_system_default,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

from showroom_ros.errors import SettingsError

IMAGE_DEPTH = 10
"""Images that may wait in the middleware; a default of 5 loses frames while a large one is copied."""


def input_qos(name: str, depth: int = IMAGE_DEPTH) -> QoSProfile:
    """The profile of an image input by its name: ``SENSOR_DATA`` (best effort), ``SYSTEM_DEFAULT`` or ``DEFAULT``.

    Raises:
        SettingsError: unknown name.
    """
    if name == "SENSOR_DATA":
        return _keep_last(depth, qos_profile_sensor_data.reliability, qos_profile_sensor_data.durability)
    if name == "DEFAULT":
        return _keep_last(depth, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
    if name == "SYSTEM_DEFAULT":
        return qos_profile_system_default
    raise SettingsError(f"input_qos is '{name}', expected SENSOR_DATA, SYSTEM_DEFAULT or DEFAULT")


def output_qos(depth: int = 10) -> QoSProfile:
    """Reliable, not kept for late joiners: streams of results."""
    return _keep_last(depth, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)


def map_qos() -> QoSProfile:
    """Reliable, the last message kept for late joiners: maps."""
    return _keep_last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)


def mesh_qos() -> QoSProfile:
    """A map sent as a stream of changes: reliable, and many kept, since each one counts."""
    return _keep_last(64, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)


def view_qos() -> QoSProfile:
    """Keyframes: none may be lost while the receiver is busy."""
    return _keep_last(32, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)


def tf_qos() -> QoSProfile:
    """``/tf``."""
    return _keep_last(100, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)


def tf_static_qos() -> QoSProfile:
    """``/tf_static``: every publisher's last message reaches late joiners."""
    return _keep_last(100, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)


def overridable() -> QoSOverridingOptions:
    """Lets users change the profile by parameters ``qos_overrides./topic.subscription.reliability`` and so on."""
    return QoSOverridingOptions(
        policy_kinds=(QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)
    )


def _keep_last(depth: int, reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability)
