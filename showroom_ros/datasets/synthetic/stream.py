"""Training samples without end, straight from the renderer: nothing touches the disk.

A room is made for every ``samples_per_room`` samples. Sample ``i`` depends on the settings, the split, the
seed and ``i`` alone: it is the same whoever makes it, in whatever order, and a run goes on where it stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import count as counted
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from showroom_ros.datasets.synthetic.backends import checked_device
from showroom_ros.datasets.synthetic.photo_sets import PhotoSet, photo_set
from showroom_ros.datasets.synthetic.renderer import Renderer
from showroom_ros.datasets.synthetic.rendering import Rendering
from showroom_ros.datasets.synthetic.room import make_room
from showroom_ros.datasets.synthetic.sensor import ColorSensor, DepthSensor, develop
from showroom_ros.datasets.synthetic.splits import SPLITS, seed_of, settings_of
from showroom_ros.errors import InputError
from showroom_ros.geometry.camera import Camera, assumed_camera

_WIDEST_OVERLAP = (0.03, 0.97)


@dataclass(frozen=True)
class StreamSettings:
    """What a sample is.

    Attributes:
        views: photos per sample.
        width, height: of each photo in pixels.
        overlap: share of its pixels that a photo has in common with an earlier one (``photo_sets.photo_set``);
            where a room offers no such photos the range is widened.
        chain: each photo overlaps the one before it rather than any earlier one.
        horizontal_fov_deg: lowest and highest field of view; one camera per sample.
        noisy: images pass through the colour sensor, and there is a ``sensor_depth``.
        samples_per_room: samples before the next room is made.
        rooms: how many different rooms there are, then they come again; None = as many as the split has.
        assets: folder of models to furnish with besides the parametric pieces.
    """

    views: int = 5
    width: int = 256
    height: int = 192
    overlap: tuple[float, float] = (0.3, 0.7)
    chain: bool = False
    horizontal_fov_deg: tuple[float, float] = (52.0, 75.0)
    noisy: bool = False
    samples_per_room: int = 16
    rooms: int | None = None
    assets: Path | None = None

    def __post_init__(self) -> None:
        """Checks counts, sizes and ranges."""
        for name in ("views", "samples_per_room", "rooms"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"stream {name} is {value}, expected 1 or more")
        if self.width < 16 or self.height < 16:
            raise InputError(f"stream image size is {self.width}x{self.height}, expected at least 16x16 pixels")
        low, high = self.horizontal_fov_deg
        if not 10 <= low <= high <= 120:
            raise InputError(f"stream horizontal_fov_deg is {low} to {high}, expected 10 to 120, low first")


@dataclass(frozen=True, eq=False)
class Sample:
    """N photos of one room and all that is known of them; tensors on the stream's device.

    Attributes:
        index: number of the sample in its stream; a run that has used it goes on with ``start=index + 1``.
        room_seed: of the room.
        images: uint8 [N, 3, H, W], RGB.
        depth: float32 [N, H, W], exact planar depth in metres, NaN where no surface is met.
        sensor_depth: float32 [N, H, W], as a structured-light camera measures it, NaN unknown; or None.
        normals: float32 [N, 3, H, W], unit, camera frame (x right, y down, z forward), NaN without surface.
        layout: uint8 [N, H, W], 1 front, 2 left, 3 right wall, 4 floor, 5 ceiling, 0 objects.
        instance: int32 [N, H, W], the same number for the same thing in all photos; -1 without surface.
        K: float32 [N, 3, 3], pixels; the centre of the top left pixel is (0, 0).
        T_world_camera: float32 [N, 4, 4], OpenCV cameras in a world with z up, metres.
        parents: int64 [N], the earlier photo each overlaps as asked for; -1 for the first.
        overlaps: float32 [N], with that photo; NaN for the first.
    """

    index: int
    room_seed: int
    images: Tensor
    depth: Tensor
    sensor_depth: Tensor | None
    normals: Tensor
    layout: Tensor
    instance: Tensor
    K: Tensor
    T_world_camera: Tensor
    parents: Tensor
    overlaps: Tensor


class SampleStream:
    """Samples of a split in order; iterate over it, or over its ``batches``."""

    def __init__(
        self,
        split: str = "train",
        settings: StreamSettings | None = None,
        *,
        seed: int = 0,
        start: int = 0,
        count: int | None = None,
        workers: int = 2,
        processes: bool = False,
        device: str = "cpu",
    ) -> None:
        """Says what is to come; nothing is made yet.

        Args:
            split: "train", "val" or "test" of ``splits``.
            settings: what a sample is.
            seed: training rooms come in an order drawn from it, and photos are; test and validation rooms come
                in their own order.
            start: first sample, to go on where another run stopped.
            count: samples to give; None = without end for training, each room once for the others.
            workers: rooms made ahead at the same time; 0 = none, all is made when asked for.
            processes: workers are processes rather than threads (CPU only); several times faster where rooms are
                made often.
            device: where rooms are lit and rendered and the samples lie.

        Raises:
            InputError: unknown split or device, negative numbers, processes on a GPU.
        """
        if split not in SPLITS:
            raise InputError(f"split '{split}' is unknown, expected one of {', '.join(SPLITS)}")
        for name, value in (("seed", seed), ("start", start), ("workers", workers), ("count", count)):
            if value is not None and value < 0:
                raise InputError(f"stream {name} is {value}, expected 0 or more")
        if checked_device(device).type != "cpu" and processes:
            raise InputError(f"device '{device}' is shared by threads, expected processes=False")
        self.settings = settings or StreamSettings()
        self.split, self.seed, self.start, self.device = split, seed, start, device
        self._workers, self._processes = workers, processes
        end = None if split == "train" else len(SPLITS[split]) * self.settings.samples_per_room
        self.end = end if count is None else start + count

    def room_seed(self, index: int) -> int:
        """Seed of the room of sample ``index``."""
        room = index // self.settings.samples_per_room
        room = room if self.settings.rooms is None else room % self.settings.rooms
        number = len(SPLITS[self.split])
        if self.split == "train":
            return seed_of(self.split, int(np.random.default_rng([self.seed, room, 21]).integers(number)))
        return seed_of(self.split, room % number)

    def sample(self, index: int) -> Sample:
        """Sample ``index``, made now with its room."""
        return _tensors(_room_samples(self._job(index, index + 1)))[0]

    def __iter__(self) -> Iterator[Sample]:
        """All samples from ``start`` on."""
        with _pool(self._workers, self._processes) as submit:
            waiting: deque[Future[list[Sample]]] = deque()
            jobs = self._jobs()
            for job in islice(jobs, self._workers + 1):
                waiting.append(submit(_room_samples, job))
            while waiting:
                samples = _tensors(waiting.popleft().result())
                for job in islice(jobs, 1):
                    waiting.append(submit(_room_samples, job))
                yield from samples

    def batches(self, size: int) -> Iterator[dict[str, Tensor]]:
        """Samples stacked: each tensor of ``Sample`` by its name with a leading axis [size]; a rest is left out.

        ``index`` and ``room_seed`` become int64 [size].
        """
        if size < 1:
            raise InputError(f"batch size is {size}, expected 1 or more")
        samples = iter(self)
        while len(batch := list(islice(samples, size))) == size:
            yield stacked(batch)

    def _jobs(self) -> Iterator[_Job]:
        per_room = self.settings.samples_per_room
        for room in counted(self.start // per_room):
            first, end = max(self.start, room * per_room), (room + 1) * per_room
            end = end if self.end is None else min(end, self.end)
            if first >= end:
                return
            yield self._job(first, end)

    def _job(self, first: int, end: int) -> _Job:
        return _Job(self.settings, self.room_seed(first), self.seed, first, end, self.device, self._processes)


def stacked(samples: list[Sample]) -> dict[str, Tensor]:
    """Samples of one stream as one dict of tensors with a leading axis."""
    result = {}
    for field in fields(Sample):
        values = [getattr(sample, field.name) for sample in samples]
        if values[0] is not None:
            result[field.name] = torch.stack(values) if isinstance(values[0], Tensor) else torch.tensor(values)
    return result


@dataclass(frozen=True)
class _Job:
    """Samples ``first``..``end`` of one room; ``as_arrays`` for the way between processes."""

    settings: StreamSettings
    room_seed: int
    seed: int
    first: int
    end: int
    device: str
    as_arrays: bool


def _room_samples(job: _Job) -> list[Sample]:
    room = make_room(job.room_seed, settings_of(job.room_seed, job.settings.assets), job.device)
    renderer = Renderer(room, job.device)
    samples = [_made(renderer, job, index) for index in range(job.first, job.end)]
    return [_mapped(sample, lambda tensor: tensor.numpy()) for sample in samples] if job.as_arrays else samples


def _made(renderer: Renderer, job: _Job, index: int) -> Sample:
    settings, room, device = job.settings, renderer.room, renderer.device
    rng = np.random.default_rng([job.seed, index, job.room_seed, 22])
    camera = assumed_camera(settings.width, settings.height, float(rng.uniform(*settings.horizontal_fov_deg)))
    photos = _photos(renderer, camera, settings, int(rng.integers(2**31)))
    views = renderer.render_batch(camera, photos.poses)
    assert views.radiance is not None
    images, sensor_depth = develop(views.radiance * room.exposure), None
    if settings.noisy:
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        images, sensor_depth = _sensed(views, room.exposure, float(rng.uniform(0, 60)), generator)
    return Sample(
        index=index,
        room_seed=room.seed,
        images=images.movedim(-1, 1).contiguous(),
        depth=views.depth,
        sensor_depth=sensor_depth,
        normals=views.normals_camera.movedim(-1, 1).contiguous(),
        layout=views.layout_classes,
        instance=views.instances,
        K=torch.as_tensor(camera.matrix, dtype=torch.float32, device=device).expand(settings.views, 3, 3).clone(),
        T_world_camera=torch.as_tensor(views.T_world_camera, dtype=torch.float32, device=device),
        parents=torch.as_tensor(photos.parents, device=device),
        overlaps=torch.as_tensor(photos.overlaps, dtype=torch.float32, device=device),
    )


def _photos(renderer: Renderer, camera: Camera, settings: StreamSettings, seed: int) -> PhotoSet:
    try:
        return photo_set(renderer, camera, settings.views, settings.overlap, seed, chain=settings.chain)
    except InputError:
        if settings.overlap == _WIDEST_OVERLAP:
            raise
    return photo_set(renderer, camera, settings.views, _WIDEST_OVERLAP, seed, chain=settings.chain)


def _sensed(views: Rendering, exposure: float, time_s: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images uint8 [N, H, W, 3] and depth float32 [N, H, W] through the sensor models, each photo at its own time."""
    scale = views.camera.width / 640  # small images are made from those of a sensor with 640 columns
    sensor = DepthSensor(lateral_px=0.5 * scale, disparity_step_px=0.125 * scale, bleed_px=round(2 * scale))
    color = ColorSensor()
    assert views.radiance is not None
    pictures = [
        color.expose(view, exposure, time_s + 3.0 * number, generator) for number, view in enumerate(views.radiance)
    ]
    fx, planes = views.camera.fx, zip(views.depth, views.cosine, strict=True)
    return torch.stack(pictures), torch.stack([sensor.measure(*plane, fx, generator) for plane in planes])


def _tensors(samples: list[Sample]) -> list[Sample]:
    return [_mapped(sample, torch.as_tensor) for sample in samples]


def _mapped(sample: Sample, change: Callable[[Any], Any]) -> Sample:
    """A sample whose tensors (or arrays) are changed."""
    changed: dict[str, Any] = {}
    for field in fields(Sample):
        value = getattr(sample, field.name)
        if value is not None and not isinstance(value, int):
            changed[field.name] = change(value)
    return replace(sample, **changed)


@contextmanager
def _pool(workers: int, processes: bool) -> Iterator[Callable[..., Future]]:
    """Something to submit jobs to; without workers they are done at once."""
    if not workers:
        yield _at_once
        return
    pool: Executor = ProcessPoolExecutor(workers, get_context("spawn")) if processes else ThreadPoolExecutor(workers)
    try:
        yield pool.submit
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _at_once(work: Callable, job: _Job) -> Future:
    future: Future = Future()
    future.set_result(work(job))
    return future
