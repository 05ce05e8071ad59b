"""Association by stamps against the obvious way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from showroom_ros.scene.association import associate

STAMPS = st.lists(st.integers(0, 60), max_size=8)


@given(STAMPS, STAMPS, st.integers(0, 15))
def test_equals_the_greedy_search_over_all_pairs(stamps: list[int], others: list[int], slop: int) -> None:
    expected: list[int | None] = [None] * len(stamps)
    free = set(range(len(others)))
    pairs = sorted((abs(a - b), i, j) for i, a in enumerate(stamps) for j, b in enumerate(others) if abs(a - b) <= slop)
    for _, i, j in pairs:
        if expected[i] is None and j in free:
            expected[i] = j
            free.remove(j)
    assert associate(stamps, others, slop) == expected
