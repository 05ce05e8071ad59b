"""ShapeNet models rendered to HDF5: normalisation, cameras, masks, lists, bytes."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from furnished_room import box
from hypothesis import given, settings
from hypothesis import strategies as st
from known_meshes import mesh_of, sphere
from layout_shapenet import AIRPLANE, CAR, HALF, MODELS, RED, write_shapenet
from made_up_recipe import tree

from showroom_ros.datasets.prepare import shapenet
from showroom_ros.datasets.prepare.model_views import (
    AMBIENT,
    LAMPS,
    model_views,
    normalised,
    orbit_pose,
    square_camera,
    triangle_shades,
)
from showroom_ros.datasets.prepare.recipe import Item
from showroom_ros.datasets.prepare.run import prepare
from showroom_ros.datasets.prepare.sampling import in_random_order, split_names
from showroom_ros.datasets.prepare.shapenet import RECIPE, ShapeNetSettings, find_shapenet, prepare_shapenet
from showroom_ros.datasets.prepare.textured_model import TexturedModel, barycentric, load_textured_model, sampled
from showroom_ros.datasets.shapenet import ShapeNetRenders
from showroom_ros.errors import DatasetError, InputError, SettingsError
from showroom_ros.geometry.se3 import inverse, transform_points

plain = TexturedModel.plain
SMALL = ShapeNetSettings(image_size=64)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapenet(tmp_path_factory.mktemp("shapenet"))


@pytest.fixture(scope="module")
def renders(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The red car, rendered."""
    out = tmp_path_factory.mktemp("out") / CAR / MODELS[CAR][0]
    out.mkdir(parents=True)
    item = Item(f"{CAR}/{MODELS[CAR][0]}", root / CAR / MODELS[CAR][0])
    assert prepare_shapenet(item, out, SMALL) == []
    return out / "renders.h5"


def corners_of_box() -> np.ndarray:
    """Vertices of the layout's box, normalised by hand: farthest corner at 0.27."""
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    return signs * HALF * (0.27 / np.linalg.norm(HALF))


def test_normalised_by_hand() -> None:
    mesh = normalised(plain(box((1, 2, 3), (3, 6, 7))), 0.3).mesh
    assert np.linalg.norm(mesh.vertices, axis=1) == pytest.approx(0.3)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0) / np.ptp(mesh.vertices[:, 0]), [1, 2, 2], rtol=1e-6)


@given(scale=st.floats(1e-3, 1e3), shift=st.tuples(*[st.floats(-100, 100)] * 3), radius=st.floats(0.01, 0.5))
@settings(max_examples=30)
def test_normalised_is_the_same_for_moved_and_scaled_models(
    scale: float, shift: tuple[float, float, float], radius: float
) -> None:
    model = box((-1, -0.5, -0.25), (1, 0.5, 0.25))
    moved = mesh_of(model.vertices * scale + np.array(shift) * scale, model.triangles)
    expected = normalised(plain(model), radius).mesh.vertices
    np.testing.assert_allclose(normalised(plain(moved), radius).mesh.vertices, expected, atol=1e-4)
    assert np.abs(expected).max() <= 0.5


def test_arrays_are_as_documented(renders: Path) -> None:
    with h5py.File(renders) as file:
        found = {name: (array.shape, array.dtype.str, array.compression) for name, array in file.items()}
        attributes = dict(file.attrs)
        mask, rgb = file["mask"][()], file["rgb"][()]
        np.testing.assert_allclose(file["K"], [[150, 0, 31.5], [0, 150, 31.5], [0, 0, 1]])
    assert found == {
        "rgb": ((5, 64, 64, 3), "|u1", "gzip"),
        "mask": ((5, 64, 64), "|u1", "gzip"),
        "K": ((3, 3), "<f4", "gzip"),
        "world_T_cam": ((5, 4, 4), "<f4", "gzip"),
        "azimuth": ((5,), "<f4", "gzip"),
        "elevation": ((5,), "<f4", "gzip"),
        "distance": ((5,), "<f4", "gzip"),
    }
    assert (attributes["img_size"], attributes["seed"]) == (64, 0)
    assert attributes["convention"].startswith("opencv: world_T_cam maps camera points in OpenCV axes")
    assert set(np.unique(mask)) == {0, 1}
    assert not rgb[mask == 0].any()


