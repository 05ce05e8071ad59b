"""Mesh tiles, welding and the GLB they become."""

import io

import numpy as np
import pytest
import trimesh

from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance
from showroom_ros.viewers.glb import glb_bytes
from showroom_ros.viewers.tiles import MeshTiles, vertex_normals, welded


def sphere(radius=1.0, center=(0, 0, 0)) -> Mesh:
    """A welded sphere with a colour per vertex."""
    ball = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    vertices = (ball.vertices + center).astype(np.float32)
    colors = np.random.default_rng(0).integers(0, 256, vertices.shape, dtype=np.uint8)
    normals = ball.vertex_normals.astype(np.float32)
    return Mesh(vertices, ball.faces.astype(np.int32), colors, normals, np.ones(len(vertices), np.uint8))


def exploded(mesh: Mesh) -> Mesh:
    """Every triangle with corners of its own, as markers bring them."""
    corners = mesh.triangles.reshape(-1)
    triangles = np.arange(len(corners), dtype=np.int32).reshape(-1, 3)
    return Mesh(
        mesh.vertices[corners], triangles, mesh.colors[corners], mesh.normals[corners], mesh.provenance[corners]
    )


def test_welding_undoes_exploding():
    mesh = sphere()
    result = welded(exploded(mesh))

    assert len(result.vertices) == len(mesh.vertices)
    np.testing.assert_array_equal(result.vertices[result.triangles], mesh.vertices[mesh.triangles])
    np.testing.assert_array_equal(result.colors[result.triangles], mesh.colors[mesh.triangles])


def test_welding_equals_the_search_for_equal_rows():
    rng = np.random.default_rng(1)
    vertices = rng.integers(-2, 3, (300, 3)).astype(np.float32)
    vertices[rng.random(vertices.shape) < 0.1] = -0.0
    triangles = rng.integers(0, 300, (200, 3)).astype(np.int32)
    zeros = np.zeros((300, 3))
    mesh = Mesh(vertices, triangles, zeros.astype(np.uint8), zeros.astype(np.float32), np.zeros(300, np.uint8))

    result = welded(mesh)

    distinct = {tuple(row) for row in (vertices + 0.0).tolist()}
    assert len(result.vertices) == len(distinct)
    assert {tuple(row) for row in (result.vertices + 0.0).tolist()} == distinct
    np.testing.assert_array_equal(result.vertices[result.triangles], vertices[triangles])


def test_normals_of_a_sphere_point_outwards():
    mesh = sphere()
    normals = vertex_normals(mesh.vertices, mesh.triangles)
    assert (np.einsum("ij,ij->i", normals, mesh.vertices) > 0.99).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-6)


def test_degenerate_triangles_have_unit_normals_too():
    normals = vertex_normals(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0)


def test_tiles_follow_changes():
    tiles = MeshTiles(edge_m=1.0)
    near, far = sphere(0.1, (0.5, 0.5, 0.5)), sphere(0.1, (5.5, 0.5, 0.5))

    tiles.update({"a": near, "b": near, "c": far})
    assert tiles.changed_count == 2
    taken = tiles.take_changed(10)
    assert {index: len(blocks) for index, blocks in taken.items()} == {(0, 0, 0): 2, (5, 0, 0): 1}
    assert tiles.take_changed(10) == {}

    tiles.update({}, ["b", "never seen"])
    assert {index: len(blocks) for index, blocks in tiles.take_changed(10).items()} == {(0, 0, 0): 1}
    tiles.update({"c": Mesh.empty()})
    assert tiles.take_changed(10) == {(5, 0, 0): []}, "a tile without blocks is told once, to be removed"
    tiles.touch_all()
    assert set(tiles.take_changed(10)) == {(0, 0, 0)}


def test_a_block_that_moves_stays_in_its_tile():
    tiles = MeshTiles(edge_m=1.0)
    tiles.update({"a": sphere(0.1, (0.5, 0.5, 0.5))})
    tiles.update({"a": sphere(0.1, (1.5, 0.5, 0.5))})
    (blocks,) = tiles.take_changed(10).values()
    assert len(blocks) == 1


def test_the_longest_changed_come_first():
    tiles = MeshTiles(edge_m=1.0)
    for i in range(5):
        tiles.update({i: sphere(0.1, (i + 0.5, 0.5, 0.5))})
    assert [index[0] for index in tiles.take_changed(2)] == [0, 1]
    tiles.update({0: sphere(0.1, (0.5, 0.5, 0.5))})
    assert [index[0] for index in tiles.take_changed(9)] == [2, 3, 4, 0]


def test_bounds_leave_stray_blocks_out():
    tiles = MeshTiles(edge_m=1.0)
    assert tiles.bounds() is None
    blocks = {(x, y, z): sphere(0.05, (x / 4, y / 4, z / 4)) for x in range(6) for y in range(6) for z in range(6)}
    tiles.update(blocks)
    low, high = tiles.bounds()
    tiles.update({"stray": sphere(0.05, (80, 0, 0))})
    np.testing.assert_allclose([low, high], tiles.bounds())
    np.testing.assert_allclose(low, -0.05, atol=0.01)
    np.testing.assert_allclose(high, 1.30, atol=0.01)
    tiles.clear()
    assert tiles.bounds() is None


@pytest.mark.parametrize("opacity", [1.0, 0.5])
def test_glb_is_read_by_trimesh(opacity):
    mesh = sphere()
    data = glb_bytes(mesh.vertices, mesh.normals, mesh.colors, mesh.triangles, opacity)

    (read,) = trimesh.load(io.BytesIO(data), file_type="glb", process=False).geometry.values()

    np.testing.assert_array_equal(read.vertices.astype(np.float32), mesh.vertices)
    np.testing.assert_array_equal(read.faces, mesh.triangles)
    np.testing.assert_allclose(read.vertex_normals, mesh.normals, atol=1e-5)
    linear = read.visual.vertex_attributes["color"][:, :3] / 65535
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_array_equal(np.rint(srgb * 255), mesh.colors), "colours are stored as linear light, losslessly"


def test_provenance_survives_welding():
    mesh = sphere()
    provenance = np.where(mesh.vertices[:, 0] > 0, Provenance.PREDICTED, Provenance.MEASURED).astype(np.uint8)
    mesh = Mesh(mesh.vertices, mesh.triangles, mesh.colors, mesh.normals, provenance)
    result = welded(exploded(mesh))
    np.testing.assert_array_equal(result.provenance[result.triangles], provenance[mesh.triangles])
