from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest

from showroom_ros.datasets.synthetic.path import RATE_HZ, PathSettings, covering_poses, plan_path
from showroom_ros.datasets.synthetic.renderer import Renderer
from showroom_ros.datasets.synthetic.room import Room, RoomSettings, make_room
from showroom_ros.datasets.synthetic.tour import fitting_tour, short_tour, tour_seconds
from showroom_ros.datasets.synthetic.walkable import WalkableSpace
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import rotation_angle_deg


@pytest.fixture(scope="module")
def home() -> Room:
    return make_room(40, RoomSettings(kind="study", rooms=2, clutter=0))


def test_the_walk_enters_every_room_of_a_home(home: Room) -> None:
    poses = plan_path(home)
    assert len(poses) / RATE_HZ > 45
    for room in home.plan.rooms:
        inside = room.contains(poses[:, :2, 3])
        assert inside.sum() > 2 * RATE_HZ, room.kind
    space = WalkableSpace(home.plan, home.furniture, 0.3)
    assert space.clearance(poses[:, :2, 3]).min() > 0.15
    assert (np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) * RATE_HZ).max() < 1.0


def test_loops_pass_the_same_places_again(room: Room) -> None:
    steady = {"jitter_m": 0.0, "jitter_deg": 0.0}
    once, thrice = (plan_path(room, PathSettings(loops=n, **steady)) for n in (1, 3))
    assert len(thrice) == 3 * len(once)
    period = len(once)
    part = thrice[period // 2 : -period // 2]
    for pose in part[:: len(part) // 12]:
        away = np.linalg.norm(thrice[:, :2, 3] - pose[:2, 3], axis=1)
        turned = np.array([rotation_angle_deg(pose, other) for other in thrice[::3]])
        again = np.flatnonzero((away[::3] < 0.25) & (turned < 20))
        assert (np.diff(again) > 30).sum() >= 1  # leaves and returns


def test_speed_and_turning_rate_are_settable(room: Room) -> None:
    def fastest(**settings: float) -> tuple[float, float]:
        poses = plan_path(room, PathSettings(duration_s=12, jitter_m=0, jitter_deg=0, **settings))
        assert len(poses) == 12 * RATE_HZ
        speed = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).max() * RATE_HZ
        return float(speed), max(rotation_angle_deg(a, b) for a, b in pairwise(poses)) * RATE_HZ

    slow, quick = fastest(speed_m_s=0.25, turn_deg_s=25), fastest(speed_m_s=0.9, turn_deg_s=80)
    assert slow[0] < 0.4 < quick[0]
    assert slow[1] < 40 < quick[1]


def test_covering_views_see_more_and_more(room: Room) -> None:
    poses = covering_poses(room, 24)
    renderer, camera = Renderer(room), Camera(80, 60, 66.0, 66.0, 39.5, 29.5)
    seen = [set(np.unique(view.numpy())) for view in renderer.render_batch(camera, poses, shaded=False).triangle]
    first, all_of_them = set.union(*seen[:8]), set.union(*seen)
    assert len(all_of_them) > 1.2 * len(first)
    np.testing.assert_array_equal(covering_poses(room, 8), poses[:8])


def test_short_tours_are_nearly_the_shortest() -> None:
    rng = np.random.default_rng(3)
    for _ in range(6):
        places = rng.random((7, 2))
        seconds = np.linalg.norm(places[:, None] - places, axis=-1)
        found = short_tour(list(range(7)), seconds)
        assert sorted(found) == list(range(7))
        best = min(tour_seconds([0, *rest], seconds) for rest in permutations(range(1, 7)))
        anywhere = min(tour_seconds(list(order), seconds) for order in permutations(range(7)))
        assert anywhere - 1e-9 <= tour_seconds(found, seconds) <= 1.25 * best


def test_tours_take_what_fits() -> None:
    seconds = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
    assert sorted(fitting_tour([0, 1, 2, 3, 4, 5], seconds, 3.0)) == [0, 1, 2, 3]
    assert sorted(fitting_tour([0, 1, 2, 3, 4, 5], seconds, 4.0, closed=True)) == [0, 1, 2]
    assert fitting_tour([4], seconds, 1.0) == [4]
    assert tour_seconds([0, 3, 1], seconds) == 5
    assert tour_seconds([0, 3, 1], seconds, closed=True) == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"loops": 0}, "loops is 0"), ({"duration_s": -2}, "duration_s is -2"), ({"speed_m_s": 0}, "speed_m_s is 0")],
)
def test_bad_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PathSettings(**settings)


def test_bad_counts_of_views_are_refused(room: Room) -> None:
    with pytest.raises(InputError, match="count is 0, expected 1 to"):
        covering_poses(room, 0)