def test_the_reader_reads_what_the_recipe_wrote(renders: Path) -> None:
    views = ShapeNetRenders(renders.parent)
    assert (len(views), views.name) == (5, f"{CAR}/{MODELS[CAR][0]}")
    assert (views.camera.fx, views.camera.cx, views.camera.width) == (150, 31.5, 64)
    for index in range(5):
        pose = views[index].require_pose()
        a, e = np.radians([views.azimuth_deg[index], views.elevation_deg[index]])
        eye = views.distance[index] * np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
        np.testing.assert_allclose(pose[:3, 3], eye, atol=1e-6)
        np.testing.assert_allclose((inverse(pose) @ [0, 0, 0, 1])[:3], [0, 0, views.distance[index]], atol=1e-6)
        assert pose[:3, 0] @ [0, 1, 0] == pytest.approx(0, abs=1e-6)  # no roll
        assert pose[:3, 1] @ [0, 1, 0] < 0  # y up is up in the image


def test_vertices_projected_with_the_stored_camera_land_in_the_mask(renders: Path) -> None:
    views = ShapeNetRenders(renders.parent)
    for index in range(5):
        local = transform_points(inverse(views[index].require_pose()), corners_of_box())
        pixels = np.rint(views.camera.project(local)[0]).astype(int)
        mask = views.mask(index)
        assert ((pixels >= 0) & (pixels < 64)).all()
        rows, columns = np.nonzero(mask)
        assert abs(columns.min() - pixels[:, 0].min()) <= 1
        assert abs(columns.max() - pixels[:, 0].max()) <= 1
        assert abs(rows.min() - pixels[:, 1].min()) <= 1
        assert abs(rows.max() - pixels[:, 1].max()) <= 1
        inner = transform_points(inverse(views[index].require_pose()), 0.9 * corners_of_box())
        u, v = np.rint(views.camera.project(inner)[0]).astype(int).T
        assert mask[v, u].all()


def test_colours_are_those_of_the_material_times_the_light(renders: Path) -> None:
    views = ShapeNetRenders(renders.parent)
    shades = {round(shade, 3) for shade in triangle_shades(box((-3, -1, -2), (3, 1, 2)))}
    image, mask = views[0].image, views.mask(0)
    ratios = image[mask].astype(float) / np.array([*RED[:2], np.inf])
    inner = np.unique(np.round(ratios[:, 0], 2), return_counts=True)
    common = inner[0][inner[1] > 50]
    assert len(common)
    for ratio in common:
        assert min(abs(ratio - shade) for shade in shades) < 0.011
    np.testing.assert_allclose(ratios[:, 0], ratios[:, 1], atol=0.012)
    assert (image[mask][:, 2] == 0).all()


def test_textures_colour_the_model(root: Path, tmp_path: Path) -> None:
    model = MODELS[AIRPLANE][0]
    assert prepare_shapenet(Item(f"{AIRPLANE}/{model}", root / AIRPLANE / model), tmp_path, SMALL) == []
    views = ShapeNetRenders(tmp_path)
    pixels = np.concatenate([views[index].image[views.mask(index)] for index in range(5)]).astype(int)
    assert (pixels[:, 0] < 10).all()
    assert (pixels[:, 1] > 60).any()
    assert (pixels[:, 2] > 60).any()


def test_a_texture_is_looked_up_at_every_pixel(tmp_path: Path) -> None:
    """A square of two triangles with a checkerboard: its vertices alone would be of one colour."""
    checkers = np.zeros((64, 64, 3), np.uint8)
    v, u = np.mgrid[:64, :64]
    checkers[(u // 8 + v // 8) % 2 == 0] = (255, 128, 0)
    cv2.imwrite(str(tmp_path / "checkers.png"), checkers[..., ::-1])
    (tmp_path / "m.mtl").write_text("newmtl skin\nKd 1 1 1\nmap_Kd checkers.png\n")
    corners = [(x, y) for y in (0, 1) for x in (0, 1)]
    lines = [
        "mtllib m.mtl",
        *(f"v {2 * x - 1} {2 * y - 1} 0" for x, y in corners),
        *(f"vt {x} {y}" for x, y in corners),
    ]
    (tmp_path / "m.obj").write_text("\n".join([*lines, "usemtl skin", "f 1/1 2/2 4/4", "f 1/1 4/4 3/3"]))
    model = load_textured_model(tmp_path / "m.obj")
    assert (len(model.textures), model.texture.tolist()) == (1, [0, 0])
    camera = square_camera(128, 128.0)
    views = model_views(model, camera, np.zeros(1), np.zeros(1), np.full(1, 2.0))  # the square fills the image
    assert views.mask.mean() == pytest.approx(1.0, abs=0.05)
    shade = triangle_shades(model.mesh)[0]
    centres = np.arange(8, 128, 16)
    seen = views.rgb[0][np.ix_(centres, centres)]
    expected = np.where(((np.add.outer(np.arange(8), np.arange(8))) % 2 == 0)[..., None], (255, 128, 0), 0) * shade
    assert np.abs(seen - expected).max() <= 1


def test_sampling_by_hand() -> None:
    texture = np.array([[[0, 0, 0], [100, 0, 0]], [[0, 200, 0], [0, 0, 40]]], np.uint8)
    places = np.array([[0.25, 0.75], [0.75, 0.75], [0.25, 0.25], [0.5, 0.5], [1.25, -0.25]])
    expected = [[0, 0, 0], [100, 0, 0], [0, 200, 0], [25, 50, 10], [0, 0, 0]]
    np.testing.assert_allclose(sampled(texture, places), expected, atol=1e-9)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda w: sum(w) > 0.1), st.integers(0, 99))
