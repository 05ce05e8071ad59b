"""Frames tied by measured similarities, and the frames that agree with all of them best (Strasdat et al., RSS 2010).

A chain of windows that overlap drifts in scale, turn and place; an edge between its ends takes the drift out.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.sparse import coo_array
from scipy.spatial.transform import Rotation

from showroom_ros.errors import InputError
from showroom_ros.geometry.similarity import Similarity


class Edge(NamedTuple):
    """A measured similarity between two frames.

    Attributes:
        first, second: nodes.
        similarity: maps points of the frame of ``second`` into the frame of ``first``.
        weight: of its squared residual, positive.
    """

    first: int
    second: int
    similarity: Similarity
    weight: float = 1.0


IDENTITY = Similarity(1.0, np.eye(3), np.zeros(3))


def composed(a: Similarity, b: Similarity) -> Similarity:
    """``x -> a(b(x))``."""
    return Similarity(a.scale * b.scale, a.rotation @ b.rotation, a.apply(b.translation))


def inverted(a: Similarity) -> Similarity:
    """``a(x) -> x``."""
    return Similarity(1 / a.scale, a.rotation.T, -a.rotation.T @ a.translation / a.scale)


def optimised(
    count: int, edges: Sequence[Edge], fixed: int = 0, *, soft: float = 0.1, iterations: int = 100
) -> list[Similarity]:
    """Every node's frame to the frame of node ``fixed``, by all edges.

    From the spanning tree of the heaviest edges, least squares with a loss that grows linearly beyond ``soft``
    (soft L1) of what edges and nodes differ by: logarithm of scale, rotation vector, translation (in units of the
    median length of an edge).

    Args:
        count: nodes.
        edges: between nodes 0..``count``-1, in any direction and order, several between two nodes allowed.
        fixed: the node whose frame all are mapped to; it gets the identity.
        soft: a residual above it is taken for an error (0.1: 10 % of scale, 6 degrees, a tenth of a median edge).
        iterations: evaluations at most.

    Raises:
        InputError: a node or edge that cannot be, or nodes that no edges tie to ``fixed``.
    """
    _check(count, edges, fixed)
    start = _spanning_tree(count, edges, fixed)
    if len(edges) < count:  # a tree: every edge is met already
        return start
    graph = _Graph(start, edges, fixed)
    solved = least_squares(
        graph.residuals,
        np.zeros(7 * (count - 1)),
        jac_sparsity=graph.pattern(),
        loss="soft_l1",
        f_scale=soft,
        xtol=1e-8,
        ftol=1e-8,
        gtol=1e-12,
        tr_options={"atol": 1e-10, "btol": 1e-10},
        max_nfev=iterations,
    )
    return graph.nodes(solved.x)


def loop_error(edges: Sequence[Edge]) -> tuple[float, float, float]:
    """What is left once around a cycle: 0, 0, 0 where its edges agree.

    Args:
        edges: in the order of the cycle, each in either direction.

    Returns:
        The scale less 1, the turn in degrees, and the shift over the length of the path (NaN where that is 0).

    Raises:
        InputError: edges that are no cycle.
    """
    for start in edges[0][:2] if edges else ():
        node, around, length = start, IDENTITY, 0.0
        for edge in edges:
            if node not in edge[:2]:
                break
            onward = edge.first == node
            step = edge.similarity if onward else inverted(edge.similarity)
            node = edge.second if onward else edge.first
            length += around.scale * float(np.linalg.norm(step.translation))
            around = composed(around, step)
        else:
            if node == start:
                turn_deg = float(np.degrees(np.linalg.norm(Rotation.from_matrix(around.rotation).as_rotvec())))
                shift = float(np.linalg.norm(around.translation)) / length if length > 0 else float("nan")
                return around.scale - 1, turn_deg, shift
    raise InputError(f"edges {[(edge.first, edge.second) for edge in edges]} are no cycle")


def _check(count: int, edges: Sequence[Edge], fixed: int) -> None:
    if not 0 <= fixed < count:
        raise InputError(f"fixed node is {fixed}, expected one of 0..{count - 1}")
    for edge in edges:
        name = f"edge {edge.first}-{edge.second}"
        if edge.first == edge.second or not (0 <= edge.first < count and 0 <= edge.second < count):
            raise InputError(f"{name} does not join two of the nodes 0..{count - 1}")
        scale, rotation, translation = edge.similarity
        if not (np.isfinite(rotation).all() and np.isfinite(translation).all() and 0 < scale < np.inf):
            raise InputError(f"{name} is not finite, or its scale {scale} is not positive")
        if not 0 < edge.weight < np.inf:
            raise InputError(f"{name} has weight {edge.weight}, expected a positive one")


def _spanning_tree(count: int, edges: Sequence[Edge], fixed: int) -> list[Similarity]:
    """Nodes along the spanning tree of the heaviest edges (Prim, 1957)."""
    of_node: list[list[int]] = [[] for _ in range(count)]
    for number, edge in enumerate(edges):
        of_node[edge.first].append(number)
        of_node[edge.second].append(number)
    placed = {fixed: IDENTITY}
    heap = [(-edges[number].weight, number) for number in of_node[fixed]]
    heapq.heapify(heap)
    while heap:
        edge = edges[heapq.heappop(heap)[1]]
        if edge.first in placed and edge.second in placed:
            continue
        if edge.first in placed:
            new, placed[edge.second] = edge.second, composed(placed[edge.first], edge.similarity)
        else:
            new, placed[edge.first] = edge.first, composed(placed[edge.second], inverted(edge.similarity))
        for number in of_node[new]:
            heapq.heappush(heap, (-edges[number].weight, number))
    lost = sorted(set(range(count)) - set(placed))
    if lost:
        raise InputError(f"no edges tie nodes {lost} to node {fixed}")
    return [placed[node] for node in range(count)]


class _Graph:
    """Nodes that move from where they started; 7 parameters each but for the fixed one, none of which has a unit."""

    def __init__(self, start: Sequence[Similarity], edges: Sequence[Edge], fixed: int) -> None:
        self._fixed = fixed
        self._log_scale, self._R, self._t = _arrays(start)
        self._first = np.array([edge.first for edge in edges])
        self._second = np.array([edge.second for edge in edges])
        self._edge_log_scale, self._edge_R, self._edge_t = _arrays([edge.similarity for edge in edges])
        self._root_weight = np.sqrt([edge.weight for edge in edges])
        # how long an edge is in the frame of the fixed node: frames may have very different scales
        to_fixed = np.exp(self._log_scale[self._first])
        lengths = to_fixed * np.linalg.norm(self._edge_t, axis=1)
        self._unit = float(np.median(lengths)) or float(lengths.max()) or 1.0
        self._translation_weight = to_fixed / self._unit

    def _moved(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        step = np.insert(x.reshape(-1, 7), self._fixed, 0.0, axis=0)
        R = self._R @ Rotation.from_rotvec(step[:, 1:4]).as_matrix()
        return self._log_scale + step[:, 0], R, self._t + self._unit * step[:, 4:]

    def nodes(self, x: NDArray[np.float64]) -> list[Similarity]:
        return [Similarity(float(np.exp(s)), R, t) for s, R, t in zip(*self._moved(x), strict=True)]

    def residuals(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """What edges differ from the nodes by, [7 E]."""
        s, R, t = self._moved(x)
        i, j = self._first, self._second
        scale = s[j] - s[i] - self._edge_log_scale
        between = np.einsum("nji,njk->nik", R[i], R[j])
        turn = Rotation.from_matrix(np.einsum("nji,njk->nik", self._edge_R, between)).as_rotvec()
        shift = np.einsum("nji,nj->ni", R[i], t[j] - t[i]) * np.exp(-s[i])[:, None] - self._edge_t
        parts = np.column_stack([scale, turn, shift * self._translation_weight[:, None]])
        return np.asarray((parts * self._root_weight[:, None]).ravel())

    def pattern(self) -> coo_array:
        """Which residuals depend on which parameters."""
        edges, free = len(self._first), len(self._R) - 1
        nodes = np.concatenate([self._first, self._second])
        rows = np.repeat((7 * np.tile(np.arange(edges), 2)[:, None] + np.arange(7)), 7, axis=1)
        columns = np.tile(7 * (nodes - (nodes > self._fixed))[:, None] + np.arange(7), 7)
        moving = (nodes != self._fixed)[:, None] & np.ones(49, bool)
        shape = 7 * edges, 7 * free
        return coo_array((np.ones(moving.sum(), np.int8), (rows[moving], columns[moving])), shape=shape)


def _arrays(
    similarities: Sequence[Similarity],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    log_scale = np.log([similarity.scale for similarity in similarities])
    rotation = np.stack([similarity.rotation for similarity in similarities])
    return log_scale, rotation, np.stack([similarity.translation for similarity in similarities])
