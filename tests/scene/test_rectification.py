"""From what the sensors delivered to a View: lenses undone, depth where the colour is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.registration import register_depth
from showroom_ros.geometry.se3 import pose_from
from showroom_ros.scene.rectification import rectify, undistort_depth, undistort_image
from showroom_ros.scene.view import SensorFrame

PINHOLE = Camera(160, 120, 130.0, 130.0, 79.5, 59.5)
LENSES = {
    "plumb_bob": Camera(160, 120, 130.0, 130.0, 79.5, 59.5, "plumb_bob", (-0.2, 0.05, 1e-3, -1e-3)),
    "rational_polynomial": Camera(
        160, 120, 130.0, 130.0, 79.5, 59.5, "rational_polynomial", (0.1, -0.1, 0, 0, 0.02, 0.2, -0.05, 0.01)
    ),
    "equidistant": Camera(160, 120, 130.0, 130.0, 79.5, 59.5, "equidistant", (0.05, -0.01, 0.0, 0.0)),
}
lens = pytest.mark.parametrize("camera", LENSES.values(), ids=LENSES.keys())


def picture_of_a_plane(camera: Camera) -> np.ndarray:
    """What a camera with this lens sees of a smooth pattern painted on the plane z = 1."""
    x, y, _ = np.moveaxis(camera.rays(), -1, 0)
    planes = [np.sin(9 * x + 2 * y), np.cos(7 * y), np.sin(5 * x * y + x)]
    return np.nan_to_num(127.5 + 100 * np.stack(planes, axis=-1)).astype(np.uint8)


@lens
def test_images_become_those_of_a_pinhole(camera: Camera) -> None:
    undone = undistort_image(picture_of_a_plane(camera), camera).astype(int)
    expected = picture_of_a_plane(PINHOLE).astype(int)
    seen = undistort_image(np.full((120, 160, 3), 255, np.uint8), camera)[..., 0] == 255
    seen[[0, -1]] = seen[:, [0, -1]] = False
    assert seen.mean() > 0.7
    assert np.abs(undone - expected)[seen].max() <= 4
    assert np.abs(picture_of_a_plane(camera).astype(int) - expected).max() > 20, "the lens must have mattered"


@lens
def test_depth_edges_are_never_mixed(camera: Camera) -> None:
    depth = np.full((120, 160), 1.0, np.float32)
    depth[:, 80:] = 3.0
    undone = undistort_depth(depth, camera)
    assert set(np.unique(undone[np.isfinite(undone)])) == {1.0, 3.0}


def test_nothing_is_resampled_without_need() -> None:
    image, depth = picture_of_a_plane(PINHOLE), np.full((120, 160), 2.0, np.float32)
    view = rectify(SensorFrame(image, PINHOLE, depth, T_world_camera=np.eye(4), stamp_ns=5, frame_id="cam"))
    assert view.image is image
    assert view.depth is depth
    assert (view.stamp_ns, view.frame_id) == (5, "cam")
    assert rectify(SensorFrame(image, PINHOLE)).depth is None


@lens
def test_a_tilted_plane_keeps_its_depth(camera: Camera) -> None:
    """Depth through a lens, undistorted, is the depth a pinhole measures of the same plane."""

    def depth_of(of: Camera) -> np.ndarray:
        return (2.0 / (1 + 0.3 * of.rays()[..., 0] - 0.2 * of.rays()[..., 1])).astype(np.float32)

    image = np.zeros((120, 160, 3), np.uint8)
    view = rectify(SensorFrame(image, camera, depth_of(camera)))
    assert not view.camera.is_distorted
    gap = np.abs(view.require_depth() - depth_of(PINHOLE))
    assert np.nanmax(gap) < 0.02, "at most the depth change of half a pixel"
    assert np.isfinite(gap).mean() > 0.7


def test_depth_moves_to_the_colour_camera() -> None:
    """Two cameras 5 cm apart, other size and focal length: depth lands on the colours it belongs to."""
    depth_camera = Camera(80, 60, 70.0, 70.0, 39.5, 29.5)
    T_color_depth = pose_from((0.05, 0.0, 0.01))
    depth = np.full((60, 80), 2.0, np.float32)
    depth[20:40, 30:50] = 1.0
    image = np.zeros((120, 160, 3), np.uint8)
    view = rectify(SensorFrame(image, PINHOLE, depth, depth_camera, T_color_depth))
    np.testing.assert_array_equal(view.depth, register_depth(depth, depth_camera, PINHOLE, T_color_depth))
    # the middle of the near patch, as the colour camera sees it
    middle = np.array([(39.5 - 39.5) / 70, (29.5 - 29.5) / 70, 1.0]) * 1.0 + (0.05, 0.0, 0.01)
    u, v = PINHOLE.project(middle)[0]
    assert view.require_depth()[round(v), round(u)] == pytest.approx(1.01)


def test_another_intrinsic_alone_moves_depth_too() -> None:
    """No transform between the streams, but focal lengths differ (RedKitchen): still not registered."""
    depth = np.full((120, 160), 2.0, np.float32)
    depth[:, 120:] = 1.0
    other = Camera(160, 120, 150.0, 150.0, 79.5, 59.5)
    view = rectify(SensorFrame(np.zeros((120, 160, 3), np.uint8), PINHOLE, depth, other))
    edge = int(np.argmax(view.require_depth()[60] < 1.5))
    assert edge == pytest.approx((119.5 - 79.5) / 150 * 130 + 79.5, abs=1.5)


def test_lens_of_the_depth_camera_is_undone_first() -> None:
    depth = np.full((120, 160), 2.0, np.float32)
    frame = SensorFrame(np.zeros((120, 160, 3), np.uint8), PINHOLE, depth, LENSES["plumb_bob"])
    seen = rectify(frame).require_depth()
    np.testing.assert_allclose(seen[np.isfinite(seen)], 2.0, rtol=1e-6)
    assert np.isfinite(seen).mean() > 0.8


def test_undistortion_agrees_with_opencv() -> None:
    camera = LENSES["plumb_bob"]
    image = picture_of_a_plane(camera)
    peer = cv2.undistort(image, camera.matrix, np.array(camera.distortion))
    assert np.abs(undistort_image(image, camera).astype(int) - peer.astype(int)).max() <= 2
