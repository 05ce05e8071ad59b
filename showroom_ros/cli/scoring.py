"""What ``demo`` and ``reconstruct`` compare a mesh with, and the report both write."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from showroom_ros.errors import ShowroomError
from showroom_ros.evaluation.color import reprojected_color_error
from showroom_ros.evaluation.mesh import evaluate_mesh
from showroom_ros.evaluation.pictures import Picture, error_picture, overview_pictures, room_axes, up_direction
from showroom_ros.evaluation.report import write_report
from showroom_ros.evaluation.visibility import VisibilityMask
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import Matrix
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Sequence, View
from showroom_ros.settings import MapSettings, Settings, to_dict

_VISIBILITY_VIEWS = 150
_PICTURED_VIEWS = 4
_COMPARED_VIEWS = 12


class KnownRoom(Protocol):
    """A sequence that knows the truth: its exact mesh, and where the depth camera was."""

    mesh: Mesh

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def depth_camera_pose(self, index: int) -> tuple[Camera, Matrix]:
        """The undistorted camera that measured depth and its ``T_world_camera`` [4, 4]."""
        ...


def known_room(sequence: Sequence) -> KnownRoom | None:
    """The sequence, where it knows the truth."""
    return cast(KnownRoom, sequence) if hasattr(sequence, "mesh") else None


def visible_part(room: KnownRoom, settings: MapSettings) -> VisibilityMask:
    """What of the true mesh the depth camera could see, judged by at most 150 frames evenly spread."""
    return VisibilityMask.from_views(
        (room.depth_camera_pose(index) for index in spread(len(room), _VISIBILITY_VIEWS)),
        room.mesh,
        min_depth_m=settings.min_depth_m,
        max_depth_m=settings.max_depth_m,
    )


def geometry_scores(mesh: Mesh, sequence: Sequence, settings: Settings) -> dict[str, Any]:
    """Scores against the exact mesh on the surface the cameras saw; nothing where no truth is known."""
    room = known_room(sequence)
    if room is None:
        return {}
    return evaluate_mesh(mesh, room.mesh, visible=visible_part(room, settings.map)).to_dict()


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
    room = known_room(sequence)
    if room is not None and pictures:
        axes = room_axes(mesh, up_direction([view.require_pose() for view in views]))
        caption = "Distance of each vertex to the true surface"
        pictures.append(Picture("error", caption, error_picture(mesh, room.mesh, axes)))
    everything = {**report, "settings": to_dict(settings), "data": sequence.name}
    return write_report(out, everything, pictures, title=title)
