"""Rigid transforms: group axioms, conversions, interpolation, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from showroom_ros.errors import InputError
from showroom_ros.geometry import se3

coordinate = st.floats(-50, 50, allow_nan=False)
vector = st.tuples(coordinate, coordinate, coordinate)
quaternion = (
    st.tuples(*[st.floats(-1, 1, allow_nan=False)] * 4)
    .filter(lambda q: np.linalg.norm(q) > 1e-3)
    .map(lambda q: np.array(q) / np.linalg.norm(q))
)
pose = st.builds(se3.pose_from, vector, quaternion)


@given(pose, pose, pose)
def test_group_axioms(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    np.testing.assert_allclose((a @ b) @ c, a @ (b @ c), atol=1e-9)
    np.testing.assert_allclose(a @ se3.inverse(a), np.eye(4), atol=1e-12)
    np.testing.assert_allclose(se3.inverse(a) @ a, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(se3.inverse(a @ b), se3.inverse(b) @ se3.inverse(a), atol=1e-9)
    np.testing.assert_array_equal(se3.checked_pose(np.eye(4)), np.eye(4))


@given(pose, pose, vector)
def test_action_follows_the_group(a: np.ndarray, b: np.ndarray, point: tuple[float, ...]) -> None:
    np.testing.assert_allclose(
        se3.transform_points(a @ b, point), se3.transform_points(a, se3.transform_points(b, point)), atol=1e-9
    )
    np.testing.assert_allclose(se3.transform_points(se3.inverse(a), se3.transform_points(a, point)), point, atol=1e-9)


@given(quaternion)
def test_quaternion_round_trips_and_agrees_with_scipy(quat: np.ndarray) -> None:
    rotation = se3.rotation_from_quat(quat)
    peer = Rotation.from_quat(se3.quat_xyzw_from_wxyz(quat)).as_matrix()
    np.testing.assert_allclose(rotation, peer, atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    back = se3.quat_from_rotation(rotation)
    assert back[0] >= 0
    np.testing.assert_allclose(abs(back @ quat), 1, atol=1e-9)
    np.testing.assert_array_equal(se3.quat_wxyz_from_xyzw(se3.quat_xyzw_from_wxyz(quat)), quat)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1), (0, 1, -1)])
def test_half_turns_are_exact(axis: tuple[int, ...]) -> None:
    """The four branches of Shepperd's method meet at half turns, where the real part vanishes."""
    rotation = Rotation.from_rotvec(np.pi * np.array(axis) / np.linalg.norm(axis)).as_matrix()
    np.testing.assert_allclose(se3.rotation_from_quat(se3.quat_from_rotation(rotation)), rotation, atol=1e-9)


def test_quaternion_order_is_not_mixed_up_in_batches() -> None:
    """A batch must be rolled along its last axis only."""
    xyzw = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    np.testing.assert_array_equal(se3.quat_wxyz_from_xyzw(xyzw), [[4, 1, 2, 3], [8, 5, 6, 7]])
    np.testing.assert_array_equal(se3.quat_xyzw_from_wxyz(se3.quat_wxyz_from_xyzw(xyzw)), xyzw)


@given(pose, pose, st.floats(0, 1))
def test_interpolation(p0: np.ndarray, p1: np.ndarray, fraction: float) -> None:
    between = se3.interpolate(p0, p1, fraction)
    np.testing.assert_allclose(se3.checked_pose(between), between, atol=1e-9)
    np.testing.assert_allclose(between[:3, 3], (1 - fraction) * p0[:3, 3] + fraction * p1[:3, 3], atol=1e-9)
    whole = se3.rotation_angle_deg(p0, p1)
    np.testing.assert_allclose(se3.rotation_angle_deg(p0, between), fraction * whole, atol=1e-4)
    np.testing.assert_allclose(se3.rotation_angle_deg(between, p1), (1 - fraction) * whole, atol=1e-4)


@given(pose, pose)
def test_interpolation_ends(p0: np.ndarray, p1: np.ndarray) -> None:
    np.testing.assert_allclose(se3.interpolate(p0, p1, 0.0), p0, atol=1e-7)
    np.testing.assert_allclose(se3.interpolate(p0, p1, 1.0), p1, atol=1e-7)


