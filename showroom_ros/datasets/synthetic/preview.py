"""Pictures of rooms to look at: one good view of each, and many side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from showroom_ros.datasets.synthetic.renderer import Renderer
from showroom_ros.datasets.synthetic.room import Room, make_room
from showroom_ros.datasets.synthetic.sensor import develop
from showroom_ros.datasets.synthetic.splits import settings_of
from showroom_ros.datasets.synthetic.walkable import WalkableSpace
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]

_EYE_M = 1.45
_DIRECTIONS = 12
_BUILT_IN = {"wall", "floor", "ceiling", "skirting", "wainscot", "coving", "beam", "picture", "doorway", "sill"}
_BUILT_IN |= {"window", "curtain", "door"}


def contact_sheet_views(
    seeds: Iterable[int], assets: Path | None = None, width: int = 480, height: int = 360, device: str = "cpu"
) -> list[tuple[str, Picture]]:
    """A title and a good view uint8 [H, W, 3] RGB of the room each seed means in the public split.

    Raises:
        InputError: a seed in no split, or an unknown device.
        DatasetError: ``assets`` is no folder of models.
    """
    views = []
    for seed in seeds:
        room = make_room(seed, settings_of(seed, assets), device)
        kinds = " + ".join(plan.kind for plan in room.plan.rooms)
        views.append((f"{seed}: {kinds}", good_view(room, width, height, device)))
    return views


def good_view(room: Room, width: int = 480, height: int = 360, device: str = "cpu") -> Picture:
    """What a camera at a well chosen place sees, uint8 [H, W, 3] RGB."""
    renderer = Renderer(room, device)
    camera = Camera(width, height, 0.62 * width, 0.62 * width, (width - 1) / 2, (height - 1) / 2)
    rendering = renderer.render(camera, good_pose(room, renderer))
    assert rendering.radiance is not None
    return develop(rendering.radiance * room.exposure).cpu().numpy()


def good_pose(room: Room, renderer: Renderer) -> Array:
    """A pose ``T_world_camera`` [4, 4] from which much of the room is seen: many things, far walls, nothing near."""
    camera = Camera(40, 30, 24.8, 24.8, 19.5, 14.5)
    best, chosen = -np.inf, np.eye(4)
    for x, y in WalkableSpace(room.plan, room.furniture, 0.3).spread(10):
        for angle in np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS:
            eye = np.array([x, y, _EYE_M])
            pose = look_at(eye, eye + np.array([np.cos(angle), np.sin(angle), -0.22]))
            value = _interest(room, renderer, camera, pose)
            if value > best:
                best, chosen = value, pose
    return chosen


def _interest(room: Room, renderer: Renderer, camera: Camera, pose: Array) -> float:
    view = renderer.render(camera, pose, shaded=False)
    depth = view.depth.cpu().numpy()
    numbers, counts = np.unique(view.instances.cpu().numpy(), return_counts=True)
    things = sum(
        min(count, 30) ** 0.5
        for number, count in zip(numbers, counts, strict=True)
        if number >= 0 and room.categories[number] not in _BUILT_IN
    )
    return things + 5.0 * float(np.minimum(depth, 4.0).mean()) - 90.0 * float((depth < 1.25).mean())


def tiled(views: list[tuple[str, Picture]], columns: int = 4, gap_px: int = 4) -> Picture:
    """Views of one size side by side in rows, uint8 [H, W, 3]; titles are left to whoever can write."""
    height, width = views[0][1].shape[:2]
    rows = -(-len(views) // columns)
    sheet = np.full((rows * (height + gap_px) - gap_px, columns * (width + gap_px) - gap_px, 3), 255, np.uint8)
    for number, (_, picture) in enumerate(views):
        row, column = divmod(number, columns)
        top, left = row * (height + gap_px), column * (width + gap_px)
        sheet[top : top + height, left : left + width] = picture
    return sheet
