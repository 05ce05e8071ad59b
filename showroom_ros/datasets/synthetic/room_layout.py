"""Room layout as pictures are labelled with it: front, left and right wall, floor and ceiling.

Which wall is the front wall depends on where one looks from: walls are told apart by their normals in
the camera's frame. Classes and their numbers follow the room-layout literature (Lin et al., "Indoor
scene layout estimation from a single image", ICPR 2018; ST-RoomNet, CVPRW 2023).
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor

from showroom_ros.datasets.synthetic.room import Layout


class LayoutClass(IntEnum):
    """What a pixel shows of the room's box."""

    NONE = 0
    FRONT_WALL = 1
    LEFT_WALL = 2
    RIGHT_WALL = 3
    FLOOR = 4
    CEILING = 5


def wall_side(normals_camera: Tensor) -> Tensor:
    """Which side a wall is on, by its normal.

    A wall whose normal points back along the optical axis more than to a side is the front wall; one whose
    normal points to the right (+x) is on the left.

    Args:
        normals_camera: float [..., 3], towards free space, OpenCV camera frame.

    Returns:
        uint8 [...] of ``LayoutClass``: FRONT_WALL, LEFT_WALL or RIGHT_WALL.
    """
    x, z = normals_camera[..., 0], normals_camera[..., 2]
    side = torch.where(x > 0, int(LayoutClass.LEFT_WALL), int(LayoutClass.RIGHT_WALL))
    return torch.where(-z >= x.abs(), int(LayoutClass.FRONT_WALL), side).to(torch.uint8)


def layout_classes(layout: Tensor, normals_camera: Tensor) -> Tensor:
    """The picture's layout classes.

    Args:
        layout: [...] of ``room.Layout``.
        normals_camera: float [..., 3], as for ``wall_side``; only looked at where the layout is WALL.

    Returns:
        uint8 [...] of ``LayoutClass``; NONE on objects and where nothing was met.
    """
    classes = torch.zeros_like(layout, dtype=torch.uint8)
    classes[layout == int(Layout.FLOOR)] = int(LayoutClass.FLOOR)
    classes[layout == int(Layout.CEILING)] = int(LayoutClass.CEILING)
    return torch.where(layout == int(Layout.WALL), wall_side(normals_camera), classes)
