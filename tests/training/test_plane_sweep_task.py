"""Training of the plane sweep: its losses, and that two steps lower them."""

from __future__ import annotations

import pytest
import torch
from test_clips import Room

from showroom_ros.networks.plane_sweep import PRESETS, PlaneSweepNet
from showroom_ros.training.clips import Clips, ClipSettings
from showroom_ros.training.plane_sweep import (
    HintedClips,
    PlaneSweepTask,
    PlaneSweepTaskSettings,
    confidence_loss,
    log_error,
    plane_cross_entropy,
    slope_error,
)
from showroom_ros.training.scenes import RecordedScene

SETTINGS = PlaneSweepTaskSettings(
    clips=ClipSettings(views=3, width=64, height=48, max_turn_deg=60.0, max_baseline_m=2.0, min_overlap=0.05)
)


@pytest.fixture(scope="module")
def batch():
    samples = HintedClips(Clips([RecordedScene(Room())], SETTINGS.clips, 0), SETTINGS)
    return PlaneSweepTask(SETTINGS, "", 0).collate([samples[0]])


def test_steps_on_one_batch_lower_its_loss(batch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PlaneSweepNet(PRESETS["tiny"])
    task = PlaneSweepTask(SETTINGS, "", 0)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for step in range(4):
        parts = task.loss(network, batch, step)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        losses.append(float(parts["loss"].detach()))
    assert losses[2] < losses[0]
    assert losses[3] < 0.9 * losses[0]
    assert {"abs_rel", "within_5_percent", "coarse_planes"} <= parts.keys()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert task.picture(network, batch).shape == (48, 4 * 64, 3)


def test_true_depth_has_no_error_and_unknown_depth_none_either():
    truth = torch.rand(1, 12, 16, generator=torch.Generator().manual_seed(0)) + 1
    truth[0, :3] = torch.nan
    guess = truth.nan_to_num(7.0)
    assert float(log_error(guess, truth)) == pytest.approx(0, abs=1e-6)
    assert float(slope_error(guess, truth)) == pytest.approx(0, abs=1e-6)
    assert float(log_error(1.1 * guess, truth)) == pytest.approx(torch.log(torch.tensor(1.1)).item(), abs=1e-5)
    assert float(slope_error(1.1 * guess, truth)) == pytest.approx(0, abs=1e-5)


def test_cross_entropy_is_least_at_the_true_plane():
    planes = torch.linspace(0, 1, 11).view(1, 11, 1, 1)
    truth = torch.full((1, 1, 1), 0.43).exp()
    values = []
    for best in (2, 4, 8):
        logits = torch.zeros(1, 11, 1, 1)
        logits[0, best] = 5
        values.append(float(plane_cross_entropy(logits, planes, truth)))
    assert values[1] == min(values)
    beyond = torch.full((1, 1, 1), 5.0).exp()
    assert float(plane_cross_entropy(torch.zeros(1, 11, 1, 1), planes, beyond)) == 0


def test_confidence_is_right_where_the_depth_is():
    truth = torch.full((1, 1, 2), 2.0)
    depth = torch.tensor([[[2.02, 2.5]]])
    good, bad = torch.tensor([[[4.0, -4.0]]]), torch.tensor([[[-4.0, 4.0]]])
    assert float(confidence_loss(good, depth, truth)) < 0.1 < float(confidence_loss(bad, depth, truth))
