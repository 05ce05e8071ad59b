"""What ``demo`` and ``reconstruct`` compare a mesh with, and the report both write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from showroom_ros.errors import InputError, ShowroomError
from showroom_ros.evaluation.color import reprojected_color_error
from showroom_ros.evaluation.mesh import evaluate_mesh
from showroom_ros.evaluation.pictures import Picture, error_picture, overview_pictures, room_axes, up_direction
from showroom_ros.evaluation.report import write_report
from showroom_ros.evaluation.visibility import VisibilityMask
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import Matrix
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import SensorFrame, Sequence, View
from showroom_ros.settings import MapSettings, Settings, to_dict

_VISIBILITY_VIEWS = 150
_PICTURED_VIEWS = 4
_COMPARED_VIEWS = 12


def true_mesh(sequence: Sequence) -> Mesh | None:
    """The exact mesh, where the sequence knows it."""
    return getattr(sequence, "mesh", None)


def visible_part(sequence: Sequence, truth: Mesh, settings: MapSettings) -> VisibilityMask:
    """What of the true mesh the depth camera could see, judged by at most 150 frames evenly spread."""
    frames = (sequence.frame(index) for index in spread(len(sequence), _VISIBILITY_VIEWS))
    return VisibilityMask.from_views(
        (depth_camera_pose(frame) for frame in frames if frame.T_world_camera is not None),
        truth,
        min_depth_m=settings.min_depth_m,
        max_depth_m=settings.max_depth_m,
    )


def depth_camera_pose(frame: SensorFrame) -> tuple[Camera, Matrix]:
    """Undistorted camera and ``T_world_camera`` of the sensor that measured depth.

    Raises:
        InputError: the frame has no pose.
    """
    if frame.T_world_camera is None:
        raise InputError(f"frame {frame.stamp_ns} has no pose")
    camera = (frame.depth_camera or frame.color_camera).without_distortion()
    return camera, frame.T_world_camera if frame.T_color_depth is None else frame.T_world_camera @ frame.T_color_depth


def geometry_scores(mesh: Mesh, sequence: Sequence, settings: Settings) -> dict[str, Any]:
    """Scores against the exact mesh on the surface the cameras saw; nothing where no truth is known."""
    truth = true_mesh(sequence)
    if truth is None:
        return {}
    return evaluate_mesh(mesh, truth, visible=visible_part(sequence, truth, settings.map)).to_dict()


def color_scores(mesh: Mesh, views: list[View]) -> dict[str, Any]:
    """How the mesh's colours meet these frames."""
    return {"color_reprojection": reprojected_color_error(mesh, views).to_dict()}


def some_views(sequence: Sequence, count: int = _COMPARED_VIEWS, indices: list[int] | None = None) -> list[View]:
    """Posed, readable views evenly spread over the sequence (or over ``indices`` of it)."""
    pool = list(range(len(sequence))) if indices is None else indices
    views = []
    for position in spread(len(pool), count):
        try:
            view = sequence[pool[position]]
        except ShowroomError:
            continue
        if view.T_world_camera is not None:
            views.append(view)
    return views


def spread(length: int, count: int) -> list[int]:
    """At most ``count`` indices below ``length``, evenly spread."""
    return sorted({int(i) for i in np.linspace(0, length - 1, min(count, length))}) if length else []


def write_map_report(
    report: dict[str, Any], mesh: Mesh, sequence: Sequence, settings: Settings, out: Path, title: str
) -> dict[str, Any]:
    """Draws the pictures and writes ``report.json`` and ``report.html`` below ``out``; returns what was written."""
    views = some_views(sequence, _PICTURED_VIEWS)
    pictures = overview_pictures(mesh, views) if len(mesh.triangles) and views else []
    truth = true_mesh(sequence)
    if truth is not None and pictures:
        axes = room_axes(mesh, up_direction([view.require_pose() for view in views]))
        caption = "Distance of each vertex to the true surface"
        pictures.append(Picture("error", caption, error_picture(mesh, truth, axes)))
    everything = {**report, "settings": to_dict(settings), "data": sequence.name}
    return write_report(out, everything, pictures, title=title)
