"""Approximate synchronisation, also against message_filters where that is installed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showroom_ros.ros.time_sync import ApproximateSync

MS = 1_000_000
START = 10**12


def feed(sync, arrivals):
    """Adds ``(stream, stamp_ms)`` in order; returns the matched stamps."""
    matched = [sync.add(stream, START + stamp * MS, stamp) for stream, stamp in arrivals]
    return [pair for pair in matched if pair is not None]


@settings(max_examples=60, deadline=None)
@given(
    offset_ms=st.integers(-20, 20),
    lag=st.integers(0, 4),
    count=st.integers(1, 20),
    order=st.randoms(use_true_random=False),
)
def test_streams_of_one_rate_pair_up_whatever_the_offset_and_lag(offset_ms, lag, count, order):
    first = [(0, 50 * index) for index in range(count)]
    second = [(1, 50 * index + offset_ms) for index in range(count)]
    arrivals = []
    while first or second:
        behind = len(second) > len(first) + lag or not first
        source = second if behind or (second and order.random() < 0.5) else first
        arrivals.append(source.pop(0))
    sync = ApproximateSync(2, 20 * MS, 100)
    assert feed(sync, arrivals) == [(50 * index, 50 * index + offset_ms) for index in range(count)]
    assert sync.dropped == [0, 0]


def test_beyond_the_slop_nothing_matches_and_the_queue_stays_bounded():
    sync = ApproximateSync(2, 10 * MS, 3)
    arrivals = [(stream, 50 * index + 25 * stream) for index in range(10) for stream in (0, 1)]
    assert feed(sync, arrivals) == []
    assert [sync.waiting(0), sync.waiting(1)] == [3, 3]
    assert sync.dropped == [7, 7]


def test_a_faster_stream_loses_what_has_no_partner():
    sync = ApproximateSync(2, 10 * MS, 100)
    arrivals = [(0, 0), (1, 0), (0, 33), (0, 66), (1, 66), (0, 100), (0, 133), (1, 133)]
    assert feed(sync, arrivals) == [(0, 0), (66, 66), (133, 133)]
    assert sync.dropped == [2, 0]


def test_the_nearest_partner_is_taken():
    sync = ApproximateSync(2, 20 * MS, 100)
    assert feed(sync, [(0, 0), (0, 18), (1, 15)]) == [(18, 15)]


def test_three_streams_and_one_stream():
    sync = ApproximateSync(3, 10 * MS, 10)
    assert feed(sync, [(0, 0), (1, 5), (2, 12), (2, 13), (0, 10)]) == [(10, 5, 12)]
    assert feed(ApproximateSync(1, 0, 10), [(0, 1), (0, 2)]) == [(1,), (2,)]


def test_small_steps_back_are_dropped_and_jumps_start_anew():
    sync = ApproximateSync(2, 10 * MS, 10)
    assert feed(sync, [(0, 5000), (0, 4900), (1, 5000)]) == [(5000, 5000)]
    assert (sync.dropped, sync.jumps) == ([1, 0], 0)
    # one stream jumps first; what the other had waiting is of the old time
    assert feed(sync, [(1, 5100), (0, 0), (1, 2), (0, 50), (1, 50)]) == [(0, 2), (50, 50)]
    assert sync.jumps == 1
    assert sync.dropped == [1, 1]


def test_take_older_gives_up_on_partners():
    sync = ApproximateSync(2, 10 * MS, 10)
    feed(sync, [(0, 0), (0, 100), (0, 200)])
    assert sync.take_older(0, START + 100 * MS) == [0, 100]
    assert sync.waiting(0) == 1


def test_same_pairs_as_message_filters():
    message_filters = pytest.importorskip("message_filters")
    from sensor_msgs.msg import Image

    arrivals = [(stream, 33 * index + 4 * stream) for index in range(20) for stream in (0, 1)]
    filters = [message_filters.SimpleFilter(), message_filters.SimpleFilter()]
    theirs = message_filters.ApproximateTimeSynchronizer(filters, 100, 0.01)
    pairs = []
    theirs.registerCallback(lambda *messages: pairs.append(tuple(m.header.stamp.nanosec // MS for m in messages)))
    for stream, stamp in arrivals:
        message = Image()
        message.header.stamp.sec, message.header.stamp.nanosec = 1, stamp * MS
        filters[stream].signalMessage(message)
    assert feed(ApproximateSync(2, 10 * MS, 100), arrivals) == pairs
