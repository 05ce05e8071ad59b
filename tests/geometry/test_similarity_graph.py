"""Windows tied by similarities, in chains and loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from showroom_ros.errors import InputError
from showroom_ros.geometry.similarity import Similarity
from showroom_ros.geometry.similarity_graph import Edge, composed, inverted, loop_error, optimised


def random_similarity(rng: np.random.Generator, scale: float, turn: float, shift: float) -> Similarity:
    rotation = Rotation.from_rotvec(rng.normal(0, turn, 3)).as_matrix()
    return Similarity(float(np.exp(rng.normal(0, scale))), rotation, rng.normal(0, shift, 3))


RNG = np.random.default_rng(0)
EXACT = Similarity(1.0, np.eye(3), np.zeros(3))
SCATTERED = [EXACT, *(random_similarity(RNG, 0.5, 1.0, 3.0) for _ in range(7))]
ANGLES = np.linspace(0, 2 * np.pi, 12, endpoint=False)
RING = [
    Similarity(1.0, Rotation.from_euler("z", a).as_matrix(), np.array([3 * np.cos(a) - 3, 3 * np.sin(a), 0]))
    for a in ANGLES
]
"""Twelve windows around a room of 6 m, frames looking along the walk."""


def tie(nodes: list[Similarity], first: int, second: int, error: Similarity = EXACT, weight: float = 1.0) -> Edge:
    return Edge(first, second, composed(composed(inverted(nodes[first]), nodes[second]), error), weight)


def noisy_ring(seed: int, total_drift: float) -> list[Edge]:
    """The chain 0-1-...-11, each edge of it too large by a twelfth of the drift, and one edge back to 0."""
    rng = np.random.default_rng(seed)
    edges = []
    for n in range(12):
        error = random_similarity(rng, 0.001, np.radians(0.2), 0.005)
        drift = total_drift ** (1 / 12) if n < 11 else 1.0
        edges.append(tie(RING, n, (n + 1) % 12, error._replace(scale=error.scale * drift)))
    return edges


def worst(found: list[Similarity], true: list[Similarity]) -> tuple[float, float, float]:
    """Largest relative error of scale, angle in degrees, distance of origins."""
    off = [composed(inverted(b), a) for a, b in zip(found, true, strict=True)]
    angles = [np.degrees(np.linalg.norm(Rotation.from_matrix(s.rotation).as_rotvec())) for s in off]
    apart = [np.linalg.norm(a.translation - b.translation) for a, b in zip(found, true, strict=True)]
    return max(abs(s.scale - 1) for s in off), max(angles), float(max(apart))


def test_similarities_compose_and_invert() -> None:
    a, b = SCATTERED[1:3]
    points = RNG.normal(size=(9, 3))
    np.testing.assert_allclose(composed(a, b).apply(points), a.apply(b.apply(points)))
    np.testing.assert_allclose(inverted(a).apply(a.apply(points)), points, atol=1e-12)


@pytest.mark.parametrize("fixed", [0, 5])
def test_exact_edges_give_the_exact_nodes(fixed: int) -> None:
    pairs = [(0, 1), (2, 1), (2, 3), (4, 3), (4, 5), (5, 6), (7, 6), (0, 7), (1, 5), (6, 2)]
    found = optimised(8, [tie(SCATTERED, a, b) for a, b in pairs], fixed)
    true = [composed(inverted(SCATTERED[fixed]), node) for node in SCATTERED]
    assert max(worst(found, true)) < 1e-8
    assert max(worst([found[fixed]], [EXACT])) == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_edge_that_closes_a_loop_takes_the_drift_out(seed: int) -> None:
    edges = noisy_ring(seed, 1.03)
    chain, loop = optimised(12, edges[:-1]), optimised(12, edges)
    assert worst(chain, RING)[0] > 0.02
    assert worst(loop, RING)[0] < 0.01
    assert worst(loop, RING)[0] < 0.4 * worst(chain, RING)[0]
    assert worst(loop, RING)[2] < 0.7 * worst(chain, RING)[2]


def test_is_the_optimum_that_a_dense_solver_finds() -> None:
    edges = [
        edge._replace(weight=1.0 + edge.first % 3, similarity=edge.similarity._replace(scale=1.0))
        for edge in [*noisy_ring(4, 1.0), tie(RING, 2, 7), Edge(3, 8, RING[6])]
    ]
    unit = np.median([np.linalg.norm(edge.similarity.translation) for edge in edges])
    found = optimised(12, edges)

    def residuals(x: np.ndarray) -> np.ndarray:
        nodes = [EXACT] + [
            Similarity(float(np.exp(row[0])), Rotation.from_rotvec(row[1:4]).as_matrix(), row[4:])
            for row in x.reshape(11, 7)
        ]
        parts = []
        for edge in edges:
            between = composed(inverted(nodes[edge.first]), nodes[edge.second])
            turn = Rotation.from_matrix(edge.similarity.rotation.T @ between.rotation).as_rotvec()
            shift = (between.translation - edge.similarity.translation) / unit
            scale = np.log(between.scale / edge.similarity.scale)
            parts.append(np.sqrt(edge.weight) * np.concatenate([[scale], turn, shift]))
        return np.concatenate(parts)

    def row(s: Similarity) -> np.ndarray:
        return np.concatenate([[np.log(s.scale)], Rotation.from_matrix(s.rotation).as_rotvec(), s.translation])

    mine = np.concatenate([row(s) for s in found[1:]])
    best = least_squares(residuals, np.concatenate([row(s) for s in RING[1:]]), loss="soft_l1", f_scale=0.1)
    cost = 0.1**2 * (np.sqrt(1 + (residuals(mine) / 0.1) ** 2) - 1).sum()
    assert cost == pytest.approx(best.cost, rel=1e-6)
    assert best.cost > 1e-3


def test_a_wrong_edge_among_many_is_outvoted() -> None:
    pairs = [(n, (n + k) % 12) for n in range(12) for k in (1, 2)]
    edges = [tie(RING, a, b) for a, b in pairs]
    wrong = Edge(1, 7, random_similarity(np.random.default_rng(3), 0.5, 1.0, 3.0), weight=0.9)
    robust, plain = (optimised(12, [*edges, wrong], soft=soft) for soft in (0.02, 1e3))
    assert worst(robust, RING)[0] < 0.02 < 0.1 < worst(plain, RING)[0]
    assert worst(robust, RING)[2] < 0.2 < 0.5 < worst(plain, RING)[2]


def test_the_result_does_not_depend_on_units_or_on_directions() -> None:
    edges = noisy_ring(1, 1.05)
    found = optimised(12, edges)
    turned = [Edge(edge.second, edge.first, inverted(edge.similarity)) for edge in edges[::-1]]
    assert worst(optimised(12, turned), found)[2] < 0.02
    larger = [
        edge._replace(similarity=edge.similarity._replace(translation=1000 * edge.similarity.translation))
        for edge in edges
    ]
    rescaled = [s._replace(translation=s.translation / 1000) for s in optimised(12, larger)]
    assert max(worst(rescaled, found)) < 1e-4


def test_the_tree_is_of_the_heaviest_edges() -> None:
    good, bad = tie(SCATTERED, 0, 1), Edge(0, 1, SCATTERED[5], weight=1e-9)
    for edges in ([good, bad], [bad, good]):
        assert max(worst(optimised(2, edges), SCATTERED[:2])) < 1e-3


def test_loop_error_is_what_is_left_around() -> None:
    cycle = [tie(SCATTERED, 3, 1), tie(SCATTERED, 4, 1), tie(SCATTERED, 4, 6), tie(SCATTERED, 6, 3)]
    np.testing.assert_allclose(loop_error(cycle), 0, atol=1e-9)
    quarter = Rotation.from_euler("x", 3, degrees=True).as_matrix()
    edges = [tie(RING, n, (n + 1) % 12) for n in range(12)]
    edges[0] = tie(RING, 0, 1, Similarity(1.03, quarter, np.zeros(3)))
    scale, turn_deg, _ = loop_error(edges)
    assert (scale, turn_deg) == pytest.approx((0.03, 3))
    edges[0] = tie(RING, 0, 1, Similarity(1.0, np.eye(3), RING[1].rotation.T @ RING[1].translation))
    assert loop_error(edges)[2] == pytest.approx(1 / 13)  # one step too far, of 13 steps
    around = loop_error(noisy_ring(0, 1.03))
    assert around[0] == pytest.approx(0.0275, abs=0.01)


def test_loop_error_is_the_same_backwards() -> None:
    edges = noisy_ring(2, 1.03)
    forth, back = loop_error(edges), loop_error(edges[::-1])
    assert (1 + forth[0]) * (1 + back[0]) == pytest.approx(1)
    assert forth[1] == pytest.approx(back[1])


def test_one_node_needs_no_edge() -> None:
    assert max(worst(optimised(1, []), [EXACT])) == 0


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: optimised(4, [tie(RING, 0, 1), tie(RING, 2, 3)]), r"no edges tie nodes \[2, 3\] to node 0"),
        (lambda: optimised(2, [tie(RING, 0, 1)], fixed=2), r"fixed node is 2, expected one of 0\.\.1"),
        (lambda: optimised(2, [tie(RING, 0, 2)]), "edge 0-2 does not join"),
        (lambda: optimised(2, [tie(RING, 1, 1)]), "edge 1-1 does not join"),
        (lambda: optimised(2, [Edge(0, 1, EXACT._replace(scale=0.0))]), "scale 0.0 is not positive"),
        (lambda: optimised(2, [Edge(0, 1, EXACT._replace(translation=np.full(3, np.nan)))]), "not finite"),
        (lambda: optimised(2, [tie(RING, 0, 1, weight=0.0)]), "weight 0.0, expected a positive one"),
        (lambda: loop_error([]), "no cycle"),
        (lambda: loop_error([tie(RING, 0, 1), tie(RING, 1, 2)]), "no cycle"),
        (lambda: loop_error([tie(RING, 0, 1), tie(RING, 2, 3), tie(RING, 1, 0)]), "no cycle"),
    ],
)
def test_bad_input(call, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        call()
