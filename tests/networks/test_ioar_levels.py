"""IOAR's levels lie where their targets do, batch items are apart, and everything learns, seen or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from showroom_ros.datasets.prepare.tsdf_targets import class_labels
from showroom_ros.networks.ioar import (
    KIND,
    PRESETS,
    TRUNCATION_VOXELS,
    VOXEL_SIZES_M,
    IoarNet,
    LevelOutput,
    LevelState,
    at_voxels,
    dense_coordinates,
)

HEIGHT, WIDTH, VIEWS = 48, 64, 2
TINY = replace(
    PRESETS["small"], pyramid_channels=8, feature_channels=(8, 8, 4), unet_widths=(4, 4, 2), attention_layers=(1, 1, 1)
)


def network(seed: int = 0, settings: object = TINY) -> IoarNet:
    torch.manual_seed(seed)
    net = KIND.build(settings)
    assert isinstance(net, IoarNet)
    return net


def views(seed: int = 0, count: int = VIEWS) -> tuple[Tensor, Tensor, Tensor]:
    """Random images from cameras behind x = 0 that look along x, z up."""
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.uniform(0, 255, (count, 3, HEIGHT, WIDTH))).float()
    K = torch.tensor([[50.0, 0, 31.5], [0, 50.0, 23.5], [0, 0, 1]]).repeat(count, 1, 1)
    pose = torch.tensor([[0.0, 0, 1, -1.5], [-1, 0, 0, 0.3], [0, -1, 0, 0.4], [0, 0, 0, 1]]).repeat(count, 1, 1)
    pose[:, 1, 3] += torch.from_numpy(rng.uniform(-0.3, 0.3, count)).float()
    return images, K, pose


def batch_of(seeds: tuple[int, ...], crop: tuple[int, int, int] = (16, 12, 20)) -> dict[str, Tensor]:
    """Views of boxes whose sizes differ by axis, with a wall at a random place as the truth."""
    items = []
    for seed in seeds:
        images, K, poses = views(seed)
        wall = np.random.default_rng(seed).integers(5, crop[0] - 5)
        distance = (np.arange(crop[0]) - wall) / TRUNCATION_VOXELS
        tsdf = np.broadcast_to(distance.clip(-1, 1)[:, None, None], crop).astype(np.float32)
        fine, medium, coarse = (torch.from_numpy(level.astype(np.int64)) for level in class_labels(tsdf))
        item = {"images": images, "K": K, "T_world_camera": poses, "tsdf": torch.from_numpy(tsdf.copy())}
        item |= {"classes_coarse": coarse, "classes_medium": medium, "classes_fine": fine}
        items.append({**item, "origin_m": torch.tensor([0.1 * seed, -0.2, 0.0])})
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def plain_loss(outputs: list[LevelOutput], batch: dict[str, Tensor]) -> Tensor:
    fine = outputs[-1]
    total = (IoarNet.tsdf(fine) - at_voxels(batch["tsdf"], fine.coordinates)).abs().mean()
    for output, name in zip(outputs, ("classes_coarse", "classes_medium"), strict=False):
        assert output.class_logits is not None
        total = total + functional.cross_entropy(output.class_logits, at_voxels(batch[name], output.coordinates))
    for output in outputs:
        total = total + 0.1 * output.projective_occupancy.square().mean()
    return total


def test_children_of_all_voxels_are_the_dense_finer_level() -> None:
    net, shape = network(), (2, 3, 2, 5)
    coordinates = dense_coordinates(shape)
    state = LevelState(coordinates, torch.zeros((60, 1)), torch.zeros((60, 1)), torch.zeros(60), torch.zeros((60, 3)))
    children, _ = net.subdivide(state, keep=torch.ones(60, dtype=torch.bool))
    finer = dense_coordinates((2, 6, 4, 10))
    assert sorted(children.tolist()) == finer.tolist()


def test_places_of_levels_are_those_of_the_targets() -> None:
    """A target of a level is every second voxel of the finer one: so must be the places that the network looks at."""
    origin, rng = np.array([0.3, -1.0, 2.0]), np.random.default_rng(0)
    places = origin + VOXEL_SIZES_M[2] * np.indices((16, 8, 24)).transpose(1, 2, 3, 0)
    plane = rng.normal(size=3)
    tsdf = (((places - places.mean((0, 1, 2))) @ plane) / np.linalg.norm(plane) / 0.12).clip(-1, 1).astype(np.float32)
    labels = class_labels(tsdf)
    for level, subsample in ((2, 1), (1, 2), (0, 4)):
        expected = places[::subsample, ::subsample, ::subsample]
        of_level = labels[2 - level]
        coordinates = dense_coordinates((1, *of_level.shape))
        found = origin + VOXEL_SIZES_M[level] * coordinates[:, 1:].numpy()
        np.testing.assert_allclose(found, expected.reshape(-1, 3), atol=1e-9)
        assert at_voxels(torch.from_numpy(of_level)[None], coordinates).tolist() == of_level.ravel().tolist()


def test_forward_looks_at_the_places_it_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    net, batch, looked = network().eval(), batch_of((0, 3)), []
    fuse = net.fuse_views

    def spy(level: int, points_m: Tensor, *rest: object) -> object:
        looked.append((level, points_m))
        return fuse(level, points_m, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(net, "fuse_views", spy)
    outputs = net(batch, keep_true_surface=True)
    for level, output in enumerate(outputs):
        points_m = torch.cat([points for at, points in looked if at == level])
        items, voxels = output.coordinates[:, 0], output.coordinates[:, 1:]
        torch.testing.assert_close(points_m, batch["origin_m"][items] + VOXEL_SIZES_M[level] * voxels)
    assert len(outputs[0].coordinates) == batch["classes_coarse"].numel()


@pytest.mark.parametrize("use_projective_occupancy", [False, True])
def test_every_batch_item_is_computed_from_its_own_views_alone(use_projective_occupancy: bool) -> None:
    net, seeds = network().eval(), (0, 1)
    given = {"use_projective_occupancy": use_projective_occupancy, "keep_true_surface": True}
    with torch.no_grad():
        together = net(batch_of(seeds), **given)
        for item, seed in enumerate(seeds):
            for all_items, alone in zip(together, net(batch_of((seed,)), **given), strict=True):
                rows = all_items.coordinates[:, 0] == item
                assert torch.equal(all_items.coordinates[rows, 1:], alone.coordinates[:, 1:])
                torch.testing.assert_close(all_items.tsdf_logit[rows], alone.tsdf_logit, atol=1e-4, rtol=1e-4)
                assert torch.equal(all_items.valid[rows], alone.valid)
                torch.testing.assert_close(
                    all_items.projective_occupancy[rows], alone.projective_occupancy, atol=1e-4, rtol=1e-4
                )


@pytest.mark.parametrize("use_projective_occupancy", [False, True])
@pytest.mark.parametrize("seen", [True, False])
def test_everything_gets_a_gradient_in_both_phases(use_projective_occupancy: bool, seen: bool) -> None:
    """Processes that train together wait for the gradient of every parameter."""
    net, batch = network(), batch_of((0, 1))
    if not seen:
        batch["origin_m"] = torch.full((2, 3), -50.0)
    outputs = net(batch, use_projective_occupancy)
    assert any(bool(output.valid.any()) for output in outputs) == seen
    loss = plain_loss(outputs, batch)
    loss.backward()
    assert bool(torch.isfinite(loss))
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
