"""Poses and points of unposed photos, photo by photo (Snavely et al., 2006; Schoenberger and Frahm, CVPR 2016).

SIFT matches of all pairs, the essential matrix of a pair with parallax, then in turn the next photo by its known
points (PnP), new points, bundle adjustment. Modest in size: every pair is compared and everything is adjusted each
time, which is meant for tens of photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.feature_tracks import Tracks
from showroom_ros.reconstruction.image_matches import PairMatches, features_of, matched_pairs, tracks_of, usac
from showroom_ros.reconstruction.sparse_adjustment import SparseScene, adjusted_sparse

_OUTLIER_PX = 4.0
_PNP_SHARE = 0.01
"""Of the image width: how far the points a photo is placed by may be off, for the focal length may be."""
_LEAST_ANGLE_DEG = 1.5
_SEED_ANGLE_DEG = 3.0
_SEEDS = 3
_LEAST_INLIERS = 15
_LEAST_SEED_POINTS = 30
_FOCALS = np.geomspace(0.4, 3.0, 80)
_USUAL_FOCAL = 1.2
"""Focal lengths tried, and the one that is taken where nothing is known, as shares of the longer side."""


@dataclass(frozen=True, eq=False)
class SparseModel:
    """What was found.

    Attributes:
        T_world_camera: float64 [N, 4, 4], NaN where a photo could not be placed.
        focal: fx and fy in pixels of each photo, float64 [N, 2].
        points: float64 [P, 3], world.
        error_px: mean distance of sightings from their points' projections; NaN where there are none.
        registered: how many photos were placed.
    """

    T_world_camera: NDArray[np.float64]
    focal: NDArray[np.float64]
    points: NDArray[np.float64]
    error_px: float
    registered: int


def incremental_sfm(
    images: Sequence[NDArray[np.uint8]], cameras: Sequence[Camera], *, focal_known: bool, seed: int = 0
) -> SparseModel:
    """Places photos in a world of arbitrary scale.

    Args:
        images: uint8 [H, W, 3] RGB.
        cameras: pinhole, of the images' sizes; only the principal point counts unless the focal length is known.
        focal_known: otherwise all photos of one size share one that is found too.
        seed: of the random samples.
    """
    features = [features_of(image) for image in images]
    pairs = matched_pairs(features, seed)
    tracks = tracks_of(features, pairs)
    focal = np.array([(camera.fx, camera.fy) for camera in cameras])
    sizes = [(camera.width, camera.height) for camera in cameras]
    group = np.full(len(images), -1)
    if not focal_known:
        group = np.array([sorted(set(sizes)).index(size) for size in sizes])
        focal = np.array([(start, start) for start in _starting_focals(cameras, pairs)])
    best = _Model(cameras, focal, group, tracks, seed).result()
    for start in _seed_pairs(pairs, cameras, focal, seed)[:_SEEDS]:
        model = _Model(cameras, focal, group, tracks, seed)
        model.start(start)
        while model.place_next():
            model.refine()
        model.refine(rounds=3)
        found = model.result()
        if found.registered > best.registered:
            best = found
        if 2 * best.registered > len(images):
            break
    return best


class _SeedPair(NamedTuple):
    first: int
    second: int
    T_second_first: NDArray[np.float64]
    good: int


def _starting_focals(cameras: Sequence[Camera], pairs: Sequence[PairMatches]) -> NDArray[np.float64]:
    """Focal lengths in pixels at which the pairs' fundamental matrices come nearest to essential ones.

    Those have two equal singular values (Mendonca and Cipolla, CVPR 1999). All photos have the same share of their
    longer side.
    """
    longer = np.array([max(camera.width, camera.height) for camera in cameras], np.float64)
    cost = np.zeros(len(_FOCALS))
    for pair in pairs:
        for n, share in enumerate(_FOCALS):
            K = [_matrix(cameras[i], np.full(2, share * longer[i])) for i in (pair.first, pair.second)]
            s = np.linalg.svd(K[1].T @ pair.fundamental @ K[0], compute_uv=False)
            cost[n] += len(pair.features) * (s[0] - s[1]) / s[0]
    best = int(np.argmin(cost))
    inside = len(pairs) > 0 and 0 < best < len(_FOCALS) - 1
    return longer * (_FOCALS[best] if inside else _USUAL_FOCAL)


def _matrix(camera: Camera, focal: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([[focal[0], 0, camera.cx], [0, focal[1], camera.cy], [0, 0, 1.0]])


def _flat(camera: Camera, focal: NDArray[np.float64], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normalised coordinates [n, 2] of pixels."""
    return np.asarray((pixels - [camera.cx, camera.cy]) / focal)


