"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Test runs side by side on one machine, and robots on its network, must not hear each other.
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

# Who starts the tests in the background of a shell has them ignore SIGINT, and what they start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says something about the machine, not about the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real recordings; the test skips where they are absent."""
    root = Path(os.environ.get("SHOWROOM_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no recordings at {root} (set SHOWROOM_DATA)")
    return root


@pytest.fixture(scope="session")
def redkitchen(shared_data: Path) -> Path:
    """The 7-Scenes RedKitchen recording."""
    path = shared_data / "redkitchen"
    if not path.is_dir():
        pytest.skip(f"no RedKitchen recording at {path}")
    return path


@pytest.fixture(autouse=True, scope="module")
def _ros_ends_with_its_module(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whoever initialised ROS in this process, the next module starts without it.

    Nodes and contexts that are garbage end here, not whenever and in whichever thread Python collects them: Fast DDS
    was seen to wait for ever where that happened in a callback of the next module.
    """
    yield
    rclpy = sys.modules.get("rclpy")
    if rclpy is not None:
        rclpy.try_shutdown()
        if any(mark.name == "ros" for mark in request.node.iter_markers()):
            gc.collect()
