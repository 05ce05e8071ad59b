"""What fills a hole in an image and what fills a hole in depth; backends implement these."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera


class Inpainter(Protocol):
    """Gives colour to pixels that have none.

    Attributes:
        name: for reports, such as ``small`` or ``telea``.
    """

    name: str

    def inpaint(
        self, image: NDArray[np.uint8], known: NDArray[np.bool_], *, prompt: str = "", seed: int = 0
    ) -> NDArray[np.uint8]:
        """The image with every pixel filled; known pixels are returned bit for bit.

        Args:
            image: uint8 [H, W, 3], RGB; anything where not known.
            known: bool [H, W].
            prompt: what the scene is, for backends that read.
            seed: of whatever the backend does at random.

        Raises:
            InputError: nothing is known, or sizes that do not fit.
        """
        ...


class DepthCompleter(Protocol):
    """Gives depth to pixels that have none.

    Attributes:
        name: for reports, such as ``small`` or ``nearest``.
        needs_depth: whether it can say nothing of an image without any depth.
    """

    name: str
    needs_depth: bool

    def complete(self, image: NDArray[np.uint8], depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
        """Planar depth float32 [H, W] in metres, known everywhere; pixels that had depth keep it bit for bit.

        Args:
            image: uint8 [H, W, 3], RGB, all known.
            depth: float32 [H, W], metres, NaN unknown.
            camera: of both, without distortion.

        Raises:
            InputError: sizes that do not fit, depth that is not positive, or none where ``needs_depth``.
        """
        ...


def check_image_and_mask(image: NDArray[np.uint8], known: NDArray[np.bool_]) -> None:
    """Raises ``InputError`` unless these are an RGB image and a mask of its size that knows something."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"the image is {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
    if known.dtype != np.bool_ or known.shape != image.shape[:2]:
        raise InputError(f"the mask is {known.dtype} {known.shape}, expected bool {image.shape[:2]}")
    if not known.any():
        raise InputError("no pixel of the image is known, expected some to go on from")


def check_image_and_depth(
    image: NDArray[np.uint8], depth: NDArray[np.float32], camera: Camera, *, needs_depth: bool
) -> None:
    """Raises ``InputError`` unless these are an RGB image and depth of its camera's size, positive where known."""
    size = (camera.height, camera.width)
    if image.dtype != np.uint8 or image.shape != (*size, 3):
        raise InputError(f"the image is {image.dtype} {image.shape}, expected uint8 {(*size, 3)} of its camera")
    if depth.dtype != np.float32 or depth.shape != size:
        raise InputError(f"depth is {depth.dtype} {depth.shape}, expected float32 {size} of its camera")
    if camera.is_distorted:
        raise InputError("depth completion needs an undistorted camera; use camera.without_distortion()")
    known = np.isfinite(depth)
    if known.any() and float(depth[known].min()) <= 0:
        raise InputError(f"depth goes down to {float(depth[known].min()):g} m, expected above 0, NaN where unknown")
    if needs_depth and not known.any():
        raise InputError("no pixel has depth, expected some to go on from")
