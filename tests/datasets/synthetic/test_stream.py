from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from showroom_ros.datasets.synthetic import stream as stream_module
from showroom_ros.datasets.synthetic.photo_sets import PhotoSet
from showroom_ros.datasets.synthetic.room import Room
from showroom_ros.datasets.synthetic.stream import Sample, SampleStream, StreamSettings, stacked
from showroom_ros.errors import InputError
from showroom_ros.geometry.se3 import transform_points

SMALL = StreamSettings(views=3, width=64, height=48, samples_per_room=2, overlap=(0.2, 0.8))


@pytest.fixture
def one_room(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rooms take seconds to make: all seeds give the same one here."""
    monkeypatch.setattr(stream_module, "make_room", lambda seed, settings, device: room)


def equal(one: Sample, two: Sample) -> bool:
    for name, value in vars(one).items():
        other = getattr(two, name)
        if isinstance(value, torch.Tensor):
            value, other = value.nan_to_num(9).tolist(), other.nan_to_num(9).tolist()
        if value != other:
            return False
    return True


def test_a_sample_is_what_it_says(one_room: None, room: Room) -> None:
    sample = SampleStream("train", SMALL).sample(5)
    shapes = {
        "images": (torch.uint8, (3, 3, 48, 64)),
        "depth": (torch.float32, (3, 48, 64)),
        "normals": (torch.float32, (3, 3, 48, 64)),
        "layout": (torch.uint8, (3, 48, 64)),
        "instance": (torch.int32, (3, 48, 64)),
        "K": (torch.float32, (3, 3, 3)),
        "T_world_camera": (torch.float32, (3, 4, 4)),
        "parents": (torch.int64, (3,)),
        "overlaps": (torch.float32, (3,)),
    }
    for name, (dtype, shape) in shapes.items():
        tensor = getattr(sample, name)
        assert (tensor.dtype, tuple(tensor.shape)) == (dtype, shape), name
    assert sample.index == 5
    assert sample.sensor_depth is None
    assert sample.images.float().std() > 10
    assert set(sample.layout.unique().tolist()) <= {0, 1, 2, 3, 4, 5}
    assert ((sample.overlaps[1:] > 0.19) & (sample.overlaps[1:] < 0.81)).all()


def test_depth_intrinsics_and_poses_belong_together(one_room: None, room: Room) -> None:
    """Every pixel of every view, back-projected, lies on the room's floor where it says floor."""
    sample = SampleStream("train", SMALL).sample(0)
    rows, columns = np.mgrid[:48, :64]
    for view in range(3):
        K, depth = sample.K[view].double().numpy(), sample.depth[view].numpy()
        rays = np.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones((48, 64))], -1)
        points = transform_points(sample.T_world_camera[view].numpy(), rays * depth[..., None])
        floor, ceiling = sample.layout[view].numpy() == 4, sample.layout[view].numpy() == 5
        np.testing.assert_allclose(points[floor][:, 2], 0, atol=2e-3)
        assert (points[ceiling][:, 2] > 2).all()
        up = sample.T_world_camera[view, :3, :3] @ sample.normals[view].reshape(3, -1)
        assert (up.T.reshape(48, 64, 3)[torch.from_numpy(floor)][:, 2] > 0.99).all()


def test_the_same_samples_whoever_makes_them(one_room: None) -> None:
    alone = list(islice(SampleStream("train", SMALL, workers=0, count=5), 9))
    assert [sample.index for sample in alone] == [0, 1, 2, 3, 4]
    for other in (SampleStream("train", SMALL, workers=3, count=5), SampleStream("train", SMALL, workers=1, count=5)):
        assert all(equal(a, b) for a, b in zip(alone, other, strict=True))
    later = list(SampleStream("train", SMALL, workers=2, start=3, count=2))
    assert all(equal(a, b) for a, b in zip(alone[3:], later, strict=True))
    assert equal(SampleStream("train", SMALL).sample(4), alone[4])
    assert not equal(SampleStream("train", SMALL, seed=1).sample(4), alone[4])


def test_processes_give_the_same_as_threads() -> None:
    tiny = StreamSettings(views=2, width=32, height=24, samples_per_room=2, overlap=(0.2, 0.8))
    made = list(SampleStream("val", tiny, workers=1, processes=True, count=2))
    expected = SampleStream("val", tiny, workers=0, count=2)
    assert all(equal(a, b) for a, b in zip(made, expected, strict=True))
    assert made[0].room_seed == 1000


def test_batches_stack_and_drop_the_rest(one_room: None) -> None:
    batches = list(SampleStream("train", SMALL, count=5).batches(2))
    assert len(batches) == 2
    assert batches[1]["images"].shape == (2, 3, 3, 48, 64)
    assert batches[1]["index"].tolist() == [2, 3]
    assert "sensor_depth" not in batches[0]
    first = SampleStream("train", SMALL).sample(0)
    assert torch.equal(stacked([first])["depth"][0], first.depth)


def test_noisy_samples_have_what_the_sensors_report(one_room: None) -> None:
    clean = SampleStream("train", SMALL).sample(1)
    noisy = SampleStream("train", StreamSettings(**{**vars(SMALL), "noisy": True})).sample(1)
    assert torch.equal(noisy.depth, clean.depth)
    assert noisy.sensor_depth is not None
    known = ~noisy.sensor_depth.isnan()
    assert 0.4 < known.float().mean() < 0.999
    assert ((noisy.sensor_depth - noisy.depth).abs()[known] < 0.05).float().mean() > 0.8
    assert 0.5 < (noisy.images.float() - clean.images.float()).abs().mean() < 25


def test_rooms_follow_the_split_and_come_again() -> None:
    stream = SampleStream("test", StreamSettings(samples_per_room=4, rooms=3))
    assert [stream.room_seed(i) for i in (0, 3, 4, 8, 12)] == [0, 0, 1, 2, 0]
    train = SampleStream("train", SMALL)
    seeds = {train.room_seed(i) for i in range(0, 40, 2)}
    assert len(seeds) == 20
    assert min(seeds) >= 2000
    assert train.room_seed(0) != SampleStream("train", SMALL, seed=1).room_seed(0)
    assert SampleStream("val").end == 1000 * 16
    assert train.end is None


def test_rooms_without_such_photos_widen_the_range(one_room: None, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = stream_module.photo_set

    def picky(renderer: object, camera: object, count: int, overlap: tuple, seed: int, chain: bool) -> PhotoSet:
        asked.append(overlap)
        if overlap == (0.2, 0.8):
            raise InputError("no such photos")
        return real(renderer, camera, count, overlap, seed, chain=chain)  # type: ignore[arg-type]

    monkeypatch.setattr(stream_module, "photo_set", picky)
    assert len(SampleStream("train", SMALL).sample(0).images) == 3
    assert asked == [(0.2, 0.8), (0.03, 0.97)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SampleStream("dev"), "split 'dev' is unknown, expected one of test, val, train"),
        (lambda: SampleStream(start=-1), "stream start is -1"),
        (lambda: SampleStream(workers=-1), "stream workers is -1"),
        (lambda: SampleStream(device="gpu"), "device 'gpu'"),
        (lambda: StreamSettings(views=0), "stream views is 0"),
        (lambda: StreamSettings(width=8), "stream image size is 8x192"),
        (lambda: StreamSettings(horizontal_fov_deg=(70, 60)), "horizontal_fov_deg is 70 to 60"),
        (lambda: next(SampleStream().batches(0)), "batch size is 0"),
    ],
)
def test_bad_streams_are_refused(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()  # type: ignore[operator]
