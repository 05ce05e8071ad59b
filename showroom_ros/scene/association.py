"""Which measurements of two streams belong together, by their stamps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def associate(stamps_ns: Sequence[int], others_ns: Sequence[int], slop_ns: int) -> list[int | None]:
    """For each of ``stamps_ns`` the index of its partner in ``others_ns``, None where there is none.

    Partners differ by at most ``slop_ns`` and are used once, the nearest pairs first (as ``associate.py`` of the
    TUM RGB-D benchmark does). Neither list needs to be sorted.
    """
    order = np.argsort(np.asarray(others_ns, np.int64), kind="stable")
    others = np.asarray(others_ns, np.int64)[order]
    pairs = []
    for i, stamp_ns in enumerate(stamps_ns):
        first, stop = np.searchsorted(others, [stamp_ns - slop_ns, stamp_ns + slop_ns + 1])
        pairs += [(abs(int(others[j]) - stamp_ns), i, int(order[j])) for j in range(first, stop)]
    partners: list[int | None] = [None] * len(stamps_ns)
    taken: set[int] = set()
    for _, i, j in sorted(pairs):
        if partners[i] is None and j not in taken:
            partners[i] = j
            taken.add(j)
    return partners
