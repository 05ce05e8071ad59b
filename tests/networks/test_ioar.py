"""The volumetric network: published sizes, levels that fit together, bounded memory, bad input."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from showroom_ros.errors import InputError, SettingsError
from showroom_ros.geometry.se3 import look_at
from showroom_ros.networks.ioar import (
    KIND,
    LEVELS,
    PRESETS,
    SURFACE,
    VOXEL_SIZES_M,
    IoarNet,
    LevelState,
    at_voxels,
    dense_coordinates,
)
from showroom_ros.networks.view_fusion import ViewFeatures


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def small_net(seed: int = 0) -> IoarNet:
    torch.manual_seed(seed)
    return IoarNet(PRESETS["small"]).eval()


def random_views(views: int = 3, height: int = 64, width: int = 80) -> tuple[torch.Tensor, ...]:
    """Images, K and poses that look at a box of 1 m around the origin from 1.5 m away."""
    generator = np.random.default_rng(3)
    eyes = generator.normal(size=(views, 3))
    eyes *= 1.5 / np.linalg.norm(eyes, axis=1, keepdims=True)
    poses = np.stack([look_at(eye, (0, 0, 0), (0, 0, 1)) for eye in eyes])
    K = np.array([[70.0, 0, width / 2], [0, 70.0, height / 2], [0, 0, 1]])
    images = generator.uniform(0, 255, (views, 3, height, width))
    return tuple(torch.from_numpy(np.asarray(a)).float() for a in (images, np.stack([K] * views), poses))


def random_batch(shape: tuple[int, int, int], items: int = 2, views: int = 3) -> dict[str, torch.Tensor]:
    """A batch of boxes of random truth, ``shape`` in fine voxels."""
    images, K, poses = random_views(views)
    generator = torch.Generator().manual_seed(1)

    def classes(divisor: int) -> torch.Tensor:
        return torch.randint(0, 3, (items, *(size // divisor for size in shape)), generator=generator)

    return {
        "images": images.repeat(items, 1, 1, 1, 1),
        "K": K.repeat(items, 1, 1, 1),
        "T_world_camera": poses.repeat(items, 1, 1, 1),
        "origin_m": torch.full((items, 3), -0.4),
        "classes_coarse": classes(4),
        "classes_medium": classes(2),
    }


def test_six_u_nets_at_full_size_have_11_9_million_parameters() -> None:
    net = IoarNet(PRESETS["full"])
    distances, classes = [count(part) for part in net.tsdf_nets], [count(part) for part in net.class_nets]
    assert distances == [4_499_328, 1_167_856, 293_496]
    assert classes == [4_499_328, 1_168_720, 293_928]
    assert sum(distances) + sum(classes) == 11_922_656
    inputs = [[part.stem.conv.weight.shape[1] for part in branch] for branch in (net.tsdf_nets, net.class_nets)]
    assert inputs == [[80, 137, 73], [80, 139, 75]]
    assert [head.in_features for head in net.tsdf_heads] == [96, 48, 24]


def test_small_preset_is_small_and_has_no_dead_weight() -> None:
    net = KIND.build(PRESETS["small"])
    assert count(net) < 1_500_000
    assert len(net.class_nets) == LEVELS - 1
    assert all(parameter.requires_grad for parameter in net.parameters())
    dead = [name for name, parameter in IoarNet(PRESETS["full"]).named_parameters() if not parameter.requires_grad]
    assert {name.split(".")[1] for name in dead} == {"2"}
    assert {name.split(".")[0] for name in dead} == {"class_nets", "class_heads"}


def test_features_of_single_images_are_those_of_all_together() -> None:
    net = small_net()
    images, K, poses = random_views()
    together = net.view_features(images, K, poses)
    single = ViewFeatures.stacked([net.view_features(*(a[i : i + 1] for a in (images, K, poses))) for i in range(3)])
    for level in range(LEVELS):
        assert (together.maps[level] - single.maps[level]).abs().max() < 1e-4
        assert torch.equal(together.projections[level], single.projections[level])
    sizes = [tuple(level.shape[1:]) for level in together.maps]
    assert sizes == [(32, 4, 5), (24, 8, 10), (16, 16, 20)]


@pytest.mark.parametrize("size", [(33, 47), (120, 160), (50, 70)])
def test_any_size_of_image(size: tuple[int, int]) -> None:
    images, K, poses = random_views(1, *size)
    maps = small_net().view_features(images, K, poses).maps
    assert [tuple(level.shape[2:]) for level in maps] == [
        tuple(-(-side // stride) for side in size) for stride in (16, 8, 4)
    ]


def test_pixels_of_maps_are_centred_on_multiples_of_the_stride() -> None:
    """What a change of one pixel moves in the trunk's features is symmetric about pixel / stride."""
    torch.manual_seed(0)
    for backbone in ("light", "mnasnet"):
        trunk = IoarNet(replace(PRESETS["small"], backbone=backbone)).eval().pyramid.backbone
        images = torch.full((1, 3, 192, 192), 0.5, requires_grad=True)
        trunk(images)[0][0, :, 24, 24].sum().backward()
        reach = images.grad.abs().sum((0, 1)).nonzero()
        assert ((reach.amin(0) + reach.amax(0)) / 2).tolist() == pytest.approx([96, 96], abs=0.51)


