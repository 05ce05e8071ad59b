"""Bundle adjustment of free poses, focal lengths and points (Triggs et al., Bundle Adjustment, 2000, section 6).

Levenberg-Marquardt on the Schur complement of the points, with Huber weights. ``geometry.bundle_adjustment`` holds
poses near given ones; here there are none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import bsr_array, csr_array
from scipy.spatial.transform import Rotation

_HUBER_PX = 1.0
_NEAREST = 1e-6
_FOCAL_SIGMA = 0.5
"""A focal length is known to be off by no more than this factor's logarithm, as if that were seen to one pixel."""


@dataclass(frozen=True, eq=False)
class SparseScene:
    """Cameras, points, and where the points are seen.

    Attributes:
        R, t: ``T_camera_world`` of each view, float64 [V, 3, 3] and [V, 3].
        focal: fx and fy in pixels of each view, float64 [V, 2].
        middle: cx and cy of each view, float64 [V, 2].
        group: views of one number share how their focal length changes, int64 [V]; -1: it is known.
        points: float64 [P, 3], world.
        view, point: of each sighting, int64 [n].
        pixel: of each sighting, float64 [n, 2].
    """

    R: NDArray[np.float64]
    t: NDArray[np.float64]
    focal: NDArray[np.float64]
    middle: NDArray[np.float64]
    group: NDArray[np.int64]
    points: NDArray[np.float64]
    view: NDArray[np.int64]
    point: NDArray[np.int64]
    pixel: NDArray[np.float64]

    def in_camera(self) -> NDArray[np.float64]:
        """The point of each sighting in its camera's frame, [n, 3]."""
        return np.einsum("nij,nj->ni", self.R[self.view], self.points[self.point]) + self.t[self.view]

    def residuals(self) -> NDArray[np.float64]:
        """Projection less sighting, [n, 2] pixels; points behind a camera are far off."""
        local = self.in_camera()
        flat = local[:, :2] / np.maximum(local[:, 2:], _NEAREST)
        return np.asarray(self.focal[self.view] * flat + self.middle[self.view] - self.pixel)

    def errors_px(self) -> NDArray[np.float64]:
        """Distance of each sighting from its point's projection, [n]; infinite behind the camera."""
        away = np.linalg.norm(self.residuals(), axis=1)
        return np.where(self.in_camera()[:, 2] > _NEAREST, away, np.inf)

    def moved(self, cameras: NDArray[np.float64], points: NDArray[np.float64]) -> SparseScene:
        """The scene after a step: per view a turn and a shift of ``T_camera_world``, then per group ``log`` focal."""
        views = len(self.R)
        steps, scale = cameras[: 6 * views].reshape(-1, 6), np.append(np.exp(cameras[6 * views :]), 1.0)
        turn = Rotation.from_rotvec(steps[:, :3]).as_matrix()
        return replace(
            self,
            R=turn @ self.R,
            t=np.einsum("nij,nj->ni", turn, self.t) + steps[:, 3:],
            focal=self.focal * scale[self.group, None],
            points=self.points + points.reshape(-1, 3),
        )


def adjusted_sparse(scene: SparseScene, steps: int = 20, least_gain: float = 1e-4) -> SparseScene:
    """The scene of least robust reprojection error near the given one.

    Args:
        scene: every point has at least 2 sightings.
        steps: at most so many.
        least_gain: ends when a step lowers the cost by less than this share of it.
    """
    start = scene.focal.copy()
    damping, cost = 1e-3, _cost(scene, start)
    for _ in range(steps):
        system = _linearised(scene, start)
        while True:
            proposed = scene.moved(*_step(system, damping))
            new = _cost(proposed, start)
            if new < cost or damping > 1e6:
                break
            damping *= 10
        if not new < cost:
            break
        gain, scene, cost, damping = 1 - new / cost, proposed, new, damping / 10
        if gain < least_gain:
            break
    return scene


_System = tuple[csr_array, NDArray[np.float64], csr_array, NDArray[np.float64], NDArray[np.float64]]


