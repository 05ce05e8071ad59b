"""Floor plans, furnishing and the shell of rooms of every kind and shape, and of homes of several rooms."""

from __future__ import annotations

import numpy as np
import pytest

from showroom_ros.datasets.synthetic.floor_plan import Home
from showroom_ros.datasets.synthetic.interiors import KINDS, furnish
from showroom_ros.datasets.synthetic.layout import Placed
from showroom_ros.datasets.synthetic.palette import MOODS, make_mood, make_palette
from showroom_ros.datasets.synthetic.plans import SHAPES, make_home
from showroom_ros.datasets.synthetic.renderer import Renderer
from showroom_ros.datasets.synthetic.room import Room, RoomSettings, make_room
from showroom_ros.datasets.synthetic.walkable import WalkableSpace
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.se3 import look_at

RNG = np.random.default_rng
PALETTE = make_palette(RNG(0))
SAMPLE = [
    RoomSettings("kitchen", "L", mood="evening"),
    RoomSettings("office", "U"),
    RoomSettings("dining room", "T", rooms=2, mood="night"),
    RoomSettings("bathroom", "rectangle", clutter=3.0),
    RoomSettings("hallway", rooms=3, clutter=0.0),
    RoomSettings("bedroom", "rectangle"),
]


@pytest.fixture(scope="module", params=range(len(SAMPLE)), ids=lambda i: f"{SAMPLE[i].kind}-{SAMPLE[i].rooms}")
def sample(request: pytest.FixtureRequest) -> Room:
    return make_room(100 + request.param, SAMPLE[request.param])


def homes() -> list[Home]:
    made = [make_home(RNG(seed), [kind], shape) for seed, kind in enumerate(KINDS) for shape in SHAPES]
    return made + [make_home(RNG(seed), [KINDS[(seed + i) % 8] for i in range(2 + seed % 3)]) for seed in range(12)]


def test_plans_are_counter_clockwise_and_rooms_lie_apart() -> None:
    for home in homes():
        for room in home.rooms:
            x, y = room.corners.T
            area = 0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum()
            assert area == pytest.approx(room.area_m2)
            assert area > 4
        for number, room in enumerate(home.rooms):
            for other in home.rooms[number + 1 :]:
                for a in room.blocks:
                    for b in other.blocks:
                        gap = max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3])
                        assert gap > 0.09


def test_openings_fit_their_walls_and_doorways_meet() -> None:
    for home in homes():
        assert len(home.passages) == len(home.rooms) - 1
        for room in home.rooms:
            spans: dict[int, list[tuple[float, float]]] = {}
            for opening in room.openings:
                assert 0.09 < opening.start_m < opening.end_m < room.wall(opening.wall)[3] - 0.09
                assert 0 <= opening.low_m < opening.high_m < room.height_m - 0.15
                for start, end in spans.get(opening.wall, []):
                    assert opening.start_m > end + 0.25 or opening.end_m < start - 0.25
                spans.setdefault(opening.wall, []).append((opening.start_m, opening.end_m))
        for passage in home.passages:
            x0, y0, x1, y1 = passage.floor
            deep = (x1 - x0, y1 - y0)[passage.across]
            wide = (x1 - x0, y1 - y0)[1 - passage.across]
            assert 0.1 <= deep <= 0.151
            assert wide >= 0.9
            middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
            assert home.wall_distance(middle) == pytest.approx(wide / 2)
            step = np.eye(2)[passage.across] * (deep / 2 + 0.05)
            for number, point in zip(sorted(passage.rooms), (middle - step, middle + step), strict=True):
                assert home.wall_distance(point) > 0.3
                assert any(home.rooms[room].contains(point) for room in passage.rooms), number


def test_wall_distance_of_two_rooms_equals_hand_computed_values() -> None:
    home = make_home(RNG(3), ["study", "bedroom"], "rectangle")
    plan = home.rooms[0]
    start, direction, normal, length = next(plan.wall(w) for w in range(4) if not _opens(plan, w, "doorway"))
    assert home.wall_distance(start + direction * length / 2 + 0.3 * normal) == pytest.approx(0.3)
    assert home.wall_distance(start + direction * length / 2 - 0.3 * normal) == pytest.approx(-0.3)


def _opens(plan, wall: int, kind: str) -> bool:
    return any(o.wall == wall and o.kind == kind for o in plan.openings)


