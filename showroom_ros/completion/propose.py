"""Where to look for what is missing: views of the map that show a hole beside surface that is known.

Candidates are turns of the cameras there were, and new places in space that was seen to be free. A coarse mesh of the
map is rendered into each; a view is worth generating where much is missing and enough is known to go on from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from showroom_ros.completion.completable import CompletableMap
from showroom_ros.completion.holes import partial_view_of_mesh
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import rotation_angle_deg, turned_about
from showroom_ros.scene.coverage import packed
from showroom_ros.scene.mesh import Mesh

Poses = NDArray[np.float64]

_TRIED_M, _TRIED_DEG = 0.25, 12.0
"""A candidate as near as this to a view that was tried already is not proposed again."""
_ENOUGH_OVERLAP = 0.5
"""More known surface than this makes a view no better."""
_STEP_DEG = 45.0


@dataclass(frozen=True)
class ProposalSettings:
    """What a view must be like.

    Attributes:
        min_holes: share of its pixels that show no surface, at least.
        min_overlap: share of its pixels that show known surface, at least.
        yaws_deg: turns of earlier cameras about the upward axis.
        pitches_deg: and about their own right axis.
        cameras: earlier cameras that are turned, at most.
        places: in free space, at most.
        clearance_m: around such a place, free of anything.
        max_behind: share of its pixels that may look at the back of surface.
        width_px: of the pictures that candidates are judged by.
        cell_m: vertices within such a cell are one in the mesh they are judged by.
    """

    min_holes: float = 0.08
    min_overlap: float = 0.3
    yaws_deg: tuple[float, ...] = (-75.0, -50.0, -25.0, 25.0, 50.0, 75.0)
    pitches_deg: tuple[float, ...] = (-25.0, 25.0)
    cameras: int = 8
    places: int = 12
    clearance_m: float = 0.35
    max_behind: float = 0.1
    width_px: int = 80
    cell_m: float = 0.12


@dataclass(frozen=True, eq=False)
class Proposal:
    """A view worth generating.

    Attributes:
        T_world_camera: float64 [4, 4].
        holes: share of its pixels that show no surface.
        overlap: share that shows known surface.
        score: ``holes`` times how far ``overlap`` goes towards a half.
    """

    T_world_camera: Poses
    holes: float
    overlap: float
    score: float


class Search:
    """The views worth generating, one after the other, while what is generated fills the map.

    What is missing of a view gets less with every other one. So a view is judged again only if nothing that was judged
    since is better than it was when it was judged last (lazy greedy choice, Minoux, 1978); views that were worth
    nothing, because too little was known beside their holes, are looked at again once nothing else is left.
    """

    def __init__(
        self,
        scene: CompletableMap,
        poses: Poses,
        camera: Camera,
        up: NDArray[np.float64],
        settings: ProposalSettings | None = None,
    ) -> None:
        """Finds candidates.

        Args:
            scene: knows free space.
            poses: float64 [N, 4, 4], the cameras so far, ``T_world_camera``.
            camera: of the views, undistorted.
            up: float64 [3], the world's upward axis.
            settings: what a view must be like.

        Raises:
            InputError: no camera so far, or shapes that do not fit.
        """
        self._settings = settings = settings or ProposalSettings()
        if poses.ndim != 3 or poses.shape[1:] != (4, 4) or not len(poses):
            raise InputError(f"poses are {poses.shape}, expected (N, 4, 4) with one camera or more")
        self._camera = camera.of_width(settings.width_px)
        self._candidates = np.concatenate([turned(poses, up, settings), placed(poses, up, scene, settings)])
        self._scores = np.full(len(self._candidates), np.inf)

    def best(self, mesh: Mesh) -> Proposal | None:
        """The view of which most is missing, None where nothing is; neither it nor one like it is named again.

        Args:
            mesh: of the map as it is now.
        """
        coarse = clustered(mesh, self._settings.cell_m)
        best: Proposal | None = None
        for number in np.argsort(-self._scores, kind="stable"):
            if best is not None and best.score >= self._scores[number]:
                break
            found = _judged(coarse, self._camera, self._candidates[number], self._settings)
            self._scores[number] = 0.0 if found is None else found.score
            if found is not None and (best is None or found.score > best.score):
                best = found
        if best is not None:
            kept = [not _near(pose, best.T_world_camera) for pose in self._candidates]
            self._candidates, self._scores = self._candidates[kept], self._scores[kept]
        return best


def turned(poses: Poses, up: NDArray[np.float64], settings: ProposalSettings) -> Poses:
    """Cameras among ``poses``, spread over all, turned in place; float64 [M, 4, 4]."""
    chosen = _spread(poses, settings.cameras)
    turns = [(yaw, 0.0) for yaw in settings.yaws_deg] + [(0.0, pitch) for pitch in settings.pitches_deg]
    return np.stack([_turn(pose, up, yaw, pitch) for pose in chosen for yaw, pitch in turns])


def placed(poses: Poses, up: NDArray[np.float64], scene: CompletableMap, settings: ProposalSettings) -> Poses:
    """Upright cameras at free places as high as the earlier ones, looking all around; float64 [M, 4, 4]."""
    up = up / np.linalg.norm(up)
    cells = scene.free_cells()
    heights = poses[:, :3, 3] @ up
    cells = cells[np.abs(cells @ up - np.median(heights)) <= 0.5 * scene.cell_m + 1e-9]
    reach = settings.clearance_m * _directions()
    cells = cells[scene.is_free(cells[:, None] + reach).all(1)] if len(cells) else cells
    if not len(cells):
        return np.zeros((0, 4, 4))
    places = cells[_farthest_points(cells, poses[:, :3, 3], settings.places)]
    ahead = np.cross(up, poses[0, :3, 0] if abs(poses[0, :3, 0] @ up) < 0.9 else poses[0, :3, 1])
    upright = np.eye(4)
    upright[:3, 2] = ahead / np.linalg.norm(ahead)
    upright[:3, 1] = -up
    upright[:3, 0] = np.cross(upright[:3, 1], upright[:3, 2])
    result = []
    for place in places:
        upright[:3, 3] = place
        result += [_turn(upright, up, yaw, 0.0) for yaw in np.arange(0.0, 360.0, _STEP_DEG)]
    return np.stack(result)


def clustered(mesh: Mesh, cell_m: float) -> Mesh:
    """A coarser mesh: the vertices of a cell become their mean (Rossignac and Borrel, 1993)."""
    if not len(mesh.vertices):
        return mesh
    cells = np.floor(mesh.vertices / cell_m).astype(np.int64)
    _, first, owner = np.unique(packed(cells), return_index=True, return_inverse=True)
    count = np.bincount(owner)[:, None]
    sums = np.stack([np.bincount(owner, mesh.vertices[:, axis].astype(np.float64)) for axis in range(3)], 1)
    corners = owner[mesh.triangles].astype(np.int64)
    corners = corners[(corners != np.roll(corners, 1, axis=1)).all(1)]
    return Mesh(
        (sums / count).astype(np.float32),
        corners[np.unique(packed(corners), return_index=True)[1]].astype(np.int32),
        mesh.colors[first],
        mesh.normals[first],
        mesh.provenance[first],
    )


def _judged(mesh: Mesh, camera: Camera, pose: Poses, settings: ProposalSettings) -> Proposal | None:
    partial = partial_view_of_mesh(mesh, camera, pose)
    overlap = partial.known_share
    holes = 1.0 - overlap - partial.behind_share
    fits = holes >= settings.min_holes and overlap >= settings.min_overlap
    if not fits or partial.behind_share > settings.max_behind:
        return None
    return Proposal(pose, holes, overlap, holes * min(1.0, overlap / _ENOUGH_OVERLAP))


def _turn(pose: Poses, up: NDArray[np.float64], yaw_deg: float, pitch_deg: float) -> Poses:
    """A camera turned about the upward axis (to the left) and about its own right axis (upwards), in place."""
    left = turned_about(pose, up, yaw_deg)
    return turned_about(left, left[:3, 0], pitch_deg)


def _near(pose: Poses, other: Poses) -> bool:
    apart_m = float(np.linalg.norm(pose[:3, 3] - other[:3, 3]))
    return apart_m < _TRIED_M and rotation_angle_deg(pose, other) < _TRIED_DEG


def _spread(poses: Poses, count: int) -> Poses:
    """At most ``count`` cameras, far apart in place and direction, the first one included."""
    features = np.concatenate([poses[:, :3, 3], poses[:, :3, 2]], 1)
    if len(poses) <= count:
        return poses
    return poses[[0, *_farthest_points(features, features[:1], count - 1)]]


def _farthest_points(points: NDArray[np.float64], taken: NDArray[np.float64], count: int) -> list[int]:
    """Again and again the point farthest from all taken (Gonzalez, 1985); rows of ``points``, none twice."""
    nearest = np.linalg.norm(points[:, None] - taken[None], axis=2).min(1)
    chosen: list[int] = []
    while len(chosen) < min(count, len(points)):
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
        nearest[chosen] = -1.0
    return chosen


def _directions() -> NDArray[np.float64]:
    """Unit vectors [14, 3]: along the axes and to the corners of a cube."""
    corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3, indexing="ij"), -1).reshape(-1, 3) / np.sqrt(3)
    return np.concatenate([np.eye(3), -np.eye(3), corners])
