"""Views of a recording with poses, focal length and lens that their images agree with."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import cv2
import numpy as np

from showroom_ros.geometry.bundle_adjustment import AdjustmentSettings, adjusted
from showroom_ros.geometry.feature_tracks import PosedImage, feature_tracks
from showroom_ros.reconstruction.source_views import Keyframe, choose_sources
from showroom_ros.scene.rectification import undistort_image
from showroom_ros.scene.view import View

_LOG = logging.getLogger(__name__)

_COMPARED_WITH = 14
"""Views each is compared with; half as many made depth 1 % worse on a real recording."""
_SUSPICIOUS_FOCAL = 0.03


def refined(views: Sequence[View], settings: AdjustmentSettings | None = None) -> list[View]:
    """The views, corrected by bundle adjustment; as they came where images say nothing better.

    Args:
        views: posed, of one recording, undistorted as well as is known.
        settings: how much to trust what was given.
    """
    if len(views) < 3:
        return list(views)
    numbered = [Keyframe(view.camera, view.require_pose(), number) for number, view in enumerate(views)]
    pairs = [
        (keyframe.content, other.content)
        for keyframe in numbered
        for other in choose_sources(
            keyframe.camera, keyframe.T_world_camera, [k for k in numbered if k is not keyframe], _COMPARED_WITH
        )
    ]
    images = [
        PosedImage(np.asarray(cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY), np.uint8), view.camera, view.require_pose())
        for view in views
    ]
    result = adjusted(
        [image.camera for image in images],
        [image.T_world_camera for image in images],
        feature_tracks(images, pairs),
        settings,
    )
    if not result.changed:
        return list(views)
    moved = [
        np.linalg.norm(pose[:3, 3] - image.T_world_camera[:3, 3])
        for pose, image in zip(result.poses, images, strict=True)
    ]
    _LOG.info(
        "%d poses moved by %.1f cm on average, focal length times %.4f, k1 %.4f: images agree to %.2f pixels, "
        "before to %.2f",
        len(moved),
        100 * float(np.mean(moved)),
        result.focal_scale,
        result.k1,
        result.error_after_px,
        result.error_before_px,
    )
    if abs(result.focal_scale - 1) > _SUSPICIOUS_FOCAL:
        _LOG.warning(
            "the images fit a focal length %.1f %% off that of camera_info: calibrate the camera, or check its size",
            100 * (result.focal_scale - 1),
        )
    return [
        dataclasses.replace(
            view,
            image=undistort_image(view.image, camera),
            camera=camera.without_distortion(),
            T_world_camera=pose,
        )
        for view, camera, pose in zip(views, result.cameras, result.poses, strict=True)
    ]
