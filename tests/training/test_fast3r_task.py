"""Training of pointmaps: targets, losses, ids of the views, and that a few steps lower the loss."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from test_clips import Room

from showroom_ros.errors import SettingsError
from showroom_ros.networks.fast3r import KIND, Pointmap, build
from showroom_ros.networks.fast3r_settings import PRESETS, Fast3rSettings
from showroom_ros.networks.weights import load_weights, save_weights
from showroom_ros.training.clips import Clips, ClipSettings
from showroom_ros.training.distillation import DistillationSettings
from showroom_ros.training.fast3r import TASK, Fast3rTask, Fast3rTaskSettings, ImageSets
from showroom_ros.training.pointmap_losses import confidence_weighted, pointmap_losses, pointmap_targets
from showroom_ros.training.scenes import RecordedScene

SHAPE = Fast3rSettings(
    encoder_width=32, encoder_depth=2, encoder_heads=2, decoder_width=32, decoder_depth=4, decoder_heads=2,
    head_channels=(8, 8, 8, 8), head_width=8, head_last=8, view_ids=64,
)  # fmt: skip
SETTINGS = Fast3rTaskSettings(
    clips=ClipSettings(views=3, width=64, height=48, max_turn_deg=60.0, max_baseline_m=2.0, min_overlap=0.05)
)


def network_of(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(SHAPE)


@pytest.fixture(scope="module")
def sets():
    return ImageSets(Clips([RecordedScene(Room())], SETTINGS.clips, 0), SETTINGS.view_ids)


@pytest.fixture(scope="module")
def batch(sets):
    return Fast3rTask(SETTINGS, "", 0).collate([sets[0], sets[1]])


@pytest.fixture(scope="module")
def truth(batch):
    """Points and local points of the batch, NaN where the first image's upper left is unknown."""
    depth = batch["depth"].clone()
    depth[0, 0, :7, :9] = torch.nan
    return pointmap_targets(depth, batch["K"], batch["T_world_camera"])


def exact(points, local):
    """Predictions equal to the truth; where that is unknown, anything finite."""
    said = [value.nan_to_num(3.0).clone() for value in (points, local)]
    sure = torch.full(points.shape[:-1], 1.5)
    return [Pointmap(said[0][:, n], sure[:, n], said[1][:, n], sure[:, n]) for n in range(points.shape[1])]


def scaled(maps, factor):
    return [one._replace(points=factor * one.points, local_points=factor * one.local_points) for one in maps]


def noisy(maps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        one._replace(
            points=one.points + 0.1 * torch.randn(one.points.shape, generator=generator),
            local_points=one.local_points + 0.1 * torch.randn(one.points.shape, generator=generator),
        )
        for one in maps
    ]


def only(maps, sample):
    return [Pointmap(*(value[sample : sample + 1] for value in one)) for one in maps]


@pytest.mark.parametrize("distilled", [False, True])
def test_steps_on_one_batch_lower_its_loss(batch, tmp_path, distilled):
    settings = SETTINGS
    if distilled:
        path = tmp_path / "teacher.safetensors"
        save_weights(path, KIND, SHAPE, network_of(1).state_dict(), {})
        settings = replace(
            SETTINGS, distillation=DistillationSettings(str(path), 1.0, 2.0, 1.0, dense=1.0, confidence=0.1, truth=0.5)
        )
    task, network = Fast3rTask(settings, "", 0), network_of(0)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    losses = []
    for step in range(4):
        task.prepare(network, step)
        parts = task.loss(network, batch, step)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        losses.append(float(parts["loss"].detach()))
    assert losses[3] < losses[2] < losses[1] < losses[0]
    assert losses[3] < 0.97 * losses[0]
    unused = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert all("refinenet4.resConfUnit1" in name for name in unused)  # it fuses one map only
    assert task.picture(network, batch).shape == (3 * 48, 4 * 64, 3)
    assert ("teacher_dense" in parts) == distilled


