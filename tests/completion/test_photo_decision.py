"""Which photo is extended to which side: ShowRoom's rules branch by branch, and the surface in made-up rooms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from showroom_ros.completion.layout import WallAreas
from showroom_ros.completion.photo_decision import Decision, Side, missing_side, showroom_decision, side
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera, assumed_camera
from showroom_ros.geometry.render import NOTHING, render_mesh
from showroom_ros.geometry.se3 import Matrix, look_at, turned_about
from showroom_ros.scene.view import View
from showroom_ros.scene.volume import TsdfVolume
from showroom_ros.settings import MapSettings

UP = np.array([0.0, 0.0, 1.0])
CAMERA = assumed_camera(64, 48, 62.0)
LEFT, RIGHT = Side.LEFT, Side.RIGHT
ALIKE = [WallAreas(0.2, 0.2)] * 3


def photo(heading_deg: float, x: float = 0.0, height: float = 1.5) -> Matrix:
    """A level camera at (x, 0, height) with a heading from the x axis to the left."""
    angle = np.radians(heading_deg)
    eye = np.array([x, 0.0, height])
    return look_at(eye, eye + np.array([np.cos(angle), np.sin(angle), 0.0]))


def moved(poses: list[Matrix], seed: int) -> list[Matrix]:
    """The same photos in another world frame, in other units."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    frame = np.eye(4)
    frame[:3, :3] = turn * np.sign(np.linalg.det(turn))
    frame[:3, 3] = rng.normal(0, 5, 3)
    scale = float(np.exp(rng.normal(0, 1)))
    result = [frame @ pose for pose in poses]
    for pose in result:
        pose[:3, 3] *= scale
    return result


def areas(*pairs: tuple[float, float]) -> list[WallAreas]:
    return [WallAreas(*pair) for pair in pairs]


# what turns to the right and down, or to the left and up, is RIGHT of the first
DOWN_RIGHT = [photo(0), photo(-60, height=1.0), photo(-60, height=1.0)]
CASES = {
    "no front": ([photo(0), photo(-60), photo(60)], "000", ALIKE, None, Side.NOTHING),
    "three fronts": ([photo(0), photo(-60), photo(60)], "111", ALIKE, None, Side.NOTHING),
    "one front, others differ": ([photo(0), photo(-60), photo(60)], "100", ALIKE, None, Side.NOTHING),
    "one front, others at right": (DOWN_RIGHT, "100", ALIKE, 0, LEFT),
    "one front, others at left": ([photo(60, height=1), photo(0), photo(58, height=1)], "010", ALIKE, 1, RIGHT),
    "third like the first": ([photo(0), photo(-90), photo(20, height=1.2)], "110", ALIKE, 1, LEFT),
    "third like the first, below": ([photo(0), photo(-90), photo(-19, height=1.8)], "110", ALIKE, 1, RIGHT),
    "third like the second": ([photo(0), photo(75), photo(90, height=1.8)], "110", ALIKE, 0, RIGHT),
    "both like the third, parallel": ([photo(0), photo(30), photo(15)], "110", ALIKE, 0, RIGHT),
    "both across, facing": ([photo(0), photo(90), photo(180)], "101", ALIKE, 0, RIGHT),
    "both like, at right, left wall": ([photo(0), photo(-30, height=1), photo(-60, height=1)], "101",
                                       areas((0.3, 0), (0, 0), (0, 0.1)), 0, LEFT),
    "both like, at right, right wall": ([photo(0), photo(-30, height=1), photo(-60, height=1)], "101",
                                        areas((0.1, 0), (0, 0), (0, 0.1)), 2, RIGHT),
    "both across, at left, right wall": ([photo(180), photo(0), photo(60, height=1)], "011",
                                         areas((0, 0), (0, 0.3), (0.2, 0)), 1, RIGHT),
    "both across, at left, left wall": ([photo(180), photo(0), photo(60, height=1)], "011",
                                        areas((0, 0), (0, 0.2), (0.3, 0)), 2, LEFT),
    "between like and across": ([photo(0), photo(20), photo(95)], "110", ALIKE, 0, RIGHT),
}  # fmt: skip
"""Poses, which are fronts, wall areas; photo and side."""


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_rules_for_three_photos(name: str, seed: int | None) -> None:
    poses, fronts, walls, expected, way = CASES[name]
    poses = poses if seed is None else moved(poses, seed)
    found = showroom_decision(poses, [kind == "1" for kind in fronts], walls)
    assert (found.photo, found.side) == (expected, way)
    assert np.isnan(found.hole_share)


def test_side_says_how_lines_of_sight_are_twisted() -> None:
    assert side(photo(0), photo(-60, height=1.0)) is RIGHT
    assert side(photo(0), photo(-60, height=2.0)) is LEFT
    assert side(photo(0), photo(60, height=2.0)) is RIGHT
    assert side(photo(0), photo(-60, x=3.0)) is LEFT  # coplanar
    assert side(photo(0), photo(0, height=1.0)) is LEFT


def test_a_turn_to_the_left_is_one() -> None:
    turned = turned_about(photo(20), 3 * UP, 30.0)
    np.testing.assert_allclose(turned, photo(50), atol=1e-12)


def all_but(low_deg: float, high_deg: float) -> Callable[[Matrix], float]:
    """Known share where the headings between two angles are unknown; a view is 60 degrees wide."""

    def known_share(pose: Matrix) -> float:
        heading = np.degrees(np.arctan2(pose[1, 2], pose[0, 2])) + np.linspace(-30, 30, 601)
        return float(1 - ((heading > low_deg) & (heading < high_deg)).mean())

    return known_share


