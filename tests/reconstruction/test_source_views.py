"""Which keyframes tell a view's depth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tsdf_scenes import CAMERA

from showroom_ros.geometry.se3 import inverse, look_at, pose_from
from showroom_ros.reconstruction.source_views import (
    IDEAL_BASELINE_M,
    MIN_BASELINE_M,
    Keyframe,
    KeyframeBuffer,
    baseline_across_m,
    choose_sources,
    frustum_overlap,
    pose_distance,
    usefulness,
)

HERE = look_at((0.0, 0.0, 1.0), (1.0, 0.0, 1.0))
RIGHT, FORWARD = HERE[:3, 0], HERE[:3, 2]


def moved(right_m: float = 0.0, forward_m: float = 0.0, turn_deg: float = 0.0) -> np.ndarray:
    """``HERE``, moved and then turned about the vertical."""
    eye = HERE[:3, 3] + right_m * RIGHT + forward_m * FORWARD
    angle = np.radians(turn_deg)
    return look_at(eye, eye + np.cos(angle) * FORWARD + np.sin(angle) * RIGHT)


def keyframe(pose: np.ndarray, name: object = None) -> Keyframe:
    return Keyframe(CAMERA, pose, name)


@st.composite
def poses(draw: st.DrawFn) -> np.ndarray:
    number = st.floats(-1.0, 1.0)
    turn = np.array([3.0 + draw(number), draw(number), draw(number), draw(number)])
    return pose_from([draw(number) for _ in range(3)], turn / np.linalg.norm(turn))


@settings(max_examples=50)
@given(poses(), poses(), poses())
def test_pose_distance_is_zero_for_equal_poses_symmetric_and_does_not_depend_on_the_world(a, b, world):
    assert pose_distance(a, a) == pytest.approx(0.0, abs=1e-6)
    assert pose_distance(a, b) == pytest.approx(pose_distance(b, a), abs=1e-6)
    assert pose_distance(world @ a, world @ b) == pytest.approx(pose_distance(a, b), abs=1e-6)


def test_pose_distance_is_that_of_the_paper():
    assert pose_distance(HERE, moved(right_m=0.3)) == pytest.approx(0.3)
    trace = 1 + 2 * np.cos(np.radians(40))
    assert pose_distance(HERE, moved(turn_deg=40)) == pytest.approx(np.sqrt(2 / 3 * (3 - trace)))
    several = np.stack([HERE, moved(right_m=0.2), moved(turn_deg=40)])
    assert pose_distance(HERE, several) == pytest.approx([pose_distance(HERE, pose) for pose in several], abs=1e-7)


def test_overlap_falls_from_one_to_nothing_as_the_camera_turns_away():
    shares = [frustum_overlap(CAMERA, HERE, CAMERA, moved(turn_deg=turn)) for turn in (0, 10, 20, 40, 90, 180)]
    assert shares[0] == 1.0
    assert shares == sorted(shares, reverse=True)
    assert shares[-2:] == [0.0, 0.0]
    wide = CAMERA.scaled(CAMERA.width, CAMERA.height)
    assert frustum_overlap(wide, HERE, CAMERA.cropped(60, 45, 40, 30), HERE) < 0.2


@settings(max_examples=20)
@given(poses())
def test_overlap_is_that_of_a_ray_by_ray_count(other):
    fast = frustum_overlap(CAMERA, np.eye(4), CAMERA, other)
    count, seen = 0, 0
    for u in np.linspace(0.05, 0.95, 6) * CAMERA.width - 0.5:
        for v in np.linspace(0.05, 0.95, 5) * CAMERA.height - 0.5:
            for z in (1.0, 2.0, 3.5):
                point = np.array([(u - CAMERA.cx) / CAMERA.fx * z, (v - CAMERA.cy) / CAMERA.fy * z, z, 1.0])
                pixel, depth = CAMERA.project((inverse(other) @ point)[:3])
                count += 1
                seen += bool(
                    depth > 0.1 and -0.5 < pixel[0] < CAMERA.width - 0.5 and -0.5 < pixel[1] < CAMERA.height - 0.5
                )
    assert fast == pytest.approx(seen / count)


def test_the_most_useful_view_is_at_the_ideal_distance_and_none_is_where_nothing_moved():
    worth = [usefulness(CAMERA, HERE, CAMERA, moved(right_m=step)) for step in (0.0, 0.02, 0.1, 0.22, 0.8, 2.5)]
    assert worth[:2] == [0.0, 0.0]
    assert int(np.argmax(worth)) == 3
    assert all(0 <= value <= 1 for value in worth)
    assert usefulness(CAMERA, HERE, CAMERA, moved(right_m=IDEAL_BASELINE_M, turn_deg=120)) == 0.0


def test_a_camera_that_only_turned_has_no_sources():
    turned = [keyframe(moved(turn_deg=turn)) for turn in (-20, -10, -5, 0, 5, 10, 20)]
    trembling = [keyframe(moved(right_m=0.5 * MIN_BASELINE_M, turn_deg=turn)) for turn in (-3, 3)]
    assert choose_sources(CAMERA, HERE, [*turned, *trembling], 7) == []
    assert choose_sources(CAMERA, HERE, [], 7) == []


@given(
    st.lists(st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(-90, 90)), max_size=15), st.integers(1, 9)
)
def test_chosen_sources_are_few_useful_distinct_and_the_best_comes_first(places, count):
    keyframes = [keyframe(moved(*place), number) for number, place in enumerate(places)]
    chosen = choose_sources(CAMERA, HERE, keyframes, count)
    worth = [usefulness(CAMERA, HERE, CAMERA, candidate.T_world_camera) for candidate in keyframes]
    assert len(chosen) <= count
    assert len({source.content for source in chosen}) == len(chosen)
    assert all(worth[source.content] > 0 for source in chosen)
    if chosen:
        assert worth[chosen[0].content] == max(worth)
    else:
        assert max(worth, default=0.0) == 0.0
    again = choose_sources(CAMERA, HERE, keyframes, count)
    assert [source.content for source in again] == [source.content for source in chosen]


def test_a_crowd_at_the_best_place_does_not_push_out_the_other_sides():
    crowd = [keyframe(moved(right_m=0.25 + 0.002 * n), "right") for n in range(7)]
    others = [keyframe(moved(right_m=-0.3), "left"), keyframe(moved(right_m=-0.1, forward_m=-0.15), "behind")]
    chosen = [source.content for source in choose_sources(CAMERA, HERE, [*crowd, *others], 3)]
    assert sorted(chosen) == ["behind", "left", "right"]


def test_only_the_part_of_the_baseline_across_the_rays_counts():
    narrow = dataclasses.replace(CAMERA, fx=13000.0, fy=13000.0)
    assert baseline_across_m(narrow, HERE, moved(right_m=0.2)) == pytest.approx(0.2, rel=1e-3)
    assert baseline_across_m(narrow, HERE, moved(forward_m=0.2)) == pytest.approx(0.0, abs=2e-3)
    assert baseline_across_m(CAMERA, HERE, moved(turn_deg=15)) == pytest.approx(0.0, abs=1e-9)
    forward = baseline_across_m(CAMERA, HERE, moved(forward_m=0.2))
    assert 0.05 < forward < 0.1, "away from the middle of the image forward motion tells depth too"
    assert choose_sources(CAMERA, HERE, [keyframe(moved(forward_m=-0.2))], 7)
    angles = []  # of a point on each ray, seen from both ends
    for ray in CAMERA.rays()[::12, ::16].reshape(-1, 3):
        point = HERE[:3, :3] @ (20.0 * ray / np.linalg.norm(ray))
        to_other = point - 0.2 * FORWARD - 0.1 * RIGHT
        angles.append(np.arccos(point @ to_other / np.linalg.norm(point) / np.linalg.norm(to_other)))
    seen = 20.0 * np.sqrt(np.mean(np.square(angles)))
    assert baseline_across_m(CAMERA, HERE, moved(right_m=0.1, forward_m=0.2)) == pytest.approx(seen, rel=0.05)


def test_the_buffer_is_bounded_keeps_the_newest_and_places_visited_once():
    buffer: KeyframeBuffer[int] = KeyframeBuffer(capacity=20)
    path = [moved(forward_m=0.5 * n) for n in range(6)]  # one walk through the room
    still = [moved(forward_m=3.0, right_m=0.001 * n) for n in range(40)]  # then a long stop
    for number, pose in enumerate([*path, *still]):
        buffer.add(keyframe(pose, number))
        assert len(buffer) <= 20
    kept = [entry.content for entry in buffer]
    assert kept == sorted(kept)
    assert kept[-5:] == [41, 42, 43, 44, 45]
    assert set(range(6)) <= set(kept)
    buffer.clear()
    assert len(buffer) == 0
    assert list(buffer) == []
