"""Samples of volumes: truth where it belongs after any turn, views that see the box, the same for the same number."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from textured_room import ROOM, surface_color
from volume_scene import CAMERA, RoomScene

from showroom_ros.datasets.prepare.tsdf_targets import class_labels
from showroom_ros.errors import DatasetError, SettingsError
from showroom_ros.geometry.se3 import look_at
from showroom_ros.training.ioar import depth_at
from showroom_ros.training.photometric import augmented
from showroom_ros.training.volume_crops import (
    CROPS_PER_SCENE,
    CropSettings,
    VolumeCrops,
    _turn,
    sampled_tsdf,
    targets,
    thinned,
)

SETTINGS = CropSettings((32, 24, 16), views=3, image_width=0, image_height=0)


@pytest.fixture(scope="module")
def room() -> RoomScene:
    return RoomScene()


def centres(sample: dict[str, torch.Tensor]) -> torch.Tensor:
    """World points [X, Y, Z, 3] of the fine voxels of a sample."""
    shape = sample["tsdf"].shape
    grid = torch.stack(torch.meshgrid(*(torch.arange(size) for size in shape), indexing="ij"), -1)
    return sample["origin_m"] + 0.04 * grid


def test_shapes_of_a_sample_have_each_axis_of_the_box(room: RoomScene) -> None:
    sample = VolumeCrops([room], SETTINGS, 0)[5]
    assert sample["tsdf"].shape == sample["supervised"].shape == sample["classes_fine"].shape == (32, 24, 16)
    assert sample["classes_medium"].shape == (16, 12, 8)
    assert sample["classes_coarse"].shape == (8, 6, 4)
    assert sample["images"].shape == (3, 3, 120, 160)
    assert sample["images"].dtype == torch.uint8
    assert sample["depth"].shape == (3, 120, 160)
    assert (sample["classes_fine"] == 1).any()


def test_a_box_of_48_has_48_voxels_along_its_axis(room: RoomScene) -> None:
    """Counts are whole numbers: a range of metres in steps of 4 cm would now and then give one more."""
    crops = VolumeCrops([room], replace(SETTINGS, crop=(48, 48, 24), views=1), 3)
    assert {tuple(crops[index]["tsdf"].shape) for index in range(12)} == {(48, 48, 24)}


@pytest.mark.parametrize("seed", range(6))
def test_truth_and_images_agree_after_turns_and_mirrors(room: RoomScene, seed: int) -> None:
    """Surface voxels project to pixels whose depth is theirs, whatever the augmentation did to the world."""
    sample = VolumeCrops([room], replace(SETTINGS, anchor_margin=0.4, weigh_views=True), seed)[seed]
    near = sample["tsdf"].abs() < 0.4
    points = centres(sample)[near]
    measured, z = depth_at(points, sample["depth"], sample["K"], sample["T_world_camera"])
    seen = measured > 0
    assert seen.any()
    assert (measured - z)[seen].abs().median() < 0.06
    free = centres(sample)[sample["tsdf"] <= -0.999]
    measured, z = depth_at(free, sample["depth"], sample["K"], sample["T_world_camera"])
    assert ((measured - z)[measured > 0] > 0).float().mean() > 0.97
    rotation = sample["T_world_camera"][:, :3, :3]
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(3), atol=1e-5)
    assert torch.allclose(rotation @ rotation.transpose(1, 2), torch.eye(3).expand(3, 3, 3), atol=1e-5)


def test_half_of_the_boxes_are_mirrored_and_turns_are_even() -> None:
    rng, anchor = np.random.default_rng(0), np.array([1.0, -2.0, 3.0])
    drawn = [_turn(anchor, rng) for _ in range(400)]
    mirrored = np.array([flag for _, flag in drawn])
    assert 160 < mirrored.sum() < 240
    for matrix, flag in drawn:
        assert np.linalg.det(matrix) == pytest.approx(-1 if flag else 1)
        assert np.allclose(matrix @ [*anchor, 1], [*anchor, 1])
        assert np.allclose(matrix[2], [0, 0, 1, 0])
    quarters = np.bincount([int(np.arctan2(m[1, 1], m[0, 1]) // (np.pi / 2)) + 2 for m, _ in drawn])
    assert len(quarters) == 4
    assert quarters.min() > 60


def test_without_augmentation_the_world_is_the_scenes_own(room: RoomScene) -> None:
    sample = VolumeCrops([room], SETTINGS, 0, validation=True)[2]
    layer, grid = room.tsdf_layer(0)
    places = np.rint((centres(sample).double().numpy() - grid.origin) / 0.04).astype(int)
    inside = ((places >= 0) & (places < layer.shape)).all(-1)
    assert np.abs(sample["tsdf"].numpy()[inside] - layer[tuple(places[inside].T)]).max() < 1e-3
    assert (sample["tsdf"].numpy()[~inside] == 1).all()
    pixels = sample["images"][0].permute(1, 2, 0).numpy()
    ray = np.array([(40 - CAMERA.cx) / CAMERA.fx, (70 - CAMERA.cy) / CAMERA.fy, 1.0]) * float(
        sample["depth"][0, 70, 40]
    )
    point = sample["T_world_camera"][0].double().numpy() @ [*ray, 1.0]
    assert np.abs(pixels[70, 40] - surface_color(point[:3])).max() < 4
    assert (point[:3] > -0.01).all()
    assert (point[:3] < ROOM + 0.01).all()


def test_a_sample_depends_on_its_number_alone(room: RoomScene) -> None:
    scenes = [room, RoomScene("other", 9)]
    one, other = VolumeCrops(scenes, SETTINGS, 7), VolumeCrops(scenes, SETTINGS, 7)
    other[3], other[8]
    for name, value in one[5].items():
        assert torch.equal(value, other[5][name]), name
    assert not torch.equal(one[5]["tsdf"], one[6]["tsdf"])
    assert not torch.equal(one[5]["images"], VolumeCrops(scenes, SETTINGS, 8)[5]["images"])
    assert len(one) == 2 * CROPS_PER_SCENE
    assert one.data_id == other.data_id != VolumeCrops(scenes[:1], SETTINGS, 7).data_id
    assert [sorted(one._scene_of(2 * turn + place) for place in (0, 1)) for turn in range(5)] == [[0, 1]] * 5
    with pytest.raises(IndexError):
        one[len(one)]


def trilinear_reference(layer: np.ndarray, place: np.ndarray) -> float:
    """One place: the description word by word."""
    if any(p < 0 or p > size - 1 for p, size in zip(place, layer.shape, strict=True)):
        return 1.0
    nearest = float(layer[tuple(int(np.rint(p)) for p in place)])
    if abs(nearest) > 0.999:
        return nearest
    total = 0.0
    for corner in np.ndindex(2, 2, 2):
        index = [min(int(np.floor(p)) + c, size - 1) for p, c, size in zip(place, corner, layer.shape, strict=True)]
        weight = np.prod([f if c else 1 - f for f, c in zip(place - np.floor(place), corner, strict=True)])
        total += float(weight) * float(layer[tuple(index)])
    return total


def test_sampled_distances_equal_their_slow_reference() -> None:
    rng = np.random.default_rng(0)
    layer = np.clip(rng.normal(0, 0.8, (6, 5, 7)), -1, 1).astype(np.float32)
    places = np.concatenate([rng.uniform(-1, 7, (300, 3)), np.argwhere(layer < 2)[:50], [[5, 4, 6], [0, 0, 0]]])
    expected = [trilinear_reference(layer, place) for place in places]
    assert np.abs(sampled_tsdf(layer, places) - expected).max() < 1e-5
    volume = places[:300].reshape(10, 5, 6, 3)
    assert np.abs(sampled_tsdf(layer, volume).ravel() - expected[:300]).max() < 1e-5


def labels_reference(fine: np.ndarray) -> list[np.ndarray]:
    """Classes as they are specified, one voxel after the other."""
    levels = [np.zeros(fine.shape, int)]
    for index, value in np.ndenumerate(fine):
        levels[0][index] = 1 if abs(value) < 0.999 else (2 if value <= -0.999 else 0)
    surface = levels[0] == 1
    for _ in range(2):
        size = [(count + 1) // 2 for count in surface.shape]
        halved, coarser = np.zeros(size, int), np.zeros(size, bool)
        for index in np.ndindex(*size):
            around = tuple(slice(max(2 * i - 1, 0), 2 * i + 2) for i in index)
            coarser[index] = surface[around].any()
            halved[index] = 1 if coarser[index] else levels[-1][tuple(2 * i for i in index)]
        levels.append(halved)
        surface = coarser
    return levels


def test_class_targets_are_exactly_as_specified(room: RoomScene) -> None:
    rng = np.random.default_rng(1)
    made_up = rng.choice(
        [-1.0, -0.9995, -0.999, -0.5, 0.998, 0.999, 1.0], (16, 24, 20), p=[0.4, 0.1, 0.1, 0.01, 0.01, 0.08, 0.3]
    )
    for fine in (made_up.astype(np.float32), room.tsdf_layer(0)[0][:32, :24, :16]):
        found = targets(np.ascontiguousarray(fine))
        for name, expected in zip(("fine", "medium", "coarse"), labels_reference(fine), strict=True):
            assert np.array_equal(found[f"classes_{name}"].numpy(), expected), name
        assert all(np.array_equal(a, b) for a, b in zip(class_labels(fine), labels_reference(fine), strict=True))


def test_supervised_are_known_voxels_and_columns_unknown_throughout() -> None:
    tsdf = np.ones((2, 2, 4), np.float32)
    tsdf[0, 0] = [-1, 0.5, 1, 1]
    tsdf[1, 1] = [1, 1, 1, -0.2]
    supervised = targets(np.tile(tsdf, (8, 8, 4)))["supervised"][:2, :2, :4]
    assert supervised[0, 0].tolist() == [True, True, False, False]
    assert supervised[1, 1].tolist() == [False, False, False, True]
    assert supervised[0, 1].all()
    assert supervised[1, 0].all()


def test_thinning_keeps_frames_that_moved_or_turned() -> None:
    def at(x: float, degrees: float) -> np.ndarray:
        a = np.radians(degrees)
        return look_at((x, 0, 0), (x + np.cos(a), np.sin(a), 0))

    poses = [at(0, 0), at(0.05, 0), at(0.1001, 0), at(0.15, 10), at(0.15, 15.1), at(0.15, 15.1), at(0.19, 30)]
    assert thinned(poses) == [0, 2, 4]
    assert thinned([at(0, 0), at(0.0999, 14.9)]) == [0]


def test_views_that_see_the_box_come_first(room: RoomScene) -> None:
    crops = VolumeCrops([room], SETTINGS, 0)
    corner = np.array([[0.1, 0.1, 0.3]])
    seeing = {index for index, pose in enumerate(room.poses) if _sees(corner[0], pose)}
    assert 0 < len(seeing) < len(room)
    for weigh in (False, True):
        crops.settings = replace(SETTINGS, views=len(seeing) + 2, weigh_views=weigh)
        chosen = crops._views(0, corner, np.random.default_rng(0))
        assert set(chosen[: len(seeing)]) == seeing
        assert len(set(chosen)) == len(seeing) + 2  # filled up with others
    crops.settings = replace(SETTINGS, views=2 * len(room))
    assert set(crops._views(0, np.array([[900.0, 0, 0]]), np.random.default_rng(0))) <= set(range(len(room)))


def _sees(point: np.ndarray, pose: np.ndarray) -> bool:
    (u, v), depth = CAMERA.project(np.linalg.inv(pose)[:3] @ [*point, 1.0])
    return bool(depth > 0 and 0 <= u <= CAMERA.width - 1 and 0 <= v <= CAMERA.height - 1)


def test_images_of_another_size_have_the_intrinsics_of_that_size(room: RoomScene) -> None:
    settings = replace(SETTINGS, image_width=80, image_height=60)
    large, small = (VolumeCrops([room], one, 0, validation=True)[1] for one in (SETTINGS, settings))
    assert small["images"].shape == (3, 3, 60, 80)
    assert small["depth"].shape == (3, 60, 80)
    camera = CAMERA.scaled(80, 60)
    assert np.allclose(small["K"][0].numpy(), camera.matrix)
    points = centres(small)[small["tsdf"].abs() < 0.2]
    for sample in (large, small):
        measured, z = depth_at(points, sample["depth"], sample["K"], sample["T_world_camera"])
        assert (measured - z)[measured > 0].abs().median() < 0.04


def test_colour_changes_are_two_of_five_and_the_same_for_all_views() -> None:
    image = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0)) * 255
    for seed in range(10):
        changed = augmented(image.repeat(3, 1, 1, 1), np.random.default_rng(seed))
        assert torch.equal(changed[0], changed[2])
        assert changed.min() >= 0
        assert changed.max() <= 255
        assert (changed[0] - image[0]).abs().max() > 1


def test_another_cameras_colours_are_a_choice(room: RoomScene) -> None:
    sample = VolumeCrops([room], replace(SETTINGS, colors="camera"), 0)[0]
    assert sample["images"].float().std() > 1
    assert not torch.equal(sample["images"], VolumeCrops([room], SETTINGS, 0)[0]["images"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": (48, 48, 18)}, "multiples of 4"),
        ({"crop": (8, 48, 24)}, "at least 16"),
        ({"views": 0}, "views is 0"),
        ({"anchor_margin": 0.5}, "anchor_margin is 0.5"),
        ({"colors": "sepia"}, "colors is 'sepia'"),
    ],
)
def test_bad_settings(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        replace(SETTINGS, **changes)


def test_scenes_that_cannot_be_used() -> None:
    with pytest.raises(DatasetError, match="no scenes"):
        VolumeCrops([], SETTINGS, 0)
    empty = RoomScene("empty", 2)
    layer, grid = empty.tsdf_layer(0)
    empty._layer = np.ones_like(layer), grid
    with pytest.raises(DatasetError, match="empty: its TSDF has no surface voxel"):
        VolumeCrops([empty], SETTINGS, 0)[0]
