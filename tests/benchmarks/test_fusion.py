import json

import numpy as np
import pytest
from tsdf_scenes import room_views

from showroom_ros.errors import InputError
from showroom_ros.evaluation.benchmark import Row, format_table, write_benchmark
from showroom_ros.scene.view import SensorFrame, View


class Room:
    """A short look around a box."""

    name = "box"

    def __init__(self, views: list[View]) -> None:
        self._views = views

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> View:
        return self._views[index]

    def frame(self, index: int) -> SensorFrame:
        view = self[index]
        return SensorFrame(view.image, view.camera, view.depth, T_world_camera=view.T_world_camera)


def test_fusion_measures_both_and_says_so(tmp_path):
    pytest.importorskip("open3d")
    from showroom_ros.benchmarks.fusion import run

    result = run(Room(room_views(12)), max_frames=8)
    assert result.benchmark == "fusion"
    assert [row.name for row in result.rows] == [
        "integrate_ms", "mesh_update_ms", "mesh_update_growth", "bytes_per_block",
    ]  # fmt: skip
    assert result.settings["frames"] == 8
    for row in result.rows:
        assert row.value > 0
        assert row.reference > 0
        assert row.ratio == pytest.approx(row.value / row.reference)
    per_block = result.rows[3]
    assert 4096 < per_block.value < 5500
    assert per_block.ratio < 0.6
    write_benchmark(tmp_path / "fusion.json", result.benchmark, result.settings, result.rows)
    written = json.loads((tmp_path / "fusion.json").read_text())
    assert {"benchmark", "version", "hardware", "settings", "rows"} <= set(written)
    assert written["rows"][0].keys() == {"name", "value", "unit", "reference", "ratio"}


def test_fusion_needs_frames_with_depth_and_pose():
    pytest.importorskip("open3d")
    from showroom_ros.benchmarks.fusion import run

    blind = [View(view.image, view.camera, None, T_world_camera=view.T_world_camera) for view in room_views(6)]
    with pytest.raises(InputError, match="box: 0 frames with depth and pose"):
        run(Room(blind))
    still = [room_views(6)[0]] * 6
    with pytest.raises(InputError, match="1 keyframes among 6"):
        run(Room(still))


def test_the_table_shows_every_row():
    rows = [Row("integrate_ms", 2.0, "ms", 8.0, 0.25), Row("idle_cpu", 0.01, "cores")]
    lines = format_table(rows).splitlines()
    assert len(lines) == 3
    assert lines[1].split() == ["integrate_ms", "2", "ms", "8", "0.250"]
    assert lines[2].split() == ["idle_cpu", "0.01", "cores"]
    assert np.unique([len(line) for line in lines]).size == 1
