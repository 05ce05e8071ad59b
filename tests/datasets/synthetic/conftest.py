from __future__ import annotations

import pytest

pytest.importorskip("torch")

from showroom_ros.datasets.synthetic.room import Room
from showroom_ros.datasets.synthetic.sequence import SyntheticSequence


@pytest.fixture(scope="session")
def recording() -> SyntheticSequence:
    """The demo's room with a small separate depth camera."""
    return SyntheticSequence(7, width=320, height=240)


@pytest.fixture(scope="session")
def room(recording: SyntheticSequence) -> Room:
    return recording.room
