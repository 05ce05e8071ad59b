"""Points followed through images whose depth is known."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from stereo_room import picture, sideways, true_depth

from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.feature_tracks import PosedImage, Tracks, feature_tracks
from showroom_ros.geometry.se3 import transform_points

CAMERA = Camera(256, 192, 220.0, 220.0, 127.5, 95.5)


def posed(pose):
    return PosedImage(cv2.cvtColor(picture(pose, CAMERA).image, cv2.COLOR_RGB2GRAY), CAMERA, pose)


@pytest.fixture(scope="module")
def poses():
    return sideways(5)


@pytest.fixture(scope="module")
def tracks(poses):
    return feature_tracks([posed(pose) for pose in poses], itertools.combinations(range(5), 2))


def test_sightings_of_a_track_are_of_one_point(poses, tracks):
    depths = [true_depth(CAMERA, pose) for pose in poses]
    u, v = np.clip(np.rint(tracks.pixel).astype(int), 0, [CAMERA.width - 1, CAMERA.height - 1]).T
    points = np.empty((len(u), 3))
    for n, (depth, pose) in enumerate(zip(depths, poses, strict=True)):
        rows = tracks.image == n
        xy = (tracks.pixel[rows] - [CAMERA.cx, CAMERA.cy]) / [CAMERA.fx, CAMERA.fy]
        rays = np.column_stack([xy, np.ones(rows.sum())])
        points[rows] = transform_points(pose, rays * depth[v[rows], u[rows], None])
    first = points[np.searchsorted(tracks.point, tracks.point)]
    apart = np.linalg.norm(points - first, axis=1)[1:]
    assert tracks.count > 100
    assert np.quantile(apart, 0.9) < 0.05


def test_no_track_is_short_or_twice_in_an_image(tracks):
    assert (np.diff(tracks.point) >= 0).all()
    assert (np.bincount(tracks.point, minlength=tracks.count) >= 3).all()
    assert len(np.unique(np.stack([tracks.point, tracks.image]), axis=1).T) == len(tracks.point)


def test_order_and_direction_of_pairs_do_not_matter(poses, tracks):
    images = [posed(pose) for pose in poses]
    again = feature_tracks(images, [(b, a) for a, b in itertools.combinations(range(5), 2)][::-1])
    np.testing.assert_array_equal(again.pixel, tracks.pixel)
    np.testing.assert_array_equal(again.point, tracks.point)


def test_a_subset_is_numbered_anew(tracks):
    chosen = np.arange(tracks.count) % 3 == 1
    part = tracks.subset(chosen)
    assert part.count == chosen.sum()
    assert sorted(set(part.point.tolist())) == list(range(part.count))
    np.testing.assert_array_equal(part.pixel, tracks.pixel[chosen[tracks.point]])


@pytest.mark.parametrize("grey", [np.full((192, 256), 90, np.uint8), np.zeros((192, 256), np.uint8)])
def test_plain_images_have_no_tracks(poses, grey):
    found = feature_tracks([PosedImage(grey, CAMERA, pose) for pose in poses], [(0, 1), (1, 2)])
    assert isinstance(found, Tracks)
    assert found.count == 0 == len(found.pixel)


def test_without_pairs_there_is_nothing(poses):
    assert feature_tracks([posed(poses[0])], []).count == 0
    assert feature_tracks([], []).count == 0
