"""How close a trajectory is to the true one: absolute (ATE) and relative pose error (Sturm et al., IROS 2012)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.se3 import checked_pose
from showroom_ros.geometry.similarity import Similarity, fit_similarity
from showroom_ros.scene.association import associate

Alignment = Literal["none", "se3", "sim3"]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Camera poses over time, checked and put in order of their stamps.

    Attributes:
        stamps_ns: int64 [N], each once.
        poses: float64 [N, 4, 4], ``T_world_camera``.

    Raises:
        InputError: as many stamps as poses are not given, a stamp twice, or a pose that is none (says which).
    """

    stamps_ns: NDArray[np.int64]
    poses: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Checks, and sorts by stamp."""
        stamps = np.asarray(self.stamps_ns, np.int64).reshape(-1)
        if len(stamps) != len(self.poses):
            raise InputError(f"a trajectory has {len(stamps)} stamps and {len(self.poses)} poses, expected one each")
        order = np.argsort(stamps, kind="stable")
        stamps = stamps[order]
        again = np.flatnonzero(np.diff(stamps) == 0)
        if len(again):
            raise InputError(f"the stamp {stamps[again[0]]} is in the trajectory twice")
        poses = [checked_pose(self.poses[i], f"pose {i} of the trajectory") for i in order]
        object.__setattr__(self, "stamps_ns", stamps)
        object.__setattr__(self, "poses", np.array(poses).reshape(-1, 4, 4))

    def __len__(self) -> int:
        """Number of poses."""
        return len(self.stamps_ns)


@dataclass(frozen=True)
class ErrorStatistics:
    """Of a list of errors: root mean square, mean, median, standard deviation, least and largest."""

    rmse: float
    mean: float
    median: float
    std: float
    min: float
    max: float

    @staticmethod
    def of(errors: NDArray[np.float64]) -> ErrorStatistics:
        """Of errors [N], N at least 1."""
        return ErrorStatistics(
            float(np.sqrt(np.mean(errors**2))), float(errors.mean()), float(np.median(errors)),
            float(errors.std()), float(errors.min()), float(errors.max()),
        )  # fmt: skip


@dataclass(frozen=True)
class TrajectoryScores:
    """Errors of a trajectory.

    Attributes:
        alignment: what was fitted before comparing: ``none``, ``se3`` or ``sim3``.
        scale: of the fit; 1 without one.
        pairs: poses compared.
        coverage: share of the true poses that have a partner.
        ate_m: absolute position error after the alignment, metres.
        ate_rotation_deg: absolute rotation error after it, degrees.
        rpe_translation_m: error of the motion over ``delta``, metres.
        rpe_rotation_deg: of its rotation, degrees.
        delta: over which motion is compared: ``"1 frame"``, ``"1 s"``.
        motions: motions compared.
    """

    alignment: str
    scale: float
    pairs: int
    coverage: float
    ate_m: ErrorStatistics
    ate_rotation_deg: ErrorStatistics
    rpe_translation_m: ErrorStatistics
    rpe_rotation_deg: ErrorStatistics
    delta: str
    motions: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def evaluate_trajectory(
    predicted: Trajectory,
    truth: Trajectory,
    *,
    alignment: Alignment = "se3",
    delta_frames: int = 1,
    delta_s: float | None = None,
    slop_s: float = 0.02,
) -> TrajectoryScores:
    """Associates poses by stamp, aligns, and scores (Sturm et al. 2012, eq. 2 to 5).

    Relative errors are over all pairs ``(i, i + delta)``; with ``sim3`` their predicted motion is scaled as well.

    Args:
        predicted: trajectory to be judged.
        truth: the true one, of the same clock.
        alignment: nothing, a rigid motion, or one with scale is fitted to the camera centres first.
        delta_frames: associated poses between which motion is compared.
        delta_s: the same as a time; takes the place of ``delta_frames``. The pose nearest to that time later is
            taken, when it is within half of the median step.
        slop_s: largest difference between stamps.

    Raises:
        InputError: the trajectories do not overlap in time, too few poses have a partner (at least 2, and 3 for an
            alignment), centres at one place, a delta that no two poses are apart, or an unknown alignment.
    """
    if alignment not in ("none", "se3", "sim3"):
        raise InputError(f"alignment '{alignment}' is unknown, expected none, se3 or sim3")
    mine, theirs, stamps_ns = _associated(predicted, truth, slop_s)
    least = 2 if alignment == "none" else 3
    if len(mine) < least:
        raise InputError(f"{len(mine)} poses have a true partner within {slop_s:g} s, expected at least {least}")
    fit = Similarity(1.0, np.eye(3), np.zeros(3))
    if alignment != "none":
        try:
            fit = fit_similarity(mine[:, :3, 3], theirs[:, :3, 3], with_scale=alignment == "sim3")
        except InputError as error:
            raise InputError(f"no alignment '{alignment}' of the camera centres, try 'none': {error}") from error
    moved = fit.apply_to_poses(mine)
    first, second = _motions(stamps_ns, delta_frames, delta_s)
    motion_error = _relative(_relative(theirs[first], theirs[second]), _relative(moved[first], moved[second]))
    return TrajectoryScores(
        alignment=alignment,
        scale=fit.scale,
        pairs=len(mine),
        coverage=len(mine) / len(truth),
        ate_m=ErrorStatistics.of(np.linalg.norm(moved[:, :3, 3] - theirs[:, :3, 3], axis=1)),
        ate_rotation_deg=ErrorStatistics.of(rotation_angles_deg(_relative(theirs, moved))),
        rpe_translation_m=ErrorStatistics.of(np.linalg.norm(motion_error[:, :3, 3], axis=1)),
        rpe_rotation_deg=ErrorStatistics.of(rotation_angles_deg(motion_error)),
        delta=f"{delta_s:g} s" if delta_s is not None else f"{delta_frames} frame{'s' * (delta_frames != 1)}",
        motions=len(first),
    )


def rotation_angles_deg(transforms: ArrayLike) -> NDArray[np.float64]:
    """Angles in degrees [N] of the rotations of transforms [N, 4, 4] (or [N, 3, 3])."""
    r = np.asarray(transforms, np.float64)
    sine = np.linalg.norm(
        np.stack([r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]], axis=1), axis=1
    )
    return np.degrees(np.arctan2(sine, r[:, 0, 0] + r[:, 1, 1] + r[:, 2, 2] - 1))


def _associated(
    predicted: Trajectory, truth: Trajectory, slop_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Predicted and true poses of the pairs, in order of time, and the true stamps."""
    for name, trajectory in (("predicted", predicted), ("true", truth)):
        if len(trajectory) < 2:
            raise InputError(f"the {name} trajectory has {len(trajectory)} poses, expected at least 2")
    slop_ns = round(slop_s * 1e9)
    ranges = [(int(t.stamps_ns[0]), int(t.stamps_ns[-1])) for t in (predicted, truth)]
    if ranges[0][0] > ranges[1][1] + slop_ns or ranges[1][0] > ranges[0][1] + slop_ns:
        spans = " and the true one from ".join(f"{low / 1e9:.3f} s to {high / 1e9:.3f} s" for low, high in ranges)
        raise InputError(f"the trajectories do not overlap in time: the predicted one goes from {spans}")
    partners = associate(truth.stamps_ns.tolist(), predicted.stamps_ns.tolist(), slop_ns)
    pairs = np.array([(j, i) for i, j in enumerate(partners) if j is not None], np.int64).reshape(-1, 2)
    return predicted.poses[pairs[:, 0]], truth.poses[pairs[:, 1]], truth.stamps_ns[pairs[:, 1]]


