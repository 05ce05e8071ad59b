"""The order in which to visit views: as many as time allows, by a short way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def fitting_tour(chosen: list[int], seconds: Array, budget_s: float, closed: bool = False) -> list[int]:
    """As many of the views, best first, as a tour can visit in time.

    Args:
        chosen: views, the most wanted first; at least one.
        seconds: [V, V], symmetric, from view to view.
        budget_s: time for the tour; two views are visited in any case.
        closed: the way back to the start counts too.
    """
    low, high = min(2, len(chosen)), len(chosen)
    while low < high:
        middle = (low + high + 1) // 2
        fits = tour_seconds(short_tour(chosen[:middle], seconds), seconds, closed) <= budget_s
        low, high = (middle, high) if fits else (low, middle - 1)
    return short_tour(chosen[:low], seconds)


def tour_seconds(order: list[int], seconds: Array, closed: bool = False) -> float:
    """How long a tour takes, with the way back to its start if ``closed``."""
    stops = np.array([*order, order[0]] if closed else order)
    return float(seconds[stops[:-1], stops[1:]].sum())


def short_tour(views: list[int], seconds: Array) -> list[int]:
    """Open tour by nearest neighbour, improved by reversing stretches (2-opt; Croes, 1958)."""
    order, left = [views[0]], list(views[1:])
    while left:
        nearest = min(left, key=lambda v: seconds[order[-1], v])
        left.remove(nearest)
        order.append(nearest)
    tour, improved = np.array(order), True
    while improved:
        improved = False
        for first in range(len(tour) - 1):
            gain = _gain_of_reversing(tour, first, seconds)
            best = int(np.argmax(gain))
            if gain[best] > 1e-9:
                end = first + 2 + best
                tour[first:end] = tour[first:end][::-1].copy()
                improved = True
    return tour.tolist()


def _gain_of_reversing(tour: NDArray[np.int64], first: int, seconds: Array) -> Array:
    """Seconds saved by reversing the stretch from ``first`` to each later stop."""
    lasts = tour[first + 1 :]
    gain = np.zeros(len(lasts))
    if first > 0:
        gain += seconds[tour[first - 1], tour[first]] - seconds[tour[first - 1], lasts]
    gain[:-1] += seconds[lasts[:-1], lasts[1:]] - seconds[tour[first], lasts[1:]]
    return gain
