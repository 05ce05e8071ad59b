from __future__ import annotations

import numpy as np
import pytest

from showroom_ros.datasets.synthetic import textures
from showroom_ros.datasets.synthetic.floor_plan import FloorPlan
from showroom_ros.datasets.synthetic.ground_truth import exact_mesh
from showroom_ros.datasets.synthetic.interiors import KINDS, furnish
from showroom_ros.datasets.synthetic.lighting import OccupancyGrid
from showroom_ros.datasets.synthetic.palette import make_palette
from showroom_ros.datasets.synthetic.pictures import poster
from showroom_ros.datasets.synthetic.plans import make_home
from showroom_ros.datasets.synthetic.room import Layout, Room, RoomSettings, make_room
from showroom_ros.errors import InputError

RNG = np.random.default_rng
PALETTE = make_palette(RNG(0))


def doubled_areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[triangles[:, i]].astype(np.float64) for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1)


def test_same_seed_gives_the_same_room_and_another_seed_another(room: Room) -> None:
    again = make_room(7, RoomSettings("living room", "rectangle"))
    for name in ("vertices", "normals", "uv", "light", "triangles", "material", "instance", "layout"):
        np.testing.assert_array_equal(getattr(again, name), getattr(room, name), err_msg=name)
    assert all((a.texture == b.texture).all() for a, b in zip(again.materials, room.materials, strict=True))
    assert again.exposure == room.exposure
    first, second = (make_home(RNG(seed), ["study"]).corners for seed in (1, 2))
    assert first.tolist() != second.tolist()


def test_room_is_a_plausible_living_room(room: Room) -> None:
    size = room.plan.corners.max(0)
    assert 3.8 <= size[0] <= 4.4
    assert 4.6 <= size[1] <= 5.3
    assert {"floor", "ceiling", "wall", "door", "window", "sofa", "picture", "ceiling lamp"} <= set(room.categories)
    assert {int(value) for value in np.unique(room.layout)} == {int(value) for value in Layout}
    low, high = room.vertices.min(0), room.vertices.max(0)
    assert low[2] >= -0.001
    assert high[2] <= room.plan.height_m + 0.001
    assert (room.light >= 0).all()
    assert np.isfinite(room.light).all()


def test_normals_are_unit_and_agree_with_the_winding(room: Room) -> None:
    np.testing.assert_allclose(np.linalg.norm(room.normals, axis=1), 1, atol=1e-5)
    agreement = (room.normals[room.triangles] * room.face_normals[:, None]).sum(-1).mean(1)
    assert (agreement > 0.2).all()


def test_floor_looks_up_the_ceiling_down_and_walls_inwards(room: Room) -> None:
    z = room.face_normals[:, 2]
    floor = np.isin(room.instance, [i for i, name in enumerate(room.categories) if name == "floor"])
    assert (room.layout[floor] == Layout.FLOOR).all()
    assert (z[floor] > 0.999).all()
    ceiling = np.isin(room.instance, [i for i, name in enumerate(room.categories) if name == "ceiling"])
    assert (room.layout[ceiling] == Layout.CEILING).all()
    assert (z[ceiling] < -0.7).all()
    walls = np.isin(room.instance, [i for i, name in enumerate(room.categories) if name == "wall"])
    middles = room.vertices[room.triangles[walls]].mean(1)[:, :2].astype(float)
    inwards = middles + 0.05 * room.face_normals[walls][:, :2]
    assert (room.plan.wall_distance(inwards) > 0.04).all()


def test_every_solid_is_closed() -> None:
    """The faces of each piece of furniture enclose it: their area vectors sum to zero."""
    for kind in KINDS:
        for placed in furnish(RNG(3), make_home(RNG(3), [kind]).rooms[0], PALETTE):
            total, size = np.zeros(3), 0.0
            for surface in placed.piece.surfaces:
                a, b, c = (surface.vertices[surface.triangles[:, i]] for i in range(3))
                vectors = np.cross(b - a, c - a)
                total, size = total + vectors.sum(0), size + np.linalg.norm(vectors, axis=1).sum()
            assert np.abs(total).max() < 1e-9 * size + 1e-9, placed.piece.category


