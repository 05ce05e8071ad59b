"""``showroom benchmark completion`` on a box of a room, by a fill that knows it and one that does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tsdf_scenes import CAMERA, box_depth, room_views, view_of

from showroom_ros.benchmarks import completion
from showroom_ros.benchmarks.completion import (
    PartialScan,
    changed_voxels,
    compared,
    completed,
    judged,
    recorded_scan,
    run,
)
from showroom_ros.completion.holes import PartialView
from showroom_ros.errors import InputError
from showroom_ros.geometry.se3 import look_at
from showroom_ros.scene.volume import TsdfVolume

HALF = np.array((1.2, 1.0, 0.8))


@pytest.fixture(scope="module")
def scan() -> PartialScan:
    views, volume = room_views(24), TsdfVolume(completion._MAP)
    for direction in np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3), -1).reshape(-1, 3):
        if np.any(direction):
            pose = look_at((0, 0, 0), direction, up=(0.0, 0.1, 1.0))
            volume.integrate(view_of(box_depth(CAMERA, pose, -HALF, HALF), pose))
    whole = volume.extract_mesh()
    return PartialScan("box", [v for v in views if v.require_pose()[0, 2] > -0.3], whole, whole, 0.7)


class Recording(list):
    name = "box"


def truth(partial: PartialView) -> tuple[np.ndarray, np.ndarray]:
    depth = box_depth(partial.view.camera, partial.view.require_pose(), -HALF, HALF).astype(np.float32)
    return partial.view.image, np.where(partial.known, partial.view.require_depth(), depth)


def too_far(partial: PartialView) -> tuple[np.ndarray, np.ndarray]:
    image, depth = truth(partial)
    return image, np.where(partial.known, depth, 1.3 * depth).astype(np.float32)


def test_who_knows_the_room_completes_it(scan: PartialScan) -> None:
    outcome = completed(scan, truth)
    scores = judged(scan, outcome)
    assert scores["completeness_5cm_before"] < 0.9
    assert scores["completeness_5cm_after"] > max(0.9, scores["completeness_5cm_before"] + 0.1)
    assert scores["generated_precision_10cm"] > 0.95
    assert scores["measured_voxels_changed"] == 0
    wrong = judged(scan, completed(scan, too_far, on_planes=False))
    assert wrong["completeness_5cm_before"] == pytest.approx(scores["completeness_5cm_before"])
    assert wrong["generated_precision_10cm"] < 0.5
    assert wrong["measured_voxels_changed"] == 0
    mended = judged(scan, completed(scan, too_far))
    assert mended["generated_precision_10cm"] > wrong["generated_precision_10cm"] + 0.2
    assert mended["completeness_5cm_after"] > wrong["completeness_5cm_after"] + 0.05


def test_the_picture_shows_what_was_added_and_says_so(scan: PartialScan) -> None:
    outcome = completed(scan, truth)
    poses = np.stack([view.require_pose() for view in scan.views])
    before, after, kinds = np.split(compared(outcome, poses), 3, axis=1)
    more = (before != after).any(-1)
    assert 0.01 < more.mean() < 0.6
    pink = (kinds[..., 0].astype(int) - kinds[..., 1] > 30) & (kinds[..., 2].astype(int) - kinds[..., 1] > 15)
    assert pink.mean() > 0.01
    assert (pink & more).sum() > 0.8 * pink.sum()


def test_a_recording_is_cut_off_and_all_of_it_is_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "open_sequence", lambda path: Recording(room_views(24)))
    part = recorded_scan(Path("box"))
    assert 0.7 <= part.share < 0.95
    assert 2 <= len(part.views) < 24
    assert part.up @ (0, 0, 1) > 0.99
    outcome = completed(part, truth)
    scores = judged(part, outcome)
    assert scores["completeness_5cm_before"] == pytest.approx(part.share, abs=0.03)
    assert scores["completeness_5cm_after"] > scores["completeness_5cm_before"] + 0.05
    assert scores["measured_voxels_changed"] == 0
    monkeypatch.setattr(completion, "open_sequence", lambda path: Recording([]))
    with pytest.raises(InputError, match="box: no frame has depth and a pose"):
        recorded_scan(Path("box"))


def test_changed_voxels_are_counted(scan: PartialScan) -> None:
    volume = TsdfVolume(completion._MAP)
    for view in scan.views:
        volume.integrate(view)
    before = volume.voxels()
    assert changed_voxels(before, volume.voxels()) == 0
    volume.integrate(scan.views[0])
    assert changed_voxels(before, volume.voxels()) > 1000


def test_rows_of_all_rooms(scan: PartialScan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "partial_scan", lambda number: scan)
    monkeypatch.setattr(completion, "synthetic_scenes", lambda count: list(range(count)))
    monkeypatch.setattr(completion, "MAX_VIEWS", 1)
    result = run(["telea+nearest"], 1)
    values = {row.name: row.value for row in result.rows}
    assert values["views_telea+nearest"] <= 1
    assert values["completeness_5cm_after_telea+nearest"] >= values["completeness_5cm_before_telea+nearest"] > 0.5
    with pytest.raises(InputError, match="method 'guess'"):
        run(["guess"], 1)
    with pytest.raises(InputError, match="scenes is 0"):
        run(scenes=0)
