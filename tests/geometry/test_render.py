"""The rasteriser against casting every ray at every triangle, and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera
from showroom_ros.geometry.render import render_mesh, render_mesh_reference, splat_points
from showroom_ros.geometry.se3 import inverse, look_at, pose_from, transform_points

CAMERA = Camera(32, 24, 25.0, 26.0, 15.2, 11.9)
BOX_VERTICES = np.array([[x, y, z] for x in (-2, 2) for y in (-1.5, 1.5) for z in (-1, 1)], np.float32)
BOX_QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
BOX_OUTWARDS = np.array([t for a, b, c, d in BOX_QUADS for t in ((a, b, c), (a, c, d))], np.int32)
BOX_INWARDS = BOX_OUTWARDS[:, ::-1]


def colors_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3)).astype(np.uint8)


def assert_same(fast: tuple, slow: tuple) -> None:
    """Equal up to which of two triangles an edge pixel is given to."""
    np.testing.assert_array_equal(np.isnan(fast[1]), np.isnan(slow[1]))
    np.testing.assert_allclose(fast[1], slow[1], rtol=1e-5)
    assert np.mean(fast[2] != slow[2]) < 0.01
    same = fast[2] == slow[2]
    assert np.abs(fast[0].astype(int) - slow[0].astype(int))[same].max(initial=0) <= 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.booleans())
def test_fast_equals_reference_on_triangles_all_around(seed: int, count: int, cull: bool) -> None:
    """Triangles before, behind and through the camera plane."""
    generator = np.random.default_rng(seed)
    vertices = generator.uniform(-2, 2, (3 * count, 3))
    triangles = np.arange(3 * count).reshape(-1, 3)
    pose = look_at(generator.uniform(-1, 1, 3), generator.uniform(2, 3, 3))
    arguments = (vertices, triangles, CAMERA, pose, colors_of(3 * count, seed))
    options = {"cull_backfaces": cull, "near_m": 0.05}
    assert_same(render_mesh(*arguments, **options), render_mesh_reference(*arguments, **options))


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.floats(-0.9, 0.9)] * 3), st.tuples(*[st.floats(-5, 5)] * 3))
def test_inside_a_box_every_ray_hits_at_the_right_depth(eye: tuple[float, ...], target: tuple[float, ...]) -> None:
    """No cracks between triangles, and depth known in closed form."""
    if np.linalg.norm(np.cross(np.subtract(target, eye), (0, 0, 1))) < 0.1:
        return
    pose = look_at(eye, target)
    depth = render_mesh(BOX_VERTICES, BOX_INWARDS, CAMERA, pose, cull_backfaces=True).depth
    rays = CAMERA.rays() @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        to_walls = (np.sign(rays) * (2, 1.5, 1) - np.array(eye)) / rays
    np.testing.assert_allclose(depth, np.where(np.isfinite(to_walls), to_walls, np.inf).min(axis=-1), rtol=1e-5)


def test_backfaces() -> None:
    pose = look_at((-6, -4, 3), (0, 0, 0))
    whole = render_mesh(BOX_VERTICES, BOX_OUTWARDS, CAMERA, pose)
    culled = render_mesh(BOX_VERTICES, BOX_OUTWARDS, CAMERA, pose, cull_backfaces=True)
    np.testing.assert_array_equal(whole.element, culled.element)
    inner = render_mesh(BOX_VERTICES, BOX_INWARDS, CAMERA, pose, cull_backfaces=True)
    assert np.all(inner.depth[whole.element >= 0] > whole.depth[whole.element >= 0])


def test_pixel_centres_and_perspective() -> None:
    """A floor seen at an angle: each depth is that of the ray through the pixel's centre."""
    floor = np.array([[-50, 1, 0.5], [50, 1, 0.5], [50, 1, 100], [-50, 1, 100]], float)
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    colors = np.array([[0, 0, 0], [255, 0, 0], [255, 0, 0], [0, 0, 0]], np.uint8)
    seen = render_mesh(floor, triangles, CAMERA, np.eye(4), colors)
    v, u = 20, 22
    z = 1.0 / ((v - CAMERA.cy) / CAMERA.fy)
    assert seen.depth[v, u] == pytest.approx(z, rel=1e-6)
    x = (u - CAMERA.cx) / CAMERA.fx * z
    assert seen.rgb is not None
    assert int(seen.rgb[v, u, 0]) == pytest.approx((x + 50) / 100 * 255, abs=0.51)


