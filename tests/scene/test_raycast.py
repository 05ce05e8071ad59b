"""Depth of the map seen from a camera."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tsdf_scenes import ENGINES, make_engine, room_views

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.scene.raycast import raycast, raycast_reference
from showroom_ros.scene.view import Provenance
from showroom_ros.settings import MapSettings

MAP = MapSettings(voxel_size_m=0.04, truncation_m=0.12, max_depth_m=4.0, max_bytes=200_000_000)
SMALL = Camera(20, 15, 16.25, 16.25, 9.5, 7.0)


@pytest.fixture(scope="module", params=ENGINES)
def volume(request):
    engine = make_engine(request.param, MAP)
    for view in room_views(20):
        engine.integrate(view)
    return engine


def test_depth_of_the_map_is_that_of_the_room(volume):
    for view in room_views(20)[::7]:
        seen = raycast(volume, view.camera, view.require_pose())
        error = abs(seen.depth - view.require_depth())
        assert np.isfinite(seen.depth).mean() > 0.97
        assert np.nanmedian(error) < MAP.voxel_size_m / 4
        assert np.nanmean(error < MAP.voxel_size_m) > 0.95
        found = np.isfinite(seen.depth)
        assert (seen.provenance[found] == Provenance.MEASURED).all()
        assert (seen.weight[found] >= 1).all()
        assert (seen.weight[~found] == 0).all()


def test_equals_the_slow_reference(volume):
    pose = room_views(20)[3].require_pose()
    fast, slow = raycast(volume, SMALL, pose).depth, raycast_reference(volume, SMALL, pose, MAP.max_depth_m)
    both = np.isfinite(fast) & np.isfinite(slow)
    assert both.mean() > 0.95
    assert (np.isfinite(fast) != np.isfinite(slow)).mean() < 0.03
    assert np.quantile(abs(fast - slow)[both], 0.97) < 0.2 * MAP.voxel_size_m


def test_nothing_is_seen_in_an_empty_map_beyond_the_range_or_from_behind():
    engine = make_engine("numba", MAP)
    view = room_views(20)[0]
    assert np.isnan(raycast(engine, SMALL, np.eye(4)).depth).all()
    engine.integrate(view)
    near = raycast(engine, view.camera, view.require_pose(), max_depth_m=0.3)
    assert np.isnan(near.depth).all()
    behind = view.require_pose() @ np.diag([-1.0, 1.0, -1.0, 1.0])
    outside = behind.copy()
    outside[:3, 3] += 3.0 * view.require_pose()[:3, 2]
    assert np.isfinite(raycast(engine, view.camera, outside).depth).mean() < 0.02


def test_a_lens_or_a_broken_pose_is_refused():
    engine = make_engine("numba", MAP)
    with pytest.raises(InputError, match="distortion"):
        raycast(
            engine,
            dataclasses.replace(SMALL, distortion=(0.1, 0.0, 0.0, 0.0, 0.0), distortion_model="plumb_bob"),
            np.eye(4),
        )
    with pytest.raises(InputError):
        raycast(engine, SMALL, np.full((4, 4), np.nan))
