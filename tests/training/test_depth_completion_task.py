"""Training of depth completion: what is left of depth, the losses, and that steps lower them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from test_clips import Room

from showroom_ros.networks.depth_completion import PRESETS, DepthCompletionNet, Prediction
from showroom_ros.training.clips import Clips, ClipSettings
from showroom_ros.training.depth_completion import (
    DepthCompletionTask,
    DepthCompletionTaskSettings,
    IncompleteDepth,
    eroded,
    losses,
    scaled_teacher_depth,
    sensor_dropout,
    silog,
)
from showroom_ros.training.scenes import RecordedScene

SETTINGS = DepthCompletionTaskSettings(
    clips=ClipSettings(views=2, width=96, height=64, max_turn_deg=60.0, max_baseline_m=2.0, min_overlap=0.05)
)


def samples(**changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    return IncompleteDepth(Clips([RecordedScene(Room())], settings.clips, 0), settings)


def random_depth(seed=0, height=20, width=30):
    depth = torch.rand(height, width, generator=torch.Generator().manual_seed(seed)) + 1
    depth[torch.rand(height, width, generator=torch.Generator().manual_seed(seed + 1)) < 0.2] = torch.nan
    return depth


def test_steps_on_one_batch_lower_its_loss():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = DepthCompletionNet(PRESETS["tiny"])
    task = DepthCompletionTask(SETTINGS, "", 0)
    batch = task.collate([samples(empty_share=0.0)[0], samples(empty_share=1.0)[1]])
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    found = []
    for step in range(6):
        parts = task.loss(network, batch, step)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        found.append({name: float(value.detach()) for name, value in parts.items()})
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert found[5]["loss"] < found[2]["loss"] < found[0]["loss"]
    assert found[5]["empty_log_error"] < 0.9 * found[0]["empty_log_error"]
    assert {"silog", "hole", "known", "slope", "spread", "hole_error_m"} <= found[0].keys()
    assert task.picture(network, batch).shape == (2 * 64, 5 * 96, 3)


@pytest.mark.parametrize(("sensor_share", "virtual_share"), [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_known_depth_is_true_where_it_is_known(sensor_share, virtual_share):
    task = samples(empty_share=0.0, noise=0.0, sensor_share=sensor_share, virtual_share=virtual_share)
    errors, holes = [], []
    for index in range(4):
        sample = task[index]
        both = (sample["known_depth"] > 0) & (sample["depth"] > 0)
        errors.append((sample["known_depth"] / sample["depth"] - 1)[both].abs())
        holes.append(1 - float(both.float().mean()))
    # a warped surface is a pixel's rounding and the pose noise off, and more at edges
    assert float(torch.cat(errors).median()) < 0.02
    assert 0.0 < np.mean(holes) < 0.95


def test_a_sample_depends_on_its_number_alone():
    first, again, other = samples()[3], samples()[3], samples()[4]
    assert all(torch.equal(first[name].nan_to_num(-1), again[name].nan_to_num(-1)) for name in ("image", "depth", "K"))
    assert torch.equal(first["known_depth"].nan_to_num(-1), again["known_depth"].nan_to_num(-1))
    assert not torch.equal(first["image"], other["image"])
    empty = samples(empty_share=1.0)[3]
    assert not (empty["known_depth"] > 0).any()
    assert torch.equal(empty["depth"].nan_to_num(-1), first["depth"].nan_to_num(-1))


def test_erosion_equals_the_obvious_one():
    depth = random_depth()
    expected = depth.clone()
    for row, column in np.ndindex(depth.shape):
        for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= r < 20 and 0 <= c < 30 and torch.isnan(depth[r, c]):
                expected[row, column] = torch.nan
    torch.testing.assert_close(eroded(depth), expected, equal_nan=True)


def test_a_sensor_leaves_a_part_of_the_depth_unchanged():
    image = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(2))
    K = torch.tensor([[40.0, 0, 14.5], [0, 40.0, 9.5], [0, 0, 1]])
    depth, shares = random_depth(), []
    for seed in range(30):
        left = sensor_dropout(depth, image, K, np.random.default_rng(seed))
        assert torch.equal(left[left > 0], depth[left > 0])
        shares.append(int((left > 0).sum()) / int((depth > 0).sum()))
    assert min(shares) < 0.5
    assert max(shares) > 0.8


def test_a_teachers_depth_is_scaled_as_a_whole_into_its_range():
    relative = torch.rand(20, 30, generator=torch.Generator().manual_seed(0))
    relative[0, 0] = 0.0  # the nearest of a teacher may be 0, whose factor has no bound
    known = torch.where(relative > 0.4, relative, torch.nan)
    factors = []
    for seed in range(40):
        depth, given = scaled_teacher_depth(relative, known, np.random.default_rng(seed))
        assert depth.min() >= 1e-3
        assert depth.max() <= 10.0 + 1e-5
        assert torch.equal(given[known > 0], depth[known > 0])
        factors.append(float(depth[10, 10] / relative[10, 10]))
    assert min(factors) < 2.5 < 7.5 < max(factors)
    unscaled, _ = scaled_teacher_depth(relative, torch.full_like(known, torch.nan), np.random.default_rng(0))
    assert torch.equal(unscaled[relative > 1e-3], relative[relative > 1e-3])


def prediction_of(depth):
    return Prediction(depth, torch.full_like(depth, 0.5), torch.full_like(depth, -2.0))


def test_the_truth_has_no_error_and_unknown_truth_none_either():
    truth = random_depth(5, 32, 48)[None]
    known = torch.where(torch.arange(48) < 20, truth, torch.nan)
    parts = losses(prediction_of(truth.nan_to_num(7.0)), truth, known, torch.tensor([True]))
    assert all(float(parts[name]) < 1e-3 for name in ("silog", "hole", "known", "slope", "hole_error_m"))
    parts = losses(prediction_of(1.1 * truth.nan_to_num(7.0)), truth, known, torch.tensor([True]))
    assert float(parts["hole"]) == pytest.approx(np.log(1.1), rel=1e-3)
    assert float(parts["known"]) == pytest.approx(np.log(1.1), rel=1e-3)
    assert float(parts["silog"]) == pytest.approx(np.log(1.1) * np.sqrt(0.15), rel=1e-2)
    assert float(parts["hole_error_m"]) == pytest.approx(float(0.1 * truth[known.isnan()].nanmean()), rel=1e-3)


@pytest.mark.parametrize(
    ("is_metric", "some_known", "expected"), [(False, False, 0.0), (True, False, 1.0), (False, True, 1.0)]
)
def test_the_unit_is_forgiven_only_where_it_cannot_be_told(is_metric, some_known, expected):
    truth = random_depth(5, 32, 48)[None]
    known = truth.clone() if some_known else torch.full_like(truth, torch.nan)
    known[:, :, 20:] = torch.nan
    parts = losses(prediction_of(np.e * truth.nan_to_num(7.0)), truth, known, torch.tensor([is_metric]))
    assert float(parts["hole"]) == pytest.approx(expected, abs=1e-3)


def test_the_scale_invariant_error_is_that_of_its_formula():
    error = torch.randn(2, 6, 7, generator=torch.Generator().manual_seed(0))
    valid = torch.rand(2, 6, 7, generator=torch.Generator().manual_seed(1)) < 0.7
    expected = [np.sqrt((e[v] ** 2).mean() - 0.85 * e[v].mean() ** 2) for e, v in zip(error.numpy(), valid.numpy(), strict=True)]  # fmt: skip  # noqa: E501
    assert float(silog(error, valid)) == pytest.approx(np.mean(expected), rel=1e-5)
