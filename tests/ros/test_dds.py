"""The Fast DDS profile: whole images at full rate between two processes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from showroom_ros.errors import ShowroomError
from showroom_ros.ros import dds

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros
SCRIPT = Path(__file__).parent / "image_traffic.py"
FRAMES = 60


def images_received(streams, **extra):
    """Whole images that reached another process, per stream, of ``FRAMES`` sent best effort at 30 Hz."""
    root = str(Path(__file__).parents[2])
    environ = {k: v for k, v in os.environ.items() if not k.endswith("DEFAULT_PROFILES_FILE")}
    environ |= {
        "PYTHONPATH": os.pathsep.join([root, environ.get("PYTHONPATH", "")]),
        "ROS_DOMAIN_ID": str(1 + (os.getpid() + 7) % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        **extra,
    }
    command = [sys.executable, str(SCRIPT)]
    arguments = [str(FRAMES), str(streams)]
    subscriber = subprocess.Popen([*command, "subscribe", *arguments], env=environ, stdout=subprocess.PIPE, text=True)
    try:
        subprocess.run([*command, "publish", *arguments], env=environ, check=True, timeout=60)
        output, _ = subscriber.communicate(timeout=60)
    finally:
        subscriber.kill()
    return [int(word) for word in output.split()]


@pytest.mark.parametrize("streams", [1, 2])
def test_best_effort_images_arrive_whole_between_two_processes(streams):
    assert images_received(streams) == [FRAMES] * streams


def test_the_small_profile_does_too():
    profile = str(dds.config_file("fastdds_profile_small.xml"))
    assert images_received(1, FASTRTPS_DEFAULT_PROFILES_FILE=profile) == [FRAMES]


def test_profile_is_set_unless_the_user_has_one():
    environ = dds.configure_dds({})
    assert Path(environ["FASTRTPS_DEFAULT_PROFILES_FILE"]).is_file()
    assert environ["FASTRTPS_DEFAULT_PROFILES_FILE"] == environ["FASTDDS_DEFAULT_PROFILES_FILE"]
    mine = {"FASTDDS_DEFAULT_PROFILES_FILE": "/mine.xml"}
    assert dds.configure_dds(dict(mine)) == mine


@pytest.mark.parametrize(("free", "name"), [(64_000_000, "fastdds_profile_small.xml"), (10**9, "fastdds_profile.xml")])
def test_little_shared_memory_takes_the_small_profile(monkeypatch, tmp_path, free, name):
    monkeypatch.setattr(dds, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert dds.profile_path().name == name


def test_a_missing_profile_says_where_it_was_looked_for():
    with pytest.raises(ShowroomError, match=r"nothing.xml was not found, expected .*config"):
        dds.config_file("nothing.xml")