def _seed_pairs(
    pairs: Sequence[PairMatches], cameras: Sequence[Camera], focal: NDArray[np.float64], seed: int
) -> list[_SeedPair]:
    """Pairs to start from, those with the most points of parallax first."""
    found = []
    for pair in sorted(pairs, key=lambda one: -len(one.features))[:40]:
        i, j = pair.first, pair.second
        x, y = _flat(cameras[i], focal[i], pair.pixels_first), _flat(cameras[j], focal[j], pair.pixels_second)
        threshold = 1.5 / float(min(focal[i].min(), focal[j].min()))
        eye, straight = np.eye(3), np.zeros(4)
        E, mask = cv2.findEssentialMat(x, y, eye, eye, straight, straight, usac(threshold, seed))
        if E is None or E.shape != (3, 3):
            continue
        _, R, t, front = cv2.recoverPose(E, x, y, np.eye(3), mask=mask.copy())
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = R, t.ravel()
        rows = front.ravel() > 0
        a = np.column_stack([x[rows], np.ones(rows.sum())]) @ T[:3, :3].T
        b = np.column_stack([y[rows], np.ones(rows.sum())])
        good = int((_angles_deg(a, b) > _SEED_ANGLE_DEG).sum())
        if good >= _LEAST_SEED_POINTS:
            found.append(_SeedPair(i, j, T, good))
    return sorted(found, key=lambda one: -one.good)


