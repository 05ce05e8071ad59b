"""One camera for colour and depth, at the wanted size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from showroom_ros.geometry.camera import Camera
from showroom_ros.scene.rectification import rectify, undistort_depth, undistort_image
from showroom_ros.scene.view import SensorFrame, View


def aligned_view(frame: SensorFrame, width: int = 0, height: int = 0, alignment: str = "homography") -> View:
    """The frame as a ``View`` of the wanted size.

    Args:
        frame: as recorded.
        width: in pixels; 0 = as recorded.
        height: in pixels; 0 = as recorded.
        alignment: "homography" warps colour into the depth camera, as if both stood at the same place, and keeps
            depth as measured; "depth" registers depth to colour by its own distances. The same where depth comes
            registered.
    """
    if frame.depth is None or frame.depth_camera is None or alignment == "depth":
        return resized_view(rectify(frame), width, height)
    camera = frame.depth_camera.without_distortion()
    camera = camera.scaled(width or camera.width, height or camera.height)
    depth = resized_nearest(undistort_depth(frame.depth, frame.depth_camera), camera.width, camera.height)
    T_color_depth = np.eye(4) if frame.T_color_depth is None else frame.T_color_depth
    color_camera = frame.color_camera.without_distortion()
    image = undistort_image(frame.image, frame.color_camera)
    if color_camera.width > camera.width:  # shrinking by nearest pixels would alias
        color_camera = color_camera.scaled(camera.width, camera.height)
        image = resized_image(image, camera.width, camera.height)
    return View(
        image=warped_by_homography(image, color_camera, camera, T_color_depth[:3, :3]),
        camera=camera,
        depth=depth,
        T_world_camera=None if frame.T_world_camera is None else frame.T_world_camera @ T_color_depth,
        stamp_ns=frame.stamp_ns,
        frame_id=frame.frame_id,
    )


def warped_by_homography(
    image: NDArray[np.uint8], color_camera: Camera, depth_camera: Camera, rotation: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """The colour image as the depth camera would take it of what is far away, nearest pixel, black outside.

    H = K_color R K_depth^-1 maps depth pixels to colour pixels; R [3, 3] turns depth-camera directions to the
    colour camera's and is the identity in ScanNet. The distance between the cameras is ignored.
    """
    homography = color_camera.matrix @ rotation @ np.linalg.inv(depth_camera.matrix)
    warped = cv2.warpPerspective(
        image,
        homography,
        (depth_camera.width, depth_camera.height),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return np.asarray(warped, np.uint8)


def resized_view(view: View, width: int, height: int) -> View:
    """The view at another size: colour averaged over areas, depth of the nearest pixel; 0 = as it is."""
    width, height = width or view.camera.width, height or view.camera.height
    if (width, height) == (view.camera.width, view.camera.height):
        return view
    return View(
        image=resized_image(view.image, width, height),
        camera=view.camera.scaled(width, height),
        depth=None if view.depth is None else resized_nearest(view.depth, width, height),
        T_world_camera=view.T_world_camera,
        stamp_ns=view.stamp_ns,
        frame_id=view.frame_id,
    )


def cropped_view(view: View, width: int, height: int) -> View:
    """The middle of the view in the proportions of ``width`` to ``height``."""
    wide = min(view.camera.width, round(view.camera.height * width / height))
    high = min(view.camera.height, round(view.camera.width * height / width))
    left, top = (view.camera.width - wide) // 2, (view.camera.height - high) // 2
    window = np.s_[top : top + high, left : left + wide]
    return View(
        image=np.ascontiguousarray(view.image[window]),
        camera=view.camera.cropped(left, top, wide, high),
        depth=None if view.depth is None else np.ascontiguousarray(view.depth[window]),
        T_world_camera=view.T_world_camera,
        stamp_ns=view.stamp_ns,
        frame_id=view.frame_id,
    )


def resized_image(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] at another size: averaged over areas when it shrinks, else bilinear."""
    shrinks = width < image.shape[1]
    return np.asarray(
        cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8
    )


def resized_nearest(plane: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """[H, W] at another size by the pixel whose centre is nearest (depths are never mixed)."""
    rows = ((np.arange(height) + 0.5) * plane.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * plane.shape[1] / width).astype(int)
    return np.ascontiguousarray(plane[np.ix_(rows, columns)])
