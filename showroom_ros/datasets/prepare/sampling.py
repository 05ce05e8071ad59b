"""Random choices that depend on names and a seed alone: not on order, machine or how often a run was started."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np


def seed_of(seed: int, name: str) -> int:
    """A seed of its own for everything that has a name."""
    return seed + zlib.crc32(name.encode("utf-8"))


def generator_of(seed: int, name: str) -> np.random.Generator:
    """A random generator of its own for everything that has a name."""
    return np.random.default_rng(seed_of(seed, name))


def in_random_order(names: Iterable[str], seed: int = 0) -> list[str]:
    """The names as if shuffled; adding a name leaves the order of the others as it is."""
    return sorted(names, key=lambda name: (zlib.crc32(f"{seed}:{name}".encode()), name))


def split_names(names: Iterable[str], val_fraction: float, seed: int = 0) -> tuple[list[str], list[str]]:
    """Training and validation names, each sorted; at least one of each where there are two or more.

    Args:
        names: unique.
        val_fraction: share for validation, rounded; 0 = none.
        seed: of the choice.
    """
    order = in_random_order(names, seed)
    count = min(max(round(val_fraction * len(order)), 1), len(order) - 1) if val_fraction > 0 and order else 0
    return sorted(order[count:]), sorted(order[:count])


def list_file(names: Iterable[str]) -> bytes:
    """A text file with one name a line."""
    return "".join(f"{name}\n" for name in names).encode("utf-8")