def test_targets_equal_a_loop_over_pixels(batch, truth):
    points, local = truth
    poses = batch["T_world_camera"].double().numpy()
    assert points[0, 0, :7, :9].isnan().all()
    for sample, view, row, column in ((0, 0, 20, 33), (0, 2, 47, 0), (1, 1, 5, 63), (1, 2, 30, 30)):
        fx, fy, cx, cy = (float(batch["K"][sample, view][place]) for place in ((0, 0), (1, 1), (0, 2), (1, 2)))
        z = float(batch["depth"][sample, view, row, column])
        here = np.array([(column - cx) / fx * z, (row - cy) / fy * z, z])
        there = (np.linalg.inv(poses[sample, 0]) @ poses[sample, view] @ [*here, 1])[:3]
        np.testing.assert_allclose(local[sample, view, row, column], here, atol=1e-5)
        np.testing.assert_allclose(points[sample, view, row, column], there, atol=1e-4)


def test_the_world_of_the_poses_does_not_matter(batch, truth):
    elsewhere = torch.linalg.inv(batch["T_world_camera"][:1, 2:])  # a motion of the world
    points, _ = pointmap_targets(batch["depth"], batch["K"], elsewhere @ batch["T_world_camera"])
    known = truth[0].isfinite()
    torch.testing.assert_close(points[known], truth[0][known], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("metric", [False, True])
def test_the_truth_has_no_error(truth, metric):
    parts = pointmap_losses(exact(*truth), *truth, metric=metric)
    assert float(parts["global_error"]) < 1e-5
    assert float(parts["local_error"]) < 1e-5
    assert float(parts["abs_rel"]) < 1e-5
    gain = 0.2 * torch.tensor(1.5).log()
    assert float(parts["loss"]) == pytest.approx(-float(gain), abs=1e-4)


def test_scale_counts_only_where_it_is_metric(truth):
    maps = noisy(exact(*truth))
    loss = {
        (metric, factor): float(pointmap_losses(scaled(maps, factor), *truth, metric=metric)["loss"])
        for metric in (False, True)
        for factor in (1.0, 2.5)
    }
    assert loss[False, 2.5] == pytest.approx(loss[False, 1.0], abs=1e-5)
    assert loss[True, 2.5] > loss[True, 1.0] + 0.5


@pytest.mark.parametrize("metric", [False, True])
def test_scale_is_that_of_a_sample_not_of_the_batch(truth, metric):
    """Averaging over the batch made the loss of one depend on the scale of the others (fast3r, issue 72)."""
    maps = noisy(exact(*truth))
    losses = partial(pointmap_losses, metric=metric)
    alone = [losses(only(maps, n), *(value[n : n + 1] for value in truth))["loss"] for n in (0, 1)]
    assert float(losses(maps, *truth)["loss"]) == pytest.approx(float(sum(alone)) / 2, rel=1e-5)
    factor = torch.tensor([1.0, 50.0]).view(2, 1, 1, 1)
    larger = [one._replace(points=factor * one.points, local_points=factor * one.local_points) for one in maps]
    again = losses(larger, *(factor[..., None] * value for value in truth))["loss"]
    assert float(again) == pytest.approx(float(sum(alone)) / 2, rel=1e-4)


def test_views_share_the_scale_of_the_global_points_and_have_their_own_locally(truth):
    maps = exact(*truth)
    maps[1] = scaled(maps[1:2], 2.0)[0]
    parts = pointmap_losses(maps, *truth, metric=False)
    assert float(parts["local_error"]) < 1e-5
    assert float(parts["global_error"]) > 0.1


@pytest.mark.parametrize("metric", [False, True])
@pytest.mark.parametrize("unknown", [torch.nan, torch.inf])
def test_unknown_truth_says_nothing(batch, truth, metric, unknown):
    maps = noisy(exact(*truth))
    maps = [Pointmap(*(value.clone().requires_grad_() for value in one)) for one in maps]
    depth = batch["depth"].clone()
    depth[0, 0, :7, :9] = unknown
    depth[1, 2] = unknown  # all of a view
    parts = pointmap_losses(maps, *pointmap_targets(depth, batch["K"], batch["T_world_camera"]), metric=metric)
    parts["loss"].backward()
    assert all(value.isfinite() for value in parts.values())
    for view, one in enumerate(maps):
        for value in one:
            assert value.grad.isfinite().all()
            assert (value.grad[0, :7, :9] == 0).all() == (view == 0)
            assert (value.grad[1] == 0).all() == (view == 2)
    nothing = pointmap_losses(maps, *(torch.full_like(value, torch.nan) for value in truth), metric=metric)
    assert all(float(value.detach()) == 0 for value in nothing.values())


def test_confidence_is_best_at_alpha_over_the_error():
    error, alpha = torch.tensor([0.02, 0.05, 0.1]).view(3, 1, 1, 1), 0.2
    candidates = torch.linspace(1, 20, 1901)
    valid = torch.ones(3, 1, 1, 1, dtype=torch.bool)
    losses = torch.stack([confidence_weighted(error, torch.full_like(error, c), valid, alpha) for c in candidates])
    best = candidates[losses[..., 0].argmin(0)]
    torch.testing.assert_close(best, alpha / error.flatten(), atol=0.011, rtol=0)


def test_ids_are_different_begin_with_0_and_follow_from_the_index(sets):
    again = ImageSets(Clips([RecordedScene(Room())], SETTINGS.clips, 0), SETTINGS.view_ids)
    again[5]
    found = [sets[index]["view_ids"].tolist() for index in range(6)]
    assert found == [again[index]["view_ids"].tolist() for index in range(6)]
    assert all(ids[0] == 0 and len(set(ids)) == 3 and min(ids) >= 0 and max(ids) < 64 for ids in found)
    assert len({tuple(ids) for ids in found}) > 1
    few = ImageSets(Clips([RecordedScene(Room())], SETTINGS.clips, 0), 2)
    assert sorted(few[0]["view_ids"].tolist()) == [0, 1, 2]


def test_mixed_precision_is_for_transformers_not_for_targets_and_losses(batch):
    points, local = pointmap_targets(batch["depth"], batch["K"], batch["T_world_camera"])
    asked = []

    def network(images, view_ids, *, dtype):
        asked.append(dtype)
        return exact(points, local)

    task = Fast3rTask(SETTINGS, "", 0)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = task.loss(network, batch, 0)
    plain = task.loss(network, batch, 0)
    assert asked == [torch.bfloat16, torch.float32]
    assert float(mixed["global_error"]) < 1e-5
    assert float(mixed["loss"]) == float(plain["loss"])


def test_showroom_s_student_is_the_published_network_with_narrower_heads():
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in build(TASK.network.presets["showroom"]).parameters())
    assert count == 647_551_368 - 2 * (20_545_732 - 13_945_828)


def test_a_stem_begins_with_the_weights_of_the_plane_sweep():
    torch.manual_seed(0)
    network = build(PRESETS["tiny"])
    task = Fast3rTask(Fast3rTaskSettings(stem_weights="plane_sweep_small"), "synthetic:0-1", 0)
    task.prepare(network, 0)
    stem = network.encoder.patch_embed.features
    trained = load_weights("plane_sweep_small", "plane_sweep").network.encoder
    name = "eighth.0.0.weight"
    assert not torch.equal(stem.state_dict()[name], trained.state_dict()[name])
    task.begin(network)
    for name, tensor in trained.state_dict().items():
        assert torch.equal(stem.state_dict()[name], tensor)
    patches = build(replace(PRESETS["tiny"], stem="patch"))
    with pytest.raises(SettingsError, match="expected stem: conv"):
        task.begin(patches)
