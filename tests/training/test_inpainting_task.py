"""Training of inpainting: its holes, its losses, and that steps lower them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_clips import Room

from showroom_ros.evaluation.image import psnr_db
from showroom_ros.networks.inpainting import PRESETS, InpaintingNet
from showroom_ros.training.clips import Clips, ClipSettings
from showroom_ros.training.inpainting import (
    HOLE_SHARE,
    SSIM_WINDOW,
    ImagesWithHoles,
    InpaintingTask,
    InpaintingTaskSettings,
    hole_psnr_db,
    losses,
    made_up_known,
    structural_similarity,
)
from showroom_ros.training.scenes import RecordedScene
from showroom_ros.training.warped_holes import warped_depth

SETTINGS = InpaintingTaskSettings(
    clips=ClipSettings(views=2, width=64, height=48, max_turn_deg=60.0, max_baseline_m=2.0, min_overlap=0.05)
)


@pytest.fixture(scope="module")
def clips():
    return Clips([RecordedScene(Room())], SETTINGS.clips, 0)


@pytest.fixture(scope="module")
def batch(clips):
    samples = ImagesWithHoles(clips, SETTINGS)
    return InpaintingTask(SETTINGS, "", 0).collate([samples[0], samples[1]])


def test_samples_have_holes_and_depend_on_their_number_alone(clips):
    samples = ImagesWithHoles(clips, SETTINGS)
    seen = [samples[index] for index in range(12)]
    shares = [float((~sample["known"]).float().mean()) for sample in seen]
    assert min(shares) >= HOLE_SHARE[0]
    assert max(shares) <= HOLE_SHARE[1]
    assert len(set(shares)) > 6
    assert all(sample["image"].shape == (3, 48, 64) and sample["known"].shape == (1, 48, 64) for sample in seen)
    assert torch.equal(seen[5]["known"], ImagesWithHoles(clips, SETTINGS)[5]["known"])


def test_the_hole_is_what_the_second_view_did_not_see(clips):
    settings = InpaintingTaskSettings(view_share=1.0, wider_px=0)
    holes = 0
    for index in range(30):
        clip = clips[index]
        warped = warped_depth(clip["depth"], clip["K"], clip["T_world_camera"], 1, 0)
        if HOLE_SHARE[0] <= float(warped.isnan().float().mean()) <= HOLE_SHARE[1]:
            known = made_up_known(clip, settings, np.random.default_rng(index))
            assert torch.equal(known, warped.isfinite())
            holes += 1
    assert holes > 2


def test_without_depth_half_of_the_image_is_the_hole(clips):
    clip = {**clips[0], "depth": torch.full((2, 48, 64), torch.nan)}
    known = made_up_known(clip, SETTINGS, np.random.default_rng(0))
    assert known[:, :32].all()
    assert not known[:, 32:].any()


def test_the_truth_has_no_loss_and_what_is_known_has_no_weight(batch):
    truth, hole = batch["image"], ~batch["known"]
    assert all(float(part) == pytest.approx(0, abs=1e-6) for part in losses(truth, truth, hole).values())
    assert float(hole_psnr_db(truth, truth, hole)) == pytest.approx(100)
    off = torch.where(hole, truth + 0.1, truth)
    parts = losses(off, truth, hole)
    assert float(parts["l1"]) == pytest.approx(0.1, rel=1e-4)
    assert float(parts["pyramid"]) == pytest.approx(0.1, rel=1e-4)
    noisy = torch.where(hole, truth + 0.1 * (torch.arange(64) % 2 * 2 - 1), truth)
    assert float(losses(noisy, truth, hole)["pyramid"]) < 0.4 * float(parts["pyramid"])
    assert float(losses(noisy, truth, hole)["slope"]) > 2 * float(parts["slope"])
    assert float(losses(noisy, truth, hole)["dssim"]) > float(parts["dssim"])


def test_psnr_in_the_hole_is_that_of_its_pixels():
    generator = np.random.default_rng(0)
    truth, guess = generator.integers(0, 256, (2, 16, 24, 3), np.uint8)
    hole = np.zeros((16, 24), bool)
    hole[:, 10:] = True
    tensors = [torch.from_numpy(x).movedim(-1, 0)[None].float() / 255 for x in (guess, truth)]
    found = float(hole_psnr_db(*tensors, torch.from_numpy(hole)[None, None]))
    assert found == pytest.approx(psnr_db(guess[:, 10:], truth[:, 10:]), abs=1e-3)


def test_similarity_is_that_of_each_window():
    generator = np.random.default_rng(0)
    a, b = generator.random((2, 12, 15))
    tensors = [torch.from_numpy(x)[None, None].expand(1, 3, -1, -1) for x in (a, b)]
    found = structural_similarity(*tensors)[0, 1]
    reach = SSIM_WINDOW // 2
    for row, column in ((0, 0), (5, 7), (11, 14), (2, 13)):
        part = slice(max(0, row - reach), row + reach + 1), slice(max(0, column - reach), column + reach + 1)
        x, y = a[part], b[part]
        expected = (2 * x.mean() * y.mean() + 1e-4) / (x.mean() ** 2 + y.mean() ** 2 + 1e-4)
        expected *= (2 * ((x - x.mean()) * (y - y.mean())).mean() + 9e-4) / (x.var() + y.var() + 9e-4)
        assert float(found[row, column]) == pytest.approx(expected, rel=1e-6)
    assert structural_similarity(tensors[0], tensors[0]).allclose(torch.ones(1, dtype=torch.float64))


def test_steps_on_one_batch_lower_its_loss(batch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = InpaintingNet(PRESETS["tiny"])
    task = InpaintingTask(SETTINGS, "", 0)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    parts = {}
    history = []
    for step in range(30):
        parts = task.loss(network, batch, step)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        history.append({name: float(value.detach()) for name, value in parts.items()})
    assert history[0]["psnr_db"] == pytest.approx(history[0]["smooth_psnr_db"], abs=1e-4)  # it starts there
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert history[-1]["psnr_db"] > history[-1]["smooth_psnr_db"] + 1
    assert task.picture(network, batch).shape == (2 * 48, 4 * 64, 3)
