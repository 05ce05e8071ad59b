"""Bags over real topics: what is played arrives, in time, and what is recorded is what was played."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("showroom_ros.ros.interfaces")

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import QosDurability, QosReliability
from tiny_recording import TinyRecording

from showroom_ros.bags import messages
from showroom_ros.bags.convert import convert
from showroom_ros.bags.qos import make_qos
from showroom_ros.bags.reader import BagReader
from showroom_ros.bags.sequence import BagSequence
from showroom_ros.bags.writer import BagWriter
from showroom_ros.errors import BagError, InputError, MissingDependencyError
from showroom_ros.geometry.se3 import pose_from
from showroom_ros.nodes.bag_player_node import BagPlayer, play_bag
from showroom_ros.nodes.bag_recorder_node import BagRecorder
from showroom_ros.nodes.bag_support import message_class, player_qos, recorded_qos, recorder_qos

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30.0
CLOCK = "rosgraph_msgs/msg/Clock"


class Listener:
    """Keeps what arrives, serialised, with the time of arrival."""

    def __init__(self) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node("listener", context=self._context)
        self.received: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def listen(self, topic: str, msgtype: str, *, latched: bool = False) -> None:
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        reliable = ReliabilityPolicy.RELIABLE
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1000, reliability=reliable, durability=durability)

        def keep(data: bytes) -> None:
            self.received[topic].append((time.monotonic_ns(), data))

        self._node.create_subscription(message_class(msgtype), topic, keep, qos, raw=True)

    def start(self) -> Listener:
        self._thread.start()
        return self

    def wait_for(self, topic: str, count: int) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while len(self.received[topic]) < count and time.monotonic() < deadline:
            time.sleep(0.01)

    def payloads(self, topic: str) -> list[bytes]:
        return [data for _, data in self.received[topic]]

    def close(self) -> None:
        self._context.try_shutdown()
        self._thread.join()
        self._node.destroy_node()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """Ten frames at 30 Hz."""
    convert(TinyRecording(10), tmp_path / "bag")
    return tmp_path / "bag"


def recorded(path: Path, topic: str) -> list[bytes]:
    with BagReader(path) as reader:
        return [bytes(message.message) for message in reader.raw_messages([topic])]


def clock_ns(data: bytes) -> int:
    seconds, nanoseconds = np.frombuffer(data, "<u4", 2, offset=4).tolist()
    return int(seconds) * 10**9 + int(nanoseconds)


def stamps(times: list[tuple[int, int]]) -> list[int]:
    return [stamp_ns for stamp_ns, _ in times]


def test_everything_arrives_as_recorded_and_in_time(bag: Path, listener: Listener) -> None:
    with BagReader(bag) as reader:
        infos = reader.topics
        start_ns, end_ns = reader.start_ns, reader.end_ns
    for topic, info in infos.items():
        listener.listen(topic, info.type, latched=topic == "/tf_static")
    listener.listen("/clock", CLOCK)
    listener.start()
    reports: list[tuple[int, int]] = []
    with BagPlayer(
        bag, rate=0.5, wait_for_subscribers_s=TIMEOUT_S, progress=lambda done, total: reports.append((done, total))
    ) as player:
        player.play()
        for topic, info in infos.items():
            listener.wait_for(topic, info.count)
            assert listener.payloads(topic) == recorded(bag, topic)
        assert player.published == {topic: info.count for topic, info in infos.items()}
        assert player.skipped == {}
        times = player.image_times("/camera/color/image")
    total = sum(info.count for info in infos.values())
    assert reports[-1] == (total, total)
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    sequence = BagSequence(bag)
    assert stamps(times) == [sequence.frame(i).stamp_ns for i in range(len(sequence))]
    played_s = (times[-1][1] - times[0][1]) / 1e9
    assert played_s == pytest.approx(2 * (end_ns - start_ns) / 1e9, abs=0.3)  # half speed
    clock = [clock_ns(data) for data in listener.payloads("/clock")]
    assert clock == sorted(clock)
    assert start_ns <= clock[0] <= clock[-1] <= end_ns
    assert len(clock) > 20  # of about 60 at 100 Hz; a busy machine may lose some


def test_late_joiner_gets_static_transforms(bag: Path, listener: Listener) -> None:
    with BagPlayer(bag, rate=100) as player:
        player.play()
        listener.listen("/tf_static", messages.TRANSFORMS, latched=True)
        listener.start().wait_for("/tf_static", 1)
    assert listener.payloads("/tf_static") == recorded(bag, "/tf_static")


def test_start_and_duration(bag: Path, listener: Listener) -> None:
    listener.listen("/tf_static", messages.TRANSFORMS, latched=True)
    listener.start()
    with BagPlayer(bag, rate=10, start_s=0.1, duration_s=0.1, wait_for_subscribers_s=5.0) as player:
        player.play()
        listener.wait_for("/tf_static", 1)
        assert len(player.image_times("/camera/color/image")) == 3
        assert player.image_times("/camera/color/image")[0][0] == TinyRecording().frame(4).stamp_ns
    assert len(listener.payloads("/tf_static")) == 1  # from before the start


def test_loop_sets_the_clock_back(bag: Path, listener: Listener) -> None:
    listener.listen("/clock", CLOCK)
    listener.listen("/camera/color/image", messages.IMAGE)
    listener.start()
    with BagPlayer(bag, rate=2, loop=True, wait_for_subscribers_s=5.0, topics=["/camera/color/image"]) as player:
        thread = threading.Thread(target=player.play)
        thread.start()
        listener.wait_for("/camera/color/image", 25)
        player.stop()
        thread.join()
        found = stamps(player.image_times("/camera/color/image"))
    expected = [TinyRecording().frame(i).stamp_ns for i in range(10)]
    assert found[:20] == expected * 2
    clock = np.array([clock_ns(data) for data in listener.payloads("/clock")])
    jumps = np.diff(clock)[np.diff(clock) < 0]
    assert len(jumps) >= 2
    assert (jumps < -100_000_000).all()


def test_pause_holds_time(bag: Path) -> None:
    with BagPlayer(bag, topics=["/camera/color/image"]) as player:
        thread = threading.Thread(target=player.play)
        player.pause()
        thread.start()
        time.sleep(0.5)
        before = len(player.image_times("/camera/color/image"))
        player.resume()
        thread.join()
        assert before <= 1
        assert len(player.image_times("/camera/color/image")) == 10


def test_recorded_is_what_was_played(bag: Path, tmp_path: Path) -> None:
    with BagReader(bag) as reader:
        infos = reader.topics
    copy = tmp_path / "copy"
    with BagRecorder(copy, list(infos), storage="sqlite3") as recorder:
        thread = threading.Thread(target=play_and_stop, args=(bag, recorder))
        thread.start()
        recorder.record(TIMEOUT_S)
        thread.join()
        assert recorder.topics == set(infos)
    with BagReader(copy) as reader:
        found = reader.topics
    for topic, info in infos.items():
        assert recorded(copy, topic) == recorded(bag, topic)
        assert (found[topic].type, found[topic].type_hash) == (info.type, info.type_hash)
    assert {qos.durability for qos in found["/tf_static"].qos} == {QosDurability.TRANSIENT_LOCAL}
    first, second = BagSequence(bag), BagSequence(copy)
    for index in (0, 9):
        np.testing.assert_array_equal(first.frame(index).image, second.frame(index).image)
        np.testing.assert_array_equal(first.frame(index).T_world_camera, second.frame(index).T_world_camera)


def play_and_stop(bag: Path, recorder: BagRecorder) -> None:
    with BagPlayer(bag, rate=2, wait_for_subscribers_s=TIMEOUT_S) as player:
        player.play()
        time.sleep(0.3)
    recorder.stop()


def test_recording_nothing_leaves_no_bag(tmp_path: Path) -> None:
    with (
        pytest.raises(BagError, match=r"nothing was recorded, no message came on /never"),
        BagRecorder(tmp_path / "bag", ["never"]) as recorder,
    ):
        recorder.record(0.3)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def node_process(module: str, **parameters: Any) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [part for key, value in parameters.items() for part in ("-p", f"{key}:={value}")]
    command = [sys.executable, "-m", f"showroom_ros.nodes.{module}", "--ros-args", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_recorder_node_completes_the_bag_on_ctrl_c(bag: Path, tmp_path: Path) -> None:
    with node_process("bag_recorder_node", bag=tmp_path / "copy", topics="[/tf,/tf_static]") as process:
        play_bag(bag, topics=["/tf", "/tf_static"], rate=5, wait_for_subscribers_s=TIMEOUT_S)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0
    assert recorded(tmp_path / "copy", "/tf") == recorded(bag, "/tf")


def test_player_node_plays_and_ends(bag: Path, listener: Listener) -> None:
    listener.listen("/tf", messages.TRANSFORMS)
    listener.start()
    with node_process("bag_player_node", bag=bag, wait_for_subscribers_s=TIMEOUT_S, rate=5.0) as process:
        assert process.wait(TIMEOUT_S) == 0
    assert listener.payloads("/tf") == recorded(bag, "/tf")


def test_player_node_says_what_is_wrong(tmp_path: Path) -> None:
    with node_process("bag_player_node", bag=tmp_path / "gone") as process:
        _, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 1
    assert b"gone: no such file or folder, expected a bag" in errors
    assert b"Traceback" not in errors


def test_types_that_are_not_installed_are_left_out(bag: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_camera_info(msgtype: str) -> Any:
        return message_class(msgtype if msgtype != messages.CAMERA_INFO else "no_such_msgs/msg/CameraInfo")

    monkeypatch.setattr("showroom_ros.nodes.bag_player_node.message_class", without_camera_info)
    with BagPlayer(bag, rate=100) as player:
        player.play()
        assert set(player.skipped) == {"/camera/color/camera_info", "/camera/depth/camera_info"}
        assert "no_such_msgs/msg/CameraInfo is not installed" in player.skipped["/camera/color/camera_info"]
        assert player.published["/camera/color/image"] == 10
    with pytest.raises(BagError, match="no topic can be played"):
        BagPlayer(bag, topics=["/camera/color/camera_info"])


@pytest.mark.recorded
def test_ros1_topics_with_names_ros2_does_not_allow_are_left_out(shared_data: Path) -> None:
    path = shared_data / "bags" / "ROS_example.bag"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with BagPlayer(path, rate=1e6, duration_s=1.0) as player:
        player.play()
        assert set(player.skipped) == {"/ORB-SLAM", "/S-PTAM"}
        assert player.published["/groundtruth"] > 0


def test_bad_input(bag: Path, tmp_path: Path) -> None:
    for options, error, message in (
        ({"rate": 0.0}, InputError, "rate is 0.0, expected a positive number"),
        ({"start_s": -1.0}, InputError, "start_s is -1.0"),
        ({"start_s": 99.0}, BagError, "nothing to play from 99.0 s on, the bag is 0.300 s long"),
        ({"duration_s": 0.0}, BagError, "nothing to play"),
        ({"topics": ["/odom"]}, BagError, "has no topic /odom; it has"),
    ):
        with pytest.raises(error, match=message):
            BagPlayer(bag, **options)  # type: ignore[arg-type]
    with pytest.raises(BagError, match="no such file or folder"):
        BagPlayer(tmp_path / "gone")
    with pytest.raises(MissingDependencyError, match="std_msgs/msg/Nothing is not installed"):
        message_class("std_msgs/msg/Nothing")


def test_qos_of_player_and_recorder() -> None:
    best_effort, latched = make_qos("best_effort"), make_qos(durability="transient_local")
    assert player_qos("/a", [best_effort]).reliability == ReliabilityPolicy.BEST_EFFORT
    assert player_qos("/a", [best_effort, make_qos()]).reliability == ReliabilityPolicy.RELIABLE
    assert player_qos("/a", []).durability == DurabilityPolicy.VOLATILE
    for profile in (player_qos("/tf_static", []), player_qos("/a", [latched])):
        assert profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    offered = [player_qos("/a", [best_effort]), player_qos("/a", [latched])]
    asked = recorder_qos(offered)
    assert (asked.reliability, asked.durability) == (ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)
    assert [qos.reliability for qos in recorded_qos(offered)] == [QosReliability.BEST_EFFORT, QosReliability.RELIABLE]


def test_hidden_and_uninteresting_topics_are_recorded_by_name_only(bag: Path, tmp_path: Path) -> None:
    with BagRecorder(tmp_path / "all") as recorder:
        thread = threading.Thread(target=play_and_stop, args=(bag, recorder))
        thread.start()
        recorder.record(TIMEOUT_S)
        thread.join()
        assert "/clock" in recorder.topics
        assert not recorder.topics & {"/rosout", "/parameter_events"}


def test_a_single_message_can_be_played(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/tf", messages.TRANSFORMS)
        writer.write("/tf", 10**9, messages.transforms_message("odom", "camera", 10**9, pose_from((0, 0, 0))))
    with BagPlayer(tmp_path / "bag", clock_rate_hz=0.0) as player:
        player.play()
        assert player.published == {"/tf": 1}
