"""What ``demo`` and ``reconstruct`` compare a mesh with, and the report both write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from showroom_ros.errors import InputError, ShowroomError
from showroom_ros.evaluation.color import reprojected_color_error
from showroom_ros.evaluation.mesh import evaluate_mesh
from showroom_ros.evaluation.pictures import Picture, error_picture, overview_pictures, room_axes, up_direction
from showroom_ros.evaluation.report import write_report
from showroom_ros.evaluation.visibility import VisibilityMask
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import Matrix
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.spread import evenly_spread
from showroom_ros.scene.view import Sequence, View
from showroom_ros.settings import MapSettings, Settings, to_dict

VISIBILITY_VIEWS = 150
_PICTURED_VIEWS = 4
_COMPARED_VIEWS = 12


def true_mesh(sequence: Sequence) -> Mesh | None:
    """The sequence's true mesh; None where it knows none, or its file is absent."""
    find = getattr(sequence, "ground_truth_mesh", None)
    return None if find is None else find()


def visible_part(sequence: Sequence, settings: MapSettings, truth: Mesh | None = None) -> VisibilityMask:
    """What of the true mesh the depth camera could see, judged by at most 150 frames evenly spread.

    Args:
        sequence: the recording.
        settings: give the range of the depth camera.
        truth: the true mesh; None = the sequence's own.

    Raises:
        InputError: the sequence has no posed frame, or there is no true mesh.
    """
    truth = true_mesh(sequence) if truth is None else truth
    if truth is None:
        raise InputError(f"{sequence.name}: has no true mesh")
    return VisibilityMask.from_views(
        _depth_cameras(sequence),
        truth,
        min_depth_m=settings.min_depth_m,
        max_depth_m=settings.max_depth_m,
    )


def geometry_scores(mesh: Mesh, sequence: Sequence, settings: Settings) -> dict[str, Any]:
    """Scores against the true mesh on the surface the cameras saw; nothing where no truth is known."""
    truth = true_mesh(sequence)
    if truth is None:
        return {}
    return evaluate_mesh(mesh, truth, visible=visible_part(sequence, settings.map, truth)).to_dict()


def color_scores(mesh: Mesh, views: list[View]) -> dict[str, Any]:
    """How the mesh's colours meet these frames."""
    return {"color_reprojection": reprojected_color_error(mesh, views).to_dict()}


def some_views(sequence: Sequence, count: int = _COMPARED_VIEWS, indices: list[int] | None = None) -> list[View]:
    """Posed, readable views evenly spread over the sequence (or over ``indices`` of it)."""
    pool = list(range(len(sequence))) if indices is None else indices
    views = []
    for position in evenly_spread(len(pool), count):
        try:
            view = sequence[pool[position]]
        except ShowroomError:
            continue
        if view.T_world_camera is not None:
            views.append(view)
    return views


def map_pictures(mesh: Mesh, views: list[View], truth: Mesh | None) -> list[Picture]:
    """The mesh from outside, above and inside, and its distance to the true one; nothing for an empty mesh."""
    if not len(mesh.triangles) or not views:
        return []
    pictures = overview_pictures(mesh, views)
    if truth is not None:
        axes = room_axes(mesh, up_direction([view.require_pose() for view in views]))
        caption = "Distance of each vertex to the true surface"
        pictures.append(Picture("error", caption, error_picture(mesh, truth, axes)))
    return pictures


def write_map_report(
    report: dict[str, Any], mesh: Mesh, sequence: Sequence, settings: Settings, out: Path, title: str
) -> dict[str, Any]:
    """Draws the pictures and writes ``report.json`` and ``report.html`` below ``out``; returns what was written."""
    pictures = map_pictures(mesh, some_views(sequence, _PICTURED_VIEWS), true_mesh(sequence))
    everything = {**report, "settings": to_dict(settings), "data": sequence.name}
    return write_report(out, everything, pictures, title=title)


def _depth_cameras(sequence: Sequence) -> Iterator[tuple[Camera, Matrix]]:
    """Undistorted camera and ``T_world_camera`` of the depth camera, of the colour camera where that is all known."""
    of_depth = getattr(sequence, "depth_camera_pose", None)
    if of_depth is not None:
        yield from (of_depth(index) for index in evenly_spread(len(sequence), VISIBILITY_VIEWS))
    else:
        yield from ((view.camera, view.require_pose()) for view in some_views(sequence, VISIBILITY_VIEWS))