def _motions(
    stamps_ns: NDArray[np.int64], delta_frames: int, delta_s: float | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and second pose of every motion that is compared."""
    count = len(stamps_ns)
    if delta_s is None:
        if not 1 <= delta_frames < count:
            raise InputError(f"delta_frames is {delta_frames}, expected 1 to {count - 1} for {count} associated poses")
        return np.arange(count - delta_frames), np.arange(delta_frames, count)
    if not (math.isfinite(delta_s) and delta_s > 0):
        raise InputError(f"delta_s is {delta_s}, expected a positive time")
    wanted = stamps_ns + round(delta_s * 1e9)
    after = np.clip(np.searchsorted(stamps_ns, wanted), 1, count - 1)
    nearest = np.where(wanted - stamps_ns[after - 1] <= stamps_ns[after] - wanted, after - 1, after)
    off = np.abs(stamps_ns[nearest] - wanted)
    first = np.flatnonzero((off <= np.median(np.diff(stamps_ns)) / 2) & (nearest > np.arange(count)))
    if not len(first):
        raise InputError(f"no two of the {count} associated poses are {delta_s:g} s apart")
    return first, nearest[first]


def _relative(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """``a^-1 b`` of transforms [N, 4, 4]."""
    turned = np.swapaxes(a[:, :3, :3], 1, 2)
    result = np.tile(np.eye(4), (len(a), 1, 1))
    result[:, :3, :3] = turned @ b[:, :3, :3]
    result[:, :3, 3] = np.einsum("nij,nj->ni", turned, b[:, :3, 3] - a[:, :3, 3])
    return result