def test_barycentric_weights_give_the_point(weights: list[float], seed: int) -> None:
    corners = np.random.default_rng(seed).uniform(-1, 1, (1, 3, 3))
    given_weights = np.array([weights]) / sum(weights)
    point = np.einsum("nc,ncd->nd", given_weights, corners)
    np.testing.assert_allclose(barycentric(corners, point), given_weights, atol=1e-6)


def test_shades_by_hand() -> None:
    facing = mesh_of(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 1], [0, 0, 0]]))
    lamps = [strength * abs(d[2]) / np.linalg.norm(d) for strength, d in LAMPS]
    np.testing.assert_allclose(triangle_shades(facing), [AMBIENT + sum(lamps)] * 2 + [AMBIENT], rtol=1e-6)
    assert AMBIENT + sum(strength for strength, _ in LAMPS) <= 1.0


def test_mask_of_a_sphere_has_the_right_area() -> None:
    camera = square_camera(128, 300)
    ones = np.ones(3)
    views = model_views(plain(sphere(0.2, steps=48)), camera, 120 * np.arange(3), np.array([-60.0, 0, 60]), 1.5 * ones)
    radius_px = 300 * 0.2 / np.sqrt(1.5**2 - 0.2**2)
    np.testing.assert_allclose(views.mask.sum(axis=(1, 2)), np.pi * radius_px**2, rtol=0.01)
    rows, columns = np.nonzero(views.mask[1])
    assert (rows.mean(), columns.mean()) == (pytest.approx(63.5, abs=0.1), pytest.approx(63.5, abs=0.1))


