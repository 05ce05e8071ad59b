"""Photos of a place without poses, and what a network is given of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import checked_pose
from showroom_ros.scene.rectification import undistort_depth, undistort_image

SAME_PHOTO = 1.0
"""Mean difference of grey levels (of 255), at 32x32 pixels, up to which two photos count as one."""


@dataclass(frozen=True, eq=False)
class Photo:
    """An image, and what else is known of it.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        camera: intrinsics and lens; None = not known.
        T_world_camera: float64 [4, 4]; None = not known.
        depth: float32 [H, W], measured, metres, NaN unknown; None = not known. Needs ``camera``.
        name: for messages.
        stamp_ns: time of exposure in nanoseconds.
    """

    image: NDArray[np.uint8]
    camera: Camera | None = None
    T_world_camera: NDArray[np.float64] | None = None
    depth: NDArray[np.float32] | None = None
    name: str = "photo"
    stamp_ns: int = 0

    def __post_init__(self) -> None:
        """Checks shapes and the pose.

        Raises:
            InputError: names the photo, the field and what was expected.
        """
        shape = self.image.shape
        if self.image.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or not self.image.size:
            raise InputError(f"{self.name}: image is {self.image.dtype} {shape}, expected uint8 (H, W, 3)")
        if self.camera is not None and (self.camera.height, self.camera.width) != shape[:2]:
            raise InputError(
                f"{self.name}: image is {shape[1]}x{shape[0]}, its camera is {self.camera.width}x{self.camera.height}"
            )
        if self.depth is not None and (self.camera is None or self.depth.shape != shape[:2]):
            raise InputError(f"{self.name}: depth is {self.depth.shape}, expected {shape[:2]} and a camera")
        if self.T_world_camera is not None:
            object.__setattr__(
                self, "T_world_camera", checked_pose(self.T_world_camera, f"{self.name}: T_world_camera")
            )


class Prepared(NamedTuple):
    """A photo as a network sees it.

    Attributes:
        image: uint8 [h, w, 3], sides multiples of the patch.
        camera: of ``image``, undistorted; None = not known.
        depth: float32 [h, w], measured, metres, NaN unknown; None = not known.
        photo_size: width and height of the photo.
        scaled_size: of the photo before its middle was cut out.
    """

    image: NDArray[np.uint8]
    camera: Camera | None
    depth: NDArray[np.float32] | None
    photo_size: tuple[int, int]
    scaled_size: tuple[int, int]

    def photo_camera(self, camera: Camera) -> Camera:
        """The pinhole of the whole photo, of that of ``image``."""
        left, top = ((whole - cut) // 2 for whole, cut in zip(self.scaled_size, self.image.shape[1::-1], strict=True))
        columns, rows = self.scaled_size
        return Camera(columns, rows, camera.fx, camera.fy, camera.cx + left, camera.cy + top).scaled(*self.photo_size)


def prepared(photo: Photo, long_side: int, patch: int) -> Prepared:
    """A photo without lens distortion, its longer side brought to ``long_side`` pixels, the middle cut to patches.

    Raises:
        InputError: so long and narrow that no patch fits.
    """
    image, camera, depth = photo.image, photo.camera, photo.depth
    if camera is not None and camera.is_distorted:
        depth = None if depth is None else undistort_depth(depth, camera)
        image, camera = undistort_image(image, camera), camera.without_distortion()
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
    cut = columns // patch * patch, rows // patch * patch
    if not all(cut):
        raise InputError(
            f"{photo.name}: {width}x{height} pixels, at {columns}x{rows} expected sides of {patch} or more"
        )
    left, top = (columns - cut[0]) // 2, (rows - cut[1]) // 2
    window = np.s_[top : top + cut[1], left : left + cut[0]]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = np.asarray(cv2.resize(image, (columns, rows), interpolation=way), np.uint8)[window]
    if camera is not None:
        camera = camera.scaled(columns, rows).cropped(left, top, *cut)
    if depth is not None:
        depth = np.asarray(cv2.resize(depth, (columns, rows), interpolation=cv2.INTER_NEAREST), np.float32)[window]
    return Prepared(np.ascontiguousarray(small), camera, depth, (width, height), (columns, rows))


def duplicates(photos: Sequence[Photo]) -> dict[int, int]:
    """Photos that show the same as an earlier one, pixel by pixel: ``{number: number of the earlier}``."""
    tiny = [
        cv2.resize(cv2.cvtColor(photo.image, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA).astype(int)
        for photo in photos
    ]
    found: dict[int, int] = {}
    for number, picture in enumerate(tiny):
        for earlier in range(number):
            same_size = photos[earlier].image.shape == photos[number].image.shape
            if earlier not in found and same_size and np.abs(picture - tiny[earlier]).mean() < SAME_PHOTO:
                found[number] = earlier
                break
    return found