def _angles_deg(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between directions [n, 3]."""
    across = np.linalg.norm(np.cross(a, b), axis=1)
    return np.asarray(np.degrees(np.arctan2(across, (a * b).sum(1))))


class _Model:
    """Photos placed so far and the points they share; one row of the tracks is a sighting."""

    def __init__(
        self,
        cameras: Sequence[Camera],
        focal: NDArray[np.float64],
        group: NDArray[np.int64],
        tracks: Tracks,
        seed: int,
    ) -> None:
        count = len(cameras)
        self.cameras, self.tracks, self.seed, self.group = cameras, tracks, seed, group
        self.focal = focal.copy()
        self.middle = np.array([(camera.cx, camera.cy) for camera in cameras])
        self.placed = np.zeros(count, bool)
        self.R, self.t = np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 3))
        self.points = np.full((tracks.count, 3), np.nan)
        self.good = np.zeros(len(tracks.point), bool)

    def start(self, pair: _SeedPair) -> None:
        """The first of the pair is at the origin."""
        self.placed[[pair.first, pair.second]] = True
        self.R[pair.second], self.t[pair.second] = pair.T_second_first[:3, :3], pair.T_second_first[:3, 3]
        self.refine()

    def place_next(self) -> bool:
        """Places the photo that sees most points; False where none can be placed."""
        known = np.isfinite(self.points[:, 0])[self.tracks.point]
        seen = np.bincount(self.tracks.image[known], minlength=len(self.placed))
        seen[self.placed] = 0
        for image in np.argsort(-seen, kind="stable"):
            if seen[image] < _LEAST_INLIERS:
                return False
            if self._place(int(image), known & (self.tracks.image == image)):
                return True
        return False

    def _place(self, image: int, rows: NDArray[np.bool_]) -> bool:
        camera = self.cameras[image]
        points, pixels = self.points[self.tracks.point[rows]], self.tracks.pixel[rows]
        params = usac(max(_OUTLIER_PX, _PNP_SHARE * camera.width), self.seed)
        try:
            ok, _, turn, shift, inliers = cv2.solvePnPRansac(
                points, pixels, _matrix(camera, self.focal[image]), np.zeros(4), params=params
            )  # type: ignore[call-overload]
        except cv2.error:  # too few points that are no plane or line
            return False
        if not ok or inliers is None or len(inliers) < _LEAST_INLIERS:
            return False
        self.R[image], self.t[image] = cv2.Rodrigues(turn)[0], np.ravel(shift)
        self.placed[image] = True
        return True

    def refine(self, rounds: int = 1) -> None:
        """New points, then all of it adjusted; what fits badly is left out."""
        for _ in range(rounds):
            self._triangulate()
            if np.count_nonzero(self.good) < _LEAST_INLIERS:
                return
            self._adjust()
            self._judge()

    def _triangulate(self) -> None:
        """Points where the rays of a track's sightings come nearest, for tracks without one."""
        tracks = self.tracks
        rows = self.placed[tracks.image] & ~np.isfinite(self.points[:, 0])[tracks.point]
        image, point = tracks.image[rows], tracks.point[rows]
        flat = (tracks.pixel[rows] - self.middle[image]) / self.focal[image]
        rays = np.einsum("nji,nj->ni", self.R[image], np.column_stack([flat, np.ones(len(flat))]))
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        centers = -np.einsum("nji,nj->ni", self.R[image], self.t[image])
        across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
        A, b = np.zeros((tracks.count, 3, 3)), np.zeros((tracks.count, 3))
        np.add.at(A, point, across)
        np.add.at(b, point, np.einsum("nij,nj->ni", across, centers))
        enough = np.bincount(point, minlength=tracks.count) >= 2
        self.points[enough] = np.linalg.solve(A[enough] + 1e-9 * np.eye(3), b[enough, :, None])[..., 0]
        self._judge()

    def _judge(self) -> None:
        """Marks the sightings that fit; points of fewer than two, or without parallax, are dropped."""
        tracks, count = self.tracks, self.tracks.count
        rows = np.flatnonzero(self.placed[tracks.image] & np.isfinite(self.points[:, 0])[tracks.point])
        errors = self._scene(rows, self.points, tracks.point[rows]).errors_px()
        self.good[:] = False
        self.good[rows[errors < _OUTLIER_PX]] = True
        rows = np.flatnonzero(self.good)
        image, point = tracks.image[rows], tracks.point[rows]
        rays = self.points[point] + np.einsum("nji,nj->ni", self.R[image], self.t[image])
        first = np.searchsorted(point, point)  # sightings are sorted by point
        angle = np.zeros(count)
        np.maximum.at(angle, point, _angles_deg(rays, rays[first]))
        keep = (np.bincount(point, minlength=count) >= 2) & (angle > _LEAST_ANGLE_DEG)
        self.points[~keep] = np.nan
        self.good &= keep[tracks.point]

    def _scene(self, rows: NDArray[np.int64], points: NDArray[np.float64], point: NDArray[np.int64]) -> SparseScene:
        free = self.group if self.placed.sum() > 2 else np.full_like(self.group, -1)
        seen = self.tracks.image[rows], point, self.tracks.pixel[rows]
        return SparseScene(self.R, self.t, self.focal, self.middle, free, points, *seen)

    def _adjust(self) -> None:
        rows = np.flatnonzero(self.good)
        used, point = np.unique(self.tracks.point[rows], return_inverse=True)
        scene = adjusted_sparse(self._scene(rows, self.points[used], point))
        self.R, self.t, self.focal, self.points[used] = scene.R, scene.t, scene.focal, scene.points

    def result(self) -> SparseModel:
        rows = np.flatnonzero(self.good)
        errors = self._scene(rows, self.points, self.tracks.point[rows]).errors_px()
        seen = np.bincount(self.tracks.image[rows], minlength=len(self.placed)) >= _LEAST_INLIERS
        placed = self.placed & seen
        poses = np.full((len(placed), 4, 4), np.nan)
        poses[placed] = np.eye(4)
        poses[placed, :3, :3] = self.R[placed].transpose(0, 2, 1)
        poses[placed, :3, 3] = -np.einsum("nji,nj->ni", self.R[placed], self.t[placed])
        points = self.points[np.isfinite(self.points[:, 0])]
        error = float(errors.mean()) if len(errors) else float("nan")
        return SparseModel(poses, self.focal, points, error, int(placed.sum()))
