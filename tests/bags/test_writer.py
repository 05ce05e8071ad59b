"""Bags are whole or not there: refusal, overwriting, full disks, killed writers; and what ROS 2 expects in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from showroom_ros.bags import messages
from showroom_ros.bags.message_types import jazzy_types
from showroom_ros.bags.reader import BagReader
from showroom_ros.bags.writer import LATCHED, BagWriter
from showroom_ros.errors import BagError, OutputError
from showroom_ros.geometry.se3 import pose_from

ROOT = Path(__file__).parents[2]


def write_one(path: Path, *, overwrite: bool = False, x: float = 1.0) -> None:
    with BagWriter(path, overwrite=overwrite) as writer:
        writer.add_topic("/tf_static", messages.TRANSFORMS, (LATCHED,))
        writer.write("/tf_static", 10**9, messages.transforms_message("odom", "camera", 10**9, pose_from((x, 0, 0))))


def x_of(path: Path) -> float:
    with BagReader(path) as bag:
        return next(bag.messages()).message.transforms[0].transform.translation.x


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_metadata_is_what_rosbag2_writes(tmp_path: Path, storage: str) -> None:
    with BagWriter(tmp_path / "bag", storage) as writer:
        writer.add_topic("/tf_static", messages.TRANSFORMS, (LATCHED,))
        writer.write("/tf_static", 10**9, messages.transforms_message("odom", "camera", 10**9, pose_from((0, 0, 0))))
    info = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (info["version"], info["storage_identifier"], info["message_count"]) == (9, storage, 1)
    assert (tmp_path / "bag" / info["relative_file_paths"][0]).is_file()
    (topic,) = info["topics_with_message_count"]
    assert topic["topic_metadata"]["offered_qos_profiles"][0]["durability"] == "transient_local"
    # as ROS 2 itself wrote it to the recorded bag tf_example
    assert topic["topic_metadata"]["type_description_hash"] == (
        "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"
    )
    assert [item.name for item in tmp_path.iterdir()] == ["bag"]


def test_existing_bag_is_kept_unless_told(tmp_path: Path) -> None:
    write_one(tmp_path / "bag", x=1.0)
    with pytest.raises(OutputError, match="exists already"):
        write_one(tmp_path / "bag", x=2.0)
    assert x_of(tmp_path / "bag") == 1.0
    write_one(tmp_path / "bag", overwrite=True, x=3.0)
    assert x_of(tmp_path / "bag") == 3.0
    assert [item.name for item in tmp_path.iterdir()] == ["bag"]


def test_only_bags_are_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1").write_text("years of work")
    with pytest.raises(OutputError, match="is no rosbag2 folder, so it is not overwritten"):
        BagWriter(tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter1").read_text() == "years of work"


def test_exception_while_writing_leaves_nothing_and_keeps_the_old(tmp_path: Path) -> None:
    write_one(tmp_path / "bag", x=1.0)
    with pytest.raises(OutputError, match="not declared"), BagWriter(tmp_path / "bag", overwrite=True) as writer:
        writer.write_raw("/tf", 1, b"")
    assert x_of(tmp_path / "bag") == 1.0
    assert [item.name for item in tmp_path.iterdir()] == ["bag"]


def test_bad_use(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="storage is 'rosbag', expected mcap or sqlite3"):
        BagWriter(tmp_path / "bag", "rosbag")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        BagWriter(tmp_path / "file" / "bag")
    writer = BagWriter(tmp_path / "bag")
    writer.add_topic("/tf", messages.TRANSFORMS)
    with pytest.raises(OutputError, match="declared twice"):
        writer.add_topic("/tf", messages.TRANSFORMS)
    with pytest.raises(OutputError, match=r"/odom was not declared, expected one of .*/tf"):
        writer.write_raw("/odom", 1, b"")
    with pytest.raises(BagError, match="not installed"):
        writer.add_topic("/x", "no_such_msgs/msg/Thing")
    writer.discard()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file"]


ENDLESS = """
import sys
from showroom_ros.bags import messages
from showroom_ros.bags.writer import BagWriter
import numpy as np
{limit}
image = messages.image_message(np.zeros((480, 640, 3), np.uint8), "rgb8", "camera", 10**9)
with BagWriter(sys.argv[1], sys.argv[2]) as writer:
    writer.add_topic("/image", messages.IMAGE)
    for i in range(1, {count}):
        writer.write("/image", i * 10**9, image)
        if i == 5:
            print("writing", flush=True)
"""


def run(script: str, path: Path, storage: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, str(path), storage]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_killed_writer_leaves_no_bag_under_the_name(tmp_path: Path, storage: str) -> None:
    process = run(ENDLESS.format(limit="", count=10**9), tmp_path / "bag", storage)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "bag").exists()
    write_one(tmp_path / "bag")
    assert x_of(tmp_path / "bag") == 1.0


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_full_disk(tmp_path: Path, storage: str) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20))"
    process = run(ENDLESS.format(limit=limit, count=40), tmp_path / "bag", storage)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "OutputError" in errors
    assert f"{tmp_path / 'bag'}: the bag cannot be written" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ros
def test_type_hashes_equal_those_of_ros() -> None:
    interfaces = pytest.importorskip("showroom_ros.ros.interfaces")
    support = pytest.importorskip("showroom_ros.nodes.bag_support")
    import json

    for msgtype in ("showroom_ros/msg/View", "showroom_ros/msg/Status", "sensor_msgs/msg/CameraInfo"):
        assert support.message_class(msgtype) is not None
        package, _, name = msgtype.split("/")
        found = [prefix / "share" / package / "msg" / f"{name}.json" for prefix in (Path(sys.prefix),)]
        if not found[0].is_file():
            pytest.skip(f"no {found[0]}")
        hashes = {item["type_name"]: item["hash_string"] for item in json.loads(found[0].read_text())["type_hashes"]}
        assert jazzy_types().hash_rihs01(msgtype) == hashes[msgtype]
    assert interfaces.TFMessage is support.message_class(messages.TRANSFORMS)