def test_views_are_where_azimuth_and_elevation_say() -> None:
    np.testing.assert_allclose(orbit_pose(0, 0, 2)[:3, 3], [0, 0, 2], atol=1e-12)
    np.testing.assert_allclose(orbit_pose(90, 0, 2)[:3, 3], [2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(orbit_pose(0, 30, 2)[:3, 3], [0, 1, np.sqrt(3)], atol=1e-12)


def test_viewpoints_are_spread_as_configured(root: Path, tmp_path: Path) -> None:
    item = Item(f"{CAR}/{MODELS[CAR][0]}", root / CAR / MODELS[CAR][0])
    prepare_shapenet(item, tmp_path, ShapeNetSettings(image_size=16, views=200))
    views = ShapeNetRenders(tmp_path)
    for values, low, high in (
        (views.azimuth_deg, 0, 360),
        (views.elevation_deg, -75, 75),
        (views.distance, 1.3, 1.7),
    ):
        margin = 0.05 * (high - low)
        assert low <= values.min() <= low + margin
        assert high - margin <= values.max() <= high


def test_same_bytes_every_time(root: Path, renders: Path, tmp_path: Path) -> None:
    time.sleep(1.1)  # HDF5 would store times in seconds
    item = Item(f"{CAR}/{MODELS[CAR][0]}", root / CAR / MODELS[CAR][0])
    prepare_shapenet(item, tmp_path, SMALL)
    assert (tmp_path / "renders.h5").read_bytes() == renders.read_bytes()
    prepare_shapenet(item, tmp_path, ShapeNetSettings(image_size=64, seed=1))
    assert (tmp_path / "renders.h5").read_bytes() != renders.read_bytes()
    assert str(root).encode() not in renders.read_bytes()


def test_through_the_runner(root: Path, renders: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        summary = prepare(RECIPE, root, tmp_path / name, SMALL, executor="processes")
        assert (summary.is_complete, summary.left_out) == (True, 0)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert (tmp_path / "a" / CAR / MODELS[CAR][0] / "renders.h5").read_bytes() == renders.read_bytes()
    train, val = ((tmp_path / "a" / name).read_text().split() for name in ("train.txt", "val.txt"))
    keys = [f"{synset}/{model}" for synset, models in MODELS.items() for model in models]
    assert sorted(train + val) == sorted(keys)
    assert [key.split("/")[0] for key in val] == [AIRPLANE]  # the only car stays in training


def test_which_models(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [item.key for item in find_shapenet(root, None)]
    assert keys == [f"{synset}/{model}" for synset, models in MODELS.items() for model in sorted(models)]
    assert [item.key for item in find_shapenet(root, "test")] == [f"{AIRPLANE}/{MODELS[AIRPLANE][1]}"]
    monkeypatch.setattr(shapenet, "MODELS_PER_SYNSET", 1)
    assert len(find_shapenet(root, None)) == 2
    assert len(find_shapenet(root, "everything")) == 3


def test_other_synsets_only_when_all_are_asked_for(tmp_path: Path) -> None:
    (write_shapenet(tmp_path) / CAR).rename(tmp_path / "04530566")
    assert {item.key.split("/")[0] for item in find_shapenet(tmp_path, None)} == {AIRPLANE}
    assert {item.key.split("/")[0] for item in find_shapenet(tmp_path, "everything")} == {AIRPLANE, "04530566"}


@given(st.sets(st.text("abcdef", min_size=1, max_size=6), min_size=2, max_size=40), st.integers(0, 5))
def test_order_and_lists_depend_on_names_alone(names: set[str], seed: int) -> None:
    order = in_random_order(sorted(names), seed)
    assert order == in_random_order(sorted(names, reverse=True), seed)
    without = sorted(names)[1:]
    assert [name for name in order if name in without] == in_random_order(without, seed)
    train, val = split_names(names, 0.2, seed)
    assert sorted(train + val) == sorted(names)
    assert len(val) == min(max(round(0.2 * len(names)), 1), len(names) - 1)
    assert split_names(names, 0.0, seed) == (sorted(names), [])


def test_one_name_is_for_training() -> None:
    assert split_names(["a"], 0.5) == (["a"], [])
    assert split_names([], 0.5) == ([], [])


OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv nan 0 0\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "has no models/model_normalized.obj or model.obj"),
        ("", "model.obj"),
        ("v 0 0 0\nv 1 0 0\n", "model.obj"),
        (OBJ + "f 1 2 4\n", "vertices that are not finite"),
        ("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", "the mesh has no extent"),
        ("this is no mesh", "model.obj"),
        (OBJ[:30] + "f 1 2 99\n", "model.obj"),
    ],
)
def test_bad_models(tmp_path: Path, text: str | None, words: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    if text is not None:
        (folder / "model.obj").write_text(text)
    with pytest.raises(DatasetError) as raised:
        prepare_shapenet(Item("02958343/model", folder), tmp_path, SMALL)
    assert words in str(raised.value)
    assert str(folder) in str(raised.value)


def test_a_mesh_without_triangles_cannot_be_normalised() -> None:
    with pytest.raises(InputError, match="no triangles"):
        normalised(plain(mesh_of(np.zeros((3, 3)), np.zeros((0, 3), int))), 0.27)


def test_bad_models_do_not_stop_a_run(tmp_path: Path) -> None:
    root = write_shapenet(tmp_path / "root")
    (root / CAR / "0bad" / "models").mkdir(parents=True)
    (root / CAR / "0bad/models/model_normalized.obj").write_text("v 0 0 0\n")
    summary = prepare(RECIPE, root, tmp_path / "out", ShapeNetSettings(image_size=16), executor="processes")
    assert [outcome.key for outcome in summary.of_state("failed")] == [f"{CAR}/0bad"]
    assert not (tmp_path / "out" / CAR / "0bad").exists()
    assert "0bad" not in (tmp_path / "out/train.txt").read_text() + (tmp_path / "out/val.txt").read_text()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (ShapeNetSettings(radius=0.28), "radius is 0.28, expected at most 0.271"),
        (ShapeNetSettings(focal_px_at_128=400.0), "pictures would cut models off"),
        (ShapeNetSettings(max_distance=1.0), "max_distance is 1.0, min_distance 1.3"),
    ],
)
def test_settings_that_do_not_fit(root: Path, tmp_path: Path, bad: ShapeNetSettings, words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        prepare_shapenet(Item("x", root / CAR / MODELS[CAR][0]), tmp_path, bad)
    assert words in str(raised.value)


def test_no_models(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="looked for"):
        find_shapenet(tmp_path, None)
