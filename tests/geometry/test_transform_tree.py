"""The transform tree: composition, interpolation, and each reason why a lookup has no answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showroom_ros.errors import TransformError
from showroom_ros.geometry.se3 import interpolate, inverse, pose_from
from showroom_ros.geometry.transform_tree import (
    DisconnectedError,
    GapError,
    MissingFrameError,
    NotYetError,
    PoseHistory,
    TooOldError,
    TransformBuffer,
    may_come,
)

S = 1_000_000_000


def random_pose(rng):
    quat = rng.normal(size=4)
    return pose_from(rng.normal(size=3), quat / np.linalg.norm(quat))


def walking_buffer(**options):
    """odom -> base moves 1 m/s along x from 10 s to 20 s at 10 Hz; base -> camera is static."""
    buffer = TransformBuffer(**options)
    for step in range(101):
        buffer.insert("odom", "base", 10 * S + step * S // 10, pose_from([step / 10, 0, 0]))
    buffer.insert("base", "camera", 0, pose_from([0, 0, 0.5]), is_static=True)
    return buffer


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_lookup_between_any_two_frames_of_a_random_tree(seed, count):
    rng = np.random.default_rng(seed)
    buffer, world = TransformBuffer(), {0: np.eye(4)}
    for child in range(1, count):
        parent, pose = int(rng.integers(0, child)), random_pose(rng)
        world[child] = world[parent] @ pose
        buffer.insert(f"f{parent}", f"f{child}", 5 * S, pose, is_static=bool(rng.random() < 0.5))
    for a in range(count):
        for b in range(count):
            expected = inverse(world[a]) @ world[b]
            np.testing.assert_allclose(buffer.lookup(f"f{a}", f"f{b}", 5 * S), expected, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_history_interpolates_with_slerp_whatever_the_order_of_arrival(seed, fraction):
    rng = np.random.default_rng(seed)
    poses = [(index * S // 10, random_pose(rng)) for index in range(8)]
    history = PoseHistory(100 * S, S, "test")
    for index in rng.permutation(8):
        history.insert(*poses[index])
    index = int(rng.integers(0, 7))
    stamp = poses[index][0] + round(fraction * S / 10)
    expected = interpolate(poses[index][1], poses[index + 1][1], (stamp - poses[index][0]) / (S / 10))
    np.testing.assert_allclose(history.at(stamp), expected, atol=1e-9)


def test_moving_and_static_edges_compose():
    buffer = walking_buffer()
    pose = buffer.lookup("odom", "camera", 12 * S + S // 20)
    np.testing.assert_allclose(pose, pose_from([2.05, 0, 0.5]), atol=1e-9)
    np.testing.assert_allclose(buffer.lookup("/camera", "/odom", 12 * S + S // 20), inverse(pose), atol=1e-9)


@pytest.mark.parametrize(
    ("target", "source", "stamp_s", "kind", "words"),
    [
        ("odom", "lidar", 15, MissingFrameError, ["'lidar'", "base, camera, odom"]),
        ("odom", "elsewhere", 15, DisconnectedError, ["'odom'", "'elsewhere'", "'map'"]),
        ("odom", "camera", 21, NotYetError, ["21.000", "20.000"]),
        ("odom", "camera", 9, TooOldError, ["9.000", "10.000"]),
    ],
)
def test_each_failure_says_why(target, source, stamp_s, kind, words):
    buffer = walking_buffer()
    if kind is DisconnectedError:
        buffer.insert("map", "elsewhere", 15 * S, np.eye(4))
    with pytest.raises(TransformError) as caught:
        buffer.lookup(target, source, stamp_s * S)
    assert type(caught.value) is kind
    assert all(word in str(caught.value) for word in words)
    assert may_come(caught.value) == (kind is not TooOldError)


def test_gaps_are_not_bridged_and_the_limit_is_live():
    buffer = TransformBuffer(max_gap_s=0.5)
    buffer.insert("odom", "camera", 1 * S, pose_from([0, 0, 0]))
    buffer.insert("odom", "camera", 2 * S, pose_from([1, 0, 0]))
    with pytest.raises(GapError, match=r"1.000 s apart.*0.5"):
        buffer.lookup("odom", "camera", 3 * S // 2)
    np.testing.assert_allclose(buffer.lookup("odom", "camera", 2 * S)[0, 3], 1.0)
    buffer.set_max_gap(1.5)
    np.testing.assert_allclose(buffer.lookup("odom", "camera", 3 * S // 2)[0, 3], 0.5)


def test_history_is_bounded():
    buffer = TransformBuffer(history_s=2.0)
    for index in range(10_000):
        buffer.insert("odom", "camera", index * S // 100, np.eye(4))
    assert len(buffer._edges["camera"].history._poses) < 300
    with pytest.raises(TooOldError):
        buffer.lookup("odom", "camera", 10 * S)
    buffer.lookup("odom", "camera", 98 * S + S // 2)


def test_time_jump_clears_moving_edges_and_keeps_static_ones():
    buffer = walking_buffer()
    buffer.insert("odom", "base", 1 * S, pose_from([9, 0, 0]))
    assert buffer.jumps == 1
    np.testing.assert_allclose(buffer.lookup("odom", "camera", 1 * S), pose_from([9, 0, 0.5]), atol=1e-9)
    with pytest.raises(NotYetError):
        buffer.lookup("odom", "camera", 15 * S)
    # the images jump later: what has come since is of the new time and stays
    buffer.insert("odom", "base", 5 * S, pose_from([10, 0, 0]))
    buffer.time_jumped_back(1 * S)
    buffer.lookup("odom", "camera", 1 * S)
    # now the images jump first
    buffer.time_jumped_back(0)
    with pytest.raises(NotYetError):
        buffer.lookup("odom", "camera", 5 * S)


def test_nonsense_is_refused():
    buffer = TransformBuffer()
    for parent, child in (("", "a"), ("a", ""), ("a", "/a")):
        with pytest.raises(TransformError, match="two different frames"):
            buffer.insert(parent, child, 0, np.eye(4))
    buffer.insert("a", "b", 0, np.eye(4))
    buffer.insert("b", "a", 0, np.eye(4))
    with pytest.raises(DisconnectedError, match="loop"):
        buffer.lookup("a", "b", 0)


def test_a_new_parent_replaces_the_old_one():
    buffer = TransformBuffer()
    buffer.insert("odom", "camera", 1 * S, pose_from([1, 0, 0]))
    buffer.insert("map", "camera", 1 * S, pose_from([2, 0, 0]))
    np.testing.assert_allclose(buffer.lookup("map", "camera", 1 * S)[0, 3], 2.0)
    with pytest.raises(MissingFrameError):
        buffer.lookup("odom", "camera", 1 * S)
