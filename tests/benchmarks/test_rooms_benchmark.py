from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from showroom_ros.benchmarks import rooms
from showroom_ros.datasets.synthetic import room as room_module
from showroom_ros.errors import InputError

NAMES = ["views_per_s_256x192", "views_per_s_640x480", "rooms_per_s", "sample_stream_per_s"]

_BARE = """
import sys
blocked = {"numba", "cv2", "scipy", "open3d", "yaml", "rclpy", "rosbags", "psutil", "tqdm"}
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError(name)
sys.meta_path.insert(0, Finder())
import numpy as np
from showroom_ros.benchmarks import rooms
from showroom_ros.datasets.synthetic import room
room.baked_light = lambda made, lights, device: np.ones_like(made.vertices)
rooms.SIZES = ((32, 24),)
raise SystemExit(rooms.main(["--rooms", "1", "--views", "1", "--samples", "1", "--json", sys.argv[1]]))
"""


def test_rows_have_the_agreed_names_and_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "baked_light", lambda room, lights, device: np.ones_like(room.vertices))
    monkeypatch.setattr(rooms, "SIZES", ((256, 192), (640, 480)))
    result = rooms.run(rooms=1, views=1, samples=1)
    assert [row.name for row in result.rows] == NAMES
    assert all(row.value > 0 and row.unit == "1/s" for row in result.rows)
    assert all(row.reference is not None and row.ratio == row.value / row.reference for row in result.rows[:2])
    assert result.settings["rooms"] == ["test/0"]


def test_runs_where_only_torch_and_numpy_are(tmp_path: Path) -> None:
    out = tmp_path / "rooms.json"
    done = subprocess.run(
        [sys.executable, "-c", _BARE, str(out)], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["rows"]
    assert [row["name"] for row in rows] == ["views_per_s_32x24", "rooms_per_s", "sample_stream_per_s"]
    assert rows[0]["reference"] is None


@pytest.mark.parametrize("bad", [{"rooms": 0}, {"views": 0}, {"samples": -1}, {"device": "toaster"}])
def test_bad_arguments_are_refused(bad: dict) -> None:
    with pytest.raises(InputError, match=r"is 0|is -1|toaster"):
        rooms.run(**bad)
