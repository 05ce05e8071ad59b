import numpy as np
import pytest

from showroom_ros.scene.marching_cubes import EDGES, triangle_table
from showroom_ros.scene.volume_reference import reference_triangles


def test_a_cell_with_one_sign_has_no_surface_and_every_other_has():
    counts, _ = triangle_table()
    assert counts[0] == counts[255] == 0
    assert (counts[1:255] > 0).all()
    assert counts.max() <= 5


def test_every_crossed_edge_and_no_other_carries_a_vertex():
    counts, table = triangle_table()
    for case in range(256):
        crossed = {n for n, (a, b) in enumerate(EDGES) if (case >> a & 1) != (case >> b & 1)}
        assert set(table[case, : counts[case]].ravel().tolist()) == crossed


def test_triangles_face_the_outside():
    counts, table = triangle_table()
    middle = np.array([[np.mean([c >> axis & 1 for c in edge]) for axis in range(3)] for edge in EDGES])
    corner_signs = {
        case: np.array([-1.0 if case >> c & 1 else 1.0 for c in range(8)]) for case in (1, 2, 3, 15, 51, 254)
    }
    for case, signs in corner_signs.items():
        gradient = [sum(signs[c] * (1 if c >> axis & 1 else -1) for c in range(8)) for axis in range(3)]
        for triangle in table[case, : counts[case]]:
            a, b, c = middle[triangle]
            assert np.cross(b - a, c - a) @ gradient > 0


@pytest.mark.parametrize("seed", range(4))
def test_surfaces_of_random_fields_are_closed_manifolds(seed):
    """Noise meets every case and every ambiguous face."""
    field = np.random.default_rng(seed).normal(size=(9, 9, 9))
    for axis in range(3):
        for side in (0, -1):
            np.moveaxis(field, axis, 0)[side] = 1.0
    triangles = reference_triangles(field, np.ones(field.shape, bool), 1.0)
    _, corners = np.unique(triangles.reshape(-1, 3).round(9), axis=0, return_inverse=True)
    corners = corners.reshape(-1, 3)
    edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    directed = {tuple(edge) for edge in edges.tolist()}
    assert len(directed) == len(edges), "an edge is used twice in one direction"
    assert all((b, a) in directed for a, b in directed), "an edge has no triangle on its other side"
