"""The volume as one would write it down: dictionaries, loops and float64. The oracle of the tests, not for use.

Its voxels are not rounded to the integers of ``block_store``, so the engines agree with it only within those.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.se3 import inverse, transform_points
from showroom_ros.scene.block_store import BLOCK_EDGE
from showroom_ros.scene.marching_cubes import EDGES, triangle_table
from showroom_ros.scene.mesh import BlockIndex
from showroom_ros.scene.view import Provenance, View
from showroom_ros.scene.view_pixels import REACH, ray_samples
from showroom_ros.settings import MapSettings


@dataclass
class Voxel:
    """One voxel: signed distance in metres, weight, colour (R, G, B) if ever seen in the band, provenance."""

    distance_m: float = 0.0
    weight: float = 0.0
    color: NDArray[np.float64] | None = None
    provenance: int = Provenance.UNKNOWN


@dataclass
class ReferenceVolume:
    """``volume.TsdfVolume`` without caps, one voxel after the other.

    Attributes:
        settings: voxel size, truncation, ranges.
        blocks: 512 voxels per block position, x fastest.
    """

    settings: MapSettings
    blocks: dict[BlockIndex, list[Voxel]] = field(default_factory=dict)

    def integrate(self, view: View) -> None:
        """Fuses a view with pose and depth."""
        depth = self._valid_depth(view)
        for block in self._near_surface(depth, view):
            self.blocks.setdefault(block, [Voxel() for _ in range(BLOCK_EDGE**3)])
        T_camera_world = inverse(view.require_pose())
        for block, voxels in self.blocks.items():
            for voxel, (k, j, i) in zip(voxels, itertools.product(range(BLOCK_EDGE), repeat=3), strict=True):
                point = (np.array(block) * BLOCK_EDGE + (i, j, k)) * self.settings.voxel_size_m
                self._observe(voxel, transform_points(T_camera_world, point), depth, view)

    def put_predicted(self, predicted: dict[BlockIndex, list[Voxel]]) -> None:
        """Replaces all that was not measured in these blocks by a prediction; blocks left empty go."""
        for block, voxels in predicted.items():
            held = self.blocks.setdefault(block, [Voxel() for _ in range(BLOCK_EDGE**3)])
            for n, voxel in enumerate(voxels):
                if held[n].weight == 0 or held[n].provenance != Provenance.MEASURED:
                    held[n] = voxel
            if all(voxel.weight == 0 for voxel in held):
                del self.blocks[block]

    def _valid_depth(self, view: View) -> NDArray[np.float64]:
        depth = view.require_depth().astype(np.float64)
        valid = (depth >= self.settings.min_depth_m) & (depth <= self.settings.max_depth_m) & (depth > 0)
        if view.provenance is not None:
            valid &= (view.provenance > 0) & (view.provenance <= 3)
        slope = np.tan(np.radians(self.settings.max_incidence_deg))
        for v, u in np.argwhere(valid):
            for dv, du, focal in ((0, REACH, view.camera.fx), (REACH, 0, view.camera.fy)):
                neighbours = [(v - dv, u - du), (v + dv, u + du)]
                if all(0 <= row < depth.shape[0] and 0 <= column < depth.shape[1] for row, column in neighbours):
                    steps = [abs(float(view.require_depth()[at]) - depth[v, u]) for at in neighbours]
                    valid[v, u] &= any(step <= REACH * slope * depth[v, u] / focal for step in steps)
        return np.where(valid, depth, np.nan)

    def _near_surface(self, depth: NDArray[np.float64], view: View) -> set[BlockIndex]:
        stride, offsets = ray_samples(self.settings, view)
        camera, found = view.camera, set()
        for v, u in itertools.product(range(0, camera.height, stride), range(0, camera.width, stride)):
            for z in depth[v, u] + offsets:
                if np.isfinite(z):
                    ray = np.array([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1.0])
                    point = transform_points(view.require_pose(), ray * max(z, 0.0))
                    x, y, z_ = np.floor(point / (self.settings.voxel_size_m * BLOCK_EDGE)).astype(int).tolist()
                    found.add((x, y, z_))
        return found

    def _observe(self, voxel: Voxel, point: NDArray[np.float64], depth: NDArray[np.float64], view: View) -> None:
        """Updates one voxel at ``point`` [3] of the camera frame (Curless and Levoy, 1996)."""
        camera, truncation = view.camera, self.settings.truncation_m
        if point[2] <= 1e-3:
            return
        u = int(np.floor(camera.fx * point[0] / point[2] + camera.cx + 0.5))
        v = int(np.floor(camera.fy * point[1] / point[2] + camera.cy + 0.5))
        if not (0 <= u < camera.width and 0 <= v < camera.height):
            return
        distance = depth[v, u] - point[2]
        if not distance >= -truncation or (distance > truncation and not self.settings.carve):
            return
        provenance = Provenance.MEASURED if view.provenance is None else int(view.provenance[v, u])
        weight = 1.0 if view.confidence is None else float(view.confidence[v, u])
        if voxel.weight > 0 and provenance > voxel.provenance:
            return  # the better knowledge stays
        if provenance != voxel.provenance:
            voxel.weight, voxel.color = 0.0, None  # the better knowledge replaces the worse
        share = weight / (voxel.weight + weight)
        voxel.distance_m += (min(distance, truncation) - voxel.distance_m) * share
        if distance < truncation:
            rgb = view.image[v, u].astype(np.float64)
            voxel.color = rgb if voxel.color is None else voxel.color + (rgb - voxel.color) * share
        voxel.weight = min(voxel.weight + weight, self.settings.max_weight)
        voxel.provenance = provenance


def reference_triangles(
    distance: NDArray[np.float64], known: NDArray[np.bool_], voxel_size_m: float
) -> NDArray[np.float64]:
    """Marching cubes cell by cell, float64 [T, 3, 3] metres.

    Args:
        distance: [X, Y, Z], signed distance of each voxel in any unit.
        known: [X, Y, Z], voxels that count.
        voxel_size_m: edge of a voxel; voxel (0, 0, 0) is at the origin.
    """
    counts, table = triangle_table()
    triangles = []
    for cell in itertools.product(*(range(size - 1) for size in distance.shape)):
        corners = [np.array(cell) + np.array([c & 1, c >> 1 & 1, c >> 2]) for c in range(8)]
        values = [distance[tuple(corner)] for corner in corners]
        if not all(known[tuple(corner)] for corner in corners):
            continue
        case = sum(1 << c for c in range(8) if values[c] < 0)
        for triangle in table[case, : counts[case]]:
            points = []
            for edge in triangle:
                a, b = EDGES[edge]
                t = values[a] / (values[a] - values[b])
                points.append((corners[a] + t * (corners[b] - corners[a])) * voxel_size_m)
            triangles.append(points)
    return np.array(triangles, np.float64).reshape(-1, 3, 3)
