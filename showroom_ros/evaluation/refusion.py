"""A predicted mesh rendered into the frames of a recording and fused again: protocols A and B see it so."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.render import render_mesh
from showroom_ros.geometry.se3 import checked_pose
from showroom_ros.scene.block_store import TSDF_UNITS, WEIGHT_UNITS
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance, View
from showroom_ros.scene.volume import TsdfVolume, Voxels
from showroom_ros.settings import MapSettings

VOXEL_SIZE_M = 0.04
TRUNCATION_M = 0.12
"""Three voxels."""

NO_LIMIT_M = 100.0


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a camera was, and what it measured.

    Attributes:
        camera: undistorted.
        T_world_camera: float64 [4, 4].
        depth: float32 [H, W] metres, NaN unknown; None where it does not matter.

    Raises:
        InputError: a pose that is none, or a depth of another size than the camera's.
    """

    camera: Camera
    T_world_camera: NDArray[np.float64]
    depth: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Checks pose and size."""
        object.__setattr__(self, "T_world_camera", checked_pose(self.T_world_camera, "T_world_camera of a frame"))
        if self.depth is not None and self.depth.shape != (self.camera.height, self.camera.width):
            raise InputError(f"depth is {self.depth.shape[::-1]}, its camera {self.camera.width}x{self.camera.height}")


def light_frame(view: View, width_px: int, *, with_depth: bool) -> Frame:
    """The frame of a posed view, at every n-th pixel where it is wider than ``width_px``; without its image.

    Without depth, its own or because none is wanted, it keeps its size.
    """
    if not with_depth or view.depth is None:
        return Frame(view.camera, view.require_pose())
    step = max(1, view.camera.width // width_px)
    depth: NDArray[np.float32] = np.ascontiguousarray(view.depth[::step, ::step])
    camera = view.camera.__class__(
        depth.shape[1], depth.shape[0],
        view.camera.fx / step, view.camera.fy / step, view.camera.cx / step, view.camera.cy / step,
    )  # fmt: skip
    return Frame(camera, view.require_pose(), depth)


def render_depth(mesh: Mesh, camera: Camera, T_world_camera: NDArray[np.float64]) -> NDArray[np.float32]:
    """Planar depth of the mesh, float32 [H, W] metres, NaN where nothing is; both sides of a triangle are seen.

    Both sides, because data sets whose images are mirrored (fy < 0 in ICL-NUIM) turn the triangles round.
    """
    return render_mesh(mesh.vertices, mesh.triangles, camera, T_world_camera).depth


def fuse_again(
    mesh: Mesh,
    frames: Sequence[Frame],
    *,
    walls: Literal["one wall", "two walls"] = "one wall",
    max_depth_m: float = NO_LIMIT_M,
    only_where: Mesh | None = None,
    voxel_size_m: float = VOXEL_SIZE_M,
    truncation_m: float = TRUNCATION_M,
) -> Mesh:
    """Renders ``mesh`` into every frame and fuses these depths into a new mesh.

    With two walls, voxels no frame saw count as free space (Atlas fuses so): behind every surface, where the
    truncation ends, a second one appears. With one wall they are left out.

    Args:
        mesh: to be rendered, world frame.
        frames: cameras and poses; their own depth is not used.
        walls: see above.
        max_depth_m: farther depth is not fused.
        only_where: depth is removed at pixels where this mesh renders nothing; None = nowhere.
        voxel_size_m: edge of a voxel.
        truncation_m: truncation of the signed distance.

    Returns:
        The new mesh; empty where no frame sees anything.
    """
    two = walls == "two walls"
    settings = MapSettings(
        voxel_size_m=voxel_size_m,
        truncation_m=truncation_m,
        min_depth_m=0.01,
        max_depth_m=max_depth_m,
        max_incidence_deg=90.0,
        max_weight=1000.0,
        carve=not two,
    )
    volume = TsdfVolume(settings)
    for view in _rendered(mesh, frames, only_where):
        volume.integrate(view)
    if not two:
        return volume.extract_mesh()
    filled = TsdfVolume(settings)
    filled.insert(_unseen_is_free(volume.voxels()))
    return filled.extract_mesh()


def _rendered(mesh: Mesh, frames: Sequence[Frame], only_where: Mesh | None) -> Iterator[View]:
    for frame in frames:
        depth = render_depth(mesh, frame.camera, frame.T_world_camera)
        if only_where is not None:
            depth[np.isnan(render_depth(only_where, frame.camera, frame.T_world_camera))] = np.nan
        grey = np.full((*depth.shape, 3), 128, np.uint8)
        yield View(grey, frame.camera, depth, T_world_camera=frame.T_world_camera)


def _unseen_is_free(voxels: Voxels) -> Voxels:
    """The blocks and those around them, with every voxel that has no weight a seen voxel of free space."""
    steps = np.array([step for step in itertools.product((-1, 0, 1), repeat=3) if any(step)], np.int32)
    around = np.unique((voxels.position[:, None] + steps).reshape(-1, 3), axis=0)
    known = {tuple(position) for position in voxels.position.tolist()}
    new = np.array([position for position in around.tolist() if tuple(position) not in known], np.int32).reshape(-1, 3)
    seen_once = np.uint16(WEIGHT_UNITS << 2 | Provenance.MEASURED)
    unseen = voxels.weight >> 2 == 0
    free = (len(new), voxels.tsdf.shape[1])
    return Voxels(
        np.concatenate([voxels.position, new]),
        np.concatenate([np.where(unseen, np.int16(TSDF_UNITS), voxels.tsdf), np.full(free, TSDF_UNITS, np.int16)]),
        np.concatenate([np.where(unseen, seen_once, voxels.weight), np.full(free, seen_once)]),
        np.concatenate([voxels.color, np.zeros(free, np.uint32)]),
    )
