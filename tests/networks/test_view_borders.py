"""Which points a view sees: exactly up to the centres of the outer pixels of its map, and only in front of it."""

from __future__ import annotations

import pytest
import torch

from showroom_ros.networks.view_fusion import back_projected

WIDTH, HEIGHT = 20, 12
"""Of the map; unequal, so that a swap of axes is seen."""


@pytest.mark.parametrize(
    ("u", "v", "z", "seen"),
    [
        (0.0, 0.0, 2.0, True),
        (WIDTH - 1, HEIGHT - 1, 2.0, True),
        (-0.01, 3.0, 2.0, False),
        (WIDTH - 0.99, 3.0, 2.0, False),
        (3.0, -0.01, 2.0, False),
        (3.0, HEIGHT - 0.99, 2.0, False),
        (HEIGHT + 2.0, 3.0, 2.0, True),
        (3.0, HEIGHT + 2.0, 2.0, False),
        (3.0, 3.0, -2.0, False),
        (0.0, 0.0, 0.0, False),
    ],
)
def test_who_sees_a_point(u: float, v: float, z: float, seen: bool) -> None:
    projection = torch.eye(3, 4, dtype=torch.float64)[None]  # pixels of the map are the ray itself: nothing rounds
    point = torch.tensor([[u * z, v * z, z]], dtype=torch.float64)
    samples = back_projected(point, torch.ones((1, 2, HEIGHT, WIDTH), dtype=torch.float64), projection)
    assert bool(samples.valid) == seen
    assert samples.features.flatten().tolist() == [float(seen)] * 2
