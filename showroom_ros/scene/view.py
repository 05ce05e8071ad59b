"""View, the currency of this package, and what a sensor delivers before it is one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import checked_pose

MAX_PLAUSIBLE_DEPTH_M = 100.0
"""Depth whose median is beyond this was read in the wrong unit (millimetres taken for metres)."""


class Provenance(IntEnum):
    """Where a surface element comes from; the lower value wins wherever two meet."""

    UNKNOWN = 0
    MEASURED = 1
    PREDICTED = 2
    GENERATED = 3


@dataclass(frozen=True, eq=False)
class View:
    """One image of the scene and what is known of its geometry, checked on construction.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        camera: undistorted pinhole of ``image``, ``depth`` and the other planes.
        depth: float32 [H, W], planar depth in metres, NaN unknown; or None.
        provenance: uint8 [H, W] of ``Provenance`` per depth pixel; None means MEASURED throughout.
        confidence: float32 [H, W] in [0, 1]; or None.
        T_world_camera: float64 [4, 4], maps camera points to the world; None for unposed views.
        stamp_ns: time of exposure in nanoseconds.
        frame_id: the camera's optical frame.

    Raises:
        InputError: names the field and what was expected of it.
    """

    image: NDArray[np.uint8]
    camera: Camera
    depth: NDArray[np.float32] | None = None
    provenance: NDArray[np.uint8] | None = None
    confidence: NDArray[np.float32] | None = None
    T_world_camera: NDArray[np.float64] | None = None
    stamp_ns: int = 0
    frame_id: str = "camera_color_optical_frame"

    def __post_init__(self) -> None:
        """Checks shapes, dtypes, the pose and the depth's unit."""
        check_image(self.image, self.camera, "image")
        if self.camera.is_distorted:
            raise InputError("View.camera has lens distortion; undistort the image first")
        for name, dtype in (("depth", np.float32), ("provenance", np.uint8), ("confidence", np.float32)):
            check_plane(getattr(self, name), self.camera, dtype, name)
        check_depth_unit(self.depth)
        if self.T_world_camera is not None:
            object.__setattr__(self, "T_world_camera", checked_pose(self.T_world_camera, "T_world_camera"))

    def require_depth(self) -> NDArray[np.float32]:
        """``depth``, or an ``InputError`` where there is none."""
        if self.depth is None:
            raise InputError(f"the view of stamp {self.stamp_ns} has no depth")
        return self.depth

    def require_pose(self) -> NDArray[np.float64]:
        """``T_world_camera``, or an ``InputError`` where there is none."""
        if self.T_world_camera is None:
            raise InputError(f"the view of stamp {self.stamp_ns} has no pose")
        return self.T_world_camera


@dataclass(frozen=True, eq=False)
class SensorFrame:
    """What the cameras delivered at one instant, before undistortion and registration.

    Attributes:
        image: uint8 [Hc, Wc, 3], RGB, as the lens made it.
        color_camera: its intrinsics and distortion.
        depth: float32 [Hd, Wd] metres, NaN unknown; or None.
        depth_camera: intrinsics of ``depth``; None means it is registered to the colour image.
        T_color_depth: float64 [4, 4], maps depth-camera points to the colour camera; None = identity.
        T_world_camera: float64 [4, 4] pose of the colour camera; None = unknown.
        stamp_ns: time of the colour image.
        frame_id: the colour camera's optical frame.
    """

    image: NDArray[np.uint8]
    color_camera: Camera
    depth: NDArray[np.float32] | None = None
    depth_camera: Camera | None = None
    T_color_depth: NDArray[np.float64] | None = None
    T_world_camera: NDArray[np.float64] | None = None
    stamp_ns: int = 0
    frame_id: str = "camera_color_optical_frame"

    def __post_init__(self) -> None:
        """Checks shapes, dtypes, calibration and the depth's unit."""
        check_image(self.image, self.color_camera, "colour image")
        if self.depth is not None and self.depth_camera is None and self.depth.shape != self.image.shape[:2]:
            raise InputError(
                f"colour is {self.image.shape[1]}x{self.image.shape[0]} and depth {self.depth.shape[1]}x"
                f"{self.depth.shape[0]}: different sizes need a camera_info for the depth stream"
            )
        check_plane(self.depth, self.depth_camera or self.color_camera, np.float32, "depth image")
        check_depth_unit(self.depth)
        for name in ("T_color_depth", "T_world_camera"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, checked_pose(getattr(self, name), name))


@runtime_checkable
class Sequence(Protocol):
    """An indexable recording: data sets, bags and synthetic rooms alike."""

    name: str

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def __getitem__(self, index: int) -> View:
        """The frame as a ``View``: undistorted, depth registered to colour."""
        ...

    def frame(self, index: int) -> SensorFrame:
        """The frame as the sensor delivered it."""
        ...


def check_image(image: NDArray[np.uint8], camera: Camera, name: str) -> None:
    """Raises ``InputError`` unless ``image`` is uint8 [H, W, 3] of the camera's size and not empty."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"{name} is {found}, expected uint8 (H, W, 3)")
    _check_size(image.shape, camera, name)


def check_plane(plane: NDArray | None, camera: Camera, dtype: type, name: str) -> None:
    """Raises ``InputError`` unless ``plane`` is None or [H, W] of ``dtype`` and the camera's size."""
    if plane is None:
        return
    if not isinstance(plane, np.ndarray) or plane.dtype != dtype or plane.ndim != 2:
        found = f"{plane.dtype} {plane.shape}" if isinstance(plane, np.ndarray) else type(plane).__name__
        raise InputError(f"{name} is {found}, expected {np.dtype(dtype).name} (H, W)")
    _check_size(plane.shape, camera, name)


def check_depth_unit(depth: NDArray[np.float32] | None) -> None:
    """Raises ``InputError`` when a depth image is in another unit than metres; all-unknown is allowed."""
    if depth is None or not depth.size:
        return
    sample = depth[::4, ::4]
    sample = sample[sample > 0]
    if sample.size and float(np.median(sample)) > MAX_PLAUSIBLE_DEPTH_M:
        raise InputError(
            f"depth has a median of {float(np.median(sample)):.0f}, expected metres "
            f"(below {MAX_PLAUSIBLE_DEPTH_M:g}): is it in millimetres?"
        )


def _check_size(shape: tuple[int, ...], camera: Camera, name: str) -> None:
    if shape[:2] != (camera.height, camera.width):
        raise InputError(f"{name} is {shape[1]}x{shape[0]}, its camera_info says {camera.width}x{camera.height}")
