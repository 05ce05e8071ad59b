"""Trajectory errors, by hand and against the ``evo`` package."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from showroom_ros.errors import InputError
from showroom_ros.evaluation.trajectory import Trajectory, evaluate_trajectory
from showroom_ros.geometry.se3 import pose_from, quat_from_rotation
from showroom_ros.geometry.similarity import Similarity

SECOND = 10**9


def poses_along(x: np.ndarray) -> np.ndarray:
    poses = np.tile(np.eye(4), (len(x), 1, 1))
    poses[:, 0, 3] = x
    return poses


def straight(count: int = 5, step_s: float = 1.0) -> Trajectory:
    """One metre per step along x, not turned."""
    stamps = (np.arange(count) * step_s * SECOND).astype(np.int64) + SECOND
    return Trajectory(stamps, poses_along(np.arange(count, dtype=float)))


def wandering(seed: int, count: int = 60) -> Trajectory:
    random = np.random.default_rng(seed)
    quats = np.cumsum(random.normal(0, 0.1, (count, 4)), axis=0) + np.array([3, 0, 0, 0])
    places = np.cumsum(random.normal(0, 0.3, (count, 3)), axis=0)
    poses = [pose_from(t, q / np.linalg.norm(q)) for t, q in zip(places, quats, strict=True)]
    return Trajectory(np.arange(1, count + 1) * SECOND // 10, np.array(poses))


def disturbed(truth: Trajectory, seed: int = 1) -> Trajectory:
    random = np.random.default_rng(seed)
    fit = Similarity(0.4, pose_from((0, 0, 0), (0.6, 0, 0.8, 0))[:3, :3], np.array([3.0, 1, -2]))
    poses = fit.apply_to_poses(truth.poses)
    for pose in poses:
        quat = np.array([1.0, *random.normal(0, 0.02, 3)])
        pose[:3, :3] @= pose_from((0, 0, 0), quat / np.linalg.norm(quat))[:3, :3]
        pose[:3, 3] += random.normal(0, 0.02, 3)
    return Trajectory(truth.stamps_ns + random.integers(-5, 5, len(truth)) * 10**6, poses)


def test_by_hand_without_alignment() -> None:
    """One of five poses is 10 cm to the side."""
    truth = straight()
    poses = truth.poses.copy()
    poses[2, 1, 3] = 0.1
    scores = evaluate_trajectory(Trajectory(truth.stamps_ns, poses), truth, alignment="none")
    assert scores.ate_m.rmse == pytest.approx(np.sqrt(0.01 / 5))
    assert (scores.ate_m.mean, scores.ate_m.median, scores.ate_m.max) == pytest.approx((0.02, 0, 0.1))
    assert scores.rpe_translation_m.rmse == pytest.approx(np.sqrt(2 * 0.01 / 4))
    assert scores.rpe_rotation_deg.max == 0
    assert (scores.pairs, scores.coverage, scores.motions, scores.delta) == (5, 1.0, 4, "1 frame")
    assert json.loads(json.dumps(scores.to_dict()))["ate_m"]["max"] == pytest.approx(0.1)


def test_one_turned_pose_by_hand() -> None:
    truth = straight()
    poses = truth.poses.copy()
    poses[4] = poses[4] @ pose_from((0, 0, 0), (np.cos(0.05), 0, 0, np.sin(0.05)))
    scores = evaluate_trajectory(Trajectory(truth.stamps_ns, poses), truth, alignment="none")
    assert scores.ate_rotation_deg.max == pytest.approx(np.degrees(0.1))
    assert scores.rpe_rotation_deg.mean == pytest.approx(np.degrees(0.1) / 4)
    assert scores.ate_m.max == 0


def test_alignments_take_away_what_they_may() -> None:
    truth = wandering(0)
    moved = Similarity(1.0, pose_from((0, 0, 0), (0, 1, 0, 0))[:3, :3], np.ones(3))
    rigid = Trajectory(truth.stamps_ns, moved.apply_to_poses(truth.poses))
    scaled = Trajectory(truth.stamps_ns, moved._replace(scale=3.0).apply_to_poses(truth.poses))
    assert evaluate_trajectory(rigid, truth, alignment="none").ate_m.rmse > 1
    assert evaluate_trajectory(rigid, truth, alignment="se3").ate_m.rmse < 1e-9
    assert evaluate_trajectory(scaled, truth, alignment="se3").ate_m.rmse > 0.3
    by_sim3 = evaluate_trajectory(scaled, truth, alignment="sim3")
    assert by_sim3.ate_m.rmse < 1e-9
    assert by_sim3.rpe_translation_m.max < 1e-9
    assert by_sim3.ate_rotation_deg.max < 1e-6
    assert by_sim3.scale == pytest.approx(1 / 3)


@pytest.mark.parametrize("alignment", ["none", "se3", "sim3"])
@pytest.mark.parametrize("delta", [1, 7])
def test_equals_evo(alignment: str, delta: int) -> None:
    pytest.importorskip("evo")
    from evo.core import metrics, sync
    from evo.core.trajectory import PoseTrajectory3D

    def theirs(trajectory: Trajectory) -> PoseTrajectory3D:
        quats = np.array([quat_from_rotation(pose[:3, :3]) for pose in trajectory.poses])
        return PoseTrajectory3D(trajectory.poses[:, :3, 3], quats, trajectory.stamps_ns / 1e9)

    truth = wandering(2)
    predicted = disturbed(truth)
    part = Trajectory(np.delete(predicted.stamps_ns, [5, 17, 18]), np.delete(predicted.poses, [5, 17, 18], axis=0))
    reference, estimate = sync.associate_trajectories(theirs(truth), theirs(part), max_diff=0.02)
    estimate = copy.deepcopy(estimate)
    if alignment != "none":
        estimate.align(reference, correct_scale=alignment == "sim3")

    scores = evaluate_trajectory(part, truth, alignment=alignment, delta_frames=delta)  # type: ignore[arg-type]
    relation = metrics.PoseRelation
    for kind, ours in (
        (metrics.APE(relation.translation_part), scores.ate_m),
        (metrics.APE(relation.rotation_angle_deg), scores.ate_rotation_deg),
        (metrics.RPE(relation.translation_part, delta, metrics.Unit.frames, all_pairs=True), scores.rpe_translation_m),
        (metrics.RPE(relation.rotation_angle_deg, delta, metrics.Unit.frames, all_pairs=True), scores.rpe_rotation_deg),
    ):
        kind.process_data((reference, estimate))
        statistics = kind.get_all_statistics()
        for name in ("rmse", "mean", "median", "std", "min", "max"):
            assert getattr(ours, name) == pytest.approx(statistics[name], rel=1e-6, abs=1e-6), name
    assert scores.pairs == 57
    assert scores.coverage == 57 / 60


def test_motion_over_a_time() -> None:
    """Ten poses a second with a gap; over one second there are as many motions as both ends exist."""
    stamps = np.array([*range(10), *range(25, 40)]) * SECOND // 10
    truth = Trajectory(stamps, poses_along(stamps / 1e9))
    predicted = Trajectory(stamps, poses_along(stamps / 1e9 * 1.1))
    scores = evaluate_trajectory(predicted, truth, alignment="none", delta_s=1.0)
    assert scores.rpe_translation_m.mean == pytest.approx(0.1)
    assert scores.rpe_translation_m.std == pytest.approx(0, abs=1e-9)
    assert (scores.motions, scores.delta) == (5, "1 s")


def test_stamps_may_come_in_any_order_and_differ_a_little() -> None:
    truth = straight(6)
    order = np.array([3, 0, 5, 1, 2, 4])
    mixed = Trajectory(truth.stamps_ns[order] + 15_000_000, truth.poses[order])
    assert evaluate_trajectory(mixed, truth, alignment="none").ate_m.max == 0
    with pytest.raises(InputError, match=r"0 poses have a true partner within 0\.01 s"):
        evaluate_trajectory(mixed, truth, alignment="none", slop_s=0.01)


def _broken(index: int, value: float) -> np.ndarray:
    poses = straight().poses.copy()
    poses[index, 0, 3] = value
    return poses


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda t: Trajectory(t.stamps_ns[:3], t.poses), "3 stamps and 5 poses"),
        (lambda t: Trajectory(t.stamps_ns, _broken(3, np.nan)), "pose 3 of the trajectory is not finite"),
        (lambda t: Trajectory(t.stamps_ns, _broken(0, np.inf)), "pose 0 of the trajectory is not finite"),
        (lambda t: Trajectory(np.zeros(5, np.int64), t.poses), "the stamp 0 is in the trajectory twice"),
        (lambda t: evaluate_trajectory(Trajectory(t.stamps_ns + 10**12, t.poses), t), "do not overlap in time"),
        (
            lambda t: evaluate_trajectory(Trajectory(t.stamps_ns[:1], t.poses[:1]), t),
            "predicted trajectory has 1 pose",
        ),
        (lambda t: evaluate_trajectory(t, Trajectory(t.stamps_ns[:0], t.poses[:0])), "true trajectory has 0 poses"),
        (lambda t: evaluate_trajectory(Trajectory(t.stamps_ns[:2], t.poses[:2]), t), "expected at least 3"),
        (
            lambda t: evaluate_trajectory(Trajectory(t.stamps_ns, t.poses * 0 + np.eye(4)), t),
            "try 'none': .*at one place",
        ),
        (lambda t: evaluate_trajectory(t, t, delta_frames=5), "expected 1 to 4"),
        (lambda t: evaluate_trajectory(t, t, delta_s=99.0), "no two of the 5 associated poses are 99 s apart"),
        (lambda t: evaluate_trajectory(t, t, delta_s=-1.0), "expected a positive time"),
        (lambda t: evaluate_trajectory(t, t, alignment="affine"), "alignment 'affine' is unknown"),
    ],
)
def test_bad_input(make: object, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        make(straight())  # type: ignore[operator]
