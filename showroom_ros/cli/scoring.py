"""What ``demo`` and ``reconstruct`` compare a mesh with."""

from __future__ import annotations

from showroom_ros.evaluation.visibility import VisibilityMask
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import Matrix
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import SensorFrame, Sequence
from showroom_ros.settings import MapSettings

_MAX_VIEWS = 150


def true_mesh(sequence: Sequence) -> Mesh | None:
    """The exact mesh, where the sequence knows it."""
    return getattr(sequence, "mesh", None)


def visible_part(sequence: Sequence, truth: Mesh, settings: MapSettings) -> VisibilityMask:
    """What of the true mesh the depth camera could see: at most 150 of the frames, evenly spread."""
    step = max(1, len(sequence) // _MAX_VIEWS)
    frames = (sequence.frame(index) for index in range(0, len(sequence), step))
    return VisibilityMask.from_views(
        (depth_camera_pose(frame) for frame in frames if frame.T_world_camera is not None),
        truth,
        min_depth_m=settings.min_depth_m,
        max_depth_m=settings.max_depth_m,
    )


def depth_camera_pose(frame: SensorFrame) -> tuple[Camera, Matrix]:
    """Undistorted camera and ``T_world_camera`` of the sensor that measured depth."""
    camera = (frame.depth_camera or frame.color_camera).without_distortion()
    pose = frame.T_world_camera
    assert pose is not None
    return camera, pose if frame.T_color_depth is None else pose @ frame.T_color_depth