def test_nearer_hides_farther_whatever_the_order() -> None:
    sheets = np.array([[-9, -9, z] for z in (2, 1)] + [[9, -9, z] for z in (2, 1)] + [[0, 9, z] for z in (2, 1)], float)
    both = np.array([[0, 2, 4], [1, 3, 5]])
    assert (render_mesh(sheets, both, CAMERA, np.eye(4)).element == 1).all()
    assert (render_mesh(sheets, both[::-1], CAMERA, np.eye(4)).element == 0).all()


def test_near_limit_cuts() -> None:
    sheet = np.array([[-9, -9, 0.5], [9, -9, 0.5], [0, 9, 0.5]])
    assert np.isnan(render_mesh(sheet, [[0, 1, 2]], CAMERA, np.eye(4), near_m=0.6).depth).all()
    np.testing.assert_allclose(render_mesh(sheet, [[0, 1, 2]], CAMERA, np.eye(4), near_m=0.4).depth, 0.5)


def test_nothing_and_degenerate_triangles() -> None:
    empty = render_mesh(
        np.zeros((0, 3)), np.zeros((0, 3), int), CAMERA, np.eye(4), np.zeros((0, 3), np.uint8), background=(9, 8, 7)
    )
    assert (empty.require_rgb() == (9, 8, 7)).all()
    assert (empty.element == -1).all()
    line = np.array([[0, 0, 1.0], [1, 1, 1], [2, 2, 1]])
    assert np.isnan(render_mesh(line, [[0, 1, 2], [1, 1, 1]], CAMERA, np.eye(4)).depth).all()
    lost = np.array([[np.nan, 0, 1.0], [1, 1, 1], [2, 0, 1]])
    assert np.isnan(render_mesh(lost, [[0, 1, 2]], CAMERA, np.eye(4)).depth).all()


def splat_reference(points: np.ndarray, pose: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    depth = np.full((24, 32), np.nan, np.float32)
    element = np.full((24, 32), -1)
    pixels, z = CAMERA.project(transform_points(inverse(pose), points))
    for n in range(len(points)):
        if z[n] < 0.01:
            continue
        u, v = np.floor(pixels[n] + 0.5).astype(int)
        for row in range(v - radius, v + radius + 1):
            for column in range(u - radius, u + radius + 1):
                inside = 0 <= row < 24 and 0 <= column < 32
                if inside and not depth[row, column] <= np.float32(z[n]):
                    depth[row, column], element[row, column] = z[n], n
    return depth, element


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 3))
def test_splats_equal_reference(seed: int, radius: int) -> None:
    generator = np.random.default_rng(seed)
    points, pose = generator.uniform(-3, 3, (200, 3)), pose_from(generator.uniform(-1, 1, 3))
    colors = colors_of(200, seed)
    seen = splat_points(points, CAMERA, pose, colors, radius_px=radius, background=(1, 2, 3))
    depth, element = splat_reference(points, pose, radius)
    np.testing.assert_allclose(seen.depth, depth, rtol=1e-6)
    np.testing.assert_array_equal(seen.element, element)
    expected = np.where(element[..., None] >= 0, colors[element], np.array([1, 2, 3], np.uint8))
    np.testing.assert_array_equal(seen.require_rgb(), expected)


def test_points_that_are_not_finite_are_left_out() -> None:
    points = np.array([[np.nan, 0, 1], [0, 0, np.inf], [0, np.inf, 1], [0, 0, 2.0]])
    seen = splat_points(points, CAMERA, np.eye(4))
    assert set(np.unique(seen.element)) == {-1, 3}
    assert seen.rgb is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"vertices": np.zeros((3, 2))}, r"vertices are \(3, 2\), expected \(V, 3\)"),
        ({"triangles": np.zeros((1, 4), int)}, r"triangles are \(1, 4\), expected \(T, 3\)"),
        ({"triangles": [[0, 1, 9]]}, "triangles name vertices 0 to 9, expected 0 to 7"),
        ({"triangles": [[0, 1, -1]]}, "triangles name vertices -1 to 1"),
        ({"colors": np.zeros((8, 3))}, r"colors are float64 \(8, 3\), expected uint8 \(8, 3\)"),
        ({"colors": np.zeros((7, 3), np.uint8)}, r"colors are uint8 \(7, 3\)"),
        ({"camera": Camera(4, 4, 1, 1, 0, 0, "equidistant", (0, 0, 0, 0))}, "needs an undistorted camera"),
    ],
)
def test_bad_input(changes: dict[str, object], expected: str) -> None:
    good = {"vertices": BOX_VERTICES, "triangles": BOX_INWARDS, "camera": CAMERA, "T_world_camera": np.eye(4)}
    for render in (render_mesh, render_mesh_reference):
        with pytest.raises(InputError, match=expected):
            render(**{**good, **changes})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="has no colours"):
        render_mesh(**good).require_rgb()  # type: ignore[arg-type]
