"""SensorFrame -> View: undistort both images, register depth to colour."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.registration import register_depth
from showroom_ros.scene.view import SensorFrame, View


def rectify(frame: SensorFrame) -> View:
    """The frame as an undistorted ``View`` whose depth is registered to its colour image."""
    camera = frame.color_camera.without_distortion()
    return View(
        image=undistort_image(frame.image, frame.color_camera),
        camera=camera,
        depth=_registered_depth(frame, camera),
        T_world_camera=frame.T_world_camera,
        stamp_ns=frame.stamp_ns,
        frame_id=frame.frame_id,
    )


def rectify_example() -> View:
    """Rectifies a small made-up frame with depth of its own camera, so that all kernels are compiled."""
    camera = Camera(8, 6, 8.0, 8.0, 3.5, 2.5)
    depth_camera = Camera(8, 6, 9.0, 9.0, 3.5, 2.5)
    image, depth = np.zeros((6, 8, 3), np.uint8), np.ones((6, 8), np.float32)
    return rectify(SensorFrame(image, camera, depth, depth_camera, np.eye(4)))


def undistort_image(image: NDArray[np.uint8], camera: Camera) -> NDArray[np.uint8]:
    """Resamples a colour image [H, W, 3] bilinearly to ``camera.without_distortion()``."""
    if not camera.is_distorted:
        return image
    map_x, map_y = _maps(camera)
    return np.asarray(cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR), np.uint8)


def undistort_depth(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """Resamples depth [H, W] to the nearest pixel (depths are never mixed); NaN outside the lens."""
    if not camera.is_distorted:
        return depth
    map_x, map_y = _maps(camera)
    nearest = cv2.remap(depth, map_x, map_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan)
    return np.asarray(nearest, np.float32)


def _registered_depth(frame: SensorFrame, camera: Camera) -> NDArray[np.float32] | None:
    if frame.depth is None:
        return None
    source = frame.depth_camera or frame.color_camera
    depth = undistort_depth(frame.depth, source)
    ideal = source.without_distortion()
    aligned = frame.T_color_depth is None or np.allclose(frame.T_color_depth, np.eye(4), atol=1e-9)
    if aligned and ideal == camera:
        return depth
    transform = np.eye(4) if frame.T_color_depth is None else frame.T_color_depth
    return register_depth(depth, ideal, camera, transform)


@lru_cache(maxsize=8)
def _maps(camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return camera.undistort_maps()
