"""Training of the room layout: labels of empty rooms, losses, and that steps lower them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from showroom_ros.datasets.synthetic import room as rooms
from showroom_ros.datasets.synthetic.renderer import Renderer
from showroom_ros.datasets.synthetic.room_layout import LayoutClass
from showroom_ros.datasets.synthetic.splits import seed_of, settings_of
from showroom_ros.errors import DatasetError
from showroom_ros.geometry.camera import assumed_camera
from showroom_ros.networks.room_layout import PRESETS, RoomLayoutNet
from showroom_ros.scene.view import View
from showroom_ros.training.room_layout import (
    RoomLayoutTask,
    RoomLayoutTaskSettings,
    RoomPhotos,
    _room_seed,
    cross_entropy,
    frames_of,
    mirrored,
    photo_poses,
    pixel_accuracy,
    soft_overlap,
    without_objects,
    zoomed,
)
from showroom_ros.training.scenes import RecordedScene

SETTINGS = RoomLayoutTaskSettings(width=64, height=48, photos=6, rooms_at_once=1)


@pytest.fixture(scope="module")
def samples():
    with pytest.MonkeyPatch.context() as patch:  # light costs most of the time and matters to no label
        patch.setattr(rooms, "baked_light", lambda room, *_: np.full((len(room.vertices), 3), 0.5, np.float32))
        photos = RoomLayoutTask(SETTINGS, "synthetic:val/3", 0).samples(True)
        photos[0]
    return photos


def test_photos_have_labels_without_furniture(samples: RoomPhotos) -> None:
    assert len(samples) == 6
    batch = [samples[number] for number in range(6)]
    assert batch[0]["image"].shape == (3, 48, 64)
    labels = torch.stack([sample["classes"] for sample in batch])
    assert labels.dtype == torch.uint8
    assert (labels == int(LayoutClass.NONE)).float().mean() < 0.02
    assert {1, 4} < set(labels.unique().tolist())
    images = torch.stack([sample["image"] for sample in batch])
    assert float(images.std()) > 0.05
    assert len({image.sum().item() for image in images}) == 6  # each photo once
    torch.testing.assert_close(samples[3]["image"], batch[3]["image"], atol=0, rtol=0)


def test_photos_to_train_on_differ_but_depend_on_their_number_alone(samples: RoomPhotos) -> None:
    varied = RoomPhotos(list(samples._scenes.values()), SETTINGS, 0, augment=True)
    varied._kept = samples._kept
    first, again, later = varied[1], varied[1], varied[7]
    torch.testing.assert_close(first["image"], again["image"], atol=0, rtol=0)
    assert (first["image"] - later["image"]).abs().mean() > 0.01


def test_steps_on_one_batch_lower_its_loss(samples: RoomPhotos) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = RoomLayoutNet(PRESETS["tiny"])
    task = RoomLayoutTask(SETTINGS, "", 0)
    batch = task.collate([samples[number] for number in range(4)])
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    history = []
    for step in range(40):
        parts = task.loss(network, batch, step)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        history.append({name: float(value.detach()) for name, value in parts.items()})
    assert history[0]["map_accuracy"] == history[0]["identity_accuracy"] == history[-1]["identity_accuracy"]
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert history[-1]["accuracy"] > history[0]["accuracy"] + 0.1
    assert history[-1]["map_accuracy"] > history[0]["map_accuracy"] + 0.1
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert task.picture(network, batch).shape == (4 * 48, 4 * 64, 3)


def test_a_mirror_exchanges_left_and_right() -> None:
    image, labels = torch.rand(3, 2, 6), torch.tensor([[0, 1, 2, 3, 4, 5]] * 2, dtype=torch.uint8)
    image_, labels_ = mirrored(image, labels)
    assert labels_[0].tolist() == [5, 4, 2, 3, 1, 0]
    torch.testing.assert_close(image_[..., 0], image[..., 5])
    assert torch.equal(mirrored(image_, labels_)[1], labels)


def test_a_zoomed_photo_is_a_part_of_it() -> None:
    rows, columns = torch.meshgrid(torch.arange(48), torch.arange(64), indexing="ij")
    image, labels = torch.stack([rows, columns, rows]).float(), (1 + (columns >= 32).byte()).to(torch.uint8)
    rng = np.random.default_rng(0)
    for _ in range(8):
        part, classes = zoomed(image, labels, rng)
        assert part.shape == image.shape
        assert classes.shape == labels.shape
        assert classes.dtype == torch.uint8
        assert 30 <= float(part[0].max() - part[0].min()) + 1 <= 48
        assert ((part[1] > 31.9) == (classes == 2)).float().mean() > 0.95


def test_frames_of_a_prepared_walk_get_the_labels_of_their_room(samples: RoomPhotos) -> None:
    seed = seed_of("val", 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms, "baked_light", lambda room, *_: np.full((len(room.vertices), 3), 0.5, np.float32))
        room = rooms.make_room(seed, replace(settings_of(seed), rooms=1))
        poses = photo_poses(room, 8, np.random.default_rng(0))
        walk, camera = Walk(room, poses), assumed_camera(96, 72, 70.0)
        walk.camera = camera
        images, classes = frames_of(RecordedScene(walk), room, SETTINGS)
        with pytest.raises(DatasetError, match="lies behind the walls of room"):
            frames_of(RecordedScene(walk), replace(room, vertices=0.6 * room.vertices), SETTINGS)
        walk.poses[:, 2, 2] = -0.9
        with pytest.raises(DatasetError, match="no frame looks ahead"):
            frames_of(RecordedScene(walk), room, SETTINGS)
    assert images.shape == (6, 48, 64, 3)
    assert classes.shape == (6, 48, 64)
    expected = Renderer(without_objects(room)).render_batch(camera.scaled(64, 48), poses[[0, 7]], shaded=False)
    np.testing.assert_array_equal(classes[[0, 5]], expected.layout_classes.numpy())
    assert _room_seed(RecordedScene(walk)) == seed


class Walk:
    """A ``Sequence`` through a room, grey."""

    name = "synthetic-val-3"

    def __init__(self, room: rooms.Room, poses: np.ndarray) -> None:
        self._room, self.poses, self.camera = room, poses.copy(), assumed_camera(96, 72, 70.0)

    def __len__(self) -> int:
        return len(self.poses)

    def pose(self, index: int) -> np.ndarray:
        return self.poses[index]

    def __getitem__(self, index: int) -> View:
        plain = replace(self._room, materials=self._room.materials[:1], material=0 * self._room.material)
        depth = Renderer(plain).render_batch(self.camera, self.poses[index][None], shaded=False).depth.numpy()[0]
        return View(np.full((72, 96, 3), 99, np.uint8), self.camera, depth, T_world_camera=self.poses[index])


def test_losses_are_least_at_the_truth_and_heed_no_object() -> None:
    labels = torch.randint(1, 6, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    true = torch.nn.functional.one_hot(labels - 1, 5).movedim(-1, 1).float()
    assert float(cross_entropy(true, labels)) == pytest.approx(0, abs=1e-6)
    assert float(soft_overlap(true, labels)) == pytest.approx(1)
    other = true.roll(1, 1)
    assert float(cross_entropy(other, labels)) == pytest.approx(-np.log(0.02), rel=1e-4)
    assert float(soft_overlap(other, labels)) == pytest.approx(0)
    unlabelled = labels.clone()
    unlabelled[:, :4] = 0
    mixed = torch.cat([other[:, :, :4], true[:, :, 4:]], 2)
    assert float(cross_entropy(mixed, unlabelled)) == pytest.approx(0, abs=1e-6)
    assert float(soft_overlap(mixed, unlabelled)) == pytest.approx(1)
    assert float(pixel_accuracy(mixed.argmax(1) + 1, unlabelled)) == 1
    assert float(pixel_accuracy(mixed.argmax(1) + 1, labels)) == 0.5
    assert float(pixel_accuracy(labels, torch.zeros_like(labels))) == 0


def test_recordings_without_labels_are_refused(tmp_path) -> None:
    class Recording:
        name = "kitchen"

    with pytest.raises(DatasetError, match="kitchen: nothing says which wall"):
        _room_seed(RecordedScene(Recording()))  # type: ignore[arg-type]
    with pytest.raises(DatasetError):
        RoomLayoutTask(SETTINGS, "synthetic:train/a-b", 0).samples(False)


def test_a_bare_room_has_the_walls_of_the_furnished_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "baked_light", lambda room, *_: np.full((len(room.vertices), 3), 0.5, np.float32))
    seed = seed_of("val", 5)
    settings = replace(settings_of(seed), rooms=1)
    furnished, bare = (without_objects(rooms.make_room(seed, settings, furnished=there)) for there in (True, False))
    assert bare.furniture == ()
    for name in ("layout", "triangles"):
        assert len(getattr(bare, name)) == len(getattr(furnished, name))
    np.testing.assert_array_equal(bare.vertices[bare.triangles], furnished.vertices[furnished.triangles])
