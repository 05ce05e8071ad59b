"""Poses, focal length and lens corrected so that images agree: bundle adjustment (Triggs et al., 2000), held back.

Poses of odometry, of depth tracking, or of a camera not exposed when the depth was, are off by a centimetre and part
of a degree; that makes depth from parallax wrong by percents. The trajectory as a whole is kept: every pose is held
near the one given, for what is left of lens and shutter would bend it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.sparse import coo_array
from scipy.spatial.transform import Rotation

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.feature_tracks import Tracks

_STEP = 0.01
"""What a step of 1 of the solver means: 0.01 rad, 1 cm, 1 % of the focal length, 0.01 of k1."""
_LIMITS = (0.04, 0.0125, 0.00625)
"""Tracks that fit worse anywhere are left out, a share of the image width, round by round."""
_LENS_STEPS = 5
"""Of the fixed point iteration that undoes k1; 1e-5 is left of k1 = 0.1 at 45 degrees."""
_HELD_OUT = 5
"""Every fifth track is only checked with."""
_MIN_TRACKS = 60
_MIN_GAIN = 0.9
"""Held-out tracks must fit so much better, or nothing is changed."""


@dataclass(frozen=True)
class AdjustmentSettings:
    """How far poses and lens may go, against sightings that are good to a pixel.

    The values are far below what poses are really off by: there are thousands of sightings, and what is wrong with
    many of them at once (rolling shutter, lens) must not outvote the poses.

    Attributes:
        position_sigma_m, rotation_sigma_rad: of a pose; beyond, the cost of a pose grows linearly only.
        focal_sigma: of the focal length of all cameras, relative; 0 = it is right.
        k1_sigma: of the first radial coefficient (plumb_bob) of their lens; 0 = there is no distortion.
    """

    position_sigma_m: float = 0.0005
    rotation_sigma_rad: float = 0.00025
    focal_sigma: float = 0.005
    k1_sigma: float = 0.02


@dataclass(frozen=True, eq=False)
class Adjustment:
    """What became of cameras and poses.

    Attributes:
        cameras: with the focal length and lens (plumb_bob, k1 alone) that fit.
        poses: ``T_world_camera`` float64 [4, 4] each.
        focal_scale: by which all focal lengths were multiplied.
        k1: of the lens.
        error_before_px, error_after_px: median distance of held-out sightings from their points' projections;
            NaN where there were too few tracks.
        changed: False = given back as they came, for held-out tracks fitted no better, or were too few.
    """

    cameras: list[Camera]
    poses: list[NDArray[np.float64]]
    focal_scale: float
    k1: float
    error_before_px: float
    error_after_px: float
    changed: bool


def adjusted(
    cameras: Sequence[Camera],
    poses: Sequence[NDArray[np.float64]],
    tracks: Tracks,
    settings: AdjustmentSettings | None = None,
) -> Adjustment:
    """Corrects poses, and the focal length and lens they share, by what tracks say.

    Args:
        cameras: undistorted.
        poses: ``T_world_camera`` float64 [4, 4] each.
        tracks: seen in these images.
        settings: how much to trust what was given.
    """
    settings = settings or AdjustmentSettings()
    scene = _Scene(cameras, poses, settings)
    still = np.zeros(scene.size)
    nan = float("nan")
    same = Adjustment(list(cameras), list(poses), 1.0, 0.0, nan, nan, changed=False)
    if tracks.count < _MIN_TRACKS:
        return same
    held_out = np.arange(tracks.count) % _HELD_OUT == 0
    x, points, used = still, scene.triangulated(still, tracks), ~held_out
    for limit in _LIMITS:
        worst = np.zeros(tracks.count)
        np.maximum.at(worst, tracks.point, scene.errors_px(x, points, tracks))
        chosen = used & (worst < limit * cameras[0].width)
        if chosen.sum() < _MIN_TRACKS // 2:
            return same
        x, points[chosen] = scene.solved(x, points[chosen], tracks.subset(chosen))
    check = tracks.subset(held_out)
    before, after = (float(np.median(scene.errors_px(y, scene.triangulated(y, check), check))) for y in (still, x))
    if not after < _MIN_GAIN * before:
        return dataclasses.replace(same, error_before_px=before, error_after_px=after)
    scale, k1 = scene.lens(x)
    changed = [
        dataclasses.replace(
            camera,
            fx=camera.fx * scale,
            fy=camera.fy * scale,
            distortion_model="plumb_bob" if k1 else "none",
            distortion=(k1, 0.0, 0.0, 0.0) if k1 else (),
        )
        for camera in cameras
    ]
    return Adjustment(changed, scene.poses(x), scale, k1, before, after, changed=True)


class _Scene:
    """Cameras that move: parameters are six per pose (turn, then shift), one for the focal length, one for k1."""

    def __init__(
        self, cameras: Sequence[Camera], poses: Sequence[NDArray[np.float64]], settings: AdjustmentSettings
    ) -> None:
        self._R = np.stack([pose[:3, :3] for pose in poses])
        self._t = np.stack([pose[:3, 3] for pose in poses])
        self._focal = np.array([(camera.fx, camera.fy) for camera in cameras])
        self._middle = np.array([(camera.cx, camera.cy) for camera in cameras])
        self.size = 6 * len(poses) + 2
        sigma = np.array([settings.rotation_sigma_rad] * 3 + [settings.position_sigma_m] * 3)
        shared = np.maximum([settings.focal_sigma, settings.k1_sigma], 1e-9)
        self._prior = np.concatenate([np.tile(_STEP / sigma, len(poses)), _STEP / shared])
        self._free = np.array([settings.focal_sigma > 0, settings.k1_sigma > 0])

    def lens(self, x: NDArray[np.float64]) -> tuple[float, float]:
        """Factor of the focal lengths, and k1."""
        focal, k1 = np.where(self._free, _STEP * x[-2:], 0.0)
        return 1 + float(focal), float(k1)

    def _placed(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        moves = _STEP * x[:-2].reshape(-1, 6)
        return self._R @ Rotation.from_rotvec(moves[:, :3]).as_matrix(), self._t + moves[:, 3:]

    def poses(self, x: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        result = np.tile(np.eye(4), (len(self._R), 1, 1))
        result[:, :3, :3], result[:, :3, 3] = self._placed(x)
        return list(result)

    def residuals(self, x: NDArray[np.float64], points: NDArray[np.float64], tracks: Tracks) -> NDArray[np.float64]:
        """Projection less sighting, [n, 2] in pixels."""
        R, t = self._placed(x)
        image = tracks.image
        local = np.einsum("nji,nj->ni", R[image], points[tracks.point] - t[image])
        flat = local[:, :2] / np.maximum(local[:, 2:], 0.1)
        scale, k1 = self.lens(x)
        flat *= scale * (1 + k1 * (flat**2).sum(1, keepdims=True))
        return np.asarray(self._focal[image] * flat + self._middle[image] - tracks.pixel)

    def errors_px(self, x: NDArray[np.float64], points: NDArray[np.float64], tracks: Tracks) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(self.residuals(x, points, tracks), axis=1))

    def triangulated(self, x: NDArray[np.float64], tracks: Tracks) -> NDArray[np.float64]:
        """The points [count, 3] nearest to their rays, by linear least squares."""
        R, t = self._placed(x)
        image = tracks.image
        scale, k1 = self.lens(x)
        bent = (tracks.pixel - self._middle[image]) / (scale * self._focal[image])
        flat = bent
        for _ in range(_LENS_STEPS):
            flat = bent / (1 + k1 * (flat**2).sum(1, keepdims=True))
        rays = np.einsum("nij,nj->ni", R[image], np.column_stack([flat, np.ones(len(flat))]))
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
        A, b = np.zeros((tracks.count, 3, 3)), np.zeros((tracks.count, 3))
        np.add.at(A, tracks.point, across)
        np.add.at(b, tracks.point, np.einsum("nij,nj->ni", across, t[image]))
        return np.asarray(np.linalg.solve(A + 1e-9 * np.eye(3), b[..., None])[..., 0])

    def solved(
        self, x: NDArray[np.float64], points: NDArray[np.float64], tracks: Tracks
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        def fun(y: NDArray[np.float64]) -> NDArray[np.float64]:
            seen = self.residuals(y[: self.size], y[self.size :].reshape(-1, 3), tracks)
            return np.concatenate([seen.ravel(), y[: self.size] * self._prior])

        def loss(squares: NDArray[np.float64]) -> NDArray[np.float64]:
            """Robust for sightings and poses, plain for focal length and lens: nothing may draw these away alone."""
            soft = np.sqrt(1 + squares)
            rho = np.stack([2 * (soft - 1), 1 / soft, -0.5 / soft**3])
            rho[:, -2:] = squares[-2:], np.ones(2), np.zeros(2)
            return rho

        result = least_squares(
            fun,
            np.concatenate([x, points.ravel()]),
            jac_sparsity=self._pattern(tracks),
            loss=loss,
            x_scale="jac",
            max_nfev=25,
            tr_solver="lsmr",
        )
        return result.x[: self.size], result.x[self.size :].reshape(-1, 3)

    def _pattern(self, tracks: Tracks) -> coo_array:
        """Which residuals depend on which parameters."""
        n = len(tracks.point)
        row = np.repeat(np.arange(2 * n), 11)
        of_pose = 6 * tracks.image[:, None] + np.arange(6)
        of_point = self.size + 3 * tracks.point[:, None] + np.arange(3)
        of_lens = np.tile([self.size - 2, self.size - 1], (n, 1))
        column = np.repeat(np.hstack([of_pose, of_point, of_lens]), 2, axis=0).ravel()
        row = np.concatenate([row, 2 * n + np.arange(self.size)])
        column = np.concatenate([column, np.arange(self.size)])
        shape = 2 * n + self.size, self.size + 3 * tracks.count
        return coo_array((np.ones(len(row), np.int8), (row, column)), shape=shape)