def test_ceilings_rise_where_they_should() -> None:
    found = set()
    for seed in range(60):
        room = make_home(RNG(seed), ["bedroom"], "rectangle").rooms[0]
        found.add(room.ceiling)
        middle, low = (room.low + room.high) / 2, room.ceiling_at(room.corners).min()
        assert low == pytest.approx(room.height_m)
        if room.ceiling == "gable":
            assert room.ceiling_at(middle) == pytest.approx(room.height_m + room.rise_m)
        if room.ceiling == "shed":
            assert room.ceiling_at(middle) == pytest.approx(room.height_m + room.rise_m / 2)
            assert room.ceiling_at(room.corners).max() == pytest.approx(room.height_m + room.rise_m)
    assert found == {"flat", "beams", "coving", "shed", "gable"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_furniture_stands_in_the_room_apart_from_each_other_and_off_the_doors(kind: str, shape: str) -> None:
    for seed in range(2):
        home = make_home(RNG(seed), [kind], shape)
        plan = home.rooms[0]
        placed = furnish(RNG(seed), plan, PALETTE)
        assert len(placed) >= 5
        for number, one in enumerate(placed):
            assert_inside(one, home)
            for other in placed[number + 1 :]:
                assert_apart(one, other)
            for opening in (o for o in plan.openings if o.kind != "window"):
                start, along, normal, _ = plan.wall(opening.wall)
                middle = start + along * (opening.start_m + opening.end_m) / 2 + 0.4 * normal
                x0, y0, x1, y1 = one.footprint
                over = x0 < middle[0] < x1 and y0 < middle[1] < y1 and one.low_m < 2
                assert not over or one.piece.category == "rug"


def assert_inside(one: Placed, home: Home) -> None:
    x0, y0, x1, y1 = one.footprint
    corners = np.array([[x0, y0], [x0, y1], [x1, y0], [x1, y1]])
    assert (home.wall_distance(corners) > -1e-6).all() or one.piece.category == "chair"  # turned: box is too wide
    assert one.low_m >= -1e-9
    middle = corners.mean(0)
    ceiling = max(float(room.ceiling_at(middle)) for room in home.rooms if room.contains(middle))
    assert one.high_m <= ceiling + 1e-6, one.piece.category


def assert_apart(one: Placed, other: Placed) -> None:
    if "rug" in (one.piece.category, other.piece.category):
        return
    a, b = one.footprint, other.footprint
    apart = one.low_m >= other.high_m - 1e-6 or other.low_m >= one.high_m - 1e-6
    apart |= a[0] >= b[2] or a[2] <= b[0] or a[1] >= b[3] or a[3] <= b[1]
    assert apart, (one.piece.category, other.piece.category)


def test_homes_have_furniture_in_every_room_and_one_can_walk_into_each(sample: Room) -> None:
    for number, one in enumerate(sample.furniture):
        assert_inside(one, sample.plan)
        for other in sample.furniture[number + 1 :]:
            assert_apart(one, other)
    space = WalkableSpace(sample.plan, sample.furniture, 0.32)
    places = space.spread(400)
    for room in sample.plan.rooms:
        assert room.contains(places).sum() >= 3, room.kind
        assert any(room.contains(one.pose[:2, 3] + 0.05 * one.pose[:2, 1]) for one in sample.furniture), room.kind


def test_meshes_have_no_degenerate_triangles_and_normals_to_the_free_side(sample: Room) -> None:
    a, b, c = (sample.vertices[sample.triangles[:, i]].astype(np.float64) for i in range(3))
    assert (np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-9).all()
    np.testing.assert_allclose(np.linalg.norm(sample.normals, axis=1), 1, atol=1e-5)
    agreement = (sample.normals[sample.triangles] * sample.face_normals[:, None]).sum(-1).mean(1)
    assert (agreement > 0.2).all()
    walls = np.isin(sample.instance, [i for i, name in enumerate(sample.categories) if name == "wall"])
    middles = sample.vertices[sample.triangles[walls]].mean(1)[:, :2].astype(float)
    assert (sample.plan.wall_distance(middles + 0.05 * sample.face_normals[walls][:, :2]) > 0.02).all()
    assert np.isfinite(sample.light).all()
    assert (sample.light >= 0).all()


def test_no_ray_escapes_from_anywhere_in_a_home(sample: Room) -> None:
    """A camera in free space sees a surface in every pixel, whatever the shape and the ceiling."""
    renderer, camera = Renderer(sample), Camera(96, 96, 46.0, 46.0, 47.5, 47.5)
    rng = RNG(0)
    for x, y in WalkableSpace(sample.plan, sample.furniture, 0.25).spread(12):
        eye = np.array([x, y, rng.uniform(0.9, 1.9)])
        for direction in ((1, 0.01, 0.02), (-1, 0.02, 0.01), (0.01, 1, 0.02), (0.02, -1, 0.01), (0.01, 0.02, 1)):
            depth = renderer.render(camera, look_at(eye, eye + np.array(direction)), shaded=False).depth
            assert not depth.isnan().any()


def test_pictures_of_rooms_are_neither_black_nor_burnt_out(sample: Room) -> None:
    radiance = (sample.light[sample.triangles].mean((1, 2)) * sample.exposure)[:, None]
    floor = sample.layout == 1
    assert 0.15 < np.median(radiance[floor]) < 4.0


def test_same_seed_gives_the_same_bytes_and_settings_matter() -> None:
    one, two = (make_room(41, RoomSettings("bathroom")) for _ in range(2))
    for name in ("vertices", "uv", "light", "triangles", "material"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
    assert all(a.texture.tobytes() == b.texture.tobytes() for a, b in zip(one.materials, two.materials, strict=True))
    bare = make_room(41, RoomSettings("bathroom", clutter=0.0))
    assert len(bare.furniture) < len(one.furniture)
    assert len({id(m) for m in one.materials}) == len(one.materials)


def test_moods_differ_in_what_comes_through_the_windows() -> None:
    sky = {name: sum(make_mood(RNG(1), name).daylight) for name in MOODS}
    assert sky["day"] > 2 * sky["evening"] > 4 * sky["night"]
    assert {make_mood(RNG(seed)).name for seed in range(40)} == set(MOODS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "garage"}, "kind 'garage' is unknown, expected one of living room"),
        ({"shape": "round"}, "shape 'round' is unknown, expected one of rectangle, L"),
        ({"rooms": 0}, "rooms is 0, expected 1 to 4"),
        ({"rooms": 9}, "rooms is 9"),
        ({"clutter": -1}, "clutter is -1"),
        ({"clutter": float("nan")}, "clutter is nan"),
        ({"mood": "noon"}, "mood 'noon' is unknown, expected one of day"),
    ],
)
def test_bad_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RoomSettings(**settings)