def test_pieces_fit_the_box_they_claim() -> None:
    for kind in KINDS:
        for placed in furnish(RNG(5), make_home(RNG(5), [kind]).rooms[0], PALETTE):
            piece = placed.piece
            points = np.concatenate([s.vertices for s in piece.surfaces])
            low, high = points.min(0), points.max(0)
            assert low[0] >= -piece.width / 2 - 0.03, piece.category
            assert high[0] <= piece.width / 2 + 0.03, piece.category
            assert low[1] >= -0.01, piece.category
            assert high[1] <= piece.depth + 0.03, piece.category
            assert low[2] >= -1e-9, piece.category
            assert high[2] <= piece.height + 0.03, piece.category


def test_wall_distance_of_an_l_shaped_plan_equals_hand_computed_values() -> None:
    corners = np.array([[0, 0], [4, 0], [4, 2], [2, 2], [2, 4], [0, 4]], float)
    plan = FloorPlan(corners, 2.5)
    points = np.array([[1, 1], [3, 1], [3, 3], [1.5, 3], [-1, 1], [1.5, 1.5]], float)
    expected = [1, 1, -1, 0.5, -1, np.hypot(0.5, 0.5)]
    np.testing.assert_allclose(plan.wall_distance(points), expected, atol=1e-12)


def test_textures_are_images_and_plain_ones_tile() -> None:
    rng = RNG(0)
    made = {
        "plaster": textures.plaster(rng, (0.8, 0.8, 0.7)),
        "fabric": textures.fabric(rng, (0.5, 0.2, 0.2)),
        "poster": poster(rng),
        "rug": textures.rug(rng),
        "spines": textures.spines(rng),
        "planks": textures.planks(rng, (0.6, 0.4, 0.2)),
    }
    for name, image in made.items():
        assert image.shape == (textures.SIZE, textures.SIZE, 3), name
        assert image.dtype == np.float32, name
        assert image.min() >= 0, name
        assert image.max() <= 1, name
        assert image.std() > 0.005, name
    for name in ("plaster", "fabric"):
        image = made[name]
        seam = np.abs(image[:, 0] - image[:, -1]).mean()
        inner = np.abs(np.diff(image, axis=1)).mean()
        assert seam < 2 * inner, name


def test_exact_mesh_is_the_rendered_surface(room: Room) -> None:
    mesh = exact_mesh(room, 0.08)
    before = doubled_areas(room.vertices, room.triangles).sum()
    after = doubled_areas(mesh.vertices, mesh.triangles)
    assert after.sum() == pytest.approx(before, rel=1e-5)
    corners = mesh.vertices[mesh.triangles]
    assert np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max() <= 0.08 + 1e-6
    assert mesh.vertices.dtype == np.float32
    assert mesh.triangles.dtype == np.int32
    assert mesh.colors.std(0).min() > 20


def test_compiled_ray_march_equals_torch(room: Room) -> None:
    import torch

    fast, reference = OccupancyGrid(room, backend="numba"), OccupancyGrid(room, backend="torch")
    generator = torch.Generator().manual_seed(0)
    number = torch.randint(len(fast.vertices), (4000,), generator=generator)
    origins = fast.vertices[number] + 0.04 * fast.normals[number]
    directions = torch.nn.functional.normalize(torch.randn(4000, 3, generator=generator), dim=1)
    reach = torch.full((4000,), 4.0)
    same = fast.first_hit(origins, directions, reach) == reference.first_hit(origins, directions, reach)
    assert same.float().mean() > 0.999


def test_shadow_lies_under_the_furniture(room: Room) -> None:
    """The floor below a table top receives less light than the brightest open floor."""
    floor = np.unique(room.triangles[room.layout == Layout.FLOOR])
    points, light = room.vertices[floor, :2], room.light[floor].mean(1)
    covered = np.zeros(len(points), bool)
    for placed in room.furniture:
        if placed.piece.category in ("sofa", "dresser", "tv"):
            x0, y0, x1, y1 = placed.footprint
            covered |= (points > (x0, y0)).all(1) & (points < (x1, y1)).all(1)
    assert covered.sum() > 20
    assert light[covered].mean() < 0.6 * np.median(light[~covered])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1, "device": "abacus"}, "device 'abacus' is unknown"),
    ],
)
def test_bad_rooms_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_room(**arguments)


def test_exact_mesh_refuses_a_bad_edge(room: Room) -> None:
    with pytest.raises(InputError, match="edge_m is 0"):
        exact_mesh(room, 0)
