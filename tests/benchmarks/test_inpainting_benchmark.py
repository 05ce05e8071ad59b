"""``showroom benchmark inpainting`` on a box of a room."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tsdf_scenes import room_views

from showroom_ros.benchmarks import inpainting
from showroom_ros.benchmarks.inpainting import HOLE_SHARE, hole_psnr_db, holes_of, run
from showroom_ros.errors import InputError, SettingsError
from showroom_ros.networks.inpainting import KIND, PRESETS, InpaintingNet
from showroom_ros.networks.weights import save_weights


def walk() -> list:
    """Turns by 3 degrees a frame; walls are darker the farther they are. Frame 20 has no depth."""
    views = [
        dataclasses.replace(view, image=np.clip(250 - 90 * view.depth[..., None] * (1, 0.8, 0.6), 0, 255).astype("u1"))
        for view in room_views(120)[:80]
    ]
    views[20] = dataclasses.replace(views[20], depth=None)
    return views


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inpainting, "_rooms", lambda scenes, device: [("box", walk())] * scenes)


def test_methods_are_judged_on_the_same_holes(box: None, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = InpaintingNet(PRESETS["tiny"])
    save_weights(tmp_path / "tiny.safetensors", KIND, PRESETS["tiny"], network.state_dict(), {})
    said: list[str] = []
    result = run((f"small={tmp_path}/tiny.safetensors", "telea", "smooth"), 1, say=said.append)
    rows = {row.name: row for row in result.rows}
    assert said == ["box"]
    assert result.settings["images"] == len(list(holes_of(walk()))) == 3
    assert rows["psnr_db_smooth"].value > 15
    assert rows["psnr_db_ours"].value == pytest.approx(rows["psnr_db_smooth"].value, abs=1.5)  # fresh weights
    assert rows["psnr_db_telea"].reference == rows["psnr_db_ours"].value
    assert rows["psnr_db_telea"].ratio == pytest.approx(rows["psnr_db_ours"].value / rows["psnr_db_telea"].value)
    assert rows["psnr_db_ours"].reference is None
    assert [rows[f"known_pixels_changed_{name}"].value for name in ("ours", "telea", "smooth")] == [0, 0, 0]
    assert all(rows[f"ms_per_image_{name}"].value > 0 for name in ("ours", "telea", "smooth"))
    for figure in ("ssim", "lpips"):  # where their packages are
        assert (figure in result.settings["missing"]) != (f"{figure}_ours" in rows)


def test_what_is_known_is_what_the_earlier_frame_saw() -> None:
    views = walk()
    pairs = list(holes_of(views))
    assert [view.image.tobytes() for view, _ in pairs] == [views[n].image.tobytes() for n in (10, 50, 70)]
    for view, known in pairs:
        assert known.shape == view.image.shape[:2]
        assert HOLE_SHARE[0] <= 1 - known.mean() <= HOLE_SHARE[1]
        sides = known[:, :8].mean(), known[:, -8:].mean()
        assert min(sides) < 0.1 < 0.4 < max(sides)  # it turned


def test_psnr_is_that_of_the_hole() -> None:
    truth = np.full((4, 6, 3), 100, np.uint8)
    hole = np.zeros((4, 6), bool)
    hole[:, 3:] = True
    filled = truth.copy()
    filled[:, :3] += 50
    assert hole_psnr_db(filled, truth, hole) == 100
    filled[:, 3:] += 5
    assert hole_psnr_db(filled, truth, hole) == pytest.approx(10 * np.log10(255**2 / 25))


def test_weights_that_are_not_there_are_told(box: None) -> None:
    result = run(("small=/no/such.safetensors", "smooth"), 1)
    assert "no such" in result.settings["missing"]["small"]
    assert {row.name for row in result.rows} >= {"psnr_db_smooth", "ms_per_image_smooth"}
    with pytest.raises(InputError, match=r"no method can be run: .*no such"):
        run(("small=/no/such.safetensors",), 1)
    with pytest.raises(SettingsError, match="inpainter 'guess': unknown"):
        run(("guess",), 1)


def test_nothing_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inpainting, "_rooms", lambda scenes, device: [("still", [walk()[0]] * 40)])
    with pytest.raises(InputError, match="no frame with a hole"):
        run(("smooth",), 1)