def test_fused_views_do_not_depend_on_the_chunk() -> None:
    net = small_net()
    features = net.view_features(*random_views())
    points = torch.randn(70, 3) * 0.5
    whole, parts = net.fuse_views(1, points, features), net.fuse_views(1, points, features, chunk=16)
    assert all((one.float() - other.float()).abs().max() < 1e-5 for one, other in zip(whole, parts, strict=True))
    halved = net.fuse_views(1, points, features.kept_as(torch.float16))
    assert (halved.features - whole.features).abs().max() < 0.1
    assert torch.equal(halved.valid, whole.valid)
    assert whole.features.shape == (70, 24)
    assert whole.valid.shape == whole.projective_occupancy.shape == (70, 3)
    assert net.fuse_views(1, points[:0], features).features.shape == (0, 24)


def test_voxels_no_view_sees_get_a_finite_feature() -> None:
    net = small_net()
    images, K, poses = random_views(1)
    behind = poses[0, :3, 3] - poses[0, :3, 2] * torch.arange(1.0, 5.0)[:, None]
    fused = net.fuse_views(0, behind, net.view_features(images, K, poses))
    assert not fused.valid.any()
    assert torch.isfinite(fused.features).all()
    assert (fused.features == fused.features[0]).all()


def state_of(coordinates: torch.Tensor, surface: torch.Tensor) -> LevelState:
    features = torch.arange(len(coordinates)).float()[:, None]
    logits = torch.zeros(len(coordinates), 3)
    logits[surface, SURFACE] = 1.0
    return LevelState(coordinates, features, features + 100, features[:, 0] + 200, logits)


def test_children_are_where_every_second_voxel_is_the_parent() -> None:
    coordinates = torch.tensor([[0, 0, 0, 0], [0, 1, -2, 3], [1, 5, 5, 5]])
    state = state_of(coordinates, torch.tensor([False, True, True]))
    children, copied = small_net().subdivide(state)
    assert len(children) == 16
    assert torch.equal(children[:8, 1:].amin(0), torch.tensor([2, -4, 6]))
    assert torch.equal(children[:8, 1:].amax(0), torch.tensor([3, -3, 7]))
    assert len({tuple(child) for child in children.tolist()}) == 16
    assert torch.equal(children[:, 1:] >> 1, coordinates[[1, 2]].repeat_interleave(8, 0)[:, 1:])
    assert copied.tsdf_features[:, 0].tolist() == [1] * 8 + [2] * 8
    assert copied.class_features[:, 0].tolist() == [101] * 8 + [102] * 8
    assert copied.tsdf_logit.tolist() == [201] * 8 + [202] * 8
    assert torch.equal(copied.coordinates, children)
    # the first child has its centre where the parent has its own: targets[::2] are those of parents
    fine = torch.rand(1, 8, 8, 8)
    first = torch.tensor([[0, 1, 2, 3]]) * torch.tensor([1, 2, 2, 2])
    assert at_voxels(fine, first) == at_voxels(fine[:, ::2, ::2, ::2], torch.tensor([[0, 1, 2, 3]]))
    assert VOXEL_SIZES_M[0] == 2 * VOXEL_SIZES_M[1] == 4 * VOXEL_SIZES_M[2]


def test_true_surface_is_inside_the_children_of_true_surface() -> None:
    from showroom_ros.datasets.prepare.tsdf_targets import class_labels

    tsdf = np.random.default_rng(0).choice([-1.0, 0.3, 1.0], (24, 16, 32), p=[0.6, 0.01, 0.39]).astype(np.float32)
    fine, medium, coarse = (torch.from_numpy(level.astype(np.int64))[None] for level in class_labels(tsdf))
    net, coordinates = small_net(), dense_coordinates(coarse.shape)
    for parents, children in ((coarse, medium), (medium, fine)):
        state = state_of(coordinates, at_voxels(parents, coordinates) == SURFACE)
        coordinates, _ = net.subdivide(state)
        within = at_voxels(children, coordinates)
        assert (within == SURFACE).sum() == (children == SURFACE).sum() > 0