def test_interpolation_agrees_with_scipy() -> None:
    turns = Rotation.from_euler("xyz", [[10, 20, 30], [-50, 5, 80]], degrees=True)
    p0, p1 = np.eye(4), np.eye(4)
    p0[:3, :3], p1[:3, :3] = turns.as_matrix()
    for fraction in (0.1, 0.5, 0.9):
        peer = Slerp([0, 1], turns)(fraction).as_matrix()
        np.testing.assert_allclose(se3.interpolate(p0, p1, fraction)[:3, :3], peer, atol=1e-12)


@given(st.floats(0, 180), quaternion, vector.filter(lambda v: np.linalg.norm(v) > 1e-2))
def test_rotation_angle(angle_deg: float, quat: np.ndarray, axis: tuple[float, ...]) -> None:
    start = se3.pose_from((1, 2, 3), quat)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec(np.radians(angle_deg) * np.array(axis) / np.linalg.norm(axis)).as_matrix()
    assert se3.rotation_angle_deg(start, start @ turn) == pytest.approx(angle_deg, abs=1e-5)


@given(vector, vector)
def test_look_at(eye: tuple[float, ...], target: tuple[float, ...]) -> None:
    line = np.subtract(target, eye)
    if np.linalg.norm(np.cross(line, (0, 0, 1))) < 1e-3:
        return
    view = se3.look_at(eye, target)
    np.testing.assert_allclose(se3.checked_pose(view), view, atol=1e-9)
    x, y, z = se3.transform_points(se3.inverse(view), target)
    assert abs(x) < 1e-6
    assert abs(y) < 1e-6
    assert z == pytest.approx(np.linalg.norm(line))
    assert view[2, 1] < 0, "the image's down axis must point down in the world"


def test_checked_pose_repairs_small_errors_only() -> None:
    drifted = se3.pose_from((1, 2, 3), np.array([0.5, 0.5, 0.5, 0.5]))
    drifted[:3, :3] += 4e-4
    repaired = se3.checked_pose(drifted)
    np.testing.assert_allclose(repaired[:3, :3] @ repaired[:3, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(repaired, drifted, atol=1e-3)


def _broken(**changes: float) -> np.ndarray:
    matrix = np.eye(4)
    for name, value in changes.items():
        matrix[int(name[1]), int(name[2])] = value
    return matrix


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: se3.checked_pose(np.eye(3), "T"), r"T has shape \(3, 3\), expected \(4, 4\)"),
        (lambda: se3.checked_pose(_broken(r03=np.nan), "T"), "T is not finite"),
        (lambda: se3.checked_pose(_broken(r33=2.0), "T"), "last row .* expected 0 0 0 1"),
        (lambda: se3.checked_pose(_broken(r00=2.0), "T"), "T is no rigid transform"),
        (lambda: se3.checked_pose(_broken(r00=-1.0), "T"), "det R = -1"),
        (lambda: se3.checked_pose(np.zeros((4, 4)), "T"), "T has last row"),
        (lambda: se3.rotation_from_quat((0, 0, 0, 0)), "has norm 0, expected 1"),
        (lambda: se3.rotation_from_quat((1, 1, 0, 0)), "has norm 1.41"),
        (lambda: se3.rotation_from_quat((np.nan, 0, 0, 1)), "has norm nan"),
        (lambda: se3.rotation_from_quat((1, 0, 0)), r"shape \(3,\), expected \(4,\)"),
        (lambda: se3.pose_from((0, 0, np.inf)), "translation .* not finite"),
        (lambda: se3.look_at((1, 1, 1), (1, 1, 1)), "cannot look"),
        (lambda: se3.look_at((0, 0, 0), (0, 0, 5)), "cannot look"),
    ],
)
def test_bad_input(call: object, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("axis", [(0.0, 0.0, 3.0), (1.0, -2.0, 0.5)])
def test_turns_about_an_axis_are_scipy_s(axis: tuple[float, float, float]) -> None:
    pose = se3.look_at((1.0, 2.0, 3.0), (0.0, 0.5, 1.0))
    turned = se3.turned_about(pose, axis, 37.0)
    turn = Rotation.from_rotvec(np.radians(37.0) * np.array(axis) / np.linalg.norm(axis)).as_matrix()
    np.testing.assert_allclose(turned[:3, :3], turn @ pose[:3, :3], atol=1e-12)
    np.testing.assert_array_equal(turned[:, 3], pose[:, 3])
