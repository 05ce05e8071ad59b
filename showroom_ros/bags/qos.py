"""Quality of service as bags store it."""

from __future__ import annotations

from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

_FOREVER = QosTime(9223372036, 854775807)


def make_qos(
    reliability: str = "reliable", durability: str = "volatile", history: str = "keep_last", depth: int = 10
) -> Qos:
    """A profile by the names of its policies, with infinite deadline, lifespan and lease."""
    return Qos(
        QosHistory[history.upper()],
        depth,
        QosReliability[reliability.upper()],
        QosDurability[durability.upper()],
        _FOREVER,
        _FOREVER,
        QosLiveliness.AUTOMATIC,
        _FOREVER,
        False,
    )
