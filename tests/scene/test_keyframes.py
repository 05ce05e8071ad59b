"""Keyframe selection: motion, blur, time, appearance."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showroom_ros.geometry.se3 import pose_from
from showroom_ros.scene.keyframes import KeyframeSelector, sharpness
from showroom_ros.settings import KeyframeSettings

S = 1_000_000_000
STILL = KeyframeSettings(max_interval_s=0.0)


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (120, 160, 3), dtype=np.uint8)


def turned(degrees):
    half = np.radians(degrees) / 2
    return pose_from([0, 0, 0], [np.cos(half), 0, np.sin(half), 0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=40), st.floats(0.01, 0.5))
def test_no_frame_is_farther_from_its_keyframe_than_the_threshold(steps, threshold):
    selector = KeyframeSelector(KeyframeSettings(min_translation_m=threshold, max_interval_s=0.0))
    image, x, last = picture(), 0.0, None
    for index, step in enumerate(steps):
        x += step
        decision = selector.select(image, pose_from([x, 0, 0]), index * S)
        assert decision.is_keyframe == (last is None or abs(x - last) >= threshold)
        last = x if decision.is_keyframe else last


@pytest.mark.parametrize(
    ("pose", "seconds", "expected"),
    [
        (pose_from([0.09, 0, 0]), 0.1, "still"),
        (pose_from([0.0, 0, 0.11]), 0.1, "moved"),
        (turned(14), 0.1, "still"),
        (turned(16), 0.1, "turned"),
        (np.eye(4), 1.9, "still"),
        (np.eye(4), 2.0, "interval"),
    ],
)
def test_reasons(pose, seconds, expected):
    selector = KeyframeSelector(KeyframeSettings())
    assert selector.select(picture(), np.eye(4), S).reason == "first"
    stamp_ns = S + round(seconds * S)
    assert selector.consider(pose, stamp_ns).reason == expected
    decision = selector.select(picture(), pose, stamp_ns)
    assert (decision.reason, decision.is_keyframe) == (expected, expected != "still")


def test_blurred_frames_wait_for_a_sharp_one():
    selector = KeyframeSelector(STILL)
    image = picture()
    for index in range(5):
        assert selector.select(image, pose_from([index, 0, 0]), index * S).is_keyframe
    blurred = cv2.GaussianBlur(image, (0, 0), 3)
    assert selector.select(blurred, pose_from([5, 0, 0]), 5 * S).reason == "blurred"
    assert selector.select(image, pose_from([5.01, 0, 0]), 6 * S).reason == "moved"
    selector.settings = KeyframeSettings(min_sharpness=0.0, max_interval_s=0.0)
    assert selector.select(blurred, pose_from([6.2, 0, 0]), 7 * S).is_keyframe


def test_plain_walls_are_accepted_after_a_while():
    selector = KeyframeSelector(STILL)
    image, wall = picture(), cv2.GaussianBlur(picture(), (0, 0), 4)
    for index in range(20):
        selector.select(image, pose_from([index, 0, 0]), index * S)
    reasons = [selector.select(wall, pose_from([100 + i, 0, 0]), (100 + i) * S).reason for i in range(40)]
    assert reasons[0] == "blurred"
    assert reasons[-1] == "moved"


def test_sharpness_falls_with_blur():
    gray = picture()[..., 0]
    values = [sharpness(gray), *(sharpness(cv2.GaussianBlur(gray, (0, 0), s)) for s in (0.5, 1.0, 2.0, 4.0))]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.01 * values[0]


def test_without_poses_the_picture_decides_and_exposure_does_not():
    selector = KeyframeSelector(STILL)
    image = cv2.resize(picture(1)[::8, ::8], (160, 120), interpolation=cv2.INTER_CUBIC)
    brighter = np.clip(image * 0.7 + 20, 0, 255).astype(np.uint8)
    other = cv2.resize(picture(2)[::8, ::8], (160, 120), interpolation=cv2.INTER_CUBIC)
    reasons = [selector.select(frame, None, i * S).reason for i, frame in enumerate([image, image, brighter, other])]
    assert reasons == ["first", "still", "still", "changed"]
    shifted = np.roll(other, 2, axis=1)
    assert selector.select(shifted, None, 5 * S).reason == "still"


def test_stamps_that_go_back_start_anew():
    selector = KeyframeSelector(STILL)
    assert selector.select(picture(), np.eye(4), 10 * S).reason == "first"
    assert selector.select(picture(), np.eye(4), 11 * S).reason == "still"
    assert selector.select(picture(), np.eye(4), 1 * S).reason == "first"


def test_settings_are_live_and_gray_images_do():
    selector = KeyframeSelector(STILL)
    gray = picture()[..., 0]
    assert selector.select(gray, np.eye(4), 1 * S).is_keyframe
    assert not selector.select(gray, pose_from([0.05, 0, 0]), 2 * S).is_keyframe
    selector.settings = KeyframeSettings(min_translation_m=0.01, max_interval_s=0.0)
    assert selector.select(gray, pose_from([0.05, 0, 0]), 3 * S).is_keyframe
    selector.settings = KeyframeSettings(min_translation_m=0.0, max_interval_s=0.0)
    assert selector.select(gray, pose_from([0.05, 0, 0]), 4 * S).is_keyframe
