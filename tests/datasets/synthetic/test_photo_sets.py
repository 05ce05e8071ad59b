from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from showroom_ros.datasets.synthetic import photo_sets
from showroom_ros.datasets.synthetic.overlap import overlaps, shared
from showroom_ros.datasets.synthetic.photo_sets import baseline_pairs, orbit_set, photo_set, rotation_set
from showroom_ros.datasets.synthetic.renderer import Renderer
from showroom_ros.datasets.synthetic.rendering import Rendering
from showroom_ros.datasets.synthetic.room import Room
from showroom_ros.datasets.synthetic.sequence import SyntheticSequence
from showroom_ros.datasets.synthetic.walkable import WalkableSpace
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import inverse, rotation_angle_deg, transform_points

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)


@pytest.fixture(scope="module")
def renderer(room: Room) -> Renderer:
    return Renderer(room)


def shared_reference(one: Rendering, two: Rendering) -> float:
    """The definition, pixel by pixel."""
    camera, depth_a, depth_b = one.camera, one.depth.numpy(), two.depth.numpy()
    count = 0
    points = transform_points(inverse(two.T_world_camera) @ one.T_world_camera, camera.back_project(depth_a))
    for point in points.reshape(-1, 3):
        (u, v), z = camera.project(point)
        if not (z > 0 and 0 <= u <= camera.width - 1 and 0 <= v <= camera.height - 1):
            continue
        left, top = min(int(u), camera.width - 2), min(int(v), camera.height - 2)
        count += z <= np.nanmax(depth_b[top : top + 2, left : left + 2]) * 1.01
    return count / depth_a.size


def test_shared_pixels_equal_the_definition(renderer: Renderer, recording: SyntheticSequence) -> None:
    camera = CAMERA.scaled(40, 30)
    views = renderer.render_batch(camera, recording.trajectory[[0, 25, 60]], shaded=False)
    others = renderer.render_batch(camera, recording.trajectory[[10, 300]], shaded=False)
    found = shared(views, others)
    for i in range(3):
        for j in range(2):
            assert found[i, j] == pytest.approx(shared_reference(views.view(i), others.view(j)), abs=0.003)
    itself = overlaps(views, views)
    assert itself.diagonal().min() > 0.95
    np.testing.assert_array_equal(itself, itself.T)
    assert found.max() > 0.5
    assert found.min() < 0.4


@pytest.mark.parametrize("chain", [False, True])
def test_photos_overlap_as_asked(renderer: Renderer, chain: bool) -> None:
    found = photo_set(renderer, CAMERA, 6, (0.3, 0.6), seed=4, chain=chain)
    assert found.poses.shape == (6, 4, 4)
    assert found.parents[0] == -1
    assert (found.parents[1:] < np.arange(1, 6)).all()
    if chain:
        assert found.parents.tolist() == [-1, 0, 1, 2, 3, 4]
    views = renderer.render_batch(CAMERA.scaled(160, 120), found.poses, shaded=False)  # judged finer than when chosen
    table = overlaps(views, views)
    for photo, parent in enumerate(found.parents[1:], 1):
        assert 0.3 - 0.03 < table[photo, parent] < 0.6 + 0.03
        assert found.overlaps[photo] == pytest.approx(table[photo, parent], abs=0.04)
    assert (table[np.triu_indices(6, 1)] < 0.64).all()
    again = photo_set(renderer, CAMERA, 6, (0.3, 0.6), seed=4, chain=chain)
    np.testing.assert_array_equal(again.poses, found.poses)
    assert not np.array_equal(photo_set(renderer, CAMERA, 2, seed=5).poses[0], found.poses[0])


def test_less_overlap_means_larger_turns(renderer: Renderer) -> None:
    def apart(overlap: tuple[float, float]) -> float:
        poses = photo_set(renderer, CAMERA, 6, overlap, seed=1, chain=True).poses
        return float(np.mean([rotation_angle_deg(a, b) for a, b in pairwise(poses)]))

    assert apart((0.1, 0.3)) > apart((0.7, 0.9))


