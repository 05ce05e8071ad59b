"""The public split of synthetic rooms: which seeds are for training, validation and test, and their settings.

Seeds 0-999 are the test rooms, 1000-1999 the validation rooms, all others are for training. Numbers in
tables are comparable only if nobody trains on test or validation seeds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from showroom_ros.datasets.synthetic.interiors import KINDS
from showroom_ros.datasets.synthetic.room import RoomSettings
from showroom_ros.errors import InputError

SPLITS = {"test": range(0, 1000), "val": range(1000, 2000), "train": range(2000, 2**31)}
"""Seeds of each split."""

_ROOM_COUNTS = (1, 1, 1, 2, 1, 3, 1, 2)


def seed_of(split: str, index: int) -> int:
    """Seed of room ``index`` of a split.

    Raises:
        InputError: an unknown split, or one that has no such room.
    """
    if split not in SPLITS:
        raise InputError(f"split '{split}' is unknown, expected one of {', '.join(SPLITS)}")
    seeds = SPLITS[split]
    if not 0 <= index < len(seeds):
        raise InputError(f"room {index} of split '{split}' does not exist, expected 0 to {len(seeds) - 1}")
    return seeds[index]


def split_of(seed: int) -> str:
    """The split a seed belongs to.

    Raises:
        InputError: the seed is in none.
    """
    for name, seeds in SPLITS.items():
        if seed in seeds:
            return name
    raise InputError(f"room seed is {seed}, expected 0 to {2**31 - 1}")


def settings_of(seed: int, assets: Path | None = None) -> RoomSettings:
    """What kind of room a seed means in the split: kinds in turn, shapes drawn, homes of up to three rooms.

    Args:
        seed: of the room.
        assets: folder of models to furnish with besides the parametric pieces; part of the room's identity.

    Raises:
        InputError: the seed is in no split.
    """
    split_of(seed)
    rng = np.random.default_rng([seed, 5])
    return RoomSettings(
        kind=KINDS[seed % len(KINDS)],
        shape=None,
        rooms=_ROOM_COUNTS[(seed // len(KINDS) + seed) % len(_ROOM_COUNTS)],
        assets=assets,
        clutter=float(np.round(rng.uniform(0.5, 1.8), 2)),
    )
