from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from showroom_ros.scene.spread import evenly_spread


def test_by_hand() -> None:
    assert evenly_spread(3, 50) == [0, 1, 2]
    assert evenly_spread(5, 3) == [0, 2, 4]
    assert evenly_spread(314, 4) == [0, 104, 209, 313]
    assert evenly_spread(9, 1) == evenly_spread(9, 0) == [0]
    assert evenly_spread(0, 5) == []


@given(st.integers(1, 5000), st.integers(2, 300))
def test_both_ends_and_even_steps(count: int, at_most: int) -> None:
    found = evenly_spread(count, at_most)
    assert (len(found), found[0], found[-1]) == (min(count, at_most), 0, count - 1)
    steps = np.diff(found)
    assert len(steps) == 0 or steps.max() - steps.min() <= 1