def test_photos_keep_clear_and_show_something(renderer: Renderer, room: Room) -> None:
    poses = photo_set(renderer, CAMERA, 8, (0.2, 0.7), seed=9).poses
    space = WalkableSpace(room.plan, room.furniture, 0.3)
    assert space.clearance(poses[:, :2, 3]).min() >= 0.29
    depth = renderer.render_batch(CAMERA.scaled(40, 30), poses, shaded=False).depth
    assert float(depth.flatten(1).median(1).values.min()) > 0.6


def test_pairs_have_the_baseline(renderer: Renderer) -> None:
    pairs = baseline_pairs(renderer, CAMERA, 3, (0.2, 0.6), (0.4, 0.9), seed=2)
    assert pairs.shape == (3, 2, 4, 4)
    baseline = np.linalg.norm(pairs[:, 0, :3, 3] - pairs[:, 1, :3, 3], axis=1)
    assert ((baseline >= 0.2) & (baseline <= 0.6)).all()


def test_orbit_looks_at_its_target_from_free_places(room: Room) -> None:
    piece = max(room.furniture, key=lambda p: p.piece.width * p.piece.depth if p.low_m == 0 else 0)
    x0, y0, x1, y1 = piece.footprint
    target = np.array([(x0 + x1) / 2, (y0 + y1) / 2, 0.5])
    poses = orbit_set(room, target, 1.6, 24)
    assert 4 <= len(poses) <= 24
    toward = target - poses[:, :3, 3]
    toward /= np.linalg.norm(toward, axis=1, keepdims=True)
    np.testing.assert_allclose(toward, poses[:, :3, 2], atol=1e-9)
    space = WalkableSpace(room.plan, room.furniture, 0.3)
    assert space.clearance(poses[:, :2, 3]).min() >= 0.299
    away = np.linalg.norm(poses[:, :2, 3] - target[:2], axis=1)
    assert ((away > 0.59 * 1.6) & (away < 1.41 * 1.6)).all()


def test_the_circle_has_thirteen_views_that_close() -> None:
    yaws = np.array(photo_sets.YAWS_CIRCLE_DEG)
    assert len(yaws) == 13
    np.testing.assert_allclose(yaws[:11], np.arange(0, 251, 25))
    np.testing.assert_allclose(np.diff([*yaws[11:], 360]), 43.75)


def test_turning_in_place(room: Room) -> None:
    poses = rotation_set(room, heading_deg=30, radius_m=0.01)
    assert poses.shape == (13, 4, 4)
    assert np.ptp(poses[:, :2, 3], axis=0).max() < 0.021
    headings = np.degrees(np.arctan2(poses[:, 1, 2], poses[:, 0, 2])) % 360
    np.testing.assert_allclose(headings, (np.array(photo_sets.YAWS_CIRCLE_DEG) + 30) % 360, atol=1e-9)
    np.testing.assert_allclose(poses[:, 2, 2], 0, atol=1e-12)
    still = rotation_set(room, photo_sets.YAWS_STAGE_DEG)
    assert rotation_angle_deg(still[0], still[1]) == pytest.approx(25)
    assert np.ptp(still[:, :3, 3], axis=0).max() == 0


def test_bad_photo_sets_are_refused(renderer: Renderer, room: Room) -> None:
    outside = room.plan.corners.min(0) - 3
    for make, message in (
        (lambda: photo_set(renderer, CAMERA, 0), "count is 0"),
        (lambda: photo_set(renderer, CAMERA, 3, (0.6, 0.3)), r"overlap \(0.6, 0.3\)"),
        (lambda: photo_set(renderer, CAMERA, 3, (0.5, 0.5001)), "offers no 3 photos with overlaps of 0.5 to 0.5001"),
        (lambda: baseline_pairs(renderer, CAMERA, 1, (0.5, 0.1)), "baseline_m is"),
        (lambda: orbit_set(room, (0, 0, 1), -1, 5), "radius_m is -1"),
        (lambda: orbit_set(room, (*outside, 1), 0.5, 5), "no free place"),
        (lambda: rotation_set(room, ()), "yaws_deg is empty"),
        (lambda: rotation_set(room, (0,), outside), "m from something"),
        (
            lambda: overlaps(
                renderer.render_batch(CAMERA.scaled(16, 12), rotation_set(room, (0,))),
                renderer.render_batch(CAMERA.scaled(32, 24), rotation_set(room, (0,))),
            ),
            "expected one camera",
        ),
    ):
        with pytest.raises(InputError, match=message):
            make()