@pytest.mark.parametrize("seed", range(3))
def test_the_side_that_shows_most_is_named(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(3)
    poses = np.array([photo(0), photo(-50), photo(-110)])[order]
    found = missing_side(poses, UP, all_but(30, 180))
    assert order[found.photo] == 0
    assert found.side is LEFT
    assert found.hole_share == pytest.approx(0.5, abs=0.01)
    assert missing_side(poses, UP, all_but(30, 180), min_overlap=0.6).side is Side.NOTHING
    assert missing_side(poses, UP, all_but(57, 180)).photo is None
    assert missing_side(poses, UP, all_but(57, 180), min_holes=0.03).side is LEFT
    assert missing_side(poses, UP, lambda _: 0.0).photo is None
    beyond = missing_side(poses, UP, all_but(30, 180), turn_deg=70.0)  # of the first nothing known stays in view
    assert order[beyond.photo] == 1
    assert beyond.side is LEFT


def circle(count: int = 15) -> NDArray[np.float64]:
    """Headings of photos once around."""
    return np.arange(count) * 360.0 / count


def photos_of_room(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Poses [N, 4, 4] and true depth [N, H, W] once around in a made-up room."""
    from showroom_ros.datasets.synthetic import room as made_up
    from showroom_ros.datasets.synthetic.photo_sets import rotation_set
    from showroom_ros.datasets.synthetic.renderer import Renderer

    with pytest.MonkeyPatch.context() as patch:  # light costs most of the time, and only geometry matters here
        patch.setattr(made_up, "baked_light", lambda room, *_: np.full((len(room.vertices), 3), 0.5, np.float32))
        room = made_up.make_room(seed, made_up.RoomSettings(kind="study", clutter=0.5))
    poses = rotation_set(room, circle(), pitch_deg=-5.0, heading_deg=37.0 * seed)
    plain = replace(room, materials=room.materials[:1], material=np.zeros_like(room.material))
    return poses, Renderer(plain).render_batch(CAMERA, poses, shaded=False).depth.numpy()


def known_share_of(
    poses: NDArray[np.float64], depth: NDArray[np.float32], camera: Camera = CAMERA
) -> Callable[[Matrix], float]:
    """Of a map of views of true depth."""
    volume = TsdfVolume(MapSettings(voxel_size_m=0.05, truncation_m=0.15, max_depth_m=8.0))
    for pose, plane in zip(poses, depth, strict=True):
        volume.integrate(View(np.zeros((*plane.shape, 3), np.uint8), camera, depth=plane, T_world_camera=pose))
    mesh = volume.extract_mesh()
    return lambda pose: float((render_mesh(mesh.vertices, mesh.triangles, camera, pose).element != NOTHING).mean())


def case(
    poses: NDArray[np.float64], depth: NDArray[np.float32], left_out: int, gap: int, way: Side, rng: np.random.Generator
) -> tuple[Decision, int]:
    """What is said of three photos of which one lies beside what is left out, and which one that is.

    Photos ``left_out`` and the ``gap - 1`` after it (to the left) are missing; the map has all others.
    """
    count = len(poses)
    kept = [(left_out + gap + step) % count for step in range(count - gap)]  # from its left end around to its right
    beside = kept[-1] if way is LEFT else kept[0]
    others = rng.choice(kept[2:-2], 2, replace=False).tolist()
    three = rng.permutation([beside, *others])
    return missing_side(poses[three], UP, known_share_of(poses[kept], depth[kept])), int(np.argmax(three == beside))


@cache
def rooms() -> list[tuple[NDArray[np.float64], NDArray[np.float32]]]:
    pytest.importorskip("torch")
    return [photos_of_room(seed) for seed in (1, 2)]


def test_what_was_left_out_of_a_room_is_named() -> None:
    rng, right = np.random.default_rng(0), 0
    for number in range(10):
        way = Side(number % 2)
        found, beside = case(*rooms()[number // 5], left_out=3 * number % 15, gap=4, way=way, rng=rng)
        right += (found.photo, found.side) == (beside, way)
    assert right >= 9


def test_nothing_is_named_where_photos_go_once_around() -> None:
    for poses, depth in rooms():
        known_share = known_share_of(poses, depth)
        assert missing_side(poses, UP, known_share).photo is None
        assert known_share(turned_about(poses[0], UP, 12.0)) > 0.9


POSES = np.stack([photo(0), photo(90), photo(180)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: showroom_decision(POSES[:2], [True] * 2, ALIKE[:2]), r"poses are \(2, 4, 4\)"),
        (lambda: showroom_decision(POSES, [1, 0, 1], ALIKE), "fronts int64"),
        (lambda: showroom_decision(POSES, [True] * 3, ALIKE[:1]), "wall areas of 1 photos"),
        (lambda: showroom_decision(POSES * 2, [True] * 3, ALIKE), "pose of photo 0 has last row"),
        (lambda: missing_side(POSES[:0], UP, lambda _: 1.0), r"poses are \(0, 4, 4\)"),
        (lambda: missing_side(POSES, 0 * UP, lambda _: 1.0), "up is"),
        (lambda: missing_side(POSES, UP, lambda _: 1.0, turn_deg=0.0), "turn_deg is 0.0"),
        (lambda: missing_side(POSES, UP, lambda _: 1.0, min_overlap=1.5), "min_overlap 1.5"),
        (lambda: missing_side(POSES, UP, lambda _: float("nan")), "photo 0 turned LEFT is nan"),
    ],
)
def test_bad_input(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
