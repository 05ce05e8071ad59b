"""A pair of frames that depth beyond what another view saw is judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from showroom_ros.evaluation.completion import RenderedDepth
from showroom_ros.geometry.camera import Camera


@dataclass(frozen=True, eq=False)
class Pair:
    """What a method gets of two frames, and the truth.

    Attributes:
        first: number of the frame whose surface is known.
        second: number of the frame that is to be completed.
        image: of the second frame, uint8 [H, W, 3], RGB; None where it is missing.
        depth: of the second frame, float32 [H, W], metres, NaN unknown.
        camera: of the second frame, undistorted.
        rendered: what the second frame sees of the first one's surface.
    """

    first: int
    second: int
    image: NDArray[np.uint8] | None
    depth: NDArray[np.float32]
    camera: Camera
    rendered: RenderedDepth
