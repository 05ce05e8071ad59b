"""``showroom benchmark depth_holes`` on a box of a room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tsdf_scenes import room_views

from showroom_ros.benchmarks import depth_holes
from showroom_ros.benchmarks.depth_holes import SHARE, held_out, run
from showroom_ros.errors import InputError


def test_planes_fill_a_box_better_than_the_nearest_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth_holes, "open_sequence", lambda _: room_views(41))
    result = run(Path("box"), ["planes", "nearest"])
    values = {row.name: row.value for row in result.rows}
    assert result.settings["frames"] == 3
    assert values["mae_m_baseline_planes"] < 0.5 * values["mae_m_baseline_nearest"] < 0.1
    again = run(Path("box"), ["planes", "nearest"])
    assert [row.value for row in again.rows] == [row.value for row in result.rows]


def test_what_is_held_out() -> None:
    depth = np.full((120, 160), 2.0, np.float32)
    depth[:40] = np.nan
    kept = held_out(depth, np.random.default_rng(0))
    gone = np.isfinite(depth) & ~np.isfinite(kept)
    assert SHARE <= gone.sum() / np.isfinite(depth).sum() < SHARE + 0.1
    assert not np.isfinite(kept[:40]).any()
    with pytest.raises(InputError, match="unknown at every pixel"):
        held_out(depth * np.nan, np.random.default_rng(0))


def test_a_recording_without_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth_holes, "open_sequence", lambda _: [])
    with pytest.raises(InputError, match="no frame with depth"):
        run(Path("box"), ["nearest"])
