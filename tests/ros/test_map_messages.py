"""Blocks as markers: one namespace per provenance, replaced and removed as the map changes, bounded messages."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("rclpy")

from showroom_ros.ros.map_messages import MAX_MESSAGE_BYTES, MarkerBook, marker_messages, split_by_provenance
from showroom_ros.ros.marker_reader import MarkerBlocks, read_marker_array
from showroom_ros.scene.mesh import Mesh
from showroom_ros.scene.view import Provenance

MEASURED, PREDICTED, GENERATED = Provenance.MEASURED, Provenance.PREDICTED, Provenance.GENERATED
ALL = frozenset(Provenance)


def strip(provenance: list[int], offset: float = 0.0) -> Mesh:
    """A strip of triangles whose vertices have the given provenance."""
    count = len(provenance)
    vertices = np.stack([np.arange(count) + offset, np.arange(count) % 2, np.zeros(count)], axis=1)
    triangles = np.array([[i, i + 1, i + 2] for i in range(count - 2)], np.int32)
    colors = np.full((count, 3), 100, np.uint8)
    normals = np.tile(np.float32([0, 0, 1]), (count, 1))
    return Mesh(vertices.astype(np.float32), triangles, colors, normals, np.array(provenance, np.uint8))


def shown(book: MarkerBook, follower: MarkerBlocks, state: dict, blocks: dict, removed: tuple = ()) -> dict:
    """What a subscriber shows after an update: triangles by namespace and id."""
    for message in marker_messages(book.markers(blocks, removed), "odom", 5):
        changed, gone = follower.apply(read_marker_array(message))
        for key in gone:
            del state[key]
        state.update({key: len(mesh.triangles) for key, mesh in changed.items()})
    return {namespace: count for (namespace, _), count in state.items()}


def test_a_triangle_counts_as_its_worst_corner() -> None:
    parts = split_by_provenance(strip([1, 1, 1, 2, 3]), ALL)
    assert {provenance: len(part.triangles) for provenance, part in parts.items()} == {
        MEASURED: 1,
        PREDICTED: 1,
        GENERATED: 1,
    }
    assert set(split_by_provenance(strip([1, 1, 1, 2, 3]), {MEASURED})) == {MEASURED}
    assert split_by_provenance(Mesh.empty(), ALL) == {}


def test_subscribers_follow_changes_and_removals() -> None:
    book, follower, state = MarkerBook(), MarkerBlocks(), {}
    assert shown(book, follower, state, {(0, 0, 0): strip([3, 3, 3, 3])}) == {"generated": 2}
    assert shown(book, follower, state, {(0, 0, 0): strip([1, 1, 1, 3])}) == {"measured": 1, "generated": 1}
    assert shown(book, follower, state, {(0, 0, 0): strip([1, 1, 1, 1, 1])}) == {"measured": 3}
    assert book.triangles == 3
    assert shown(book, follower, state, {}, ((0, 0, 0),)) == {}
    assert book.triangles == 0


def test_hidden_provenance_is_withdrawn() -> None:
    book, follower, state = MarkerBook(), MarkerBlocks(), {}
    block = {(0, 0, 0): strip([1, 1, 1, 3])}
    assert shown(book, follower, state, block) == {"measured": 1, "generated": 1}
    book.visible = frozenset({MEASURED})
    assert shown(book, follower, state, block) == {"measured": 1}


def test_ids_are_stable_and_unique() -> None:
    book = MarkerBook()
    blocks = {(i, 0, -i): strip([1, 1, 1], i) for i in range(20)}
    first = {marker.id for marker in book.markers(blocks)}
    again = [marker.id for marker in book.markers({(7, 0, -7): strip([1, 1, 1, 1])})]
    assert len(first) == 20
    assert set(again) <= first


def test_large_maps_go_out_in_bounded_messages() -> None:
    mesh = strip([1] * 12_002)
    blocks = {(i, 0, 0): dataclasses.replace(mesh) for i in range(10)}
    messages = list(marker_messages(MarkerBook().markers(blocks), "odom", 5))
    assert len(messages) == 5
    assert max(map(len, messages)) < 1.05 * MAX_MESSAGE_BYTES
    assert sum(len(read_marker_array(message)) for message in messages) == 10
