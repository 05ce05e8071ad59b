"""A walk through a room with a camera and a gait of its own: what networks that see posed video train on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from showroom_ros.datasets.synthetic.path import PathSettings
from showroom_ros.datasets.synthetic.sequence import SyntheticSequence
from showroom_ros.datasets.synthetic.splits import settings_of
from showroom_ros.geometry.camera import assumed_camera

_HORIZONTAL_FOV_DEG = (50.0, 78.0)
_HEIGHT_M = (0.9, 1.7)
_SPEED_M_S = (0.4, 0.9)
_TURN_DEG_S = (30.0, 60.0)


def varied_recording(
    seed: int, width: int = 320, height: int = 240, *, assets: Path | None = None, device: str = "cpu"
) -> SyntheticSequence:
    """Exact colours, exact registered depth and exact poses of a walk through the first room of a split's home.

    Field of view, height, speed and tremor are drawn from the seed. Sensor noise is left to the augmentation
    of the training, so that it differs from epoch to epoch.

    Args:
        seed: of the room, see ``splits``.
        width: of the images in pixels.
        height: of the images in pixels.
        assets: folder of models to furnish with besides the parametric pieces.
        device: where it is lit and rendered.
    """
    rng = np.random.default_rng([seed, 41])
    path = PathSettings(
        height_m=float(rng.uniform(*_HEIGHT_M)),
        speed_m_s=float(rng.uniform(*_SPEED_M_S)),
        turn_deg_s=float(rng.uniform(*_TURN_DEG_S)),
        jitter_m=float(rng.uniform(0.002, 0.012)),
        jitter_deg=float(rng.uniform(0.2, 1.5)),
    )
    return SyntheticSequence(
        seed,
        width=width,
        height=height,
        settings=replace(settings_of(seed, assets), rooms=1),
        noisy=False,
        registered=True,
        path=path,
        color_camera=assumed_camera(width, height, float(rng.uniform(*_HORIZONTAL_FOV_DEG))),
        name=f"varied:{seed}",
        device=device,
    )
