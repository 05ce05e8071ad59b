"""Bag time, and reading ahead, without ROS."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_recording import TinyRecording

from showroom_ros.bags.convert import convert
from showroom_ros.bags.playback import BagClock, ReadAhead
from showroom_ros.bags.reader import BagReader
from showroom_ros.errors import BagError, InputError

SECOND = 10**9


@given(st.floats(0.01, 100), st.integers(0, 10**12))
def test_wall_time_is_the_inverse_of_bag_time(rate: float, elapsed_ns: int) -> None:
    clock = BagClock(10**18, 5 * SECOND, rate)
    wall_ns = 5 * SECOND + elapsed_ns
    assert abs(clock.wall_ns(clock.bag_ns(wall_ns)) - wall_ns) <= 1 + 1 / rate
    assert clock.bag_ns(5 * SECOND) == 10**18
    assert clock.bag_ns(wall_ns) - 10**18 == pytest.approx(elapsed_ns * rate, abs=1)


def test_pause_resume_and_jump() -> None:
    clock = BagClock(100 * SECOND, 0, 2.0)
    clock.pause(3 * SECOND)
    clock.pause(4 * SECOND)
    assert clock.is_paused
    assert clock.bag_ns(9 * SECOND) == 106 * SECOND
    clock.resume(10 * SECOND)
    clock.resume(11 * SECOND)
    assert clock.bag_ns(10 * SECOND) == 106 * SECOND
    assert clock.wall_ns(108 * SECOND) == 11 * SECOND
    clock.pause(11 * SECOND)
    clock.jump(100 * SECOND, 20 * SECOND)
    assert clock.bag_ns(30 * SECOND) == 100 * SECOND
    clock.resume(40 * SECOND)
    assert clock.bag_ns(41 * SECOND) == 102 * SECOND


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_rate_must_be_positive(rate: float) -> None:
    with pytest.raises(InputError, match="expected a positive number"):
        BagClock(0, 0, rate)


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    convert(TinyRecording(20), tmp_path / "bag")
    return tmp_path / "bag"


def test_reading_ahead_gives_what_the_reader_gives(bag: Path) -> None:
    with BagReader(bag) as reader:
        expected = [(m.topic, m.stamp_ns, bytes(m.message)) for m in reader.raw_messages()]
        topics, start_ns = list(reader.topics), reader.start_ns
    for capacity in (1, 1000):
        with ReadAhead(bag, topics, start_ns, None, capacity=capacity) as ahead:
            first, *others = ahead
        assert first is None
        assert [(m.topic, m.stamp_ns, bytes(m.message)) for m in others if m is not None] == expected


def test_every_pass_of_a_loop_is_announced(bag: Path) -> None:
    with ReadAhead(bag, ["/tf"], 0, None, loop=True) as ahead:
        found = [None if item is None else item.topic for item, _ in zip(ahead, range(45), strict=False)]
    assert found == [None, *["/tf"] * 20] * 2 + [None, "/tf", "/tf"]
    with ReadAhead(bag, ["/tf"], 10**19, None, loop=True) as ahead:
        assert list(ahead) == []


def test_reading_can_be_abandoned(bag: Path) -> None:
    with ReadAhead(bag, ["/tf"], 0, None, capacity=1) as ahead:
        assert next(iter(ahead)) is None
    assert not [thread for thread in threading.enumerate() if thread.name == "bag_reader"]


def test_a_bag_that_breaks_off_is_reported_to_who_reads(bag: Path) -> None:
    file = bag / "bag.mcap"
    data = bytearray(file.read_bytes())
    data[40:400] = b"\xff" * 360
    file.write_bytes(data)
    with ReadAhead(bag, ["/tf"], 0, None) as ahead, pytest.raises(BagError, match="truncated, damaged"):
        list(ahead)
