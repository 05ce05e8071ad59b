"""A piece of furniture and the lamp that may be in it."""

from __future__ import annotations

from dataclasses import dataclass

from showroom_ros.datasets.synthetic.solids import Surface


@dataclass(frozen=True, eq=False)
class Light:
    """A lamp: ``position`` [3] in the piece's frame, ``power`` RGB and the radius of its source in metres."""

    position: tuple[float, float, float]
    power: tuple[float, float, float]
    radius_m: float = 0.1


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of furniture in its own frame.

    Attributes:
        category: what it is.
        surfaces: its closed solids.
        width, depth, height: the box it fits in, metres: x in +-width/2, y in [0, depth].
        top_m: height at which small things may stand, or None.
        light: the lamp in it, or None.
        round_top: whether that top is a disc.
        corner: -1 or 1 where the piece belongs with that side (of x) into a corner, else 0.
    """

    category: str
    surfaces: list[Surface]
    width: float
    depth: float
    height: float
    top_m: float | None = None
    light: Light | None = None
    round_top: bool = False
    corner: int = 0
