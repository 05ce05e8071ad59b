"""Room layout of an image: its classes, what a network of it offers, and what is read off a layout.

Facts of ShowRoom's use of ST-RoomNet (CVPRW 2023): a photo shows a wall from the front where its layout has all five
classes and its front wall lies in the middle.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError

LEAST_SHARE = 5000 / (400 * 400)
"""Of an image's pixels, that a class must have to count as seen."""
CLASSES_SEEN = 5
"""A front view shows so many classes at least; NONE is none."""
OFF_CENTRE = 0.25
"""Of the width and of the height: how far the middle of the front wall may be from the middle of the image."""


class LayoutClass(IntEnum):
    """What a pixel shows of the room's box."""

    NONE = 0
    FRONT_WALL = 1
    LEFT_WALL = 2
    RIGHT_WALL = 3
    FLOOR = 4
    CEILING = 5


class LayoutNetwork(Protocol):
    """Tells walls, floor and ceiling apart; ``layout_torch.RoomLayout`` implements it.

    Attributes:
        name: for reports.
    """

    name: str

    def classes(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``LayoutClass`` of every pixel, uint8 [H, W], of an image uint8 [H, W, 3], RGB.

        Raises:
            InputError: no such image.
        """
        ...


class WallAreas(NamedTuple):
    """Shares of an image's pixels that show the walls at its sides."""

    left: float
    right: float


def wall_areas(classes: NDArray[np.uint8]) -> WallAreas:
    """How much of an image the left and the right wall take up.

    Raises:
        InputError: no layout.
    """
    check_layout(classes)
    return WallAreas(*(float((classes == kind).mean()) for kind in (LayoutClass.LEFT_WALL, LayoutClass.RIGHT_WALL)))


def is_front_view(classes: NDArray[np.uint8]) -> bool:
    """Whether a photo with this layout looks at a wall from the front.

    All classes have ``LEAST_SHARE`` of the pixels, and the middle of the box around the largest connected piece of
    front wall is within ``OFF_CENTRE`` of the image's middle, across and down.

    Args:
        classes: uint8 [H, W] of ``LayoutClass``.

    Raises:
        InputError: no layout.
    """
    check_layout(classes)
    shares = np.bincount(classes.reshape(-1), minlength=len(LayoutClass)) / classes.size
    if int((shares[1:] >= LEAST_SHARE).sum()) < CLASSES_SEEN:
        return False
    front = (classes == LayoutClass.FRONT_WALL).astype(np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(front, connectivity=8)
    left, top, width, height, _ = boxes[1 + int(np.argmax(boxes[1:, cv2.CC_STAT_AREA]))]  # the first is the rest
    off_x = abs(left + width / 2 - classes.shape[1] / 2) / classes.shape[1]
    off_y = abs(top + height / 2 - classes.shape[0] / 2) / classes.shape[0]
    return bool(off_x <= OFF_CENTRE and off_y <= OFF_CENTRE)


def check_layout(classes: NDArray[np.uint8]) -> None:
    """Raises ``InputError`` unless these are classes of the pixels of an image."""
    if classes.dtype != np.uint8 or classes.ndim != 2 or not classes.size:
        raise InputError(f"the layout is {classes.dtype} {classes.shape}, expected uint8 (H, W)")
    if int(classes.max()) >= len(LayoutClass):
        raise InputError(f"the layout has class {int(classes.max())}, expected 0 to {len(LayoutClass) - 1}")
