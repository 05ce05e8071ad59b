"""Bags of all kinds: what is in them, that ROS 1 equals ROS 2, and what is said of broken ones."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from showroom_ros.bags import messages
from showroom_ros.bags.message_types import definition_file, jazzy_types, require_type
from showroom_ros.bags.reader import BagReader, looks_like_bag
from showroom_ros.bags.writer import BagWriter
from showroom_ros.errors import BagError, InputError
from showroom_ros.geometry.se3 import pose_from


@pytest.fixture
def bags(shared_data: Path) -> Path:
    if not (shared_data / "bags").is_dir():
        pytest.skip(f"no bags at {shared_data / 'bags'}")
    return shared_data / "bags"


def write_transforms(path: Path, storage: str, count: int = 50) -> Path:
    with BagWriter(path, storage) as writer:
        writer.add_topic("/tf", messages.TRANSFORMS)
        writer.add_topic("/empty", messages.IMAGE)
        for i in range(1, count + 1):
            pose = pose_from((i, 0, 0))
            writer.write("/tf", i * 10**9, messages.transforms_message("odom", "camera", i * 10**9, pose))
    return path


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("name", "expected", "seconds"),
    [
        ("tf_example.bag", {"/tf": (messages.TRANSFORMS, 517), "/tf_static": (messages.TRANSFORMS, 1)}, 51.684723334),
        ("tf_example", {"/tf": (messages.TRANSFORMS, 517), "/tf_static": (messages.TRANSFORMS, 1)}, 51.684723334),
        (
            "nav2_turtlebot.mcap",
            {
                "/amcl_pose": ("geometry_msgs/msg/PoseWithCovarianceStamped", 135),
                "/odom": (messages.ODOMETRY, 2639),
                "/tf": (messages.TRANSFORMS, 5422),
                "/tf_static": (messages.TRANSFORMS, 1),
            },
            97.355296,
        ),
        (
            "ROS_example.bag",
            {
                "/ORB-SLAM": (messages.POSE, 8362),
                "/S-PTAM": (messages.POSE, 5439),
                "/groundtruth": (messages.POSE, 12765),
            },
            889.01894474,
        ),
    ],
)
def test_real_bags(bags: Path, name: str, expected: dict[str, tuple[str, int]], seconds: float) -> None:
    with BagReader(bags / name) as bag:
        assert {topic: (info.type, info.count) for topic, info in bag.topics.items()} == expected
        assert bag.duration_s == pytest.approx(seconds, abs=1e-9)
        counts: dict[str, int] = {}
        last_ns = bag.start_ns
        for topic, stamp_ns, data in bag.raw_messages():
            counts[topic] = counts.get(topic, 0) + 1
            assert last_ns <= stamp_ns <= bag.end_ns
            if counts[topic] % 20 == 1:
                assert bag.deserialize(data, topic).__msgtype__ == bag.topics[topic].type
            last_ns = stamp_ns
    assert counts == {topic: count for topic, (_, count) in expected.items()}


@pytest.mark.recorded
def test_ros1_and_ros2_recordings_of_the_same_messages_are_equal(bags: Path) -> None:
    with BagReader(bags / "tf_example.bag") as old, BagReader(bags / "tf_example") as new:
        for a, b in zip(old.raw_messages(), new.raw_messages(), strict=True):
            assert (a.topic, a.stamp_ns, bytes(a.message)) == (b.topic, b.stamp_ns, bytes(b.message))


@pytest.mark.recorded
def test_ros1_poses_are_read_in_order(bags: Path) -> None:
    with BagReader(bags / "ROS_example.bag") as bag:
        first = next(bag.messages(["/groundtruth"])).message
    pose = messages.pose_of(first.pose, "pose")
    np.testing.assert_allclose(pose[:3, 3], [-0.00489994, -0.01775981, -0.01375532], atol=1e-7)
    assert messages.stamp_ns_of(first) == 1502792570283404827


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_time_range_and_topics(tmp_path: Path, storage: str) -> None:
    with BagReader(write_transforms(tmp_path / "bag", storage)) as bag:
        stamps = [m.stamp_ns for m in bag.raw_messages(["/tf"], 10 * 10**9, 20 * 10**9)]
        assert stamps == [i * 10**9 for i in range(10, 20)]
        assert bag.topics["/empty"].count == 0
        assert list(bag.raw_messages(["/empty"])) == []


@pytest.mark.parametrize(("storage", "suffix"), [("mcap", ".mcap"), ("sqlite3", ".db3")])
def test_bare_storage_file_and_folder_without_metadata(tmp_path: Path, storage: str, suffix: str) -> None:
    folder = write_transforms(tmp_path / "bag", storage)
    (folder / "metadata.yaml").unlink()
    for path in (folder, folder / f"bag{suffix}"):
        assert looks_like_bag(path)
        with BagReader(path) as bag:
            assert bag.message_count == 50


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
@pytest.mark.parametrize(("storage", "suffix"), [("mcap", ".mcap"), ("sqlite3", ".db3")])
def test_truncated(tmp_path: Path, storage: str, suffix: str, share: float) -> None:
    folder = write_transforms(tmp_path / "bag", storage, 2000)
    file = folder / f"bag{suffix}"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(BagError, match=r"truncated, damaged or not a bag"), BagReader(folder) as bag:
        for _ in bag.messages():
            pass


@pytest.mark.recorded
@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_truncated_ros1(bags: Path, tmp_path: Path, share: float) -> None:
    data = (bags / "tf_example.bag").read_bytes()
    path = tmp_path / "cut.bag"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(BagError, match=r"cut\.bag: truncated"):
        BagReader(path)


def test_bad_paths(tmp_path: Path) -> None:
    (tmp_path / "nothing.mcap").touch()
    (tmp_path / "text.mcap").write_text("no bag at all " * 20)
    (tmp_path / "picture.png").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "metadata.yaml").write_text("a: [1")
    for name, message in {
        "missing": "no such file or folder",
        "nothing.mcap": "empty (0 bytes)",
        "text.mcap": "truncated, damaged",
        "picture.png": "no bag, expected a rosbag2 folder or a file ending in .bag",
        "folder": "expected metadata.yaml or one .mcap or .db3",
        "bad": "truncated, damaged",
    }.items():
        with pytest.raises(BagError, match=re.escape(message)) as caught:
            BagReader(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_empty_bag(tmp_path: Path, storage: str) -> None:
    write_transforms(tmp_path / "bag", storage, 0)
    with pytest.raises(BagError, match="the bag is empty"):
        BagReader(tmp_path / "bag")


def test_missing_topics_are_named_and_those_there_listed(tmp_path: Path) -> None:
    path = write_transforms(tmp_path / "bag", "mcap")
    expected = r"has no topic /odom; it has .*/tf \(tf2_msgs/msg/TFMessage, 50\)"
    with BagReader(path) as bag, pytest.raises(BagError, match=expected):
        next(bag.raw_messages(["/tf", "/odom"]))


def test_header_of_serialised_messages() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    message = messages.image_message(pixels, "rgb8", "lens", 1_700_000_000_123_456_789)
    for little in (True, False):
        data = jazzy_types().serialize_cdr(message, messages.IMAGE, little_endian=little)
        assert messages.stamp_and_frame(data) == (1_700_000_000_123_456_789, "lens")
    with pytest.raises(InputError, match="has 3 bytes"):
        messages.stamp_and_frame(b"abc")
    with pytest.raises(InputError, match="its frame_id alone"):
        messages.stamp_and_frame(bytes(data)[:17])


def test_own_message_types_are_known() -> None:
    assert "showroom_ros/msg/View" in jazzy_types().fielddefs
    assert definition_file("showroom_ros/msg/View").name == "View.msg"
    for msgtype in ("no_such_msgs/msg/Thing", "broken"):
        with pytest.raises(BagError, match=f"definition of {msgtype} is not installed"):
            require_type(jazzy_types(), msgtype)