def _cost(scene: SparseScene, start: NDArray[np.float64]) -> float:
    size = np.linalg.norm(scene.residuals(), axis=1)
    huber = np.where(size <= _HUBER_PX, size**2, 2 * _HUBER_PX * size - _HUBER_PX**2)
    return float(huber.sum() + (_prior(scene, start)[0] ** 2).sum())


def _prior(scene: SparseScene, start: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """How far the focal length of each group went, in sigmas, and the groups."""
    groups, first = np.unique(scene.group, return_index=True)
    first, groups = first[groups >= 0], groups[groups >= 0]
    return np.log(scene.focal[first, 0] / start[first, 0]) / _FOCAL_SIGMA, groups


def _linearised(scene: SparseScene, start: NDArray[np.float64]) -> _System:
    """Normal equations: cameras' block (sparse) and gradient, mixed block, points' 3x3 blocks and gradient."""
    views, count, n = len(scene.R), len(scene.points), len(scene.view)
    local = scene.in_camera()
    z = np.maximum(local[:, 2], _NEAREST)
    flat, focal = local[:, :2] / z[:, None], scene.focal[scene.view]
    residual = focal * flat + scene.middle[scene.view] - scene.pixel
    root = np.sqrt(np.minimum(1.0, _HUBER_PX / np.maximum(np.linalg.norm(residual, axis=1), 1e-12)))
    by_local = np.zeros((n, 2, 3))
    by_local[:, 0, 0], by_local[:, 1, 1] = focal.T / z
    by_local[:, :, 2] = -focal * flat / z[:, None]
    by_local *= root[:, None, None]
    across = np.zeros((n, 3, 3))
    x, y, depth = local.T
    across[:, 0, 1], across[:, 0, 2], across[:, 1, 2] = depth, -y, x
    across -= across.transpose(0, 2, 1)
    by_turn, by_point = by_local @ across, by_local @ scene.R[scene.view]
    groups = int(scene.group.max(initial=-1)) + 1
    group = scene.group[scene.view]
    by_focal = np.where(group >= 0, root, 0.0)[:, None] * focal * flat
    columns = np.hstack([6 * scene.view[:, None] + np.arange(6), np.where(group >= 0, 6 * views + group, 0)[:, None]])
    J = _sparse(np.concatenate([by_turn, by_local, by_focal[:, :, None]], 2), columns, 6 * views + groups)
    Jp = _sparse(by_point, 3 * scene.point[:, None] + np.arange(3), 3 * count)
    weighted = (root[:, None] * residual).ravel()
    U, gradient = (J.T @ J).toarray(), J.T @ weighted
    away, held = _prior(scene, start)
    U[6 * views + held, 6 * views + held] += 1 / _FOCAL_SIGMA**2
    gradient[6 * views + held] += away / _FOCAL_SIGMA
    V = np.zeros((count, 3, 3))
    np.add.at(V, scene.point, by_point.transpose(0, 2, 1) @ by_point)
    return U, gradient, csr_array(J.T @ Jp), V, Jp.T @ weighted


def _sparse(blocks: NDArray[np.float64], columns: NDArray[np.int64], width: int) -> csr_array:
    """Blocks [n, 2, k] of a Jacobian with 2 n rows, each in its columns [n, k]."""
    n, two, k = blocks.shape
    starts = np.arange(0, two * n * k + 1, k)
    matrix = csr_array((blocks.ravel(), np.repeat(columns, two, axis=0).ravel(), starts), shape=(two * n, width))
    matrix.sum_duplicates()
    return matrix


def _step(system: _System, damping: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Solves for the cameras first, then for the points."""
    U, gradient, W, V, point_gradient = system
    diagonal = np.einsum("ii->i", U)
    A = U + np.diag(damping * diagonal + 1e-9 * (1 + diagonal.max()))
    B = V * (1 + damping * np.eye(3)) + 1e-9 * np.eye(3)
    inverse = np.linalg.inv(B)
    count = len(V)
    blocks = bsr_array((inverse, np.arange(count), np.arange(count + 1)), shape=(3 * count, 3 * count))
    WB = W @ blocks
    cameras = np.linalg.solve(A - (WB @ W.T).toarray(), WB @ point_gradient - gradient)
    points = -np.einsum("nij,nj->ni", inverse, (point_gradient + W.T @ cameras).reshape(-1, 3))
    return cameras, points
