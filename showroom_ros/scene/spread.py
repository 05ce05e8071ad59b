"""A few out of many, evenly spread."""

from __future__ import annotations

import numpy as np


def evenly_spread(count: int, at_most: int) -> list[int]:
    """At most so many (at least one, if there are any) of the indices 0 ... count - 1, both ends included."""
    return sorted({round(float(index)) for index in np.linspace(0, count - 1, min(count, max(1, at_most)))})