def test_subdivision_keeps_at_most_so_many_per_item_reproducibly() -> None:
    state = state_of(dense_coordinates((2, 4, 4, 4)), torch.ones(128, dtype=torch.bool))
    net = small_net()
    drawn = [net.subdivide(state, 100, torch.Generator().manual_seed(seed))[0] for seed in (5, 5, 6)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.bincount(drawn[0][:, 0]).tolist() == [100, 100]
    nothing, copied = net.subdivide(state_of(dense_coordinates((1, 2, 2, 2)), torch.zeros(8, dtype=torch.bool)))
    assert nothing.shape == (0, 4)
    assert copied.tsdf_features.shape == (0, 1)


def test_levels_run_on_nothing() -> None:
    net = small_net()
    features = net.view_features(*random_views())
    coordinates = dense_coordinates((1, 3, 4, 2))
    fused = net.fuse_views(0, torch.zeros(24, 3), features).features
    state = net.run_level(0, coordinates, fused)
    empty, parent = net.subdivide(state, keep=torch.zeros(24, dtype=torch.bool))
    finer = net.run_level(1, empty, net.fuse_views(1, empty[:, 1:].float(), features).features, parent)
    assert finer.tsdf_logit.shape == (0,)
    assert net.tsdf(finer).shape == (0,)


def test_training_outputs_cover_every_axis_and_item() -> None:
    net, batch = small_net(), random_batch((24, 16, 32))
    outputs = net(batch, keep_true_surface=True)
    coarse = outputs[0].coordinates
    assert coarse.amax(0).tolist() == [1, 5, 3, 7]  # each axis has its own size
    assert len(coarse) == 2 * 6 * 4 * 8
    for output, truth in zip(outputs[1:], ("classes_coarse", "classes_medium"), strict=True):
        assert set(output.coordinates[:, 0].tolist()) == {0, 1}
        parents = torch.cat([output.coordinates[:, :1], output.coordinates[:, 1:] >> 1], 1)
        kept = {tuple(parent) for parent in parents.tolist()}
        active = {tuple(place) for place in outputs[0 if truth == "classes_coarse" else 1].coordinates.tolist()}
        true = {tuple(place) for place in (batch[truth] == SURFACE).nonzero().tolist()}
        assert true & active <= kept
    assert outputs[2].class_logits is None
    assert all(output.valid.shape == output.projective_occupancy.shape for output in outputs)


def test_items_of_a_batch_see_their_own_views_only() -> None:
    net, batch = small_net(), random_batch((16, 16, 16))
    changed = {**batch, "images": batch["images"].clone()}
    changed["images"][1] = 255 - changed["images"][1]
    before, after = net(batch)[0], net(changed)[0]
    first = before.coordinates[:, 0] == 0
    assert torch.equal(before.tsdf_logit[first], after.tsdf_logit[first])
    assert not torch.equal(before.tsdf_logit[~first], after.tsdf_logit[~first])


def test_saved_and_loaded_network_says_the_same(tmp_path: Path) -> None:
    net, other, batch = small_net(0), small_net(1), random_batch((16, 16, 16), 1)
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    for one, two in zip(net(batch), other(batch), strict=True):
        assert torch.equal(one.coordinates, two.coordinates)
        assert torch.equal(one.tsdf_logit, two.tsdf_logit)


def test_distance_reaches_the_truncation() -> None:
    state = state_of(dense_coordinates((1, 1, 1, 3)), torch.zeros(3, dtype=torch.bool))
    distance = IoarNet.tsdf(state._replace(tsdf_logit=torch.tensor([-50.0, 0.0, 50.0])))
    assert distance.tolist() == pytest.approx([-1.05, 0.0, 1.05])


def spoilt(**changes: torch.Tensor) -> tuple[torch.Tensor, ...]:
    views = dict(zip(("images", "K", "poses"), random_views(2), strict=True))
    return tuple({**views, **changes}.values())


NAN_POSE = torch.eye(4).repeat(2, 1, 1)
NAN_POSE[1, 0, 3] = float("nan")


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (spoilt(images=torch.zeros(2, 3, 16, 80)), "80x16, expected sides of at least 32"),
        (spoilt(images=torch.zeros(2, 1, 64, 80)), r"expected \[n, 3, H, W\]"),
        (spoilt(images=torch.zeros(0, 3, 64, 80)), "n > 0"),
        (spoilt(K=torch.eye(3)), r"K is \(3, 3\)"),
        (spoilt(poses=NAN_POSE), "T_world_camera hold values that are not finite"),
        (spoilt(images=torch.full((2, 3, 64, 80), float("inf"))), "images hold"),
    ],
)
def test_bad_views(views: tuple[torch.Tensor, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small_net().view_features(*views)


def test_bad_parents_and_settings() -> None:
    net, coordinates = small_net(), dense_coordinates((1, 2, 2, 2))
    state = state_of(coordinates, torch.ones(8, dtype=torch.bool))
    with pytest.raises(InputError, match="level 1 lacks a parent"):
        net.run_level(1, coordinates, torch.zeros(8, 24))
    with pytest.raises(InputError, match="level 0 cannot have"):
        net.run_level(0, coordinates, torch.zeros(8, 32), state)
    with pytest.raises(InputError, match="coordinates differ"):
        net.run_level(1, coordinates + 1, torch.zeros(8, 24), state)
    with pytest.raises(SettingsError, match="backbone is 'resnet', expected one of"):
        IoarNet(replace(PRESETS["small"], backbone="resnet"))
    with pytest.raises(SettingsError, match="voxel_norm is 'instance', expected one of"):
        IoarNet(replace(PRESETS["small"], voxel_norm="instance"))
