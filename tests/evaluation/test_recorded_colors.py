"""Colours of a real recording land where they belong: judged in frames that were not fused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from showroom_ros.datasets.seven_scenes import SevenScenes
from showroom_ros.evaluation.color import ColorScores, reprojected_color_error
from showroom_ros.geometry.se3 import inverse
from showroom_ros.reconstruction.offline import reconstruct
from showroom_ros.settings import Settings

HELD_BACK = range(9, 314, 40)


def scores_of(sequence: SevenScenes) -> ColorScores:
    result = reconstruct(sequence, Settings(), skip=lambda index: index in HELD_BACK or index % 6 != 0)
    return reprojected_color_error(result.mesh, [sequence[index] for index in HELD_BACK])


@pytest.mark.recorded
def test_colours_of_redkitchen_are_registered(redkitchen: Path) -> None:
    """Right with the calibration shipped; visibly worse with the camera on the wrong side, or taken for the other."""
    sequence = SevenScenes(redkitchen)
    right = scores_of(sequence)
    assert right.views == len(HELD_BACK)
    assert right.coverage > 0.5
    assert np.abs(right.best_shift_px).max() <= 1.0
    assert right.mean_error < 16
    assert right.shifted_error > 1.08 * right.mean_error
    frame = sequence.frame(0)
    assert frame.T_color_depth is not None
    assert frame.depth_camera is not None
    wrong_side = scores_of(SevenScenes(redkitchen, T_color_depth=inverse(frame.T_color_depth)))
    assert wrong_side.mean_error > 1.04 * right.mean_error
    unregistered = scores_of(SevenScenes(redkitchen, color_camera=frame.depth_camera, T_color_depth=np.eye(4)))
    assert unregistered.mean_error > 1.15 * right.mean_error
