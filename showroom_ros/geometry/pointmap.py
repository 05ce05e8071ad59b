"""Focal length, camera pose and normals of pointmaps, images whose pixels are points (DUSt3R, CVPR 2024)."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse

Floats = NDArray[np.floating]
Float64s = NDArray[np.float64]

_MIN_FOR_FOCAL = 16
_SAMPLE = 5
"""Points of a hypothesis: four fit a noisy pointmap badly, and SQPnP takes longer to tell their solutions apart."""
_MIN_INLIERS = 12
_MIN_INLIER_SHARE = 0.1
_MISSED = 1e-3
"""Sampling ends when the chance that no sample was free of outliers is smaller."""
_REFINEMENTS = 3


class PoseFit(NamedTuple):
    """Pose float64 [4, 4] (units of the points), inliers among the points used, root mean square error of these."""

    T_world_camera: Float64s
    inliers: int
    used: int
    error_px: float


def confident(confidence: Floats, share: float = 0.15, valid: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """The pixels to trust, bool [H, W]: the most confident ``share`` of those that are valid.

    At least three where there are three. All that are as confident as the last of them are in: of a constant
    confidence every pixel.

    Args:
        confidence: [H, W], higher is surer; pixels that are not finite are not valid.
        share: in (0, 1].
        valid: bool [H, W]; None = all.

    Raises:
        InputError: a share outside (0, 1], or the shapes differ.
    """
    if not 0 < share <= 1:
        raise InputError(f"share of confident pixels is {share}, expected one in (0, 1]")
    usable = np.isfinite(confidence)
    if valid is not None:
        if valid.shape != confidence.shape:
            raise InputError(f"valid pixels are {valid.shape}, their confidence is {confidence.shape}")
        usable = usable & valid
    values = confidence[usable]
    wanted = min(max(int(np.ceil(share * len(values))), 3), len(values))
    if wanted == 0:
        return usable
    last = np.partition(values, len(values) - wanted)[len(values) - wanted]
    result: NDArray[np.bool_] = usable & (np.where(usable, confidence, -np.inf) >= last)
    return result


def fitted_focal(
    points: Floats,
    confidence: Floats | None = None,
    principal: tuple[float, float] | None = None,
    iterations: int = 100,
) -> float:
    """The focal length in pixels of least summed distance ``|pixel - principal - f (x, y) / z|`` (DUSt3R, section 3.3).

    By the iteration of Weiszfeld (1937), from the solution of least squares. Square pixels are assumed.

    Args:
        points: [H, W, 3], in the frame of the camera itself; those not finite or not in front are ignored.
        confidence: [H, W]; the least sure tenth is ignored. None = all are the same.
        principal: (cx, cy) in pixels; None = the middle of the image.
        iterations: at most so many.

    Raises:
        InputError: shapes that do not fit, fewer than 16 usable points, or points that no focal length puts there.
    """
    height, width = _checked_size(points, confidence)
    z = points[..., 2]
    usable = np.isfinite(points).all(-1) & (z > 0)
    if confidence is not None and usable.any():
        usable = confident(confidence, 0.9, usable)
    if usable.sum() < _MIN_FOR_FOCAL:
        raise InputError(f"{usable.sum()} points to fit a focal length to, expected at least {_MIN_FOR_FOCAL}")
    cx, cy = principal or ((width - 1) / 2, (height - 1) / 2)
    v, u = np.nonzero(usable)
    chosen = points[usable].astype(np.float64)
    flat, pixel = chosen[:, :2] / chosen[:, 2:], np.stack([u - cx, v - cy], 1)
    # |pixel - f flat|^2 = pp - 2 f pf + f^2 ff
    pp, pf, ff = ((a * b).sum(1) for a, b in ((pixel, pixel), (pixel, flat), (flat, flat)))
    if not ff.sum() > 0:
        raise InputError("all points are on the optical axis: any focal length fits")
    focal = float(pf.sum() / ff.sum())
    for _ in range(iterations):
        weight = 1 / np.sqrt(np.maximum(pp + focal * (focal * ff - 2 * pf), 1e-16))
        before, focal = focal, float(weight @ pf / (weight @ ff))
        if abs(focal - before) <= 1e-9 * abs(before):
            break
    if not focal > 0:
        raise InputError(f"the points fit a focal length of {focal:.6g} pixels, expected a positive one")
    return focal


def camera_pose(
    points: Floats,
    confidence: Floats | None,
    camera: Camera,
    *,
    share: float = 0.15,
    reprojection_px: float = 5.0,
    iterations: int = 100,
    seed: int = 0,
    most: int = 2000,
) -> PoseFit | None:
    """Where a camera stood, from the points its pixels saw: SQPnP (Terzakis and Lourakis, ECCV 2020) in RANSAC.

    Args:
        points: [H, W, 3], in a common frame ("world"); those not finite are ignored.
        confidence: [H, W]; None = all are the same.
        camera: of this image, without distortion.
        share: only the most confident pixels are used (Fast3R, CVPR 2025, section 3.4).
        reprojection_px: how far off an inlier may be seen, in an image 512 pixels wide; scaled to other widths.
        iterations: hypotheses at most; fewer where many points agree.
        seed: of the samples.
        most: so many of these pixels at most, drawn at random.

    Returns:
        None where fewer than 12 points, or than a tenth of those used, agree.

    Raises:
        InputError: shapes that do not fit, or a camera with distortion.
    """
    height, width = _checked_size(points, confidence)
    if (camera.height, camera.width) != (height, width):
        raise InputError(f"points are {width}x{height}, camera is {camera.width}x{camera.height}")
    if camera.is_distorted:
        raise InputError("camera_pose needs a camera without distortion; undistort the image first")
    return _Sightings(points, confidence, share, most, seed).pose(camera, reprojection_px, iterations)


def point_normals(points: Floats, jump: float = 0.1) -> NDArray[np.float32]:
    """Unit normals float32 [H, W, 3] of a pointmap, towards its camera (n . p < 0).

    The cross product of the differences of neighbours: central, or to the one neighbour there is.

    Args:
        points: [H, W, 3], in the frame of the camera itself; those not finite or not in front have no normal.
        jump: neighbours whose depths differ by a larger share of the nearer one are of two surfaces.

    Returns:
        NaN where a point has no neighbour in a row or in a column, or all are on a line.
    """
    _checked_size(points, None)
    p = points.astype(np.float64)
    p[~(np.isfinite(p).all(-1) & (p[..., 2] > 0))] = np.nan
    along_v = _differences(p, jump)
    along_u = _differences(p.transpose(1, 0, 2), jump).transpose(1, 0, 2)
    normal = np.cross(along_u, along_v)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    away = (normal * p).sum(-1, keepdims=True) > 0
    normal = np.where(away, -normal, normal) / np.where(length > 0, length, np.nan)
    return normal.astype(np.float32)


def _differences(p: Float64s, jump: float) -> Float64s:
    """How points [H, W, 3] change from row to row; NaN without a neighbour of the same surface."""
    z = p[..., 2]
    step = p[1:] - p[:-1]
    same = abs(step[..., 2]) <= jump * np.minimum(z[1:], z[:-1])
    step[~same] = 0
    total, count = np.zeros_like(p), np.zeros(z.shape)
    for rows in (np.s_[1:], np.s_[:-1]):
        total[rows] += step
        count[rows] += same
    return total / np.where(count > 0, count, np.nan)[..., None]


def _checked_size(points: Floats, confidence: Floats | None) -> tuple[int, int]:
    if points.ndim != 3 or points.shape[2] != 3:
        raise InputError(f"pointmap is {points.shape}, expected (H, W, 3)")
    if confidence is not None and confidence.shape != points.shape[:2]:
        raise InputError(f"confidence is {confidence.shape}, expected {points.shape[:2]} as the pointmap")
    return points.shape[0], points.shape[1]


class _Search:
    """The best pose so far of the camera that sees points [n, 3] at pixels [n, 2]."""

    def __init__(self, points: Float64s, pixels: Float64s, camera: Camera, limit_px: float) -> None:
        self._points, self._pixels, self._K, self._limit_px = points, pixels, camera.matrix, limit_px
        self._cost = np.inf
        self.T_camera_points: Float64s | None = None
        self.squares = np.full(len(points), np.inf)
        self.inliers = np.zeros(0, np.int64)

    def gains(self, rows: NDArray[np.int64], *, refine: bool = False) -> bool:
        """Solves for some of the points, anew or from the best pose, and keeps what fits all of them better."""
        pose = self._solved(self._points[rows], self._pixels[rows], self.T_camera_points if refine else None)
        if pose is None:
            return False
        x, y, z = self._K @ pose[:3, :3] @ self._points.T + self._K @ pose[:3, 3:]
        far = 1 / np.where(z > 0, z, np.inf)
        squares = np.where(z > 0, (x * far - self._pixels[:, 0]) ** 2 + (y * far - self._pixels[:, 1]) ** 2, np.inf)
        cost = float(np.minimum(squares, self._limit_px**2).sum())
        if not cost < self._cost:
            return False
        self.T_camera_points, self.squares, self._cost = pose, squares, cost
        self.inliers = np.flatnonzero(squares < self._limit_px**2)
        return True

    def _solved(self, points: Float64s, pixels: Float64s, start: Float64s | None) -> Float64s | None:
        try:
            if start is None:
                _, turn, shift = cv2.solvePnP(points, pixels, self._K, None, flags=cv2.SOLVEPNP_SQPNP)
            else:
                turn, shift = cv2.Rodrigues(start[:3, :3])[0], start[:3, 3:].copy()
                turn, shift = cv2.solvePnPRefineLM(points, pixels, self._K, None, turn, shift)
            pose = np.eye(4)
            pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(turn)[0], shift[:, 0]
        except cv2.error:  # fewer than three points, all at one place, or no solution: an empty turn
            return None
        return pose if np.isfinite(pose).all() else None


class _Sightings:
    """Points in the world and the pixels (u, v) they are seen at: the most confident part of a pointmap."""

    def __init__(self, points: Floats, confidence: Floats | None, share: float, most: int, seed: int) -> None:
        finite = np.asarray(np.isfinite(points).all(-1))
        v, u = np.nonzero(confident(np.ones(finite.shape) if confidence is None else confidence, share, finite))
        self._seed = seed
        if len(v) > most:
            drawn = np.sort(np.random.default_rng(seed).choice(len(v), most, replace=False))
            v, u = v[drawn], u[drawn]
        world, self._pixels = points[v, u].astype(np.float64), np.stack([u, v], 1).astype(np.float64)
        self._middle = np.median(world, 0) if len(v) else np.zeros(3)
        world -= self._middle
        self._spread = float(np.median(np.linalg.norm(world, axis=1))) if len(v) else 0.0
        self._points = world / (self._spread or 1.0)

    def pose(self, camera: Camera, reprojection_px: float, iterations: int) -> PoseFit | None:
        """RANSAC with truncated squares for a cost (Torr and Zisserman, 2000), refitted where a hypothesis gains."""
        n = len(self._points)
        if n < _MIN_INLIERS or not self._spread > 0:
            return None
        rng = np.random.default_rng(self._seed)
        search = _Search(self._points, self._pixels, camera, reprojection_px * camera.width / 512)
        tried, needed = 0, float(iterations)
        while tried < needed:
            tried += 1
            if search.gains(rng.choice(n, _SAMPLE, replace=False)):
                search.gains(search.inliers)
                clean = np.clip((len(search.inliers) / n) ** _SAMPLE, 1e-12, 1 - 1e-12)
                needed = min(iterations, np.log(_MISSED) / np.log1p(-clean))
        for _ in range(_REFINEMENTS):
            search.gains(search.inliers, refine=True)
        if search.T_camera_points is None or len(search.inliers) < max(_MIN_INLIERS, _MIN_INLIER_SHARE * n):
            return None
        T_camera_world = search.T_camera_points.copy()
        T_camera_world[:3, 3] = self._spread * T_camera_world[:3, 3] - T_camera_world[:3, :3] @ self._middle
        error_px = float(np.sqrt(np.mean(search.squares[search.inliers])))
        return PoseFit(inverse(T_camera_world), len(search.inliers), n, error_px)
