"""Training of inpainting: its holes, its losses, and that steps lower them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_clips import Room

from showroom_ros.evaluation.image import psnr_db
from showroom_ros.networks.inpainting import PRESETS, InpaintingNet, smooth_fill
from showroom_ros.training.clips import Clips, ClipSettings
from showroom_ros.training.inpainting import (
    FADE,
    FADE_STEPS,
    HOLE_SHARE,
    ImagesWithHoles,
    InpaintingTask,
    InpaintingTaskSettings,
    hole_psnr_db,
    losses,
    made_up_known,
    weights,
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


def test_the_truth_has_no_loss_and_the_fill_is_the_measure(batch):
    truth, hole = batch["image"], ~batch["known"]
    fill = smooth_fill(truth, ~hole)
    perfect = losses(truth, truth, fill, hole)
    assert float(perfect["ratio"]) == 0
    assert float(perfect["log_ratio"]) < -1
    same = losses(fill, truth, fill, hole)
    assert 0.5 < float(same["ratio"]) < 1
    assert float(same["log_ratio"]) == pytest.approx(0, abs=1e-6)
    assert float(hole_psnr_db(truth, truth, hole)) == pytest.approx(100)
    half = losses((truth + fill) / 2, truth, fill, hole)
    assert float(half["ratio"]) == pytest.approx(float(same["ratio"]) / 2, rel=1e-4)
    assert -np.log(4) < float(half["log_ratio"]) < -0.8


def test_an_error_far_from_what_is_known_counts_less():
    hole = torch.zeros(1, 1, 32, 65, dtype=torch.bool)
    hole[..., 8:] = True
    weight = weights(hole)
    assert weight.shape == hole.shape
    assert not weight[..., :8].any()
    expected = 1 / (1 + FADE * ((torch.arange(8, 65) - 8) // 2).clamp(max=FADE_STEPS))
    assert torch.allclose(weight[0, 0, :, 8:], expected.expand(32, -1), atol=1e-6)


def test_psnr_in_the_hole_is_that_of_its_pixels():
    generator = np.random.default_rng(0)
    truth, guess = generator.integers(0, 256, (2, 16, 24, 3), np.uint8)
    hole = np.zeros((16, 24), bool)
    hole[:, 10:] = True
    tensors = [torch.from_numpy(x).movedim(-1, 0)[None].float() / 255 for x in (guess, truth)]
    found = float(hole_psnr_db(*tensors, torch.from_numpy(hole)[None, None]))
    assert found == pytest.approx(psnr_db(guess[:, 10:], truth[:, 10:]), abs=1e-3)


def test_steps_on_one_batch_lower_its_loss(batch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = InpaintingNet(PRESETS["tiny"])
    task = InpaintingTask(SETTINGS, "", 0)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    parts = {}
    history = []
    for step in range(10):
        parts = task.loss(network, batch, step)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        history.append({name: float(value.detach()) for name, value in parts.items()})
    assert history[0]["psnr_db"] == pytest.approx(history[0]["smooth_psnr_db"], abs=0.1)  # it starts there
    assert history[-1]["loss"] < 0.97 * history[0]["loss"]
    assert history[-1]["psnr_db"] > history[-1]["smooth_psnr_db"] + 0.1
    assert task.picture(network, batch).shape == (2 * 48, 4 * 64, 3)
